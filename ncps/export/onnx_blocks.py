"""Each kind of block as nodes of ONNX: from inputs (B, F), state (B, N) and timespan (B, 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ncps.export import blocks
from ncps.export.blocks import Array, Block
from ncps.export.onnx_graph import Graph
from ncps.layers.cfc import HEADS
from ncps.layers.solvers import EXPLICIT, SEMI_IMPLICIT


def gelu(graph: Graph, x: str) -> str:
    """0.5 x (1 + tanh(√(2 / π) (x + 0.044715 x³)))."""
    cube = graph.add("Mul", graph.add("Mul", x, x), graph.add("Mul", x, 0.044715))
    inner = graph.add("Tanh", graph.add("Mul", np.sqrt(2 / np.pi), graph.add("Add", x, cube)))
    return graph.add("Mul", graph.add("Mul", x, 0.5), graph.add("Add", inner, 1.0))


def gelu_exact(graph: Graph, x: str) -> str:
    """0.5 x (1 + erf(x / √2))."""
    inner = graph.add("Erf", graph.add("Mul", x, np.sqrt(0.5)))
    return graph.add("Mul", graph.add("Mul", x, 0.5), graph.add("Add", inner, 1.0))


ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "linear": lambda graph, x: x,
    "relu": lambda graph, x: graph.add("Relu", x),
    "sigmoid": lambda graph, x: graph.add("Sigmoid", x),
    "tanh": lambda graph, x: graph.add("Tanh", x),
    "lecun_tanh": lambda graph, x: graph.add("Mul", 1.7159, graph.add("Tanh", graph.add("Mul", 0.666, x))),
    "softplus": lambda graph, x: graph.add("Softplus", x),
    "silu": lambda graph, x: graph.add("Mul", x, graph.add("Sigmoid", x)),
    "gelu": gelu,
    "gelu_exact": gelu_exact,
    "elu": lambda graph, x: graph.add("Elu", x, alpha=1.0),
    "leaky_relu": lambda graph, x: graph.add("LeakyRelu", x, alpha=0.2),
    "exp": lambda graph, x: graph.add("Exp", x),
    "softmax": lambda graph, x: graph.add("Softmax", x, axis=-1),
}


class Stepped(NamedTuple):
    """What a block computed: outputs (B, M) and new state (B, N), "" where it has none."""

    outputs: str
    state: str


def step(graph: Graph, block: Block, x: str, state: str, timespan: str) -> Stepped:
    """Adds one time step of a block."""
    return STEPS[type(block)](graph, block, x, state, timespan)


def affine(graph: Graph, x: str, kernel: Array, bias: Any) -> str:
    """X kernel + bias."""
    return graph.add("Add", graph.add("MatMul", x, kernel), bias)


def dense(graph: Graph, block: blocks.Affine, x: str, state: str, timespan: str) -> Stepped:
    """activation(x W + b)."""
    return Stepped(ACTIVATIONS[block.activation](graph, affine(graph, x, block.kernel, block.bias)), "")


def activate(graph: Graph, block: blocks.Activate, x: str, state: str, timespan: str) -> Stepped:
    """activation(x)."""
    return Stepped(ACTIVATIONS[block.activation](graph, x), "")


def normalize(graph: Graph, block: blocks.Normalize, x: str, state: str, timespan: str) -> Stepped:
    """Zero mean and unit variance, then gamma and beta."""
    return Stepped(graph.add("LayerNormalization", x, block.gamma, block.beta, axis=-1, epsilon=block.epsilon), "")


# ---- solvers


class Rates(NamedTuple):
    """Of c ẋ = a - d x: a, and d and c, each None where it is 0 and 1."""

    source: Any
    decay: Any
    capacity: Any


def solved(graph: Graph, block: blocks.ODE, rates: Callable[[str], Rates], state: str, timespan: str) -> str:
    """The state after all solver steps."""
    delta = graph.add("Div", timespan, float(block.unfolds))
    advance = semi_implicit if block.solver == SEMI_IMPLICIT else runge_kutta
    for _ in range(block.unfolds):
        state = advance(graph, block, rates, state, delta)
    return state


def semi_implicit(graph: Graph, block: blocks.ODE, rates: Callable[[str], Rates], x: str, delta: str) -> str:
    """(c x + δ a) / (c + δ d)."""
    source, decay, capacity = rates(x)
    capacity = 1.0 if capacity is None else capacity
    above = graph.add("Add", graph.add("Mul", capacity, x), graph.add("Mul", delta, source))
    return graph.add("Div", above, graph.add("Add", capacity, graph.add("Mul", delta, decay)))


def runge_kutta(graph: Graph, block: blocks.ODE, rates: Callable[[str], Rates], x: str, delta: str) -> str:
    """One step of an explicit method, from its tableau."""
    method = EXPLICIT[block.solver]
    slopes: list[str] = []
    for row in method.stages:
        point = moved(graph, x, delta, row, slopes)
        source, decay, capacity = rates(point)
        slope = source if decay is None else graph.add("Sub", source, graph.add("Mul", decay, point))
        slopes.append(slope if capacity is None else graph.add("Div", slope, capacity))
    return moved(graph, x, delta, method.weights, slopes)


def moved(graph: Graph, x: str, delta: str, weights: tuple[float, ...], slopes: list[str]) -> str:
    """X + δ Σ weight slope."""
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            x = graph.add("Add", x, graph.add("Mul", graph.add("Mul", delta, weight), slope))
    return x


# ---- cells


def ltc(graph: Graph, block: blocks.LTC, x: str, state: str, timespan: str) -> Stepped:
    """Neurons and synapses; what the inputs conduct is summed once for all solver steps."""
    leak = block.gleak * block.vleak, block.gleak + np.float32(block.epsilon)
    driven = conducted(graph, block.sensory, mapped(graph, x, block.input_mapping), leak)

    def rates(v: str) -> Rates:
        return Rates(*conducted(graph, block.inner, v, driven), block.cm)

    state = solved(graph, block, rates, state, timespan)
    motors = graph.add("Slice", state, [0], [block.sizes.outputs], [1])
    return Stepped(mapped(graph, motors, block.output_mapping), state)


def mapped(graph: Graph, x: str, mapping: list[Array]) -> str:
    """X times the factor plus the offset, as far as there are any."""
    for operator, weight in zip(("Mul", "Add"), mapping, strict=False):
        x = graph.add(operator, x, weight)
    return x


def conducted(graph: Graph, ends: blocks.Synapses, v: str, sums: tuple[Any, Any]) -> tuple[Any, Any]:
    """Current and conductance of each neuron, with what its synapses from the potentials v conduct added."""
    if not len(ends.source):
        return sums
    source, rows = padded(ends)
    sigma, mu, w, erev = (rows[name] for name in ("sigma", "mu", "w", "erev"))
    potentials = graph.add("Gather", v, source, axis=1)  # (B, N, K), for at most K synapses into a neuron
    openness = graph.add("Sigmoid", graph.add("Mul", sigma, graph.add("Sub", potentials, mu)))
    current, conductance = (
        graph.add("Add", before, graph.add("ReduceSum", graph.add("Mul", openness, weight), [-1], keepdims=0))
        for before, weight in zip(sums, (w * erev, w), strict=True)
    )
    return current, conductance


def padded(ends: blocks.Synapses) -> tuple[Array, dict[str, Array]]:
    """Sources and weights (N, K), with synapses of no weight where a neuron has less than K."""
    units, widest = len(ends.fan_in), int(ends.fan_in.max())
    target = np.repeat(np.arange(units), ends.fan_in)
    place = target, np.arange(len(target)) - np.repeat(np.cumsum(ends.fan_in) - ends.fan_in, ends.fan_in)
    source = np.zeros((units, widest), np.int64)
    source[place] = ends.source
    rows = {name: np.zeros((units, widest), np.float32) for name in ends.weights}
    for name, values in ends.weights.items():
        rows[name][place] = values
    return source, rows


def rate(graph: Graph, block: blocks.Rate, x: str, state: str, timespan: str) -> Stepped:
    """Neurons whose inputs are summed once for all solver steps."""
    drive = affine(graph, x, block.kernel, block.bias)

    def rates(v: str) -> Rates:
        source = ACTIVATIONS[block.activation](graph, graph.add("Add", drive, graph.add("MatMul", v, block.recurrent)))
        return Rates(source, block.decay, None)

    state = solved(graph, block, rates, state, timespan)
    return Stepped(state, state)


def cfc(graph: Graph, block: blocks.CfC, x: str, state: str, timespan: str) -> Stepped:
    """The backbone of inputs and state, then the heads."""
    z = graph.add("Concat", x, state, axis=1)
    for layer in block.backbone:
        z = ACTIVATIONS[layer.activation](graph, affine(graph, z, layer.kernel, layer.bias))
    state = solution(graph, block.heads, z, timespan)
    return Stepped(state, state)


def wired_cfc(graph: Graph, block: blocks.WiredCfC, x: str, state: str, timespan: str) -> Stepped:
    """The layers of the wiring; each puts its new state into its places of [inputs, state]."""
    joined = graph.add("Concat", x, state, axis=1)
    inputs, width = block.sizes.inputs, block.sizes.inputs + block.sizes.state
    for layer in block.layers:
        z = graph.add("Gather", joined, layer.sources, axis=1)
        after = graph.add("Concat", joined, solution(graph, layer.heads, z, timespan), axis=1)
        places = np.arange(width)
        places[inputs + layer.neurons] = width + np.arange(len(layer.neurons))
        joined = graph.add("Gather", after, places, axis=1)
    state = graph.add("Slice", joined, [inputs], [width], [1])
    return Stepped(graph.add("Gather", state, block.motors, axis=1), state)


def solution(graph: Graph, heads: blocks.Heads, z: str, timespan: str) -> str:
    """The new state that the heads of z describe."""
    values = affine(graph, z, heads.kernel, heads.bias)
    if heads.w_tau is not None and heads.A is not None:
        speed = graph.add("Add", np.abs(heads.w_tau), graph.add("Abs", values))
        decay = graph.add("Exp", graph.add("Neg", graph.add("Mul", timespan, speed)))
        return graph.add("Sub", heads.A, graph.add("Mul", graph.add("Mul", heads.A, decay), values))
    count = len(HEADS[heads.mode])
    units = len(heads.bias) // count
    f, g, a, b = graph.add("Split", values, [units] * count, outputs=count, axis=1)
    f, g = (ACTIVATIONS[heads.activation](graph, x) for x in (f, g))
    gate = graph.add("Sigmoid", graph.add("Add", graph.add("Mul", a, timespan), b))
    return graph.add("Add", f, graph.add("Mul", gate, g if heads.mode == "no_gate" else graph.add("Sub", g, f)))


# ---- cells around cells


def memory(graph: Graph, block: blocks.Memory, x: str, state: str, timespan: str) -> Stepped:
    """The memory takes a step, then the cell."""
    n = len(block.recurrent)
    c, h = graph.add("Split", state, [n, block.sizes.state - n], outputs=2, axis=1)
    gates = graph.add("Add", affine(graph, x, block.kernel, block.bias), graph.add("MatMul", h, block.recurrent))
    i, f, g, o = graph.add("Split", gates, [n] * 4, outputs=4, axis=1)
    i, f, o = (graph.add("Sigmoid", gate) for gate in (i, f, o))
    c = graph.add("Add", graph.add("Mul", f, c), graph.add("Mul", i, graph.add("Tanh", g)))
    m = graph.add("Mul", o, graph.add("Tanh", c))
    drive, own = (x, m) if block.to_state else (m, h)
    outputs, own = step(graph, block.cell, drive, own, timespan)
    return Stepped(outputs, graph.add("Concat", c, own, axis=1))


def stack(graph: Graph, block: blocks.Chain, x: str, state: str, timespan: str) -> Stepped:
    """Cells on top of one another."""
    sizes = [each.sizes.state for each in block.blocks]
    states = graph.add("Split", state, sizes, outputs=len(sizes), axis=1) if len(sizes) > 1 else [state]
    after = []
    for each, own in zip(block.blocks, states, strict=True):
        x, own = step(graph, each, x, own, timespan)
        after.append(own)
    return Stepped(x, graph.add("Concat", *after, axis=1))


STEPS: dict[type[Block], Callable[[Graph, Any, str, str, str], Stepped]] = {
    blocks.Affine: dense,
    blocks.Activate: activate,
    blocks.Normalize: normalize,
    blocks.LTC: ltc,
    blocks.Rate: rate,
    blocks.CfC: cfc,
    blocks.WiredCfC: wired_cfc,
    blocks.Memory: memory,
    blocks.Chain: stack,
}
