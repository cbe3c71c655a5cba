"""`CfC` as in ncps 1.0.1."""

from __future__ import annotations

from typing import Any

import torch

from ncps.torch.cfc_cell import CfCCell
from ncps.torch.sequences import Sequence, inputs_of_cell, memory_target
from ncps.torch.wired_cfc_cell import WiredCfCCell
from ncps.wirings import Wiring


class CfC(Sequence):
    """A closed-form continuous-time network over sequences, with the arguments and results of ncps 1.0.1.

    Args:
        input_size: number of inputs.
        units: number of neurons, or a wiring.
        proj_size: number of outputs of a linear layer on top; None for none.
        return_sequences: the outputs of all steps, else of the last.
        batch_first: whether batches are (B, T, F), else (T, B, F).
        mixed_memory: whether an LSTM's memory stands around the cell.
        mode: ``"default"``, ``"pure"`` or ``"no_gate"``.
        activation: of the backbone.
        backbone_units: width of its layers, 128 by default; none of the three goes with a wiring.
        backbone_layers: their number, 1 by default.
        backbone_dropout: rate of dropout after each of them, 0 by default.
        memory_to: ``"state"``, the memory replaces the neurons' state, or ``"input"`` as in the paper.
        options: of the cell: `masked_gates`, `head_activation`; `fully_recurrent` and `state_order` with a wiring.

    Raises:
        ValueError: a wiring is given with arguments of the backbone.

    Example:
        >>> import torch
        >>> from ncps.torch import CfC
        >>> rnn = CfC(20, 50, proj_size=4)
        >>> output, hn = rnn(torch.randn(2, 3, 20), torch.zeros(2, 50), timespans=torch.rand(2, 3))
        >>> output.shape, hn.shape
        (torch.Size([2, 3, 4]), torch.Size([2, 50]))
    """

    def __init__(
        self,
        input_size: int,
        units: int | Wiring,
        proj_size: int | None = None,
        return_sequences: bool = True,
        batch_first: bool = True,
        mixed_memory: bool = False,
        mode: str = "default",
        activation: Any = "lecun_tanh",
        backbone_units: int | None = None,
        backbone_layers: int | None = None,
        backbone_dropout: float | None = None,
        *,
        memory_to: str = "state",
        **options: Any,
    ) -> None:
        target = memory_target(mixed_memory, memory_to)
        backbone: dict[str, Any] = {
            "backbone_units": backbone_units,
            "backbone_layers": backbone_layers,
            "backbone_dropout": backbone_dropout,
        }
        given = {name: value for name, value in backbone.items() if value is not None}
        if isinstance(units, Wiring):
            if given:
                raise ValueError(
                    f"Cannot use {', '.join(given)} in wired mode: expected a number of units with a backbone. "
                    "Received: a wiring. Leave them out, or give a number of units."
                )
            inputs: Any = inputs_of_cell(input_size, units.units, target)
            cell: Any = WiredCfCCell(inputs, units, mode, **options)
        else:
            inputs = inputs_of_cell(input_size, units, target)
            cell = CfCCell(inputs, units, mode, activation, **given, **options)
        super().__init__(cell, input_size, return_sequences, batch_first, target)
        self.wiring_or_units = units
        self.proj_size = proj_size
        if isinstance(units, Wiring):
            self.wiring = cell.wiring
        self.fc = torch.nn.Identity() if proj_size is None else torch.nn.Linear(self.output_size, proj_size)

    @property
    def wired_mode(self) -> bool:
        """Whether a wiring connects the neurons."""
        return isinstance(self.wiring_or_units, Wiring)

    def forward(self, input: Any, hx: Any = None, timespans: Any = None) -> tuple[Any, Any]:  # noqa: A002 - as in 1.0.1
        """The projected output and the state, see `LTC.forward`."""
        output, state = super().forward(input, hx, timespans)
        return self.fc(output), state
