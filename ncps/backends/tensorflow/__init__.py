"""The tensorflow backend."""

from ncps.backends.tensorflow import module, ops, training
from ncps.backends.common import register_backend

register_backend("tensorflow", ops, training, module.TensorflowLayer)
