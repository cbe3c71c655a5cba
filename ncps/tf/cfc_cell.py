"""`CfCCell` as in the tf module of ncps 1.0.1."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

import ncps.keras
from ncps.keras.activations import lecun_tanh as lecun_tanh


@keras.saving.register_keras_serializable(package="ncps.tf", name="CfCCell")
class CfCCell(ncps.keras.CfCCell):
    """One time step of a closed-form continuous-time network, with the arguments of ncps 1.0.1's tf module.

    Args:
        units: number of neurons.
        input_sparsity: (F, H), -1 or 1 where an input reaches a neuron; goes with the next and without backbone.
        recurrent_sparsity: (H, H), the same among the neurons.
        mode: see `ncps.keras.CfCCell`, as for the others.
        activation: see there.
        backbone_units: see there.
        backbone_layers: see there.
        backbone_dropout: see there.
        options: the other arguments of `ncps.keras.CfCCell`.

    Raises:
        ValueError: one of the two sparsities is missing.
    """

    def __init__(
        self,
        units: int,
        input_sparsity: Any = None,
        recurrent_sparsity: Any = None,
        mode: str = "default",
        activation: Any = "lecun_tanh",
        backbone_units: int = 128,
        backbone_layers: int = 1,
        backbone_dropout: float = 0.1,
        **options: Any,
    ) -> None:
        given = [part for part in (input_sparsity, recurrent_sparsity) if part is not None]
        if len(given) == 1:
            raise ValueError(
                "If sparsity of a Cfc cell is set, then both input and recurrent sparsity needs to be defined. "
                "Received: one of them. Give input_sparsity and recurrent_sparsity, of ones where nothing is left out."
            )
        if given:
            options["sparsity_mask"] = np.concatenate(given, axis=0)
        super().__init__(units, mode, activation, backbone_units, backbone_layers, backbone_dropout, **options)
