"""The C code of models compiles without a warning and computes what the layers compute."""

import inspect
import shutil

import numpy as np
import pytest
from c_program import compiled
from exported_models import MODELS, made, series

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
STEPS = 200
SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def models():
    return [made(make, features, seed) for seed, (features, make) in enumerate(MODELS)]


def outputs_of(model, inputs, times):
    """The outputs of a single series."""
    timed = "timespans" in inspect.signature(model.call).parameters
    return model(inputs[None], **({"timespans": times[None]} if timed else {}))[0]


@pytest.mark.parametrize("flags", [("-O2",), SANITIZERS], ids=["optimised", "sanitized"])
def test_random_models_agree_with_numpy(models, tmp_path, flags):
    assert len(models) >= 60
    program = compiled(models, tmp_path, *flags)
    errors = {}
    for i, (model, (features, _)) in enumerate(zip(models, MODELS, strict=True)):
        inputs, times = series(features, STEPS, seed=i)
        expected = outputs_of(model, inputs, times)
        scale = max(1, np.abs(expected).max())  # the states of NeuralODE grow without bound
        errors[f"{i} {model}"] = np.abs(program.outputs(i, inputs, times) - expected).max() / scale
    assert not {name: error for name, error in errors.items() if not error <= 1e-5}
    print(sorted(errors.values())[::-1], len(models))
