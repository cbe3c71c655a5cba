"""The torch backend."""

from ncps.backends.common import register_backend
from ncps.backends.torch import module, ops, training

register_backend("torch", ops, training, module.TorchLayer)
