"""Layers in forms that XLA compiles to fast code for CPUs.

conv.py                 `conv_general_dilated` and `max_pool`
conv_gradients.py       the gradients of a convolution
depthwise.py            depthwise convolutions
space_to_depth.py       LeNet's first two layers
upconv.py               upsampling and transposed convolutions
winograd.py             wide 3x3 convolutions
winograd_transforms.py  the tiles and matrices of `winograd.py`
"""
