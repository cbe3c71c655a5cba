"""Which weights of ours are which of ncps 1.0.1, and how one becomes the other, without loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ncps.checkpoints.dialects import TORCH, Dialect
from ncps.layers.cfc import HEADS, CfCCell, WiredCfCCell, layer_masks
from ncps.layers.ltc import LTCCell
from ncps.layers.mixed_memory import MixedMemoryCell
from ncps.layers.solvers import SEMI_IMPLICIT

Array = np.ndarray
GATES = (1, 2, 0, 3)  # of the memory's gates input, forget, new, output, where 1.0.1 had each


class Pair(NamedTuple):
    """A weight of ours, and the arrays of 1.0.1 that hold the same."""

    path: str
    names: tuple[str, ...]
    split: Callable[[Array], list[Array]]
    join: Callable[[list[Array]], Array]


def pairs_of(cell: Any, dialect: Dialect, theirs: str = "", ours: str = "") -> Iterator[Pair]:
    """The weights of a built cell, with those of 1.0.1 that they are.

    Args:
        cell: a cell of LTC or CfC, perhaps with a mixed memory.
        dialect: under which names.
        theirs: what stands before those names.
        ours: what stands before our paths.

    Raises:
        TypeError: 1.0.1 has no such cell.
        ValueError: it has not with these options.
    """
    check(cell, dialect)
    for kind, find in PAIRS.items():
        if isinstance(cell, kind):
            for path, names, split, join in find(cell, dialect):
                yield Pair(ours + path, tuple(theirs + name for name in names), split, join)
    if isinstance(cell, WiredCfCCell):
        for i, (layer, mask) in enumerate(zip(cell.cells, masks_of(cell), strict=True)):
            for path, names, split, join in cfc_pairs(layer, dialect, mask):
                names = tuple(theirs + dialect.layer(i) + name for name in names)
                yield Pair(f"{ours}cells/{i}/{path}", names, split, join)


def check(cell: Any, dialect: Dialect) -> None:
    """Raises unless 1.0.1 has such a cell, under torch with these options; a file of Keras tells the options itself.

    Raises:
        TypeError: it has no such cell.
        ValueError: it has not with these options.
    """
    wanted = next((options for kind, options in COMPUTED.items() if isinstance(cell, kind)), None)
    if wanted is None:
        raise TypeError(
            f"Expected LTC or CfC, which ncps 1.0.1 has. Received: {type(cell).__name__}. Save other layers with "
            "ncps.saving.save."
        )
    for name, value in wanted.items():
        ignored = name == "head_activation" and cell.mode == "pure"
        if dialect is TORCH and getattr(cell, name) != value and not ignored:
            raise ValueError(
                f"Expected {name}={value!r}, which the torch module of ncps 1.0.1 computes. Received: "
                f"{type(cell).__name__} with {name}={getattr(cell, name)!r}. Save it with ncps.saving.save, or train "
                "with this option."
            )


COMPUTED: dict[type, dict[str, Any]] = {  # under torch
    LTCCell: {"solver": SEMI_IMPLICIT},
    CfCCell: {"head_activation": "tanh"},
    WiredCfCCell: {"head_activation": "tanh"},
    MixedMemoryCell: {"memory_to": "state"},
}


# ---- each cell


def ltc_pairs(cell: LTCCell, dialect: Dialect) -> Iterator[Pair]:
    """Vectors of synapses are dense matrices [source, target] there, with anything where no synapse is."""
    ends = {"": cell.wiring.synapses, "sensory_": cell.wiring.sensory_synapses}
    rows = {"": cell.wiring.units, "sensory_": cell.wiring.input_dim}
    names = sorted(cell.own_weights())
    for name, their in zip(names, dialect.ltc(names), strict=True):
        prefix = "sensory_" if name.startswith("sensory_") else ""
        if name.removeprefix(prefix) in cell.synapse_weights:
            yield dense_pair(name, their, ends[prefix], (rows[prefix], cell.wiring.units))
        else:
            yield Pair(name, (their,), as_it_is, only)


def dense_pair(name: str, their: str, ends: Any, shape: Any) -> Pair:
    """A vector of synapses and its matrix."""

    def split(values: Array) -> list[Array]:
        matrix = np.zeros(shape, values.dtype)
        matrix[ends.source, ends.target] = values
        return [matrix]

    return Pair(name, (their,), split, lambda parts: parts[0][ends.source, ends.target])


def cfc_pairs(cell: CfCCell, dialect: Dialect, mask: Any = None) -> Iterator[Pair]:
    """The heads are matrices of their own there."""
    if cell.sparsity_mask is not None:
        mask = np.array(cell.sparsity_mask)
    for i in range(len(cell.backbone)):
        for part, their in zip(("kernel", "bias"), dialect.backbone(i, cell), strict=True):
            yield Pair(f"backbone/{i}/{part}", (their,), turned(dialect), lambda parts: turned(dialect)(parts[0])[0])
    heads = HEADS[cell.mode]
    kernels, biases = zip(*map(dialect.linear, heads), strict=True)
    signs = [dialect.time_sign if name == "time_a" else 1 for name in heads]
    factors = [sign * head_mask(cell, name, mask, dialect) for name, sign in zip(heads, signs, strict=True)]
    yield side_by_side("heads_kernel", kernels, factors, dialect.transposed)
    yield side_by_side("heads_bias", biases, signs, False)
    if cell.mode == "pure":
        for name, their in zip(("w_tau", "A"), dialect.pure(), strict=True):
            yield Pair(name, (their,), lambda x: [x[None]], lambda parts: parts[0][0])


def head_mask(cell: CfCCell, name: str, mask: Any, dialect: Dialect) -> Any:
    """What the kernel of a head is multiplied with, in either direction: 0 where no synapse is, else 1 or -1."""
    if mask is None or not (name.startswith("ff") or cell.masked_gates):
        return 1
    return mask if dialect.signed_masks and name.startswith("ff") else np.abs(mask)


def side_by_side(path: str, names: Any, factors: list[Any], transposed: bool) -> Pair:
    """A matrix or a vector of ours, and its blocks of columns."""

    def turn(x: Array) -> Array:
        return x.T if transposed else x

    def split(values: Array) -> list[Array]:
        blocks = np.split(values, len(names), axis=-1)
        return [turn(block * np.asarray(factor, block.dtype)) for block, factor in zip(blocks, factors, strict=True)]

    def join(parts: list[Array]) -> Array:
        whole = [turn(part) * np.asarray(factor, part.dtype) for part, factor in zip(parts, factors, strict=True)]
        return np.concatenate(whole, axis=-1)

    return Pair(path, tuple(names), split, join)


def memory_pairs(cell: MixedMemoryCell, dialect: Dialect) -> Iterator[Pair]:
    """The gates stand in another order there, and the forward pass adds to the bias of one of them."""
    order = np.arange(cell.memory_size)
    if isinstance(cell.cell, WiredCfCCell) and cell.cell.state_order == "neurons":
        order = np.concatenate(cell.cell.wiring.layers)  # there, the states stand layer by layer
    back, n = np.argsort(order), cell.memory_size
    shift = np.repeat([0.0, dialect.forget_bias(cell), 0.0, 0.0], n)

    def columns(x: Array, order: Array, gates: Any) -> Array:
        blocks = np.split(x, 4, axis=-1)
        return np.concatenate([blocks[gate][..., order] for gate in gates], axis=-1)

    def pair(path: str, name: str, before: Callable[[Array], Array], after: Callable[[Array], Array]) -> Pair:
        theirs = tuple(np.argsort(GATES))
        return Pair(
            path,
            (dialect.memory + name,),
            lambda x: turned(dialect)(columns(before(x), order, theirs)),
            lambda parts: after(columns(turned(dialect)(parts[0])[0], back, GATES)),
        )

    kernel, recurrent, bias = dialect.gates
    yield pair("kernel", kernel, lambda x: x, lambda x: x)
    yield pair("recurrent_kernel", recurrent, lambda x: x[order], lambda x: x[back])
    yield pair("bias", bias, lambda x: x - shift.astype(x.dtype), lambda x: x + shift.astype(x.dtype))


def turned(dialect: Dialect) -> Callable[[Array], list[Array]]:
    """A kernel as it stands there."""
    return lambda x: [x.T if dialect.transposed else x]


def as_it_is(x: Array) -> list[Array]:
    """One array."""
    return [x]


def only(parts: list[Array]) -> Array:
    """The one array."""
    return parts[0]


PAIRS: dict[type, Callable[[Any, Dialect], Iterator[Pair]]] = {
    LTCCell: ltc_pairs,
    CfCCell: cfc_pairs,
    MixedMemoryCell: memory_pairs,
}


# ---- masks


def masks_of(cell: WiredCfCCell) -> list[Array]:
    """The polarities from the sources to the neurons of each layer."""
    return layer_masks(cell.wiring, [list(neurons) for neurons in cell.wiring.layers], cell.fully_recurrent)


def masks_named(cell: Any, dialect: Dialect, theirs: str = "") -> Iterator[tuple[str, Array]]:
    """The masks that 1.0.1 keeps beside the weights of a cell."""
    if dialect.masks is None:
        return
    inner, sensory = dialect.masks
    if isinstance(cell, LTCCell):
        yield theirs + inner, np.abs(cell.wiring.adjacency_matrix)
        yield theirs + sensory, np.abs(np.asarray(cell.wiring.sensory_adjacency_matrix))
    elif isinstance(cell, WiredCfCCell):
        for i, mask in enumerate(masks_of(cell)):
            yield theirs + dialect.layer(i) + inner, np.abs(mask).T
    elif isinstance(cell, CfCCell) and cell.sparsity_mask is not None:
        yield theirs + inner, np.abs(np.array(cell.sparsity_mask)).T


def signs_named(cell: Any, dialect: Dialect) -> Iterator[tuple[str, Array]]:
    """Weights that 1.0.1 left at 0 where no synapse is, with the synapses: a file of Keras has no masks."""
    if isinstance(cell, LTCCell) and dialect.masks is None:
        names = dict(zip(sorted(cell.own_weights()), dialect.ltc(sorted(cell.own_weights())), strict=True))
        yield names["erev"], cell.wiring.adjacency_matrix
        yield names["sensory_erev"], np.asarray(cell.wiring.sensory_adjacency_matrix)
