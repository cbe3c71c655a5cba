"""CfC over whole sequences on CPUs, forward and backward.

A stack of layers runs step by step over blocks of samples that stay in the cache. All linear maps of a layer are the
same kernel, `product`: rows of one buffer times weights give the rows of the next. What the maps of a stack are and
where their rows lie stands in a table, so one compilation serves all architectures.

The products are written out here, as blocks of vectors in the compiler's intermediate language. At these sizes that is
faster than BLAS, which packs the weights anew for each step, and whose own threads get in the way of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils, config
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from ncps.backends.kernels.numeric import FLAGS, KERNEL, tanh
from ncps.backends.kernels.pool import BLOCK, Range, ranges, spread

Array = np.ndarray

# Activations p tanh(q x) + r; their slope follows from their value.
SQUASHING = {"tanh": (1.0, 1.0, 0.0), "lecun_tanh": (1.7159, 0.666, 0.0), "sigmoid": (0.5, 0.5, 0.5)}
SQUASH, LINEAR, RELU, SILU, GELU = range(5)
CODES = {**dict.fromkeys(SQUASHING, SQUASH), None: LINEAR, "linear": LINEAR, "relu": RELU, "silu": SILU, "gelu": GELU}
ACTIVATIONS = frozenset(CODES)

MODES = {"default": 0, "no_gate": 1, "pure": 2}
DEFAULT, NO_GATE, PURE = MODES.values()

FEW = 8  # samples times steps below which weights are taken as they lie: laying them out costs more than it gains
CHUNK = 128  # rows of a product of weight gradients; it collects steps until there are as many
OPERATIONS = 120  # multiplications that take as long as one operation of pool.ranges


INNER = {**FLAGS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # functions that only kernels call


class Layer(NamedTuple):
    """The parameters of a layer with H units, K inputs of the heads."""

    backbone: tuple[tuple[Array, Array], ...]  # kernel and bias of each dense layer
    heads: tuple[Array, Array]  # (K, n H) and (n H,): ff1, ff2, time_a, time_b side by side; ff1 alone in the mode pure
    tau: tuple[Array, ...] = ()  # w_tau (H,) and A (H,) in the mode pure

    @property
    def maps(self) -> tuple[tuple[Array, Array], ...]:
        """All kernels and biases, in the order of use."""
        return (*self.backbone, self.heads)


# -- products


def vector_size() -> int:
    """Bytes of the widest vectors of the processor that numba compiles for."""
    if config.CPU_FEATURES is not None:
        enabled = config.CPU_FEATURES.split(",")
    elif config.CPU_NAME is not None:
        enabled = []  # not the machine's own: what all of them have
    else:
        enabled = [f"+{name}" for name, present in binding.get_host_cpu_features().items() if present]
    return 64 if "+avx512f" in enabled else 32 if "+avx2" in enabled else 16


VECTOR = vector_size()
# Rows and vectors of a tile, whose sums stay in registers: 32 of them with AVX-512, else 16 at least.
TALL, WIDE = (8, 2) if VECTOR == 64 else (4, 2)
HALF = TALL // 2
LONG = 4  # vectors of a tile of one row


def emit_tile(builder, size, rows, vectors, width, a, b, base, c, depth):
    """Emits c = base + a b for one tile, whose sums stay in registers.

    Args:
        builder: of the code.
        size: bytes of a number.
        rows: of the tile.
        vectors: columns of the tile, in vectors.
        width: numbers of a vector.
        a: pointer, stride between rows and stride along the depth.
        b: pointer and stride along the depth.
        base: pointer and stride between rows.
        c: pointer and stride between rows.
        depth: terms of a sum.
    """
    index, number = depth.type, a[0].type.pointee
    vector = ir.VectorType(number, width)

    def at(pointer, stride, i, v=0):
        """Where vector `v` of row `i` lies."""
        address = builder.gep(pointer, [builder.add(builder.mul(stride, index(i)), index(v * width))])
        return builder.bitcast(address, vector.as_pointer())

    def everywhere(x):
        """The number in all places of a vector."""
        first = builder.insert_element(vector(ir.Undefined), x, ir.IntType(32)(0))
        places = ir.VectorType(ir.IntType(32), width)
        return builder.shuffle_vector(first, vector(ir.Undefined), places(None))

    # The compiler turns these variables of the stack into registers.
    sums = {(i, v): cgutils.alloca_once(builder, vector) for i in range(rows) for v in range(vectors)}
    for (i, v), total in sums.items():
        builder.store(builder.load(at(*base, i, v), align=size), total)
    a_pointer, a_row, a_depth = a
    b_pointer, b_depth = b
    with cgutils.for_range(builder, depth) as loop:
        a_now = builder.gep(a_pointer, [builder.mul(a_depth, loop.index)])
        b_now = builder.gep(b_pointer, [builder.mul(b_depth, loop.index)])
        weights = [builder.load(at(b_now, b_depth, 0, v), align=size) for v in range(vectors)]
        for i in range(rows):
            x = everywhere(builder.load(builder.gep(a_now, [builder.mul(a_row, index(i))])))
            for v in range(vectors):
                term = builder.fmul(x, weights[v], flags=("contract",))
                builder.store(builder.fadd(builder.load(sums[i, v]), term, flags=("contract",)), sums[i, v])
    for (i, v), total in sums.items():
        builder.store(builder.load(total), at(*c, i, v), align=size)


def make_strip(rows: int, vectors: int) -> Any:
    """Intrinsic for as many rows of `product`, all columns: `vectors` at a time, then one, then single numbers."""

    @intrinsic
    def strip(typing_context, a, a_row, a_depth, b, base, base_row, c, i, depth):
        """The rows from `i`."""
        n = types.intp
        signature = types.void(a, n, n, b, base, n, c, n, n)

        def generate(context, builder, signature, arguments):
            arrays = {k: context.make_array(signature.args[k])(context, builder, arguments[k]) for k in (0, 3, 4, 6)}
            a, b, base, c = (arrays[k].data for k in (0, 3, 4, 6))
            _, a_row, a_depth, _, _, base_row, _, i, depth = arguments
            columns = builder.extract_value(arrays[6].shape, 1)
            size = context.get_abi_sizeof(a.type.pointee)
            a, base, c = (
                builder.gep(x, [builder.mul(i, stride)]) for x, stride in ((a, a_row), (base, base_row), (c, columns))
            )
            begin = i.type(0)
            for count, width in ((vectors, VECTOR // size), (1, VECTOR // size), (1, 1)):
                step = i.type(count * width)
                end = builder.sub(columns, builder.srem(columns, step))
                with cgutils.for_range_slice(builder, begin, end, step, i.type) as (j, _):
                    b_now, base_now, c_now = (builder.gep(x, [j]) for x in (b, base, c))
                    emit_tile(
                        builder, size, rows, count, width,
                        (a, a_row, a_depth), (b_now, columns), (base_now, base_row), (c_now, columns), depth,
                    )  # fmt: skip
                begin = end
            return context.get_dummy_value()

        return signature, generate

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


@njit(**INNER)
def add_weight_gradient(inputs, deltas, kernel, bias):
    """Adds inputsᵀ deltas to the gradient of a kernel and the sum of deltas to that of its bias (1, N)."""
    product(inputs, 1, inputs.shape[1], deltas, kernel, kernel.shape[1], kernel, deltas.shape[0])
    for i in range(deltas.shape[0]):
        for j in range(deltas.shape[1]):
            bias[0, j] += deltas[i, j]


# -- activations


@njit(**INNER)
def squash(x, begin, end, scales):
    """p tanh(q x) + r in a range of columns, in place; p, q, r of each column are the first rows of `scales`."""
    for i in range(x.shape[0]):
        for j in range(begin, end):
            x[i, j] = scales[0, j] * tanh(scales[1, j] * x[i, j]) + scales[2, j]


@njit(**INNER)
def activate(x, slopes, columns, code):
    """The activations whose slope does not follow from their value, in place, and their slopes."""
    one, half = x.dtype.type(1), x.dtype.type(0.5)
    a, b = x.dtype.type(0.7978845608028654), x.dtype.type(0.044715)
    for i in range(x.shape[0]):
        if code == LINEAR:
            for j in range(columns):
                slopes[i, j] = one
        elif code == RELU:
            for j in range(columns):
                slopes[i, j] = one if x[i, j] > 0 else 0
                x[i, j] = 0 if x[i, j] < 0 else x[i, j]  # NaN stays
        elif code == SILU:
            for j in range(columns):
                gate = half * tanh(half * x[i, j]) + half
                slopes[i, j] = gate * (one + x[i, j] * (one - gate))
                x[i, j] *= gate
        elif code == GELU:
            for j in range(columns):
                v = x[i, j]
                th = tanh(a * v * (one + b * v * v))
                slopes[i, j] = half * (one + th + a * v * (one - th * th) * (one + (b + b + b) * v * v))
                x[i, j] = half * v * (one + th)


@njit(**INNER)
def slope(y, j, scales):
    """d/dx of a squashing activation from its value."""
    u = y - scales[2, j]
    return scales[3, j] - scales[4, j] * u * u


# -- tables

# Columns of the table of layers: range of maps, inputs from below, units, units of the layers before, where the rows
# [from below, own state] begin among the values, where the gradients of tau.
FIRST, LAST, BELOW, UNITS, STATE, SOURCE, TAU = range(7)
# Columns of the table of maps: inputs, outputs, outputs with padding, inputs with padding, where its rows begin among
# the values and those of its slopes, its activation, where its gradients begin, and its columns among those of all.
DEPTH, WIDTH, PITCH, BACK, VALUES, SLOPES, CODE, KERNEL_GRADIENT, BIAS_GRADIENT, COLUMN = range(10)


class Plan(NamedTuple):
    """An architecture as tables for the kernels."""

    layers: Array
    maps: Array
    scales: Array  # of each map (5, columns): p, q, r of squashing activations, p q and q / p for their slope
    values: int  # numbers to keep of a sample and step
    parameters: int  # numbers of a gradient
    work: float  # operations of a sample and step

    def tau_rows(self) -> range:
        """Rows of the table of addresses which tell the parameters of tau."""
        return range(len(self.maps), len(self.maps) + len(self.layers))


def padded(size: int, dtype: Any) -> int:
    """`size` up to a multiple of the numbers in a vector."""
    unit = VECTOR // np.dtype(dtype).itemsize
    return -(-size // unit) * unit


@lru_cache(maxsize=256)
def plan_of(features, shapes, mode, backbone_activation, head_activation, folded, packed, dtype) -> Plan:
    """The tables for layers of `shapes`: the shapes of their kernels.

    Args:
        features: number of inputs.
        shapes: for each layer those of the kernels.
        mode: the name.
        backbone_activation: name.
        head_activation: name.
        folded: time_a and time_b have become one head.
        packed: rows are padded to whole vectors.
        dtype: of all arrays.
    """
    fill = (lambda n: padded(n, dtype)) if packed else lambda n: n
    heads = 1 if mode == "pure" else 4
    layers: list[list[int]] = []
    maps: list[list[int]] = []
    scales: list[Array] = []
    values = parameters = column = state = 0
    below = features
    for kernels in shapes:
        units = kernels[-1][1] // heads
        source, values = values, values + fill(below + units)
        first = len(maps)
        for i, (depth, width) in enumerate(kernels):
            last = i == len(kernels) - 1
            width = 3 * units if last and folded else width
            activation = head_activation if last and mode != "pure" else "linear" if last else backbone_activation
            code, pitch = CODES[activation], fill(width)
            slopes = values + pitch
            bias = parameters + depth * pitch
            maps.append([depth, width, pitch, fill(depth), values, slopes, code, parameters, bias, column])
            values += pitch if code == SQUASH else 2 * pitch
            parameters, column = bias + pitch, column + pitch
            scales.append(scales_of(pitch, activation, units if last and mode != "pure" else None))
        layers.append([first, len(maps), below, units, state, source, parameters])
        parameters += fill(2 * units) if mode == "pure" else 0
        state, below = state + units, units
    table = np.array(maps, np.int64)
    work = float((table[:, DEPTH] * table[:, WIDTH]).sum() / OPERATIONS + table[:, WIDTH].sum() / 2)
    columns = np.concatenate([x.ravel() for x in scales]).astype(dtype)
    return Plan(np.array(layers, np.int64), table, columns, values, parameters, work)


def scales_of(pitch: int, activation: str | None, units: int | None) -> Array:
    """p, q, r, p q and q / p for the columns of a map; with `units` it is that of the heads, with a gate."""
    p, q, r = (np.full(pitch, x) for x in SQUASHING.get(activation or "linear", SQUASHING["tanh"]))
    if units is not None:
        for x, gate in zip((p, q, r), SQUASHING["sigmoid"], strict=True):
            x[2 * units : 3 * units] = gate
    return np.stack([p, q, r, p * q, q / p])


def rows_at(context, builder, array_type, pointer, rows, columns):
    """An array of rows without gaps in memory that others own."""
    array = context.make_array(array_type)(context, builder)
    size = cgutils.sizeof(builder, pointer.type)
    strides = [builder.mul(columns, size), size]
    populate_array(array, pointer, [rows, columns], strides, size, None)
    return array._getvalue()


@intrinsic
def view(typing_context, flat, start, rows, columns):
    """Rows of a flat array, one behind the other from `start`. Slices would be checked and counted, each time."""
    signature = types.Array(flat.dtype, 2, "C")(flat, types.intp, types.intp, types.intp)

    def generate(context, builder, signature, arguments):
        flat, start, rows, columns = arguments
        data = context.make_array(signature.args[0])(context, builder, flat).data
        return rows_at(context, builder, signature.return_type, builder.gep(data, [start]), rows, columns)

    return signature, generate


@intrinsic
def matrix(typing_context, address, rows, columns, like):
    """Rows at an address. Handed over as addresses, parameters of any number have one type, and are not copied."""
    signature = types.Array(like.dtype, 2, "C")(types.intp, types.intp, types.intp, like)

    def generate(context, builder, signature, arguments):
        address, rows, columns, _ = arguments
        number = context.get_data_type(signature.return_type.dtype)
        pointer = builder.inttoptr(address, number.as_pointer())
        return rows_at(context, builder, signature.return_type, pointer, rows, columns)

    return signature, generate


@njit(**INNER)
def elapsed(times, b, t):
    """Time of a sample's step; it may be common to all samples or steps."""
    return times[b if times.shape[0] > 1 else 0, t if times.shape[1] > 1 else 0]


