"""What `fit` shows: a bar on a terminal, lines for those who ask, else nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn, TimeElapsedColumn

from ncps.training.session import silent

Advance = Callable[[int, Callable[[], Mapping[str, float]] | None], None]
INTERVAL = 0.1  # seconds between two looks at the numbers, each of which waits for the device


class Progress:
    """Shows how far a run has come, its rate, and the loss and the metrics.

    Args:
        verbose: 0 shows nothing; 1 a bar, or lines where the output is no terminal; 2 a line for each epoch; ``"auto"``
            a bar on a terminal, else nothing.
        epochs: how many there will be.
        steps: of each, None if that will show.

    Raises:
        ValueError: `verbose` is something else.
    """

    def __init__(self, verbose: int | str, epochs: int, steps: int | None) -> None:
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(
                f"Expected verbose='auto', 0, 1 or 2. Received: verbose={verbose!r}. 0 is silent, 1 a bar, 2 a line "
                "an epoch."
            )
        self.console = Console(highlight=False)
        self.epochs, self.steps = epochs, steps
        self.lines = verbose == 2 or (verbose == 1 and not self.console.is_terminal)
        self.begin = self.looked = time.perf_counter()
        self.number = self.done = 0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[numbers]}"),
        )
        shown = verbose in ("auto", 1) and self.console.is_terminal
        self.bar = Bar(*columns, console=self.console) if shown else None
        self.task: Any = None

    def __enter__(self) -> Progress:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def epoch(self, number: int) -> Advance:
        """Begins an epoch; what to call after each of its steps."""
        self.number, self.begin = number, time.perf_counter()
        if self.bar is None:
            return silent
        title = f"Epoch {number + 1}/{self.epochs}" if self.epochs > 1 else "Batches"
        self.task = self.bar.add_task(title, total=self.steps, rate="", numbers="")
        return self.advance

    def advance(self, step: int, read: Callable[[], Mapping[str, float]] | None) -> None:
        """Shows a step, if it is time to look."""
        self.done, now = step + 1, time.perf_counter()
        if now - self.looked >= INTERVAL:
            self.looked = now
            self.show(text(read()) if read is not None else "")

    def show(self, numbers: str, **options: Any) -> None:
        """Updates the bar."""
        assert self.bar is not None
        rate = self.done / max(time.perf_counter() - self.begin, 1e-9)
        shown = f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
        self.bar.update(self.task, completed=self.done, rate=shown, numbers=numbers, **options)

    def end_of_epoch(self, logs: Mapping[str, float]) -> None:
        """Shows an epoch, or its line."""
        if self.bar is not None:
            self.show(text(logs), total=self.done)
        elif self.lines:
            seconds = time.perf_counter() - self.begin
            self.console.print(f"Epoch {self.number + 1}/{self.epochs} - {seconds:.1f} s - {text(logs)}", markup=False)


def text(logs: Mapping[str, float]) -> str:
    """``loss 0.123, accuracy 0.95``."""
    return ", ".join(f"{name} {value:.4g}" for name, value in logs.items())
