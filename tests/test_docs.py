"""What the pages in docs/ show runs, and their links lead somewhere.

A page may say in its front matter on which `backend` its code runs (`all`: on each in turn; NumPy if it does not say),
which packages and `commands` it `needs`, and that it `trains`, which Keras does not on NumPy.
"""

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from ncps.backend import NCPSBackend, backend_scope

DOCS = Path(__file__).parent.parent / "docs"
WRITTEN = [path for path in sorted(DOCS.rglob("*.md")) if not {"_build", "reference"} & {*path.parts}]
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in WRITTEN}
BACKENDS = ("numpy", "torch", "mlx", "tensorflow", "keras", "jax")
KEYS = {"backend", "needs", "commands", "trains"}


def front_matter(page):
    found = re.match(r"---\n(.*?)\n---\n", PAGES[page], re.DOTALL)
    return yaml.safe_load(found[1]) if found else {}


def code_of(page):
    return re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)


def backends_of(page):
    backend = front_matter(page).get("backend", "numpy")
    return BACKENDS if backend == "all" else [backend]


@pytest.mark.parametrize(
    ("page", "backend"), [(page, on) for page in filter(code_of, PAGES) for on in backends_of(page)]
)
def test_page_runs(page, backend, tmp_path, monkeypatch):
    about = front_matter(page)
    assert about.keys() <= KEYS
    if backend not in NCPSBackend.available_backends():
        pytest.skip(f"{backend} is not installed")
    for package in about.get("needs", ()):
        pytest.importorskip(package)
    for command in about.get("commands", ()):
        if shutil.which(command) is None:
            pytest.skip(f"there is no {command}")
    if about.get("trains") and "keras" in (backend, *about.get("needs", ())) and os.environ["KERAS_BACKEND"] == "numpy":
        pytest.skip("Keras does not train on NumPy")
    monkeypatch.chdir(tmp_path)  # where pages write files
    names = {"__name__": page}
    with backend_scope(backend):
        for block in code_of(page):
            exec(compile(block, page, "exec"), names)


def test_a_new_liquid_cell_takes_less_than_thirty_lines():
    source = code_of("guides/own_cell.md")[0]
    assert len(source[source.index("@ncps") :].strip().splitlines()) < 30


@pytest.mark.parametrize("page", [*WRITTEN, *DOCS.parent.glob("*.md")], ids=lambda path: path.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
