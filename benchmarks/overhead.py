"""What ncps costs on top of a framework: its import, one op, one layer call, one step of `fit`.

Run with ``python -m benchmarks.overhead [backend ...] [--device gpu]``; without names, all that are installed. The step
of `fit` is that of a model which computes next to nothing, beside the same step in a loop of the framework.
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

from benchmarks import fit
from benchmarks.comparing.sides import CPU_ONLY
from ncps.backend import NCPSBackend
from ncps.layers import Layer
from ncps.models import Model

IMPORT_LIMIT = 0.15  # seconds
OP_LIMIT = 0.3  # microseconds
PROCESSES = 11
ROUNDS = 301
IN_ROUND = 200
SHAPE = (4, 8)
EPOCHS = 31
STEPS = fit.SAMPLES // fit.BATCH  # of an epoch

# Framework's module, the names of its functions there, and how its tensors are made.
OPS = ("tanh(x)", "add(x, x)")
FRAMEWORKS = {
    "numpy": ("numpy", {"tanh": "tanh", "add": "add"}, "asarray"),
    "torch": ("torch", {"tanh": "tanh", "add": "add"}, "as_tensor"),
    "jax": ("jax.numpy", {"tanh": "tanh", "add": "add"}, "asarray"),
    "mlx": ("mlx.core", {"tanh": "tanh", "add": "add"}, "array"),
    "tensorflow": ("tensorflow", {"tanh": "tanh", "add": "add"}, "constant"),
    "keras": ("keras.ops", {"tanh": "tanh", "add": "add"}, "convert_to_tensor"),
}


class Scale(Layer):
    """Next to nothing: a feature of the last step, times a weight."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.factor = self.add_weight("factor", (1,), "ones")

    def call(self, inputs: Any) -> Any:
        return inputs[:, -1, :1] * self.factor


def environment(device: str = "cpu") -> dict[str, str]:
    """Ours, without settings of BLAS: NumPy is to start as it does for users."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
    return kept | (CPU_ONLY if device == "cpu" else {})


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


class Empty(Model):
    """A model whose steps cost what training costs in any case."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = Scale()

    def call(self, inputs: Any) -> Any:
        return self.scale(inputs)


def keras_fit(_: Callable[[], Model]) -> fit.Epoch:
    """Under keras, `fit` is Keras' own: beside it, that of a layer which is written for Keras alone."""
    import keras

    class OwnScale(keras.layers.Layer):
        def build(self, _: Any) -> None:
            self.factor = self.add_weight(name="factor", shape=(1,), initializer="ones")

        def call(self, inputs: Any) -> Any:
            return inputs[:, -1, :1] * self.factor

    model = keras.Sequential([OwnScale()])
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    return lambda: fit.timed(lambda: model.fit(fit.X, fit.Y, batch_size=fit.BATCH, verbose=0))


LOOPS = {**fit.OWN, "keras": keras_fit}


def steps_of_fit(backend: str) -> tuple[float, float]:
    """Median microseconds of a step of `fit` and of the framework's own, epoch by epoch in turn."""
    epochs = fit.fitted(Empty), LOOPS[backend](Empty)
    for epoch in epochs:
        epoch()  # compiles
    times: tuple[list[float], list[float]] = ([], [])
    for round_ in range(EPOCHS):
        for i in (0, 1) if round_ % 2 else (1, 0):
            times[i].append(1e6 * epochs[i]() / STEPS)
    return statistics.median(times[0]), statistics.median(times[1])


def use_accelerator(backend: str) -> None:
    """Makes the accelerator the default of frameworks that do not take it by themselves."""
    if backend == "torch":
        import torch

        torch.set_default_device("cuda" if torch.cuda.is_available() else "mps")
    if backend == "mlx":
        import mlx.core as mx

        mx.set_default_device(mx.gpu)


def measure(backend: str, device: str = "cpu") -> list[tuple[str, float, float]]:
    """Name, our and the framework's microseconds of ops, of a layer and of a step of `fit`, in this process."""
    import ncps
    from ncps import layers, ops

    ncps.set_backend(backend)
    if device == "gpu":
        use_accelerator(backend)
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
    if backend in LOOPS:
        rows.append(("a step of fit", *steps_of_fit(backend)))
    return rows


def in_process(backend: str, device: str) -> list[tuple[str, float, float]] | str:
    """`measure` in a process of its own, so that frameworks do not disturb one another; or why it failed."""
    call = f"measure({backend!r}, {device!r})"
    line = f"import json; from benchmarks.overhead import measure; print('\\n>' + json.dumps({call}))"
    quiet = environment(device) | {"TF_CPP_MIN_LOG_LEVEL": "3"}
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
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    args = parser.parse_args()
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
    for backend in args.backends:
        rows = in_process(backend, args.device)
        if isinstance(rows, str):
            calls.add_row(backend, f"failed: {rows}")
            continue
        for name, ours, theirs in rows:
            more, is_op = ours - theirs, name in OPS
            verdict = ("kept" if more < OP_LIMIT else "EXCEEDED") if is_op else ""
            calls.add_row(backend, name, f"{ours:.2f}", f"{theirs:.2f}", f"{more:+.2f}", verdict)
    console.print(calls)


if __name__ == "__main__":
    main()
