"""The mlx backend."""

from ncps.backends.common import register_backend
from ncps.backends.mlx import module, ops, training

register_backend("mlx", ops, training, module.MLXLayer)
