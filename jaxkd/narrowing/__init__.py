"""Weights of a narrower network from those of a wider one, without its data.

A student that is its teacher's network with fewer channels need not start from
random weights. From each group of channels those are kept from which the layers
that read them can best be replaced; then each layer in turn is fitted by least
squares, so that from what the narrower network gives it, it makes what the
wider one has there. Both are measured on images that need not resemble the
data. Neighbours are He et al., "Channel Pruning for Accelerating Very Deep
Neural Networks", ICCV 2017 (least squares, LASSO in place of forward
selection), and Luo et al., "ThiNet", ICCV 2017 (selection by the next layer);
both measure on training images.

    equations.py  a traced network, evaluated by a rule
    matrices.py   convolutions and products as products of matrices
    channels.py   which axes of parameters belong to the same channels
    plan.py       what of both networks belongs to each other
    choice.py     which channels are kept
    moments.py    sums over images, and least squares
    fitting.py    the layers' weights
"""

from jaxkd.narrowing.fitting import max_images, narrow
from jaxkd.narrowing.plan import make_plan

__all__ = ["make_plan", "max_images", "narrow"]
