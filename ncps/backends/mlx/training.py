"""A training step with `mlx.optimizers.Adam`, compiled."""

import mlx.core as mx
from mlx import nn, optimizers

from ncps.backends.mlx.ops import tensor


def training_step(model, loss, learning_rate, clip_norm):
    optimizer = optimizers.Adam(learning_rate, eps=1e-7, bias_correction=True)
    optimizer.init(model.trainable_parameters())
    state = [model.state, optimizer.state, mx.random.state]
    gradient = nn.value_and_grad(model, loss)

    def update(*batch):
        value, gradients = gradient(model, *batch)
        if clip_norm is not None:
            gradients, _ = optimizers.clip_grad_norm(gradients, clip_norm)
        optimizer.update(model, gradients)
        return value

    compiled = mx.compile(update, inputs=state, outputs=state)

    def step(*batch):
        value = compiled(*(tensor(x) for x in batch))
        mx.eval(value, state)
        return value

    return step
