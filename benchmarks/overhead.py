"""What ncps costs on top of a framework: its import, one op, one layer call.

Run with ``python -m benchmarks.overhead [backend ...]``; without names, all that are installed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ncps.backend import NCPSBackend

IMPORT_LIMIT = 0.15  # seconds
OP_LIMIT = 0.3  # microseconds
PROCESSES = 11
ROUNDS = 301
IN_ROUND = 200
SHAPE = (4, 8)

# Framework's module, the names of its functions there, and how its tensors are made.
FRAMEWORKS = {
    "numpy": ("numpy", {"tanh": "tanh", "add": "add"}, "asarray"),
    "torch": ("torch", {"tanh": "tanh", "add": "add"}, "as_tensor"),
    "jax": ("jax.numpy", {"tanh": "tanh", "add": "add"}, "asarray"),
    "mlx": ("mlx.core", {"tanh": "tanh", "add": "add"}, "array"),
    "tensorflow": ("tensorflow", {"tanh": "tanh", "add": "add"}, "constant"),
    "keras": ("keras.ops", {"tanh": "tanh", "add": "add"}, "convert_to_tensor"),
}


def environment() -> dict[str, str]:
    """Ours, without settings of BLAS: NumPy is to start as it does for users."""
    return {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}


def import_times() -> dict[str, float]:
    """Median wall time in seconds of a process that runs a line and ends; the lines take turns."""
    lines = ("pass", "import numpy", "import ncps")
    times: dict[str, list[float]] = {line: [] for line in lines}
    for _ in range(PROCESSES):
        for line in lines:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", line], env=environment(), check=True)
            times[line].append(time.perf_counter() - start)
    return {line: statistics.median(seconds) for line, seconds in times.items()}


def pair(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float]:
    """Median microseconds of two calls that take turns, so that both see the same state of the machine."""
    times: tuple[list[float], list[float]] = ([], [])
    for call in (ours, theirs):
        for _ in range(IN_ROUND):
            call()
    for round_ in range(ROUNDS):
        order = (0, 1) if round_ % 2 else (1, 0)
        for i in order:
            call = (ours, theirs)[i]
            start = time.perf_counter_ns()
            for _ in range(IN_ROUND):
                call()
            times[i].append((time.perf_counter_ns() - start) / IN_ROUND / 1000)
    return statistics.median(times[0]), statistics.median(times[1])


def native_linear(backend: str, kernel: np.ndarray) -> Callable[[Any], Any]:
    """The framework's own linear layer of the same size; where it has none, its function."""
    features, units = kernel.shape
    if backend == "torch":
        import torch

        return torch.nn.Linear(features, units)
    if backend == "jax":
        from flax import nnx

        return nnx.Linear(features, units, rngs=nnx.Rngs(0))
    if backend == "mlx":
        from mlx import nn

        return nn.Linear(features, units)
    if backend == "keras":
        import keras

        return keras.layers.Dense(units)
    if backend == "tensorflow":
        import tensorflow as tf

        weight, bias = tf.Variable(kernel), tf.Variable(kernel[0])
        return lambda x: tf.matmul(x, weight) + bias
    return lambda x: x @ kernel + kernel[0]


def measure(backend: str) -> list[tuple[str, float, float]]:
    """Name, our and the framework's microseconds of ops and of a layer, in this process."""
    import ncps
    from ncps import layers, ops

    ncps.set_backend(backend)
    module_name, functions, make = FRAMEWORKS[backend]
    module = importlib.import_module(module_name)
    array = np.full(SHAPE, 0.5, np.float32)
    x = getattr(module, make)(array)
    tanh, add = (getattr(module, functions[name]) for name in ("tanh", "add"))
    rows = [
        ("tanh(x)", *pair(lambda: ops.tanh(x), lambda: tanh(x))),
        ("add(x, x)", *pair(lambda: ops.add(x, x), lambda: add(x, x))),
    ]
    dense, linear = (
        layers.Dense(SHAPE[1], input_size=SHAPE[1]),
        native_linear(backend, np.eye(SHAPE[1], dtype="float32")),
    )
    rows.append(("Dense(x)", *pair(lambda: dense(x), lambda: linear(x))))
    return rows


def in_process(backend: str) -> list[tuple[str, float, float]] | str:
    """`measure` in a process of its own, so that frameworks do not disturb one another; or why it failed."""
    line = f"import json; from benchmarks.overhead import measure; print('\\n>' + json.dumps(measure({backend!r})))"
    quiet = environment() | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", line], env=quiet, capture_output=True, text=True, check=False)
    for printed in done.stdout.splitlines():
        if printed.startswith(">"):
            return json.loads(printed[1:])
    return (done.stderr.strip().splitlines() or ["no output"])[-1]


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead", description=__doc__.split("\n", maxsplit=1)[0]
    )
    available = [name for name in NCPSBackend.available_backends() if name in FRAMEWORKS]
    parser.add_argument("backends", nargs="*", default=available, help="backends (default: all that are installed)")
    backends = parser.parse_args().backends
    console = Console()

    imports = Table("process", "seconds", "beyond the line before", title=f"Import, median of {PROCESSES} processes")
    before = 0.0
    times = import_times()
    for line, seconds in times.items():
        imports.add_row(f'python -c "{line}"', f"{seconds:.3f}", f"{seconds - before:.3f}")
        before = seconds
    console.print(imports)
    own = times["import ncps"] - times["pass"]
    console.print(
        f"import ncps: {own:.3f} s (limit {IMPORT_LIMIT} s): {'kept' if own < IMPORT_LIMIT else 'EXCEEDED'}\n"
    )

    calls = Table(
        "backend", "call", "ncps", "framework", "more", "limit", title=f"Microseconds, median of {ROUNDS} rounds"
    )
    for backend in backends:
        rows = in_process(backend)
        if isinstance(rows, str):
            calls.add_row(backend, f"failed: {rows}")
            continue
        for name, ours, theirs in rows:
            more, is_op = ours - theirs, not name.startswith("Dense")
            verdict = ("kept" if more < OP_LIMIT else "EXCEEDED") if is_op else ""
            calls.add_row(backend, name, f"{ours:.2f}", f"{theirs:.2f}", f"{more:+.2f}", verdict)
    console.print(calls)


if __name__ == "__main__":
    main()
