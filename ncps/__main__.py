"""``python -m ncps``: which backends there are, which works, and which would be chosen.

``python -m ncps export`` writes a saved model for other places, see `ncps.export.command`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ncps import __version__
from ncps.backend import BUILTIN, NCPSBackend
from ncps.export import command

TIMEOUT = 180  # seconds; the first import of a large framework from a cold disk takes long
MARK = "ncps>"  # begins the line of a probe's output that is ours: frameworks print as well
ACTIVE = "active"


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line asks for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ncps", description="Without a command: shows the backends.")
    command.add_to(parser.add_subparsers(title="commands"))
    options = parser.parse_args(arguments)
    return options.run(options) if "run" in options else show_backends()


def show_backends() -> int:
    """Prints the table; the exit status, 1 if no backend can be chosen."""
    names = NCPSBackend.known_backends()
    questions = (*(name for name in names if is_installed(name)), ACTIVE)
    with ThreadPoolExecutor() as pool:
        found = dict(zip(questions, pool.map(ask, questions), strict=True))
    console = Console()
    console.print(table(names, found))
    active = found[ACTIVE]
    if "error" in active:
        console.print(f"No backend is active: {active['error']}", style="red", markup=False, highlight=False)
        return 1
    return 0


def is_installed(backend: str) -> bool:
    """Whether the framework of a backend can be found; nothing is imported."""
    return backend not in BUILTIN or importlib.util.find_spec(BUILTIN[backend].package) is not None


def ask(question: str) -> dict[str, str]:
    """What a fresh process says of a backend: a broken framework may end it in any way, and two may not get along.

    Args:
        question: name of a backend, or ``"active"``.

    Returns:
        What `probe` found, or the reason of its failure as ``"error"``.
    """
    command = [sys.executable, "-c", "import sys, ncps.__main__; ncps.__main__.probe(sys.argv[1])", question]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, and a name that is an argument
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {TIMEOUT} s"}
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line.removeprefix(MARK))
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return {"error": f"Python ended with status {done.returncode}. {last}".strip()}


def probe(question: str) -> None:
    """Prints, in a process of its own, what `ask` wants to know."""
    try:
        if question == ACTIVE:
            answer = {"backend": NCPSBackend.get_backend()}
        else:
            device = NCPSBackend.ops_of(question)["device"](None)
            answer = {"version": version(question), "device": str(device)}
    except Exception as error:  # noqa: BLE001 - a broken framework raises anything
        answer = {"error": reason(error)}
    print(f"\n{MARK}{json.dumps(answer)}")


def reason(error: Exception) -> str:
    """What an error says; of one about a failed import, its cause, as the table tells the rest."""
    cause = error.__cause__ if isinstance(error, ImportError) and error.__cause__ is not None else None
    return f"{type(cause).__name__}: {cause}" if cause is not None else str(error)


def version(backend: str) -> str:
    """Version of a framework; for keras also what it runs on."""
    package = BUILTIN[backend].package if backend in BUILTIN else ""
    for distribution in (package, *importlib.metadata.packages_distributions().get(package, ())):
        try:
            number = importlib.metadata.version(distribution)
        except (importlib.metadata.PackageNotFoundError, ValueError):
            continue
        return f"{number} on {sys.modules['keras'].backend.backend()}" if backend == "keras" else number
    return ""


def table(names: tuple[str, ...], found: Mapping[str, Mapping[str, str]]) -> Table:
    """All backends, and how to install what is missing.

    Args:
        names: of all backends.
        found: what `ask` says of those that are installed, and of the active one.
    """
    made = Table(title=f"Backends of ncps {__version__}", title_justify="left", title_style="bold")
    for heading in ("backend", "installed", "version", "device", "active", "note"):
        made.add_column(heading, overflow="fold", no_wrap=heading == "backend")
    for name in names:
        answer, note = found.get(name), ""
        if answer is None:
            installed, note = "[yellow]no[/]", escape(install(name))
        elif "error" in answer:
            installed, note = "[red]broken[/]", escape(f"{answer['error']} Try: {install(name)}")
        else:
            installed = "[green]yes[/]"
        answer = answer or {}
        active = "[bold green]yes[/]" if found[ACTIVE].get("backend") == name else ""
        made.add_row(name, installed, answer.get("version", ""), answer.get("device", ""), active, note)
    return made


def install(backend: str) -> str:
    """The line that installs a backend."""
    if backend not in BUILTIN:
        return f"install the package that provides {backend!r} again"
    extra = BUILTIN[backend].extra
    return f'pip install "ncps[{extra}]"' if extra else "pip install ncps"


if __name__ == "__main__":
    raise SystemExit(main())
