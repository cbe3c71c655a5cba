"""Small models and data, the same on every backend."""

import os

import numpy as np

import ncps
from ncps.backend import NCPSBackend
from ncps.layers import CfC, Dense, Layer

TRAINING = ("torch", "jax", "mlx", "tensorflow", "keras")


def can_train(backend):
    if backend not in NCPSBackend.available_backends():
        return False
    return backend != "numpy" and not (backend == "keras" and os.environ["KERAS_BACKEND"] == "numpy")


class Irregular(ncps.Model):
    """A network over irregular series, with padding."""

    def __init__(self, units=5, outputs=1, sequences=False, **options):
        super().__init__(**options)
        self.units, self.outputs, self.sequences = units, outputs, sequences
        self.rnn = CfC(units, backbone_units=6, return_sequences=sequences)
        self.readout = Dense(outputs)

    def call(self, series, timespans=None, mask=None):
        return self.readout(self.rnn(series, timespans=timespans, mask=mask))


ncps.register_serializable("tests.models")(Irregular)


def sequential(outputs=1, sequences=False):
    return ncps.Sequential([CfC(5, backbone_units=6, return_sequences=sequences), Dense(outputs)])


@ncps.register_serializable("tests.models")
class Flat(Layer):
    """The last step of series."""

    def call(self, inputs):
        return inputs[:, -1]

    def compute_output_shape(self, input_shape):
        return input_shape[0], input_shape[-1]


def plain():
    """A model that every framework compiles in no time, for what concerns the loop and not the layers."""
    return ncps.Sequential([Flat(), Dense(1)])


RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(24, 4, 3)).astype(np.float32)
ELAPSED = RNG.uniform(0.1, 1.5, size=(24, 4)).astype(np.float32)
MASK = np.arange(4) < RNG.integers(1, 5, size=24)[:, None]
TARGETS = SERIES[:, -1].sum(-1, keepdims=True)
STEPS = SERIES.sum(-1, keepdims=True)
CLASSES = (SERIES[:, -1].sum(-1) > 0).astype(np.int32) + (SERIES[:, 0, 0] > 0.5)
