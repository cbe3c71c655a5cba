"""What the backends share: conversion of numbers, factories for ops that differ in name only, plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from ncps import seeds, tree
from ncps.backend import NCPSBackend
from ncps.errors import UnsupportedOperationError
from ncps.ops.dispatch import COMPOSITES, PRIMITIVES

Function = Callable[..., Any]
NUMBERS = (bool, int, float, np.generic)


TRAINING = ("optimizer", "compiled", "training_step")  # see ncps/backends/optimizer.py


def register_backend(name: str, native: type, *modules: ModuleType) -> None:
    """Binds what the modules of a backend define; where two know a name, the first of them."""
    defined = {key: value for module in reversed(modules) for key, value in vars(module).items()}
    for op in PRIMITIVES:
        NCPSBackend.register_op(name, op, defined[op])
    for op in (*COMPOSITES, *TRAINING):  # of these, a backend may have its own
        if op in defined:
            NCPSBackend.register_op(name, op, defined[op])
    NCPSBackend.register(name, "Layer", native)
    if (seed := seeds.given_seed()) is not None:
        defined["random_set_seed"](seed)


def register_sequences(name: str, sequences: ModuleType) -> None:
    """Binds the runs of cells over whole sequences that a backend has kernels for."""
    for op in ("ltc_sequence", "cfc_sequence"):
        NCPSBackend.register_op(name, op, getattr(sequences, op))


def as_array(x: Any, framework: str, narrow: bool = True) -> np.ndarray:
    """NumPy array of numbers, lists and arrays: Python floats become float32, integers int32 where `narrow` is set.

    Raises:
        TypeError: `x` is a tensor of another framework, or holds no numbers.
    """
    if isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind not in "OUSMm":
        return np.asarray(x)
    if isinstance(x, (bool, int, float, list, tuple)):
        array = np.array(x) if not isinstance(x, (list, tuple)) else stacked(x, framework)
        if not narrow and array.dtype.kind in "iufb":
            return array
        if array.dtype.kind in "iu":
            return array.astype(np.int32)
        if array.dtype.kind == "f" and not _has_arrays(x):
            return array.astype(np.float32)
        if array.dtype.kind in "fb":
            return array
    kind = f" of {x.dtype}" if isinstance(x, (np.ndarray, np.generic)) else ""
    raise TypeError(
        f"Expected a {framework} tensor, a NumPy array or Python numbers. Received: {type(x).__module__}."
        f"{type(x).__qualname__}{kind}. Convert it first, for example with numpy.asarray(x, 'float32')."
    )


def exact(x: Any, framework: str) -> Any:
    """Python numbers as they are, for a type that is asked for: they would lose digits on the way through float32."""
    return as_array(x, framework, narrow=False) if isinstance(x, (bool, int, float, list, tuple)) else x


def stacked(x: Sequence[Any], framework: str) -> np.ndarray:
    """Array of a list, whose elements are numbers or arrays."""
    for element in x:
        if not isinstance(element, (*NUMBERS, np.ndarray, list, tuple)):
            as_array(element, framework)  # raises, naming the type
    return np.array(x)


def _has_arrays(x: Any) -> bool:
    return isinstance(x, (np.ndarray, np.generic)) or (isinstance(x, (list, tuple)) and any(map(_has_arrays, x)))


def fits(number: Any, floating: bool, boolean: bool) -> bool:
    """Whether `number` takes the type of the tensor that it meets, which is floating, boolean or neither.

    It does if it is a Python number (NumPy's float64 scalars count as such) and loses nothing but precision.
    """
    if isinstance(number, bool):
        return True
    return floating if isinstance(number, float) else isinstance(number, int) and not boolean


def any_float(*numbers: Any) -> bool:
    """Whether not all numbers are integers."""
    return not all(isinstance(x, (int, np.integer)) for x in numbers)


def elementwise(
    tensor: Function,
    floating: Function,
    pair: Function,
    own: tuple[type, ...] = (),
    reals: tuple[Any, ...] = (),
    promotes: bool = False,
) -> SimpleNamespace:
    """Factories for ops that differ from the framework's function in name and conversion only.

    Args:
        tensor: converts one operand.
        floating: the same; integers become float32.
        pair: converts two operands to types that the framework combines.
        own: classes whose very instances need no conversion: asking for them first saves half of what an op costs.
        reals: floating types, the most frequent first.
        promotes: whether the framework combines tensors of two types as we do.
    """

    def unary(function: Function) -> Function:
        def op(x):
            return function(x if type(x) in own else tensor(x))

        return op

    def real(function: Function) -> Function:
        def op(x):
            return function(x if type(x) in own and x.dtype in reals else floating(x))

        return op

    def binary(function: Function) -> Function:
        def op(x1, x2):
            if type(x1) in own and type(x2) in own and (promotes or x1.dtype is x2.dtype):
                return function(x1, x2)
            return function(*pair(x1, x2))

        return op

    def real_binary(function: Function) -> Function:
        def op(x1, x2):
            x1, x2 = pair(x1, x2)
            return function(floating(x1), floating(x2))

        return op

    def reduction(function: Function, convert: Function = tensor) -> Function:
        def op(x, axis=None, keepdims=False):
            return function(convert(x), tuple(axis) if isinstance(axis, list) else axis, keepdims)

        return op

    return SimpleNamespace(unary=unary, real=real, binary=binary, real_binary=real_binary, reduction=reduction)


def scan_length(xs: Any, length: int | None, known: Function = int) -> Any:
    """Number of steps of a scan.

    Args:
        xs: what it runs over.
        length: the number, where there is nothing to run over.
        known: makes a number of the length of an axis.

    Raises:
        ValueError: it is unknown, zero, or the slices disagree.
    """
    lengths = {known(x.shape[0]) for x in tree.flatten(xs)[0]} | ({length} if length is not None else set())
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            f"Expected one number of steps above 0, from the first axis of xs or from length. Received: "
            f"{sorted(lengths) or 'neither'}. Give xs of one length, or length= alone."
        )
    return lengths.pop()


def loop_scan(
    unstack: Function,
    stack: Function,
    f: Function,
    init: Any,
    xs: Any,
    length: int | None,
    reverse: bool,
    room: Function | None = None,
) -> tuple[Any, Any]:
    """A scan as a plain loop, for frameworks that run one operation after the other.

    Slices are taken all at once: the gradient of one alone has the size of all, which takes time as the square of their
    number. Outputs are written into the room that ``room(steps, y)`` makes for those of all steps, or stacked in the
    end, which takes their memory twice.
    """
    steps = scan_length(xs, length)
    leaves, structure = tree.flatten(xs)
    slices = list(zip(*map(unstack, leaves), strict=True)) or [()] * steps
    carry, outputs, whole = init, [], None
    for t in reversed(range(steps)) if reverse else range(steps):
        carry, y = f(carry, tree.unflatten(structure, slices[t]))
        if room is None:
            outputs.append(y)
        else:
            whole = written(whole, y, t, steps, room)
    if room is not None:
        return carry, whole
    return carry, tree.map(lambda *ys: stack(ys), *(reversed(outputs) if reverse else outputs))


def written(whole: Any, some: Any, place: Any, steps: int, room: Function) -> Any:
    """The outputs of all steps with `some` of them at their place; the first ones make the room."""
    whole = tree.map(lambda y: room(steps, y), some) if whole is None else whole
    for outputs, y in zip(tree.flatten(whole)[0], tree.flatten(some)[0], strict=True):
        outputs[place] = y
    return whole


def while_loop(
    cond: Function, body: Function, loop_vars: Iterable[Any], maximum_iterations: int | None = None
) -> tuple[Any, ...]:
    """The op as Python's own loop."""
    loop_vars, count = tuple(loop_vars), 0
    while (maximum_iterations is None or count < maximum_iterations) and cond(*loop_vars):
        result = body(*loop_vars)
        loop_vars, count = tuple(result) if isinstance(result, (tuple, list)) else (result,), count + 1
    return loop_vars


def fori_loop(lower: int, upper: int, body_fun: Function, init_val: Any) -> Any:
    """The op as Python's own loop."""
    for i in range(lower, upper):
        init_val = body_fun(i, init_val)
    return init_val


def associative_scan(
    concatenate: Function,
    stack: Function,
    f: Function,
    elems: Any,
    reverse: bool,
    axis: int,
    reshape: Function = lambda x, shape: x.reshape(shape),
) -> Any:
    """Prefixes by the odd-even reduction of Blelloch (1990), as in jax.lax.associative_scan."""
    first = tree.flatten(elems)[0][0]
    axis %= len(first.shape)

    def cut(trees: Any, start: int | None, stop: int | None, step: int | None = None) -> Any:
        index = (slice(None),) * axis + (slice(start, stop, step),)
        return tree.map(lambda x: x[index], trees)

    def interleave(even: Any, odd: Any) -> Any:
        pairs = odd.shape[axis]
        index = (slice(None),) * axis
        both = stack([even[(*index, slice(0, pairs))], odd], axis + 1)
        both = reshape(both, (*odd.shape[:axis], 2 * pairs, *odd.shape[axis + 1 :]))
        rest = even[(*index, slice(pairs, None))]
        return concatenate([both, rest], axis) if rest.shape[axis] else both

    def prefixes(x: Any, length: int) -> Any:
        if length == 1:
            return x
        pairs = f(cut(x, 0, length - 1, 2), cut(x, 1, None, 2))
        odd = prefixes(pairs, length // 2)
        begin = cut(x, 0, 1)
        if length > 2:
            even = f(cut(odd, 0, (length - 1) // 2), cut(x, 2, None, 2))
            begin = tree.map(lambda a, b: concatenate([a, b], axis), begin, even)
        return tree.map(interleave, begin, odd)

    def flipped(trees: Any) -> Any:
        return tree.map(lambda x: NCPSBackend.active_ops()["flip"](x, axis), trees)

    length = int(first.shape[axis])
    if not reverse:
        return prefixes(elems, length)
    return flipped(prefixes(flipped(elems), length))


def block(start_indices: Sequence[Any], shape: Sequence[Any]) -> tuple[slice, ...]:
    """Index of the block of `shape` that begins at `start_indices`."""
    return tuple(slice(int(start), int(start) + int(n)) for start, n in zip(start_indices, shape, strict=True))


def gradients_of(backward: Function, residuals: Any, cotangents: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a hand-written backward pass returns, as one gradient per argument."""
    gradients = backward(residuals, cotangents)
    if len(args) == 1 and not (isinstance(gradients, (tuple, list)) and len(gradients) == 1):
        gradients = (gradients,)
    if len(gradients) != len(args):
        raise ValueError(
            f"Expected the backward function to return one gradient per argument, {len(args)}. Received: "
            f"{len(gradients)}. Return zeros where there is none."
        )
    return tuple(gradients)


def per_leaf(arg: Any, gradient: Any) -> list[Any]:
    """The gradients of the leaves of `arg`, in order; None stands for those of a whole tree."""
    if gradient is None:
        return [None] * len(tree.flatten(arg)[0])
    if type(arg) is dict:
        return [leaf for key in sorted(arg) for leaf in per_leaf(arg[key], gradient.get(key))]
    if isinstance(arg, (tuple, list)):
        return [leaf for one, its in zip(arg, gradient, strict=True) for leaf in per_leaf(one, its)]
    return [] if arg is None else [gradient]


def no_gradients(*_: Any, **__: Any) -> Any:
    """Raises the error of a backend that has no gradients."""
    training = [name for name in NCPSBackend.available_backends() if name != "numpy"]
    installed = ", ".join(training) or "none of them"
    raise UnsupportedOperationError(
        "NumPy runs networks but has no gradients. Train on torch, jax, mlx, tensorflow or keras, then load the model "
        f'here. Installed: {installed}. Install one, for example: pip install "ncps[torch]"'
    )


erf = np.vectorize(math.erf, otypes=[np.float64])
