"""State dicts of ncps 1.0.1's torch module: read into layers of any backend, and written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ncps import layers
from ncps.backend import backend_scope
from ncps.checkpoints.pairs import Array
from ncps.checkpoints.weights import from_old, to_old
from ncps.layers.rnn import SEQUENCE_OPTIONS
from ncps.models.sequential import Sequential
from ncps.ops import convert_to_tensor
from ncps.saving.weights import set_weights, weights_of
from ncps.wirings import Layered, Wiring

CELL, PROJECTION, MEMORY = "rnn_cell.", "fc.", "lstm."
TELLING = ("gleak", "ff1.weight", "layer_0.ff1.weight")  # names by which the three kinds of cells are known


def import_torch(state_dict: Mapping[str, Any], wiring: Wiring | None = None, **options: Any) -> Any:
    """A layer of the active backend with the weights of an `LTC` or `CfC` of ncps 1.0.1's torch module.

    Its outputs are those of 1.0.1: the gates of a wired CfC are not masked, and the memory of a mixed-memory network is
    the state of its cell. Sizes, mappings and the mode pure show in the state dict. What does not is as 1.0.1 has it by
    default, and else given by name: of the sequence layer `return_sequences` (true here) and its like; of LTC
    `unfolds`, `epsilon` and `implicit_param_constraints` (true for an `LTC`, false for an `LTCCell`); of CfC
    ``mode="no_gate"``, `backbone_activation` (its gelu is ``"gelu_exact"``) and `backbone_dropout`.

    Args:
        state_dict: of an `LTC`, `CfC`, `LTCCell`, `CfCCell` or `WiredCfCCell`, tensors or arrays by name.
        wiring: with which it was made; judged by the masks in the state dict. None makes one from these masks, whose
            polarities are the signs of the reversal potentials.
        options: see above.

    Returns:
        An `LTC`, a `CfC`, or a `MixedMemory` of either; of the state dict of a cell the cell; with a projection, a
        `Sequential` of the layer and a `Dense`.

    Raises:
        ValueError: it is another state dict, of another architecture or of another wiring. The message names what is
            missing, unexpected or of another shape, and synapses where the wiring has none.

    Example:
        >>> from ncps.wirings import AutoNCP
        >>> state_dict = export_torch(LTC(AutoNCP(8, 2), input_size=3))
        >>> layer = import_torch(state_dict, AutoNCP(8, 2))
        >>> layer(np.zeros((5, 7, 3), "float32")).shape
        (5, 7, 2)
        >>> import_torch(state_dict, AutoNCP(8, 2, seed=1))
        Traceback (most recent call last):
        ValueError: Expected a state dict of ncps 1.0.1 that fits LTC. Received: rnn_cell.sparsity_mask has ...
    """
    arrays = {name: to_array(value) for name, value in state_dict.items()}
    prefix = prefix_of(arrays)
    projection = {name: arrays.pop(name) for name in list(arrays) if name.startswith(PROJECTION)}
    layer = made_for(arrays, prefix, wiring, options)
    load(layer, arrays)
    if not projection:
        return layer
    dense = layers.Dense(len(projection["fc.weight"]), input_size=projection["fc.weight"].shape[1])
    model = Sequential([layer, dense])
    dense.set_weights([projection["fc.bias"], projection["fc.weight"].T])
    return model


def export_torch(layer: Any) -> dict[str, Any]:
    """The weights of a layer as a state dict, torch tensors by name, that ncps 1.0.1's torch module loads.

    Args:
        layer: a built `LTC`, `CfC`, or `MixedMemory` of either with ``memory_to="state"``; one of their cells; a
            `Sequential` of a layer and a `Dense`; of any backend, or of `ncps.torch`. Weights where no synapse exists
            are 0.

    Raises:
        TypeError: 1.0.1 has no such layer.
        ValueError: its torch module has not with these options, or the layer is not built.

    Example:
        >>> sorted(export_torch(CfC(4, input_size=3)))[:3]
        ['rnn_cell.backbone.0.bias', 'rnn_cell.backbone.0.weight', 'rnn_cell.ff1.bias']
    """
    projection: Any = getattr(layer, "fc", None)  # of a CfC of ncps.torch
    arrays: dict[str, Any] = {}
    if hasattr(projection, "weight"):
        arrays = {"fc.weight": to_array(projection.weight), "fc.bias": to_array(projection.bias)}
    inner = list(layer) if isinstance(layer, layers.List) else getattr(layer, "layers", [])  # of Keras' Sequential
    if len(inner) == 2 and isinstance(inner[1], layers.Dense) and inner[1].use_bias and inner[1].activation is None:
        bias, kernel = inner[1].get_weights()
        layer, arrays = inner[0], {"fc.weight": kernel.T, "fc.bias": bias}
    found = to_old(layer) | arrays
    with backend_scope("torch"):
        return {name: convert_to_tensor(np.array(array, order="C")) for name, array in found.items()}


def to_array(value: Any) -> Array:
    """A tensor of torch, on whichever device, or an array, as a NumPy array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    return np.array(value)


