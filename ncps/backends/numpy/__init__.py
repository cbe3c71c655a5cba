"""The numpy backend."""

from ncps.backends.common import register_backend
from ncps.backends.numpy import module, ops, training

register_backend("numpy", ops, training, module.NumpyLayer)
