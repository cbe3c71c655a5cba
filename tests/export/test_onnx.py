"""ONNX files compute, in onnxruntime, what the layers compute."""

import inspect
import sys

import numpy as np
import pytest
from exported_models import MODELS, made, series
from trained_models import PAIRS, expected, trained

from ncps.export import to_onnx
from ncps.layers import CfC
from ncps.wirings import AutoNCP

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
BATCH, STEPS = 3, 12


def session(model, path, kind):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(to_onnx(model, path, kind)), options, providers=["CPUExecutionProvider"])


def zeros(runtime, batch=BATCH):
    return {x.name: np.zeros((batch, x.shape[1]), np.float32) for x in runtime.get_inputs()[2:]}


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


@pytest.mark.parametrize(("cell", "backend"), PAIRS)
def test_trained_models_agree(cell, backend, tmp_path):
    inputs, times, outputs = expected(cell, backend)
    runtime = session(trained(cell, backend), tmp_path / "model.onnx", "sequence")
    found, *_ = runtime.run(None, {"inputs": inputs, "timespans": times, **zeros(runtime, len(inputs))})
    assert np.abs(found - outputs).max() <= 1e-5


def test_one_file_takes_any_batch_and_length(tmp_path):
    features, make = MODELS[0]
    model = made(make, features, 0)
    runtime = session(model, tmp_path / "model.onnx", "sequence")
    for batch, steps in ((1, 1), (4, 9)):
        inputs, times = series(features, max(steps, 4), 0, batch)
        inputs, times = inputs[:, :steps], times[:, :steps]
        found, *_ = runtime.run(None, {"inputs": inputs, "timespans": times, **zeros(runtime, batch)})
        assert np.abs(found - model(inputs, timespans=times)).max() <= 1e-5


def test_the_last_outputs_where_the_model_gives_them(tmp_path):
    model = CfC(AutoNCP(9, 2), input_size=3)
    inputs, times = series(3, STEPS, 0, BATCH)
    runtime = session(model, tmp_path / "model.onnx", "sequence")
    found, state = runtime.run(None, {"inputs": inputs, "timespans": times, **zeros(runtime)})
    assert found.shape == (BATCH, 2)
    assert np.abs(found - model(inputs, timespans=times)).max() <= 1e-5
    assert state.shape == (BATCH, 9)


@pytest.mark.parametrize("kind", ["step", "sequence"])
def test_operators_are_standard(kind, tmp_path):
    model = made(MODELS[-2][1], MODELS[-2][0], 0)
    graphs, operators = [onnx.load(to_onnx(model, tmp_path / "model.onnx", kind)).graph], set()
    for graph in graphs:
        for node in graph.node:
            operators.add((node.domain, node.op_type))
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    assert {domain for domain, _ in operators} == {""}
    assert ("", "Scan") in operators or kind == "step"
    assert all(onnx.defs.get_schema(name).domain == "" for _, name in operators)


def test_an_unknown_kind(tmp_path):
    with pytest.raises(ValueError, match="kind='step' or 'sequence'"):
        to_onnx(CfC(3, input_size=2), tmp_path / "model.onnx", "loop")


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    for path in (tmp_path / "model.onnx", tmp_path / "missing" / "model.onnx"):
        with pytest.raises(OSError, match=r"Expected the path of a file .* Received: .*model\.onnx"):
            to_onnx(CfC(3, input_size=2), path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "ncps.export.onnx_model", raising=False)
    monkeypatch.delitem(sys.modules, "ncps.export.onnx_graph", raising=False)
    with pytest.raises(ImportError, match=r'pip install "ncps\[export\]"'):
        to_onnx(CfC(3, input_size=2), tmp_path / "model.onnx")
