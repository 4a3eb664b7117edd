"""Conversion between PyTorch state dicts and variables of our networks.

blocks.py          names of the layers of networks of blocks
layouts.py         name, shape and layout of every tensor
names.py           names of the layers of every network
naming_schemes.py  helpers to define the names
normalisers.py     mean and std that a state dict holds
plain.py           names of the layers of plain networks
state_dicts.py     a network's tensors among those of a state dict
weights.py         `from_torch` and `to_torch`
"""
