"""Steering a robot by its lidar, as ncps 1.0.1 prepared it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ncps.datasets.utils import not_downloaded

URL = "https://github.com/mlech26l/icra_lds/raw/master/icra2020_imitation_data_packed.npz"
RECORDINGS = 29
FOR_TESTS = 7  # about a quarter

Pairs = list[tuple[np.ndarray, np.ndarray]]


def load_data(local_path: str | None = None, seq_len: int = 32) -> tuple[Any, Any]:
    """Sequences of distances (N, seq_len, F, 1) and steering commands (N, seq_len, 1), for training and for tests.

    Every recording is there twice, as it was and mirrored.

    Args:
        local_path: the file; by default ``datasets/icra2020_imitation_data_packed.npz``.
        seq_len: steps in a sequence.

    Raises:
        FileNotFoundError: it is not there; the message says where it comes from.
    """
    path = Path(local_path or "datasets/icra2020_imitation_data_packed.npz")
    if not path.is_file():
        raise not_downloaded(URL, f"put it at {str(path)!r}")
    with np.load(path, allow_pickle=False) as content:
        recordings = [(content[f"x_{i}"], content[f"y_{i}"]) for i in range(RECORDINGS)]
    np.random.default_rng(20200822).shuffle(recordings)
    parts = recordings[FOR_TESTS:], recordings[:FOR_TESTS]
    train, test = (in_sequences(with_mirrored(part), seq_len) for part in parts)
    return train, test


def with_mirrored(recordings: Pairs) -> Pairs:
    """Every recording, and its mirror image."""
    return [pair for x, y in recordings for pair in ((x, y), (x[:, ::-1], -y))]


def in_sequences(recordings: Pairs, seq_len: int) -> tuple[np.ndarray, np.ndarray]:
    """Sequences that overlap by half."""
    pieces = [
        (x[i : i + seq_len], y[i : i + seq_len])
        for x, y in recordings
        for i in range(0, len(x) - seq_len, seq_len // 2)
    ]
    xs, ys = zip(*pieces, strict=True)
    return np.stack(xs)[..., None], np.stack(ys)[..., None]
