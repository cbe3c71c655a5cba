"""Functions that kernels share, in forms that the compiler vectorises, for float32 and float64."""

from __future__ import annotations

import numba
import numpy as np
from numba.extending import overload, register_jitable

# Without nnan and ninf, which would allow the compiler to assume that there is no NaN: one in a sample must come out of
# that sample. Sums may be reordered, which vectors need.
FLAGS = {"fastmath": {"nsz", "arcp", "contract", "afn", "reassoc"}, "error_model": "numpy"}
KERNEL = {**FLAGS, "nogil": True, "cache": True}

# Coefficients of the rational approximation of Eigen (generic_fast_tanh_float): error below 4e-7 with the odd powers
# above and the even ones below, on [-LIMIT, LIMIT], where tanh is 1 in float32.
P = tuple(
    np.float32(c)
    for c in (
        -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
        1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
    )
)  # fmt: skip
Q = tuple(np.float32(c) for c in (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03))
LIMIT = np.float32(7.90531110763549805)


@register_jitable(**FLAGS)
def tanh_of_float(x):
    # Comparisons that are false for NaN leave it as it is; min and max might not.
    x = LIMIT if x > LIMIT else (-LIMIT if x < -LIMIT else x)
    y = x * x
    p = ((((((P[0] * y + P[1]) * y + P[2]) * y + P[3]) * y + P[4]) * y + P[5]) * y + P[6]) * x
    return p / (((Q[0] * y + Q[1]) * y + Q[2]) * y + Q[3])


def tanh(x):
    """tanh: a rational approximation in float32, exact to rounding in float64."""
    return np.tanh(x)


@overload(tanh, inline="always")
def _tanh(x):
    if x == numba.float32:
        return lambda x: tanh_of_float(x)
    return lambda x: np.tanh(x)
