"""Keras on jax: `jax.jit` around functions without state, as Keras' guide to loops of one's own has it."""

from __future__ import annotations

import gc as gc
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras

from benchmarks.comparing.frameworks import RATE
from benchmarks.comparing.frameworks.jax import control_steps, device_peak as device_peak
from benchmarks.comparing.models import Model, Step, Ways

tensor = jnp.asarray
release = gc.collect
Values = Sequence[jax.Array]


def pure(function: Callable[..., Any], model: Model) -> Callable[..., Any]:
    """`function(layer, ...)` as a function of the values of the layer's variables, trained and others."""
    layer = model.layer
    variables = [*layer.trainable_variables, *layer.non_trainable_variables]

    def of_values(weights: Values, others: Values, *arguments: Any) -> Any:
        with keras.StatelessScope(state_mapping=zip(variables, [*weights, *others], strict=True)):
            return function(layer, *arguments)

    return of_values


def values(model: Model) -> tuple[Values, Values]:
    """The values of the layer's variables, trained and others."""
    layer = model.layer
    return [v.value for v in layer.trainable_variables], [v.value for v in layer.non_trainable_variables]


def forward(model: Model, x: jax.Array) -> Ways:
    outputs, own = jax.jit(pure(model.outputs, model)), values(model)
    return {"jit": lambda: outputs(*own, x).block_until_ready()}


def training(model: Model, x: jax.Array, y: jax.Array) -> Ways:
    outputs, (weights, others) = pure(model.outputs, model), values(model)
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(model.layer.trainable_variables)

    def loss_of(weights: Values, others: Values, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean((outputs(weights, others, x) - y) ** 2)

    @jax.jit
    def step(weights: Values, moments: Values, others: Values, x: jax.Array, y: jax.Array) -> tuple:
        loss, gradients = jax.value_and_grad(loss_of)(weights, others, x, y)
        return *optimizer.stateless_apply(moments, gradients, weights), loss

    kept = weights, [v.value for v in optimizer.variables]

    def run() -> None:
        nonlocal kept
        *kept, loss = step(*kept, others, x, y)
        jax.block_until_ready((kept, loss))

    return {"jit": run}


def control(model: Model, step: Step, x: jax.Array) -> Ways:
    _, state = step(model.layer, x, None)
    of_values = pure(step, model)
    return control_steps(lambda values, x, state: of_values(*values, x, state), values(model), x, state)
