"""Tensors from nothing, from NumPy and back, of any shape; their types and places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ncps.ops.dispatch import primitive

Tensor = Any  # the framework's own: there is no wrapper class
DType = Any  # "float32", a NumPy dtype or the framework's own


@primitive
def convert_to_tensor(x: Any, dtype: DType | None = None) -> Tensor:
    """The backend's tensor of `x`; Python floats become float32, integers int32; NumPy arrays keep their type.

    Raises:
        TypeError: `x` is a tensor of another framework, or nothing that holds numbers.
        ValueError: the backend does not have `dtype` (float64 on jax needs ``jax_enable_x64``).

    Example:
        >>> ops.convert_to_tensor([1.0, 2.0])
        array([1., 2.], dtype=float32)
    """


@primitive
def convert_to_numpy(x: Tensor) -> np.ndarray:
    """NumPy array of `x`, detached and on the host; bfloat16 needs the package ``ml_dtypes``.

    Example:
        >>> ops.convert_to_numpy([1.0, 2.0])
        array([1., 2.], dtype=float32)
    """


@primitive
def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor of the active backend.

    Example:
        >>> ops.is_tensor(ops.zeros((2,))), ops.is_tensor([0.0, 0.0])
        (True, False)
    """


@primitive
def shape(x: Tensor) -> tuple[Any, ...]:
    """Shape of `x`; while tensorflow traces, an unknown length is a scalar tensor.

    Example:
        >>> ops.shape([[1, 2, 3]])
        (1, 3)
    """


@primitive
def dtype(x: Tensor) -> str:
    """Name of the type of the elements of `x`, such as ``"float32"``.

    Example:
        >>> ops.dtype([1, 2]), ops.dtype([1.0, 2.0])
        ('int32', 'float32')
    """


@primitive
def cast(x: Tensor, dtype: DType) -> Tensor:
    """`x` with elements of type `dtype`.

    Example:
        >>> ops.cast([0.5, 1.5], "int32")
        array([0, 1], dtype=int32)
    """


@primitive
def device(x: Tensor | None = None) -> str:
    """Where `x` lives, or where new tensors are made: ``"cpu"``, ``"cuda:0"``, ``"gpu"`` ...

    Example:
        >>> ops.device(ops.zeros((2,)))
        'cpu'
    """


@primitive
def to_device(x: Tensor, device: Any) -> Tensor:
    """`x` on another device, in the framework's own notation for devices.

    Example:
        >>> ops.to_device([1.0, 2.0], "cpu")
        array([1., 2.], dtype=float32)
    """


@primitive
def zeros(shape: Sequence[int], dtype: DType = "float32") -> Tensor:
    """Zeros.

    Example:
        >>> ops.zeros((2,))
        array([0., 0.], dtype=float32)
    """


@primitive
def ones(shape: Sequence[int], dtype: DType = "float32") -> Tensor:
    """Ones.

    Example:
        >>> ops.ones((2,))
        array([1., 1.], dtype=float32)
    """


@primitive
def full(shape: Sequence[int], fill_value: Any, dtype: DType = "float32") -> Tensor:
    """One value everywhere.

    Example:
        >>> ops.full((2,), 7.0)
        array([7., 7.], dtype=float32)
    """


@primitive
def copy(x: Tensor) -> Tensor:
    """`x` in memory of its own, row by row where the backend knows layouts.

    Example:
        >>> x = ops.zeros((2,))
        >>> ops.copy(x) is x
        False
    """


@primitive
def zeros_like(x: Tensor, dtype: DType | None = None) -> Tensor:
    """Zeros of the shape, type and device of `x`.

    Example:
        >>> ops.zeros_like([1, 2])
        array([0, 0], dtype=int32)
    """


@primitive
def ones_like(x: Tensor, dtype: DType | None = None) -> Tensor:
    """Ones of the shape, type and device of `x`.

    Example:
        >>> ops.ones_like([3.0, 4.0])
        array([1., 1.], dtype=float32)
    """


@primitive
def full_like(x: Tensor, fill_value: Any, dtype: DType | None = None) -> Tensor:
    """One value, in the shape, type and device of `x`.

    Example:
        >>> ops.full_like([1.0, 2.0], 7)
        array([7., 7.], dtype=float32)
    """


@primitive
def arange(start: Any, stop: Any = None, step: Any = 1, dtype: DType | None = None) -> Tensor:
    """Evenly spaced values in [start, stop); int32 for integers, else float32.

    Example:
        >>> ops.arange(3)
        array([0, 1, 2], dtype=int32)
    """


@primitive
def linspace(start: float, stop: float, num: int = 50, dtype: DType = "float32") -> Tensor:
    """`num` evenly spaced values from `start` to `stop`, both included.

    Example:
        >>> ops.linspace(0.0, 1.0, 5)
        array([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
    """


@primitive
def eye(N: int, M: int | None = None, dtype: DType = "float32") -> Tensor:
    """Ones on the diagonal of an (N, M) matrix.

    Example:
        >>> ops.eye(2, 3)
        array([[1., 0., 0.],
               [0., 1., 0.]], dtype=float32)
    """
