"""LTC with the semi-implicit solver over whole sequences, and its gradient.

A step of the solver is, for the neuron i with the sums I of currents and G of conductances,

    v_i <- (c_i v_i + δ I_i) / (c_i + δ G_i),   δ = timespan / unfolds,
    I_i = g_i vleak_i + Σ_j w_ji E_ji s_ji,   G_i = g_i + ε + Σ_j w_ji s_ji,   s_ji = sigmoid(σ_ji (v_j - μ_ji)),

where j runs over neurons and, once a time step, over inputs. Samples are taken in blocks of up to 32, whose potentials
stay in the first-level cache for the whole sequence: one pass over the synapses reads those of the source, and does the
sigmoid and both sums. For the gradient, one state of each time step is kept; its solver steps are done again, and the
sigmoids of that one time step remembered.

B samples, T time steps, F inputs, N neurons, E synapses, S sensory synapses, M motor neurons, K unfolds; L lanes: the
samples of a block, the last ones of which may be nobody's. In blocks, potentials are (N, slots, L).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from ncps.backends.kernels.numeric import FLAGS, KERNEL, LOG2_E, logistic
from ncps.backends.kernels.pool import BLOCK, ranges, spread

Array = Any
VECTOR = 8  # lanes come in multiples of it
INNER = {**FLAGS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # of functions that only kernels call


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
) -> tuple[Array, Array, Array | None]:
    """Outputs, last states and what `backward` needs.

    All numbers are float32 or all are float64, and all arrays contiguous.

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

    Returns:
        outputs; (B, N) states after the last step; (T, N, B) states before each step or None.
    """
    samples, steps, _ = inputs.shape
    neurons = first.shape[1]
    outputs = np.empty((samples, steps if sequences else 1, motors), first.dtype)
    final = np.empty_like(first)
    kept = np.empty((steps, neurons, samples) if keep else (0, 0, 0), first.dtype)
    given = (inputs, first, times, valid, resets, *weights, *wiring, unfolds, epsilon)

    def part(_: int, begin: int, end: int) -> None:
        forward_blocks(begin, end, *given, outputs, final, kept)

    spread(part, ranges(samples, work(inputs, wiring, unfolds), threads))
    return outputs if sequences else outputs[:, 0], final, kept if keep else None


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
    samples, _, features = inputs.shape
    neurons, synapses, sensory = first.shape[1], len(wiring.source), len(wiring.sensory_source)
    parts = ranges(samples, 4 * work(inputs, wiring, unfolds), threads)
    d_inputs, d_first = np.empty_like(inputs), np.empty_like(first)
    d_times, of_neurons, of_synapses, of_sensory, of_inputs, of_outputs = sums = [
        np.zeros((len(parts), *shape))
        for shape in (times.shape, (3, neurons), (synapses, 4), (sensory, 4), (2, features), (2, motors))
    ]
    d_outputs = d_outputs.reshape(samples, -1, motors)
    given = (inputs, first, times, valid, resets, *weights, *wiring, unfolds, epsilon)

    def part(index: int, begin: int, end: int) -> None:
        backward_blocks(begin, end, *given, kept, d_outputs, d_final, d_inputs, d_first, *(x[index] for x in sums))

    spread(part, parts)
    d_times, of_neurons, of_synapses, of_sensory, of_inputs, of_outputs = (x.sum(0) for x in sums)
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
    return d_inputs, d_first, d_times.astype(dtype), Weights(*(x.astype(dtype) for x in d_weights))


def work(inputs: Array, wiring: Wiring, unfolds: int) -> float:
    """Operations of the forward pass, roughly."""
    samples, steps, _ = inputs.shape
    return 10.0 * samples * steps * (unfolds * len(wiring.source) + len(wiring.sensory_source))


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
    """What kernels know of synapses: the wiring and `gates`."""

    source: Array
    start: Array
    constants: Array


# -- the parts of a step, for a block of samples


@njit(**INNER)
def gates(sigma, mu, w, erev):
    """(E, 4): slope and shift of t in s = 1 / (1 + 2^t), w E and w; beside each other, as they are read together."""
    constants = np.empty((len(sigma), 4), sigma.dtype)
    factor = sigma.dtype.type(-LOG2_E)
    for e in range(len(sigma)):
        slope = factor * sigma[e]
        constants[e, 0], constants[e, 1], constants[e, 2], constants[e, 3] = slope, -slope * mu[e], w[e] * erev[e], w[e]
    return constants


@njit(**INNER)
def conduct(x, slot, neuron, synapses, current, conductance, opened):
    """Adds what the synapses of a neuron conduct to its current and conductance (L,), and remembers how open they are.

    Indices are unsigned: those that might be negative take longer.
    """
    source, start, constants = synapses
    lanes = len(current)
    for e in range(np.uintp(start[neuron]), np.uintp(start[neuron + 1])):
        j = np.uintp(source[e])
        slope, shift, we, w = constants[e, 0], constants[e, 1], constants[e, 2], constants[e, 3]
        for b in range(lanes):
            s = logistic(slope * x[j, slot, b] + shift)
            current[b] += we * s
            conductance[b] += w * s
            if opened is not None:
                opened[e, slot, b] = s


@njit(**INNER)
def drive(x, gleak, vleak, epsilon, synapses, rows, sums, opened):
    """Currents and conductances (N, 2, L) of the leak and the sensory synapses, the same during a time step."""
    current, conductance = rows
    lanes = len(current)
    epsilon = gleak.dtype.type(epsilon)
    for n in range(len(gleak)):
        for b in range(lanes):
            current[b] = gleak[n] * vleak[n]
            conductance[b] = gleak[n] + epsilon
        conduct(x, 0, n, synapses, current, conductance, opened)
        for b in range(lanes):
            sums[n, 0, b] = current[b]
            sums[n, 1, b] = conductance[b]


@njit(**INNER)
def unfold(path, before, after, delta, cm, driven, synapses, rows, opened, sums):
    """One solver step, from one slot of `path` to another; `sums` (2, N, K, L) keep I and G where they are given."""
    current, conductance = rows
    lanes = len(current)
    for n in range(len(cm)):
        for b in range(lanes):
            current[b] = driven[n, 0, b]
            conductance[b] = driven[n, 1, b]
        conduct(path, before, n, synapses, current, conductance, opened)
        c = cm[n]
        for b in range(lanes):
            path[n, after, b] = (c * path[n, before, b] + delta[b] * current[b]) / (c + delta[b] * conductance[b])
        if sums is not None:
            for b in range(lanes):
                sums[0, n, before, b] = current[b]
                sums[1, n, before, b] = conductance[b]


@njit(**INNER)
def read_step(inputs, times, valid, mapping, b0, t, unfolds, x, delta, active):
    """Mapped inputs (F, 1, L) and δ (L,) of a step; returns how many samples of the block it is valid for.

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
                x[f, 0, b] = value
        else:
            delta[b] = 1
            for f in range(x.shape[0]):
                x[f, 0, b] = 0
    return number


