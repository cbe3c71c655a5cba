"""The product of two matrices, as blocks of vectors in the compiler's intermediate language.

At the sizes of a step that is faster than BLAS, which packs the weights anew for each step, and whose own threads get
in the way of ours.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import binding, ir
from numba import njit
from numba.core import config

from ncps.backends.kernels.numeric import INNER
from ncps.backends.kernels.vectors import INDEX, Number, Variable, emitted, loop


def vector_size() -> int:
    """Bytes of the widest vectors of the processor that numba compiles for."""
    if config.CPU_FEATURES is not None:
        enabled = config.CPU_FEATURES.split(",")
    else:
        enabled = [f"+{name}" for name, present in binding.get_host_cpu_features().items() if present]
    return 64 if "+avx512f" in enabled else 32 if "+avx2" in enabled else 16


VECTOR = vector_size()
MANY_REGISTERS = VECTOR == 64 or platform.machine().lower() in {"aarch64", "arm64"}  # 32 for vectors, else 16
TALL, WIDE = (8, 2) if MANY_REGISTERS else (4, 2)  # rows and vectors of a tile, whose sums stay in registers
HALF = TALL // 2
LONG = 4  # vectors of a tile of one row


def emit_tile(builder, rows, vectors, width, a, b, base, c, depth):
    """Emits c = base + a b for one tile, whose sums stay in registers.

    Args:
        builder: of the code.
        rows: of the tile.
        vectors: columns of the tile, in vectors.
        width: numbers of a vector.
        a: pointer, stride between rows, stride along the depth.
        b: pointer, stride along the depth.
        base: pointer, stride between rows.
        c: pointer, stride between rows.
        depth: terms of a sum.
    """
    number = a[0].type.pointee
    vector, places = ir.VectorType(number, width), ir.VectorType(ir.IntType(32), width)
    size = 4 if isinstance(number, ir.FloatType) else 8

    def at(pointer, stride, i, v):
        """Where vector `v` of row `i` lies."""
        address = builder.gep(pointer, [builder.add(builder.mul(stride, INDEX(i)), INDEX(v * width))])
        return builder.bitcast(address, vector.as_pointer())

    def load(pointer, stride, i, v):
        return Number(builder, builder.load(at(pointer, stride, i, v), align=size))

    def everywhere(pointer):
        """The one number there, in all places of a vector."""
        first = builder.insert_element(vector(ir.Undefined), builder.load(pointer), ir.IntType(32)(0))
        return Number(builder, builder.shuffle_vector(first, vector(ir.Undefined), places(None)))

    tile = [(i, v) for i in range(rows) for v in range(vectors)]
    sums = {place: Variable(load(*base, *place)) for place in tile}
    with loop(builder, 0, depth) as k:
        a_now, b_now = (builder.gep(pointer, [builder.mul(stride, k)]) for pointer, *_, stride in (a, b))
        weights = [load(b_now, b[1], 0, v) for v in range(vectors)]
        for i in range(rows):
            x = everywhere(builder.gep(a_now, [builder.mul(a[1], INDEX(i))]))
            for v in range(vectors):
                sums[i, v].add(x * weights[v])
    for place in tile:
        builder.store(sums[place].now.value, at(*c, *place), align=size)


def make_strip(rows: int, vectors: int) -> Any:
    """Function for as many rows of `product`, all columns: `vectors` at a time, then one, then single numbers."""

    @emitted
    def strip(builder, a, a_row, a_depth, b, base, base_row, c, i, depth):
        """The rows from `i`."""
        columns, full = c.shape[1], VECTOR // c.size
        strides = (a, a_row), (base, base_row), (c, columns)
        a_now, *others = (builder.gep(x.data, [builder.mul(stride, i)]) for x, stride in strides)
        begin = INDEX(0)
        for count, width in ((vectors, full), (1, full), (1, 1)):
            end = builder.sub(columns, builder.srem(columns, INDEX(count * width)))
            with loop(builder, begin, end, count * width) as j:
                b_now, base_now, c_now = (builder.gep(pointer, [j]) for pointer in (b.data, *others))
                emit_tile(
                    builder, rows, count, width,
                    (a_now, a_row, a_depth), (b_now, columns), (base_now, base_row), (c_now, columns), depth,
                )  # fmt: skip
            begin = end

    return strip


tall_strip, half_strip, single_strip = make_strip(TALL, WIDE), make_strip(HALF, WIDE), make_strip(1, LONG)


@njit(**INNER)
def product(a, a_row, a_depth, b, base, base_row, c, depth):
    """c = base + a b, for the strides of a between rows and along the depth and of base between rows.

    All have two dimensions; b and c have the same number of columns, without gaps. A stride of 0 gives all rows of c
    the same base; base may be c itself.
    """
    rows = c.shape[0]
    i = 0
    while i + TALL <= rows:
        tall_strip(a, a_row, a_depth, b, base, base_row, c, i, depth)
        i += TALL
    while i + HALF <= rows:
        half_strip(a, a_row, a_depth, b, base, base_row, c, i, depth)
        i += HALF
    while i < rows:
        single_strip(a, a_row, a_depth, b, base, base_row, c, i, depth)
        i += 1
