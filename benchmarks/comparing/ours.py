"""Our networks."""

from __future__ import annotations

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
    return Model(layer, lambda layer, x: layer(x), lambda layer, x, state: layer.step(x, state))
