"""What the pages in docs/ show runs."""

import os
import re
import shutil
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(page.name for page in DOCS.glob("*.md"))
NEEDS = {
    "inspect.md": ("matplotlib", "networkx"),
    "models.md": ("torch",),
    "native.md": ("torch", "flax", "optax", "mlx", "tensorflow", "keras"),
    "irregular.md": ("torch",),
    "sequences.md": ("keras",),
    "from_ncps_1.md": ("torch", "keras"),
    "from_keras_ncp.md": ("keras",),
    "from_ncps_mlx.md": ("mlx",),
    "export.md": ("torch",),
    "onnx.md": ("onnx", "onnxruntime"),
    "torch_export.md": ("torch",),
    "jax_export.md": ("jax", "flax"),
    "saved_model.md": ("tensorflow",),
    "tflite.md": ("tensorflow", "ai_edge_litert"),
}
ON = {  # the others on NumPy, or as they say
    "models.md": "torch",
    "irregular.md": "torch",
    "export.md": "torch",
    "torch_export.md": "torch",
    "jax_export.md": "jax",
    "saved_model.md": "tensorflow",
    "tflite.md": "tensorflow",
}


def code_of(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def run(page):
    for package in NEEDS.get(page, ()):
        pytest.importorskip(package)
    names = {"__name__": page}
    for block in code_of(page):
        exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "own_cell.md"])
def test_page_runs(page, tmp_path, monkeypatch):
    from ncps.backend import backend_scope

    monkeypatch.chdir(tmp_path)  # where pages write files
    if page == "export.md" and not (shutil.which("cc") and shutil.which("make")):
        pytest.skip("there is no C compiler")
    if page == "inspect.md":
        pytest.importorskip("matplotlib").use("Agg")
    if page == "native.md" and os.environ["KERAS_BACKEND"] == "numpy":
        pytest.skip("Keras does not train on NumPy")
    with backend_scope(ON.get(page, "numpy")):
        run(page)


def test_a_cell_of_your_own_runs_everywhere(backend):
    if backend == "keras" and os.environ["KERAS_BACKEND"] == "numpy":
        pytest.skip("the page trains the cell, which Keras does not on NumPy")
    run("own_cell.md")


def test_a_new_liquid_cell_takes_less_than_thirty_lines():
    source = code_of("own_cell.md")[0]
    assert len(source[source.index("@ncps") :].strip().splitlines()) < 30


def test_links_between_pages_lead_somewhere():
    root = DOCS.parent
    for page in [root / "README.md", *DOCS.glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)
