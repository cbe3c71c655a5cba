"""mlx: `mx.compile`, which lays out all steps of a sequence, and eager; the faster of the two."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn, optimizers

from benchmarks.comparing.frameworks import ON_GPU, RATE
from benchmarks.comparing.models import Model, Step, Ways

MOST_STEPS = 200  # of a sequence that is compiled: the time that this takes grows faster than the sequence

mx.set_default_device(mx.gpu if ON_GPU else mx.cpu)
tensor = mx.array


def release() -> None:
    gc.collect()
    mx.clear_cache()
    mx.reset_peak_memory()


def device_peak() -> float:
    return mx.get_peak_memory()


def forward(model: Model, x: mx.array) -> Ways:
    layer = model.layer

    def outputs(x: mx.array) -> mx.array:
        return model.outputs(layer, x)

    ways = {"eager": lambda: mx.eval(outputs(x))}
    if x.shape[1] <= MOST_STEPS:
        compiled = mx.compile(outputs, inputs=[layer.state])
        ways["compiled"] = lambda: mx.eval(compiled(x))
    return ways


def training(model: Model, x: mx.array, y: mx.array) -> Ways:
    update, state = training_step(model, model.layer)
    ways = {"eager": lambda: mx.eval(update(x, y), state)}
    if x.shape[1] <= MOST_STEPS:
        # of a copy: where mlx cannot compile, it leaves its trace in the weights, which then are none
        own, of_own = training_step(model, copy.deepcopy(model.layer))
        compiled = mx.compile(own, inputs=of_own, outputs=of_own)
        ways["compiled"] = lambda: mx.eval(compiled(x, y), of_own)
    return ways


def training_step(model: Model, layer: Any) -> tuple[Callable[..., mx.array], list[Any]]:
    """One step of training, and what it changes."""
    optimizer = optimizers.Adam(RATE)
    optimizer.init(layer.trainable_parameters())
    gradient = nn.value_and_grad(layer, lambda layer, x, y: nn.losses.mse_loss(model.outputs(layer, x), y))

    def update(x: mx.array, y: mx.array) -> mx.array:
        loss, gradients = gradient(layer, x, y)
        optimizer.update(layer, gradients)
        return loss

    return update, [layer.state, optimizer.state]


def control(model: Model, step: Step, x: mx.array) -> Ways:
    layer = model.layer

    def own(x: mx.array, state: Any) -> tuple[mx.array, Any]:
        return step(layer, x, state)

    _, start = own(x, None)
    compiled = mx.compile(own, inputs=[layer.state])
    return {"eager": carrying(own, x, start), "compiled": carrying(compiled, x, start)}


def carrying(step: Any, x: mx.array, state: Any) -> Any:
    """A run of a step that carries the state on."""

    def run() -> np.ndarray:
        nonlocal state
        outputs, state = step(x, state)
        mx.eval(outputs, state)
        return np.array(outputs)

    return run
