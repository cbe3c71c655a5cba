"""The network of the demo, its loss and its training: one code for all backends."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ncps.callbacks import AverageWeights
from ncps.demo.data import FEATURES, SPEAKERS, Series, batches
from ncps.layers import LTC, CfC, Dense
from ncps.losses import CategoricalCrossentropy
from ncps.models import Model
from ncps.optimizers import Adam
from ncps.serialization import register_serializable
from ncps.wirings import AutoNCP

SEQUENCES = {"cfc": CfC, "ltc": LTC}
BATCH = 30
NOISE = 0.5  # standard deviation of what is added to the features: 270 series are few
SMOOTHING = 0.1  # share of the target that all speakers have
AVERAGED = 0.98  # the final weights are a moving average with this decay: the last few steps' noise cancels out


@register_serializable("ncps.demo")
class SpeakerNetwork(Model):
    """A liquid network over the frames and a linear readout of its state after the last.

    Args:
        cell: ``"cfc"`` or ``"ltc"``.
        units: neurons of the wiring.
        motor_neurons: how many of them the readout sees.
        options: `input_size`, `name`, `dtype`.

    Example:
        >>> SpeakerNetwork("cfc", units=12, motor_neurons=4)(np.zeros((5, 29, 12), "float32")).shape
        (5, 9)
    """

    def __init__(self, cell: str = "cfc", units: int = 96, motor_neurons: int = 24, **options: Any) -> None:
        super().__init__(**options)
        self.cell, self.units, self.motor_neurons = cell, units, motor_neurons
        self.rnn = SEQUENCES[cell](AutoNCP(units, motor_neurons))
        self.readout = Dense(SPEAKERS)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Logits (B, 9) of series (B, T, F) with a mask (B, T)."""
        return self.readout(self.rnn(inputs, mask=mask))


def make_network(cell: str, units: int, motor_neurons: int) -> SpeakerNetwork:
    """A network on the active backend that is built."""
    network = SpeakerNetwork(cell, units, motor_neurons)
    network(np.zeros((1, 1, FEATURES), np.float32), mask=np.ones((1, 1), bool))
    return network


def train(
    network: SpeakerNetwork, series: Series, epochs: int, learning_rate: float, seed: int, callbacks: Iterable[Any] = ()
) -> list[float]:
    """Trains the network with Adam and smoothed targets; its weights in the end are an average of the last steps'.

    Args:
        network: a built network.
        series: what it learns.
        epochs: passes over all series.
        learning_rate: of Adam.
        seed: of the order of the series and the noise.
        callbacks: for `fit`.

    Returns:
        The mean loss of every epoch.
    """
    network.compile(
        Adam(learning_rate, global_clipnorm=1.0),
        CategoricalCrossentropy(from_logits=True, label_smoothing=SMOOTHING),
        metrics=["accuracy"],
    )
    history = network.fit(
        noisy_batches(series, np.random.default_rng(seed)),
        epochs=epochs,
        steps_per_epoch=-(-len(series.y) // BATCH),
        callbacks=[AverageWeights(AVERAGED), *callbacks],
        verbose="auto" if sys.stdout.isatty() else 0,  # Keras shows its bar to files too
    )
    return history.history["loss"]


def noisy_batches(series: Series, generator: np.random.Generator) -> Iterator[tuple[Any, np.ndarray]]:
    """Batches of inputs with noise, masks and one-hot targets, without end."""
    targets = np.eye(SPEAKERS, dtype=np.float32)
    while True:
        for x, mask, y in batches(series, BATCH, generator):
            noise = np.float32(NOISE) * generator.standard_normal(x.shape, np.float32)
            yield (x + noise, mask), targets[y]


def predict(network: SpeakerNetwork, series: Series) -> np.ndarray:
    """Logits (B, 9) of all series, in one batch."""
    return network.predict_on_batch((series.x, series.mask))


def accuracy(logits: np.ndarray, series: Series) -> float:
    """Share of the series whose speaker is recognised."""
    return float((logits.argmax(axis=-1) == series.y).mean())
