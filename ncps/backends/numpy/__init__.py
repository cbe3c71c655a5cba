"""The numpy backend."""

from ncps.backends.numpy import module, ops, training
from ncps.backends.common import register_backend

register_backend("numpy", ops, training, module.NumpyLayer)
