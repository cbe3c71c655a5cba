"""Shapes: the same numbers in another arrangement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ncps.ops.creation import Tensor
from ncps.ops.dispatch import primitive


@primitive
def reshape(x: Tensor, newshape: Sequence[int]) -> Tensor:
    """`x` in another shape; one length may be -1.

    Example:
        >>> ops.reshape(ops.arange(4), (2, -1))
        array([[0, 1],
               [2, 3]], dtype=int32)
    """


@primitive
def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """`x` with its axes permuted, reversed by default."""


@primitive
def swapaxes(x: Tensor, axis1: int, axis2: int) -> Tensor:
    """`x` with two axes exchanged."""


@primitive
def moveaxis(x: Tensor, source: int, destination: int) -> Tensor:
    """`x` with one axis moved."""


@primitive
def expand_dims(x: Tensor, axis: int) -> Tensor:
    """`x` with a new axis of length one."""


@primitive
def squeeze(x: Tensor, axis: int | None = None) -> Tensor:
    """`x` without an axis of length one, or without all of them."""


@primitive
def broadcast_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """`x` repeated along its axes of length one until it has `shape`."""


@primitive
def concatenate(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors joined along an axis that they have.

    Example:
        >>> ops.concatenate([[1, 2], [3]])
        array([1, 2, 3], dtype=int32)
    """


@primitive
def stack(x: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis."""


@primitive
def unstack(x: Tensor, num: int | None = None, axis: int = 0) -> list[Tensor]:
    """The slices of `x` along an axis; `num` where its length is unknown while tensorflow traces."""


@primitive
def split(x: Tensor, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """`x` cut into equal sections, or at the given indices."""


@primitive
def repeat(x: Tensor, repeats: int, axis: int | None = None) -> Tensor:
    """Every element `repeats` times, along an axis or flattened."""


@primitive
def tile(x: Tensor, repeats: Sequence[int]) -> Tensor:
    """`x` laid side by side, one count per axis."""


@primitive
def flip(x: Tensor, axis: int | None = None) -> Tensor:
    """`x` reversed along an axis, or along all."""


@primitive
def pad(x: Tensor, pad_width: Sequence[Sequence[int]], constant_values: Any = 0) -> Tensor:
    """`x` with a border of one value: (before, after) for each axis."""


@primitive
def roll(x: Tensor, shift: int, axis: int | None = None) -> Tensor:
    """`x` moved along an axis, what leaves at one end entering at the other."""


@primitive
def diagonal(x: Tensor) -> Tensor:
    """Diagonal of the last two axes."""


@primitive
def triu(x: Tensor, k: int = 0) -> Tensor:
    """Upper triangle of the last two axes, from diagonal `k`; zeros elsewhere."""


@primitive
def tril(x: Tensor, k: int = 0) -> Tensor:
    """Lower triangle of the last two axes, up to diagonal `k`; zeros elsewhere."""
