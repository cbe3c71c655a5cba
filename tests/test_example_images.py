"""examples/images.py, under the Keras of this process: films hold the digits, and a small run prints and draws all."""

import os
import re

import numpy as np
import pytest


@pytest.fixture
def images(monkeypatch, request):
    pytest.importorskip("keras")
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.syspath_prepend(str(request.config.rootpath / "examples"))
    import images

    yield images
    images.plt.close("all")


def test_films_hold_the_whole_digit_in_every_frame(images, monkeypatch):
    monkeypatch.setattr(images, "NOISE", 0.0)
    (digits, classes), _ = images.load()
    seen, elapsed = images.films(digits[:9], np.random.default_rng(0))
    assert seen.shape == (9, images.FRAMES, 16, 16, 1)
    np.testing.assert_allclose(
        seen.sum((2, 3, 4)), np.repeat(digits[:9].sum((1, 2))[:, None], images.FRAMES, 1), rtol=1e-5
    )
    assert elapsed.min() == 1 < elapsed.max()
    assert np.array_equal(np.unique(classes), np.arange(10))


def test_a_small_run_in_keras(images, tmp_path, capsys, monkeypatch):
    backend = os.environ["KERAS_BACKEND"]
    if backend == "numpy":
        pytest.skip("Keras does not train on NumPy")
    monkeypatch.setattr(images, "FRAMES", 3)
    images.main(["--backend", backend, "--epochs=1", "--digits=64", f"--picture={tmp_path / 'p.png'}"])
    printed = capsys.readouterr().out
    assert len(re.findall(r"\d\.\d%", printed)) == 1 + images.FRAMES
    assert printed.rstrip().endswith(f"Saved {tmp_path / 'p.png'}")
    assert (tmp_path / "p.png").stat().st_size > 10_000
