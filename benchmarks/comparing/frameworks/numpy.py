"""NumPy: it predicts."""

from __future__ import annotations

import gc as gc
from typing import Any

import numpy as np

from benchmarks.comparing.models import Model, Step, Ways

tensor = np.asarray
release = gc.collect


def device_peak() -> float:
    raise NotImplementedError("NumPy runs on the CPU.")


def forward(model: Model, x: np.ndarray) -> Ways:
    return {"eager": lambda: model.outputs(model.layer, x)}


def training(model: Model, x: np.ndarray, y: np.ndarray) -> Ways:
    raise NotImplementedError("NumPy does not train.")


def control(model: Model, step: Step, x: np.ndarray) -> Ways:
    state: Any = None

    def run() -> None:
        nonlocal state
        _, state = step(model.layer, x, state)

    return {"eager": run}
