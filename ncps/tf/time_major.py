"""What the layers of `ncps.tf` share."""

from __future__ import annotations

from typing import Any

import keras


class TimeMajor:
    """A layer of sequences that may take them with the time first, as Keras 2 had it."""

    time_major: bool
    return_sequences: bool

    def __call__(self, sequences: Any, *args: Any, **options: Any) -> Any:
        """Runs the cell over (B, T, F), with `time_major` (T, B, F), or a pair of them and elapsed times."""
        if not self.time_major:
            return super().__call__(sequences, *args, **options)
        paired = isinstance(sequences, (tuple, list))
        turned = tuple(map(turn, sequences)) if paired else turn(sequences)
        result = super().__call__(turned, *args, **options)
        outputs, *states = result if isinstance(result, (tuple, list)) else (result,)
        outputs = turn(outputs) if self.return_sequences else outputs
        return (outputs, *states) if states else outputs

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return super().get_config() | {"time_major": self.time_major}


def turn(x: Any) -> Any:
    """(T, B, ...) as (B, T, ...), and back."""
    return keras.ops.swapaxes(x, 0, 1)