@njit(**INNER)
def counts(valid, b, t):
    """Whether a sample's step counts."""
    return valid.shape[0] == 0 or valid[b, t]


# -- forward


@njit(**INNER)
def start_afresh(resets, states, layers, batch, begin, end, t):
    """Sets (gradients of) states of samples to 0 which are reset before step t."""
    for b in range(begin, end):
        if resets[b, t]:
            for layer in range(layers.shape[0]):
                start, units = batch * layers[layer, STATE], layers[layer, UNITS]
                for i in range(start + b * units, start + (b + 1) * units):
                    states[i] = 0


@njit(**INNER)
def gather_inputs(source, inputs, valid, begin, t):
    """The inputs of a step of the samples from `begin`; zeros where it does not count."""
    for i in range(source.shape[0]):
        b = begin + i
        if counts(valid, b, t):
            for j in range(inputs.shape[2]):
                source[i, j] = inputs[b, t, j]
        else:  # NaN would come back in 0 * NaN among the gradients of weights
            for j in range(inputs.shape[2]):
                source[i, j] = 0


@njit(**INNER)
def gather_states(source, offset, state):
    """States, from the column `offset`."""
    for i in range(state.shape[0]):
        for j in range(state.shape[1]):
            source[i, offset + j] = state[i, j]


