"""Each kind of block as a function of C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ncps.export import blocks
from ncps.export.blocks import Array, Block
from ncps.export.c_tables import number
from ncps.export.c_writer import CELL, PLAIN, Writer
from ncps.layers.cfc import HEADS
from ncps.layers.solvers import EXPLICIT, SEMI_IMPLICIT


def write(out: Writer, block: Block, name: str) -> None:
    """Writes the function of a block and its tables."""
    WRITERS[type(block)](out, block, name)


def call(out: Writer, block: Block, name: str, state: str, x: str, y: str) -> None:
    """Writes a call of the function of a block."""
    out.emit(f"{name}({state}, {x}, timespan, {y});" if block.sizes.state else f"{name}({x}, {y});")


def dense(out: Writer, block: blocks.Affine, name: str) -> None:
    """y = activation(x W + b)."""
    with out.function(f"Dense, {block.activation}", PLAIN.format(name=name)):
        out.affine(f"{name}_kernel", block.kernel, out.tables.floats(f"{name}_bias", block.bias), "x", "y")
        out.activation(block.activation, "y", block.sizes.outputs)


def activate(out: Writer, block: blocks.Activate, name: str) -> None:
    """y = activation(x)."""
    with out.function(f"Activation, {block.activation}", PLAIN.format(name=name)):
        out.call("copy", "y", "x", block.sizes.outputs)
        out.activation(block.activation, "y", block.sizes.outputs)


def normalize(out: Writer, block: blocks.Normalize, name: str) -> None:
    """Zero mean and unit variance, then gamma and beta."""
    size = block.sizes.outputs
    out.count(3 * size, 1)
    with out.function("Layer normalisation", PLAIN.format(name=name)):
        gamma, beta = (out.tables.floats(f"{name}_{key}", getattr(block, key)) for key in ("gamma", "beta"))
        out.call("normalize", "x", gamma, beta, number(block.epsilon), size, "y")


# ---- solvers

Rates = Callable[[str], None]


def solve(out: Writer, block: blocks.ODE, rates: Rates, decay: str | None, capacity: str | None) -> None:
    """Writes the solver of c ẋ = a - d x for the state.

    Args:
        out: where to.
        block: whose solver it is.
        rates: writes the vector `a`, and `d` if it varies, at a point.
        decay: d of neuron i; None for 0.
        capacity: c of neuron i; None for 1.
    """
    out.emit(f"const float delta = timespan / {number(block.unfolds)};")
    with out.repeated(block.unfolds):
        if block.solver == SEMI_IMPLICIT:
            rates("state")
            c = capacity or "1.0f"
            x = f"{c} * state[i]" if capacity else "state[i]"
            out.elements(block.sizes.state, f"state[i] = ({x} + delta * a[i]) / ({c} + delta * {decay or '0.0f'});", 3)
        else:
            explicit_step(out, block, rates, decay, capacity)


def explicit_step(out: Writer, block: blocks.ODE, rates: Rates, decay: str | None, capacity: str | None) -> None:
    """One step of a Runge-Kutta method, from its tableau."""
    method, n = EXPLICIT[block.solver], block.sizes.state
    for i, row in enumerate(method.stages):
        point = "point" if any(row) else "state"
        if any(row):
            out.elements(n, f"point[i] = {moved(row)};", len(row))
        rates(point)
        slope = f"a[i] - {decay} * {point}[i]" if decay else "a[i]"
        out.elements(n, f"k{i}[i] = " + (f"({slope}) / {capacity};" if capacity else f"{slope};"), 1)
    out.elements(n, f"state[i] = {moved(method.weights)};", len(method.weights))


def moved(weights: tuple[float, ...]) -> str:
    """The state, moved along the slopes k with these weights."""
    terms = [f"{number(weight)} * k{i}[i]" for i, weight in enumerate(weights) if weight]
    return f"state[i] + delta * ({' + '.join(terms)})"


def vectors_of_solver(block: blocks.ODE) -> dict[str, int]:
    """Vectors that the solver needs, with their sizes."""
    if block.solver == SEMI_IMPLICIT:
        return {}
    stages = EXPLICIT[block.solver].stages
    names = [*(["point"] if len(stages) > 1 else []), *(f"k{i}" for i in range(len(stages)))]
    return dict.fromkeys(names, block.sizes.state)


# ---- cells


def ltc(out: Writer, block: blocks.LTC, name: str) -> None:
    """Neurons and synapses; what the inputs conduct is summed once for all solver steps."""
    n, among, sensory = block.sizes.state, len(block.inner.source), len(block.sensory.source)
    comment = (
        f"LTC: {n} neurons, {among} synapses among them, {sensory} from the inputs; solver {block.solver}, "
        f"{block.unfolds} steps. A neuron obeys cm dv/dt = gleak (vleak - v) + sum of s (erev - v)."
    )
    leak = {"gleak": block.gleak + np.float32(block.epsilon), "leak": block.gleak * block.vleak, "cm": block.cm}
    with out.function(comment, CELL.format(name=name)):
        tables = {key: out.tables.floats(f"{name}_{key}", values) for key, values in leak.items()}
        inner, outer = synapses(out, block.inner, name), synapses(out, block.sensory, f"{name}_sensory")
        out.vector(current=n, conductance=n, a=n, d=n, **vectors_of_solver(block))
        x = mapped(out, block.input_mapping, f"{name}_input", block.sizes.inputs, "x") if outer else "x"
        out.call("copy", "current", tables["leak"], n)
        out.call("copy", "conductance", tables["gleak"], n)
        conduct(out, block.sensory, n, outer, x, "current", "conductance")

        def rates(point: str) -> None:
            out.call("copy", "a", "current", n)
            out.call("copy", "d", "conductance", n)
            conduct(out, block.inner, n, inner, point, "a", "d")

        if not outer:
            out.emit("(void)x; /* no synapse begins at an input */")
        solve(out, block, rates, "d[i]", f"{tables['cm']}[i]")
        mapped(out, block.output_mapping, f"{name}_output", block.sizes.outputs, "state", "y")


def synapses(out: Writer, ends: blocks.Synapses, name: str) -> list[str]:
    """Adds the tables of synapses; the arguments of `conduct`."""
    if not len(ends.source):
        return []
    places = [out.tables.whole(f"{name}_{key}", getattr(ends, key)) for key in ("fan_in", "source")]
    weights = [out.tables.weight(f"{name}_{key}", ends.weights[key]) for key in ("sigma", "mu", "w", "erev")]
    return [*places, *(table.name for table in weights), out.scales(name, weights)]


def conduct(out: Writer, ends: blocks.Synapses, n: int, tables: list[str], v: str, a: str, d: str) -> None:
    """Adds what synapses conduct from the potentials v to the current a and the conductance d of n neurons."""
    if tables:
        out.count(4 * len(ends.source), len(ends.source))
        out.call("conduct", n, *tables, v, a, d)


def mapped(out: Writer, mapping: list[Array], name: str, size: int, x: str, y: str | None = None) -> str:
    """Writes x times the factor plus the offset of a mapping, as far as there are any; the vector that holds it."""
    tables = [out.tables.floats(f"{name}_{letter}", values) for letter, values in zip("wb", mapping, strict=False)]
    if not tables and y is None:
        return x
    if y is None:
        y = "mapped"
        out.vector(mapped=size)
    terms = [f"{x}[i]", *(f"{sign} {table}[i]" for sign, table in zip("*+", tables, strict=False))]
    out.elements(size, f"{y}[i] = {' '.join(terms)};", len(tables) and 1)
    return y


def rate(out: Writer, block: blocks.Rate, name: str) -> None:
    """Neurons whose inputs are summed once for all solver steps."""
    n = block.sizes.state
    kind = "NeuralODE" if block.decay is None else "CTRNN"
    equation = f"dx/dt = {block.activation}(W u + U x + b){'' if block.decay is None else ' - x / tau'}"
    comment = f"{kind}: {n} neurons, {equation}; solver {block.solver}, {block.unfolds} steps"
    with out.function(comment, CELL.format(name=name)):
        out.vector(drive=n, a=n, **vectors_of_solver(block))
        decay = None if block.decay is None else f"{out.tables.floats(f'{name}_decay', block.decay)}[i]"
        out.affine(f"{name}_kernel", block.kernel, out.tables.floats(f"{name}_bias", block.bias), "x", "drive")
        recurrent = out.tables.weight(f"{name}_recurrent_kernel", block.recurrent.T)

        def rates(point: str) -> None:
            out.count(block.recurrent.size)
            out.call("affine", recurrent.name, out.scale(recurrent), "drive", point, n, "a", n)
            out.activation(block.activation, "a", n)

        solve(out, block, rates, decay, None)
        out.call("copy", "y", "state", n)


def cfc(out: Writer, block: blocks.CfC, name: str) -> None:
    """The backbone of inputs and state, then the heads."""
    n, inputs = block.sizes.state, block.sizes.inputs
    widths = {f"z{i}": layer.sizes.outputs for i, layer in enumerate(block.backbone)}
    backbone = " + ".join(map(str, widths.values())) or "no"
    with out.function(
        f"CfC: {n} neurons, mode {block.heads.mode}; {backbone} units of backbone", CELL.format(name=name)
    ):
        out.vector(joined=inputs + n, heads=len(block.heads.bias), **widths)
        join(out, inputs, n)
        z = "joined"
        for i, layer in enumerate(block.backbone):
            bias = out.tables.floats(f"{name}_backbone_{i}_bias", layer.bias)
            out.affine(f"{name}_backbone_{i}_kernel", layer.kernel, bias, z, f"z{i}")
            z = f"z{i}"
            out.activation(layer.activation, z, layer.sizes.outputs)
        for place, head, kernel, bias in each_head(out, block.heads, name):
            out.affine(f"{name}_{head}_kernel", kernel, bias, z, place)
        solution(out, block.heads, name, "state")
        out.call("copy", "y", "state", n)


def wired_cfc(out: Writer, block: blocks.WiredCfC, name: str) -> None:
    """The layers of the wiring, each over the synapses that exist."""
    inputs, n = block.sizes.inputs, block.sizes.state
    mode = block.layers[0].heads.mode
    count = sum(int(np.split(layer.mask, len(HEADS[mode]), axis=1)[0].sum()) for layer in block.layers)
    comment = f"CfC: {n} neurons in {len(block.layers)} layers, {count} synapses, mode {mode}"
    with out.function(comment, CELL.format(name=name)):
        heads = max(len(layer.heads.bias) for layer in block.layers)
        out.vector(joined=inputs + n, heads=heads, after=max(len(layer.neurons) for layer in block.layers))
        join(out, inputs, n)
        for i, layer in enumerate(block.layers):
            wired_layer(out, layer, f"{name}_{i}", inputs)
        out.call("copy", "state", f"joined + {inputs}", n)
        motors, first = block.motors, int(block.motors[0])
        if np.array_equal(motors, first + np.arange(len(motors))):
            out.call("copy", "y", f"state + {first}" if first else "state", len(motors))
        else:
            out.elements(len(motors), f"y[i] = state[{out.tables.whole(f'{name}_motor', motors)}[i]];")


def join(out: Writer, inputs: int, n: int) -> None:
    """Inputs and state end to end."""
    out.call("copy", "joined", "x", inputs)
    out.call("copy", f"joined + {inputs}", "state", n)


def wired_layer(out: Writer, layer: blocks.WiredLayer, name: str, inputs: int) -> None:
    """The heads of one layer, and its new state in its place."""
    n = len(layer.neurons)
    known: dict[bytes, list[str]] = {}
    masks = np.split(layer.mask, len(HEADS[layer.heads.mode]), axis=1)
    for mask, (place, head, kernel, bias) in zip(masks, each_head(out, layer.heads, name), strict=True):
        target, source = np.nonzero(mask.T)
        key = mask.tobytes()
        if key not in known:  # the gates may see more than the other heads
            prefix = f"{name}_gate" if known else name
            tables = {"fan_in": mask.sum(axis=0), "source": layer.sources[source]}
            known[key] = [out.tables.whole(f"{prefix}_{key}", values) for key, values in tables.items()]
        w = out.tables.weight(f"{name}_{head}_w", kernel[source, target])
        out.count(len(source))
        out.call("wired", n, *known[key], w.name, out.scale(w), bias, "joined", place)
    solution(out, layer.heads, name, "after")
    out.elements(n, f"joined[{inputs} + {out.tables.whole(f'{name}_neuron', layer.neurons)}[i]] = after[i];")


def each_head(out: Writer, heads: blocks.Heads, name: str) -> Iterator[tuple[str, str, Array, str]]:
    """Of each head, where it goes, its name, its kernel, and the table of its bias."""
    names = HEADS[heads.mode]
    kernels, biases = np.split(heads.kernel, len(names), axis=1), np.split(heads.bias, len(names))
    for i, (head, kernel, bias) in enumerate(zip(names, kernels, biases, strict=True)):
        yield f"heads + {i * len(bias)}" if i else "heads", head, kernel, out.tables.floats(f"{name}_{head}_bias", bias)


def solution(out: Writer, heads: blocks.Heads, name: str, h: str) -> None:
    """The new state h, that the heads describe."""
    n = len(heads.bias) // len(HEADS[heads.mode])
    out.count(3 * n, n)
    if heads.w_tau is not None and heads.A is not None:
        tables = out.tables.floats(f"{name}_w_tau", heads.w_tau), out.tables.floats(f"{name}_A", heads.A)
        out.call("cfc_pure", n, "heads", *tables, "timespan", h)
        return
    out.activation(heads.activation, "heads", n)
    out.activation(heads.activation, f"heads + {n}", n)
    out.call(f"cfc_{heads.mode}", n, "heads", "timespan", h)


# ---- cells around cells


def memory(out: Writer, block: blocks.Memory, name: str) -> None:
    """The memory takes a step, then the cell."""
    n = len(block.recurrent)
    target = "in place of its state" if block.to_state else "as its input"
    comment = f"Mixed memory of {n} units; it enters the cell {target}. The state is the memory, then the cell's."
    with out.function(comment, CELL.format(name=name)):
        write(out, block.cell, f"{name}_{block.cell.kind}")
        out.vector(gates=4 * n, m=n)
        out.affine(f"{name}_kernel", block.kernel, out.tables.floats(f"{name}_bias", block.bias), "x", "gates")
        out.affine(f"{name}_recurrent_kernel", block.recurrent, "gates", f"state + {n}", "gates")
        out.count(3 * n, 5 * n)
        out.call("memory", n, "gates", "state", "m")
        if block.to_state:
            out.call("copy", f"state + {n}", "m", n)
        x = "x" if block.to_state else "m"
        call(out, block.cell, f"{name}_{block.cell.kind}", f"state + {n}", x, "y")


def stack(out: Writer, block: blocks.Chain, name: str) -> None:
    """Cells on top of one another."""
    with out.function(f"{len(block.blocks)} cells on top of one another", CELL.format(name=name)):
        names = [f"{name}_{i}_{each.kind}" for i, each in enumerate(block.blocks)]
        begins = np.cumsum([0, *(each.sizes.state for each in block.blocks)])
        one_after_another(out, block, names, [f"state + {begin}" for begin in begins[:-1]], "x", "y")


def one_after_another(out: Writer, chain: blocks.Chain, names: list[str], states: list[str], x: str, y: str) -> None:
    """Writes the functions of blocks that feed one another, and their calls."""
    for i, (block, name, state) in enumerate(zip(chain.blocks, names, states, strict=True)):
        write(out, block, name)
        after = y if i == len(names) - 1 else f"x{i + 1}"
        if after != y:
            out.vector(**{after: block.sizes.outputs})
        call(out, block, name, state, x, after)
        x = after


WRITERS: dict[type[Block], Callable[[Writer, Any, str], None]] = {
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
