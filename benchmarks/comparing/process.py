"""A worker as its parent sees it."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from types import TracebackType
from typing import Any

from benchmarks.comparing.cases import Case
from benchmarks.comparing.memory import resident
from benchmarks.comparing.sides import ROOT, Side

COMMAND = [sys.executable, "-P", "-m", "benchmarks.comparing.worker"]  # -P: the path is what the environment says
LOOK = 0.2  # seconds between two looks at a worker that is busy
GRACE = 10  # seconds to end in


class Failed(Exception):  # noqa: N818 - what a side did, and a result too
    """A side could not be measured; the message says why.

    Args:
        reason: why.
        worker: whose process it was.
    """

    def __init__(self, reason: str, worker: Worker) -> None:
        super().__init__(reason)
        self.worker = worker


class Worker:
    """A process of a side, to be used in a `with` block.

    Args:
        side: the side.
        environment: of the process.
        patience: seconds that an answer may take.
        most_mb: memory that the process may have.
    """

    def __init__(self, side: Side, environment: dict[str, str], patience: float, most_mb: float) -> None:
        self.side, self.patience, self.most_mb = side, patience, most_mb
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - until __exit__
        self._process = subprocess.Popen(
            [*COMMAND, json.dumps(asdict(side))], env=environment, cwd=ROOT, text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()  # it may be in the middle of something long
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")  # it ended

    def prepare(self, case: Case, mode: str, way: str | None = None) -> dict[str, Any]:
        """Builds and compiles: `compile_s`, the `way` that was chosen or given, and the `factor` of its times."""
        return self.ask("prepare", case=asdict(case), mode=mode, way=way)

    def run(self, repeats: int, warm: bool = False) -> float:
        """The mean ms of some runs, perhaps after one that does not count."""
        return self.ask("run", repeats=repeats, warm=warm)["ms"]

    def memory(self, case: Case, mode: str, way: str) -> float:
        """The peak of memory of a run in MB."""
        return self.ask("memory", case=asdict(case), mode=mode, way=way)["peak_mb"]

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            Failed: there was an error, or no answer.
        """
        assert self._process.stdin is not None
        try:
            print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise Failed(f"ended: {self.last_words()}", self) from None
        line = self._answer()
        if not line:
            raise Failed(f"ended: {self.last_words()}", self)
        reply = json.loads(line)
        if "error" in reply:
            raise Failed(reply["error"], self)
        return reply

    def _answer(self) -> str:
        end = time.monotonic() + self.patience
        while True:
            try:
                return self._lines.get(timeout=LOOK)
            except queue.Empty:
                late = time.monotonic() > end
                if late or resident(self._process.pid) > self.most_mb:
                    self._process.kill()  # else it would go on beside the others
                    why = f"no answer within {self.patience:.0f} s" if late else f"over {self.most_mb / 1024:.0f} GB"
                    raise Failed(why, self) from None

    def last_words(self) -> str:
        """The last line of the process' errors."""
        self._process.wait(GRACE)
        self._errors.seek(0)
        return (self._errors.read().strip().splitlines() or [f"exit status {self._process.returncode}"])[-1]
