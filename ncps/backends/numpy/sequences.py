"""The ops for whole sequences on arrays, through the kernels."""

from __future__ import annotations

import functools

import numpy as np

from ncps.backends.kernels.sequences import TYPES, CfCProgram, LTCProgram
from ncps.ops.dispatch import COMPOSITES


@functools.cache
def threads():
    """As many as numba is told, by NUMBA_NUM_THREADS."""
    from numba import config

    return config.NUMBA_NUM_THREADS


def usable(arrays):
    """Whether the kernels take these."""
    dtype = arrays[0].dtype
    return dtype.name in TYPES and all(
        x is None or (isinstance(x, np.ndarray) and (x.dtype == dtype or x.dtype.kind != "f")) for x in arrays
    )


def fused(name, kind):
    """The op `name` by kernels where they can, else by its own body."""

    def op(*args):
        program, arrays = kind.of(args)
        if not usable(arrays):
            return COMPOSITES[name](*args)
        return program.outcome(program.forward(arrays, False, threads()))

    return op


ltc_sequence = fused("ltc_sequence", LTCProgram)
cfc_sequence = fused("cfc_sequence", CfCProgram)
