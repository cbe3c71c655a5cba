"""Functions that kernels share, in forms that the compiler vectorises, for float32 and float64."""

from __future__ import annotations

import numba
import numpy as np
from numba.extending import overload, register_jitable

# Without nnan and ninf, which would allow the compiler to assume that there is no NaN: one in a sample must come out of
# that sample. Sums may be reordered, which vectors need.
FLAGS = {"fastmath": {"nsz", "arcp", "contract", "afn", "reassoc"}, "error_model": "numpy"}
KERNEL = {**FLAGS, "nogil": True, "cache": True}
# Not where a number is rounded by adding a large one and subtracting it again.
IN_ORDER = {**FLAGS, "fastmath": {"nsz", "arcp", "contract", "afn"}}

# -- powers of two, on which the sigmoid and the tanh of float64 rest

# 2^f = 1 + f (c_0 + c_1 f + ...) on [-1/2, 1/2], the best in relative error: 9.1e-8 and 3.3e-18.
C32 = tuple(np.float32(c) for c in (0.693147, 0.24022242, 0.055507336, 0.009671514, 0.0013264731))
C64 = (
    0.6931471805599453, 0.2402265069591013, 0.05550410866482013, 0.009618129107594114, 0.0013333558146761554,
    0.000154035304570933, 1.5252733505573147e-05, 1.3215435301196744e-06, 1.0178194527293234e-07,
    7.073778818581331e-09, 4.435505201300861e-10,
)  # fmt: skip
# Added to t, they leave its nearest integer plus the bias of exponents in the last digits. Shifted to the place of the
# exponent, these are a power of two.
MAGIC32, MAGIC64 = np.float32(1.5 * 2**23 + 127), 1.5 * 2**52 + 1023
TOP32, TOP64 = np.float32(126), 1022.0  # with the exponents of normal numbers

LOG2_E = float(np.log2(np.e))


@register_jitable(**IN_ORDER)
def power_of_float(t):
    """(n, f) = 2^(the integer nearest to t), t minus that integer."""
    shifted = t + MAGIC32
    return np.int32(np.float32(shifted).view(np.int32) << np.int32(23)).view(np.float32), t - (shifted - MAGIC32)


@register_jitable(**IN_ORDER)
def power_of_double(t):
    shifted = t + MAGIC64
    return np.int64(np.float64(shifted).view(np.int64) << np.int64(52)).view(np.float64), t - (shifted - MAGIC64)


@register_jitable(**FLAGS)
def rest_of_float(f):
    """2^f - 1."""
    return ((((C32[4] * f + C32[3]) * f + C32[2]) * f + C32[1]) * f + C32[0]) * f


@register_jitable(**FLAGS)
def rest_of_double(f):
    p = ((((C64[10] * f + C64[9]) * f + C64[8]) * f + C64[7]) * f + C64[6]) * f + C64[5]
    return (((((p * f + C64[4]) * f + C64[3]) * f + C64[2]) * f + C64[1]) * f + C64[0]) * f


@register_jitable(**FLAGS)
def closed_of_float(t):
    t = min(max(t, -TOP32), TOP32)  # in this order NaN stays, as no comparison holds for it
    power, f = power_of_float(t)
    one = np.float32(1)
    return one / (one + power * (one + rest_of_float(f)))


@register_jitable(**FLAGS)
def closed_of_double(t):
    t = min(max(t, -TOP64), TOP64)
    power, f = power_of_double(t)
    return 1.0 / (1.0 + power * (1.0 + rest_of_double(f)))


def logistic(t):
    """1 / (1 + 2^t), which is the sigmoid of -t / log2(e): relative error below 3e-7 in float32, 1e-15 in float64."""
    return 1 / (1 + np.exp2(t))


@overload(logistic, inline="always")
def _logistic(t):
    if t == numba.float32:
        return closed_of_float
    return closed_of_double


# -- tanh

# Coefficients of the rational approximation of Eigen (generic_fast_tanh_float): error below 4e-7 with the odd powers
# above and the even ones below, on [-LIMIT, LIMIT], where tanh is 1 in float32.
P = tuple(
    np.float32(c)
    for c in (
        -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
        1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
    )
)  # fmt: skip
Q = tuple(
    np.float32(c) for c in (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
)
LIMIT32, LIMIT64 = np.float32(7.90531110763549805), 20.0


@register_jitable(**FLAGS)
def tanh_of_float(x):
    x = min(max(x, -LIMIT32), LIMIT32)
    y = x * x
    p = ((((((P[0] * y + P[1]) * y + P[2]) * y + P[3]) * y + P[4]) * y + P[5]) * y + P[6]) * x
    return p / (((Q[0] * y + Q[1]) * y + Q[2]) * y + Q[3])


@register_jitable(**IN_ORDER)
def tanh_of_double(x):
    """(e^2x - 1) / (e^2x + 1), with e^2x - 1 put together from parts that do not cancel."""
    x = min(max(x, -LIMIT64), LIMIT64)
    power, f = power_of_double(x * (2 * LOG2_E))
    above = power * rest_of_double(f) + (power - 1.0)
    return above / (above + 2.0)


def tanh(x):
    """tanh: error below 4e-7 in float32, 1e-15 in float64."""
    return np.tanh(x)


@overload(tanh, inline="always")
def _tanh(x):
    if x == numba.float32:
        return tanh_of_float
    return tanh_of_double
