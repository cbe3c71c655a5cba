"""`CfC` as in the tf module of ncps 1.0.1."""

from __future__ import annotations

from typing import Any

import keras

import ncps.keras
from ncps.tf.time_major import TimeMajor
from ncps.wirings import Wiring


@keras.saving.register_keras_serializable(package="ncps.tf", name="CfC")
class CfC(TimeMajor, ncps.keras.CfC):
    """A closed-form continuous-time network over sequences, with the arguments of ncps 1.0.1's tf module.

    Args:
        units: number of neurons, or a wiring.
        mixed_memory: see `ncps.keras.CfC`, as for the others.
        mode: see there.
        activation: see there.
        backbone_units: see there.
        backbone_layers: see there.
        backbone_dropout: see there.
        return_sequences: see there.
        return_state: see there.
        go_backwards: see there.
        stateful: see there.
        unroll: see there.
        time_major: whether sequences are (T, B, F).
        options: the other arguments of `ncps.keras.CfC`.
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
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        time_major: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            units,
            mixed_memory,
            mode,
            activation,
            backbone_units,
            backbone_layers,
            backbone_dropout,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            **options,
        )
        self.time_major = time_major
