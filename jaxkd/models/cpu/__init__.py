"""Layers in forms that XLA compiles to fast code for CPUs.

interpreter.py          any network in these forms
equations.py            the layers in a traced network that have a form
chains.py               chains of a convolution and a max pool
layouts.py              how images are stored between layers
conv.py                 convolutions
conv_gradients.py       the gradients of a convolution
depthwise.py            depthwise convolutions
pool.py                 max pools
space_to_depth.py       narrow convolutions with max pools, as in LeNet
stored_equations.py     equations on images that stay as they are stored
upconv.py               upsampling and transposed convolutions
winograd.py             wide 3x3 convolutions
winograd_transforms.py  the tiles and matrices of `winograd.py`
"""