def load(layer: Any, arrays: Mapping[str, Array]) -> None:
    """Sets the weights of a layer from those of 1.0.1, all or none.

    Raises:
        ValueError: they do not fit.
    """
    try:
        found = from_old(layer, arrays)
    except ValueError as error:
        raise ValueError(
            f"Expected a state dict of ncps 1.0.1 that fits {type(layer).__name__}. Received: {error}. Give the "
            "wiring and the options that it was trained with, or none, and they are found."
        ) from None
    set_weights({weight.path: weight for weight in weights_of(layer)}, found, "the state dict")


# ---- what a state dict tells


def prefix_of(arrays: Mapping[str, Array]) -> str:
    """What stands before the names of the cell.

    Raises:
        ValueError: it is no state dict of these layers.
    """
    ends = {name.rpartition(".")[2] for name in arrays}
    if "heads_kernel" in ends or ("gleak" in ends and not ends & {"sparsity_mask", "sensory_sparsity_mask"}):
        raise ValueError(
            "Expected a state dict of ncps 1.0.1. Received: one of this version. Use load_state_dict, or export_torch."
        )
    for prefix in (CELL, ""):
        if any(prefix + name in arrays for name in TELLING):
            return prefix
    outer = [name.removesuffix(ending) for name in arrays for ending in TELLING if name.endswith(f".{ending}")]
    hint = "Give what model.state_dict() was for one of these."
    if outer:
        outside = outer[0].removesuffix(CELL)
        hint = (
            f"The layer stands under {outside!r}: pass {{name.removeprefix({outside!r}): x for name, x in "
            f"state_dict.items() if name.startswith({outside!r})}}."
        )
    raise ValueError(
        f"Expected the state dict of an LTC or CfC of ncps 1.0.1. Received: {', '.join(list(arrays)[:8])} and "
        f"others. {hint}"
    )


def made_for(arrays: Mapping[str, Array], prefix: str, wiring: Wiring | None, options: dict[str, Any]) -> Any:
    """A built layer or cell of the architecture that a state dict tells."""
    mixed = any(name.startswith(MEMORY) for name in arrays)
    own = {name.removeprefix(prefix): x for name, x in arrays.items() if name.startswith(prefix)}
    sequence = {name: options.pop(name) for name in SEQUENCE_OPTIONS if name in options}
    if "gleak" in own:
        cell, units, features, found = ltc_of(own, wiring)
        found["implicit_param_constraints"] = bool(prefix)
    else:
        cell, units, features, found = cfc_of(own, wiring)
    found |= options
    if "backbone.5.weight" in own and "backbone.4.weight" not in own and not found.get("backbone_dropout"):
        raise ValueError(
            "Expected backbone_dropout=, the rate of the dropout in the backbone of this state dict. Received: none. "
            "Give it as import_torch(..., backbone_dropout=0.1)."
        )
    if not prefix:
        return cell(units, **found, input_size=features)
    sequence = {"return_sequences": True, **sequence, "input_size": features}
    if mixed:
        return layers.MixedMemory(cell(units, **found), memory_to="state", **sequence)
    return (layers.LTC if "gleak" in own else layers.CfC)(units, **found, **sequence)


