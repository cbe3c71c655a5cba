"""Layers as `mlx.nn.Module`."""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

from ncps.backends.mlx import ops
from ncps.backends.native import NativeLayer


class MLXLayer(NativeLayer, nn.Module):
    """A module, which in mlx is a dictionary of arrays; names with a leading underscore are no parameters."""

    changes_in_place = True
    __hash__ = object.__hash__  # mlx modules are unhashable dictionaries, but a layer is itself only

    def __eq__(self, other):
        return self is other

    def __setattr__(self, name, value):
        # mlx takes containers for modules of their own, also those of strings; a layer keeps no weights in them.
        set_it = object.__setattr__ if type(value) in (list, tuple, dict) else nn.Module.__setattr__
        set_it(self, name, value)

    def __call__(self, *args, **kwargs):
        return self.run(*args, **kwargs)

    def make_weight(self, name, value, trainable, constraint):
        if not trainable:
            self.freeze(recurse=False, keys=[name], strict=False)
        return mx.array(value, ops.native_dtype(self.native_dtype()))

    def make_buffer(self, array):
        return mx.array(array)

    def native_attributes(self):
        return list(self.items())

    def native_weights(self):
        return {
            name: (value, name not in self._no_grad) for name, value in self.items() if self.is_own_weight(name, value)
        }

    def is_own_weight(self, name, value):
        return self.is_weight(value) and not name.startswith("_")

    def is_weight(self, value):
        return isinstance(value, mx.array)

    def write_weight(self, variable, value):
        for name, (own, _) in self.native_weights().items():
            if own is variable:
                self[name] = mx.array(value, variable.dtype)

    def native_training(self):
        return self.training

    def is_traced(self, x):
        return ops.is_traced(x)

    def __reduce__(self):
        return restore, (type(self), dict(self), {k: v for k, v in vars(self).items() if k not in self})


def restore(cls, items, attributes):
    """A module from its arrays and attributes, for pickle and deepcopy."""
    module = cls.__new__(cls)
    nn.Module.__init__(module)
    dict.update(module, items)
    vars(module).update(attributes)
    return module
