"""The weights of a cell in the arrangement of ncps 1.0.1, and back."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ncps.checkpoints.dialects import KERAS, TORCH, Dialect
from ncps.checkpoints.pairs import Array, Pair, masks_named, pairs_of, signs_named
from ncps.layers.ltc import LTCCell
from ncps.layers.mixed_memory import MixedMemoryCell
from ncps.layers.rnn import RNN
from ncps.saving.weights import arrays_of

MOST_NAMED = 6  # synapses in a message


def described(layer: Any, dialect: Dialect) -> tuple[list[Pair], dict[str, Array]]:
    """The weights of a layer or cell with their counterparts, and the masks."""
    pairs: list[Pair] = []
    masks: dict[str, Array] = {}
    for cell, theirs, ours in parts_of(layer, dialect):
        pairs += pairs_of(cell, dialect, theirs, ours)
        masks |= masks_named(cell, dialect, theirs)
    return pairs, masks


def parts_of(layer: Any, dialect: Dialect) -> Iterator[tuple[Any, str, str]]:
    """The cells of a layer, with what stands before their names there and before their paths here."""
    theirs = ours = ""
    cell = layer
    if dialect is KERAS:  # which saves each cell by itself
        yield cell, "", ""
        return
    if isinstance(layer, RNN):
        cell, ours = layer.cell, "cell/"
    if isinstance(cell, MixedMemoryCell):
        yield cell, "", ours
        cell, theirs, ours = cell.cell, dialect.inner, f"{ours}cell/"
    elif isinstance(layer, RNN):
        theirs = dialect.inner
    yield cell, theirs, ours


def to_old(layer: Any, dialect: Dialect = TORCH) -> dict[str, Array]:
    """The weights of a built layer or cell as 1.0.1 has them; 0 where no synapse exists.

    Raises:
        TypeError: 1.0.1 has no such layer.
        ValueError: it has not with these options.
    """
    pairs, masks = described(layer, dialect)
    own = arrays_of(layer)
    found = {name: array.astype(np.float32) for name, array in masks.items()}
    for pair in pairs:
        found |= dict(zip(pair.names, pair.split(own[pair.path]), strict=True))
    return found


def from_old(layer: Any, arrays: Mapping[str, Array], dialect: Dialect = TORCH) -> dict[str, Array]:
    """The weights of 1.0.1 by the paths of a built layer or cell, whose own are not changed.

    Raises:
        ValueError: something is missing, unexpected or of another shape, or there are other synapses; all of it is
            named.
    """
    pairs, masks = described(layer, dialect)
    own = arrays_of(layer)
    expected = {name: x.shape for pair in pairs for name, x in zip(pair.names, pair.split(own[pair.path]), strict=True)}
    faults = faults_of(expected | {name: mask.shape for name, mask in masks.items()}, arrays)
    for name, mask in (masks | dict(signs_named(layer, dialect))).items():
        if name in arrays and arrays[name].shape == mask.shape:
            faults += other_synapses(name, mask, arrays[name])
    if faults:
        raise ValueError("; ".join(faults))  # the callers say what was expected
    found = {pair.path: pair.join([arrays[name] for name in pair.names]) for pair in pairs}
    warn_of_negative(layer, found)
    return found


def faults_of(expected: Mapping[str, tuple[int, ...]], arrays: Mapping[str, Any]) -> list[str]:
    """Where arrays are not one of the right shape for every name."""
    shapes = {name: tuple(getattr(array, "shape", ())) for name, array in arrays.items()}
    faults = [f"missing: {name} {shape}" for name, shape in expected.items() if name not in shapes]
    faults += [f"unexpected: {name} {shape}" for name, shape in shapes.items() if name not in expected]
    return faults + [
        f"{name} of shape {shapes[name]} instead of {shape}"
        for name, shape in expected.items()
        if shapes.get(name, shape) != shape
    ]


def other_synapses(name: str, mask: Array, given: Array) -> list[str]:
    """Where a mask has synapses that the wiring lacks, or the other way round."""
    faults = []
    for text, wrong in (
        ("has synapses where the wiring has none", (given != 0) & (mask == 0)),
        ("lacks synapses of the wiring", (given == 0) & (mask != 0)),
    ):
        places = np.argwhere(wrong).tolist()
        if places:
            shown = ", ".join(str(tuple(place)) for place in places[:MOST_NAMED])
            faults.append(
                f"{name} {text}: at {shown}{' ...' if len(places) > MOST_NAMED else ''}, {len(places)} in all"
            )
    return faults


def warn_of_negative(layer: Any, arrays: Mapping[str, Array]) -> None:
    """Warns if explicit weights of an LTC are negative: 1.0.1 used them as they were."""
    cell = next((cell for cell, *_ in parts_of(layer, TORCH) if isinstance(cell, LTCCell)), None)
    if cell is None or cell.implicit_param_constraints or not cell.always_constrained:
        return
    names = [path for path, x in arrays.items() if path.split("/")[-1] in cell.non_negative and np.any(x < 0)]
    if names:
        warnings.warn(
            f"{', '.join(names)} have negative values, which count as 0 here. ncps 1.0.1 used them as they were until "
            "apply_weight_constraints() was called.",
            stacklevel=4,
        )
