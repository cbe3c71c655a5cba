"""TensorFlow: `tf.function`, with and without XLA; the faster of the two."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.comparing.frameworks import ON_GPU, RATE
from benchmarks.comparing.models import Model, Run, Step, Ways

WAYS = {"graph": None, "xla": True}
tensor = tf.constant
GPU = "GPU:0"


def release() -> None:
    gc.collect()
    if ON_GPU:
        tf.config.experimental.reset_memory_stats(GPU)


def device_peak() -> float:
    return tf.config.experimental.get_memory_info(GPU)["peak"]


def traced(function: Callable[..., Any], *arguments: Any) -> Ways:
    """A function compiled in each of the ways, with what it is called with."""

    def run(jit_compile: bool | None) -> Run:
        compiled = tf.function(function, autograph=False, jit_compile=jit_compile)

        def once() -> None:
            compiled(*arguments)
            if ON_GPU:
                tf.test.experimental.sync_devices()

        return once

    return {name: run(jit_compile) for name, jit_compile in WAYS.items()}


def forward(model: Model, x: tf.Tensor) -> Ways:
    return traced(lambda x: model.outputs(model.layer, x), x)


def training(model: Model, x: tf.Tensor, y: tf.Tensor) -> Ways:
    # Keras' optimizers take variables of Keras only.
    optimizer = tf.compat.v1.train.AdamOptimizer(RATE)
    return traced(training_step(model, optimizer.apply_gradients), x, y)


def training_step(model: Model, apply: Callable[[list[tuple[tf.Tensor, Any]]], Any]) -> Callable[..., tf.Tensor]:
    """One step of training; `apply` takes gradients with their variables."""

    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        variables = model.layer.trainable_variables
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model.outputs(model.layer, x) - y) ** 2)
        pairs = zip(tape.gradient(loss, variables), variables, strict=True)
        apply([(gradient, variable) for gradient, variable in pairs if gradient is not None])
        return loss

    return step


def control(model: Model, step: Step, x: tf.Tensor) -> Ways:
    _, start = step(model.layer, x, None)

    def run(jit_compile: bool | None) -> Run:
        compiled = tf.function(lambda x, state: step(model.layer, x, state), autograph=False, jit_compile=jit_compile)
        state = start

        def once() -> np.ndarray:
            nonlocal state
            outputs, state = compiled(x, state)
            return outputs.numpy()

        return once

    return {name: run(jit_compile) for name, jit_compile in WAYS.items()}
