"""The Japanese Vowels data: who of nine speakers says /ae/? See ``ncps/data/README.md``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

FILE = Path(__file__).parents[1] / "data" / "japanese_vowels.npz"
FEATURES = 12
FRAMES = 29  # of the longest series
SPEAKERS = 9


class Series(NamedTuple):
    """Series of one length.

    Attributes:
        x: (B, T, F) float32, zeros where there is no frame.
        mask: (B, T), true where there is one.
        y: (B,), the speaker.
    """

    x: np.ndarray
    mask: np.ndarray
    y: np.ndarray

    def take(self, index: np.ndarray) -> Series:
        """The series at these places."""
        return Series(*(array[index] for array in self))


def load(count: int | None = None) -> tuple[Series, Series]:
    """The series to train with and those to test with, standardised with the statistics of the former.

    Args:
        count: takes this many of each, spread over the speakers; None takes all.

    Example:
        >>> train, test = load()
        >>> train.x.shape, test.x.shape
        ((270, 29, 12), (370, 29, 12))
    """
    with np.load(FILE) as arrays:
        data = {name: arrays[name] for name in arrays.files}
    mean, std = data["x_train"].mean(axis=0), data["x_train"].std(axis=0)
    parts = [
        padded((data[f"x_{part}"] - mean) / std, data[f"length_{part}"], data[f"y_{part}"])
        for part in ("train", "test")
    ]
    if count is not None:
        parts = [part.take(np.linspace(0, len(part.y) - 1, count).astype(int)) for part in parts]
    return parts[0], parts[1]


def padded(frames: np.ndarray, lengths: np.ndarray, y: np.ndarray) -> Series:
    """Frames of many series, end to end, as series of one length with a mask."""
    mask = np.arange(FRAMES) < lengths.astype(int)[:, None]
    x = np.zeros((*mask.shape, FEATURES), np.float32)
    x[mask] = frames
    return Series(x, mask, y.astype(np.int32))


def batches(series: Series, size: int, generator: np.random.Generator) -> Iterator[Series]:
    """All series in random order, in batches of one shape, so that compilers compile once.

    The last batch is filled up with series of the first.
    """
    order = generator.permutation(len(series.y))
    count = -(-len(order) // size)
    for index in np.resize(order, (count, size)):
        yield series.take(index)
