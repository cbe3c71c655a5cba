"""Layers as `tf.Module`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ncps.backends.native import NativeLayer
from ncps.backends.tensorflow import ops

as_it_is = tf.autograph.experimental.do_not_convert  # AutoGraph finds no source of our ops, and says so of each


class TensorflowLayer(NativeLayer, tf.Module):
    """A module: weights are variables, masks and indices constants."""

    @as_it_is
    def __call__(self, *args, **kwargs):
        return self.run(*args, **kwargs)

    @staticmethod
    def bound(layer):
        NativeLayer.bound(layer)
        if hasattr(layer, "step"):  # the other way in, for streams
            layer.step = as_it_is(layer.step)

    def make_weight(self, name, value, trainable, constraint):
        with tf.init_scope():
            return tf.Variable(tf.cast(value, ops.native_dtype(self.native_dtype())), trainable=trainable, name=name)

    def make_buffer(self, array):
        return np.asarray(array)  # an eager tensor that a traced loop captures has no place in the loop's gradient

    def make_state(self, tensor):
        if tf.executing_eagerly():
            return tf.Variable(tensor, trainable=False)
        raise RuntimeError(
            "Expected the first call of a stateful layer outside of tf.function, which cannot make the variable of its "
            "state. Received: a call within. Call the layer once before, with the same batch size."
        )

    def read_state(self, name):
        return tf.convert_to_tensor(getattr(self, name))

    def write_state(self, name, tensor):
        getattr(self, name).assign(tensor)

    def native_weights(self):
        own = {name: value for name, value in vars(self).items() if not name.startswith("_") and self.is_weight(value)}
        return {name: (value, value.trainable) for name, value in own.items()}

    def is_weight(self, value):
        return isinstance(value, tf.Variable)

    def write_weight(self, variable, value):
        variable.assign(tf.cast(value, variable.dtype))

    def is_traced(self, x):
        return ops.is_traced(x)
