"""From a cell of any backend to its block."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ncps import layers, tree
from ncps.export import blocks
from ncps.export.blocks import Array, Block, Chain, Sizes
from ncps.export.equations import known_form
from ncps.export.reading import activation, array, no_form, weight


def cell(layer: Any) -> list[Block]:
    """The block of a cell."""
    lower = known_form(layer, CELLS)
    if lower is None:
        raise no_form(layer, "Train one of these in its place, or export for a machine with Python by ncps.saving")
    output, states = tree.flatten(layer.output_size)[0], tree.flatten(layer.state_size)[0]
    return [lower(layer, Sizes(layer.build_shape()[-1], sum(output), sum(states)))]


def ltc(layer: Any, sizes: Sizes) -> Block:
    """The equation's weights, each as it counts."""
    positive = {name: array(layer, partial(layer.positive, name)) for name in layer.non_negative}
    mappings = [
        [weight(layer, f"{end}_{letter}") for letter in "wb" if hasattr(layer, f"{end}_{letter}")]
        for end in ("input", "output")
    ]
    inner, sensory = (synapses(layer, prefix, positive[f"{prefix}w"]) for prefix in ("", "sensory_"))
    return blocks.LTC(
        sizes, layer.solver, layer.unfolds, positive["gleak"], weight(layer, "vleak"), positive["cm"], layer.epsilon,
        inner, sensory, *mappings,
    )  # fmt: skip


def synapses(layer: Any, prefix: str, w: Array) -> blocks.Synapses:
    """The synapses among the neurons, or from the inputs (prefix ``"sensory_"``)."""
    ends = getattr(layer.wiring, f"{prefix}synapses")
    fan_in = np.bincount(ends.target, minlength=layer.wiring.units)
    weights = {name: weight(layer, prefix + name) for name in ("sigma", "mu", "erev")}
    return blocks.Synapses(fan_in, ends.source, weights | {"w": w})


def rate(layer: Any, sizes: Sizes) -> Block:
    """W, U, b and 1 / τ."""
    kernel, recurrent, bias = (weight(layer, name) for name in ("kernel", "recurrent_kernel", "bias"))
    decay = weight(layer, "decay") if isinstance(layer, layers.CTRNNCell) else None
    act = activation(layer, layer.activation)
    return blocks.Rate(sizes, layer.solver, layer.unfolds, kernel, recurrent, bias, decay, act)


def cfc(layer: Any, sizes: Sizes) -> Block:
    """The backbone and the heads."""
    act = activation(layer, layer.backbone_activation)
    maps = [(weight(each, "kernel"), weight(each, "bias")) for each in layer.backbone]
    backbone = [blocks.Affine(Sizes(*kernel.shape), kernel, bias, act) for kernel, bias in maps]
    return blocks.CfC(sizes, backbone, heads(layer))


def heads(layer: Any) -> blocks.Heads:
    """The heads of a CfC, with zeros where there is no synapse."""
    kernel = array(layer, layer.masked_kernel) if layer.masked else weight(layer, "heads_kernel")
    w_tau, asymptote = (weight(layer, name) if layer.mode == "pure" else None for name in ("w_tau", "A"))
    act = activation(layer, layer.head_activation)
    return blocks.Heads(kernel, weight(layer, "heads_bias"), layer.mode, act, w_tau, asymptote)


def wired_cfc(layer: Any, sizes: Sizes) -> Block:
    """The layers of the wiring, each driven by the one before."""
    ids = np.concatenate(layer.wiring.layers)
    places = np.arange(sizes.state) if layer.state_order == "layers" else ids
    neurons = np.split(places, np.cumsum([cell.units for cell in layer.cells])[:-1])
    before = [np.arange(sizes.inputs), *(sizes.inputs + own for own in neurons[:-1])]
    sources = [np.concatenate([drive, sizes.inputs + own]) for drive, own in zip(before, neurons, strict=True)]
    masks = [array(cell, partial(getattr, cell, "_mask")) != 0 for cell in layer.cells]
    each = zip(neurons, sources, masks, map(heads, layer.cells), strict=True)
    motors = places[np.argsort(ids)][: sizes.outputs]
    return blocks.WiredCfC(sizes, [blocks.WiredLayer(*parts) for parts in each], motors)


def mixed_memory(layer: Any, sizes: Sizes) -> Block:
    """The gates, then the cell."""
    kernel, recurrent, bias = (weight(layer, name) for name in ("kernel", "recurrent_kernel", "bias"))
    (inner,) = cell(layer.cell)
    return blocks.Memory(sizes, kernel, recurrent, bias, inner, layer.memory_to == "state")


def stacked(layer: Any, sizes: Sizes) -> Block:
    """Cells on top of one another."""
    return Chain(sizes, [block for each in layer.cells for block in cell(each)])


CELLS: dict[Any, Callable[[Any, Sizes], Block]] = {
    layers.LTCCell: ltc,
    layers.CTRNNCell: rate,
    layers.NeuralODECell: rate,
    layers.CfCCell: cfc,
    layers.WiredCfCCell: wired_cfc,
    layers.MixedMemoryCell: mixed_memory,
    layers.StackedRNNCells: stacked,
}