@njit(**INNER)
def squash_heads(heads, slopes, units, code, width, scales, times, valid, begin, t):
    """Turns heads f, g, a, b into f, g, s, a after their activations, f, g, c into f, g, s."""
    if width == 4 * units:
        for i in range(heads.shape[0]):
            b = begin + i
            dt = elapsed(times, b, t) if counts(valid, b, t) else heads.dtype.type(0)
            for n in range(2 * units, 3 * units):
                a = heads[i, n]
                heads[i, n] = a * dt + heads[i, n + units]
                heads[i, n + units] = a
    if code == SQUASH:
        squash(heads, 0, 3 * units if width == 4 * units else heads.shape[1], scales)
    else:
        activate(heads, slopes, 2 * units, code)
        squash(heads, 2 * units, 3 * units, scales)


@njit(**INNER)
def solve(state, heads, mode, w_tau, a, times, valid, begin, t):
    """The states after a step, of samples for which it counts; w_tau and A (1, H) are not read but in the mode pure."""
    units, one = state.shape[1], state.dtype.type(1)
    for i in range(state.shape[0]):
        if not counts(valid, begin + i, t):
            continue
        if mode == DEFAULT:
            for n in range(units):
                f, g, s = heads[i, n], heads[i, units + n], heads[i, 2 * units + n]
                state[i, n] = f + s * (g - f)
        elif mode == NO_GATE:
            for n in range(units):
                state[i, n] = heads[i, n] + heads[i, 2 * units + n] * heads[i, units + n]
        else:
            dt = elapsed(times, begin + i, t)
            for n in range(units):
                f = heads[i, n]
                state[i, n] = a[0, n] * (one - np.exp(-dt * (abs(w_tau[0, n]) + abs(f))) * f)


