"""A training step with `optax.adam`, compiled."""

import optax
from flax import nnx


def training_step(model, loss, learning_rate, clip_norm):
    adam = optax.adam(learning_rate, eps=1e-7)
    chain = adam if clip_norm is None else optax.chain(optax.clip_by_global_norm(clip_norm), adam)
    optimizer = nnx.Optimizer(model, chain, wrt=nnx.Param)

    @nnx.jit
    def update(model, optimizer, batch):
        value, gradients = nnx.value_and_grad(loss, argnums=nnx.DiffState(0, nnx.Param))(model, *batch)
        optimizer.update(model, gradients)
        return value

    return lambda *batch: update(model, optimizer, batch)
