"""From a model of any backend to blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ncps import layers, ops, tree
from ncps.backend import backend_scope
from ncps.export import blocks, keras_layers
from ncps.export.blocks import Array, Block, Chain, Sizes
from ncps.export.equations import known_form
from ncps.layers.symbols import Symbol
from ncps.models import Functional, Model
from ncps.models.functional import read
from ncps.saving import convert
from ncps.saving.weights import not_built, weights_of

STEPPING = (
    "Exported are layers that compute one time step after the other: Dense, Activation, Dropout, LayerNormalization, "
    "TimeDistributed of these, and LTC, CfC, CTRNN, NeuralODE, MixedMemory and StackedRNNCells of their cells"
)


class Network(NamedTuple):
    """A model to export.

    Attributes:
        name: of the model.
        chain: its blocks.
        every: whether it gives the outputs of every step, or the last.
    """

    name: str
    chain: Chain
    every: bool


def network_of(model: Any) -> Network:
    """The blocks of a built model.

    Args:
        model: a layer, a cell or a model of any backend, or a model of Keras that is a chain of layers.

    Raises:
        TypeError: it is none, or one of its layers has no exported form.
        ValueError: it is not built, a weight is not finite, or it does not run through its layers one after another.

    Example:
        >>> network = network_of(layers.Sequential([layers.CfC(8, return_sequences=True, input_size=3)]))
        >>> network.chain.sizes
        Sizes(inputs=3, outputs=8, state=8)
    """
    for weight in weights_of(model):  # raises if it is not built
        check_finite(weight.owner.read_weight(weight.name), model, weight.path)
    name = str(getattr(model, "name", None) or type(model).__name__)
    steps = list(steps_of(model))
    found = [block for layer in steps for block in blocks_of(layer)]
    if not found:
        raise ValueError(
            f"Expected layers that compute something. Received: {name}, without any. Add the layers before exporting "
            "it."
        )
    last = next((layer for layer in reversed(steps) if hasattr(layer, "return_sequences")), None)
    every = last is None or last.return_sequences
    return Network(name, Chain(sizes_of_chain(found), found), every)


def check_finite(values: Array, model: Any, path: str) -> None:
    """Raises unless float32 holds all values of a weight.

    Raises:
        ValueError: it does not.
    """
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.asarray(values).astype(np.float32)).all()
    if not finite:
        raise ValueError(
            f"Expected finite weights that float32 holds. Received: {path} of {type(model).__name__} with NaN or "
            "infinity. Train it again with a smaller learning rate, or load a good file."
        )


def sizes_of_chain(chain: list[Block]) -> Sizes:
    """Those of blocks that feed one another."""
    return Sizes(chain[0].sizes.inputs, chain[-1].sizes.outputs, sum(block.sizes.state for block in chain))


# ---- which layers, in which order


def steps_of(layer: Any) -> Iterator[Any]:
    """The layers that are no models, in the order in which a model calls them."""
    if keras_layers.is_model(layer):
        try:
            inner = keras_layers.layers_in_line(layer)
        except ValueError as error:
            raise in_one_line(layer, str(error)) from None
    elif isinstance(layer, Model):
        inner = layers_called_by(layer)
    else:
        yield layer
        return
    for each in inner:
        yield from steps_of(each)


def layers_called_by(model: Any) -> list[Any]:
    """The layers that a model calls one after another, found by calling it with a symbol.

    Raises:
        ValueError: it does something else as well, or its graph branches.
    """
    if model.bound_to == "keras":  # whose layers take no symbols but its own
        model = convert(model, "numpy")
    try:
        with model.scope():
            found = model.call(symbols_for(model))
    except (TypeError, AttributeError, ValueError, NotImplementedError, RuntimeError) as error:
        raise in_one_line(model, f"{type(error).__name__}: {error}") from error
    called: list[Any] = []
    while isinstance(found, Symbol) and found.node is not None:
        node = found.node
        others = tree.flatten([node.args[1:], {name: x for name, x in node.kwargs.items() if name != "mask"}])[0]
        if any(isinstance(x, Symbol) and x.node is not None for x in others):
            raise in_one_line(model, f"{type(node.layer).__name__} with several inputs")
        called.append(node.layer)
        found = node.args[0]
    if not isinstance(found, Symbol):
        raise in_one_line(model, f"{len(tree.flatten(found)[0])} outputs")
    return called[::-1]


def symbols_for(model: Any) -> Any:
    """Symbols in place of the inputs of a model; sizes come from the built layers."""
    if isinstance(model, Functional):
        return [Symbol(tuple(each["shape"])) for each in read(model._graph)["inputs"]]
    return Symbol((None, None, None))


def in_one_line(model: Any, received: str) -> ValueError:
    """The error for a model that is more than layers after one another."""
    return ValueError(
        f"Expected {type(model).__name__} to call its layers one after another. Received: {received}. Put the layers "
        "to export into an ncps.Sequential([...])."
    )


# ---- layers


def blocks_of(layer: Any) -> list[Block]:
    """The blocks of one layer.

    Raises:
        TypeError: it has no exported form.
    """
    if isinstance(layer, layers.Cell):
        return cell(layer)
    lower = KERAS_LAYERS.get(type(layer).__name__) if keras_layers.is_of_keras(layer) else known_form(layer, LAYERS)
    if lower is None:
        raise no_form(layer, "Leave it out of what is exported, or compute it around the exported code")
    try:
        return lower(layer)
    except keras_layers.OtherwiseError as error:
        raise no_form(layer, "Take a layer of ncps.layers in its place", f", {error.args[0]}") from None


def no_form(layer: Any, way_out: str, what: str = "") -> TypeError:
    """The error for a layer that cannot be exported."""
    name = getattr(layer, "name", None)
    return TypeError(
        f"{STEPPING}. Received: {type(layer).__name__}{f' {name!r}' if name else ''}{what}, which has no such form. "
        f"{way_out}."
    )


def sequence(layer: Any) -> list[Block]:
    """That of the cell."""
    if layer.go_backwards:
        raise no_form(
            layer, "A stream has no end to begin with: train with go_backwards=False", ", which runs backwards"
        )
    return [*cell(layer.cell), *projected(layer)]


def projected(layer: Any) -> list[Block]:
    """The linear map that `ncps.torch.CfC` may have on top, torch's own, with its kernel turned."""
    if getattr(layer, "proj_size", None) is None:
        return []
    kernel, bias = (np.asarray(x.detach().cpu(), np.float32) for x in (layer.fc.weight.T, layer.fc.bias))
    check_finite(kernel, layer, "fc.weight")
    check_finite(bias, layer, "fc.bias")
    return [blocks.Affine(Sizes(*kernel.shape), kernel, bias)]


