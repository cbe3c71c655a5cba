"""Elements by index, sums by segment, order; of tensors of any shape, along one axis where there is an `axis`."""

from __future__ import annotations

from collections.abc import Sequence

from ncps.ops.creation import Tensor
from ncps.ops.dispatch import primitive


@primitive
def take(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    """Slices of `x` along an axis, by integer index.

    Example:
        >>> ops.take([1.0, 2.0, 3.0], [2, 0])
        array([3., 1.], dtype=float32)
    """


@primitive
def take_along_axis(x: Tensor, indices: Tensor, axis: int = -1) -> Tensor:
    """One element per position, by its index along an axis; `indices` has the rank of `x`.

    Example:
        >>> ops.take_along_axis([[1, 2], [3, 4]], [[1], [0]])
        array([[2],
               [3]], dtype=int32)
    """


@primitive
def segment_sum(data: Tensor, segment_ids: Tensor, num_segments: int, sorted: bool = False) -> Tensor:
    """Sums of the slices of `data` (E, ...) with the same segment id (E,): (num_segments, ...).

    Example:
        >>> ops.segment_sum([1.0, 2.0, 3.0], [0, 0, 2], 3)
        array([3., 0., 3.], dtype=float32)
    """


@primitive
def one_hot(x: Tensor, num_classes: int, dtype: str = "float32") -> Tensor:
    """1 at the class of each element along a new last axis, else 0.

    Example:
        >>> ops.one_hot([0, 2], 3)
        array([[1., 0., 0.],
               [0., 0., 1.]], dtype=float32)
    """


@primitive
def slice(inputs: Tensor, start_indices: Sequence[int], shape: Sequence[int]) -> Tensor:
    """The block of `shape` that begins at `start_indices`.

    Example:
        >>> ops.slice([[1, 2, 3], [4, 5, 6]], (0, 1), (2, 2))
        array([[2, 3],
               [5, 6]], dtype=int32)
    """


@primitive
def slice_update(inputs: Tensor, start_indices: Sequence[int], updates: Tensor) -> Tensor:
    """A copy of `inputs` with the block at `start_indices` replaced.

    Example:
        >>> ops.slice_update([1, 2, 3], (1,), [7, 8])
        array([1, 7, 8], dtype=int32)
    """


@primitive
def sort(x: Tensor, axis: int = -1) -> Tensor:
    """In ascending order along an axis.

    Example:
        >>> ops.sort([3, 1, 2])
        array([1, 2, 3], dtype=int32)
    """


@primitive
def argsort(x: Tensor, axis: int = -1) -> Tensor:
    """Indices that sort `x` along an axis, equals in their order, int32.

    Example:
        >>> ops.argsort([3, 1, 2])
        array([1, 2, 0], dtype=int32)
    """


@primitive
def searchsorted(sorted_sequence: Tensor, values: Tensor, side: str = "left") -> Tensor:
    """Where `values` would be inserted into an ascending vector, int32.

    Example:
        >>> ops.searchsorted([1.0, 2.0, 3.0], [0.5, 2.0])
        array([0, 1], dtype=int32)
    """