@njit(**INNER)
def reset(states, slot, resets, b0, t, size):
    """Sets the samples to zero that start anew at a step."""
    for b in range(size if resets.shape[0] > 0 else 0):
        if resets[b0 + b, t]:
            for n in range(states.shape[0]):
                states[n, slot, b] = 0


@njit(**INNER)
def copy_inactive(source, slot, target, target_slot, active):
    """Copies the states of the samples for which a step is not valid."""
    for b in range(len(active)):
        if not active[b]:
            for n in range(source.shape[0]):
                target[n, target_slot, b] = source[n, slot, b]


@njit(**INNER)
def clear_inactive(states, active):
    for b in range(len(active)):
        if not active[b]:
            for n in range(states.shape[0]):
                states[n, 0, b] = 0


@njit(**INNER)
def read_states(states, b0, size, path):
    """States (B, N) of a block into the first slot."""
    for n in range(path.shape[0]):
        for b in range(size):
            path[n, 0, b] = states[b0 + b, n]


@njit(**INNER)
def write_states(path, slot, b0, size, states):
    for b in range(size):
        for n in range(path.shape[0]):
            states[b0 + b, n] = path[n, slot, b]


@njit(**INNER)
def keep_states(path, slot, b0, size, kept, t):
    for n in range(path.shape[0]):
        for b in range(size):
            kept[t, n, b0 + b] = path[n, slot, b]


