"""Fixtures for all tests."""

import importlib.util
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ncps.backend import BUILTIN, NCPSBackend

_BACKENDS = ("numpy", "torch", "mlx", "tensorflow", "keras", "jax")  # in the order in which their tests run

_MAPS = Path("/proc/self/maps")
_MOST_MAPS = 45_000  # memory maps of a process, of which Linux allows 65,530
_tests_run = itertools.count(1)
_states: dict[str, Any] = {}  # of the generators of modules, before their first test


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of a backend one after the other, those of jax last.

    Each of the processes that share the tests begins at another place, so that one alone compiles what jax needs.
    """

    def place(item: pytest.Item) -> int:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        return next((_BACKENDS.index(x) for x in parameters if isinstance(x, str) and x in _BACKENDS), -1)

    items.sort(key=place)


def pytest_runtest_teardown() -> None:
    """Lets go of jax's compiled programs before there are too many.

    Each takes a dozen memory maps. A process that runs thousands of tests would come to the limit of the system, where
    XLA ends with a segmentation fault.
    """
    if next(_tests_run) % 50 == 0 and "jax" in sys.modules and _MAPS.exists():
        with _MAPS.open("rb") as maps:
            if sum(1 for _ in maps) > _MOST_MAPS:
                sys.modules["jax"].clear_caches()


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order(request: pytest.FixtureRequest) -> None:
    """Every test draws from its module's `RNG` as if it were the first, whichever ran before in its process."""
    rng = getattr(request.module, "RNG", None)
    if rng is not None:
        state = _states.setdefault(request.module.__name__, rng.bit_generator.state)
        rng.bit_generator.state = state


@pytest.fixture(autouse=True)
def _no_backend_is_left() -> Iterator[None]:
    """Forgets the backends that a test registers, or the code of a page."""
    before = set(NCPSBackend._ops)
    yield
    for name in set(NCPSBackend._ops) - before - set(BUILTIN):
        del NCPSBackend._ops[name]
        NCPSBackend._loaded.discard(name)


@pytest.fixture(scope="session")
def ncps_101() -> Path:
    """A folder with ncps 1.0.1, to put on the PYTHONPATH of another process; never import it beside ours."""
    return installed("ncps-1.0.1", "ncps==1.0.1", "future==1.0.0")


@pytest.fixture(scope="session")
def tf_keras() -> Path:
    """A folder with the Keras 2 that ncps 1.0.1's tf module needs; its dependency is TensorFlow, which is here."""
    return installed("tf-keras-2.21.0", "tf-keras==2.21.0")


def installed(name: str, *requirements: str) -> Path:
    """A folder of the cache with packages, without what they depend on; installed there if it is missing."""
    folder = Path(__file__).parents[1] / ".cache" / name
    if folder.is_dir():  # complete, since it came there by being renamed
        return folder
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        packages = Path(unfinished) / "packages"
        pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(packages), *requirements]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.fail(f"{' '.join(pip)}\n{done.stdout}\n{done.stderr}", pytrace=False)
        try:
            packages.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another test process was faster
                raise
    return folder


@pytest.fixture(params=_BACKENDS)
def backend(request):
    """Each backend in turn, active during the test; skipped where its framework is not installed."""
    from ncps.backend import NCPSBackend, backend_scope

    if request.param not in NCPSBackend.available_backends():
        pytest.skip(f"{request.param} is not installed")
    with backend_scope(request.param):
        yield request.param


@pytest.fixture
def short_chunks(monkeypatch):
    """Sequences of more than four steps run in chunks of two."""
    monkeypatch.setattr(importlib.import_module("ncps.ops.sequences.chunks"), "CHUNK", 2)
    if importlib.util.find_spec("mlx") is not None:
        monkeypatch.setattr(importlib.import_module("ncps.backends.mlx.control"), "WINDOW", 2)