@njit(**INNER)
def forward_block(
    inputs, times, valid, resets, states, outputs, values, slots, layers, maps, addresses, scales, mode, begin, end
):
    """All steps of the samples from `begin` to `end`; `values` has room for `slots` steps, 1 or all."""
    batch, steps, features = inputs.shape
    m = end - begin
    for t in range(steps):
        slot = t if slots == steps else 0
        if resets.shape[0] > 0:
            start_afresh(resets, states, layers, batch, begin, end, t)
        below = view(states, 0, 0, 0)
        for layer in range(layers.shape[0]):
            first, last, units = layers[layer, FIRST], layers[layer, LAST], layers[layer, UNITS]
            state = view(states, batch * layers[layer, STATE] + begin * units, m, units)
            pitch = maps[first, BACK]
            rows = view(values, m * (slots * layers[layer, SOURCE] + slot * pitch), m, pitch)
            if layer == 0:
                gather_inputs(rows, inputs, valid, begin, t)
            else:
                gather_states(rows, 0, below)
            gather_states(rows, layers[layer, BELOW], state)
            for k in range(first, last):
                depth, pitch, column = maps[k, DEPTH], maps[k, PITCH], maps[k, COLUMN]
                weights, bias = matrix(addresses[k, 0], depth, pitch, values), matrix(addresses[k, 1], 1, pitch, values)
                before, rows = rows, view(values, m * (slots * maps[k, VALUES] + slot * pitch), m, pitch)
                product(before, before.shape[1], 1, weights, bias, 0, rows, depth)
                slopes = rows
                if maps[k, CODE] != SQUASH:
                    slopes = view(values, m * (slots * maps[k, SLOPES] + slot * pitch), m, pitch)
                own = view(scales, 5 * column, 5, pitch)
                if k == last - 1:
                    if mode != PURE:
                        squash_heads(rows, slopes, units, maps[k, CODE], maps[k, WIDTH], own, times, valid, begin, t)
                elif maps[k, CODE] == SQUASH:
                    squash(rows, 0, pitch, own)
                else:
                    activate(rows, slopes, pitch, maps[k, CODE])
            w_tau = matrix(addresses[maps.shape[0] + layer, 0], 1, units, values)
            a = matrix(addresses[maps.shape[0] + layer, 1], 1, units, values)
            solve(state, rows, mode, w_tau, a, times, valid, begin, t)
            below = state
        if outputs.shape[1] > 0:
            for i in range(m):
                for n in range(below.shape[1]):
                    outputs[begin + i, t, n] = below[i, n]


@njit(**KERNEL)
def forward_kernel(
    inputs, times, valid, resets, states, outputs, kept, size, layers, maps, addresses, scales, mode, begin, end
):
    """Samples from `begin` to `end`; `kept` is empty or has room for `size` numbers of each sample's step."""
    steps = inputs.shape[1]
    slots = steps if kept.shape[0] > 0 else 1
    for b in range(begin, end, BLOCK):
        stop = min(b + BLOCK, end)
        if kept.shape[0] > 0:
            values = kept[b * steps * size : stop * steps * size]
        else:
            values = np.empty((stop - b) * size, inputs.dtype)
        forward_block(
            inputs, times, valid, resets, states, outputs, values, slots, layers, maps, addresses, scales, mode, b, stop
        )


