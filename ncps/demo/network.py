"""The network of the demo, its loss and its training: one code for all backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ncps import ops
from ncps.backend import backend_scope
from ncps.demo.data import FEATURES, SPEAKERS, Series, batches
from ncps.layers import LTC, CfC, Dense, Layer
from ncps.training import training_step
from ncps.wirings import AutoNCP

SEQUENCES = {"cfc": CfC, "ltc": LTC}
BATCH = 30
NOISE = 0.3  # standard deviation of what is added to the features: 270 series are few
SMOOTHING = 0.1  # share of the target that all speakers have
AVERAGED = 0.98  # the final weights are a moving average with this decay: the last few steps' noise cancels out


class SpeakerNetwork(Layer):
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

    def __init__(self, cell: str = "cfc", units: int = 64, motor_neurons: int = 16, **options: Any) -> None:
        super().__init__(**options)
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


def cross_entropy(network: Any, x: Any, mask: Any, targets: Any) -> Any:
    """Mean over the batch of -Σ target log p."""
    return -ops.mean(ops.sum(targets * ops.log_softmax(network(x, mask=mask)), axis=-1))


def train(
    network: Any, series: Series, epochs: int, learning_rate: float, seed: int, after_epoch: Callable[[float], None]
) -> None:
    """Trains the network; its weights in the end are the average of those of the last steps.

    Args:
        network: a built network.
        series: what it learns.
        epochs: passes over all series.
        learning_rate: of Adam.
        seed: of the order of the series and the noise.
        after_epoch: called with the mean loss of every epoch.
    """
    step = training_step(network, cross_entropy, learning_rate, clip_norm=1.0)
    generator = np.random.default_rng(seed)
    smooth = ((1 - SMOOTHING) * np.eye(SPEAKERS) + SMOOTHING / SPEAKERS).astype(np.float32)
    average, steps = network.get_weights(), 0
    for _ in range(epochs):
        losses = []
        for x, mask, y in batches(series, BATCH, generator):
            noise = generator.standard_normal(x.shape, np.float32)
            losses.append(float(step(x + np.float32(NOISE) * noise, mask, smooth[y])))
            steps += 1
            decay = min(AVERAGED, steps / (steps + 10))  # the first weights shall soon be forgotten
            average = [decay * a + (1 - decay) * w for a, w in zip(average, network.get_weights(), strict=True)]
        after_epoch(float(np.mean(losses)))
    network.set_weights(average)


def predict(network: Any, series: Series) -> np.ndarray:
    """Logits (B, 9) of all series, in one batch."""
    logits = network(series.x, mask=series.mask)
    with backend_scope(network.bound_to):
        return np.asarray(ops.convert_to_numpy(logits))


def accuracy(logits: np.ndarray, series: Series) -> float:
    """Share of the series whose speaker is recognised."""
    return float((logits.argmax(axis=-1) == series.y).mean())
