"""The examples, with tiny settings: what they print and draw. Their figures are measured by running them."""

import ast
import importlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from ncps.backend import NCPSBackend

ROOT = Path(__file__).parents[1]
EXAMPLES = {  # arguments, and what is printed
    "speakers": (
        ["--units", "12", "--epochs", "1"],
        r"\d+ weights, loss [\d.]+ after 1 epochs\nrecognised: [\d.]+% of 370 test series",
    ),
    "xor": (
        ["--sequences", "500", "--epochs", "1"],
        r"500 streams to train and 50 to test, [\d.]+ events each[^$]*: [\d.]+% with elapsed times, [\d.]+% without",
    ),
    "co2": (
        ["--copies", "1", "--epochs", "1"],
        r"\d+ windows to train, 279 to test[^$]*persistence +2.17 ppm\nall steps equal +[\d.]+ ppm\nreal elapsed times",
    ),
}
FRAMEWORKS = {"torch": "torch", "jax": "optax", "mlx": "mlx", "tensorflow": "tensorflow", "keras": "keras"}


@pytest.fixture(autouse=True)
def _folders(monkeypatch, tmp_path):
    """Imports examples by their names, and draws without a display."""
    for folder in ("docs", "examples/native", "examples"):
        monkeypatch.syspath_prepend(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def imported(name):
    return importlib.import_module(name)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("backend", ["torch", "mlx"])
def test_an_example_trains_prints_and_draws(name, backend, capsys):
    pytest.importorskip(FRAMEWORKS[backend])
    arguments, printed = EXAMPLES[name]
    imported(name).main([*arguments, "--backend", backend, "--picture", "drawn.png"])
    assert re.search(printed + r"[^$]*Saved drawn.png\n$", capsys.readouterr().out)
    picture = Path("drawn.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000  # an empty figure has fewer


def test_examples_are_short_and_say_how_to_run_them():
    for file in (ROOT / "examples").rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert source.count("\n") <= 150, file
        about = ast.get_docstring(ast.parse(source))
        if "__main__" in source:
            command = re.escape(f"python {file.relative_to(ROOT).as_posix()}")
            assert re.search(rf"{command}[^$]*\d", about), file  # and then the figures that it prints


def test_the_streams_of_bits_are_those_of_the_paper():
    (bits, elapsed, mask), parity = imported("xor").sequences(10_000, 48736)
    assert (parity == 0).mean() == pytest.approx(0.4911)
    assert mask.sum(1).max() == 24
    assert elapsed.sum(1).max() == 31
    (dense, times, shown), same = imported("xor").sequences(10_000, 48736, events=False)
    assert np.array_equal(same, parity)
    assert np.array_equal(dense.sum((1, 2)) % 2, parity[:, 0])
    assert np.array_equal(times, shown)
    assert np.array_equal(elapsed.sum(1), shown.sum(1))
    row = int(np.argmax(mask.sum(1)))
    places = (np.cumsum(elapsed[row])[mask[row]] - 1).astype(int)
    assert np.array_equal(dense[row, places], bits[row, mask[row]])


def test_the_papers_setting_runs_and_its_results_make_a_table():
    pytest.importorskip("optax")
    file = Path("pure.json")
    arguments = ["--model", "pure", "--seeds", "0", "1", "--sequences", "600", "--epochs", "2", "--json", str(file)]
    imported("xor_paper").main(arguments)
    found = json.loads(file.read_text())
    assert np.shape(found["accuracy"]) == np.shape(found["loss"]) == (2, 2)
    assert np.all(np.diff(found["loss"], axis=0) < 0)
    assert found["loss"][0][0] != found["loss"][0][1]
    last = 100 * np.array(found["accuracy"][-1])
    row = imported("xor_table").table([file]).splitlines()[-1]
    assert f"| {last[0]:.1f}, {last[1]:.1f} | {last.mean():.2f} ± {last.std():.2f} | 85.42 ± 2.84 |" in row


def test_the_native_loops_agree(capsys):
    losses = {}
    for name, package in FRAMEWORKS.items():
        infers = name == "keras" and os.environ.get("KERAS_BACKEND") == "numpy"  # and does not train
        if name in NCPSBackend.available_backends() and not infers:
            pytest.importorskip(package)
            losses[name], _ = imported(f"{name}_loop").main(["--epochs", "1", "--series", "60"])
            assert re.search(
                rf"{name}: loss 2\.\d+ at first, [\d.]+ in the end; [\d.]+% of 60", capsys.readouterr().out
            )
    assert len(losses) > 1
    for name, found in losses.items():
        np.testing.assert_allclose(found, next(iter(losses.values())), rtol=1e-3, err_msg=name)
