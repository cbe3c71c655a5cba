"""The ops for whole sequences on arrays, through the kernels."""

from __future__ import annotations

import functools

import numpy as np

from ncps.backends.kernels.sequences import CfCProgram, LTCProgram
from ncps.ops.dispatch import COMPOSITES

TYPES = {np.dtype(np.float32), np.dtype(np.float64)}
OTHERS = {np.dtype(bool), np.dtype(np.int32)}  # of masks and indices


@functools.cache
def threads():
    """As many as numba is told, by NUMBA_NUM_THREADS."""
    from numba import config

    return config.NUMBA_NUM_THREADS


def usable(arrays):
    """Whether the kernels take these."""
    found = {x.dtype for x in arrays if x is not None} - OTHERS
    return len(found) == 1 and found <= TYPES


def fused(name, kind):
    """The op `name` by kernels where they can, else by its own body."""

    def op(*args):
        program, arrays = kind.of(args)
        if not (usable(arrays) and program.exists()):
            return COMPOSITES[name](*args)
        return program.outcome(program.forward(arrays, False, threads()))

    op.for_steps = True
    return op


ltc_sequence = fused("ltc_sequence", LTCProgram)
cfc_sequence = fused("cfc_sequence", CfCProgram)
