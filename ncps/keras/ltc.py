"""`LTC` as in ncps 1.0.1."""

from __future__ import annotations

from typing import Any

import keras

from ncps.keras.faces import Sequence
from ncps.keras.ltc_cell import LTCCell
from ncps.keras.mm_rnn import MixedMemoryRNN
from ncps.wirings import FullyConnected, Wiring


@keras.saving.register_keras_serializable(package="ncps", name="LTC")
class LTC(Sequence):
    """A liquid time-constant network over sequences, with the arguments of ncps 1.0.1's Keras module.

    It is called with sequences (B, T, F), or with a pair of them and elapsed times (B, T) or (B, T, 1).

    Args:
        units: number of fully connected neurons, or a wiring.
        mixed_memory: whether an LSTM's memory stands around the cell.
        input_mapping: ``"affine"``, ``"linear"`` or None.
        output_mapping: the same.
        ode_unfolds: solver steps in one time step.
        epsilon: added to the conductances.
        initialization_ranges: (low, high) of the uniform initial values, by name.
        return_sequences: the outputs of all steps, else of the last.
        return_state: also the state after the last step.
        go_backwards: runs from the last step to the first.
        stateful: each call goes on from where the one before ended.
        unroll: lays the steps out one after the other.
        zero_output_for_mask: masked steps give zeros.
        solver: of `ncps.layers.LTCCell`.
        implicit_param_constraints: see there.
        memory_to: of `ncps.layers.MixedMemoryCell`.
        options: `name`, `dtype`.

    Example:
        >>> import keras
        >>> from ncps.keras import LTC
        >>> from ncps.wirings import NCP
        >>> rnn = LTC(NCP(10, 10, 8, 6, 6, 4, 4))
        >>> tuple(rnn((keras.ops.zeros((2, 10, 20)), keras.ops.ones((2, 10)))).shape)
        (2, 8)
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
        zero_output_for_mask: bool = False,
        *,
        solver: str = "semi_implicit",
        implicit_param_constraints: bool = False,
        memory_to: str = "input",
        **options: Any,
    ) -> None:
        wiring = units if isinstance(units, Wiring) else FullyConnected(units)
        cell: Any = LTCCell(
            wiring,
            input_mapping,
            output_mapping,
            ode_unfolds,
            epsilon,
            initialization_ranges,
            solver=solver,
            implicit_param_constraints=implicit_param_constraints,
            dtype=options.get("dtype"),
        )
        if mixed_memory:
            cell = MixedMemoryRNN(cell, memory_to=memory_to, dtype=options.get("dtype"))
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            unroll,
            zero_output_for_mask,
            **options,
        )