# -- backward


@njit(**INNER)
def unsolve(d_state, heads, slopes, delta, mode, code, width, scales, times, d_times, valid, begin, t, row):
    """Gradients of the heads before their activations, and of elapsed times, from those of the states after a step."""
    units, one = d_state.shape[1], d_state.dtype.type(1)
    for i in range(d_state.shape[0]):
        b = begin + i
        if not counts(valid, b, t):
            for j in range(delta.shape[1]):
                delta[i, j] = 0
            continue
        for n in range(units):
            f, g, s = heads[i, n], heads[i, units + n], heads[i, 2 * units + n]
            d = d_state[i, n]
            if mode == DEFAULT:
                delta[i, n] = d * (one - s)
                delta[i, 2 * units + n] = d * (g - f) * s * (one - s)
            else:
                delta[i, n] = d
                delta[i, 2 * units + n] = d * g * s * (one - s)
            delta[i, units + n] = d * s
        if code == SQUASH:
            for n in range(2 * units):
                delta[i, n] *= slope(heads[i, n], n, scales)
        else:
            for n in range(2 * units):
                delta[i, n] *= slopes[i, n]
        if width == 4 * units:
            dt, total = elapsed(times, b, t), one - one
            for n in range(2 * units, 3 * units):
                d = delta[i, n]
                total += d * heads[i, units + n]
                delta[i, units + n] = d
                delta[i, n] = d * dt
            d_times[b if row < 0 else row, t if d_times.shape[1] > 1 else 0] += total


@njit(**INNER)
def unsolve_pure(d_state, heads, delta, w_tau, a, d_tau, times, d_times, valid, begin, t, row):
    """The same for the mode pure, with gradients of tau."""
    units, one = d_state.shape[1], d_state.dtype.type(1)
    for i in range(d_state.shape[0]):
        b = begin + i
        if not counts(valid, b, t):
            for j in range(delta.shape[1]):
                delta[i, j] = 0
            continue
        dt, total = elapsed(times, b, t), one - one
        for n in range(units):
            f, d, w = heads[i, n], d_state[i, n], w_tau[0, n]
            rate = abs(w) + abs(f)
            decay = np.exp(-dt * rate)
            d_rate = d * a[0, n] * decay * f
            delta[i, n] = -d * a[0, n] * decay * (one - dt * abs(f))
            d_tau[0, n] += d_rate * dt * np.sign(w)
            d_tau[1, n] += d * (one - decay * f)
            total += d_rate * rate
        d_times[b if row < 0 else row, t if d_times.shape[1] > 1 else 0] += total


@njit(**INNER)
def scatter_inputs(back, d_inputs, valid, begin, t):
    """The gradients of the inputs of a step; zeros where it does not count."""
    for i in range(back.shape[0]):
        b = begin + i
        if counts(valid, b, t):
            for j in range(d_inputs.shape[2]):
                d_inputs[b, t, j] = back[i, j]
        else:
            for j in range(d_inputs.shape[2]):
                d_inputs[b, t, j] = 0


@njit(**INNER)
def scatter_states(back, offset, d_state, valid, begin, t, add):
    """The gradients of states, from the column `offset`; a step that does not count has left them alone."""
    for i in range(back.shape[0]):
        if counts(valid, begin + i, t):
            for n in range(d_state.shape[1]):
                d_state[i, n] = back[i, offset + n] + (d_state[i, n] if add else 0)


@njit(**INNER)
def through_activation(delta, rows, slopes, code, scales):
    """Gradients before an activation from those after it, in place."""
    for i in range(delta.shape[0]):
        if code == SQUASH:
            for j in range(delta.shape[1]):
                delta[i, j] *= slope(rows[i, j], j, scales)
        else:
            for j in range(delta.shape[1]):
                delta[i, j] *= slopes[i, j]


