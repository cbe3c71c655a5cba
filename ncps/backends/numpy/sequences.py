"""The ops for whole sequences on arrays, through the kernels."""

from __future__ import annotations

import functools
import weakref

import numpy as np

from ncps.backends.kernels.pool import is_few
from ncps.backends.kernels.sequences import (
    CfCProgram,
    LTCProgram,
    batch_first,
    check_shapes,
    elapsed,
    flags,
    plain,
    threads,
)
from ncps.backends.numpy.streams import Streams, released
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


BY_VALUE = Streams()


def ltc_sequence(*args):
    inputs, initial, times, valid, resets, weights, synapses, *options, every = args
    if len(initial) == inputs.shape[1] == 1:  # a sample alone never takes a second thread
        given = (*weights, *synapses), (*options, inputs.shape[2])
        stream = BY_VALUE.stream(synapses.source, *given, functools.partial(ltc_stream, args))
        if stream is not None and inputs.dtype == initial.dtype == times.dtype == stream.dtype:
            given = batch_first(inputs), plain(initial), elapsed(times), flags(valid), flags(resets)
            outputs, final = stream(*given, every)
            return (outputs.swapaxes(0, 1) if every else outputs), final
    return by_kernels("ltc_sequence", *LTCProgram.of(args), args)


def ltc_stream(args):
    """What the kernels prepare for these weights; None where they do not take them."""
    program, arrays = LTCProgram.of(args)
    return program.stream(arrays[5:]) if usable(arrays[5:]) else None


class ByIdentity:
    """What was prepared for the last parameters of CfC: a stream comes with the same arrays at each step."""

    def __init__(self):
        self.known = {}

    def stream(self, program, features, parameters):
        """What is prepared for these; None where nothing can be, or where they are new and may never come again."""
        owner = parameters[-3]  # the last bias: nothing computes it anew, as masks do kernels
        options = program, features, len(parameters)
        seen, held, end, stream = self.known.get(id(owner), (None, (), None, None))
        if seen != options or not all(map(is_still, held, parameters)):
            held = [None if x is None else weakref.ref(x) for x in parameters]
            self.known[id(owner)] = options, held, released(owner, self.known), None
            return None
        if stream is None:
            stream = few_steps(program, features, parameters)
            if stream is not None:
                stream.alive = None  # those that `held` shows to be there
            self.known[id(owner)] = seen, held, end, stream
        return stream


def is_still(reference, array):
    """Whether an array is the one that was referred to."""
    return (reference is None) if array is None else (reference is not None and reference() is array)


BY_IDENTITY = ByIdentity()
SMALL = 50_000  # elements of parameters whose bytes are compared sooner than a call is laid out


def cfc_stream(program, features, parameters):
    """What the kernels prepare for these parameters, by identity or, where masks make new ones, by value."""
    stream = BY_IDENTITY.stream(program, features, parameters)
    if stream is None and sum(x.size for x in parameters if x is not None) <= SMALL:
        # Of copies: arrays of these values may be written into while others of the same values come.
        prepare = functools.partial(few_steps, program, features, parameters, copy=True)
        stream = BY_VALUE.stream(parameters[-3], parameters, (program, features), prepare)
    return stream


def few_steps(program, features, parameters, copy=False):
    """What the kernels prepare for these parameters; None where they do not take them."""
    if not usable(parameters):
        return None
    parameters = [None if x is None else x.copy() for x in parameters] if copy else parameters
    return program.few_steps(features, parameters)


def cfc_sequence(*args):
    inputs, initial, times, valid, resets, *_ = args
    program, arrays = CfCProgram.of(args)
    steps, batch, features = inputs.shape
    if is_few(batch, steps):
        if batch * steps > 1:  # a single step comes from a layer, and takes less time than to look
            check_shapes(inputs, [(state, state.shape[-1]) for state in initial], times, valid, resets)
        stream = cfc_stream(program, features, arrays[4 + len(initial) :])
        if stream is not None and inputs.dtype == times.dtype == stream.dtype == joint_dtype(initial):
            given = batch_first(inputs), initial, elapsed(times), flags(valid), flags(resets)
            outputs, final = stream(*given, program.every)
            return program.outcome([outputs, *final])
    return by_kernels("cfc_sequence", program, arrays, args)


ltc_sequence.for_steps = cfc_sequence.for_steps = True
