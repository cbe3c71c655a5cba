"""LTC with the semi-implicit solver over whole sequences, and its gradient.

A step of the solver is, for the neuron i with the sums I of currents and G of conductances,

    v_i <- (c_i v_i + δ I_i) / (c_i + δ G_i),   δ = timespan / unfolds,
    I_i = g_i vleak_i + Σ_j w_ji E_ji s_ji,   G_i = g_i + ε + Σ_j w_ji s_ji,   s_ji = sigmoid(σ_ji (v_j - μ_ji)),

where j runs over neurons and, once a time step, over inputs. Samples are taken in blocks of up to 32, whose potentials
stay in the first-level cache for the whole sequence: one pass over the synapses reads those of the source, and does the
sigmoid and both sums. A single sample is computed in vectors of synapses. For the gradient, one state of each time step
is kept; its solver steps are done again, and the sigmoids of that one time step remembered.

B samples, T time steps, F inputs, N neurons, E synapses, S sensory synapses, M motor neurons, K unfolds; L lanes: the
samples of a block, and as many more, of zeros, as vectors need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from ncps.backends.kernels.numeric import (
    INNER,
    LOG2_E,
    compiled,
    logistic,
    logistic_of,
    set_float_control,
    without_denormals,
)
from ncps.backends.kernels.pool import BLOCK, Range, ranges, spread
from ncps.backends.kernels.vectors import LANES, Variable, by_lanes, emitted, loop

Array = Any
SETTLED = 8  # steps for which the lanes sum up gradients by themselves, in their own precision
MOST = 2**24  # bytes for the sigmoids of a time step; narrower blocks take a quarter longer


class Wiring(NamedTuple):
    """The synapses, sorted by target and then by source; those of neuron n are start[n] to start[n + 1]; all int32."""

    source: Array  # (E,)
    start: Array  # (N + 1,)
    sensory_source: Array  # (S,)
    sensory_start: Array  # (N + 1,)


class Weights(NamedTuple):
    """The weights as they count: none of `cm`, `gleak`, `w` and `sensory_w` is negative. What there is not is (0,)."""

    cm: Array  # (N,)
    gleak: Array
    vleak: Array
    sigma: Array  # (E,)
    mu: Array
    w: Array
    erev: Array
    sensory_sigma: Array  # (S,)
    sensory_mu: Array
    sensory_w: Array
    sensory_erev: Array
    input_w: Array  # (F,) or (0,)
    input_b: Array
    output_w: Array  # (M,) or (0,)
    output_b: Array


def packed(weights: Weights, wiring: Wiring) -> tuple[Array, Array, tuple[int, ...]]:
    """All weights and all synapses one after the other, and their sizes: a call of a kernel costs by its arguments."""
    sizes = len(weights.cm), len(weights.sigma), len(weights.sensory_sigma), *map(len, weights[-4:])
    return np.concatenate(weights), np.concatenate(wiring), sizes


def forward(
    inputs: Array,
    first: Array,
    times: Array,
    valid: Array,
    resets: Array,
    weights: Weights,
    wiring: Wiring,
    unfolds: int,
    epsilon: float,
    motors: int,
    sequences: bool,
    keep: bool,
    threads: int,
    room: Sequence[Array | None] = (None, None),
) -> tuple[Array, Array, Array | None]:
    """Outputs, last states and what `backward` needs.

    All numbers are float32 or all are float64; all arrays are contiguous, and writable (numba compiles others anew).

    Args:
        inputs: (B, T, F), T >= 1.
        first: (B, N) states before the first step.
        times: (1, 1), (1, T) or (B, T) elapsed times.
        valid: (B, T), False where a step leaves the state as it is, or (0, 0).
        resets: (B, T), True where a sample starts from zeros before a step, also one that is not valid, or (0, 0).
        weights: the weights.
        wiring: the synapses.
        unfolds: solver steps in a time step.
        epsilon: added to the conductance of each neuron.
        motors: how many neurons, the first ones, the outputs are of.
        sequences: whether outputs are those of all steps, (B, T, M), or of the last, (B, M).
        keep: whether to keep the states before all steps, for the gradient.
        threads: how many threads to use at most.
        room: arrays for the outputs of all steps and for the states that are kept, which are made where there is None.

    Returns:
        outputs; (B, N) states after the last step; (T, B, N) states before each step or None.
    """
    samples, steps, _ = inputs.shape
    neurons = first.shape[1]
    outputs, kept = room if sequences else (None, room[1])
    if outputs is None:
        outputs = np.empty((samples, steps if sequences else 1, motors), first.dtype)
    if kept is None:
        kept = np.empty((steps, samples, neurons) if keep else (0, 0, 0), first.dtype)
    final = np.empty_like(first)
    given = (inputs, first, times, valid, resets, *packed(weights, wiring), unfolds, epsilon)

    def part(_: int, begin: int, end: int) -> None:
        forward_samples(begin, end, *given, outputs, final, kept)

    spread(part, parts_of(inputs, wiring, unfolds, threads, 1))
    return outputs if sequences else outputs[:, 0], final, kept if keep else None


class Stream:
    """`forward` for single samples, as in a control loop, where laying arguments out takes longer than the step.

    What is written into the weights later, it does not see.
    """

    def __init__(self, weights: Weights, wiring: Wiring, unfolds: int, epsilon: float, motors: int) -> None:
        self.rest, self.motors = (*packed(weights, wiring), unfolds, epsilon), motors
        self.dtype = weights.cm.dtype
        self.kept = np.empty((0, 0, 0), self.dtype)

    def __call__(
        self, inputs: Array, first: Array, times: Array, valid: Array, resets: Array, sequences: bool
    ) -> tuple[Array, Array]:
        outputs = np.empty((1, inputs.shape[1] if sequences else 1, self.motors), self.dtype)
        final = np.empty_like(first)
        forward_samples(0, 1, inputs, first, times, valid, resets, *self.rest, outputs, final, self.kept)
        return outputs if sequences else outputs[:, 0], final


def backward(
    d_outputs: Array,
    d_final: Array,
    inputs: Array,
    first: Array,
    times: Array,
    valid: Array,
    resets: Array,
    weights: Weights,
    wiring: Wiring,
    unfolds: int,
    epsilon: float,
    motors: int,
    sequences: bool,
    kept: Array,
    threads: int,
) -> tuple[Array, Array, Array, Weights]:
    """Gradients of inputs, first states, times and weights, for those of what `forward` returned with these arguments.

    Those of weights are sums over samples in float64, in an order that depends on the number of threads only.
    """
    features, neurons = inputs.shape[2], first.shape[1]
    synapses, sensory = len(wiring.source), len(wiring.sensory_source)
    parts = parts_of(inputs, wiring, unfolds, threads, 2)
    d_inputs, d_first = np.empty_like(inputs), np.empty_like(first)
    d_times = np.zeros(
        (len(parts) if len(times) == 1 else 1, *times.shape)
    )  # each part adds to its own, or has its rows
    sums = [
        np.zeros((len(parts), *shape))
        for shape in ((3, neurons), (synapses, 4), (sensory, 4), (2, features), (2, motors))
    ]
    d_outputs = d_outputs if sequences else d_outputs[:, None]
    given = (inputs, first, times, valid, resets, *packed(weights, wiring), unfolds, epsilon)

    def part(index: int, begin: int, end: int) -> None:
        own = (x[index] for x in sums)
        d_time = d_times[index % len(d_times)]
        backward_samples(begin, end, *given, kept, d_outputs, d_final, d_inputs, d_first, d_time, *own)

    spread(part, parts)
    of_neurons, of_synapses, of_sensory, of_inputs, of_outputs = (x.sum(0) for x in sums)
    dtype = first.dtype
    d_weights = Weights(
        *of_neurons,
        *synapse_gradients(of_synapses, weights.sigma, weights.mu, weights.w, weights.erev),
        *synapse_gradients(
            of_sensory, weights.sensory_sigma, weights.sensory_mu, weights.sensory_w, weights.sensory_erev
        ),
        *(x[: len(w)] for x, w in zip(of_inputs, (weights.input_w, weights.input_b), strict=True)),
        *(x[: len(w)] for x, w in zip(of_outputs, (weights.output_w, weights.output_b), strict=True)),
    )
    return d_inputs, d_first, d_times.sum(0).astype(dtype), Weights(*(x.astype(dtype) for x in d_weights))


def parts_of(inputs: Array, wiring: Wiring, unfolds: int, threads: int, passes: int) -> list[Range]:
    """Ranges of samples for the threads; three evaluations of a synapse count as one operation."""
    samples, steps, _ = inputs.shape
    work = passes * samples * steps * (unfolds * len(wiring.source) + len(wiring.sensory_source)) / 3
    return ranges(samples, work, threads, 1 if samples <= threads else LANES)


def synapse_gradients(sums: Array, sigma: Array, mu: Array, w: Array, erev: Array) -> tuple[Array, ...]:
    """Gradients of slopes σ, shifts μ, conductances w and reversal potentials E.

    Args:
        sums: (E, 4) sums of the gradient of x = σ (v - μ) times v, of that gradient, of the opening s times the
            gradient of I, and of s times the gradient of G.
        sigma: slopes.
        mu: shifts.
        w: conductances.
        erev: reversal potentials.
    """
    of_potential, of_gate, of_current, of_conductance = sums.T
    return of_potential - mu * of_gate, -sigma * of_gate, erev * of_current + of_conductance, w * of_current


class Synapses(NamedTuple):
    """What kernels know of synapses: the wiring, and `gates`."""

    source: Array
    start: Array
    constants: Array


# -- the parts of a step: potentials v (N, L), inputs x (F, L), currents and conductances (2, N, L)


@njit(**INNER)
def gates(sigma, mu, w, erev):
    """(4, E): slope and shift of t in s = 1 / (1 + 2^t), w E and w."""
    constants = np.empty((4, len(sigma)), sigma.dtype)
    factor = sigma.dtype.type(-LOG2_E)
    for e in range(len(sigma)):
        slope = factor * sigma[e]
        constants[0, e], constants[1, e], constants[2, e], constants[3, e] = slope, -slope * mu[e], w[e] * erev[e], w[e]
    return constants


@njit(**INNER)
def leaks(gleak, vleak, epsilon, lanes):
    totals = np.empty((2, len(gleak), lanes), gleak.dtype)
    for n in range(len(gleak)):
        for b in range(lanes):
            totals[0, n, b] = gleak[n] * vleak[n]
            totals[1, n, b] = gleak[n] + gleak.dtype.type(epsilon)
    return totals


@emitted
@by_lanes
def conduct_neuron(builder, v, neuron, begin, end, source, constants, base, totals, opened):
    """Totals of a neuron: `base` plus what its synapses conduct."""
    with loop(builder, 0, v.shape[1], v.lanes) as b:
        current, conductance = Variable(base.load(0, neuron, b)), Variable(base.load(1, neuron, b))
        with loop(builder, begin, end) as e:
            slope, shift, we, w = (constants.everywhere(i, e) for i in range(4))
            s = logistic_of(slope * v.load(source.index(e), b) + shift)
            current.add(we * s)
            conductance.add(w * s)
            if opened is not None:
                opened.store(s, e, b)
        totals.store(current.now, 0, neuron, b)
        totals.store(conductance.now, 1, neuron, b)


@njit(**INNER)
def conduct_alone(v, synapses, base, totals, s):
    """The same for all neurons of one sample, in vectors of synapses."""
    source, start, constants = synapses
    for e in range(len(source)):
        s[e] = v[np.uintp(source[e]), 0]  # unsigned: an index that might be negative takes longer
    for e in range(len(source)):
        s[e] = logistic(constants[0, e] * s[e] + constants[1, e])
    for n in range(base.shape[1]):
        current, conductance = base[0, n, 0], base[1, n, 0]
        for e in range(np.uintp(start[n]), np.uintp(start[n + 1])):
            current += constants[2, e] * s[e]
            conductance += constants[3, e] * s[e]
        totals[0, n, 0], totals[1, n, 0] = current, conductance


@njit(**INNER)
def conduct(v, synapses, base, totals, scratch, opened):
    """Totals: `base` plus what the synapses conduct from potentials v; how open they are goes to `opened` (E, L)."""
    source, start, constants = synapses
    if v.shape[1] > 1:
        for n in range(base.shape[1]):
            conduct_neuron(v, n, np.intp(start[n]), np.intp(start[n + 1]), source, constants, base, totals, opened)
    elif opened is None:
        conduct_alone(v, synapses, base, totals, scratch)
    else:
        conduct_alone(v, synapses, base, totals, opened.reshape(-1))


@emitted
@by_lanes
def advance(builder, v, after, delta, cm, totals):
    """The solver's formula."""
    with loop(builder, 0, v.shape[0]) as n, loop(builder, 0, v.shape[1], v.lanes) as b:
        c, d = cm.everywhere(n), delta.load(b)
        after.store((c * v.load(n, b) + d * totals.load(0, n, b)) / (c + d * totals.load(1, n, b)), n, b)


