"""The mlx backend."""

from ncps.backends.common import register_backend
from ncps.backends.mlx import control, module, ops, random, training

register_backend("mlx", module.MLXLayer, ops, random, control, training)
