"""CfC over whole sequences on CPUs, forward and backward.

A stack of layers runs step by step over blocks of samples that stay in the cache. All linear maps of a layer are the
same kernel, `product`: rows of one buffer times weights give the rows of the next. What the maps of a stack are and
where their rows lie stands in a table, so one compilation serves all architectures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from ncps.backends.kernels.numeric import (
    INNER,
    LOG2_E,
    compiled,
    function,
    parts_of_power,
    set_float_control,
    tanh,
    tanh_of,
    tanh_of_both,
    without_denormals,
)
from ncps.backends.kernels.pool import BLOCK, Range, is_few, ranges, spread
from ncps.backends.kernels.products import VECTOR, product
from ncps.backends.kernels.vectors import INDEX, Number, emitted, loop

Array = np.ndarray

# Activations p tanh(q x) + r; their slope follows from their value.
SQUASHING = {"tanh": (1.0, 1.0, 0.0), "lecun_tanh": (1.7159, 0.666, 0.0), "sigmoid": (0.5, 0.5, 0.5)}
SQUASH, LINEAR, RELU, SILU, GELU = range(5)
CODES = {**dict.fromkeys(SQUASHING, SQUASH), None: LINEAR, "linear": LINEAR, "relu": RELU, "silu": SILU, "gelu": GELU}
ACTIVATIONS = frozenset(CODES)

MODES = {"default": 0, "no_gate": 1, "pure": 2}
DEFAULT, NO_GATE, PURE = MODES.values()
HEADS = {"default": 4, "no_gate": 4, "pure": 1}

CHUNK = 128  # rows of a product of weight gradients; it collects steps until there are as many
LINE = 16  # numbers of a cache line
OPERATIONS = 120  # multiplications that take as long as one operation of pool.ranges


class Layer(NamedTuple):
    """The parameters of a layer with H units, K inputs of the heads."""

    backbone: tuple[tuple[Array, Array], ...]  # kernel and bias of each dense layer
    heads: tuple[Array, Array]  # (K, n H) and (n H,): ff1, ff2, time_a, time_b side by side; ff1 alone in the mode pure
    tau: tuple[Array, ...] = ()  # w_tau (H,) and A (H,) in the mode pure

    @property
    def maps(self) -> tuple[tuple[Array, Array], ...]:
        """All kernels and biases, in the order of use."""
        return (*self.backbone, self.heads)


# -- activations


@emitted
def squash(builder, x, begin, end, scales):
    """p tanh(q x) + r in a range of columns, in place; p, q, r of each column are the first rows of `scales`.

    Two vectors at a time, then one, then single numbers. A NaN gets into a neighbour, of the same sample.
    """
    full = VECTOR // x.size
    with loop(builder, 0, x.shape[0]) as i:
        first = begin
        for count, width in ((2, full), (1, full), (1, 1)):
            x.lanes = scales.lanes = width
            last = builder.sub(end, builder.srem(builder.sub(end, first), INDEX(count * width)))
            with loop(builder, first, last, count * width) as j:
                places = [builder.add(j, INDEX(k * width)) for k in range(count)]
                scaled = [scales.load(1, place) * x.load(i, place) for place in places]
                values = tanh_of_both(*scaled) if count == 2 else map(tanh_of, scaled)
                for place, value in zip(places, values, strict=True):
                    x.store(scales.load(0, place) * value + scales.load(2, place), i, place)
            first = last


@njit(**INNER)
def bend(x, slopes, columns, code):
    """The other activations in the first columns, in place, and their slopes, which their values do not tell."""
    zero, half, one = x.dtype.type(0), x.dtype.type(0.5), x.dtype.type(1)
    a, b = x.dtype.type(0.7978845608028654), x.dtype.type(0.044715)
    for i in range(x.shape[0]):
        if code == LINEAR:
            for j in range(columns):
                slopes[i, j] = one
        elif code == RELU:
            for j in range(columns):
                slopes[i, j] = one if x[i, j] > zero else zero
                x[i, j] = max(x[i, j], zero)  # in this order NaN stays
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
def activate(x, slopes, code, others, end, scales):
    """The activation `code` in the columns up to `others`, in place; the gates' in those from there to `end`."""
    begin = 0
    if code != SQUASH:
        bend(x, slopes, others, code)
        begin = others
    squash(x, begin, end, scales)


@function
def exp(x: Number) -> Number:
    """e^x, within what normal numbers can be."""
    p, q = parts_of_power(x * LOG2_E)
    return p * (q + 1.0)


@njit(**INNER)
def decay(dt, w_tau, f):
    """exp(-dt (|w_tau| + |f|))."""
    return exp(-dt * (abs(w_tau) + abs(f)))


@njit(**INNER)
def slope(y, j, scales):
    """d/dx of a squashing activation from its value."""
    u = y - scales[2, j]
    return scales[3, j] - scales[4, j] * u * u


# -- tables

# An architecture is a table of integers, a row for each layer, then one for each map.
# Of a layer: its range of maps, inputs from below, units, units of the layers before, where the rows [from below, own
# state] begin among the values of a sample's step, where the gradients of tau begin.
FIRST, LAST, BELOW, UNITS, STATE, SOURCE, TAU = range(7)
# Of a map: inputs, outputs, outputs and inputs with padding, where the outputs begin among the values and where their
# slopes do, activation, where the gradients of kernel and bias begin, columns of the maps before, units of heads that
# are folded.
DEPTH, WIDTH, PITCH, BACK, VALUES, SLOPES, CODE, KERNEL_AT, BIAS_AT, COLUMN, FOLDED = range(11)
# Of both, written down at each call: the addresses of kernel and bias, or of w_tau and A.
ADDRESS, SECOND_ADDRESS = 11, 12


