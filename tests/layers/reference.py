"""The networks once more, from the papers' equations: float64, dense matrices, plain loops.

Nothing of ncps.layers is used. A cell is made of its weights, a dictionary by path relative to the cell; vectors of
synapses are sorted by target, then by source. States are lists of arrays.
"""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Cell:
    """One time step: `step(inputs (B, F), states, times (B,))` gives the new states, `readout(states)` the outputs."""

    step: Callable
    readout: Callable
    sizes: list  # of the states


def sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def softplus(x):
    return np.logaddexp(0, x)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


ACTIVATIONS = {
    "tanh": np.tanh,
    "lecun_tanh": lambda x: 1.7159 * np.tanh(0.666 * x),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * sigmoid(x),
    "linear": lambda x: x,
    None: lambda x: x,
}


def under(weights, prefix):
    """The weights whose paths begin with `prefix`, without it."""
    return {
        path[len(prefix) + 1 :]: np.asarray(value, float)
        for path, value in weights.items()
        if path.startswith(f"{prefix}/")
    }


def run_sequence(cell, x, timespans=None, mask=None, initial_state=None, go_backwards=False, resets=None):
    """Outputs of all steps in the order in which they are run, and the last states."""
    batch, length, _ = x.shape
    times = np.ones((batch, length)) if timespans is None else np.asarray(timespans, float)
    times = np.broadcast_to(times[:, :, 0] if times.ndim == 3 else times, (batch, length))
    zeros = [np.zeros((batch, size)) for size in cell.sizes]
    given = [] if initial_state is None else [np.asarray(s, float) for s in initial_state]
    state = given + zeros[len(given) :]
    x, outputs = np.asarray(x, float), []
    for t in range(length - 1, -1, -1) if go_backwards else range(length):
        if resets is not None:
            again = np.asarray(resets, bool)[:, t, None]
            state = [np.where(again, zero, s) for zero, s in zip(zeros, state, strict=True)]
        counts = np.ones(batch, bool) if mask is None else np.asarray(mask, bool)[:, t]
        clean = np.where(counts[:, None], x[:, t], 0)
        after = cell.step(clean, state, times[:, t])
        state = [np.where(counts[:, None], a, s) for a, s in zip(after, state, strict=True)]
        outputs.append(cell.readout(state))
    return np.stack(outputs, axis=1), state


# ---- solvers


def euler(f, x, h):
    return x + h * f(x)


def heun(f, x, h):
    k = f(x)
    return x + h / 2 * (k + f(x + h * k))


def rk4(f, x, h):
    a = f(x)
    b = f(x + h / 2 * a)
    c = f(x + h / 2 * b)
    d = f(x + h * c)
    return x + h / 6 * (a + 2 * b + 2 * c + d)


EXPLICIT = {"euler": euler, "explicit": euler, "heun": heun, "rk4": rk4}


def ode_step(system, solver, unfolds):
    """A step of an equation c dx/dt = a(x) - d(x) x, which `system(inputs)` gives as a function of x."""

    def step(inputs, states, times):
        x, h = states[0], times[:, None] / unfolds
        rates = system(inputs)
        for _ in range(unfolds):
            if solver == "semi_implicit":
                a, d, c = rates(x)
                x = (c * x + h * a) / (c + h * d)
            else:
                x = EXPLICIT[solver](right_hand_side(rates), x, h)
        return [x]

    return step


def right_hand_side(rates):
    def f(x):
        a, d, c = rates(x)
        return (a - d * x) / c

    return f


# ---- cells of neurons and synapses


def dense_matrix(values, adjacency):
    """A matrix (sources, targets) of a vector over the synapses that exist."""
    matrix, position = np.zeros(adjacency.shape), 0
    for target in range(adjacency.shape[1]):
        for source in range(adjacency.shape[0]):
            if adjacency[source, target] != 0:
                matrix[source, target] = values[position]
                position += 1
    assert position == len(values)
    return matrix


def synapse_sums(p, wiring, positive, factors):
    """`sums(values, prefix)`: for each factor the sums over the synapses of factor x activity, (B, targets)."""

    def sums(values, prefix):
        adjacency = wiring.sensory_adjacency_matrix if prefix else wiring.adjacency_matrix
        sigma, mu = (dense_matrix(p[prefix + name], adjacency) for name in ("sigma", "mu"))
        activity = sigmoid(sigma * (values[:, :, None] - mu)) * (adjacency != 0)
        return [(activity * dense_matrix(factor(prefix, positive), adjacency)).sum(1) for factor in factors]

    return sums