@njit(**INNER)
def backward_block(
    d_outputs, times, valid, resets, values, d_states, d_inputs, d_times, gradient, layers, maps, addresses, scales,
    deltas, buffer, zeros, mode, begin, end, row,
):  # fmt: skip
    """All steps of the samples from `begin` to `end`; adds to `gradient` and to the row `row` of d_times."""
    batch, steps, features = d_inputs.shape
    m = end - begin
    chunk = min(steps, max(1, CHUNK // m))
    zero = view(zeros, 0, 1, zeros.shape[0])
    for stop in range(steps, 0, -chunk):
        start = max(0, stop - chunk)
        for t in range(stop - 1, start - 1, -1):
            slot = t - start
            if d_outputs.shape[1] > 0:
                units = layers[-1, UNITS]
                d_state = view(d_states, batch * layers[-1, STATE] + begin * units, m, units)
                for i in range(m):
                    for n in range(units):
                        d_state[i, n] += d_outputs[begin + i, t, n]
            for layer in range(layers.shape[0] - 1, -1, -1):
                first, last, units = layers[layer, FIRST], layers[layer, LAST], layers[layer, UNITS]
                d_state = view(d_states, batch * layers[layer, STATE] + begin * units, m, units)
                pitch, code, column = maps[last - 1, PITCH], maps[last - 1, CODE], maps[last - 1, COLUMN]
                rows = view(values, m * (steps * maps[last - 1, VALUES] + t * pitch), m, pitch)
                slopes = rows
                if code != SQUASH:
                    slopes = view(values, m * (steps * maps[last - 1, SLOPES] + t * pitch), m, pitch)
                delta = view(deltas, m * (chunk * column + slot * pitch), m, pitch)
                if mode == PURE:
                    w_tau = matrix(addresses[maps.shape[0] + layer, 0], 1, units, values)
                    a = matrix(addresses[maps.shape[0] + layer, 1], 1, units, values)
                    d_tau = view(gradient, layers[layer, TAU], 2, units)
                    unsolve_pure(d_state, rows, delta, w_tau, a, d_tau, times, d_times, valid, begin, t, row)
                else:
                    width, own = maps[last - 1, WIDTH], view(scales, 5 * column, 5, pitch)
                    unsolve(d_state, rows, slopes, delta, mode, code, width, own, times, d_times, valid, begin, t, row)
                for k in range(last - 1, first, -1):
                    width, pitch, code, column = (
                        maps[k, WIDTH],
                        maps[k - 1, PITCH],
                        maps[k - 1, CODE],
                        maps[k - 1, COLUMN],
                    )
                    transposed = matrix(addresses[k, 0], width, pitch, values)
                    after, delta = delta, view(deltas, m * (chunk * column + slot * pitch), m, pitch)
                    product(after, after.shape[1], 1, transposed, zero, 0, delta, width)
                    rows = view(values, m * (steps * maps[k - 1, VALUES] + t * pitch), m, pitch)
                    slopes = rows
                    if code != SQUASH:
                        slopes = view(values, m * (steps * maps[k - 1, SLOPES] + t * pitch), m, pitch)
                    through_activation(delta, rows, slopes, code, view(scales, 5 * column, 5, pitch))
                back = view(buffer, 0, m, maps[first, BACK])
                transposed = matrix(addresses[first, 0], maps[first, WIDTH], maps[first, BACK], values)
                product(delta, delta.shape[1], 1, transposed, zero, 0, back, maps[first, WIDTH])
                scatter_states(back, layers[layer, BELOW], d_state, valid, begin, t, False)
                if layer == 0:
                    scatter_inputs(back, d_inputs, valid, begin, t)
                else:
                    units = layers[layer - 1, UNITS]
                    d_below = view(d_states, batch * layers[layer - 1, STATE] + begin * units, m, units)
                    scatter_states(back, 0, d_below, valid, begin, t, True)
            if resets.shape[0] > 0:
                start_afresh(resets, d_states, layers, batch, begin, end, t)
        for layer in range(layers.shape[0]):
            offset, first = layers[layer, SOURCE], layers[layer, FIRST]
            for k in range(first, layers[layer, LAST]):
                depth, pitch, back = maps[k, DEPTH], maps[k, PITCH], maps[k, BACK]
                rows = view(values, m * (steps * offset + start * back), m * (stop - start), back)
                delta = view(deltas, m * chunk * maps[k, COLUMN], m * (stop - start), pitch)
                kernel, bias = maps[k, KERNEL_GRADIENT], maps[k, BIAS_GRADIENT]
                add_weight_gradient(rows, delta, view(gradient, kernel, depth, pitch), view(gradient, bias, 1, pitch))
                offset = maps[k, VALUES]


@njit(**KERNEL)
def backward_kernel(
    d_outputs, times, valid, resets, kept, size, d_states, d_inputs, d_times, gradients, layers, maps, addresses,
    scales, mode, part, begin, end,
):  # fmt: skip
    """Samples from `begin` to `end`; the gradients of what they share go to row `part`."""
    steps = d_inputs.shape[1]
    row = -1 if times.shape[0] > 1 else part
    m = min(BLOCK, end - begin)
    zeros = np.zeros(maps[:, BACK].max(), kept.dtype)
    buffer = np.empty(m * zeros.shape[0], kept.dtype)
    deltas = np.zeros(max(m, min(m * steps, CHUNK)) * (scales.shape[0] // 5), kept.dtype)
    gradient = gradients[part]
    for b in range(begin, end, BLOCK):
        stop = min(b + BLOCK, end)
        values = kept[b * steps * size : stop * steps * size]
        backward_block(
            d_outputs, times, valid, resets, values, d_states, d_inputs, d_times, gradient, layers, maps,
            addresses, scales, deltas, buffer, zeros, mode, b, stop, row,
        )  # fmt: skip


# -- from Python


class Kept(NamedTuple):
    """What the backward pass needs of the forward pass."""

    values: Array
    parts: list[Range]


def plain(x: Array) -> Array:
    """`x` as the kernels are compiled for: any other layout would compile another one."""
    return x if x.flags.carray else np.array(x, order="C")


def address(x: Array) -> int:
    """Where the numbers of `x` lie."""
    return x.__array_interface__["data"][0]


def aligned(size: int, dtype: Any) -> Array:
    """Numbers that begin where a cache line does."""
    unit = 64 // np.dtype(dtype).itemsize
    memory = np.empty(size + unit, dtype)
    start = -(address(memory) // memory.itemsize) % unit
    return memory[start : start + size]


def folded_heads(x: Array, time: Any, units: int) -> Array:
    """f, g, a, b as f, g and the gate a t + b, which is linear where one time is common to all."""
    return np.concatenate([x[..., : 2 * units], x[..., 2 * units : 3 * units] * time + x[..., 3 * units :]], -1)


def used_maps(layers: Sequence[Layer], folded: bool, times: Array) -> Iterator[tuple[Array, Array]]:
    """Kernels and biases of all maps as the kernels use them."""
    for layer in layers:
        yield from layer.backbone
        units = layer.heads[1].shape[0] // 4
        yield tuple(folded_heads(x, times[0, 0], units) for x in layer.heads) if folded else layer.heads


def packed_parameters(plan: Plan, maps: Iterator[tuple[Array, Array]]) -> tuple[Array, list[Array]]:
    """Kernels and biases, rows padded with zeros: the memory, and views of it that begin them."""
    memory = aligned(plan.parameters, plan.scales.dtype)
    starts = []
    for row, (kernel, bias) in zip(plan.maps.tolist(), maps, strict=True):
        depth, width, pitch, begin, middle = (
            row[DEPTH],
            row[WIDTH],
            row[PITCH],
            row[KERNEL_GRADIENT],
            row[BIAS_GRADIENT],
        )
        for start, x in ((begin, kernel.reshape(depth, width)), (middle, bias.reshape(1, width))):
            rows = memory[start : start + x.shape[0] * pitch].reshape(-1, pitch)
            rows[:, :width], rows[:, width:] = x, 0
            starts.append(rows)
    return memory, starts


def transposed_parameters(plan: Plan, maps: Iterator[tuple[Array, Array]]) -> list[Array]:
    """Transposed kernels, rows padded with zeros; nothing in the place of the biases."""
    starts = []
    for row, (kernel, _) in zip(plan.maps.tolist(), maps, strict=True):
        depth, back = row[DEPTH], row[BACK]
        rows = aligned(row[WIDTH] * back, plan.scales.dtype).reshape(-1, back)
        rows[:, :depth], rows[:, depth:] = kernel.T, 0
        starts += [rows, rows]
    return starts


def addresses_of(starts: Sequence[Array], layers: Sequence[Layer]) -> tuple[Array, list[Array]]:
    """The table of addresses of all maps and of tau, and the arrays, which must live as long as it is used."""
    arrays = [*starts, *(plain(x) for layer in layers for x in layer.tau)]
    table = [address(x) for x in arrays]
    if len(arrays) == len(starts):
        table += [0, 0] * len(layers)
    return np.array(table, np.int64).reshape(-1, 2), arrays


def plan_for(layers: Sequence[Layer], features: int, mode, backbone_activation, head_activation, folded, packed, dtype):
    """`plan_of` the layers."""
    shapes = tuple([tuple([kernel.shape for kernel, _ in layer.maps]) for layer in layers])
    return plan_of(features, shapes, mode, backbone_activation, head_activation, folded, packed, dtype)


def split_states(states: Array, first: Sequence[Array]) -> tuple[Array, ...]:
    """States of the layers, which lie one behind the other."""
    if len(first) == 1:
        return (states.reshape(first[0].shape),)
    ends = np.cumsum([0, *(x.size for x in first)])
    return tuple(states[a:b].reshape(x.shape) for (a, b), x in zip(pairwise(ends), first, strict=True))


def forward(
    inputs: Array,
    first: Sequence[Array],
    times: Array,
    valid: Array,
    resets: Array,
    layers: Sequence[Layer],
    mode: str,
    backbone_activation: str | None,
    head_activation: str | None,
    sequences: bool,
    keep: bool,
    threads: int,
) -> tuple[Array, tuple[Array, ...], Kept | None]:
    """The states of a stack of layers over time.

    Args:
        inputs: (B, T, F), float32 or float64 as all the other arrays of numbers.
        first: the state (B, H) of each layer.
        times: elapsed times (B, T), (1, T) or (1, 1).
        valid: bool (B, T), which steps count; (0, 0) for all.
        resets: bool (B, T), before which steps a sample starts from zeros, whether they count or not; (0, 0) for none.
        layers: the parameters; the first layer gets the inputs, the others the new state of the one before.
        mode: ``"default"``, ``"no_gate"`` or ``"pure"``.
        backbone_activation: one of `ACTIVATIONS`.
        head_activation: another one, of ff1 and ff2; not used in the mode pure.
        sequences: return the outputs of all steps.
        keep: return what `backward` needs.
        threads: how many to use.

    Returns:
        The last layer's states (B, T, H) or, after the last step, (B, H); the last states of all layers; what to hand
        to `backward`.
    """
    batch, steps, features = inputs.shape
    packed = keep or batch * steps >= FEW
    folded = packed and times.size == 1 and mode != "pure"
    plan = plan_for(layers, features, mode, backbone_activation, head_activation, folded, packed, inputs.dtype)
    memory = None
    if packed:
        memory, starts = packed_parameters(plan, used_maps(layers, folded, times))
    else:
        starts = [plain(x) for layer in layers for pair in layer.maps for x in pair]
    addresses, alive = addresses_of(starts, layers)
    states = np.concatenate([x.ravel() for x in first]) if len(first) > 1 else first[0].flatten()
    outputs = np.empty((batch, steps if sequences else 0, first[-1].shape[1]), inputs.dtype)
    kept = aligned(batch * steps * plan.values if keep else 0, inputs.dtype)
    arguments = (
        plain(inputs), plain(times), plain(valid), plain(resets), states, outputs, kept, plan.values, plan.layers,
        plan.maps, addresses, plan.scales, MODES[mode],
    )  # fmt: skip
    parts = ranges(batch, batch * steps * plan.work, threads)
    spread(lambda part, begin, end: forward_kernel(*arguments, begin, end), parts)
    del memory, alive  # until here the kernels read them
    final = split_states(states, first)
    return outputs if sequences else final[-1].copy(), final, Kept(kept, parts) if keep else None


def backward(
    d_outputs: Array | None,
    d_final: Sequence[Array | None],
    inputs: Array,
    first: Sequence[Array],
    times: Array,
    valid: Array,
    resets: Array,
    layers: Sequence[Layer],
    mode: str,
    backbone_activation: str | None,
    head_activation: str | None,
    sequences: bool,
    kept: Kept,
    threads: int,
) -> tuple[Array, tuple[Array, ...], Array, tuple[Layer, ...]]:
    """The gradients of `forward`, whose arguments these are.

    Args:
        d_outputs: gradient of its outputs; None for zeros.
        d_final: those of the last states of all layers; None for zeros.

    Returns:
        Gradients of the inputs, the first states, the times (summed where they are shared) and the layers.
    """
    del threads  # the gradients of a part are those of its blocks in the forward pass
    batch, _, features = inputs.shape
    folded = times.size == 1 and mode != "pure"
    plan = plan_for(layers, features, mode, backbone_activation, head_activation, folded, True, inputs.dtype)
    addresses, alive = addresses_of(transposed_parameters(plan, used_maps(layers, folded, times)), layers)
    d_states = np.concatenate(
        [np.zeros(x.size, x.dtype) if d is None else d.ravel() for d, x in zip(d_final, first, strict=True)]
    )
    if d_outputs is not None and not sequences:
        d_states[-d_outputs.size :] += d_outputs.ravel()
    if d_outputs is None or not sequences:
        d_outputs = np.empty((batch, 0, first[-1].shape[1]), inputs.dtype)
    d_inputs = np.empty(inputs.shape, inputs.dtype)
    d_times = np.zeros((batch if times.shape[0] > 1 else len(kept.parts), times.shape[1]), inputs.dtype)
    gradients = np.zeros((len(kept.parts), plan.parameters), inputs.dtype)
    arguments = (
        plain(d_outputs), plain(times), plain(valid), plain(resets), kept.values, plan.values, d_states, d_inputs,
        d_times, gradients, plan.layers, plan.maps, addresses, plan.scales, MODES[mode],
    )  # fmt: skip
    spread(lambda part, begin, end: backward_kernel(*arguments, part, begin, end), kept.parts)
    del alive
    gradient = gradients[0] if len(gradients) == 1 else gradients.sum(0)
    d_layers = tuple(layer_gradients(plan, gradient, layers, mode))
    if times.shape[0] == 1:
        d_times = d_times.sum(0, keepdims=True)
    if folded:
        d_layers, d_times = unfolded(d_layers, layers, times)
    return d_inputs, split_states(d_states, first), d_times, d_layers


def layer_gradients(plan: Plan, gradient: Array, layers: Sequence[Layer], mode: str) -> Iterator[Layer]:
    """Those of the layers' parameters from the kernels' one array."""
    for (first, last, _, units, _, _, tau), _ in zip(plan.layers.tolist(), layers, strict=True):
        maps = []
        for row in plan.maps[first:last].tolist():
            width, pitch, begin, middle = row[WIDTH], row[PITCH], row[KERNEL_GRADIENT], row[BIAS_GRADIENT]
            kernel = gradient[begin:middle].reshape(-1, pitch)[:, :width]
            maps.append((kernel.copy(), gradient[middle : middle + width].copy()))
        ends = (tau, tau + units, tau + 2 * units) if mode == "pure" else ()
        yield Layer(tuple(maps[:-1]), maps[-1], tuple(gradient[a:b].copy() for a, b in pairwise(ends)))


def unfolded(d_layers: Sequence[Layer], layers: Sequence[Layer], times: Array) -> tuple[tuple[Layer, ...], Array]:
    """Gradients of f, g, a, b, and of the time, from those of f, g and the gate a t + b."""
    d_time, all_of = np.zeros_like(times), []
    for d_layer, layer in zip(d_layers, layers, strict=True):
        units, heads = layer.heads[1].shape[0] // 4, []
        for d, x in zip(d_layer.heads, layer.heads, strict=True):
            gate = d[..., 2 * units :]
            d_time += np.vdot(gate, x[..., 2 * units : 3 * units])
            heads.append(np.concatenate([d[..., : 2 * units], gate * times[0, 0], gate], -1))
        all_of.append(d_layer._replace(heads=tuple(heads)))
    return tuple(all_of), d_time
