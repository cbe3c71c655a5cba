"""jax with flax.nnx: `jax.jit` of functions of the module's values, the form that flax recommends for speed."""

from __future__ import annotations

import gc as gc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.comparing.frameworks import RATE
from benchmarks.comparing.models import Model, Step, Ways

tensor = jnp.asarray
release = gc.collect


def device_peak() -> float:
    return jax.devices()[0].memory_stats()["peak_bytes_in_use"]


def parts(model: Model) -> tuple[list[jax.Array], Callable[[list[jax.Array]], Any]]:
    """The layer's values, and the layer as a function of them. A list takes 10 microseconds less than nnx's state."""
    graph, state = nnx.split(model.layer)
    values, structure = jax.tree.flatten(state)
    return values, lambda values: nnx.merge(graph, jax.tree.unflatten(structure, values), copy=True)


def forward(model: Model, x: jax.Array) -> Ways:
    values, layer = parts(model)
    outputs = jax.jit(lambda values, x: model.outputs(layer(values), x))
    return {"jit": lambda: outputs(values, x).block_until_ready()}


def training(model: Model, x: jax.Array, y: jax.Array) -> Ways:
    graph, weights, others = nnx.split(model.layer, nnx.Param, ...)
    optimizer = optax.adam(RATE)

    def loss_of(weights: nnx.State, others: nnx.State, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean((model.outputs(nnx.merge(graph, weights, others, copy=True), x) - y) ** 2)

    @jax.jit
    def step(weights: nnx.State, moments: optax.OptState, others: nnx.State, x: jax.Array, y: jax.Array) -> tuple:
        loss, gradients = jax.value_and_grad(loss_of)(weights, others, x, y)
        updates, moments = optimizer.update(gradients, moments, weights)
        return optax.apply_updates(weights, updates), moments, loss

    kept = weights, optimizer.init(weights)

    def run() -> None:
        nonlocal kept
        *kept, loss = step(*kept, others, x, y)
        jax.block_until_ready((kept, loss))

    return {"jit": run}


def control(model: Model, step: Step, x: jax.Array) -> Ways:
    values, layer = parts(model)
    _, state = step(model.layer, x, None)
    return control_steps(lambda values, x, state: step(layer(values), x, state), values, x, state)


def control_steps(step: Callable[..., Any], values: Any, x: jax.Array, state: Any) -> Ways:
    """A program that takes the values, and one that has them as constants, which XLA then prepares once."""

    def way(step: Callable[..., Any]) -> Callable[[], np.ndarray]:
        carried = state

        def run() -> np.ndarray:
            nonlocal carried
            outputs, carried = step(x, carried)
            return np.asarray(outputs)

        return run

    taking, fixed = jax.jit(step), jax.jit(lambda x, state: step(values, x, state))
    return {"jit": way(lambda x, state: taking(values, x, state)), "fixed weights": way(fixed)}
