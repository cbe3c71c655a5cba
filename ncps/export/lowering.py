"""From a model of any backend to blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ncps import layers
from ncps.export import blocks, keras_layers
from ncps.export.blocks import Block, Chain, Sizes
from ncps.export.cells import cell
from ncps.export.equations import known_form
from ncps.export.order import steps_of
from ncps.export.reading import activation, check_finite, no_form, weight
from ncps.saving.weights import not_built, weights_of


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
    for each in weights_of(model):  # raises if it is not built
        check_finite(each.owner.read_weight(each.name), model, each.path)
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


def sizes_of_chain(chain: list[Block]) -> Sizes:
    """Those of blocks that feed one another."""
    return Sizes(chain[0].sizes.inputs, chain[-1].sizes.outputs, sum(block.sizes.state for block in chain))


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


LAYERS: dict[Any, Callable[[Any], list[Block]]] = {
    layers.Dense: dense,
    layers.Activation: activate,
    layers.Dropout: dropout,
    layers.LayerNormalization: normalize,
    layers.TimeDistributed: time_distributed,
    layers.RNN: sequence,
}
KERAS_LAYERS = keras_layers.BLOCKS | {"RNN": sequence, "TimeDistributed": time_distributed}  # by name: none is imported
