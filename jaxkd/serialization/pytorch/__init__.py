"""Conversion between PyTorch state dicts and variables of our networks.

blocks.py          names of the layers of networks of blocks
layouts.py         name, shape and layout of every tensor
names.py           names of the layers of every network
naming_schemes.py  helpers to define the names
plain.py           names of the layers of plain networks
weights.py         `from_torch` and `to_torch`
"""
