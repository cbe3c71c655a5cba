"""`CfCCell` as in ncps 1.0.1."""

from __future__ import annotations

from typing import Any

from ncps import layers
from ncps.checkpoints.dialects import EXACT
from ncps.layers.binding import bind
from ncps.torch.faces import LoadsOld


class CfCCell(LoadsOld, bind(layers.CfCCell, "torch")):
    """One time step of a closed-form continuous-time network: `ncps.layers.CfCCell`, called as in ncps 1.0.1.

    Args:
        input_size: number of inputs.
        hidden_size: number of neurons.
        mode: ``"default"``, ``"pure"`` or ``"no_gate"``.
        backbone_activation: ``"silu"``, ``"relu"``, ``"tanh"``, ``"gelu"`` or ``"lecun_tanh"``.
        backbone_units: width of the backbone's layers.
        backbone_layers: their number.
        backbone_dropout: rate of dropout after every layer of the backbone; 1.0.1 had none after the first.
        sparsity_mask: (F + H, H), not 0 where an input or a neuron reaches a neuron.
        masked_gates: whether the mask holds for the time gates too.
        options: of `ncps.layers.CfCCell`: `head_activation`.

    Example:
        >>> import torch
        >>> from ncps.torch import CfCCell
        >>> output, hx = CfCCell(3, 8)(torch.zeros(5, 3), torch.zeros(5, 8), 0.5)
        >>> output.shape
        torch.Size([5, 8])
    """

    sequence_op = layers.CfCCell.sequence_op  # the equation is the same

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        mode: str = "default",
        backbone_activation: Any = "lecun_tanh",
        backbone_units: int = 128,
        backbone_layers: int = 1,
        backbone_dropout: float = 0.0,
        sparsity_mask: Any = None,
        masked_gates: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            hidden_size,
            mode,
            max(backbone_units, 1),  # 0 goes with a backbone of no layers
            backbone_layers,
            EXACT.get(backbone_activation, backbone_activation),
            backbone_dropout,
            sparsity_mask=sparsity_mask,
            masked_gates=masked_gates,
            input_size=input_size,
            **options,
        )

    @property
    def hidden_size(self) -> int:
        """The number of neurons."""
        return self.units

    def forward(self, input: Any, hx: Any, ts: Any = 1.0) -> tuple[Any, Any]:  # noqa: A002 - as in 1.0.1
        """The output and the state, both (B, H), after the elapsed time `ts`, a number, (B,) or (B, 1)."""
        return self.run(input, hx, timespan=ts)
