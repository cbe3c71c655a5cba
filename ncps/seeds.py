"""Initial weights that are the same on every backend: drawn in NumPy, each from a generator of its own."""

from __future__ import annotations

import itertools
import secrets
import zlib
from typing import Any

import numpy as np

from ncps.backend import NCPSBackend


class _Seeds:
    """Seed of the process, and the number of layers made since it was set."""

    def __init__(self) -> None:
        self.given: int | None = None
        self.value = secrets.randbits(64)  # nobody set one: every process draws its own
        self.layers = itertools.count()


_seeds = _Seeds()


def set_seed(seed: Any) -> None:
    """Makes all that follows repeatable: the weights of the layers made from now on, and random ops.

    The same seed gives the same weights on every backend; draws of `ncps.ops.random` are each framework's own.

    Args:
        seed: an integer from 0.

    Raises:
        ValueError: `seed` is no such integer.

    Example:
        >>> import ncps
        >>> ncps.set_seed(0)
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not seed >= 0:
        raise ValueError(f"Expected an integer from 0. Received: seed={seed!r}. Give a whole number, such as 0.")
    _seeds.given = _seeds.value = int(seed)
    _seeds.layers = itertools.count()
    for ops in NCPSBackend.loaded_ops():
        ops["random_set_seed"](_seeds.given)


def given_seed() -> int | None:
    """The seed that the user set, for backends that are loaded later."""
    return _seeds.given


def next_layer_index() -> int:
    """How many layers were made before this one."""
    return next(_seeds.layers)


def generator_for(layer_index: int, weight: str) -> np.random.Generator:
    """The generator of one weight: it depends on nothing that is built before or after.

    Args:
        layer_index: the layer's place in the order of creation.
        weight: the weight's name in the layer.
    """
    return np.random.default_rng([_seeds.value, layer_index, zlib.crc32(weight.encode())])
