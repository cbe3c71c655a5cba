"""The jax backend."""

from ncps.backend import NCPSBackend
from ncps.backends.common import register_backend
from ncps.backends.jax import module, ops, training
from ncps.backends.kernels.sequences import wanted

register_backend("jax", ops, training, module.JaxLayer)
if wanted():
    from ncps.backends.jax import sequences

    NCPSBackend.register_op("jax", "ltc_sequence", sequences.ltc_sequence)