def positive_part(implicit):
    return softplus if implicit else (lambda value: np.maximum(value, 0))


def mapped_inputs(p, x):
    return x * p.get("input_w", 1.0) + p.get("input_b", 0.0)


def motor_readout(p, wiring):
    return lambda states: states[0][:, : wiring.output_dim] * p.get("output_w", 1.0) + p.get("output_b", 0.0)


def ltc_system(p, wiring, epsilon=1e-8, implicit_param_constraints=False):
    """Lechner et al. 2020, eq. 3, as FACTS.md tells it; `wiring` is built."""
    positive = positive_part(implicit_param_constraints)
    sums = synapse_sums(
        p,
        wiring,
        positive,
        (
            lambda prefix, positive: positive(p[prefix + "w"]) * p[prefix + "erev"],
            lambda prefix, positive: positive(p[prefix + "w"]),
        ),
    )
    leak, capacity = positive(p["gleak"]), positive(p["cm"])

    def system(inputs):
        current_in, conductance_in = sums(mapped_inputs(p, inputs), "sensory_")

        def rates(v):
            current, conductance = sums(v, "")
            return (
                leak * p["vleak"] + current + current_in,
                leak + conductance + conductance_in + epsilon,
                capacity,
            )

        return rates

    return system


def ltc(p, wiring, solver="semi_implicit", unfolds=6, **options):
    return Cell(ode_step(ltc_system(p, wiring, **options), solver, unfolds), motor_readout(p, wiring), [wiring.units])


def stc_system(p, wiring, elastance=None, implicit_param_constraints=False):
    """Farsang et al. 2024, as FACTS.md tells it."""
    positive = positive_part(implicit_param_constraints)
    sums = synapse_sums(
        p,
        wiring,
        positive,
        (lambda prefix, positive: positive(p[prefix + "w"]), lambda prefix, positive: p[prefix + "h"]),
    )

    def system(inputs):
        u = mapped_inputs(p, inputs)
        w_in, h_in = sums(u, "sensory_")

        def rates(v):
            w, h = sums(v, "")
            f = positive(p["gleak"]) + w + w_in
            g = positive(p["gleak"]) + h + h_in
            factor = 1.0
            if elastance is not None:
                z = u @ dense_matrix(p["sensory_elastance_w"], wiring.sensory_adjacency_matrix)
                z = z + v @ dense_matrix(p["elastance_w"], wiring.adjacency_matrix) + p["elastance_b"]
                factor = sigmoid(z)
                if elastance == "symmetric":
                    k = positive(p["elastance_k"])
                    factor = sigmoid(z + k) - sigmoid(z - k)
            return factor * p["vleak"] * np.tanh(g), factor * sigmoid(f), 1.0

        return rates

    return system


def stc(p, wiring, solver="explicit", unfolds=1, elastance=None, **options):
    system = stc_system(p, wiring, elastance, **options)
    return Cell(ode_step(system, solver, unfolds), motor_readout(p, wiring), [wiring.units])


def lrc(p, wiring, elastance="asymmetric", **options):
    return stc(p, wiring, elastance=elastance, **options)


# ---- continuous-time recurrent networks


def ctrnn_system(p, units, activation="tanh"):
    decay = np.maximum(p.get("decay", np.zeros(units)), 0)

    def system(inputs):
        return lambda x: (
            ACTIVATIONS[activation](inputs @ p["kernel"] + x @ p["recurrent_kernel"] + p["bias"]),
            decay,
            1.0,
        )

    return system


def ctrnn(p, units, solver="euler", unfolds=6, tau=None, **options):
    return Cell(ode_step(ctrnn_system(p, units, **options), solver, unfolds), lambda states: states[0], [units])


def neural_ode(p, units, solver="rk4", **options):
    return ctrnn(p, units, solver, **options)


