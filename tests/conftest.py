"""Fixtures for all tests."""

import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_BACKENDS = ("numpy", "torch", "jax", "mlx", "tensorflow", "keras")

_REQUIREMENTS = ("ncps==1.0.1", "future==1.0.0")


_BETWEEN_CLEARINGS = 400  # tests
_tests_run = itertools.count(1)


def pytest_runtest_teardown() -> None:
    """Lets go of jax's compiled programs now and then.

    Each takes a dozen memory maps. A process that runs thousands of tests would come to the limit of the system, 65530
    on Linux, where XLA ends with a segmentation fault.
    """
    if next(_tests_run) % _BETWEEN_CLEARINGS == 0 and "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="session")
def ncps_101() -> Path:
    """A folder with ncps 1.0.1, to put on the PYTHONPATH of another process; never import it beside ours."""
    folder = Path(__file__).parents[1] / ".cache" / "ncps-1.0.1"
    if folder.is_dir():  # complete, since it came there by being renamed
        return folder
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        packages = Path(unfinished) / "packages"
        pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(packages), *_REQUIREMENTS]
        installed = subprocess.run(pip, capture_output=True, text=True, check=False)
        if installed.returncode != 0:
            pytest.fail(f"{' '.join(pip)}\n{installed.stdout}\n{installed.stderr}", pytrace=False)
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
