"""The jax backend."""

from ncps.backends.jax import module, ops, training
from ncps.backends.common import register_backend

register_backend("jax", ops, training, module.JaxLayer)
