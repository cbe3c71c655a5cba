"""`WiredCfCCell` as in ncps 1.0.1."""

from __future__ import annotations

from typing import Any

import keras

from ncps import layers
from ncps.keras.activations import name_of
from ncps.keras.configurations import wiring_from
from ncps.keras.faces import Cell, own_config
from ncps.layers.binding import bind
from ncps.wirings import Wiring


@keras.saving.register_keras_serializable(package="ncps", name="WiredCfCCell")
class WiredCfCCell(Cell, bind(layers.WiredCfCCell, "keras")):
    """One time step of a wired closed-form network: `ncps.layers.WiredCfCCell`, with the arguments of ncps 1.0.1.

    Args:
        wiring: the wiring.
        fully_recurrent: all neurons of a layer see one another, or only along the wiring's synapses.
        mode: ``"default"``, ``"pure"`` or ``"no_gate"``.
        activation: not used, as a wired cell has no backbone.
        head_activation: of the heads, None as in 1.0.1's Keras module or ``"tanh"`` as in the paper.
        masked_gates: whether the synapses mask the time gates too.
        options: `state_order` (``"layers"`` here), `name`, `dtype`.

    Example:
        >>> import keras
        >>> from ncps.keras import WiredCfCCell
        >>> from ncps.wirings import AutoNCP
        >>> rnn = keras.layers.RNN(WiredCfCCell(AutoNCP(8, 2)))
        >>> tuple(rnn(keras.ops.zeros((5, 7, 3))).shape)
        (5, 2)
    """

    sequence_op = layers.WiredCfCCell.sequence_op  # the equation is the same

    def __init__(
        self,
        wiring: Wiring,
        fully_recurrent: bool = True,
        mode: str = "default",
        activation: Any = "lecun_tanh",
        head_activation: Any = None,
        masked_gates: bool = False,
        state_order: str = "layers",
        **options: Any,
    ) -> None:
        super().__init__(wiring, mode, head_activation, fully_recurrent, masked_gates, state_order, **options)
        self.activation = name_of(activation)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        names = (
            *("wiring", "fully_recurrent", "mode", "activation"),
            *("head_activation", "masked_gates", "state_order"),
        )
        return own_config(self) | {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A cell from its configuration, of this version or of 1.0.1."""
        return cls(**{**config, "wiring": wiring_from(config["wiring"]), "activation": name_of(config["activation"])})