@njit(**INNER)
def read_step(inputs, times, valid, mapping, b0, t, unfolds, x, delta, active):
    """Mapped inputs and δ (L,) of a step; returns how many samples of the block it is valid for.

    For the others, a step of zeros and one unit of time is computed and thrown away.
    """
    input_w, input_b = mapping
    number = 0
    for b in range(len(active)):
        active[b] = valid.shape[0] == 0 or valid[b0 + b, t]
        if active[b]:
            number += 1
            delta[b] = times[b0 + b if times.shape[0] > 1 else 0, t if times.shape[1] > 1 else 0] / unfolds
            for f in range(x.shape[0]):
                value = inputs[b0 + b, t, f]
                if len(input_w) > 0:
                    value *= input_w[f]
                if len(input_b) > 0:
                    value += input_b[f]
                x[f, b] = value
        else:
            delta[b] = 1
            for f in range(x.shape[0]):
                x[f, b] = 0
    return number


@njit(**INNER)
def reset(v, resets, b0, t, size):
    """Sets the samples to zero that start anew at a step."""
    for b in range(size if resets.shape[0] > 0 else 0):
        if resets[b0 + b, t]:
            for n in range(v.shape[0]):
                v[n, b] = 0


@njit(**INNER)
def copy_inactive(v, target, active):
    """Copies the samples for which a step is not valid."""
    for b in range(len(active)):
        if not active[b]:
            for n in range(v.shape[0]):
                target[n, b] = v[n, b]


