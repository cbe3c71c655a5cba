"""The torch backend."""

from ncps.backends.torch import module, ops, training
from ncps.backends.common import register_backend

register_backend("torch", ops, training, module.TorchLayer)
