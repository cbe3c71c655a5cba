"""jax with flax.nnx: `jax.jit` of functions of the module's values, the form that flax recommends for speed."""

from __future__ import annotations

import gc as gc

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.comparing.frameworks import RATE
from benchmarks.comparing.models import Model, Ways

tensor = jnp.asarray
release = gc.collect


def device_peak() -> float:
    return jax.devices()[0].memory_stats()["peak_bytes_in_use"]


def forward(model: Model, x: jax.Array) -> Ways:
    graph, values = nnx.split(model.layer)
    outputs = jax.jit(lambda values, x: model.outputs(nnx.merge(graph, values, copy=True), x))
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


def control(model: Model, x: jax.Array) -> Ways:
    _, state = model.step(model.layer, x, None)
    graph, values = nnx.split(model.layer)
    step = jax.jit(lambda values, x, state: model.step(nnx.merge(graph, values, copy=True), x, state))

    def run() -> np.ndarray:
        nonlocal state
        outputs, state = step(values, x, state)
        return np.asarray(outputs)

    return {"jit": run}