def dense(layer: Any) -> list[Block]:
    """An affine map."""
    kernel = weight(layer, "kernel")
    bias = weight(layer, "bias") if layer.use_bias else np.zeros(layer.units, np.float32)
    return [blocks.Affine(Sizes(*kernel.shape), kernel, bias, activation(layer, layer.activation))]


def activate(layer: Any) -> list[Block]:
    """An activation of as many elements as come."""
    if layer.build_shape() is None:
        raise not_built(type(layer).__name__)
    features = layer.build_shape()[-1]
    return [blocks.Activate(Sizes(features, features), activation(layer, layer.activation))]


def normalize(layer: Any) -> list[Block]:
    """A normalisation."""
    gamma = weight(layer, "gamma")
    return [blocks.Normalize(Sizes(len(gamma), len(gamma)), gamma, weight(layer, "beta"), layer.epsilon)]


def dropout(layer: Any) -> list[Block]:
    """Nothing: it drops while training only."""
    return []


def time_distributed(layer: Any) -> list[Block]:
    """The layer of every step, unless it runs over sequences itself."""
    found = [block for inner in steps_of(layer.layer) for block in blocks_of(inner)]
    if any(block.sizes.state for block in found):
        raise no_form(layer, "Export the inner layer alone", ", around a layer that runs over sequences")
    return found


# ---- cells


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


# ---- weights


def weight(layer: Any, name: str) -> Array:
    """A weight as the layer uses it."""
    return np.asarray(layer.read_weight(name), np.float32)


def array(layer: Any, compute: Callable[[], Any]) -> Array:
    """What a layer computes, as an array."""
    with backend_scope(layer.bound_to):
        return np.asarray(ops.convert_to_numpy(compute()), np.float32)


def activation(layer: Any, name: Any) -> str:
    """The name of an activation.

    Raises:
        TypeError: it is a function, of which nobody knows what it computes.
    """
    if name is not None and not isinstance(name, str):
        text = getattr(name, "__name__", repr(name))
        raise no_form(layer, "Name one of the activations of ncps.activations", f", whose activation is {text}")
    return name or "linear"


LAYERS: dict[Any, Callable[[Any], list[Block]]] = {
    layers.Dense: dense,
    layers.Activation: activate,
    layers.Dropout: dropout,
    layers.LayerNormalization: normalize,
    layers.TimeDistributed: time_distributed,
    layers.RNN: sequence,
}
CELLS: dict[Any, Callable[[Any, Sizes], Block]] = {
    layers.LTCCell: ltc,
    layers.CTRNNCell: rate,
    layers.NeuralODECell: rate,
    layers.CfCCell: cfc,
    layers.WiredCfCCell: wired_cfc,
    layers.MixedMemoryCell: mixed_memory,
    layers.StackedRNNCells: stacked,
}
KERAS_LAYERS = keras_layers.BLOCKS | {"RNN": sequence, "TimeDistributed": time_distributed}  # by name: none is imported
