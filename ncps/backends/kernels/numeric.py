"""Functions that kernels share, in forms that the compiler vectorises, for float32 and float64."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ncps.backends.kernels.vectors import Number

# Without nnan and ninf, which would allow the compiler to assume that there is no NaN: one in a sample must come out of
# that sample. Sums may be reordered, which vectors need.
FLAGS = {"fastmath": {"nsz", "arcp", "contract", "afn", "reassoc"}, "error_model": "numpy"}
KERNEL = {**FLAGS, "nogil": True}
INNER = {**FLAGS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # of functions that only kernels call

LOG2_E = float(np.log2(np.e))
SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()


def compiled(function: Callable[..., Any]) -> Any:
    """Compiles a kernel, or reads its machine code from the disk.

    numba keeps that under the function's name and looks whether its file has changed, but not whether those have whose
    functions it calls. So the name tells of all files here.
    """
    function.__qualname__ += f"_{SOURCES[:12]}"
    try:
        return njit(**KERNEL, cache=True)(function)
    except RuntimeError:  # there is no folder to write to
        return njit(**KERNEL)(function)


# 2^f = 1 + f (c_0 + c_1 f + ...) on [-1/2, 1/2], the best in relative error: 9.1e-8 and 3.3e-18.
POWER32 = (0.693147, 0.24022242, 0.055507336, 0.009671514, 0.0013264731)
POWER64 = (
    0.6931471805599453, 0.2402265069591013, 0.05550410866482013, 0.009618129107594114, 0.0013333558146761554,
    0.000154035304570933, 1.5252733505573147e-05, 1.3215435301196744e-06, 1.0178194527293234e-07,
    7.073778818581331e-09, 4.435505201300861e-10,
)  # fmt: skip

# The rational approximation of tanh of Eigen (generic_fast_tanh_float): odd powers above, even ones below. Its error is
# below 4e-7 on [-LIMIT32, LIMIT32]; beyond, tanh is 1 in float32.
ABOVE = (
    4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08,
    -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16,
)  # fmt: skip
BELOW = (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
LIMIT32, LIMIT64 = 7.90531110763549805, 20.0


def function(emit: Callable[[Number], Number]) -> Any:
    """A function of a number for kernels, whose code is what ``emit`` emits."""

    def define(_: Any, kind: Any) -> Any:
        def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
            return emit(Number(builder, values[0])).value

        return kind(kind), generate

    return intrinsic(define)


def polynomial(x: Number, coefficients: tuple[float, ...]) -> Number:
    """c_0 + c_1 x + ..."""
    *others, last = coefficients
    total = x * last + others.pop()
    for c in reversed(others):
        total = total * x + c
    return total


def parts_of_power(t: Number) -> tuple[Number, Number]:
    """(p, q) with p = 2^n for the integer n nearest to t, and p (1 + q) = 2^t."""
    digits, bias, top, coefficients = (23, 127, 126, POWER32) if t.single else (52, 1023, 1022, POWER64)
    t = t.clip(top)  # where powers are normal numbers
    # The sum has n plus the bias of exponents in its last digits. Shifted to the place of the exponent, they are 2^n.
    magic = 1.5 * 2**digits + bias
    shifted = t + magic
    f = t - (shifted - magic)
    return shifted.shifted_bits(digits), f * polynomial(f, coefficients)


def logistic_of(t: Number) -> Number:
    """1 / (1 + 2^t), which is the sigmoid of -t / log2(e): relative error below 3e-7 in float32, 1e-15 in float64."""
    p, q = parts_of_power(t)
    return 1.0 / (p * (q + 1.0) + 1.0)


def ratio_of_tanh(x: Number) -> tuple[Number, Number]:
    """Two numbers whose ratio is tanh: error below 4e-7 in float32, 1e-15 in float64."""
    if x.single:
        x = x.clip(LIMIT32)
        square = x * x
        return polynomial(square, ABOVE) * x, polynomial(square, BELOW)
    p, q = parts_of_power(x.clip(LIMIT64) * (2 * LOG2_E))
    above = p * q + (p - 1.0)  # e^2x - 1, of parts that do not cancel
    return above, above + 2.0


def tanh_of(x: Number) -> Number:
    """tanh."""
    above, below = ratio_of_tanh(x)
    return above / below


def tanh_of_both(x: Number, y: Number) -> tuple[Number, Number]:
    """tanh of two numbers with one division, which takes longer than all the rest: error below 5e-7, or 1e-15.

    A NaN in one is in both.
    """
    (above_x, below_x), (above_y, below_y) = ratio_of_tanh(x), ratio_of_tanh(y)
    inverse = 1.0 / (below_x * below_y)
    return above_x * below_y * inverse, above_y * below_x * inverse


logistic = function(logistic_of)
tanh = function(tanh_of)


# -- denormal numbers

# Gradients that fade over many steps end in numbers below 1e-38, which take x86 processors ten times as long:
# a sequence of which only the last output counts is such a case. In kernels they are zeros.
X86 = platform.machine().lower() in {"x86_64", "amd64", "x86", "i386", "i686"}
ZEROS = 0x8040  # bits of the control register: denormal results and arguments are zeros


@intrinsic
def float_control(_: Any) -> Any:
    """The register that controls arithmetic in this thread; 0 on processors to which this does not matter."""

    def generate(_: Any, builder: Any, __: Any, ___: Any) -> Any:
        place = cgutils.alloca_once_value(builder, ir.IntType(32)(0))
        if X86:
            call_with_place(builder, "llvm.x86.sse.stmxcsr", place)
        return builder.load(place)

    return types.uint32(), generate


@intrinsic
def set_float_control(_: Any, control: Any) -> Any:
    """Sets that register."""

    def generate(context: Any, builder: Any, __: Any, values: Any) -> Any:
        if X86:
            call_with_place(builder, "llvm.x86.sse.ldmxcsr", cgutils.alloca_once_value(builder, values[0]))
        return context.get_dummy_value()

    return types.void(types.uint32), generate


def call_with_place(builder: Any, name: str, place: Any) -> None:
    """Calls a function of the compiler with an address."""
    kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t])
    called = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(called, [builder.bitcast(place, cgutils.voidptr_t)])


@njit(**INNER)
def without_denormals():
    """From now on denormal numbers are zeros in this thread; returns what `set_float_control` undoes it with."""
    control = float_control()
    set_float_control(np.uint32(control | ZEROS))
    return control
