"""The liquid networks once more, from the papers' equations: float64, dense matrices, plain loops.

Nothing of ncps.layers is used.

Weights come as a dictionary by path (``cell/w``). Vectors of synapses are sorted by target, then by source.
"""

import numpy as np


def sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def softplus(x):
    return np.logaddexp(0, x)


ACTIVATIONS = {
    "tanh": np.tanh,
    "lecun_tanh": lambda x: 1.7159 * np.tanh(0.666 * x),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * sigmoid(x),
    "linear": lambda x: x,
    None: lambda x: x,
}


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


def run_sequence(step, readout, state, x, timespans, mask, go_backwards):
    """Outputs of all steps in the order in which they are run, and the last state."""
    batch, length, _ = x.shape
    times = np.ones((batch, length)) if timespans is None else np.asarray(timespans, float)
    if times.ndim == 3:
        times = times[:, :, 0]
    times = np.broadcast_to(times, (batch, length))
    order = range(length - 1, -1, -1) if go_backwards else range(length)
    outputs = []
    for t in order:
        after = step(x[:, t], state, times[:, t])
        counts = np.ones(batch, bool) if mask is None else np.asarray(mask, bool)[:, t]
        state = np.where(counts[:, None], after, state)
        outputs.append(readout(state))
    return np.stack(outputs, axis=1), state


def ltc(
    weights, wiring, x, timespans=None, mask=None, initial_state=None, go_backwards=False,
    unfolds=6, epsilon=1e-8, implicit_param_constraints=False,
):  # fmt: skip
    """The fused semi-implicit solver of Lechner et al. 2020, eq. 3, as FACTS.md tells it; `wiring` is built."""
    p = {path.removeprefix("cell/"): np.asarray(value, float) for path, value in weights.items()}
    positive = softplus if implicit_param_constraints else (lambda value: np.maximum(value, 0))
    inner = (wiring.adjacency_matrix, "")
    sensory = (wiring.sensory_adjacency_matrix, "sensory_")

    def conductances(source_values, adjacency, prefix):
        """s (B, sources, targets), and s E."""
        exists = adjacency != 0
        slope, threshold, erev = (dense_matrix(p[prefix + name], adjacency) for name in ("sigma", "mu", "erev"))
        w = dense_matrix(positive(p[prefix + "w"]), adjacency)
        s = w * sigmoid(slope * (source_values[:, :, None] - threshold)) * exists
        return s, s * erev

    def step(inputs, v, times):
        u = inputs * p.get("input_w", 1.0) + p.get("input_b", 0.0)
        s_in, e_in = conductances(u, *sensory)
        capacity, leak = positive(p["cm"]), positive(p["gleak"])
        result = v.copy()
        for sample in np.flatnonzero(times > 0):  # no time: no change
            c = capacity / (times[sample] / unfolds)
            row = v[sample : sample + 1]
            for _ in range(unfolds):
                s, e = conductances(row, *inner)
                numerator = c * row + leak * p["vleak"] + e.sum(1) + e_in[sample].sum(0)
                row = numerator / (c + leak + s.sum(1) + s_in[sample].sum(0) + epsilon)
            result[sample] = row[0]
        return result

    def readout(v):
        return v[:, : wiring.output_dim] * p.get("output_w", 1.0) + p.get("output_b", 0.0)

    state = np.zeros((len(x), wiring.units)) if initial_state is None else np.asarray(initial_state, float)
    return run_sequence(step, readout, state, np.asarray(x, float), timespans, mask, go_backwards)


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
    weights, wiring, x, timespans=None, mask=None, initial_state=None, go_backwards=False,
    mode="default", backbone_layers=1, backbone_activation="lecun_tanh", head_activation="tanh",
):  # fmt: skip
    """Hasani et al. 2022, eq. 3 and 4, with a backbone; `wiring` is the number of units."""
    p = {path.removeprefix("cell/"): np.asarray(value, float) for path, value in weights.items()}
    activation = ACTIVATIONS[backbone_activation]

    def step(inputs, h, times):
        z = np.concatenate([inputs, h], axis=1)
        for i in range(backbone_layers):
            z = activation(z @ p[f"backbone/{i}/kernel"] + p[f"backbone/{i}/bias"])
        return cfc_solution(
            z, p["heads_kernel"], p["heads_bias"], p, mode, times[:, None], ACTIVATIONS[head_activation]
        )

    state = np.zeros((len(x), wiring)) if initial_state is None else np.asarray(initial_state, float)
    return run_sequence(step, lambda h: h, state, np.asarray(x, float), timespans, mask, go_backwards)


def wired_cfc(
    weights, wiring, x, timespans=None, mask=None, initial_state=None, go_backwards=False,
    mode="default", head_activation="tanh", fully_recurrent=True,
):  # fmt: skip
    """Layer by layer (inter, command, motor), all heads masked; the state stands in the order of neuron ids."""
    layers = [wiring.get_neurons_of_layer(i) for i in range(wiring.num_layers)]
    heads = 1 if mode == "pure" else 4

    def step(inputs, h, times):
        after = h.copy()
        drive, sources = inputs, None
        for i, own in enumerate(layers):
            p = {k.split("/")[-1]: np.asarray(v, float) for k, v in weights.items() if k.startswith(f"cell/cells/{i}/")}
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
            kernel = p["heads_kernel"] * np.tile(mask, (1, heads))
            new = cfc_solution(z, kernel, p["heads_bias"], p, mode, times[:, None], ACTIVATIONS[head_activation])
            after[:, own] = new
            drive, sources = new, own
        return after

    state = np.zeros((len(x), wiring.units)) if initial_state is None else np.asarray(initial_state, float)
    return run_sequence(
        step, lambda h: h[:, : wiring.output_dim], state, np.asarray(x, float), timespans, mask, go_backwards
    )


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
