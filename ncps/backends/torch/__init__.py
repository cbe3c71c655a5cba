"""The torch backend."""

from ncps.backends.common import register_backend, register_sequences
from ncps.backends.torch import control, module, ops, random, sequences, training

register_backend("torch", module.TorchLayer, ops, random, control, training)
register_sequences("torch", sequences)
