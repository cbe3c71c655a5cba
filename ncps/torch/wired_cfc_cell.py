"""`WiredCfCCell` as in ncps 1.0.1."""

from __future__ import annotations

from typing import Any

from ncps import layers
from ncps.layers.binding import bind
from ncps.torch.faces import LoadsOld, Sizes, input_size_of
from ncps.wirings import Wiring


class WiredCfCCell(LoadsOld, Sizes, bind(layers.WiredCfCCell, "torch")):
    """One time step of a wired closed-form network: `ncps.layers.WiredCfCCell`, called as in ncps 1.0.1.

    Args:
        input_size: number of inputs; None where the wiring is built.
        wiring: the wiring.
        mode: ``"default"``, ``"pure"`` or ``"no_gate"``.
        masked_gates: whether the wiring's synapses mask the time gates too.
        fully_recurrent: all neurons of a layer see one another, or only along the wiring's synapses.
        options: of `ncps.layers.WiredCfCCell`: `head_activation`, `state_order` (``"layers"`` here).

    Raises:
        ValueError: the number of inputs is unknown.

    Example:
        >>> import torch
        >>> from ncps.torch import WiredCfCCell
        >>> from ncps.wirings import AutoNCP
        >>> output, hx = WiredCfCCell(3, AutoNCP(8, 2))(torch.zeros(5, 3), torch.zeros(5, 8), 1.0)
        >>> output.shape, hx.shape
        (torch.Size([5, 2]), torch.Size([5, 8]))
    """

    sequence_op = layers.WiredCfCCell.sequence_op  # the equation is the same

    def __init__(
        self,
        input_size: int | None,
        wiring: Wiring,
        mode: str = "default",
        masked_gates: bool = False,
        fully_recurrent: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            wiring,
            mode,
            fully_recurrent=fully_recurrent,
            masked_gates=masked_gates,
            input_size=input_size_of(wiring, "input_size", input_size),
            **{"state_order": "layers", **options},
        )

    @property
    def layer_sizes(self) -> list[int]:
        """The numbers of neurons of the layers, next to the inputs first."""
        return [len(neurons) for neurons in self.wiring.layers]

    @property
    def num_layers(self) -> int:
        """The number of layers."""
        return self.wiring.num_layers

    def forward(self, input: Any, hx: Any, timespans: Any = 1.0) -> tuple[Any, Any]:  # noqa: A002 - as in 1.0.1
        """The output (B, motor_size) and the state (B, N), layer by layer, after a number, (B,) or (B, 1)."""
        return self.run(input, hx, timespan=timespans)
