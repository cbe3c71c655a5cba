"""The torch backend."""

from ncps.backends.common import register_backend, register_sequences
from ncps.backends.kernels.sequences import wanted
from ncps.backends.torch import module, ops, training

register_backend("torch", ops, training, module.TorchLayer)
if wanted():
    from ncps.backends.torch import sequences

    register_sequences("torch", sequences)
