"""Our networks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchmarks.comparing.cases import CELLS, Case
from benchmarks.comparing.models import Model
from ncps import layers
from ncps.wirings import AutoNCP


def make(case: Case) -> Model:
    """The network of a case on the backend that the environment chose."""
    cell = CELLS[case.cell]
    units = AutoNCP(case.units, case.outputs) if case.wiring else case.units
    inner = getattr(layers, cell.inner)(units) if cell.inner else units
    layer = getattr(layers, cell.layer)(inner, return_sequences=True, input_size=case.features, **cell.options)
    return Model(layer, lambda layer, x: layer(x), {"step": lambda layer, x, state: layer.step(x, state)})


@contextlib.contextmanager
def kernels_on_jax() -> Iterator[None]:
    """Within it, jax runs kernels for any length, as torch does, and not only where they make up for the call."""
    from ncps.backends.jax import sequences

    before = sequences.ENOUGH
    sequences.ENOUGH = dict.fromkeys(before, 0)
    try:
        yield
    finally:
        sequences.ENOUGH = before
