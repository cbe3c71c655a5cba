"""Layers as `keras.layers.Layer`, on whichever framework Keras runs."""

from __future__ import annotations

import contextlib
import functools

import keras
import numpy as np

from ncps import tree
from ncps.backend import active, backend_scope
from ncps.backends import common
from ncps.backends.keras import masks, ops


class State(keras.random.SeedGenerator):
    """A tensor that a layer keeps between its calls: for Keras, as the state of a generator, a variable but no weight.

    So it is neither saved nor set with the weights, which may go to a model with another batch size.
    """

    def __init__(self, tensor):
        self.state = keras.Variable(
            lambda shape, dtype: tensor, shape=tensor.shape, dtype=tensor.dtype, trainable=False, name="state"
        )


class KerasLayer(keras.layers.Layer):
    """A Keras layer: Keras builds it, casts its inputs and passes masks; the call runs in our scope."""

    states = None  # Keras' Bidirectional asks
    changes_in_place = ops.FRAMEWORK in ("torch", "numpy")

    def __init__(self, name=None, dtype=None, **options):
        super().__init__(name=name, dtype=dtype, **options)
        if "mask" in self._call_signature.parameters:
            self.supports_masking = True  # the layer takes the mask itself: Keras need not warn that it is lost

    def __call__(self, *args, **kwargs):
        # Keras converts whatever it is given, tensors of other frameworks too.
        for x in (*tree.flatten(args[:1])[0], *(x for x in (*args[1:], *kwargs.values()) if hasattr(x, "shape"))):
            if not ops.is_tensor(x):
                common.as_array(x, f"Keras ({ops.FRAMEWORK})")
        self.check_arguments(*args, **kwargs)
        args, kwargs = self.with_masks(args, kwargs)
        if args and hasattr(args[0], "shape") and not keras.backend.is_float_dtype(args[0].dtype):
            args = (self.convert_input(args[0]), *args[1:])  # Keras casts no integers
        previous, active.training = active.training, kwargs.get("training", active.training)
        try:
            with backend_scope("keras"), contextlib.nullcontext() if self.built else self.whole_or_not_at_all():
                return super().__call__(*args, **kwargs)
        finally:
            active.training = previous

    def __delattr__(self, name):
        value = getattr(self, name)
        if self.is_weight(value):  # as Keras does, without its garbage collection for each of them
            self._untrack_variable(value)
            super(keras.layers.Layer, self).__delattr__(name)
        else:
            super().__delattr__(name)

    def __dir__(self):
        # Keras saves what stands here, and torch leaves out the elements of a List, whose names are numbers.
        return sorted({*super().__dir__(), *vars(self).get("_modules", {})})

    def with_masks(self, args, kwargs):
        """Adds the mask that Keras keeps with the first tensor: it fills `mask` for a single tensor argument only."""
        names = list(self._call_signature.parameters)
        given = dict(zip(names, args, strict=False)) | kwargs
        mask = masks.mask_of(given.get(names[0]))
        if mask is None or given.get("mask") is not None or "mask" not in names:
            return args, kwargs
        return args[:1], {name: x for name, x in given.items() if name != names[0] or not args} | {"mask": mask}

    def make_weight(self, name, value, trainable, constraint):
        return keras.layers.Layer.add_weight(
            self,
            shape=value.shape,
            initializer=lambda shape, dtype: keras.ops.convert_to_tensor(value, dtype),
            trainable=trainable,
            name=name,
            constraint="non_neg" if constraint else None,
        )

    def make_buffer(self, array):
        return np.asarray(array)

    def capturable(self, tensors):
        return tensors

    def make_state(self, tensor):
        return State(tensor)

    def makes_states_at_build(self):
        return True

    def read_state(self, name):
        return keras.ops.copy(getattr(self, name).state.value)  # torch writes in place into what gradients need

    def write_state(self, name, tensor):
        getattr(self, name).state.assign(tensor)

    def native_attributes(self):
        # On torch a Keras layer is a torch module, which keeps the layers within it apart.
        attributes = {**vars(self), **vars(self).get("_modules", {})}
        return [(name, value) for name, value in attributes.items() if not name.startswith("_")]

    def native_weights(self):
        return {name: (value, value.trainable) for name, value in self.native_attributes() if self.is_weight(value)}

    def is_weight(self, value):
        return isinstance(value, keras.Variable)

    def write_weight(self, variable, value):
        variable.assign(value)

    def build_from_config(self, config):
        super().build_from_config(config)
        if config and not self.defines_build():  # the layers within are built by being called
            self.compute_output_spec(keras.KerasTensor(config["input_shape"]))

    def build_shape(self):
        config = self.get_build_config() or {}
        return next(iter((config.get("shapes_dict") or config).values()), None)

    def reopen(self):
        self._tracker.unlock()  # there is no public way
        self._build_shapes_dict = None

    def native_result(self, outputs, state):
        return outputs, *tree.flatten(state)[0]  # Keras' layers return flat tuples

    def native_state(self, state):
        # As Keras' cells have it: its stack of cells hands lists on, and jax tells them from tuples.
        return [self.native_state(x) for x in state] if isinstance(state, (list, tuple)) else state

    def native_training(self):
        return False

    def native_dtype(self):
        return self.variable_dtype

    def input_type(self):
        return self.compute_dtype

    def native_config(self):
        config = {"name": self.name, "dtype": self.dtype_policy.name}
        return config if self.trainable else {**config, "trainable": False}

    def is_traced(self, x):
        return ops.is_traced(x)

    def __reduce__(self):
        # Keras' own way forgets where the weights of a layer that is not built yet will come from, and does not import
        # the module of a class.
        parts = list(self.layers_within())
        state = [(type(part), part._layer_index, part.get_build_config()) for part in parts]
        return restore, (type(self), self.get_config(), state, [ops.convert_to_numpy(v) for v in self.variables])

    @staticmethod
    def bound(layer):
        inner = layer.call

        @functools.wraps(inner)
        def call(self, *args, **kwargs):
            if active.backend == "keras":
                return inner(self, *args, **kwargs)
            return self.run(*args, **kwargs)  # Keras' TimeDistributed comes here past __call__

        layer.call = call
        package = "ncps.layers" if layer.__module__.startswith("ncps.layers") else layer.__module__
        keras.saving.register_keras_serializable(package, layer.__name__)(layer)


def restore(cls, config, state, values):
    """A layer from its configuration and the values of its variables, for pickle and deepcopy."""
    layer = cls.from_config(config)
    parts = list(layer.layers_within())
    for part, (_, index, _) in zip(parts, state, strict=True):
        part._layer_index = index
    for part, (_, _, build_config) in zip(parts, state, strict=True):
        if not part.built:
            part.build_from_config(build_config)
    for variable, value in zip(layer.variables, values, strict=True):
        variable.assign(value)
    return layer
