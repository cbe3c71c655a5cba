"""Layers on NumPy: plain objects."""

from __future__ import annotations

import numpy as np

from ncps.backends.native import NativeLayer
from ncps.backends.numpy import ops


class Weight(np.ndarray):
    """An array that is a weight."""

    trainable = True

    def __array_finalize__(self, source):
        self.trainable = getattr(source, "trainable", True)

    def __reduce__(self):
        return weight, (np.asarray(self), self.trainable)

    def __deepcopy__(self, memo):
        return weight(np.array(self), self.trainable)


def weight(value, trainable):
    made = value.view(Weight)
    made.trainable = trainable
    return made


class NumpyLayer(NativeLayer):
    """A plain object."""

    def __call__(self, *args, **kwargs):
        return self.run(*args, **kwargs)

    def make_weight(self, name, value, trainable, constraint):
        return weight(np.array(ops.cast(value, self.native_dtype())), trainable)

    def make_buffer(self, array):
        return np.asarray(array)

    def native_weights(self):
        return {name: (value, value.trainable) for name, value in vars(self).items() if self.is_weight(value)}

    def is_weight(self, value):
        return isinstance(value, Weight)

    def write_weight(self, variable, value):
        variable[...] = value
