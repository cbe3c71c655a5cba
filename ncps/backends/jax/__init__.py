"""The jax backend."""

from ncps.backends.common import register_backend
from ncps.backends.jax import module, ops, training

register_backend("jax", ops, training, module.JaxLayer)
