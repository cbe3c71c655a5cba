"""Layers on NumPy: plain objects."""

from __future__ import annotations

import numpy as np

from ncps import tree
from ncps.backends.native import NativeLayer
from ncps.backends.numpy import ops


class NumpyLayer(NativeLayer):
    """A plain object, which notes its weights."""

    changes_in_place = True

    def __init__(self, **options):
        super().__init__(**options)
        self._made = {}

    def __call__(self, *args, **kwargs):
        outputs = self.run(*args, **kwargs)
        if self.native_dtype() == "bfloat16":  # beside Python numbers, the bfloat16 of ml_dtypes becomes float32
            return tree.map(lambda x: ops.cast(x, "bfloat16"), outputs)
        return outputs

    def make_weight(self, name, value, trainable, constraint):
        made = np.array(ops.cast(value, self.native_dtype()))
        self._made[name] = made, trainable
        return made

    def make_buffer(self, array):
        return np.asarray(array)

    def native_weights(self):
        return {
            name: (vars(self)[name], trainable) for name, (_, trainable) in self._made.items() if name in vars(self)
        }

    def is_weight(self, value):
        return any(value is made for made, _ in self._made.values())

    def write_weight(self, variable, value):
        variable[...] = value