@njit(**INNER)
def kept_states(kept, t, b0, size, path):
    for n in range(path.shape[0]):
        for b in range(size):
            path[n, 0, b] = kept[t, n, b0 + b]


@njit(**INNER)
def emit(path, slot, mapping, outputs, b0, t, size):
    """The motor neurons through the output mapping."""
    output_w, output_b = mapping
    for b in range(size):
        for m in range(outputs.shape[2]):
            value = path[m, slot, b]
            if len(output_w) > 0:
                value *= output_w[m]
            if len(output_b) > 0:
                value += output_b[m]
            outputs[b0 + b, t, m] = value


# -- and their gradients


@njit(**INNER)
def emit_back(d_outputs, b0, t, size, path, active, unfolds, mapping, dv, d_mapping):
    """Adds the gradient of the motor neurons, and that of the mapping."""
    output_w, _ = mapping
    for b in range(size):
        for m in range(d_outputs.shape[2]):
            g = d_outputs[b0 + b, t, m]
            d_mapping[0, m] += g * path[m, unfolds if active[b] else 0, b]
            d_mapping[1, m] += g
            dv[m, 0, b] += g * output_w[m] if len(output_w) > 0 else g


@njit(**INNER)
def divide_back(path, k, delta, cm, sums, dv, d_sums, d_driven, d_cm, d_delta):
    """From the gradient after a solver step, those of I and G; `dv` becomes that before it, but for the synapses."""
    lanes = len(delta)
    for n in range(len(cm)):
        c = cm[n]
        for b in range(lanes):
            after = path[n, k + 1, b]
            g = dv[n, 0, b] / (c + delta[b] * sums[1, n, k, b])
            d_current = g * delta[b]
            d_sums[0, n, k, b] = d_current
            d_sums[1, n, k, b] = -d_current * after
            d_driven[0, n, 0, b] += d_current
            d_driven[1, n, 0, b] -= d_current * after
            d_cm[n, b] += g * (path[n, k, b] - after)
            d_delta[b] += g * (sums[0, n, k, b] - sums[1, n, k, b] * after)
            dv[n, 0, b] = g * c


@njit(**INNER)
def conduct_back(k, synapses, sigma, opened, d_sums, dx):
    """Adds the gradient of the sources."""
    source, start, constants = synapses
    lanes = dx.shape[2]
    for n in range(len(start) - 1):
        for e in range(np.uintp(start[n]), np.uintp(start[n + 1])):
            j = np.uintp(source[e])
            slope, we, w = sigma[e], constants[e, 2], constants[e, 3]
            for b in range(lanes):
                s = opened[e, k, b]
                dx[j, 0, b] += slope * (s - s * s) * (we * d_sums[0, n, k, b] + w * d_sums[1, n, k, b])


@njit(**INNER)
def synapses_back(x, synapses, opened, d_sums, d_synapses):
    """Adds the sums of `synapse_gradients`, over slots and lanes at once: x (N, K L or more), the others (., K L)."""
    source, start, constants = synapses
    d_currents, d_conductances = d_sums
    for n in range(len(start) - 1):
        for e in range(np.uintp(start[n]), np.uintp(start[n + 1])):
            j = np.uintp(source[e])
            we, w = constants[e, 2], constants[e, 3]
            zero = we - we
            of_potential, of_gate, of_current, of_conductance = zero, zero, zero, zero
            for i in range(opened.shape[1]):
                s, d_current, d_conductance = opened[e, i], d_currents[n, i], d_conductances[n, i]
                g = (s - s * s) * (we * d_current + w * d_conductance)
                of_potential += g * x[j, i]
                of_gate += g
                of_current += s * d_current
                of_conductance += s * d_conductance
            d_synapses[e, 0] += of_potential
            d_synapses[e, 1] += of_gate
            d_synapses[e, 2] += of_current
            d_synapses[e, 3] += of_conductance