@njit(**INNER)
def read_states(states, b0, size, v):
    """A block of the states (B, N)."""
    for b in range(size):
        for n in range(v.shape[0]):
            v[n, b] = states[b0 + b, n]


@njit(**INNER)
def write_states(v, b0, size, states):
    for b in range(size):
        for n in range(v.shape[0]):
            states[b0 + b, n] = v[n, b]


@njit(**INNER)
def emit(v, mapping, outputs, b0, t, size):
    """The motor neurons through the output mapping."""
    output_w, output_b = mapping
    for b in range(size):
        for m in range(outputs.shape[2]):
            value = v[m, b]
            if len(output_w) > 0:
                value *= output_w[m]
            if len(output_b) > 0:
                value += output_b[m]
            outputs[b0 + b, t, m] = value


# -- and their gradients


@njit(**INNER)
def emit_back(d_outputs, b0, t, v, v_after, active, mapping, dv, d_mapping):
    """Adds the gradient of the motor neurons, and that of the mapping."""
    output_w, _ = mapping
    for b in range(len(active)):
        for m in range(d_outputs.shape[2]):
            g = d_outputs[b0 + b, t, m]
            d_mapping[0, m] += g * (v_after[m, b] if active[b] else v[m, b])
            d_mapping[1, m] += g
            dv[m, b] += g * output_w[m] if len(output_w) > 0 else g


