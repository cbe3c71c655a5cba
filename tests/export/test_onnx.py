"""ONNX files compute, in onnxruntime, what the layers compute."""

import inspect

import numpy as np
import pytest
from exported_models import MODELS, made, series

from ncps.export import to_onnx

onnxruntime = pytest.importorskip("onnxruntime")
BATCH, STEPS = 3, 12


def session(model, path, kind):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(to_onnx(model, path, kind)), options, providers=["CPUExecutionProvider"])


def zeros(runtime):
    return {x.name: np.zeros((BATCH, x.shape[1]), np.float32) for x in runtime.get_inputs()[2:]}


def outputs_of(model, inputs, times):
    timed = "timespans" in inspect.signature(model.call).parameters
    return np.asarray(model(inputs, **({"timespans": times} if timed else {})))


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_sequences_and_steps_agree_with_numpy(number, tmp_path):
    features, make = MODELS[number]
    model = made(make, features, number)
    inputs, times = series(features, STEPS, number, BATCH)
    expected = outputs_of(model, inputs, times)
    whole = session(model, tmp_path / "sequence.onnx", "sequence")
    found, *states = whole.run(None, {"inputs": inputs, "timespans": times, **zeros(whole)})
    scale = max(1, np.abs(expected).max())
    assert np.abs(found - expected).max() <= 1e-5 * scale
    one = session(model, tmp_path / "step.onnx", "step")
    state = zeros(one)
    for t in range(STEPS):
        found, *after = one.run(None, {"input": inputs[:, t], "timespan": times[:, t, None], **state})
        state = dict(zip(state, after, strict=True))
        assert np.abs(found - expected[:, t]).max() <= 1e-5 * scale
    for a, b in zip(states, state.values(), strict=True):
        assert np.abs(a - b).max(initial=0) <= 1e-5 * scale
