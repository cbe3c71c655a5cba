"""Draft."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import ncps
from ncps.layers import CfC, CfCCell, Dense, MixedMemory

PAD = 32


def sequences(count, seed, events=True, pad=PAD):
    rng = np.random.RandomState(seed)
    bits, elapsed = np.zeros((count, pad, 1), np.float32), np.zeros((count, pad), np.float32)
    mask, parity = np.zeros((count, pad), bool), np.zeros((count, 1), np.float32)
    for i in range(count):
        stream = rng.randint(0, 2, rng.randint(2, pad))
        last = len(stream) - 1
        shown = np.arange(len(stream))
        if events:
            changes = np.flatnonzero(np.diff(stream)) + 1
            shown = np.unique([0, *changes, last])
        n = len(shown)
        bits[i, :n, 0], elapsed[i, :n], mask[i, :n] = stream[shown], np.diff(shown, prepend=-1) / PAD, True
        parity[i] = stream.sum() % 2
    return (bits, elapsed, mask), parity


class Parity(ncps.Model):
    """A recurrent layer that is told the elapsed times, and the logit of an odd number of ones."""

    def __init__(self, rnn):
        super().__init__()
        self.rnn, self.readout = rnn, Dense(1)

    def call(self, bits, timespans=None, mask=None, training=None):
        return self.readout(self.rnn(bits, timespans=timespans, mask=mask, training=training))