Found = tuple[Any, Any, int, dict[str, Any]]


def ltc_of(own: Mapping[str, Array], wiring: Wiring | None) -> Found:
    """Cell, wiring, number of inputs and options of an LTC."""
    features, units = need(own, "sensory_mu").shape[0], len(own["gleak"])
    mappings: dict[str, Any] = {
        f"{side}_mapping": "affine" if f"{side}_b" in own else "linear" if f"{side}_w" in own else None
        for side in ("input", "output")
    }
    if wiring is None:
        wiring = Wiring(units)
        wiring.set_output_dim(len(own.get("output_w", own["gleak"])))
        wiring.build(features)
        for matrix, mask, erev in (
            ("adjacency_matrix", "sparsity_mask", "erev"),
            ("sensory_adjacency_matrix", "sensory_sparsity_mask", "sensory_erev"),
        ):
            signs = np.where(need(own, erev) < 0, -1, 1)
            setattr(wiring, matrix, (np.where(need(own, mask) != 0, signs, 0)).astype(np.int32))
    return layers.LTCCell, wiring, features, mappings


def cfc_of(own: Mapping[str, Array], wiring: Wiring | None) -> Found:
    """Cell, wiring or number of neurons, number of inputs and options of a CfC."""
    if "layer_0.ff1.weight" in own:
        masks: list[Array] = []
        while f"layer_{len(masks)}.sparsity_mask" in own:
            masks.append(own[f"layer_{len(masks)}.sparsity_mask"].T)
        features = need(own, "layer_0.sparsity_mask").shape[1] - len(own["layer_0.ff1.weight"])
        mode = {"mode": "pure"} if "layer_0.w_tau" in own else {}
        wired = wiring_of(masks, features) if wiring is None else wiring
        return layers.WiredCfCCell, wired, features, {**mode, "masked_gates": False}
    units, numbers = len(own["ff1.weight"]), sorted(int(name.split(".")[1]) for name in own if is_backbone(name))
    first = own["backbone.0.weight"] if numbers else own["ff1.weight"]
    found: dict[str, Any] = {"mode": "pure"} if "w_tau" in own else {}
    found |= {"backbone_layers": len(numbers), "masked_gates": False}
    if numbers:
        found["backbone_units"] = len(first)
    if "sparsity_mask" in own:
        found["sparsity_mask"] = own["sparsity_mask"].T
    return layers.CfCCell, units, first.shape[1] - units, found


def is_backbone(name: str) -> bool:
    """Whether this is the kernel of a layer of a backbone."""
    parts = name.split(".")
    return len(parts) == 3 and parts[0] == "backbone" and parts[1].isdigit() and parts[2] == "weight"


def wiring_of(masks: list[Array], features: int) -> Wiring:
    """A wiring with the synapses of the masks (F + H, H) of its layers; within a layer all reach all."""
    wiring = Layered([mask.shape[1] for mask in masks])
    wiring.build(features)
    inner, sensory = wiring.adjacency_matrix.copy(), np.array(wiring.sensory_adjacency_matrix)
    for i, (mask, neurons) in enumerate(zip(masks, wiring.layers, strict=True)):
        before = mask[: -len(neurons)] != 0
        if i == 0:
            sensory[:, neurons] = before
        else:
            inner[np.ix_(wiring.layers[i - 1], neurons)] = before
    wiring.adjacency_matrix, wiring.sensory_adjacency_matrix = inner, sensory
    return wiring


def need(own: Mapping[str, Array], name: str) -> Array:
    """An array that tells a size.

    Raises:
        ValueError: it is missing.
    """
    if name not in own:
        raise ValueError(
            f"Expected {name!r} in the state dict of an LTC or CfC of ncps 1.0.1. Received: none. Save all of its "
            "state_dict() anew."
        )
    return own[name]
