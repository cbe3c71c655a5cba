"""A training step with `torch.optim.Adam`."""

import torch

from ncps.backends.torch.ops import tensor


def training_step(model, loss, learning_rate, clip_norm):
    optimizer = torch.optim.Adam(model.parameters(), learning_rate, eps=1e-7)

    def step(*batch):
        optimizer.zero_grad()
        value = loss(model, *(tensor(x) for x in batch))
        value.backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        return value.detach()

    return step
