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
    """`x` with its axes permuted, reversed by default.

    Example:
        >>> ops.transpose(ops.zeros((2, 3, 4)), (1, 0, 2)).shape
        (3, 2, 4)
    """


@primitive
def swapaxes(x: Tensor, axis1: int, axis2: int) -> Tensor:
    """`x` with two axes exchanged.

    Example:
        >>> ops.swapaxes(ops.zeros((2, 3, 4)), 0, 1).shape
        (3, 2, 4)
    """


@primitive
def moveaxis(x: Tensor, source: int, destination: int) -> Tensor:
    """`x` with one axis moved.

    Example:
        >>> ops.moveaxis(ops.zeros((2, 3, 4)), 0, -1).shape
        (3, 4, 2)
    """


@primitive
def expand_dims(x: Tensor, axis: int) -> Tensor:
    """`x` with a new axis of length one.

    Example:
        >>> ops.expand_dims(ops.zeros((2, 3)), -1).shape
        (2, 3, 1)
    """


@primitive
def squeeze(x: Tensor, axis: int | None = None) -> Tensor:
    """`x` without an axis of length one, or without all of them.

    Example:
        >>> ops.squeeze(ops.zeros((2, 1, 3)), 1).shape
        (2, 3)
    """


@primitive
def broadcast_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """`x` repeated along its axes of length one until it has `shape`.

    Example:
        >>> ops.broadcast_to([[1], [2]], (2, 3))
        array([[1, 1, 1],
               [2, 2, 2]], dtype=int32)
    """


@primitive
def concatenate(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors joined along an axis that they have.

    Example:
        >>> ops.concatenate([[1, 2], [3]])
        array([1, 2, 3], dtype=int32)
    """


@primitive
def stack(x: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis.

    Example:
        >>> ops.stack([[1, 2], [3, 4]], axis=1)
        array([[1, 3],
               [2, 4]], dtype=int32)
    """


@primitive
def unstack(x: Tensor, num: int | None = None, axis: int = 0) -> list[Tensor]:
    """The slices of `x` along an axis; `num` where its length is unknown while tensorflow traces.

    Example:
        >>> ops.unstack([[1, 2], [3, 4]])
        [array([1, 2], dtype=int32), array([3, 4], dtype=int32)]
    """


@primitive
def split(x: Tensor, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """`x` cut along an axis into equal sections, or at the given indices.

    Example:
        >>> ops.split([1, 2, 3, 4], [1])
        [array([1], dtype=int32), array([2, 3, 4], dtype=int32)]
    """


@primitive
def repeat(x: Tensor, repeats: int, axis: int | None = None) -> Tensor:
    """Every element `repeats` times, along an axis or flattened.

    Example:
        >>> ops.repeat([1, 2], 2)
        array([1, 1, 2, 2], dtype=int32)
    """


@primitive
def tile(x: Tensor, repeats: Sequence[int]) -> Tensor:
    """`x` laid side by side, one count per axis.

    Example:
        >>> ops.tile([1, 2], (2,))
        array([1, 2, 1, 2], dtype=int32)
    """


@primitive
def flip(x: Tensor, axis: int | None = None) -> Tensor:
    """`x` reversed along an axis, or along all.

    Example:
        >>> ops.flip([1, 2, 3])
        array([3, 2, 1], dtype=int32)
    """


@primitive
def pad(x: Tensor, pad_width: Sequence[Sequence[int]], constant_values: Any = 0) -> Tensor:
    """`x` with a border of one value: (before, after) for each axis.

    Example:
        >>> ops.pad([1, 2], [(1, 2)])
        array([0, 1, 2, 0, 0], dtype=int32)
    """


@primitive
def roll(x: Tensor, shift: int, axis: int | None = None) -> Tensor:
    """`x` moved along an axis, what leaves at one end entering at the other.

    Example:
        >>> ops.roll([1, 2, 3], 1)
        array([3, 1, 2], dtype=int32)
    """


@primitive
def diagonal(x: Tensor) -> Tensor:
    """Diagonal of the last two axes.

    Example:
        >>> ops.diagonal([[1, 2], [3, 4]])
        array([1, 4], dtype=int32)
    """


@primitive
def triu(x: Tensor, k: int = 0) -> Tensor:
    """Upper triangle of the last two axes, from diagonal `k`; zeros elsewhere.

    Example:
        >>> ops.triu([[1, 2], [3, 4]])
        array([[1, 2],
               [0, 4]], dtype=int32)
    """


@primitive
def tril(x: Tensor, k: int = 0) -> Tensor:
    """Lower triangle of the last two axes, up to diagonal `k`; zeros elsewhere.

    Example:
        >>> ops.tril([[1, 2], [3, 4]], -1)
        array([[0, 0],
               [3, 0]], dtype=int32)
    """
