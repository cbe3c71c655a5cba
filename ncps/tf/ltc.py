"""`LTC` as in the tf module of ncps 1.0.1."""

from __future__ import annotations

from typing import Any

import keras

import ncps.keras
from ncps.tf.time_major import TimeMajor
from ncps.wirings import Wiring


@keras.saving.register_keras_serializable(package="ncps.tf", name="LTC")
class LTC(TimeMajor, ncps.keras.LTC):
    """A liquid time-constant network over sequences, with the arguments of ncps 1.0.1's tf module.

    Args:
        units: number of fully connected neurons, or a wiring.
        mixed_memory: see `ncps.keras.LTC`, as for the others.
        input_mapping: see there.
        output_mapping: see there.
        ode_unfolds: see there.
        epsilon: see there.
        initialization_ranges: see there.
        return_sequences: see there.
        return_state: see there.
        go_backwards: see there.
        stateful: see there.
        unroll: see there.
        time_major: whether sequences are (T, B, F).
        options: the other arguments of `ncps.keras.LTC`.
    """

    def __init__(
        self,
        units: int | Wiring,
        mixed_memory: bool = False,
        input_mapping: str | None = "affine",
        output_mapping: str | None = "affine",
        ode_unfolds: int = 6,
        epsilon: float = 1e-8,
        initialization_ranges: Any = None,
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
            input_mapping,
            output_mapping,
            ode_unfolds,
            epsilon,
            initialization_ranges,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            unroll,
            **options,
        )
        self.time_major = time_major
