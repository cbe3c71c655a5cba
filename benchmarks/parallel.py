"""What a step of the parallel layer costs as sequences grow, forward alone and with the gradients of all weights.

Run with ``python -m benchmarks.parallel [backend ...]``; without names, all that have gradients.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import ncps
from ncps import ops
from ncps.backend import NCPSBackend, backend_scope
from ncps.layers import LinOSS

LENGTHS = (64, 512, 4096, 32_768, 100_000)
UNITS = 16
ROUNDS = 5
TRAINING = ("torch", "jax", "mlx", "tensorflow")


def median_seconds(run: Callable[[], Any]) -> float:
    """Median time of a call, after one that compiles."""
    run()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def loss(layer: Any, x: Any) -> Any:
    """Any scalar of all outputs."""
    return ops.mean(ops.square(layer(x)))


def row(backend: str, steps: int, parallel: bool) -> tuple[float, float]:
    """Microseconds per step: outputs as NumPy arrays, and a step of training."""
    x = np.random.default_rng(0).normal(size=(1, steps, 2)).astype(np.float32)
    with backend_scope(backend):
        layer = LinOSS(UNITS, return_sequences=True, input_size=2, parallel=parallel)
        tensor, step = ops.convert_to_tensor(x), ncps.training_step(layer, loss)
        forward = median_seconds(lambda: ops.convert_to_numpy(layer(tensor)))
        training = median_seconds(lambda: float(step(tensor)))
    return 1e6 * forward / steps, 1e6 * training / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backends", nargs="*")
    names = parser.parse_args().backends or [b for b in TRAINING if b in NCPSBackend.available_backends()]
    table = Table("backend", "form", "steps", "forward, µs per step", "training, µs per step")
    for backend in names:
        for parallel, steps in [(False, LENGTHS[0]), (False, LENGTHS[1]), *((True, steps) for steps in LENGTHS)]:
            forward, training = row(backend, steps, parallel)
            table.add_row(
                backend, "at once" if parallel else "in turn", f"{steps:,}", f"{forward:.2f}", f"{training:.2f}"
            )
    Console().print(table)


if __name__ == "__main__":
    main()
