"""Loops, branches, gradients, for trees of tensors of any shape.

The frameworks keep the functions given to them, and ours keep their backend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ncps.ops.creation import Tensor
from ncps.ops.dispatch import keeps_functions, primitive

Tree = Any  # a tensor, or tuples, lists and dicts of trees


@keeps_functions
@primitive
def scan(
    f: Callable[[Tree, Tree], tuple[Tree, Tree]],
    init: Tree,
    xs: Tree = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: bool = False,
) -> tuple[Tree, Tree]:
    """The time loop: ``carry, y = f(carry, x)`` for every slice of `xs` along its first axis.

    Args:
        f: a pure function of the carry and one slice.
        init: the first carry; `f` keeps its structure, shapes and types.
        xs: tree of tensors (T, ...), or None with `length`.
        length: number of steps where `xs` is None.
        reverse: from the last slice to the first; the outputs stand in the order of `xs`.
        unroll: lays the steps out one after the other where the framework has a choice.

    Returns:
        The last carry and the tree of stacked outputs (T, ...); an output None stays None.

    Raises:
        ValueError: neither `xs` nor `length` tells the number of steps, it is 0, or they disagree.

    Example:
        >>> ops.scan(lambda total, x: (total + x, total), np.float32(0), np.float32([1, 2, 3]))
        (np.float32(6.0), array([0., 1., 3.], dtype=float32))
    """


@keeps_functions
@primitive
def associative_scan(f: Callable[[Tree, Tree], Tree], elems: Tree, reverse: bool = False, axis: int = 0) -> Tree:
    """All prefixes x₁, x₁∘x₂, x₁∘x₂∘x₃ ... of an associative operation, in O(log T) parallel steps.

    Args:
        f: the operation on two trees of slices, vectorised over `axis`.
        elems: tree of tensors with the same length along `axis`.
        reverse: from the last element to the first.
        axis: where the elements stand in a row.

    Example:
        >>> ops.associative_scan(lambda a, b: a + b, np.float32([1, 2, 3]))
        array([1., 3., 6.], dtype=float32)
    """


@keeps_functions
@primitive
def cond(pred: Tensor, true_fn: Callable[[], Tree], false_fn: Callable[[], Tree]) -> Tree:
    """The result of one of two functions; both have the same structure.

    Example:
        >>> ops.cond(True, lambda: 1.0, lambda: 2.0)
        1.0
    """


@keeps_functions
@primitive
def while_loop(
    cond: Callable[..., Tensor],
    body: Callable[..., Tree],
    loop_vars: Sequence[Tree],
    maximum_iterations: int | None = None,
) -> tuple[Tree, ...]:
    """``loop_vars = body(*loop_vars)`` while ``cond(*loop_vars)``; returns the last loop variables.

    Example:
        >>> ops.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, 2.0 * x), (0, 1.0))
        (3, 8.0)
    """


@keeps_functions
@primitive
def fori_loop(lower: int, upper: int, body_fun: Callable[[Any, Tree], Tree], init_val: Tree) -> Tree:
    """``value = body_fun(i, value)`` for i from `lower` to `upper` - 1.

    Example:
        >>> ops.fori_loop(0, 3, lambda i, x: x + i, 0)
        3
    """


@keeps_functions
@primitive
def vectorized_map(function: Callable[[Tree], Tree], elements: Tree) -> Tree:
    """`function` of every slice along the first axis at once.

    Example:
        >>> ops.vectorized_map(lambda x: x * x, ops.arange(3))
        array([0, 1, 4], dtype=int32)
    """


@keeps_functions
@primitive
def checkpoint(function: Callable[..., Tree]) -> Callable[..., Tree]:
    """`function`, whose inner results are computed again in the backward pass, with the same random draws.

    Example:
        >>> ops.checkpoint(ops.tanh)([0.0])
        array([0.], dtype=float32)
    """


@keeps_functions
@primitive
def custom_gradient(
    function: Callable[..., Tree],
    forward: Callable[..., tuple[Tree, Tree]],
    backward: Callable[[Tree, Tree], Tree],
) -> Callable[..., Tree]:
    """`function` with a backward pass written by hand.

    Args:
        function: ``(*args) -> outputs``, used where no gradient is asked for.
        forward: ``(*args) -> (outputs, residuals)``.
        backward: ``(residuals, cotangents) -> gradients``, one gradient per argument (a single one may stand alone),
            each of its argument's structure, None where there is none.

    Example:
        >>> def forward(x):
        ...     return ops.square(x), x
        >>> def backward(x, upstream):
        ...     return 2.0 * x * upstream
        >>> square = ops.custom_gradient(ops.square, forward, backward)
        >>> square([3.0])
        array([9.], dtype=float32)
    """


@primitive
def stop_gradient(x: Tensor) -> Tensor:
    """`x` as a constant in the backward pass.

    Example:
        >>> ops.stop_gradient([1.0])
        array([1.], dtype=float32)
    """


@keeps_functions
@primitive
def value_and_grad(function: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, Tree]]:
    """Value of a scalar function of trees of tensors, and its gradients by argument.

    Returns:
        A function ``(*args) -> (value, gradients)``; `gradients` has the structure of the single argument, or is the
        tuple of those of all arguments.

    Raises:
        UnsupportedOperationError: on NumPy, which has no gradients.

    Example:
        >>> ops.value_and_grad(lambda x: ops.sum(x * x))  # else a function, which gives 9.0 and [6.0] for [3.0]
        Traceback (most recent call last):
            ...
        ncps.errors.UnsupportedOperationError: NumPy runs networks but has no gradients. ...
    """
