"""The table of a model's layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from ncps.layers.containers import Dict, List
from ncps.wirings import Wiring


class Row(NamedTuple):
    """A layer in the table."""

    layer: str
    output_shape: str
    parameters: int
    synapses: int | None


def summary(model: Any, print_fn: Callable[[str], Any] | None = None, line_length: int | None = None) -> None:
    """Shows the layers of a model, the shapes of their outputs, and how many parameters and synapses they have.

    Args:
        model: a layer.
        print_fn: gets the text in place of the terminal.
        line_length: characters of a line.

    Raises:
        ValueError: the model is not built.
    """
    if not model.built:
        raise ValueError(
            f"Expected a model that is built. Received: {type(model).__name__}, not built. Call it once, or give its "
            "layers input_size=."
        )
    table = Table(title=f"{type(model).__name__} {model.name!r}", title_justify="left")
    table.add_column("Layer")
    table.add_column("Output shape")
    table.add_column("Parameters", justify="right")
    table.add_column("Synapses", justify="right")
    for row in rows(model):
        synapses = "" if row.synapses is None else f"{row.synapses:,}"
        table.add_row(row.layer, row.output_shape, f"{row.parameters:,}", synapses)
    console = Console(width=line_length, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
        console.print(totals(model))
    (print_fn or Console(highlight=False, markup=False).out)(captured.get().rstrip())


def rows(model: Any) -> Iterator[Row]:
    """The layers right under a model; containers show those that they hold."""
    for name, layer in model.own_layers().items():
        if is_container(layer):
            yield from (row._replace(layer=f"{name}/{row.layer}") for row in rows(layer))
        else:
            yield Row(f"{name} ({type(layer).__name__})", shape_text(layer), layer.count_params(), synapses(layer))


def is_container(layer: Any) -> bool:
    """Whether a layer only holds others."""
    return isinstance(layer, (List, Dict))


def shape_text(layer: Any) -> str:
    """The shape of a layer's outputs for the inputs that it was built for, with any batch size."""
    shape = layer.build_shape()
    if shape is None or not hasattr(layer, "compute_output_shape"):
        return "?"
    outputs = layer.compute_output_shape((None, *shape[1:]))
    return str(outputs).replace("None", "·")


def synapses(layer: Any) -> int | None:
    """How many synapses the wirings of a layer have, None without."""
    counts = [
        wiring.synapse_count + wiring.sensory_synapse_count
        for inner in layer.layers_within()
        if isinstance(wiring := getattr(inner, "wiring", None), Wiring)
    ]
    return sum(counts) if counts else None


def totals(model: Any) -> str:
    """The numbers of parameters, trained and not."""
    sizes: dict[bool, int] = {True: 0, False: 0}
    for weight in model.walk():
        sizes[weight.trainable] += math.prod(weight.variable.shape)
    return f"Parameters: {sum(sizes.values()):,}, of which {sizes[True]:,} are trained"
