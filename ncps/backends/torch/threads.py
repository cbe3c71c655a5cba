"""torch's own threads, for the kernels."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch

Task = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def team():
    """A function that calls another one in several threads of the OpenMP library that comes with torch, or None."""
    found = [*(Path(torch.__file__).parent / "lib").glob("libgomp*.so*")]
    if len(found) != 1 or "OpenMP" not in torch.__config__.parallel_info():
        return None
    region = getattr(ctypes.CDLL(str(found[0])), "GOMP_parallel", None)
    if region is None:
        return None
    region.argtypes, region.restype = (Task, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint), None

    def run(work, number):
        region(Task(lambda _: work()), None, number, 0)

    return run
