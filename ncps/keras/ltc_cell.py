"""`LTCCell` as in ncps 1.0.1."""

from __future__ import annotations

from typing import Any

import keras

from ncps import layers
from ncps.keras.configurations import wiring_from
from ncps.keras.faces import Cell, own_config
from ncps.layers.binding import bind
from ncps.wirings import Wiring


@keras.saving.register_keras_serializable(package="ncps", name="LTCCell")
class LTCCell(Cell, bind(layers.LTCCell, "keras")):
    """One time step of a liquid time-constant network: `ncps.layers.LTCCell`, with the arguments of ncps 1.0.1.

    Args:
        wiring: the wiring.
        input_mapping: ``"affine"``, ``"linear"`` or None.
        output_mapping: the same.
        ode_unfolds: solver steps in one time step.
        epsilon: added to the conductances.
        initialization_ranges: (low, high) of the uniform initial values, by name.
        options: of `ncps.layers.LTCCell`, as `solver`; `name`, `dtype`.

    Example:
        >>> import keras
        >>> from ncps.keras import LTCCell
        >>> from ncps.wirings import Random
        >>> rnn = keras.layers.RNN(LTCCell(Random(16, output_dim=2, sparsity_level=0.5)))
        >>> tuple(rnn(keras.ops.zeros((1, 20, 4))).shape)
        (1, 2)
    """

    sequence_op = layers.LTCCell.sequence_op  # the equation is the same

    def __init__(
        self,
        wiring: Wiring,
        input_mapping: str | None = "affine",
        output_mapping: str | None = "affine",
        ode_unfolds: int = 6,
        epsilon: float = 1e-8,
        initialization_ranges: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            wiring,
            unfolds=ode_unfolds,
            epsilon=epsilon,
            input_mapping=input_mapping,
            output_mapping=output_mapping,
            initialization_ranges=initialization_ranges,
            **options,
        )

    @property
    def sensory_size(self) -> int | None:
        """The number of inputs."""
        return self.wiring.input_dim

    @property
    def motor_size(self) -> int:
        """The number of motor neurons."""
        return self.wiring.output_dim

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        names = ("wiring", "input_mapping", "output_mapping", "epsilon", "initialization_ranges")
        others = {"ode_unfolds": self.unfolds, "solver": self.solver}
        others["implicit_param_constraints"] = self.implicit_param_constraints
        return own_config(self) | {name: getattr(self, name) for name in names} | others

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A cell from its configuration, of this version or of 1.0.1."""
        return cls(**{**config, "wiring": wiring_from(config["wiring"])})
