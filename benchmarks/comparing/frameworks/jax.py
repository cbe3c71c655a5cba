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


def parts(model: Model) -> tuple[list[jax.Array], list[jax.Array], Callable[..., Any]]:
    """The layer's weights and other values, and the layer as a function of both.

    Lists take up to 100 microseconds less than nnx's states, with optimizers.
    """
    graph, *states = nnx.split(model.layer, nnx.Param, ...)
    (weights, of_weights), (others, of_others) = map(jax.tree.flatten, states)

    def layer(weights: list[jax.Array], others: list[jax.Array]) -> Any:
        return nnx.merge(
            graph, jax.tree.unflatten(of_weights, weights), jax.tree.unflatten(of_others, others), copy=True
        )

    return weights, others, layer


def forward(model: Model, x: jax.Array) -> Ways:
    *values, layer = parts(model)
    outputs = jax.jit(lambda values, x: model.outputs(layer(*values), x))
    return {"jit": lambda: outputs(values, x).block_until_ready()}


def training(model: Model, x: jax.Array, y: jax.Array) -> Ways:
    weights, others, layer = parts(model)
    optimizer = optax.adam(RATE)

    def loss_of(weights: list[jax.Array], others: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean((model.outputs(layer(weights, others), x) - y) ** 2)

    @jax.jit
    def step(
        weights: list[jax.Array], moments: optax.OptState, others: list[jax.Array], x: jax.Array, y: jax.Array
    ) -> tuple[Any, ...]:
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
    *values, layer = parts(model)
    _, state = step(model.layer, x, None)
    return control_steps(lambda values, x, state: step(layer(*values), x, state), values, x, state)


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
