"""The mlx backend."""

from ncps.backends.mlx import module, ops, training
from ncps.backends.common import register_backend

register_backend("mlx", ops, training, module.MLXLayer)
