"""The jax backend."""

from ncps.backends.common import register_backend, register_sequences
from ncps.backends.jax import control, module, ops, random, training
from ncps.backends.kernels.sequences import wanted

register_backend("jax", module.JaxLayer, ops, random, control, training)
if wanted():
    from ncps.backends.jax import sequences

    register_sequences("jax", sequences)
