"""`CfC` as in ncps 1.0.1."""

from __future__ import annotations

from typing import Any

import keras

from ncps.keras.cfc_cell import CfCCell
from ncps.keras.faces import Sequence
from ncps.keras.mm_rnn import MixedMemoryRNN
from ncps.keras.wired_cfc_cell import WiredCfCCell
from ncps.wirings import Wiring

BACKBONE = ("backbone_units", "backbone_layers", "backbone_dropout")


@keras.saving.register_keras_serializable(package="ncps", name="CfC")
class CfC(Sequence):
    """A closed-form continuous-time network over sequences, with the arguments of ncps 1.0.1's Keras module.

    It is called with sequences (B, T, F), or with a pair of them and elapsed times (B, T) or (B, T, 1).

    Args:
        units: number of neurons, or a wiring.
        mixed_memory: whether an LSTM's memory stands around the cell.
        mode: ``"default"``, ``"pure"`` or ``"no_gate"``.
        activation: of the backbone.
        backbone_units: width of its layers, 128 by default; none of the three goes with a wiring.
        backbone_layers: their number, 1 by default.
        backbone_dropout: rate of dropout after each of them, 0 by default.
        sparsity_mask: see `CfCCell`; goes with a number of units.
        fully_recurrent: all neurons of a layer see one another, or only along the synapses of the wiring.
        return_sequences: the outputs of all steps, else of the last.
        return_state: also the state after the last step.
        go_backwards: runs from the last step to the first.
        stateful: each call goes on from where the one before ended.
        unroll: lays the steps out one after the other.
        zero_output_for_mask: masked steps give zeros.
        head_activation: None as in 1.0.1's Keras module, or ``"tanh"`` as in the paper.
        masked_gates: whether a mask or wiring masks the time gates too.
        state_order: of a wired cell, ``"layers"`` or ``"neurons"``.
        memory_to: of `ncps.layers.MixedMemoryCell`.
        options: `name`, `dtype`.

    Raises:
        ValueError: a wiring is given with arguments of the backbone.

    Example:
        >>> import keras
        >>> from ncps.keras import CfC
        >>> rnn = CfC(50)
        >>> tuple(rnn((keras.ops.zeros((2, 10, 20)), keras.ops.ones((2, 10)))).shape)
        (2, 50)
    """

    def __init__(
        self,
        units: int | Wiring,
        mixed_memory: bool = False,
        mode: str = "default",
        activation: Any = "lecun_tanh",
        backbone_units: int | None = None,
        backbone_layers: int | None = None,
        backbone_dropout: float | None = None,
        sparsity_mask: Any = None,
        fully_recurrent: bool = True,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        *,
        head_activation: Any = None,
        masked_gates: bool = False,
        state_order: str = "layers",
        memory_to: str = "input",
        **options: Any,
    ) -> None:
        backbone: dict[str, Any] = dict(zip(BACKBONE, (backbone_units, backbone_layers, backbone_dropout), strict=True))
        given = {name: value for name, value in backbone.items() if value is not None}
        own: dict[str, Any] = {
            "head_activation": head_activation,
            "masked_gates": masked_gates,
            "dtype": options.get("dtype"),
        }
        if isinstance(units, Wiring):
            if given:
                raise ValueError(
                    f"Cannot use {', '.join(given)} in wired mode: expected a number of units with a backbone. "
                    "Received: a wiring. Leave them out, or give a number of units."
                )
            cell: Any = WiredCfCCell(units, fully_recurrent, mode, activation, state_order=state_order, **own)
        else:
            given = {"backbone_dropout": 0.0, **given}
            cell = CfCCell(units, mode, activation, sparsity_mask=sparsity_mask, **given, **own)
        if mixed_memory:
            cell = MixedMemoryRNN(cell, memory_to=memory_to, dtype=options.get("dtype"))
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            unroll,
            zero_output_for_mask,
            **options,
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor, and the cell, as 1.0.1 gave them."""
        return {"fully_recurrent": True, **super().get_config()}