@emitted
@by_lanes
def advance_back(builder, v, after, delta, cm, totals, dv, d_totals, d_driven, d_delta):
    """From the gradient after a solver step, those of the totals; `dv` becomes that before it, but for the synapses."""
    with loop(builder, 0, v.shape[0]) as n, loop(builder, 0, v.shape[1], v.lanes) as b:
        c, d, now, then = cm.everywhere(n), delta.load(b), v.load(n, b), after.load(n, b)
        current, conductance = totals.load(0, n, b), totals.load(1, n, b)
        g = dv.load(n, b) / (c + d * conductance)
        d_current = g * d
        d_conductance = d_current * then * -1.0
        dv.store(g * c, n, b)
        d_totals.store(d_current, 0, n, b)
        d_totals.store(d_conductance, 1, n, b)
        for i, term in enumerate((d_current, d_conductance, g * (now - then))):
            d_driven.store(d_driven.load(i, n, b) + term, i, n, b)
        d_delta.store(d_delta.load(0, b) + g * (current - conductance * then), 0, b)


@emitted
@by_lanes
def conduct_neuron_back(builder, v, neuron, begin, end, source, constants, sigma, opened, d_totals, dv, d_synapses):
    """Adds the gradient of the neuron's sources, and those of its synapses."""
    with loop(builder, begin, end) as e:
        j = source.index(e)
        slope, we, w = sigma.everywhere(e), constants.everywhere(2, e), constants.everywhere(3, e)
        sums = [Variable(d_synapses.load(e, i, 0)) for i in range(4)]
        with loop(builder, 0, v.shape[1], v.lanes) as b:
            s, d_current, d_conductance = opened.load(e, b), d_totals.load(0, neuron, b), d_totals.load(1, neuron, b)
            g = (s - s * s) * (we * d_current + w * d_conductance)
            dv.store(dv.load(j, b) + slope * g, j, b)
            for total, term in zip(sums, (g * v.load(j, b), g, s * d_current, s * d_conductance), strict=True):
                total.add(term)
        for i, total in enumerate(sums):
            d_synapses.store(total.now, e, i, 0)


