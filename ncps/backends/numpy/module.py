"""Layers on NumPy: plain objects."""

from __future__ import annotations

import numpy as np

from ncps.backends.native import NativeLayer
from ncps.backends.numpy import ops


class NumpyLayer(NativeLayer):
    """A plain object, which notes the names of its weights."""

    def __init__(self, name=None, dtype=None):
        super().__init__(name, dtype)
        self._trainable = {}

    def __call__(self, *args, **kwargs):
        return self.run(*args, **kwargs)

    def make_weight(self, name, value, trainable, constraint):
        self._trainable[name] = trainable
        return np.array(ops.cast(value, self.native_dtype()))

    def make_buffer(self, array):
        return np.asarray(array)

    def native_weights(self):
        return {name: (vars(self)[name], flag) for name, flag in self._trainable.items() if name in vars(self)}

    def is_weight(self, value):
        return any(value is weight for weight, _ in self.native_weights().values())

    def write_weight(self, variable, value):
        variable[...] = value
