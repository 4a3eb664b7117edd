"""Conversion between PyTorch state dicts and variables of our networks.

blocks.py            names of the layers of networks of blocks
extra_tensors.py     tensors that are none of a network's weights
layouts.py           name, shape and layout of every tensor
mobile.py            names of the layers of MobileNetV2 and ShuffleNetV2
modules.py           modules that a user's function makes, and their weights
names.py             names of the layers of every network
naming_schemes.py    helpers to define the names
normalisers.py       mean and std that a state dict holds
parametrisations.py  weights that PyTorch computes from several tensors
plain.py             names of the layers of plain networks
shape_checks.py      tensors of another shape than a network's
state_dicts.py       a network's tensors among those of a state dict
tensor_names.py      names as wrappers and other libraries write them
transformers.py      names of the layers of vision transformers
weights.py           `from_torch` and `to_torch`
"""