@njit(**INNER)
def neurons_back(gleak, vleak, d_driven, d_cm, d_neurons):
    """Adds the gradients of cm, gleak and vleak."""
    for n in range(len(gleak)):
        zero = gleak[n] - gleak[n]
        of_cm, of_current, of_conductance = zero, zero, zero
        for b in range(d_cm.shape[1]):
            of_cm += d_cm[n, b]
            of_current += d_driven[0, n, 0, b]
            of_conductance += d_driven[1, n, 0, b]
        d_neurons[0, n] += of_cm
        d_neurons[1, n] += vleak[n] * of_current + of_conductance
        d_neurons[2, n] += gleak[n] * of_current


@njit(**INNER)
def read_step_back(inputs, mapping, b0, t, unfolds, active, dx, d_delta, d_inputs, d_times, d_mapping):
    """Gradients of inputs, the input mapping and times; zeros where a step is not valid."""
    input_w, _ = mapping
    for b in range(len(active)):
        if active[b]:
            d_times[b0 + b if d_times.shape[0] > 1 else 0, t if d_times.shape[1] > 1 else 0] += d_delta[b] / unfolds
        for f in range(dx.shape[0]):
            g = dx[f, 0, b]
            if not active[b]:
                d_inputs[b0 + b, t, f] = 0
            elif len(input_w) > 0:
                d_inputs[b0 + b, t, f] = g * input_w[f]
                d_mapping[0, f] += g * inputs[b0 + b, t, f]
                d_mapping[1, f] += g
            else:
                d_inputs[b0 + b, t, f] = g
                d_mapping[1, f] += g


# -- whole sequences


@njit(**KERNEL)
def forward_blocks(
    begin, end, inputs, first, times, valid, resets, cm, gleak, vleak, sigma, mu, w, erev, sensory_sigma, sensory_mu,
    sensory_w, sensory_erev, input_w, input_b, output_w, output_b, source, start, sensory_source, sensory_start,
    unfolds, epsilon, outputs, final, kept,
):  # fmt: skip
    dtype, steps, neurons, features = first.dtype, inputs.shape[1], first.shape[1], inputs.shape[2]
    synapses = Synapses(source, start, gates(sigma, mu, w, erev))
    sensory = Synapses(sensory_source, sensory_start, gates(sensory_sigma, sensory_mu, sensory_w, sensory_erev))
    sequences = outputs.shape[1] > 1
    for b0 in range(begin, end, BLOCK):
        size = min(BLOCK, end - b0)
        lanes = (size + VECTOR - 1) // VECTOR * VECTOR
        path, x = np.zeros((neurons, 2, lanes), dtype), np.zeros((features, 1, lanes), dtype)
        delta, rows = np.ones(lanes, dtype), (np.empty(lanes, dtype), np.empty(lanes, dtype))
        driven, held = np.empty((neurons, 2, lanes), dtype), np.empty((neurons, 1, lanes), dtype)
        active = np.empty(size, np.bool_)
        read_states(first, b0, size, path)
        now = 0
        for t in range(steps):
            reset(path, now, resets, b0, t, size)
            if kept.shape[0] > 0:
                keep_states(path, now, b0, size, kept, t)
            number = read_step(inputs, times, valid, (input_w, input_b), b0, t, unfolds, x, delta, active)
            if number > 0:
                copy_inactive(path, now, held, 0, active)
                drive(x, gleak, vleak, epsilon, sensory, rows, driven, None)
                for _ in range(unfolds):
                    unfold(path, now, 1 - now, delta, cm, driven, synapses, rows, None, None)
                    now = 1 - now
                copy_inactive(held, 0, path, now, active)
            if sequences or t == steps - 1:
                emit(path, now, (output_w, output_b), outputs, b0, t if sequences else 0, size)
        write_states(path, now, b0, size, final)


