"""`CfCCell` as in ncps 1.0.1."""

from __future__ import annotations

from typing import Any

import keras

from ncps import layers
from ncps.keras.activations import lecun_tanh as lecun_tanh, name_of, own
from ncps.keras.faces import Cell, own_config
from ncps.layers.binding import bind


@keras.saving.register_keras_serializable(package="ncps", name="CfCCell")
class CfCCell(Cell, bind(layers.CfCCell, "keras")):
    """One time step of a closed-form continuous-time network: `ncps.layers.CfCCell`, with the arguments of ncps 1.0.1.

    Args:
        units: number of neurons.
        mode: ``"default"``, ``"pure"`` or ``"no_gate"``.
        activation: of the backbone.
        backbone_units: width of the backbone's layers.
        backbone_layers: their number.
        backbone_dropout: rate of dropout after each.
        sparsity_mask: (F + H, H), -1 or 1 where an input or a neuron reaches a neuron; goes without backbone.
        head_activation: of the heads, None as in 1.0.1's Keras module or ``"tanh"`` as in the paper.
        masked_gates: whether the mask holds for the time gates too.
        options: `name`, `dtype`.

    Example:
        >>> import keras
        >>> from ncps.keras import CfCCell
        >>> output, states = CfCCell(8)(keras.ops.zeros((5, 3)), [keras.ops.zeros((5, 8))])
        >>> tuple(output.shape), tuple(states[0].shape)
        ((5, 8), (5, 8))
    """

    sequence_op = layers.CfCCell.sequence_op  # the equation is the same

    def __init__(
        self,
        units: int,
        mode: str = "default",
        activation: Any = "lecun_tanh",
        backbone_units: int = 128,
        backbone_layers: int = 1,
        backbone_dropout: float = 0.1,
        sparsity_mask: Any = None,
        head_activation: Any = None,
        masked_gates: bool = False,
        **options: Any,
    ) -> None:
        if sparsity_mask is not None and backbone_units > 0:
            raise ValueError(
                "If sparsity of a CfC cell is set, then no backbone is allowed: expected backbone_units=0 with a "
                f"sparsity_mask. Received: backbone_units={backbone_units}. Give backbone_units=0, or no mask."
            )
        super().__init__(
            units,
            mode,
            max(backbone_units, 1),  # 0 goes with a backbone of no layers
            backbone_layers if backbone_units > 0 else 0,
            own(name_of(activation)),
            backbone_dropout,
            head_activation,
            sparsity_mask=sparsity_mask,
            masked_gates=masked_gates,
            **options,
        )
        self.activation = name_of(activation)
        self._given_backbone = (backbone_units, backbone_layers)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        names = ("units", "mode", "activation", "backbone_dropout", "sparsity_mask", "head_activation", "masked_gates")
        units, count = self._given_backbone
        backbone = {"backbone_units": units, "backbone_layers": count}
        return own_config(self) | {name: getattr(self, name) for name in names} | backbone

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A cell from its configuration, of this version or of 1.0.1."""
        return cls(**{**config, "activation": name_of(config["activation"])})
