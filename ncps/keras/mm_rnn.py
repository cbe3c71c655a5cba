"""`MixedMemoryRNN` as in ncps 1.0.1."""

from __future__ import annotations

from typing import Any

import keras

from ncps import layers
from ncps.keras.configurations import cell_from
from ncps.keras.faces import Cell, own_config
from ncps.layers.binding import bind


@keras.saving.register_keras_serializable(package="ncps", name="MixedMemoryRNN")
class MixedMemoryRNN(Cell, bind(layers.MixedMemoryCell, "keras")):
    """An LSTM's memory around a cell: `ncps.layers.MixedMemoryCell`, with the arguments of ncps 1.0.1.

    Args:
        rnn_cell: the cell.
        forget_gate_bias: where the bias of the forget gate begins.
        options: `memory_to` (``"input"``), `name`, `dtype`.

    Example:
        >>> import keras
        >>> from ncps.keras import CfCCell, MixedMemoryRNN
        >>> rnn = keras.layers.RNN(MixedMemoryRNN(CfCCell(8)))
        >>> tuple(rnn(keras.ops.zeros((5, 7, 3))).shape)
        (5, 8)
    """

    def __init__(self, rnn_cell: Any, forget_gate_bias: float = 1.0, **options: Any) -> None:
        super().__init__(rnn_cell, forget_bias=forget_gate_bias, **options)

    @property
    def rnn_cell(self) -> Any:
        """The cell."""
        return self.cell

    @property
    def forget_gate_bias(self) -> float:
        """Where the bias of the forget gate begins."""
        return self.forget_bias

    @property
    def flat_size(self) -> int:
        """The number of units of the memory."""
        return self.memory_size

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        options = {"forget_gate_bias": self.forget_bias, "memory_to": self.memory_to}
        return own_config(self) | {"rnn_cell": keras.saving.serialize_keras_object(self.cell)} | options

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A cell from its configuration, of this version or of 1.0.1."""
        return cls(**{**config, "rnn_cell": cell_from(config["rnn_cell"])})
