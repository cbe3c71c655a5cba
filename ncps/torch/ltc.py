"""`LTC` as in ncps 1.0.1."""

from __future__ import annotations

from typing import Any

from ncps.torch.faces import Sizes, wiring_of
from ncps.torch.ltc_cell import LTCCell
from ncps.torch.sequences import Sequence, inputs_of_cell, memory_target
from ncps.wirings import Wiring


class LTC(Sizes, Sequence):
    """A liquid time-constant network over sequences, with the arguments and results of ncps 1.0.1.

    Args:
        input_size: number of inputs.
        units: number of fully connected neurons, or a wiring.
        return_sequences: the outputs of all steps, else of the last.
        batch_first: whether batches are (B, T, F), else (T, B, F).
        mixed_memory: whether an LSTM's memory stands around the cell.
        input_mapping: ``"affine"``, ``"linear"`` or None.
        output_mapping: the same.
        ode_unfolds: solver steps in one time step.
        epsilon: added to the conductances.
        implicit_param_constraints: see `LTCCell`.
        memory_to: ``"state"``, the memory replaces the neurons' state, or ``"input"`` as in the paper.
        options: of `ncps.layers.LTCCell`: `solver`, `initialization_ranges`.

    Example:
        >>> import torch
        >>> from ncps.torch import LTC
        >>> from ncps.wirings import NCP
        >>> rnn = LTC(20, NCP(10, 10, 8, 6, 6, 4, 6))
        >>> output, hn = rnn(torch.randn(2, 3, 20), torch.zeros(2, 28), timespans=torch.rand(2, 3))
        >>> output.shape, hn.shape
        (torch.Size([2, 3, 8]), torch.Size([2, 28]))
    """

    def __init__(
        self,
        input_size: int,
        units: int | Wiring,
        return_sequences: bool = True,
        batch_first: bool = True,
        mixed_memory: bool = False,
        input_mapping: str | None = "affine",
        output_mapping: str | None = "affine",
        ode_unfolds: int = 6,
        epsilon: float = 1e-8,
        implicit_param_constraints: bool = True,
        *,
        memory_to: str = "state",
        **options: Any,
    ) -> None:
        wiring, target = wiring_of(units), memory_target(mixed_memory, memory_to)
        cell = LTCCell(
            wiring,
            inputs_of_cell(input_size, wiring.units, target),
            input_mapping,
            output_mapping,
            ode_unfolds,
            epsilon,
            implicit_param_constraints,
            **options,
        )
        super().__init__(cell, input_size, return_sequences, batch_first, target)
        self.wiring_or_units = units

    @property
    def wiring(self) -> Wiring:  # type: ignore[override]
        """The wiring of the cell."""
        return self.rnn_cell.wiring
