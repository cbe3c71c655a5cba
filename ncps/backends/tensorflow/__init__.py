"""The tensorflow backend."""

from ncps.backends.common import register_backend
from ncps.backends.tensorflow import module, ops, training

register_backend("tensorflow", ops, training, module.TensorflowLayer)
