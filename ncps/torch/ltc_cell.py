"""`LTCCell` as in ncps 1.0.1."""

from __future__ import annotations

from typing import Any

from ncps import layers
from ncps.layers.binding import bind
from ncps.torch.faces import LoadsOld, Sizes, input_size_of
from ncps.wirings import Wiring


class LTCCell(LoadsOld, Sizes, bind(layers.LTCCell, "torch")):
    """One time step of a liquid time-constant network: `ncps.layers.LTCCell`, called as in ncps 1.0.1.

    Args:
        wiring: the wiring.
        in_features: number of inputs; None where the wiring is built.
        input_mapping: ``"affine"``, ``"linear"`` or None.
        output_mapping: the same.
        ode_unfolds: solver steps in one time step.
        epsilon: added to the conductances.
        implicit_param_constraints: conductances and capacitances are the softplus of the weights, else the weights as
            they are, also below 0: call `apply_weight_constraints()` after each step of an optimizer.
        options: of `ncps.layers.LTCCell`: `solver`, `initialization_ranges`.

    Raises:
        ValueError: the number of inputs is unknown.

    Example:
        >>> import torch
        >>> from ncps.torch import LTCCell
        >>> from ncps.wirings import FullyConnected
        >>> cell = LTCCell(FullyConnected(8, 4), 3)
        >>> output, hx = cell(torch.zeros(5, 3), torch.zeros(5, 8))
        >>> output.shape, hx.shape
        (torch.Size([5, 4]), torch.Size([5, 8]))
    """

    sequence_op = layers.LTCCell.sequence_op  # the equation is the same
    always_constrained = False  # a checkpoint with weights below 0 computes what it did

    def __init__(
        self,
        wiring: Wiring,
        in_features: int | None = None,
        input_mapping: str | None = "affine",
        output_mapping: str | None = "affine",
        ode_unfolds: int = 6,
        epsilon: float = 1e-8,
        implicit_param_constraints: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            wiring,
            unfolds=ode_unfolds,
            epsilon=epsilon,
            input_mapping=input_mapping,
            output_mapping=output_mapping,
            implicit_param_constraints=implicit_param_constraints,
            input_size=input_size_of(wiring, "in_features", in_features),
            **options,
        )

    def forward(self, inputs: Any, states: Any, elapsed_time: Any = 1.0) -> tuple[Any, Any]:
        """The output (B, motor_size) and the state (B, N) after `elapsed_time`, a number, (B,) or (B, 1)."""
        return self.run(inputs, states, timespan=elapsed_time)
