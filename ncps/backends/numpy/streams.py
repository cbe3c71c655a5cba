"""Single streams of LTC on NumPy without kernels, as in a control loop: a solver step is four calls of NumPy.

For few neurons, products with small dense matrices are faster than gathers and sums by synapse. The activity of all
synapses is tanh(A [v, 1]); numerator and denominator of the solver step, both divided by the elapsed time δ,

    v <- (c / δ v + I) / (c / δ + G),

are one product M [activity, v, 1]. The weights and the 1/2 of the logistic function (1 + tanh) / 2 are in the matrices;
δ changes a diagonal and a column of them only, for events come at any time.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from ncps.backends.kernels.streams import ByValue
from ncps.ops.dispatch import COMPOSITES

SHORTEST = 1e-30  # elapsed time of a solver step, by which capacitances can be divided in float32
SMALL = 20_000  # elements of the two matrices, above which the op's own body takes no longer


class Stream:
    """The matrices for these weights, and room for what is computed."""

    def __init__(self, weights, synapses, epsilon, features):
        w, dtype = weights, weights.cm.dtype
        neurons, count, sensory = len(w.cm), len(w.w), len(w.sensory_w)
        self.neurons, self.count = neurons, count
        self.activity = activity(synapses.source, neurons, w.sigma, w.mu)
        self.sensory_activity = activity(synapses.sensory_source, features, w.sensory_sigma, w.sensory_mu)
        inner, inner_constant = conducted(synapses.target, neurons, w.w, w.erev)
        self.sensory, constant = conducted(synapses.sensory_target, neurons, w.sensory_w, w.sensory_erev)
        leak = np.concatenate([w.gleak * w.vleak, w.gleak + dtype.type(epsilon)])
        self.timeless = inner_constant + constant + leak
        self.constant, self.cm, self.delta = self.timeless.copy(), w.cm.copy(), None
        self.solver = np.concatenate([inner, np.zeros((2 * neurons, neurons + 1), dtype)], axis=1)
        self.carried = np.einsum("ii->i", self.solver[:neurons, count:-1])  # a view of the diagonal
        self.room, self.inputs = np.ones(count + neurons + 1, dtype), np.ones(features + 1, dtype)
        self.opened, self.sums = np.empty(sensory, dtype), np.empty(2 * neurons, dtype)

    def set_elapsed(self, delta):
        """The elapsed time of the solver steps to come."""
        if delta != self.delta:
            self.carried[:] = self.cm / delta
            self.constant[self.neurons :] = self.timeless[self.neurons :] + self.carried
            self.delta = delta

    def step(self, x, v, unfolds):
        """The potentials (N,) after one time step, from inputs (F,)."""
        count, neurons, room, sums = self.count, self.neurons, self.room, self.sums
        self.inputs[:-1] = x
        opened = np.tanh(np.dot(self.sensory_activity, self.inputs, out=self.opened), out=self.opened)
        self.solver[:, -1] = np.dot(self.sensory, opened, out=sums)
        self.solver[:, -1] += self.constant
        potentials, activity, with_one = room[count:-1], room[:count], room[count:]
        potentials[:] = v
        for _ in range(unfolds):
            np.tanh(np.dot(self.activity, with_one, out=activity), out=activity)
            np.dot(self.solver, room, out=sums)
            np.divide(sums[:neurons], sums[neurons:], out=potentials)
        return potentials


def activity(source, sources, sigma, mu):
    """(E, sources + 1): half of σ (v - μ), of potentials and a one."""
    matrix = np.zeros((len(source), sources + 1), sigma.dtype)
    matrix[np.arange(len(source)), source] = sigma / 2
    matrix[:, -1] = -sigma * mu / 2
    return matrix


def conducted(target, neurons, w, erev):
    """Current and conductance (2 N, E) by the tanh of synapses, and what their (1 + tanh) / 2 adds to both, (2 N,)."""
    matrix, synapse = np.zeros((2 * neurons, len(target)), w.dtype), np.arange(len(target))
    matrix[target, synapse], matrix[neurons + target, synapse] = w * erev / 2, w / 2
    return matrix, matrix.sum(1)


STREAMS = ByValue()


def ltc_sequence(inputs, initial, times, valid, resets, weights, synapses, unfolds, epsilon, motors, every):
    def body():
        return COMPOSITES["ltc_sequence"](
            inputs, initial, times, valid, resets, weights, synapses, unfolds, epsilon, motors, every
        )

    steps, batch, features = inputs.shape
    neurons, count = len(weights.cm), len(weights.w)
    if batch != 1 or count * (neurons + 1) + 2 * neurons * count > SMALL or inputs.dtype.kind != "f":
        return body()
    prepare = functools.partial(Stream, weights, synapses, epsilon, features)
    stream = STREAMS.stream(synapses, weights[:11], (epsilon, features), prepare)
    deltas = (times / unfolds).ravel().tolist()
    deltas = deltas if len(deltas) == steps else deltas * steps
    v, states = initial[0], np.empty((steps if every else 1, 1, neurons), inputs.dtype)
    for t in range(steps):
        x = inputs[t, 0]
        v = np.zeros_like(v) if resets is not None and resets[t, 0, 0] else v
        if valid is None or valid[t, 0, 0]:
            if weights.input_w is not None:
                x = x * weights.input_w
            if weights.input_b is not None:
                x = x + weights.input_b
            if deltas[t] < SHORTEST:
                return body()
            stream.set_elapsed(deltas[t])
            v = stream.step(x, v, unfolds)
        states[t if every else 0, 0] = v
    if not math.isfinite(states.sum()):  # the zeros of dense matrices would carry NaN where no synapse leads
        return body()
    outputs, final = states[..., :motors], np.array(v)[None]
    outputs = outputs if weights.output_w is None else outputs * weights.output_w
    outputs = outputs if weights.output_b is None else outputs + weights.output_b
    return (outputs if every else outputs[0]), final


ltc_sequence.for_steps = True
