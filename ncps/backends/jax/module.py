"""Layers as `flax.nnx.Module`."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx

from ncps.backends.jax import ops
from ncps.backends.native import NativeLayer


class NonTrainable(nnx.Variable):
    """A weight that optimizers leave alone."""


class Buffer(nnx.Variable):
    """A constant: a mask or an index, neither trained nor saved."""


class RecurrentState(nnx.Variable):
    """What a stateful layer keeps between its calls."""


class JaxLayer(NativeLayer, nnx.Module):
    """A module: weights are `nnx.Param`, masks and indices `Buffer`; `train()` and `eval()` switch its mode."""

    def __init__(self, **options):
        super().__init__(**options)
        self.deterministic = False  # the attribute that nnx.Module.train and eval set

    def __call__(self, *args, **kwargs):
        return self.run(*args, **kwargs)

    def make_weight(self, name, value, trainable, constraint):
        return (nnx.Param if trainable else NonTrainable)(jnp.asarray(value, ops.native_dtype(self.native_dtype())))

    def make_buffer(self, array):
        return Buffer(jnp.asarray(array))

    def make_state(self, tensor):
        return RecurrentState(tensor)

    def read_state(self, name):
        return getattr(self, name)[...]

    def write_state(self, name, tensor):
        getattr(self, name)[...] = tensor

    def native_weights(self):
        return {name: (value, type(value) is nnx.Param) for name, value in vars(self).items() if self.is_weight(value)}

    def is_weight(self, value):
        return isinstance(value, (nnx.Param, NonTrainable))

    def write_weight(self, variable, value):
        variable[...] = jnp.asarray(value, variable.dtype)

    def native_training(self):
        return not self.deterministic

    def is_traced(self, x):
        return ops.is_traced(x)
