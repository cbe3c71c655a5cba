"""The demo, with tiny settings: its accuracies are measured by running it."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import ncps
from ncps.demo import data, pictures
from ncps.demo.__main__ import main
from ncps.demo.network import make_network
from ncps.saving import load

TINY = ["--units", "10", "--motor-neurons", "3", "--epochs", "1", "--series", "20"]


def test_the_data_is_standardised_and_padded():
    train, test = data.load()
    assert np.bincount(train.y).tolist() == [30] * 9
    assert len(test.y) == 370
    assert train.mask.sum() == 4274
    np.testing.assert_allclose(train.x[train.mask].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(train.x[train.mask].std(0), 1, atol=1e-4)
    assert not test.x[~test.mask].any()
    assert all(mask[: mask.sum()].all() and mask.sum() >= 7 for mask in test.mask)


def test_a_part_of_the_data_has_all_speakers():
    assert [len(np.unique(part.y)) for part in data.load(20)] == [9, 9]


def test_batches_have_one_shape_and_hold_every_series():
    train, _ = data.load(20)
    found = list(data.batches(train, 8, np.random.default_rng(0)))
    assert {batch.x.shape for batch in found} == {(8, 29, 12)}
    seen = {x.tobytes() for batch in found for x in batch.x}
    assert seen == {x.tobytes() for x in train.x}
    small = next(data.batches(data.load(3)[0], 8, np.random.default_rng(0)))
    assert small.x.shape == (8, 29, 12)


@pytest.mark.parametrize("cell", ["cfc", "ltc"])
def test_the_demo_runs_on_torch_and_its_weights_on_numpy(tmp_path, capsys, cell):
    pytest.importorskip("torch")
    viz = pytest.importorskip("matplotlib") and pytest.importorskip("networkx")
    with ncps.backend_scope("torch"):
        assert main([*TINY, "--cell", cell, "--output", str(tmp_path / "new" / "folder")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"Test accuracy [\d.]+%", printed)
    assert float(re.search(r"differ by ([\d.e+-]+) at most", printed)[1]) < 1e-4
    files = {file.name: file for file in (tmp_path / "new" / "folder").iterdir()}
    assert set(files) == {"model.safetensors", "wiring.png", "training.png"}
    assert viz
    assert all(files[name].read_bytes().startswith(b"\x89PNG") for name in ("wiring.png", "training.png"))
    with ncps.backend_scope("numpy"):
        assert load(files["model.safetensors"]).count_params() == make_network(cell, 10, 3).count_params()


def test_the_same_seed_gives_the_same_weights(tmp_path):
    pytest.importorskip("torch")
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        with ncps.backend_scope("torch"):
            assert main([*TINY, "--seed", seed, "--output", str(tmp_path / name)]) == 0
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_backend_that_does_not_train_is_a_clear_error(tmp_path, capsys):
    with ncps.backend_scope("numpy"):
        assert main([*TINY, "--output", str(tmp_path / "none")]) == 1
    assert 'pip install "ncps[torch]"' in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_without_the_viz_extra_the_demo_says_so_and_goes_on(tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch")

    def missing(*_):
        raise ImportError('The pictures need matplotlib. Install it with: pip install "ncps[viz]"')

    monkeypatch.setattr(pictures, "new_figure", missing)
    with ncps.backend_scope("torch"):
        assert main([*TINY, "--output", str(tmp_path)]) == 0
    assert (
        'No pictures: The pictures need matplotlib. Install it with: pip install "ncps[viz]"' in capsys.readouterr().out
    )


def test_wrong_options_are_refused(capsys):
    for wrong in (["--epochs", "0"], ["--cell", "lstm"], ["--seed", "-1"], ["--units", "5"]):
        with pytest.raises(SystemExit) as caught:
            main(wrong)
        assert caught.value.code == 2
        assert "error" in capsys.readouterr().err


def test_an_unknown_backend_is_a_clear_error(tmp_path):
    command = [sys.executable, "-m", "ncps.demo", "--output", str(tmp_path / "none")]
    done = subprocess.run(
        command, env=os.environ | {"NCPS_BACKEND": "abacus"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Received: 'abacus'" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
