"""examples/control.py: the episodes are what they claim to be, and a small run prints and draws all."""

import re

import numpy as np
import pytest

import ncps


@pytest.fixture
def control(monkeypatch, request):
    pytest.importorskip("gymnasium")
    pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.syspath_prepend(str(request.config.rootpath / "examples"))
    import control

    yield control
    control.plt.close("all")


def test_the_expert_swings_up_and_the_elapsed_times_add_up(control):
    flight = control.fly(None, 6, seed=0)
    assert (np.cos(flight.angle[:, -20:]) > 0.99).all()
    assert 0.6 < flight.arrived.mean() < 0.8
    for arrived, elapsed in zip(flight.arrived, flight.elapsed, strict=True):
        steps = np.flatnonzero(arrived)
        assert np.array_equal(np.cumsum(elapsed[steps]) - 1, steps)


def test_a_stream_with_lost_frames_is_the_masked_sequence(control, monkeypatch):
    layer = control.CfC(control.AutoNCP(19, 1), return_sequences=True, input_size=2)
    outputs, step = [], layer.step

    def noted(*args, **kwargs):
        output, state = step(*args, **kwargs)
        outputs.append(output)
        return output, state

    monkeypatch.setattr(layer, "step", noted)
    flight = control.fly(layer, 3, seed=0)
    sequence = layer(flight.frames, timespans=flight.elapsed, mask=flight.arrived)
    arrived = flight.arrived
    np.testing.assert_allclose(np.stack(outputs, axis=1)[arrived], sequence[arrived], atol=1e-5)


@pytest.mark.parametrize("backend", ["torch", "mlx"])
def test_a_small_run(control, backend, tmp_path, capsys, monkeypatch):
    pytest.importorskip(backend)
    monkeypatch.setattr(control, "ROUNDS", 2)
    monkeypatch.setattr(control, "STEPS", 100)
    with ncps.backend_scope("numpy"):  # --backend goes before
        control.main(["--backend", backend, "--epochs=1", "--episodes=4", f"--picture={tmp_path / 'p.png'}"])
    printed = capsys.readouterr().out
    returns = [float(value) for value in re.findall(r"return +(-?[\d.]+)", printed)]
    assert len(returns) == 4
    assert returns[0] > max(returns[1:])  # the expert's
    assert re.search(r"one step on NumPy: \d+ microseconds", printed)
    assert printed.rstrip().endswith(f"Saved {tmp_path / 'p.png'}")
    assert (tmp_path / "p.png").stat().st_size > 10_000
