"""Elapsed times: what users give, in the form that cells compute with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ncps import ops

Tensor = Any
LONGEST_FLOAT16 = 65504.0


def check_elapsed(layer: Any, name: str, value: Any, mask: Any = None) -> None:
    """Raises if Python numbers or a NumPy array hold a time below 0, infinity or NaN; tensors are not looked into.

    Args:
        layer: whose call gets them: a compiler that traces it may hold arrays without values.
        name: the argument's name, for the message.
        value: what the user gave.
        mask: what the user gave; times of steps that it leaves out may be anything.

    Raises:
        ValueError: they do, or the type of the layer would make infinity of one.
    """
    if isinstance(value, (bool, int, float)):  # in plain Python, which compilers can trace
        if not 0 <= value < math.inf:
            raise no_elapsed_time(name, (), value)
        check_half(layer, name, value)
    elif isinstance(value, (list, tuple, np.ndarray, np.generic)) and not layer.is_traced(value):
        times = counted(np.asarray(value, np.float64), mask)
        wrong = np.argwhere(~((times >= 0) & (times < math.inf)))
        if len(wrong):
            index = tuple(wrong[0].tolist())
            raise no_elapsed_time(name, index, times[index])
        check_half(layer, name, times.max(initial=0.0))


def counted(times: np.ndarray, mask: Any) -> np.ndarray:
    """Times (B, T), (B, T, 1) or (T,), with 0 where a mask (B, T) or (T,) on the host leaves a step out."""
    if not isinstance(mask, (list, tuple, np.ndarray)):
        return times
    valid = np.asarray(mask)
    valid = valid[..., None] if times.ndim == valid.ndim + 1 else valid
    return np.where(valid, times, 0.0) if valid.shape == times.shape else times


def no_elapsed_time(name: str, index: tuple[int, ...], value: float) -> ValueError:
    """The error for an elapsed time that is none."""
    return ValueError(
        f"Expected finite elapsed times of at least 0. Received: {name}{list(index) if index else ''} = {value}. "
        "Give the time since the step before, not a point in time."
    )


def check_half(layer: Any, name: str, longest: float) -> None:
    """Raises if an elapsed time is too long for a layer of float16.

    Raises:
        ValueError: it is.
    """
    if longest <= LONGEST_FLOAT16 or layer.is_traced(longest):
        return
    kind = str(layer.input_type())
    if "float16" in kind and "bfloat16" not in kind:
        raise ValueError(
            f"Expected elapsed times up to {LONGEST_FLOAT16:.0f} in a layer of float16, which makes infinity of longer "
            f"ones. Received: {name} up to {longest}. Give them in a larger unit, or use bfloat16 or float32."
        )


def step_timespan(timespan: Any, inputs: Tensor) -> Tensor:
    """Elapsed time of one step as a scalar tensor or (B, 1).

    Args:
        timespan: scalar, (B,) or (B, 1).
        inputs: (B, F), whose type and device the times take.

    Raises:
        ValueError: it has another shape.
    """
    timespan = like_inputs(timespan, inputs)
    rank = len(timespan.shape)
    if rank == 0:
        return timespan
    batch = (timespan.shape[0], inputs.shape[0])
    if rank > 2 or (rank == 2 and timespan.shape[1] != 1) or different(*batch):
        raise ValueError(
            f"Expected timespan as a number, (B,) or (B, 1), with B = {batch[1]}. Received: shape "
            f"{tuple(timespan.shape)}. Elapsed times of many steps go to the sequence layer, as timespans."
        )
    return ops.reshape(timespan, (-1, 1))


def sequence_timespans(timespans: Any, inputs: Tensor, batched: bool) -> Tensor:
    """Elapsed times of a sequence as a scalar tensor, or time first: (T, B, 1) or (T, 1, 1).

    Args:
        timespans: scalar, (T,), (B, T) or (B, T, 1); None is 1.0.
        inputs: (T, B, F).
        batched: whether the user's inputs had a batch axis; without, (T,) or (T, 1).

    Raises:
        ValueError: they have another shape.
    """
    timespans = like_inputs(1.0 if timespans is None else timespans, inputs)
    shape, (steps, batch) = tuple(timespans.shape), inputs.shape[:2]
    if len(shape) == 0:
        return timespans
    if not batched and len(shape) == 2 and not different(shape[0], steps) and shape[1] == 1:
        timespans, shape = ops.reshape(timespans, (-1,)), shape[:1]
    fits = {
        1: lambda: not different(shape[0], steps),
        2: lambda: not different(shape[0], batch) and not different(shape[1], steps),
        3: lambda: not different(shape[0], batch) and not different(shape[1], steps) and shape[2] == 1,
    }
    if len(shape) not in fits or not fits[len(shape)]():
        raise ValueError(
            f"Expected timespans as a number, (T,), (B, T) or (B, T, 1), with B = {batch} and T = {steps}. Received: "
            f"shape {shape}. Give the time since the step before for each step of each series; np.diff of points in "
            "time has one less."
        )
    if len(shape) == 1:
        return ops.reshape(timespans, (-1, 1, 1))
    if len(shape) == 2:
        timespans = ops.expand_dims(timespans, -1)
    return ops.swapaxes(timespans, 0, 1)


def like_inputs(x: Any, inputs: Tensor) -> Tensor:
    """`x` as a tensor of the type and device of `inputs`."""
    return x if ops.is_tensor(x) and x.dtype == inputs.dtype else ops.cast(x, inputs.dtype)


def on_host(timespans: Any) -> bool:
    """Whether elapsed times are Python numbers or arrays, or None: looking at them makes no accelerator wait."""
    return timespans is None or isinstance(timespans, (int, float, list, tuple, np.ndarray, np.generic))


def different(a: Any, b: Any) -> bool:
    """Whether two lengths are known and differ."""
    return a is not None and b is not None and a != b