@njit(**INNER)
def conduct_back(v, synapses, sigma, opened, d_totals, dv, d_synapses):
    """Adds the gradient of the sources, and in each lane the sums of `synapse_gradients`, (E, 4, lanes of a vector)."""
    source, start, constants = synapses
    for n in range(len(start) - 1):
        conduct_neuron_back(
            v, n, np.intp(start[n]), np.intp(start[n + 1]), source, constants, sigma, opened, d_totals, dv, d_synapses
        )


@njit(**INNER)
def settle(recent, sums):
    """Adds what the lanes have summed up to the sums in float64, and lets them begin anew."""
    for e in range(recent.shape[0]):
        for i in range(4):
            for b in range(recent.shape[2]):
                sums[e, i] += recent[e, i, b]
                recent[e, i, b] = 0


@njit(**INNER)
def leaks_back(gleak, vleak, d_driven, d_neurons):
    """Adds the gradients of cm, gleak and vleak."""
    zero = gleak.dtype.type(0)
    for n in range(len(gleak)):
        of_cm, of_current, of_conductance = zero, zero, zero
        for b in range(d_driven.shape[2]):
            of_cm += d_driven[2, n, b]
            of_current += d_driven[0, n, b]
            of_conductance += d_driven[1, n, b]
        d_neurons[0, n] += of_cm
        d_neurons[1, n] += vleak[n] * of_current + of_conductance
        d_neurons[2, n] += gleak[n] * of_current


@njit(**INNER)
def read_step_back(inputs, mapping, b0, t, unfolds, active, dx, d_delta, d_inputs, d_times, d_mapping):
    """Gradients of inputs, the input mapping and times; zeros where a step is not valid."""
    input_w, _ = mapping
    for b in range(len(active)):
        if active[b]:
            d_times[b0 + b if d_times.shape[0] > 1 else 0, t if d_times.shape[1] > 1 else 0] += d_delta[0, b] / unfolds
        for f in range(dx.shape[0]):
            g = dx[f, b] if active[b] else dx.dtype.type(0)
            d_inputs[b0 + b, t, f] = g * input_w[f] if len(input_w) > 0 else g
            if active[b]:
                d_mapping[0, f] += g * inputs[b0 + b, t, f]
                d_mapping[1, f] += g


