"""The tensorflow backend."""

from ncps.backends.common import register_backend
from ncps.backends.tensorflow import control, module, ops, random, training

register_backend("tensorflow", module.TensorflowLayer, ops, random, control, training)