class Plan(NamedTuple):
    """An architecture as the kernels read it."""

    table: Array  # (L + M, 13)
    layers: tuple[tuple[int, ...], ...]  # its rows
    maps: tuple[tuple[int, ...], ...]
    scales: Array  # of each map (5, columns): p, q, r of squashing activations, then p q and q / p for their slope
    values: int  # numbers to keep of a sample's step
    parameters: int  # numbers of a gradient
    work: float  # operations of a sample's step, for pool.ranges


@lru_cache(maxsize=256)
def plan_of(
    features: int,
    shapes: tuple[tuple[int, int], ...],
    depths: tuple[int, ...],
    mode: str,
    backbone_activation: str | None,
    head_activation: str | None,
    folded: bool,
    packed: bool,
    dtype: np.dtype,
) -> Plan:
    """The plan for layers with backbones of `depths`, all of whose kernels have `shapes`.

    With `folded` time_a and time_b have become one head; with `packed` rows are padded to whole vectors.
    """
    unit = VECTOR // dtype.itemsize if packed else 1
    layers: list[tuple[int, ...]] = []
    maps: list[tuple[int, ...]] = []
    scales: list[Array] = []
    values = parameters = column = state = 0
    below = features
    for depth in depths:
        first = len(maps)
        kernels = shapes[first : first + depth + 1]
        units = kernels[-1][1] // HEADS[mode]
        if kernels[0][0] != below + units:
            raise ValueError(
                f"Expected a first map of {below} inputs and {units} states. Received: kernel.shape={kernels[0]}. Give "
                "layers for inputs of this size."
            )
        tail = 3 * units if folded else kernels[-1][1]
        sizes = [kernels[0][0], *(width for _, width in kernels[:-1]), tail]
        pitches = [-(-size // unit) * unit for size in sizes]
        source, values = values, values + pitches[0]
        for i, (size, width) in enumerate(pairwise(sizes)):
            heads = i == len(kernels) - 1
            gated = heads and mode != "pure"
            activation = head_activation if gated else "linear" if heads else backbone_activation
            code, (back, pitch) = CODES[activation], pitches[i : i + 2]
            bias = parameters + size * pitch
            merged = units if heads and folded else 0
            maps.append((size, width, pitch, back, values, values + pitch, code, parameters, bias, column, merged))
            scales.append(scales_of(pitch, activation, units if gated else None))
            values += pitch if code == SQUASH else 2 * pitch
            parameters, column = bias + pitch, column + pitch
        layers.append((first, len(maps), below, units, state, source, parameters))
        parameters += -(-2 * units // unit) * unit if mode == "pure" else 0
        state, below = state + units, units
    table = np.zeros((len(layers) + len(maps), 13), np.int64)
    for row, numbers in zip(table, (*layers, *maps), strict=True):
        row[: len(numbers)] = numbers
    work = sum(row[DEPTH] * row[WIDTH] / OPERATIONS + row[WIDTH] / 2 for row in maps)
    columns = np.concatenate([x.ravel() for x in scales]).astype(dtype)
    return Plan(table, tuple(layers), tuple(maps), columns, values, parameters, work)


def scales_of(pitch: int, activation: str | None, units: int | None) -> Array:
    """p, q, r, p q and q / p for the columns of a map; with `units` it is that of the heads, with gates."""
    p, q, r = (np.full(pitch, x) for x in SQUASHING.get(activation or "", (1.0, 1.0, 0.0)))
    if units is not None:
        for x, of_gate in zip((p, q, r), SQUASHING["sigmoid"], strict=True):
            x[2 * units : 3 * units] = of_gate
    return np.stack([p, q, r, p * q, q / p])


def rows_at(context, builder, array_type, pointer, rows, columns):
    """An array of rows without gaps, in memory that others own."""
    array = context.make_array(array_type)(context, builder)
    size = cgutils.sizeof(builder, pointer.type)
    populate_array(array, pointer, [rows, columns], [builder.mul(columns, size), size], size, None)
    return array._getvalue()


@intrinsic
def view(typing_context, flat, start, rows, columns):
    """Rows of a flat array, one behind the other from `start`: a slice that is neither checked nor counted."""
    signature = types.Array(flat.dtype, 2, "C")(flat, types.intp, types.intp, types.intp)

    def generate(context, builder, signature, arguments):
        flat, start, rows, columns = arguments
        data = context.make_array(signature.args[0])(context, builder, flat).data
        return rows_at(context, builder, signature.return_type, builder.gep(data, [start]), rows, columns)

    return signature, generate


@intrinsic
def matrix(typing_context, address, rows, columns, like):
    """Rows at an address. By their addresses, any number of parameters is one array, without a copy."""
    signature = types.Array(like.dtype, 2, "C")(types.intp, types.intp, types.intp, like)

    def generate(context, builder, signature, arguments):
        address, rows, columns, _ = arguments
        number = context.get_data_type(signature.return_type.dtype)
        pointer = builder.inttoptr(address, number.as_pointer())
        return rows_at(context, builder, signature.return_type, pointer, rows, columns)

    return signature, generate


@compiled
def note_addresses(table, row, first, second):
    """Writes down where two arrays begin, in a fraction of the time that NumPy takes to tell it."""
    table[row, ADDRESS], table[row, SECOND_ADDRESS] = first.ctypes.data, second.ctypes.data


@compiled
def write_masked(places, flags, numbers):
    """Writes kernels with zeros where their masks are false; a row has their three addresses and their size."""
    for k in range(places.shape[0]):
        size = places[k, 3]
        mask, kernel = matrix(places[k, 0], 1, size, flags), matrix(places[k, 1], 1, size, numbers)
        target = matrix(places[k, 2], 1, size, numbers)
        for j in range(np.uintp(size)):
            x = kernel[0, j]
            target[0, j] = x if mask[0, j] else 0


@njit(**INNER)
def write_map(target, source, units, time):
    """Writes rows, with zeros behind them; of heads f, g, a, b of `units` each, f, g and the gate a t + b."""
    columns = source.shape[1] - units
    kept, gate, half = np.uintp(columns - units), np.uintp(units), np.uintp(2 * units)
    for i in range(source.shape[0]):
        for j in range(kept):
            target[i, j] = source[i, j]
        for j in range(gate):
            target[i, half + j] = source[i, half + j] * time + source[i, half + gate + j]
        for j in range(columns, target.shape[1]):
            target[i, j] = 0


@njit(**INNER)
def write_transposed(target, source, units, time):
    """Writes columns as rows; folds heads as `write_map` does.

    As many columns at a time as a cache line has numbers: with their number known, it takes a third of the time.
    """
    rows, columns, gate = np.uintp(source.shape[0]), source.shape[1] - units, np.uintp(units)
    for first in range(0, columns, LINE):
        begin, end = np.uintp(first), np.uintp(min(first + LINE, columns))
        if first + LINE <= columns - units:
            for i in range(rows):
                for j in range(np.uintp(LINE)):
                    target[begin + j, i] = source[i, begin + j]
        elif columns - units <= first <= columns - LINE:
            for i in range(rows):
                for j in range(np.uintp(LINE)):
                    target[begin + j, i] = source[i, begin + j] * time + source[i, begin + j + gate]
        else:
            for i in range(rows):
                for j in range(begin, end):
                    folded = j >= np.uintp(columns - units)
                    target[j, i] = source[i, j] * time + source[i, j + gate] if folded else source[i, j]


@compiled
def unfold(folded, x, time, target):
    """Writes gradients of heads f, g, a, b from those of f, g and the gate a t + b; returns that of t."""
    units, total = np.uintp(x.shape[1] // 4), 0.0
    gate, last = 2 * units, 3 * units
    for i in range(x.shape[0]):
        own = x.dtype.type(0)
        for j in range(gate):
            target[i, j] = folded[i, j]
        for j in range(gate, last):
            d = folded[i, j]
            target[i, j], target[i, j + units] = d * time, d
            own += d * x[i, j]
        total += own
    return total


@compiled
def pack_maps(maps, time, memory):
    """Copies all kernels and biases to rows that are whole vectors; the table has their addresses then.

    Heads are folded where one time is common to all.
    """
    for k in range(maps.shape[0]):
        depth, pitch, units = maps[k, DEPTH], maps[k, PITCH], maps[k, FOLDED]
        for begin, rows, address in ((maps[k, KERNEL_AT], depth, ADDRESS), (maps[k, BIAS_AT], 1, SECOND_ADDRESS)):
            source = matrix(maps[k, address], rows, maps[k, WIDTH] + units, memory)
            target = view(memory, begin, rows, pitch)
            write_map(target, source, units, time)
            maps[k, address] = target.ctypes.data


@compiled
def transpose_kernels(maps, time, memory):
    """Copies all kernels, transposed, to rows that are whole vectors; the table has their addresses then."""
    begin = 0
    for k in range(maps.shape[0]):
        depth, width, back, units = maps[k, DEPTH], maps[k, WIDTH], maps[k, BACK], maps[k, FOLDED]
        target = view(memory, begin, width, back)
        write_transposed(target, matrix(maps[k, ADDRESS], depth, width + units, memory), units, time)
        target[:, depth:] = 0
        maps[k, ADDRESS] = target.ctypes.data
        begin += width * back


@njit(**INNER)
def rows_of(values, slots, slot, start, m, pitch):
    """The rows of m samples at a step, where there is room for `slots` steps."""
    return view(values, m * (slots * start + slot * pitch), m, pitch)


@njit(**INNER)
def states_of(states, batch, layers, layer, begin, m):
    """The rows of m samples among the states of a layer."""
    units = layers[layer, UNITS]
    return view(states, batch * layers[layer, STATE] + begin * units, m, units)


@njit(**INNER)
def elapsed(times, b, t):
    """Time of a sample's step; it may be common to all samples or steps."""
    return times[b if times.shape[0] > 1 else 0, t if times.shape[1] > 1 else 0]


@njit(**INNER)
def counts(valid, b, t):
    """Whether a sample's step counts."""
    return valid.shape[0] == 0 or valid[b, t]


@njit(**INNER)
def start_afresh(resets, states, batch, layers, begin, m, t):
    """Sets to 0 the (gradients of) states of samples that are reset before step t."""
    for layer in range(layers.shape[0]):
        rows = states_of(states, batch, layers, layer, begin, m)
        for i in range(m):
            if resets[begin + i, t]:
                for n in range(rows.shape[1]):
                    rows[i, n] = 0


# -- forward

# Indices are unsigned where they add up: a signed one might be negative and count from the end, and a loop that has to
# look does not become vectors.


@njit(**INNER)
def gather_inputs(source, inputs, valid, begin, t):
    """The inputs of a step, for the samples from `begin`; zeros where it does not count."""
    for i in range(source.shape[0]):
        b = begin + i
        if counts(valid, b, t):
            for j in range(inputs.shape[2]):
                source[i, j] = inputs[b, t, j]
        else:  # NaN would come back in 0 * NaN, among the gradients of weights
            for j in range(inputs.shape[2]):
                source[i, j] = 0


@njit(**INNER)
def gather_states(source, offset, state):
    """States, from the column `offset`."""
    offset = np.uintp(offset)
    for i in range(state.shape[0]):
        for n in range(np.uintp(state.shape[1])):
            source[i, offset + n] = state[i, n]


@njit(**INNER)
def open_gates(heads, units, times, valid, begin, t):
    """Turns heads f, g, a, b into f, g, a t + b, a."""
    begin_a, begin_b, distance = np.uintp(2 * units), np.uintp(3 * units), np.uintp(units)
    for i in range(heads.shape[0]):
        b = begin + i
        dt = elapsed(times, b, t) if counts(valid, b, t) else heads.dtype.type(0)
        for n in range(begin_a, begin_b):
            a = heads[i, n]
            heads[i, n] = a * dt + heads[i, n + distance]
            heads[i, n + distance] = a


@njit(**INNER)
def solve(state, heads, mode, w_tau, a, times, valid, begin, t):
    """The states after a step, where it counts; w_tau and A (1, H) are there in the mode pure only."""
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
                state[i, n] = a[0, n] * (one - decay(dt, w_tau[0, n], heads[i, n]) * heads[i, n])


@njit(inline="always", **INNER)
def layer_forward(
    state, source, values, slots, slot, layers, layer, maps, scales, mode, times, valid, begin, t
):  # fmt: skip
    """A step of a layer, from the rows [from below, own state]."""
    m, units, last = state.shape[0], layers[layer, UNITS], layers[layer, LAST]
    rows = source
    for k in range(layers[layer, FIRST], last):
        depth, pitch, code = maps[k, DEPTH], maps[k, PITCH], maps[k, CODE]
        kernel = matrix(maps[k, ADDRESS], depth, pitch, values)
        bias = matrix(maps[k, SECOND_ADDRESS], 1, pitch, values)
        before, rows = rows, rows_of(values, slots, slot, maps[k, VALUES], m, pitch)
        product(before, before.shape[1], 1, kernel, bias, 0, rows, depth)
        slopes = rows_of(values, slots, slot, maps[k, SLOPES], m, pitch)  # if they are kept, else not touched
        others, end = pitch, pitch
        if k == last - 1 and mode != PURE:
            others = 2 * units
            if maps[k, WIDTH] == 4 * units:
                open_gates(rows, units, times, valid, begin, t)
                end = 3 * units
        activate(rows, slopes, code, others, end, view(scales, 5 * maps[k, COLUMN], 5, pitch))
    w_tau = matrix(layers[layer, ADDRESS], 1, units, values)
    a = matrix(layers[layer, SECOND_ADDRESS], 1, units, values)
    solve(state, rows, mode, w_tau, a, times, valid, begin, t)


@njit(inline="always", **INNER)
def block_forward(
    inputs, times, valid, resets, states, outputs, values, slots, layers, maps, scales, mode, begin, end
):  # fmt: skip
    """All steps of the samples from `begin` to `end`; `values` has room for `slots` steps, 1 or all."""
    batch, steps, _ = inputs.shape
    m = end - begin
    for t in range(steps):
        slot = t if slots == steps else 0
        if resets.shape[0] > 0:
            start_afresh(resets, states, batch, layers, begin, m, t)
        state = view(states, 0, 0, 0)
        for layer in range(layers.shape[0]):
            offset = layers[layer, BELOW]
            source = rows_of(values, slots, slot, layers[layer, SOURCE], m, maps[layers[layer, FIRST], BACK])
            if layer == 0:
                gather_inputs(source, inputs, valid, begin, t)
            else:
                gather_states(source, 0, state)
            state = states_of(states, batch, layers, layer, begin, m)
            gather_states(source, offset, state)
            layer_forward(
                state, source, values, slots, slot, layers, layer, maps, scales, mode, times, valid, begin, t
            )  # fmt: skip
        if outputs.shape[1] > 0:
            for i in range(m):
                for n in range(state.shape[1]):
                    outputs[begin + i, t, n] = state[i, n]


@compiled
def forward_kernel(
    inputs, times, valid, resets, states, outputs, kept, size, table, number, scales, mode, part, begin, end
):  # fmt: skip
    """Samples from `begin` to `end`; `kept` has room for `size` numbers of each sample's step, or is empty.

    It makes no difference which `part` they are.
    """
    control = without_denormals()
    steps = inputs.shape[1]
    slots = steps if kept.shape[0] > 0 else 1
    layers, maps = table[:number], table[number:]
    for b in range(begin, end, BLOCK):
        stop = min(b + BLOCK, end)
        if kept.shape[0] > 0:
            values = kept[b * steps * size : stop * steps * size]
        else:
            values = np.empty((stop - b) * size, kept.dtype)
        block_forward(
            inputs, times, valid, resets, states, outputs, values, slots, layers, maps, scales, mode, b, stop
        )  # fmt: skip
    set_float_control(control)


# -- backward


@njit(**INNER)
def unsolve(d_state, heads, slopes, delta, mode, code, width, scales, times, d_times, valid, begin, t, row):
    """Gradients of the heads before their activations, and of elapsed times, from those of the states after a step."""
    one = d_state.dtype.type(1)
    units, gate, last = np.uintp(d_state.shape[1]), np.uintp(2 * d_state.shape[1]), np.uintp(3 * d_state.shape[1])
    blend = one if mode == DEFAULT else one - one
    for i in range(d_state.shape[0]):
        b = begin + i
        if not counts(valid, b, t):
            for j in range(delta.shape[1]):
                delta[i, j] = 0
            continue
        # Loops that write one stretch each become vectors; one loop over all stretches does not.
        for n in range(units):
            delta[i, n] = d_state[i, n] * (one - blend * heads[i, gate + n])
        for n in range(units):
            delta[i, units + n] = d_state[i, n] * heads[i, gate + n]
        for n in range(units):
            s = heads[i, gate + n]
            change = heads[i, units + n] - blend * heads[i, n]
            delta[i, gate + n] = d_state[i, n] * change * s * (one - s)
        if code == SQUASH:
            for n in range(gate):
                delta[i, n] *= slope(heads[i, n], n, scales)
        else:
            for n in range(gate):
                delta[i, n] *= slopes[i, n]
        if width > 3 * d_state.shape[1]:
            dt, total = elapsed(times, b, t), one - one
            for n in range(units):
                total += delta[i, gate + n] * heads[i, last + n]
            for n in range(units):
                delta[i, last + n] = delta[i, gate + n]
            for n in range(units):
                delta[i, gate + n] *= dt
            d_times[b if row < 0 else row, t if d_times.shape[1] > 1 else 0] += total


@njit(**INNER)
def unsolve_pure(d_state, heads, delta, w_tau, a, d_tau, times, d_times, valid, begin, t, row):
    """The same for the mode pure; adds the gradients of |w_tau| and A to d_tau (2, H)."""
    units, one = np.uintp(d_state.shape[1]), d_state.dtype.type(1)
    for i in range(d_state.shape[0]):
        b = begin + i
        if not counts(valid, b, t):
            for j in range(delta.shape[1]):
                delta[i, j] = 0
            continue
        dt, total = elapsed(times, b, t), one - one
        for n in range(units):
            delta[i, n] = decay(dt, w_tau[0, n], heads[i, n])
        for n in range(units):
            d_tau[1, n] += d_state[i, n] * (one - delta[i, n] * heads[i, n])
        for n in range(units):
            d_tau[0, n] += dt * d_state[i, n] * a[0, n] * delta[i, n] * heads[i, n]
        for n in range(units):
            rate = abs(w_tau[0, n]) + abs(heads[i, n])
            total += d_state[i, n] * a[0, n] * delta[i, n] * heads[i, n] * rate
        for n in range(units):
            delta[i, n] *= -d_state[i, n] * a[0, n] * (one - dt * abs(heads[i, n]))
        d_times[b if row < 0 else row, t if d_times.shape[1] > 1 else 0] += total


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
def add_outputs(d_outputs, d_state, begin, t):
    """Adds the gradients of the outputs of a step."""
    for i in range(d_state.shape[0]):
        for n in range(d_state.shape[1]):
            d_state[i, n] += d_outputs[begin + i, t, n]


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
    offset = np.uintp(offset)
    for i in range(back.shape[0]):
        if counts(valid, begin + i, t):
            for n in range(np.uintp(d_state.shape[1])):
                before = d_state[i, n] if add else d_state.dtype.type(0)
                d_state[i, n] = before + back[i, offset + n]


@njit(inline="always", **INNER)
def layer_backward(
    d_state, values, steps, deltas, chunk, slot, gradient, layers, layer, maps, scales, zeros, mode, times, d_times,
    valid, begin, t, row,
):  # fmt: skip
    """The gradients of all maps of a layer at a step; returns that of the first one."""
    m, units, k = d_state.shape[0], layers[layer, UNITS], layers[layer, LAST] - 1
    pitch, code = maps[k, PITCH], maps[k, CODE]
    rows = rows_of(values, steps, t, maps[k, VALUES], m, pitch)
    slopes = rows_of(values, steps, t, maps[k, SLOPES], m, pitch)  # if they are kept, else not read
    delta = rows_of(deltas, chunk, slot, maps[k, COLUMN], m, pitch)
    if mode == PURE:
        w_tau = matrix(layers[layer, ADDRESS], 1, units, values)
        a = matrix(layers[layer, SECOND_ADDRESS], 1, units, values)
        d_tau = view(gradient, layers[layer, TAU], 2, units)
        unsolve_pure(d_state, rows, delta, w_tau, a, d_tau, times, d_times, valid, begin, t, row)
    else:
        own = view(scales, 5 * maps[k, COLUMN], 5, pitch)
        unsolve(d_state, rows, slopes, delta, mode, code, maps[k, WIDTH], own, times, d_times, valid, begin, t, row)
    while k > layers[layer, FIRST]:
        width, pitch = maps[k, WIDTH], maps[k, BACK]
        transposed = matrix(maps[k, ADDRESS], width, pitch, values)
        k -= 1
        after, delta = delta, rows_of(deltas, chunk, slot, maps[k, COLUMN], m, pitch)
        product(after, after.shape[1], 1, transposed, zeros, 0, delta, width)
        rows = rows_of(values, steps, t, maps[k, VALUES], m, pitch)
        slopes = rows_of(values, steps, t, maps[k, SLOPES], m, pitch)
        through_activation(delta, rows, slopes, maps[k, CODE], view(scales, 5 * maps[k, COLUMN], 5, pitch))
    return delta


@njit(**INNER)
def add_gradients(values, steps, deltas, chunk, gradient, layers, maps, m, start, stop):
    """Adds the gradients of all kernels and biases for the steps from `start` to `stop`."""
    for layer in range(layers.shape[0]):
        offset = layers[layer, SOURCE]
        for k in range(layers[layer, FIRST], layers[layer, LAST]):
            depth, pitch, back = maps[k, DEPTH], maps[k, PITCH], maps[k, BACK]
            rows = view(values, m * (steps * offset + start * back), m * (stop - start), back)
            delta = view(deltas, m * chunk * maps[k, COLUMN], m * (stop - start), pitch)
            kernel, bias = view(gradient, maps[k, KERNEL_AT], depth, pitch), view(gradient, maps[k, BIAS_AT], 1, pitch)
            product(rows, 1, back, delta, kernel, pitch, kernel, delta.shape[0])
            for i in range(delta.shape[0]):
                for j in range(pitch):
                    bias[0, j] += delta[i, j]
            offset = maps[k, VALUES]


@njit(inline="always", **INNER)
def block_backward(
    d_outputs, times, valid, resets, values, d_states, d_inputs, d_times, gradient, layers, maps, scales, deltas,
    buffer, zeros, mode, begin, end, row,
):  # fmt: skip
    """All steps of the samples from `begin` to `end`; adds to `gradient` and to the row `row` of d_times."""
    batch, steps, _ = d_inputs.shape
    m = end - begin
    chunk = max(1, min(steps, CHUNK // m))
    for stop in range(steps, 0, -chunk):
        start = max(0, stop - chunk)
        for t in range(stop - 1, start - 1, -1):
            d_state = states_of(d_states, batch, layers, layers.shape[0] - 1, begin, m)
            if d_outputs.shape[1] > 0:
                add_outputs(d_outputs, d_state, begin, t)
            for layer in range(layers.shape[0] - 1, -1, -1):
                delta = layer_backward(
                    d_state, values, steps, deltas, chunk, t - start, gradient, layers, layer, maps, scales, zeros,
                    mode, times, d_times, valid, begin, t, row,
                )  # fmt: skip
                first, offset = layers[layer, FIRST], layers[layer, BELOW]
                width, pitch = maps[first, WIDTH], maps[first, BACK]
                back, transposed = view(buffer, 0, m, pitch), matrix(maps[first, ADDRESS], width, pitch, values)
                product(delta, delta.shape[1], 1, transposed, zeros, 0, back, width)
                scatter_states(back, offset, d_state, valid, begin, t, False)
                if layer == 0:
                    scatter_inputs(back, d_inputs, valid, begin, t)
                else:
                    d_state = states_of(d_states, batch, layers, layer - 1, begin, m)
                    scatter_states(back, 0, d_state, valid, begin, t, True)
            if resets.shape[0] > 0:
                start_afresh(resets, d_states, batch, layers, begin, m, t)
        add_gradients(values, steps, deltas, chunk, gradient, layers, maps, m, start, stop)


@compiled
def backward_kernel(
    d_outputs, times, valid, resets, kept, size, d_states, d_inputs, d_times, gradients, table, number, scales, zeros,
    mode, part, begin, end,
):  # fmt: skip
    """Samples from `begin` to `end`; the gradients of what they share go to row `part`."""
    control = without_denormals()
    steps = d_inputs.shape[1]
    row = -1 if times.shape[0] > 1 else part
    m = min(BLOCK, end - begin)
    layers, maps = table[:number], table[number:]
    buffer = np.empty(m * zeros.shape[1], kept.dtype)
    deltas = np.zeros(max(m, min(m * steps, CHUNK)) * (scales.shape[0] // 5), kept.dtype)
    gradient = gradients[part]
    for b in range(begin, end, BLOCK):
        stop = min(b + BLOCK, end)
        values = kept[b * steps * size : stop * steps * size]
        block_backward(
            d_outputs, times, valid, resets, values, d_states, d_inputs, d_times, gradient, layers, maps, scales,
            deltas, buffer, zeros, mode, b, stop, row,
        )  # fmt: skip
    set_float_control(control)


# -- from Python


class Kept(NamedTuple):
    """What the backward pass needs of the forward pass."""

    values: Array
    parts: list[Range]  # of samples; where a value lies depends on them


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
    room: Sequence[Array | None] = (None, None),
) -> tuple[Array, tuple[Array, ...], Kept | None]:
    """The states of a stack of layers over time.

    Args:
        inputs: (B, T, F), float32 or float64, as all the other arrays of numbers.
        first: the state (B, H) of each layer.
        times: elapsed times (B, T), (1, T) or (1, 1).
        valid: bool (B, T), which steps count; (0, 0) for all.
        resets: bool (B, T), before which steps a sample starts from zeros, whether they count or not; (0, 0) for none.
        layers: the parameters. The first layer gets the inputs, each other one the new state of the one before.
        mode: ``"default"``, ``"no_gate"`` or ``"pure"``.
        backbone_activation: one of `ACTIVATIONS`.
        head_activation: another one, of ff1 and ff2; not used in the mode pure.
        sequences: return the outputs of all steps.
        keep: return what `backward` needs.
        threads: how many to use.
        room: arrays for the outputs of all steps and for what is kept, which are made where there is None.

    Returns:
        The last layer's states (B, T, H) or, after the last step, (B, H); the last states of all layers; what to hand
        to `backward`.
    """
    batch, steps, features = inputs.shape
    options = mode, backbone_activation, head_activation
    if not keep and is_few(batch, steps):
        few = FewSteps(layers, [None] * len(layers), features, *options, inputs.dtype)
        return *few(plain(inputs), first, plain(times), plain(valid), plain(resets), sequences), None
    folded = times.size == 1 and mode != "pure"
    plan = plan_for(layers, features, *options, folded, True, inputs.dtype)
    table, alive = addressed(plan, layers, mode)
    packed = aligned(plan.parameters, inputs.dtype)
    pack_maps(table[len(layers) :], common_time(times, folded), packed)
    states = joined(first)
    outputs, kept = room if sequences else (None, room[1])
    if outputs is None:
        outputs = np.empty((batch, steps if sequences else 0, first[-1].shape[1]), inputs.dtype)
    if kept is None:
        kept = aligned(batch * steps * plan.values, inputs.dtype) if keep else states[:0]
    arguments = (
        plain(inputs), plain(times), plain(valid), plain(resets), states, outputs, kept, plan.values, table,
        len(layers), plan.scales, MODES[mode],
    )  # fmt: skip
    parts = ranges(batch, batch * steps * plan.work, threads)
    spread(partial(forward_kernel, *arguments), parts)
    del alive, packed  # until here the kernels read them
    final = split(states, first)
    return outputs if sequences else final[-1].copy(), final, Kept(kept, parts) if keep else None


class FewSteps:
    """`forward` for few samples and steps, as in a control loop, where looking at the weights takes most of the time.

    It takes them as they lie, and sees what is written into them later, unless they had to be copied. Masked kernels
    are written anew at each call, always to the same place: memory that is new takes longer to get than to fill.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        masks: Sequence[Array | None],
        features: int,
        mode: str,
        backbone_activation: str | None,
        head_activation: str | None,
        dtype: np.dtype,
    ) -> None:
        plan = plan_for(layers, features, mode, backbone_activation, head_activation, False, False, dtype)
        places, self.room, layers = with_room(layers, masks)
        self.masked = (places, np.empty(0, bool), np.empty(0, dtype)) if len(places) > 0 else None
        table, self.alive = addressed(plan, layers, mode)
        self.rest = np.empty(0, dtype), plan.values, table, len(layers), plan.scales, MODES[mode], 0, 0
        self.dtype, self.no_outputs = dtype, np.empty((0, 0, 0), dtype)
        self.units = [row[UNITS] for row in plan.layers]

    def __call__(
        self, inputs: Array, first: Sequence[Array], times: Array, valid: Array, resets: Array, sequences: bool
    ) -> tuple[Array, tuple[Array, ...]]:
        batch, steps, _ = inputs.shape
        if self.masked is not None:
            write_masked(*self.masked)
        states = joined(first)
        outputs = np.empty((batch, steps, first[-1].shape[1]), self.dtype) if sequences else self.no_outputs
        forward_kernel(inputs, times, valid, resets, states, outputs, *self.rest, batch)
        final = split(states, first)
        return outputs if sequences else final[-1].copy(), final


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
) -> tuple[Array, tuple[Array, ...], Array, tuple[Layer, ...]]:
    """The gradients of the arguments of `forward` from those of what it returned; None stands for zeros.

    It uses as many threads as that did.

    Returns:
        Those of the inputs, of the first states, of the times (summed where they are shared) and of the layers.
    """
    features, dtype = inputs.shape[2], inputs.dtype
    folded = times.size == 1 and mode != "pure"
    plan = plan_for(layers, features, mode, backbone_activation, head_activation, folded, True, dtype)
    table, alive = addressed(plan, layers, mode)
    transposed = aligned(sum(row[WIDTH] * row[BACK] for row in plan.maps), dtype)
    transpose_kernels(table[len(layers) :], common_time(times, folded), transposed)
    d_states = np.concatenate(
        [np.zeros(x.size, dtype) if d is None else d.ravel() for d, x in zip(d_final, first, strict=True)]
    )
    if d_outputs is not None and not sequences:
        d_states[-d_outputs.size :] += d_outputs.ravel()
    if d_outputs is None or not sequences:
        d_outputs = np.empty((len(inputs), 0, first[-1].shape[1]), dtype)
    d_inputs = np.empty(inputs.shape, dtype)
    d_times = np.zeros((len(kept.parts) if len(times) == 1 else len(times), times.shape[1]), dtype)
    gradients = np.zeros((len(kept.parts), plan.parameters), dtype)
    zeros = np.zeros((1, max(row[BACK] for row in plan.maps)), dtype)
    arguments = (
        plain(d_outputs), plain(times), plain(valid), plain(resets), kept.values, plan.values, d_states, d_inputs,
        d_times, gradients, table, len(layers), plan.scales, zeros, MODES[mode],
    )  # fmt: skip
    spread(partial(backward_kernel, *arguments), kept.parts)
    del alive, transposed
    d_layers, d_time = layer_gradients(
        plan, gradients.sum(0) if len(gradients) > 1 else gradients[0], layers, common_time(times, folded)
    )
    if folded:
        d_times = np.full((1, 1), d_time, dtype)
    elif len(times) == 1:
        d_times = d_times.sum(0, keepdims=True)
    return d_inputs, split(d_states, first), d_times, d_layers


def plan_for(
    layers: Sequence[Layer],
    features: int,
    mode: str,
    backbone_activation: str | None,
    head_activation: str | None,
    folded: bool,
    packed: bool,
    dtype: np.dtype,
) -> Plan:
    """`plan_of` the layers."""
    shapes = tuple([kernel.shape for layer in layers for kernel, _ in layer.maps])
    depths = tuple([len(layer.backbone) for layer in layers])
    return plan_of(features, shapes, depths, mode, backbone_activation, head_activation, folded, packed, dtype)


def plain(x: Array) -> Array:
    """`x` as the kernels are compiled for: for any other layout they would be compiled again."""
    return x if x.flags.carray else np.array(x, order="C")


def aligned(size: int, dtype: np.dtype) -> Array:
    """Numbers that begin where a cache line does."""
    unit = 64 // dtype.itemsize
    memory = np.empty(size + unit, dtype)
    start = -(memory.ctypes.data // dtype.itemsize) % unit
    return memory[start : start + size]


def addressed(plan: Plan, layers: Sequence[Layer], mode: str) -> tuple[Array, list[tuple[Array, Array]]]:
    """The plan's table with addresses, and what lies there: it must live as long as the table is used."""
    alive = [(plain(kernel), plain(bias)) for layer in layers for kernel, bias in layer.maps]
    table = plan.table.copy()
    for row, (kernel, bias) in enumerate(alive, len(layers)):
        note_addresses(table, row, kernel, bias)
    if mode == "pure":
        for row, layer in enumerate(layers):
            w_tau, a = (plain(x).reshape(1, -1) for x in layer.tau)
            note_addresses(table, row, w_tau, a[0])
            alive.append((w_tau, a))
    return table, alive


def with_room(layers: Sequence[Layer], masks: Sequence[Array | None]) -> tuple[Array, list[Array], list[Layer]]:
    """What `write_masked` reads, the kernels into which it writes, and the layers with these."""
    places, room, replaced = [], [], []
    for layer, mask in zip(layers, masks, strict=True):
        kernel, bias = layer.heads
        if mask is not None:
            room.append(np.empty_like(kernel))
            places.append([*(x.ctypes.data for x in (mask, kernel, room[-1])), kernel.size])
            layer = layer._replace(heads=(room[-1], bias))
        replaced.append(layer)
    return np.array(places, np.int64).reshape(-1, 4), room, replaced


def common_time(times: Array, folded: bool) -> np.floating:
    """The one elapsed time; 1, which nobody reads, where there are many or none."""
    return times[0, 0] if folded else times.dtype.type(1)


def joined(first: Sequence[Array]) -> Array:
    """The states of the layers, one behind the other; a copy."""
    return first[0].ravel().copy() if len(first) == 1 else np.concatenate([x.ravel() for x in first])


def split(states: Array, first: Sequence[Array]) -> tuple[Array, ...]:
    """The states of the layers, which lie one behind the other, in the shapes of `first`."""
    if len(first) == 1:
        return (states.reshape(first[0].shape),)
    ends = accumulate((x.size for x in first), initial=0)
    return tuple([states[a:b].reshape(x.shape) for (a, b), x in zip(pairwise(ends), first, strict=True)])


def unpacked(rows: Array, x: Array, units: int, time: np.floating) -> tuple[Array, float]:
    """The gradient of a kernel or bias in its shape, out of padded rows; with folded heads, that of their one time."""
    target = np.empty(x.shape, x.dtype)
    whole = target.reshape(len(rows), -1)
    if units:
        return target, unfold(rows, plain(x).reshape(whole.shape), time, whole)
    whole[...] = rows[:, : whole.shape[1]]
    return target, 0.0


def layer_gradients(
    plan: Plan, gradient: Array, layers: Sequence[Layer], time: np.floating
) -> tuple[tuple[Layer, ...], float]:
    """Those of the layers' parameters, out of one array; where heads are folded, that of their one time."""
    d_layers, d_time = [], 0.0
    for row, layer in zip(plan.layers, layers, strict=True):
        maps = []
        for of_map, pair in zip(plan.maps[row[FIRST] : row[LAST]], layer.maps, strict=True):
            begin, middle, units = of_map[KERNEL_AT], of_map[BIAS_AT], of_map[FOLDED]
            rows = gradient[begin : middle + of_map[PITCH]].reshape(-1, of_map[PITCH])
            kernel, of_kernel = unpacked(rows[:-1], pair[0], units, time)
            bias, of_bias = unpacked(rows[-1:], pair[1], units, time)
            maps.append((kernel, bias))
            d_time += of_kernel + of_bias
        d_tau: tuple[Array, ...] = ()
        if layer.tau:
            d_rate, d_a = gradient[row[TAU] : row[TAU] + 2 * row[UNITS]].reshape(2, -1)
            d_tau = np.sign(layer.tau[0]) * d_rate, d_a.copy()
        d_layers.append(Layer(tuple(maps[:-1]), maps[-1], d_tau))
    return tuple(d_layers), d_time
