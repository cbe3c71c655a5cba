"""What `fit` costs: an epoch through it against a hand-written loop of the framework with the same step.

    python -m benchmarks.fit [torch jax mlx tensorflow]

Both train a model of the same size on the same batches, epoch by epoch in turn; the ratio of the medians is the result.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

import ncps
from ncps.backend import backend_scope
from ncps.layers import LTC, CfC, Dense
from ncps.wirings import AutoNCP

SAMPLES, BATCH, STEPS, FEATURES = 1024, 32, 20, 8
EPOCHS = 9
RNG = np.random.default_rng(0)
X = RNG.normal(size=(SAMPLES, STEPS, FEATURES)).astype(np.float32)
Y = X[:, -1, :1].copy()
MODELS = {
    "CfC(32)": lambda: ncps.Sequential([CfC(32), Dense(1)]),
    "LTC(AutoNCP(16, 4))": lambda: ncps.Sequential([LTC(AutoNCP(16, 4)), Dense(1)]),
}
Epoch = Callable[[], float]


def main(backends: list[str]) -> None:
    """Measures and prints."""
    print(f"{'backend':12}{'model':22}{'fit, ms an epoch':>18}{'own loop, ms':>14}{'ratio':>8}")
    for backend in backends:
        for name, make in MODELS.items():
            with backend_scope(backend):
                ours, own = fitted(make), OWN[backend](make)
                times: dict[Epoch, list[float]] = {ours: [], own: []}
                for epoch in range(EPOCHS):
                    for run in (ours, own) if epoch % 2 else (own, ours):
                        seconds = run()
                        if epoch > 0:
                            times[run].append(seconds)
            a, b = (1e3 * float(np.median(times[run])) for run in (ours, own))
            print(f"{backend:12}{name:22}{a:18.1f}{b:14.1f}{a / b:8.3f}", flush=True)


def timed(run: Callable[[], None]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def fitted(make: Callable[[], ncps.Model]) -> Epoch:
    """An epoch through `fit`."""
    ncps.set_seed(0)
    model = make()
    model.compile(ncps.optimizers.Adam(1e-3), "mse")
    return lambda: timed(lambda: model.fit(X, Y, batch_size=BATCH, verbose=0))


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    """The batches of an epoch, in a random order of the samples."""
    order = RNG.permutation(SAMPLES)
    return [(X[rows], Y[rows]) for rows in np.split(order, SAMPLES // BATCH)]


def own_torch(make: Callable[[], ncps.Model]) -> Epoch:
    """An epoch as users of torch write it."""
    import torch

    model = make()
    model(torch.tensor(X[:1]))
    optimizer = torch.optim.Adam(model.parameters(), eps=1e-7)

    def epoch() -> None:
        total = 0.0
        for x, y in batches():
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(torch.as_tensor(x)), torch.as_tensor(y))
            loss.backward()
            optimizer.step()
            total += loss.item()

    return lambda: timed(epoch)


def own_jax(make: Callable[[], ncps.Model]) -> Epoch:
    """An epoch as users of flax write it."""
    import jax.numpy as jnp
    import optax
    from flax import nnx

    model = make()
    model(X[:1])
    optimizer = nnx.Optimizer(model, optax.adam(1e-3, eps=1e-7), wrt=nnx.Param)

    @nnx.jit
    def step(model: ncps.Model, optimizer: nnx.Optimizer, x: jnp.ndarray, y: jnp.ndarray) -> jnp.ndarray:
        loss, gradients = nnx.value_and_grad(lambda model: jnp.mean((model(x) - y) ** 2))(model)
        optimizer.update(model, gradients)
        return loss

    def epoch() -> None:
        total = jnp.zeros(())
        for x, y in batches():
            total += step(model, optimizer, x, y)
        total.block_until_ready()

    return lambda: timed(epoch)


def own_mlx(make: Callable[[], ncps.Model]) -> Epoch:
    """An epoch as users of mlx write it."""
    import mlx.core as mx
    import mlx.nn as nn
    import mlx.optimizers as optim

    model = make()
    model(mx.array(X[:1]))
    optimizer = optim.Adam(1e-3, eps=1e-7, bias_correction=True)
    optimizer.init(model.trainable_parameters())
    gradient = nn.value_and_grad(model, lambda model, x, y: nn.losses.mse_loss(model(x), y))
    state = [model.state, optimizer.state]

    def update(x: mx.array, y: mx.array) -> mx.array:
        loss, gradients = gradient(model, x, y)
        optimizer.update(model, gradients)
        return loss

    step = mx.compile(update, inputs=state, outputs=state)

    def epoch() -> None:
        total = 0.0
        for x, y in batches():
            loss = step(mx.array(x), mx.array(y))
            mx.eval(loss, state)
            total += loss.item()

    return lambda: timed(epoch)


def own_tensorflow(make: Callable[[], ncps.Model]) -> Epoch:
    """An epoch as users of TensorFlow write it."""
    import tensorflow as tf

    model = make()
    model(X[:1])
    optimizer = tf.compat.v1.train.AdamOptimizer(1e-3, epsilon=1e-7)

    @tf.function(autograph=False)
    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x) - y) ** 2)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def epoch() -> None:
        total = 0.0
        for x, y in batches():
            total += float(step(tf.constant(x), tf.constant(y)))

    return lambda: timed(epoch)


OWN = {"torch": own_torch, "jax": own_jax, "mlx": own_mlx, "tensorflow": own_tensorflow}

if __name__ == "__main__":
    main(sys.argv[1:] or list(OWN))
