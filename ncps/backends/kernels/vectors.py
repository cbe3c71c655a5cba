"""Loops over vectors of lanes, written in the intermediate language of the compiler.

The compiler makes vectors of plain loops too. But then it adds code that finds out whether arrays overlap and loops for
the case that they do, keeps sums in memory, and takes ten times as long. With the classes here, code that emits a loop
reads like the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8  # numbers of a vector, of either type: what AVX has for float32; the compiler splits it where there are fewer
EXACT = ("nsz", "arcp", "contract", "afn")  # neither "no NaN" nor "any order": see numeric.py
INDEX = ir.IntType(64)


class Number:
    """A number, or a vector of them, in emitted code; arithmetic emits instructions. Python's numbers are constants."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder, self.value = builder, value

    def constant(self, number: float, kind: ir.Type | None = None) -> ir.Constant:
        """A number in all lanes."""
        kind = kind or self.value.type
        return ir.Constant(kind, [number] * kind.count if isinstance(kind, ir.VectorType) else number)

    def emit(self, operation: str, other: Number | float) -> Number:
        value = other.value if isinstance(other, Number) else self.constant(float(other))
        return Number(self.builder, getattr(self.builder, operation)(self.value, value, flags=EXACT))

    def __add__(self, other: Number | float) -> Number:
        return self.emit("fadd", other)

    def __sub__(self, other: Number | float) -> Number:
        return self.emit("fsub", other)

    def __mul__(self, other: Number | float) -> Number:
        return self.emit("fmul", other)

    def __truediv__(self, other: Number | float) -> Number:
        return self.emit("fdiv", other)

    def __rtruediv__(self, other: float) -> Number:
        return Number(self.builder, self.constant(other)) / self

    def clip(self, limit: float) -> Number:
        """Cut off at ±limit. No comparison holds for NaN, which stays."""
        value = self.value
        for sign, edge in ((">", limit), ("<", -limit)):
            edge = self.constant(edge)
            value = self.builder.select(self.builder.fcmp_ordered(sign, value, edge), edge, value)
        return Number(self.builder, value)

    def shifted_bits(self, places: int) -> Number:
        """The number whose bits are those of this one, shifted to the left."""
        kind = self.value.type
        bits = ir.IntType(32 if self.single else 64)
        if isinstance(kind, ir.VectorType):
            bits = ir.VectorType(bits, kind.count)
        shifted = self.builder.shl(self.builder.bitcast(self.value, bits), self.constant(places, bits))
        return Number(self.builder, self.builder.bitcast(shifted, kind))

    @property
    def single(self) -> bool:
        """Whether this is float32."""
        kind = self.value.type
        return isinstance(kind.element if isinstance(kind, ir.VectorType) else kind, ir.FloatType)


class Variable:
    """A vector that changes; the compiler keeps it in a register."""

    def __init__(self, first: Number) -> None:
        self.builder = first.builder
        self.place = cgutils.alloca_once(self.builder, first.value.type)
        self.builder.store(first.value, self.place)

    @property
    def now(self) -> Number:
        return Number(self.builder, self.builder.load(self.place))

    def add(self, other: Number) -> None:
        self.builder.store((self.now + other).value, self.place)


class Array:
    """A contiguous array of the kernel. Indices are Python's integers or emitted ones, and are not checked."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: types.Array, value: ir.Value) -> None:
        array = context.make_array(kind)(context, builder, value)
        self.builder, self.data = builder, array.data
        self.shape = cgutils.unpack_tuple(builder, array.shape)
        self.number = array.data.type.pointee
        self.size = context.get_abi_sizeof(self.number)
        self.lanes = 1  # of the vectors that are read and written

    def pointer(self, *indices: Any) -> ir.Value:
        place = INDEX(0)
        for index, length in zip(indices, self.shape, strict=True):
            index = INDEX(index) if isinstance(index, int) else index
            place = self.builder.add(self.builder.mul(place, length), index)
        return self.builder.gep(self.data, [place])

    def vector(self, *indices: Any) -> ir.Value:
        """Pointer to the vector that begins at an element."""
        if self.lanes == 1:
            return self.pointer(*indices)
        return self.builder.bitcast(self.pointer(*indices), ir.VectorType(self.number, self.lanes).as_pointer())

    def load(self, *indices: Any) -> Number:
        """The vector that begins at an element."""
        return Number(self.builder, self.builder.load(self.vector(*indices), align=self.size))

    def store(self, vector: Number, *indices: Any) -> None:
        self.builder.store(vector.value, self.vector(*indices), align=self.size)

    def everywhere(self, *indices: Any) -> Number:
        """An element in all lanes."""
        value = self.builder.load(self.pointer(*indices))
        if self.lanes > 1:
            nothing = ir.VectorType(self.number, self.lanes)(ir.Undefined)
            first = ir.VectorType(ir.IntType(32), self.lanes)([0] * self.lanes)
            value = self.builder.insert_element(nothing, value, ir.IntType(32)(0))
            value = self.builder.shuffle_vector(value, nothing, first)
        return Number(self.builder, value)

    def index(self, *indices: Any) -> ir.Value:
        """An element of an array of integers."""
        return self.builder.sext(self.builder.load(self.pointer(*indices)), INDEX)


@contextmanager
def loop(builder: ir.IRBuilder, begin: Any, end: Any, step: int = 1) -> Iterator[ir.Value]:
    """Emits ``for i in range(begin, end, step)``."""
    begin = INDEX(begin) if isinstance(begin, int) else begin
    with cgutils.for_range_slice(builder, begin, end, INDEX(step), INDEX) as (i, _):
        yield i


def emitted(emit: Callable[..., None]) -> Any:
    """A function for kernels whose code is what ``emit(builder, *arguments)`` emits; it returns nothing.

    Arguments are arrays, integers or None.
    """

    @wraps(emit)  # the names of the arguments, with the context of types in the builder's place
    def define(_: Any, *kinds: types.Type) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
            emit(builder, *[argument(context, builder, *x) for x in zip(signature.args, values, strict=True)])
            return context.get_dummy_value()

        return types.void(*kinds), generate

    return intrinsic(define)


def by_lanes(emit: Callable[..., None]) -> Callable[..., None]:
    """Two versions of the code: one for numbers, where the first argument's last axis has the length 1."""

    @wraps(emit)
    def both(builder: ir.IRBuilder, *given: Any) -> None:
        one = builder.icmp_signed("==", given[0].shape[-1], INDEX(1))
        with builder.if_else(one) as branches:
            for branch, lanes in zip(branches, (1, LANES), strict=True):
                with branch:
                    for x in given:
                        if isinstance(x, Array):
                            x.lanes = lanes
                    emit(builder, *given)

    return both


def argument(context: Any, builder: ir.IRBuilder, kind: types.Type, value: ir.Value) -> Any:
    """An argument as code that emits knows it."""
    if isinstance(kind, types.Array):
        return Array(context, builder, kind, value)
    return None if isinstance(kind, types.NoneType) else value
