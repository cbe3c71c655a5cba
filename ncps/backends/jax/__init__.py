"""The jax backend."""

from ncps.backends.common import register_backend, register_sequences
from ncps.backends.jax import module, ops, training
from ncps.backends.kernels.sequences import wanted

register_backend("jax", ops, training, module.JaxLayer)
if wanted():
    from ncps.backends.jax import sequences

    register_sequences("jax", sequences)
