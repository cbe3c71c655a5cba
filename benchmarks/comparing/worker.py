"""The process of one side: reads requests as lines of JSON, answers in the same way.

    python -P -m benchmarks.comparing.worker '{"package": "ncps", "framework": "torch", "fast": true}'

Requests are ``{"do": "prepare" | "run" | "memory", ...}`` with the arguments of the methods of `Session`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import numpy as np

from benchmarks.comparing.cases import Case
from benchmarks.comparing.memory import Meter
from benchmarks.comparing.models import Model, Run, Ways
from benchmarks.comparing.sides import LIMIT, LSTM, OURS, THREADS, Side

TRIES, SHORT = 3, 0.03  # turns of each way when the fastest is looked for, and seconds that one lasts at least
ENOUGH = 5.0  # seconds after which no more turns begin


class Session:
    """What is prepared in this process, of one side."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.call: Run
        with contextlib.suppress(Exception):  # what is asked first fails in the same way
            self.load()

    def load(self) -> ModuleType:
        """The functions that run and train networks of the side, or the limit.

        A process imports its framework when it starts, while those of the other sides do so too.
        """
        name = "limit" if self.side.package == LIMIT else f"frameworks.{self.side.framework.replace('-', '_')}"
        return importlib.import_module(f"benchmarks.comparing.{name}")

    def prepare(self, case: dict[str, Any], mode: str, way: str | None = None) -> dict[str, Any]:
        """Builds and compiles; where a way to run is given, that one.

        Returns:
            `compile_s`, the time of the first call; `way`, the fastest way to run; and `factor`, by which times are to
            be multiplied, since the limit runs a part of the work only.
        """
        who, what, loaded = self.side, Case(**case), self.load()
        if who.package == LIMIT:
            self.call, factor = loaded.prepare(who.framework, what, mode)
            return {"compile_s": seconds(self.call), "way": who.framework, "factor": factor}
        there = ways(loaded, who, what, mode)
        way, self.call, compile_s = fastest(there if way is None else {way: there[way]})
        return {"compile_s": compile_s, "way": way, "factor": 1.0}

    def run(self, repeats: int, warm: bool) -> dict[str, float]:
        """The mean time of some runs, in ms, after one that does not count."""
        if warm:
            self.call()  # threads and caches of this process have been at rest
        start = time.perf_counter()
        for _ in range(repeats):
            self.call()
        return {"ms": 1e3 * (time.perf_counter() - start) / repeats}

    def memory(self, case: dict[str, Any], mode: str, way: str) -> dict[str, float]:
        """The peak of memory of one run in MB, above what the process had after a tiny network of the same kind."""
        who, what, framework = self.side, Case(**case), self.load()
        # They belong to the user, and are there before. TensorFlow lets go of the arrays at the next conversion.
        data = tensors(framework, who, what, mode)
        small = ways(framework, who, what.tiny, mode)[way]
        with all_loaded(who):
            for _ in range(2):
                small()
        meter = Meter(framework.release, framework.device_peak if on_gpu(who) else None)
        call = ways_to_run(framework, make(who, what), mode, data)[way]
        call()  # compiles
        return {"peak_mb": meter.above_start(call)}


def all_loaded(side: Side) -> contextlib.AbstractContextManager[None]:
    """Within it, a tiny network loads what a large one of the side needs."""
    if side.package != OURS or not side.framework.endswith("jax"):
        return contextlib.nullcontext()
    from benchmarks.comparing import ours

    return ours.kernels_on_jax()


def on_gpu(side: Side) -> bool:
    """Whether the tensors of a side are on an accelerator."""
    from benchmarks.comparing.frameworks import ON_GPU

    return ON_GPU and side.framework != "numpy"


def make(side: Side, case: Case) -> Model:
    """The network of a side."""
    if side.package == OURS:
        from benchmarks.comparing import ours

        model = ours.make(case)
    else:
        from benchmarks.comparing import peers

        model = peers.make(side, case)
    check_origin()
    return model


def check_origin() -> None:
    """Sees that `ncps` came from the folder that is first on the path: ours and the peer's have the same name.

    Raises:
        ImportError: it came from elsewhere.
    """
    module, folder = sys.modules.get("ncps"), os.environ["PYTHONPATH"].split(os.pathsep)[0]
    if module is not None and not Path(str(module.__file__)).resolve().is_relative_to(Path(folder).resolve()):
        raise ImportError(
            f"Expected ncps of {folder}. Received: {module.__file__}. Install it there anew, or leave out what imports "
            "ncps when Python starts."
        )


def ways(framework: ModuleType, side: Side, case: Case, mode: str) -> Ways:
    """The ways to run a case."""
    return ways_to_run(framework, make(side, case), mode, tensors(framework, side, case, mode))


def ways_to_run(framework: ModuleType, model: Model, mode: str, data: Sequence[Any]) -> Ways:
    """The ways to run a network; in control, each of them with each of the network's steps."""
    if mode != "control":
        return getattr(framework, mode)(model, *data)
    return {
        f"{way}, {name}": run
        for name, step in model.steps.items()
        for way, run in framework.control(model, step, *data).items()
    }


def tensors(framework: ModuleType, side: Side, case: Case, mode: str) -> list[Any]:
    """Inputs, and targets for training: the same for all, except that an LSTM has an output for each unit."""
    rng = np.random.default_rng(0)
    inputs = (1, case.features) if mode == "control" else (case.batch, case.steps, case.features)
    arrays = [rng.standard_normal(inputs, np.float32)]
    if mode == "training":
        outputs = case.units if side.package == LSTM else case.outputs
        arrays.append(rng.standard_normal((*inputs[:2], outputs), np.float32))
    return [framework.tensor(array) for array in arrays]


def fastest(candidates: Ways) -> tuple[str, Run, float]:
    """The fastest of the ways that work: its name, its run, and how long its first call took."""
    first, errors = {}, []
    for name, run in candidates.items():
        try:
            first[name] = seconds(run)
        except Exception as error:  # noqa: BLE001 - not every framework compiles everything
            errors.append(error)
    if not first:
        raise errors[0]
    times, end = dict.fromkeys(first, math.inf), time.perf_counter() + ENOUGH
    for turn in range(TRIES if len(first) > 1 else 0):  # in turns: the machine may be slow for a while
        if turn and time.perf_counter() > end:
            break
        for name in first:
            once = seconds(candidates[name])
            times[name] = min(times[name], once, *(seconds(candidates[name]) for _ in range(int(SHORT / once))))
    name = min(times, key=times.__getitem__)
    return name, candidates[name], first[name]


def seconds(run: Run) -> float:
    """How long a run takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def replies() -> TextIO:
    """Our standard output; what frameworks print goes to standard error from here on."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


def be_modest() -> None:
    """Keeps to as many cores as there shall be threads, and dies first where memory runs out.

    Not every library can be told the number of its threads.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[: int(os.environ.get(THREADS[0], len(cores)))])


def main() -> None:
    """Answers until there are no more requests."""
    be_modest()
    out = replies()
    session = Session(Side(**json.loads(sys.argv[1])))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(session, request.pop("do"))(**request)
        except Exception as error:  # noqa: BLE001 - the parent decides
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"}
        print(json.dumps(reply), file=out, flush=True)


if __name__ == "__main__":
    main()
