"""The ops for whole sequences on arrays, through the kernels."""

from __future__ import annotations

import functools

import numpy as np

from ncps.backends.kernels.pool import is_few
from ncps.backends.kernels.sequences import (
    UNMASKED,
    CfCProgram,
    LTCProgram,
    batch_first,
    check_shapes,
    elapsed,
    flags,
    one_sample,
    threads,
)
from ncps.backends.kernels.streams import ByIdentity, ByValue
from ncps.ops.dispatch import COMPOSITES

TYPES = {np.dtype(np.float32), np.dtype(np.float64)}
OTHERS = {np.dtype(bool), np.dtype(np.int32)}  # of masks and indices


def usable(arrays):
    """Whether the kernels take these."""
    found = {x.dtype for x in arrays if x is not None} - OTHERS
    return len(found) == 1 and found <= TYPES


def joint_dtype(arrays):
    """The type that all have; None where they differ."""
    first = arrays[0].dtype
    return first if len(arrays) == 1 or all(x.dtype == first for x in arrays) else None


def by_kernels(name, program, arrays, args):
    """The op `name` by kernels where they can, else by its own body."""
    if not (usable(arrays) and program.exists()):
        return COMPOSITES[name](*args)
    return program.outcome(program.forward(arrays, False, threads()))


BY_VALUE = ByValue()


def ltc_sequence(*args):
    outcome = one_sample(BY_VALUE, args, functools.partial(ltc_stream, args))
    return by_kernels("ltc_sequence", *LTCProgram.of(args), args) if outcome is None else outcome


def ltc_stream(args):
    """What the kernels prepare for these weights; None where they do not take them."""
    program, arrays = LTCProgram.of(args)
    return program.stream(arrays[5:]) if usable(arrays[5:]) else None


BY_IDENTITY = ByIdentity()


def few_steps(program, features, masks, weights):
    """What the kernels prepare for these parameters; None where they do not take them."""
    return program.few_steps(features, masks, weights) if usable([*masks, *weights]) else None


def cfc_sequence(*args):
    inputs, initial, times, valid, resets, layers, *_ = args
    steps, batch, features = inputs.shape
    if is_few(batch, steps):
        program, arrays = CfCProgram.of(args)
        masks, weights = [layer.mask for layer in layers], arrays[4 + len(initial) :]
        prepare = functools.partial(few_steps, program, features, masks, weights)
        stream = BY_IDENTITY.stream((program, features), [*masks, *weights], prepare)
        if stream is not None and inputs.dtype == times.dtype == stream.dtype == joint_dtype(initial):
            check_shapes(inputs, zip(initial, stream.units, strict=True), times, valid, resets)
            given = batch_first(inputs), initial, elapsed(times), flags(valid), flags(resets)
            outputs, final = stream(*given, program.every)
            return program.outcome([outputs, *final])
    args = UNMASKED["cfc_sequence"](args)
    return by_kernels("cfc_sequence", *CfCProgram.of(args), args)


ltc_sequence.for_steps = cfc_sequence.for_steps = True
