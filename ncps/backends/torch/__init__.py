"""The torch backend."""

from ncps.backends.common import register_backend, register_sequences
from ncps.backends.torch import module, ops, sequences, training

register_backend("torch", ops, training, module.TorchLayer)
register_sequences("torch", sequences)