# -- whole sequences


@njit(**INNER)
def unpacked(values, ends, sizes):
    """What `packed` laid one after the other."""
    neurons, inner, sensory = sizes[0], sizes[1], sizes[2]
    a = 3 * neurons
    b = a + 4 * inner
    c = b + 4 * sensory
    d, e, f = c + sizes[3], c + sizes[3] + sizes[4], c + sizes[3] + sizes[4] + sizes[5]
    n, i, s = values[:a].reshape(3, neurons), values[a:b].reshape(4, inner), values[b:c].reshape(4, sensory)
    weights = Weights(
        n[0], n[1], n[2], i[0], i[1], i[2], i[3], s[0], s[1], s[2], s[3],
        values[c:d], values[d:e], values[e:f], values[f:],
    )  # fmt: skip
    a, b = inner + neurons + 1, inner + neurons + 1 + sensory
    return weights, Wiring(ends[:inner], ends[inner:a], ends[a:b], ends[b:])


@njit(**INNER)
def used(weights, wiring):
    """The synapses and the sensory ones with their gates, and both mappings."""
    p = weights
    inner = gates(p.sigma, p.mu, p.w, p.erev)
    sensory = gates(p.sensory_sigma, p.sensory_mu, p.sensory_w, p.sensory_erev)
    synapses = Synapses(wiring.source, wiring.start, inner)
    return (
        synapses, Synapses(wiring.sensory_source, wiring.sensory_start, sensory), (p.input_w, p.input_b),
        (p.output_w, p.output_b),
    )  # fmt: skip


@njit(**INNER)
def block_of(samples, most):
    """How many of the samples that are left come next, and on how many lanes: a single one on one, else in vectors."""
    size = min(samples, most)
    return size, 1 if size == 1 else (size + LANES - 1) // LANES * LANES


@compiled
def forward_samples(
    begin, end, inputs, first, times, valid, resets, values, ends, sizes, unfolds, epsilon, outputs, final, kept
):
    control = without_denormals()
    dtype, steps, neurons, features = first.dtype, inputs.shape[1], first.shape[1], inputs.shape[2]
    weights, wiring = unpacked(values, ends, sizes)
    synapses, sensory, input_mapping, output_mapping = used(weights, wiring)
    cm = weights.cm
    sequences = outputs.shape[1] > 1
    b0 = begin
    while b0 < end:
        size, lanes = block_of(end - b0, BLOCK)
        states = np.zeros((3, neurons, lanes), dtype)
        v, after, held = states[0], states[1], states[2]
        leak, x = leaks(weights.gleak, weights.vleak, epsilon, lanes), np.zeros((features, lanes), dtype)
        driven, totals = np.empty_like(leak), np.empty_like(leak)
        scratch = np.empty(max(len(synapses.source), len(sensory.source)) if lanes == 1 else 0, dtype)
        delta, active = np.ones(lanes, dtype), np.empty(size, np.bool_)
        read_states(first, b0, size, v)
        for t in range(steps):
            reset(v, resets, b0, t, size)
            if kept.shape[0] > 0:
                write_states(v, b0, size, kept[t])
            if read_step(inputs, times, valid, input_mapping, b0, t, unfolds, x, delta, active) > 0:
                copy_inactive(v, held, active)
                conduct(x, sensory, leak, driven, scratch, None)
                for _ in range(unfolds):
                    conduct(v, synapses, driven, totals, scratch, None)
                    advance(v, after, delta, cm, totals)
                    v, after = after, v
                copy_inactive(held, v, active)
            if sequences or t == steps - 1:
                emit(v, output_mapping, outputs, b0, t if sequences else 0, size)
        write_states(v, b0, size, final)
        b0 += size
    set_float_control(control)


