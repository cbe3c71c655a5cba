"""What the classes of `ncps.keras` share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from ncps import layers
from ncps.checkpoints.dialects import KERAS
from ncps.checkpoints.weights import from_old, to_old
from ncps.keras.activations import name_of
from ncps.keras.configurations import wiring_from
from ncps.layers.binding import bind
from ncps.layers.rnn import SEQUENCE_OPTIONS
from ncps.saving.weights import set_weights


class Cell:
    """A cell that Keras saves and loads as that of ncps 1.0.1, and that is called like it.

    Inputs may be a pair of inputs and elapsed times; states come back in a list.
    """

    own_weights: Any
    own_layers: Any
    walk: Any

    def __call__(self, inputs: Any, states: Any = None, *args: Any, **options: Any) -> Any:
        """The output and a list of states; `inputs` (B, F), or a pair with elapsed times (B,) or (B, 1)."""
        if isinstance(inputs, (tuple, list)):
            inputs, options["timespan"] = pair(inputs)
        states = [states] if hasattr(states, "shape") else states
        return super().__call__(inputs, states, *args, **options)

    def __dir__(self) -> list[str]:
        # Keras saves what stands here. The layers within are none of 1.0.1: the cell saves their weights as its own.
        return [name for name in super().__dir__() if name not in self.own_layers()]

    def save_own_variables(self, store: Any) -> None:
        """Writes the weights under the paths and in the arrangement of 1.0.1."""
        base, arrays = path_of(store), to_old(self, KERAS)
        for folder in folders(arrays):
            entry = store.make(f"{base}/{folder}") if folder else store
            for name in arrays:
                if name.rpartition("/")[0] == folder:
                    entry[name.rpartition("/")[2]] = arrays[name]

    def load_own_variables(self, store: Any) -> None:
        """Reads the weights, all or none.

        Raises:
            ValueError: they are of another architecture or wiring; the message names what does not fit.
        """
        base = path_of(store)
        found: dict[str, Any] = {}
        for folder in folders(to_old(self, KERAS)):
            entry = store.get(f"{base}/{folder}") if folder else store
            found |= {f"{folder}/{name}" if folder else name: entry[name] for name in list(entry.keys())}
        try:
            arrays = from_old(self, found, KERAS)
        except ValueError as error:
            raise ValueError(
                f"Expected the weights of this {type(self).__name__} in the file. Received: {error}. Make it with the "
                "wiring and the arguments that the file was written with."
            ) from None
        own = {weight.path: weight for weight in self.walk() if weight.path in arrays}
        set_weights(own, arrays, "the file")


def pair(inputs: Any) -> tuple[Any, Any]:
    """Inputs and elapsed times.

    Raises:
        ValueError: there are not two.
    """
    if len(inputs) != 2:
        raise ValueError(
            f"Expected inputs, or a pair of inputs and elapsed times. Received: {len(inputs)} tensors. Call it as "
            "layer((x, timespans)), with timespans (B, T) or (B, T, 1)."
        )
    return inputs[0], inputs[1]


def path_of(store: Any) -> str:
    """Where a store of Keras writes and reads; there is no public way."""
    return getattr(store, "_h5_entry_path", "")


def folders(names: Any) -> Iterator[str]:
    """What stands before the last part of names, nothing first: Keras makes a group once."""
    yield from sorted({name.rpartition("/")[0] for name in names} | {""})


class Sequence(bind(layers.RNN, "keras")):
    """A cell over sequences, called and configured as in ncps 1.0.1.

    Args:
        cell: the cell.
        options: of `ncps.layers.RNN`.
    """

    def __call__(self, sequences: Any, *args: Any, **options: Any) -> Any:
        """Runs the cell over `sequences` (B, T, F), or a pair of them and elapsed times (B, T) or (B, T, 1)."""
        if isinstance(sequences, (tuple, list)):
            sequences, options["timespans"] = pair(sequences)
        return super().__call__(sequences, *args, **options)

    @property
    def rnn_cell(self) -> Any:
        """The cell of neurons, within a memory if there is one."""
        return self.cell.cell if isinstance(self.cell, layers.MixedMemoryCell) else self.cell

    def __dir__(self) -> list[str]:
        # Keras saves what stands here, and files have the cell once.
        return [name for name in super().__dir__() if name != "rnn_cell"]

    def load_own_variables(self, store: Any) -> None:
        """Takes no variables: Keras' own stateful layers saved their states here."""

    def reset_states(self) -> None:
        """The next call of a stateful layer begins with zeros."""
        self.reset_state()

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor, and the cell, as 1.0.1 gave them."""
        options = {name: getattr(self, name) for name in SEQUENCE_OPTIONS}
        mixed = self.rnn_cell is not self.cell
        cell = self.rnn_cell.get_config()
        own = {"cell": keras.saving.serialize_keras_object(self.cell), "mixed_memory": mixed}
        if mixed:
            own["memory_to"] = self.cell.memory_to
        return cell | options | own | {"units": cell.get("wiring", cell.get("units"))} | own_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A layer from its configuration, of this version or of 1.0.1; the cell is made by the constructor."""
        given = {name: value for name, value in config.items() if name not in ("cell", "wiring")}
        given["units"] = wiring_from(given["units"])
        if "activation" in given:
            given["activation"] = name_of(given["activation"])
        return cls(**given)


def own_config(layer: Any) -> dict[str, Any]:
    """What every layer of Keras has in its configuration."""
    return {"trainable": layer.trainable, **layer.native_config()}
