"""The numpy backend."""

from ncps.backend import NCPSBackend
from ncps.backends.common import register_backend, register_sequences
from ncps.backends.kernels.sequences import wanted
from ncps.backends.numpy import control, module, ops, random, streams, training

register_backend("numpy", module.NumpyLayer, ops, random, control, training)
if wanted():
    from ncps.backends.numpy import sequences

    register_sequences("numpy", sequences)
else:
    NCPSBackend.register_op("numpy", "ltc_sequence", streams.ltc_sequence)
