"""Layers as `torch.nn.Module`."""

from __future__ import annotations

import inspect

import numpy as np
import torch

from ncps import tree
from ncps.backends.native import NativeLayer
from ncps.backends.torch import ops


class TorchLayer(NativeLayer, torch.nn.Module):
    """A module: weights are parameters, masks and indices are buffers outside of the state dict."""

    changes_in_place = True

    def __init__(self, **options):
        super().__init__(**options)
        self._place = None  # where weights and buffers are made; None is torch's own default

    @staticmethod
    def bound(layer):
        NativeLayer.bound(layer)

        def forward(self, *args, **kwargs):
            return self.run(*args, **kwargs)

        forward.__signature__ = inspect.signature(layer.call)  # torch.export names inputs by it, and their shapes
        layer.forward = forward

    def _apply(self, fn, recurse=True):
        if not self.built:  # what .to, .double and their like ask for holds for the weights to come
            like = torch.zeros((), dtype=ops.native_dtype(self.native_dtype()), device=self._place)
            asked = fn(like)
            self._place = asked.device
            if asked.dtype != like.dtype:
                self._dtype_name = ops.dtype(asked)
        return super()._apply(fn, recurse)

    def make_weight(self, name, value, trainable, constraint):
        # rows one after the other: torch would keep the strides of a transposed array, which torch.export.save warns of
        value = np.array(value, order="C")
        data = torch.tensor(value, dtype=ops.native_dtype(self.native_dtype()), device=self._place)
        return torch.nn.Parameter(data) if trainable else torch.nn.Buffer(data)

    def make_buffer(self, array):
        return torch.nn.Buffer(torch.tensor(array, device=self._place), persistent=False)

    def capturable(self, tensors):
        # The compiler refuses loops that capture two slices of one tensor.
        return tree.map(ops.copy, tensors) if torch.compiler.is_compiling() else tensors

    def make_state(self, tensor):
        return torch.nn.Buffer(tensor, persistent=False)

    def native_attributes(self):
        return list(self._modules.items())

    def native_weights(self):
        kept = {
            name: (value, False)
            for name, value in self._buffers.items()
            if name not in self._non_persistent_buffers_set
        }
        return {name: (value, True) for name, value in self._parameters.items() if value is not None} | kept

    def is_weight(self, value):
        return isinstance(value, (torch.nn.Parameter, torch.nn.Buffer))

    def write_weight(self, variable, value):
        with torch.no_grad():
            variable.copy_(torch.as_tensor(np.array(value)))

    def native_training(self):
        return self.training

    def is_traced(self, x):
        return ops.is_traced(x)
