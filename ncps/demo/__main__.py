"""Command line of the demo: see ``python -m ncps.demo --help``."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

import ncps
from ncps.demo import data, pictures
from ncps.demo.network import SEQUENCES, accuracy, make_network, predict, train
from ncps.saving import load, save
from ncps.wirings import AutoNCP

EPOCHS = 30
LEARNING_RATES = {"cfc": 0.01, "ltc": 0.02}


class Report(NamedTuple):
    """What a run of the demo found.

    Attributes:
        accuracy: share of the test series whose speaker is recognised.
        difference: largest absolute difference between the logits of this backend and of NumPy.
        losses: mean loss of every epoch.
        seconds: time for training.
    """

    accuracy: float
    difference: float
    losses: list[float]
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo as the command line says; the exit status."""
    options = parse(arguments)
    console = Console(highlight=False, soft_wrap=True)
    try:
        backend = ncps.get_backend()
    except (ImportError, RuntimeError, ValueError) as error:
        return failed(console, str(error))
    try:
        run(options, backend, console)
    except ncps.UnsupportedOperationError as error:
        return failed(console, str(error))
    return 0


def failed(console: Console, message: str) -> int:
    """Shows an error; the exit status for it."""
    console.print(f"Error: {message}", style="red", markup=False)
    return 1


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ncps.demo",
        description="Trains a liquid network to tell nine speakers apart (Japanese Vowels), then runs it on NumPy.",
    )
    parser.add_argument(
        "--cell", choices=sorted(SEQUENCES), default="cfc", help="kind of network (default: %(default)s)"
    )
    parser.add_argument("--units", type=int, default=96, help="neurons of the wiring (default: %(default)s)")
    parser.add_argument("--motor-neurons", type=int, default=24, help="how many give the output (default: %(default)s)")
    parser.add_argument(
        "--epochs", type=positive, default=EPOCHS, help="passes over the training data (default: %(default)s)"
    )
    parser.add_argument("--seed", type=natural, default=0, help="of weights, order and noise (default: %(default)s)")
    parser.add_argument("--series", type=positive, help="train and test with this many series only (default: all)")
    parser.add_argument(
        "--output", type=Path, default=Path("ncps-demo"), help="folder for files (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        AutoNCP(options.units, options.motor_neurons)
    except ValueError as error:
        parser.error(str(error))
    return options


def natural(text: str, least: int = 0) -> int:
    """A whole number from `least`, as argparse wants it."""
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, received {text}")
    return int(text)


def positive(text: str) -> int:
    """A whole number above 0."""
    return natural(text, 1)


def run(options: argparse.Namespace, backend: str, console: Console) -> Report:
    """Trains, tests, saves, and runs the result on NumPy.

    Raises:
        UnsupportedOperationError: the backend does not train.
    """
    training_set, test_set = data.load(options.series)
    ncps.set_seed(options.seed)
    network = make_network(options.cell, options.units, options.motor_neurons)
    title = f"{type(network.rnn).__name__} on {backend}"
    console.print(f"{title}: {network.count_params()} weights, {len(training_set.y)} series, {options.epochs} epochs")

    start = time.perf_counter()
    losses = train(network, training_set, options.epochs, LEARNING_RATES[options.cell], options.seed)
    seconds = time.perf_counter() - start
    logits = predict(network, test_set)
    reached = accuracy(logits, test_set)
    console.print(f"Test accuracy [bold]{reached:.1%}[/], trained in {seconds:.1f} s", highlight=True)

    options.output.mkdir(parents=True, exist_ok=True)
    model = options.output / "model.safetensors"
    save(network, model)
    console.print(f"Saved {model}", markup=False)
    draw(network, losses, reached, title, options.output, console)

    difference = float(np.abs(on_numpy(model, test_set) - logits).max())
    console.print(f"The same model on NumPy: the logits differ by {difference:.1e} at most")
    return Report(reached, difference, losses, seconds)


def draw(network: Any, losses: list[float], reached: float, title: str, folder: Path, console: Console) -> None:
    """Saves the pictures, or says what is missing for them."""
    wiring, curve = folder / "wiring.png", folder / "training.png"
    try:
        pictures.save_wiring(network.rnn.cell.wiring, wiring)
        pictures.save_curve(losses, reached, title, curve)
    except ImportError as error:
        console.print(f"No pictures: {error}", markup=False)
        return
    console.print(f"Saved {wiring} and {curve}", markup=False)


def on_numpy(model: Path, series: data.Series) -> np.ndarray:
    """Logits of the saved model under NumPy."""
    with ncps.backend_scope("numpy"):
        return predict(load(model), series)


if __name__ == "__main__":
    # Torch would share products of 30 rows among all cores and wait for the slowest each time: ten times the work.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
