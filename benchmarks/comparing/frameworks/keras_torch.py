"""Keras on torch: eager, with Keras' optimizer, as Keras' guide to loops of one's own has it."""

from __future__ import annotations

import keras
import torch

from benchmarks.comparing.frameworks import RATE
from benchmarks.comparing.frameworks.torch import control, device_peak, release, wait
from benchmarks.comparing.models import Model, Ways

__all__ = ["control", "device_peak", "forward", "release", "tensor", "training"]
tensor = keras.ops.convert_to_tensor


def forward(model: Model, x: torch.Tensor) -> Ways:
    def run() -> None:
        with torch.no_grad():
            model.outputs(model.layer, x)
        wait()

    return {"eager": run}


def training(model: Model, x: torch.Tensor, y: torch.Tensor) -> Ways:
    layer, optimizer = model.layer, keras.optimizers.Adam(RATE)
    optimizer.build(layer.trainable_variables)

    def run() -> None:
        layer.zero_grad()
        loss = torch.nn.functional.mse_loss(model.outputs(layer, x), y)
        loss.backward()
        pairs = [(v.value.grad, v) for v in layer.trainable_variables if v.value.grad is not None]
        with torch.no_grad():
            optimizer.apply_gradients(pairs)
        wait()

    return {"eager": run}