def ctgru(p, units, time_constants=8):
    """Mozer et al. 2017, section 2; the traces of a unit stand side by side."""
    tau = 10 ** (np.arange(time_constants) / 2) if isinstance(time_constants, int) else np.asarray(time_constants)
    (wr, ws, wq), (ur, us, uq), (br, bs, bq) = (
        np.split(p[name], 3, axis=-1) for name in ("kernel", "recurrent_kernel", "bias")
    )

    def step(inputs, states, times):
        traces = states[0].reshape(-1, units, len(tau))
        h = traces.sum(-1)
        read = softmax(-(((inputs @ wr + h @ ur + br)[..., None] - np.log(tau)) ** 2))
        store = softmax(-(((inputs @ ws + h @ us + bs)[..., None] - np.log(tau)) ** 2))
        q = np.tanh(inputs @ wq + (read * traces).sum(-1) @ uq + bq)
        traces = ((1 - store) * traces + store * q[..., None]) * np.exp(-times[:, None, None] / tau)
        return [traces.reshape(len(traces), -1)]

    return Cell(step, lambda states: states[0].reshape(-1, units, len(tau)).sum(-1), [units * len(tau)])


# ---- gated networks


def with_time(inputs, times, append_timespans):
    return np.concatenate([inputs, times[:, None]], axis=1) if append_timespans else inputs


