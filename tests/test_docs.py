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

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
WRITTEN = [path for path in sorted(DOCS.rglob("*.md")) if not {"_build", "reference"} & {*path.parts}]
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in WRITTEN}
TEXTS = [*WRITTEN, *ROOT.glob("*.md"), *sorted((ROOT / "ncps").rglob("*.md"))]
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


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_page_shows_code(page):
    assert "```" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        place, _, anchor = target.partition("#")
        if place.startswith(("http:", "https:")):
            continue
        found = page.parent / place if place else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


def test_links_to_other_places_are_well_formed():
    links = {link for page in TEXTS for link in re.findall(r"\]\((https?:[^)\s]+)\)|<(https?:[^>]+)>", prose(page))}
    found = sorted(one or other for one, other in links)
    assert len(found) > 10
    assert [link for link in found if not re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]{2,}(/[^\s<>\"]*)?", link)] == []


def prose(page):
    """A page without its code."""
    return re.sub(r"```.*?```|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(page):
    """The anchors that GitHub, and the site, make of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
