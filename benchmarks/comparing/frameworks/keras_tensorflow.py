"""Keras on TensorFlow: `tf.function` around Keras' optimizer, with and without XLA; the faster of the two."""

from __future__ import annotations

import keras
import tensorflow as tf

from benchmarks.comparing.frameworks import RATE
from benchmarks.comparing.frameworks.tensorflow import control, device_peak, forward, release, traced, training_step
from benchmarks.comparing.models import Model, Ways

__all__ = ["control", "device_peak", "forward", "release", "tensor", "training"]
tensor = keras.ops.convert_to_tensor


def training(model: Model, x: tf.Tensor, y: tf.Tensor) -> Ways:
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(model.layer.trainable_variables)
    return traced(training_step(model, optimizer.apply_gradients), x, y)