def lstm_gates(z, c):
    i, f, g, o = np.split(z, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def lstm(p, units, append_timespans=False):
    def step(inputs, states, times):
        h, c = states
        z = with_time(inputs, times, append_timespans) @ p["kernel"] + h @ p["recurrent_kernel"] + p["bias"]
        return list(lstm_gates(z, c))

    return Cell(step, lambda states: states[0], [units, units])


def gru(p, units, append_timespans=False):
    def step(inputs, states, times):
        h = states[0]
        xz, xr, xn = np.split(with_time(inputs, times, append_timespans) @ p["kernel"] + p["bias"], 3, axis=1)
        hz, hr, hn = np.split(h @ p["recurrent_kernel"], 3, axis=1)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        return [z * h + (1 - z) * np.tanh(xn + r * (hn + p["recurrent_bias"]))]

    return Cell(step, lambda states: states[0], [units])


def mixed_memory(p, inner, memory_to="input"):
    """Lechner, Hasani 2020; `inner(weights)` makes the cell within."""
    cell = inner(under(p, "cell"))
    ends = np.cumsum(cell.sizes)[:-1]

    def step(inputs, states, times):
        c, *own = states
        z = inputs @ p["kernel"] + np.concatenate(own, axis=1) @ p["recurrent_kernel"] + p["bias"]
        m, c = lstm_gates(z, c)
        if memory_to == "input":
            return [c, *cell.step(m, own, times)]
        return [c, *cell.step(inputs, np.split(m, ends, axis=1), times)]

    return Cell(step, lambda states: cell.readout(states[1:]), [sum(cell.sizes), *cell.sizes])


def stacked(p, makers):
    cells = [make(under(p, f"cells/{i}")) for i, make in enumerate(makers)]

    def step(inputs, states, times):
        after, states = [], list(states)
        for cell in cells:
            own, states = states[: len(cell.sizes)], states[len(cell.sizes) :]
            new = cell.step(inputs, own, times)
            inputs = cell.readout(new)
            after += new
        return after

    last = cells[-1]
    return Cell(step, lambda states: last.readout(states[-len(last.sizes) :]), [s for c in cells for s in c.sizes])


# ---- oscillators


def linoss(p, units, output_units=None, discretization="im", parallel=True):
    """Rusch, Rus 2025, one step at a time, with complex numbers, solving the implicit equation.

    The output, which depends on the inputs too, is kept beside the state for masked steps.
    """
    a, rate = np.maximum(p["A"], 0), sigmoid(p["steps"])
    b = p["B"][:, :units] + 1j * p["B"][:, units:]
    c = p["C"][:units] - 1j * p["C"][units:]  # Re(C y) = C_re y_re - C_im y_im

    def step(inputs, states, times):
        z_re, z_im, y_re, y_im = np.split(states[0], 4, axis=1)
        z, y, force = z_re + 1j * z_im, y_re + 1j * y_im, inputs @ b
        after_z, after_y = np.empty_like(z), np.empty_like(y)
        for i in np.ndindex(z.shape):
            d = rate[i[1]] * times[i[0]]
            if discretization == "im":
                matrix, right = [[1, d * a[i[1]]], [-d, 1]], [z[i] + d * force[i], y[i]]
            else:
                matrix, right = [[1, 0], [-d, 1]], [z[i] - d * a[i[1]] * y[i] + d * force[i], y[i]]
            after_z[i], after_y[i] = np.linalg.solve(np.array(matrix, complex), np.array(right))
        output = (after_y @ c).real + inputs @ p["D"]
        return [np.concatenate([after_z.real, after_z.imag, after_y.real, after_y.imag], axis=1), output]

    return Cell(step, lambda states: states[1], [4 * units, output_units or units])


# ---- closed-form networks


def cfc_solution(z, kernel, bias, p, mode, t, head):
    """The new state of the features z (B, F); t is (B, 1)."""
    n = kernel.shape[1] // (1 if mode == "pure" else 4)
    parts = [z @ kernel[:, i * n : (i + 1) * n] + bias[i * n : (i + 1) * n] for i in range(kernel.shape[1] // n)]
    if mode == "pure":
        (f,) = parts
        return -p["A"] * np.exp(-t * (np.abs(p["w_tau"]) + np.abs(f))) * f + p["A"]
    f, g = head(parts[0]), head(parts[1])
    gate = sigmoid(parts[2] * t + parts[3])
    return f + gate * g if mode == "no_gate" else f * (1 - gate) + gate * g


def cfc(
    p, units, mode="default", backbone_layers=1, backbone_activation="lecun_tanh", head_activation="tanh",
    backbone_units=None, sparsity_mask=None, masked_gates=True,
):  # fmt: skip
    """Hasani et al. 2022, eq. 3 and 4, with a backbone, or with a mask in front of the heads."""
    activation, head = ACTIVATIONS[backbone_activation], ACTIVATIONS[head_activation]
    mask = 1.0 if sparsity_mask is None else head_masks(np.array(sparsity_mask) != 0, mode, masked_gates)

    def step(inputs, states, times):
        z = np.concatenate([inputs, states[0]], axis=1)
        for i in range(backbone_layers):
            z = activation(z @ p[f"backbone/{i}/kernel"] + p[f"backbone/{i}/bias"])
        return [cfc_solution(z, p["heads_kernel"] * mask, p["heads_bias"], p, mode, times[:, None], head)]

    return Cell(step, lambda states: states[0], [units])


def head_masks(mask, mode, masked_gates):
    """The mask of f and g, and that of the gates, side by side."""
    gates = [mask if masked_gates else np.ones_like(mask)] * 2
    return np.concatenate([mask] if mode == "pure" else [mask, mask, *gates], axis=1)


def wired_cfc(
    p, wiring, mode="default", head_activation="tanh", fully_recurrent=True, masked_gates=True, state_order="neurons"
):
    """Layer by layer (inter, command, motor), masked; the state stands in the order of neuron ids, or of the layers."""
    layers = [wiring.get_neurons_of_layer(i) for i in range(wiring.num_layers)]
    head = ACTIVATIONS[head_activation]
    order = np.concatenate(layers) if state_order == "layers" else np.arange(wiring.units)
    back = np.argsort(order)

    def step(inputs, states, times):
        h = states[0][:, back]
        after, drive, sources = h.copy(), inputs, None
        for i, own in enumerate(layers):
            q = under(p, f"cells/{i}")
            mask = np.zeros((drive.shape[1] + len(own), len(own)))
            for column, target in enumerate(own):
                for row in range(drive.shape[1]):
                    if sources is None:
                        mask[row, column] = wiring.sensory_adjacency_matrix[row, target] != 0
                    else:
                        mask[row, column] = wiring.adjacency_matrix[sources[row], target] != 0
                for row, source in enumerate(own):
                    connected = fully_recurrent or wiring.adjacency_matrix[source, target] != 0
                    mask[drive.shape[1] + row, column] = connected
            z = np.concatenate([drive, h[:, own]], axis=1)
            kernel = q["heads_kernel"] * head_masks(mask, mode, masked_gates)
            new = cfc_solution(z, kernel, q["heads_bias"], q, mode, times[:, None], head)
            after[:, own] = new
            drive, sources = new, own
        return [after[:, order]]

    return Cell(step, lambda states: states[0][:, back][:, : wiring.output_dim], [wiring.units])


def differences(function, weights, step=1e-5):
    """Central differences of a scalar function of a dictionary of weights."""
    weights = {path: np.array(value, np.float64) for path, value in weights.items()}
    gradients = {path: np.zeros_like(value) for path, value in weights.items()}
    for path, value in weights.items():
        for index in np.ndindex(value.shape):
            kept = value[index]
            value[index] = kept + step
            above = function(weights)
            value[index] = kept - step
            below = function(weights)
            value[index] = kept
            gradients[path][index] = (above - below) / (2 * step)
    return gradients
