"""A small trained model of each cell."""

import functools

import numpy as np
import pytest
from exported_models import series

import ncps
from ncps.backend import backend_scope
from ncps.layers import CTRNN, LTC, CfC, CfCCell, Dense, MixedMemory, NeuralODE
from ncps.wirings import AutoNCP

FEATURES, STEPS = 3, 20
every = {"return_sequences": True}
CELLS = {
    "LTC": lambda: LTC(AutoNCP(11, 3), unfolds=2, **every),
    "CfC": lambda: CfC(AutoNCP(11, 3), **every),
    "CfC without gate": lambda: CfC(6, mode="no_gate", backbone_units=8, **every),
    "CfC pure": lambda: CfC(AutoNCP(11, 3), mode="pure", **every),
    "CTRNN": lambda: CTRNN(6, **every),
    "NeuralODE": lambda: NeuralODE(4, unfolds=1, **every),
    "MixedMemory": lambda: MixedMemory(CfCCell(4, backbone_units=8), **every),
}
FEW = ("LTC", "CfC")
# All cells where training is fast. Code and graphs are made of a model's numbers, whichever backend they come from
# (test_the_code_is_the_same_whichever_backend_a_model_lives_on).
TRAINED = {"torch": tuple(CELLS), "mlx": FEW, "jax": FEW, "tensorflow": FEW, "keras": FEW}
PAIRS = [(cell, backend) for backend, cells in TRAINED.items() for cell in cells]


@functools.cache
def trained(cell, backend):
    """A model of a cell that was fitted to something."""
    pytest.importorskip("mlx.core" if backend == "mlx" else backend)
    inputs, times = series(FEATURES, 4, seed=1, batch=8)
    with backend_scope(backend):
        ncps.set_seed(0)
        model = ncps.Sequential([CELLS[cell](), Dense(2, activation="tanh")])
        model.compile(ncps.optimizers.Adam(0.02), "mse")
        before = model.predict((inputs, times))
        model.fit((inputs, times), np.sin(inputs[..., :2].cumsum(axis=1)), epochs=2, batch_size=4, verbose=0)
        assert np.abs(model.predict((inputs, times)) - before).max() > 1e-3
    return model


@functools.cache
def expected(cell, backend):
    """Inputs, times, and the outputs of a trained model on NumPy."""
    inputs, times = series(FEATURES, STEPS, seed=2, batch=2)
    model = ncps.convert(trained(cell, backend), "numpy")
    return inputs, times, model(inputs, timespans=times)
