"""torch: eager, as most of its users write it."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import torch

from benchmarks.comparing.frameworks import ON_GPU, RATE
from benchmarks.comparing.models import Model, Step, Ways

DEVICE = ("cuda" if torch.cuda.is_available() else "mps") if ON_GPU else "cpu"


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).to(DEVICE)


def release() -> None:
    gc.collect()
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def device_peak() -> float:
    return torch.cuda.max_memory_allocated() if DEVICE == "cuda" else torch.mps.driver_allocated_memory()


def wait() -> None:
    if ON_GPU:
        getattr(torch, DEVICE).synchronize()


def forward(model: Model, x: torch.Tensor) -> Ways:
    layer = model.layer.to(DEVICE)

    def run() -> None:
        with torch.no_grad():
            model.outputs(layer, x)
        wait()

    return {"eager": run}


def training(model: Model, x: torch.Tensor, y: torch.Tensor) -> Ways:
    layer = model.layer.to(DEVICE)
    optimizer = torch.optim.Adam(layer.parameters(), lr=RATE)

    def run() -> None:
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model.outputs(layer, x), y)
        loss.backward()
        optimizer.step()
        wait()

    return {"eager": run}


def control(model: Model, step: Step, x: torch.Tensor) -> Ways:
    layer, state = model.layer.to(DEVICE), None

    def run() -> Any:
        nonlocal state
        with torch.no_grad():
            outputs, state = step(layer, x, state)
        return outputs.cpu().numpy()

    return {"eager": run}
