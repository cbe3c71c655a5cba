"""The whole model of ONNX: one time step, or a loop over them, with its inputs and outputs."""

from __future__ import annotations

from typing import Any

from onnx import checker, helper

from ncps._version import __version__
from ncps.export import onnx_blocks
from ncps.export.lowering import Network
from ncps.export.onnx_graph import IR_VERSION, OPSET, Graph, tensor

BATCH, STEPS = "batch", "steps"  # names of the axes of any length


def content(network: Network, kind: str) -> bytes:
    """The bytes of a file.

    Args:
        network: what it computes.
        kind: ``"step"`` or ``"sequence"``.
    """
    graph = Graph()
    inputs, outputs = {"step": step_graph, "sequence": sequence_graph}[kind](graph, network)
    made = helper.make_model(
        helper.make_graph(graph.nodes, network.name, inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="ncps",
        producer_version=__version__,
    )
    checker.check_model(made, full_check=True)
    return made.SerializeToString(deterministic=True)


def states_of(network: Network) -> dict[str, int]:
    """Sizes of the states by name."""
    return {f"{block.kind}_{i}": block.sizes.state for i, block in enumerate(network.chain.blocks) if block.sizes.state}


def step_graph(graph: Graph, network: Network) -> tuple[list[Any], list[Any]]:
    """Adds one time step; the graph's inputs and outputs."""
    sizes, states = network.chain.sizes, states_of(network)
    x, after = add_step(graph, network, "input", "timespan")
    graph.rename(x, "output")
    for name, state in after.items():
        graph.rename(state, f"{name}_next")
    inputs = [tensor("input", BATCH, sizes.inputs), tensor("timespan", BATCH, 1)]
    return (
        [*inputs, *(tensor(name, BATCH, size) for name, size in states.items())],
        [tensor("output", BATCH, sizes.outputs), *(tensor(f"{name}_next", BATCH, n) for name, n in states.items())],
    )


def add_step(graph: Graph, network: Network, x: str, timespan: str, prefix: str = "") -> tuple[str, dict[str, str]]:
    """Adds the nodes of one time step; the output, and the new states by name."""
    after = {}
    for i, block in enumerate(network.chain.blocks):
        name = f"{block.kind}_{i}"
        x, state = onnx_blocks.step(graph, block, x, f"{prefix}{name}", timespan)
        if state:
            after[name] = state
    return x, after


def sequence_graph(graph: Graph, network: Network) -> tuple[list[Any], list[Any]]:
    """Adds a loop over time; the graph's inputs and outputs."""
    sizes, states = network.chain.sizes, states_of(network)
    inner = Graph(constants=graph.constants, _known=graph._known)  # a loop sees the constants around it
    elapsed = inner.add("Unsqueeze", "elapsed", [1])
    x, after = add_step(inner, network, "x", elapsed, prefix="before_")
    body_outputs = [*(inner.rename(after[name], f"after_{name}") for name in states), inner.rename(x, "y")]
    body = helper.make_graph(
        inner.nodes,
        "step",
        [*(tensor(f"before_{name}", BATCH, n) for name, n in states.items()), tensor("x", BATCH, sizes.inputs),
         tensor("elapsed", BATCH)],
        [tensor(name, BATCH, n) for name, n in zip(body_outputs, [*states.values(), sizes.outputs], strict=True)],
    )  # fmt: skip
    results = [*(f"{name}_next" for name in states), "every"]
    given = [*states, "inputs", "timespans"]
    graph.nodes.append(
        helper.make_node(
            "Scan", given, results, name="time", body=body, num_scan_inputs=2, scan_input_axes=[1, 1],
            scan_output_axes=[1],
        )
    )  # fmt: skip
    graph.rename("every" if network.every else graph.add("Gather", "every", -1, axis=1), "outputs")
    lead = (BATCH, STEPS) if network.every else (BATCH,)
    inputs = [tensor("inputs", BATCH, STEPS, sizes.inputs), tensor("timespans", BATCH, STEPS)]
    return (
        [*inputs, *(tensor(name, BATCH, size) for name, size in states.items())],
        [tensor("outputs", *lead, sizes.outputs), *(tensor(f"{name}_next", BATCH, n) for name, n in states.items())],
    )
