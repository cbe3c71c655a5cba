"""Builds what is published, and uses the wheel as somebody without any framework does.

python .ci/package.py

"""

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from packaging.metadata import Metadata

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 2_000_000
MOST_SECONDS = 0.15  # of import ncps on an idle machine; on a busy one NumPy alone takes as long, and is taken off
IMPORT = "from time import process_time as t; a = t(); import numpy; b = t(); import ncps; print(b - a, t() - b)"
USE = """
import numpy as np
import ncps
from ncps.layers import LTC
from ncps.wirings import AutoNCP

assert ncps.get_backend() == "numpy"
assert LTC(AutoNCP(8, 2))(np.ones((2, 3, 4), "float32")).shape == (2, 2)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
        (wheel,), (source,) = out.glob("*.whl"), out.glob("*.tar.gz")
        check_wheel(wheel)
        check_source(source)
        use(wheel, out)


def run(*command: object, **options: object) -> str:
    """Runs a command; what it prints."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def check_wheel(wheel: Path) -> None:
    """Its size, its metadata, and that it holds the library and nothing else."""
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        (described,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = content.read(described)
    metadata: Message = BytesParser().parsebytes(text)
    Metadata.from_email(text, validate=True)
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, {len(names)} files")
    assert wheel.stat().st_size < MOST_BYTES, "too large"
    assert {name.split("/")[0] for name in names} == {"ncps", described.split("/")[0]}
    assert "ncps/py.typed" in names
    assert not [name for name in names if name.endswith((".pyc", ".nbi", ".nbc"))]
    assert metadata["Version"] == version()
    assert f"version: {version()}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8"), "CITATION.cff"
    assert f"## [{version()}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), "CHANGELOG.md"


def version() -> str:
    """The one of the library."""
    return run(sys.executable, "-c", "import ncps; print(ncps.__version__)", cwd=ROOT).strip()


def check_source(source: Path) -> None:
    """All that the repository tracks in these folders is there, so that the tests and the documentation run from it."""
    with tarfile.open(source) as content:
        names = {name.split("/", 1)[1] for name in content.getnames() if "/" in name}
    print(f"{source.name}: {source.stat().st_size:,} bytes, {len(names)} files")
    tracked = run("git", "ls-files", "ncps", "tests", "docs", "examples", "benchmarks", cwd=ROOT).splitlines()
    missing = [name for name in tracked if name not in names]
    assert not missing, missing
    assert {"README.md", "LICENSE", "NOTICE", "pyproject.toml", "conftest.py", "CITATION.cff"} <= names


def use(wheel: Path, folder: Path) -> None:
    """Installs the wheel in a new environment, imports it, and runs what a user runs first."""
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, "-c", ROOT / "constraints.txt")
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NCPS", "KERAS"))}
    times = [tuple(map(float, run(python, "-c", IMPORT, cwd=folder, env=alone).split())) for _ in range(7)]
    numpy, ours = map(min, zip(*times, strict=True))
    print(f"import ncps: {numpy + ours:.3f} s, {numpy:.3f} of them NumPy's")
    assert ours < MOST_SECONDS, ours
    run(python, "-c", USE, cwd=folder, env=alone)
    table = run(python, "-m", "ncps", cwd=folder, env={**alone, "COLUMNS": "160"})
    print(table)
    assert 'pip install "ncps[torch]"' in table


if __name__ == "__main__":
    main()