@njit(**KERNEL)
def backward_blocks(
    begin, end, inputs, first, times, valid, resets, cm, gleak, vleak, sigma, mu, w, erev, sensory_sigma, sensory_mu,
    sensory_w, sensory_erev, input_w, input_b, output_w, output_b, source, start, sensory_source, sensory_start,
    unfolds, epsilon, kept, d_outputs, d_final, d_inputs, d_first, d_times, d_neurons, d_synapses, d_sensory,
    d_input_mapping, d_output_mapping,
):  # fmt: skip
    dtype, steps, neurons, features = first.dtype, inputs.shape[1], first.shape[1], inputs.shape[2]
    synapses = Synapses(source, start, gates(sigma, mu, w, erev))
    sensory = Synapses(sensory_source, sensory_start, gates(sensory_sigma, sensory_mu, sensory_w, sensory_erev))
    sequences = d_outputs.shape[1] > 1
    for b0 in range(begin, end, BLOCK):
        size = min(BLOCK, end - b0)
        lanes = (size + VECTOR - 1) // VECTOR * VECTOR
        path, x = np.zeros((neurons, unfolds + 1, lanes), dtype), np.zeros((features, 1, lanes), dtype)
        delta, rows = np.ones(lanes, dtype), (np.empty(lanes, dtype), np.empty(lanes, dtype))
        driven, held = np.empty((neurons, 2, lanes), dtype), np.empty((neurons, 1, lanes), dtype)
        opened = np.empty((len(source), unfolds, lanes), dtype)
        sensory_opened = np.empty((len(sensory_source), 1, lanes), dtype)
        sums, d_sums = np.empty((2, neurons, unfolds, lanes), dtype), np.empty((2, neurons, unfolds, lanes), dtype)
        d_driven, d_cm, d_delta = (
            np.empty((2, neurons, 1, lanes), dtype),
            np.empty((neurons, lanes), dtype),
            np.empty(lanes, dtype),
        )
        dv, dx = np.zeros((neurons, 1, lanes), dtype), np.empty((features, 1, lanes), dtype)
        active = np.empty(size, np.bool_)
        read_states(d_final, b0, size, dv)
        for t in range(steps - 1, -1, -1):
            kept_states(kept, t, b0, size, path)
            number = read_step(inputs, times, valid, (input_w, input_b), b0, t, unfolds, x, delta, active)
            if number > 0:
                drive(x, gleak, vleak, epsilon, sensory, rows, driven, sensory_opened)
                for k in range(unfolds):
                    unfold(path, k, k + 1, delta, cm, driven, synapses, rows, opened, sums)
            if sequences or t == steps - 1:
                emit_back(
                    d_outputs, b0, t if sequences else 0, size, path, active, unfolds, (output_w, output_b), dv,
                    d_output_mapping,
                )  # fmt: skip
            d_driven.fill(0), d_cm.fill(0), d_delta.fill(0), dx.fill(0)
            if number > 0:
                copy_inactive(dv, 0, held, 0, active)
                clear_inactive(dv, active)
                for k in range(unfolds - 1, -1, -1):
                    divide_back(path, k, delta, cm, sums, dv, d_sums, d_driven, d_cm, d_delta)
                    conduct_back(k, synapses, sigma, opened, d_sums, dv)
                synapses_back(
                    path.reshape(neurons, -1), synapses, opened.reshape(len(source), -1),
                    d_sums.reshape(2, neurons, -1), d_synapses,
                )  # fmt: skip
                conduct_back(0, sensory, sensory_sigma, sensory_opened, d_driven, dx)
                synapses_back(
                    x.reshape(features, -1), sensory, sensory_opened.reshape(len(sensory_source), -1),
                    d_driven.reshape(2, neurons, -1), d_sensory,
                )  # fmt: skip
                neurons_back(gleak, vleak, d_driven, d_cm, d_neurons)
                copy_inactive(held, 0, dv, 0, active)
            read_step_back(
                inputs, (input_w, input_b), b0, t, unfolds, active, dx, d_delta, d_inputs, d_times, d_input_mapping
            )
            reset(dv, 0, resets, b0, t, size)
        write_states(dv, 0, b0, size, d_first)