@compiled
def backward_samples(
    begin, end, inputs, first, times, valid, resets, values, ends, sizes, unfolds, epsilon, kept, d_outputs, d_final,
    d_inputs, d_first, d_times, d_neurons, d_synapses, d_sensory, d_input_mapping, d_output_mapping,
):  # fmt: skip
    control = without_denormals()
    dtype, steps, neurons, features = first.dtype, inputs.shape[1], first.shape[1], inputs.shape[2]
    weights, wiring = unpacked(values, ends, sizes)
    synapses, sensory, input_mapping, output_mapping = used(weights, wiring)
    cm, source, sensory_source = weights.cm, wiring.source, wiring.sensory_source
    sequences = d_outputs.shape[1] > 1
    room = MOST // max(1, unfolds * len(source) * first.itemsize)
    most = max(LANES, min(BLOCK, room // LANES * LANES))
    b0 = begin
    while b0 < end:
        size, lanes = block_of(end - b0, most)
        path, x = np.zeros((unfolds + 1, neurons, lanes), dtype), np.zeros((features, lanes), dtype)
        leak = leaks(weights.gleak, weights.vleak, epsilon, lanes)
        driven, d_totals, d_driven = np.empty_like(leak), np.empty_like(leak), np.empty((3, neurons, lanes), dtype)
        totals = np.empty((unfolds, 2, neurons, lanes), dtype)
        opened = np.empty((unfolds, len(source), lanes), dtype)
        sensory_opened = np.empty((len(sensory_source), lanes), dtype)
        scratch = np.empty(max(len(source), len(sensory_source)) if lanes == 1 else 0, dtype)
        vector = min(lanes, LANES)
        recent = np.zeros((len(source), 4, vector), dtype)
        sensory_recent = np.zeros((len(sensory_source), 4, vector), dtype)
        dv, held, zeros = np.zeros_like(path[0]), np.zeros_like(path[0]), np.zeros_like(path[0])
        dx, d_delta = np.empty_like(x), np.empty((1, lanes), dtype)
        delta, active = np.ones(lanes, dtype), np.empty(size, np.bool_)
        read_states(d_final, b0, size, dv)
        for t in range(steps - 1, -1, -1):
            read_states(kept[t], b0, size, path[0])
            number = read_step(inputs, times, valid, input_mapping, b0, t, unfolds, x, delta, active)
            if number > 0:
                conduct(x, sensory, leak, driven, scratch, sensory_opened)
                for k in range(unfolds):
                    conduct(path[k], synapses, driven, totals[k], scratch, opened[k])
                    advance(path[k], path[k + 1], delta, cm, totals[k])
            if sequences or t == steps - 1:
                emit_back(
                    d_outputs, b0, t if sequences else 0, path[0], path[unfolds], active, output_mapping, dv,
                    d_output_mapping,
                )  # fmt: skip
            d_driven.fill(0), d_delta.fill(0), dx.fill(0)
            if number > 0:
                copy_inactive(dv, held, active)
                copy_inactive(zeros, dv, active)
                for k in range(unfolds - 1, -1, -1):
                    advance_back(path[k], path[k + 1], delta, cm, totals[k], dv, d_totals, d_driven, d_delta)
                    conduct_back(path[k], synapses, weights.sigma, opened[k], d_totals, dv, recent)
                conduct_back(x, sensory, weights.sensory_sigma, sensory_opened, d_driven, dx, sensory_recent)
                leaks_back(weights.gleak, weights.vleak, d_driven, d_neurons)
                copy_inactive(held, dv, active)
            read_step_back(
                inputs, input_mapping, b0, t, unfolds, active, dx, d_delta, d_inputs, d_times, d_input_mapping
            )
            reset(dv, resets, b0, t, size)
            if t % SETTLED == 0:
                settle(recent, d_synapses)
                settle(sensory_recent, d_sensory)
        write_states(dv, b0, size, d_first)
        b0 += size
    set_float_control(control)
