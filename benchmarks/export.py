"""What exported C code costs, in time and bytes: the 19 neurons that steer a car, beside ncps 1.0.1, and int8 weights.

Run with ``python -m benchmarks.export [--peers-dir DIR] [--speakers]``; the exit status is 1 if a step is not 50 times
faster than that of ncps 1.0.1 on torch, which must be measured, or int8 loses a point of accuracy. It needs ``cc``;
``arm-none-eabi-gcc`` tells the size for a Cortex-M4, where it is installed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

import ncps
from benchmarks.comparing.bench import Bench, Options, Question
from benchmarks.comparing.cases import Case
from benchmarks.comparing.sides import OURS, UPSTREAM, Side, packages
from ncps.demo import data
from ncps.demo.network import accuracy, make_network, predict, train
from ncps.export import CCode, to_c
from ncps.layers import LTC, CfC
from ncps.wirings import AutoNCP

NETWORKS = {"LTC": LTC, "CfC": CfC}
NEURONS, MOTORS = 19, 1
PEER = Side(UPSTREAM, "torch")
LEAST_RATIO = 50
MOST_LOST = 0.01  # accuracy
C = ("cc", "-std=c99", "-O2")
CORTEX_M4 = ("-std=c99", "-Os", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
TIMED = """
#include "{name}.h"
#include <stdio.h>
#include <time.h>

int main(void)
{{
    static float input[64][{inputs}], output[{outputs}];
    {name}_state state;
    clock_t start;
    for (int i = 0; i < 64; ++i)
        for (int j = 0; j < {inputs}; ++j)
            input[i][j] = (float)((i * 31 + j * 17) % 64) / 32.0f - 1.0f;
    {name}_reset(&state);
    start = clock();
    for (long i = 0; i < {steps}; ++i)
        {name}_step(&state, input[i % 64], 0.05f, output);
    printf("%.9g\\n", 1e6 * (double)(clock() - start) / CLOCKS_PER_SEC / {steps});
    return output[0] != output[0];
}}
"""
SPEAKERS = """
#include "{name}.h"
#include <stdio.h>

int main(void)
{{
    float length, input[{inputs}], output[{outputs}];
    {name}_state state;
    while (fread(&length, sizeof length, 1, stdin) == 1) {{
        {name}_reset(&state);
        for (int i = 0; i < (int)length && fread(input, sizeof input, 1, stdin) == 1; ++i)
            {name}_step(&state, input, 1.0f, output);
        fwrite(output, sizeof output, 1, stdout);
    }}
    return 0;
}}
"""


class Cost(NamedTuple):
    """What a network costs.

    Attributes:
        network: with its weights' type.
        code: what `to_c` says of it.
        microseconds: of a step in C.
        numpy: of a step of `layer.step` on NumPy.
        peer: of a step of ncps 1.0.1 on torch.
        arm: bytes of instructions and tables for a Cortex-M4; None without a compiler.
    """

    network: str
    code: CCode
    microseconds: float
    numpy: float | None
    peer: float | None
    arm: int | None


def main(arguments: list[str] | None = None) -> int:
    """Measures; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument("--peers-dir", type=Path, default=Path(".peers"), help="where ncps-1.0.1 is installed")
    parser.add_argument("--speakers", action="store_true", help="also trains the demo and compares accuracies")
    options = parser.parse_args(arguments)
    try:
        packages(PEER, options.peers_dir)
    except FileNotFoundError as error:
        parser.error(str(error))
    console = Console()
    found = list(costs(options.peers_dir))
    console.print(table(found))
    missed = list(filter(None, map(miss, found)))
    for text in missed:
        console.print(f"MISSED: {text}")
    kept = not missed
    if options.speakers:
        accuracies = speakers()
        for name, value in accuracies.items():
            console.print(f"Japanese Vowels, {name}: {value:.2%}")
        kept &= accuracies["C, int8"] > accuracies["NumPy"] - MOST_LOST
    return 0 if kept else 1


def miss(cost: Cost) -> str | None:
    """What a network misses; None where it is fast enough."""
    if cost.peer is None:
        return f"{cost.network} has nothing beside it, since ncps 1.0.1 could not be measured"
    if cost.peer < LEAST_RATIO * cost.microseconds:
        return f"{cost.network} is not {LEAST_RATIO} times faster than ncps 1.0.1"
    return None


def costs(peers: Path) -> Iterator[Cost]:
    """What the networks cost, with weights of both types."""
    for cell, layer in NETWORKS.items():
        case = Case(cell, "AutoNCP", NEURONS).of_mode("control")
        timed = Bench(Options(peers=peers, limit=False)).time(Question(case, "control", Side(OURS, "numpy"), PEER))
        theirs = {"numpy": timed.median_ms, "peer": timed.peer_median_ms}
        micro = {name: None if ms is None else 1e3 * ms for name, ms in theirs.items()}
        with ncps.backend_scope("numpy"):
            model = layer(AutoNCP(NEURONS, MOTORS), input_size=case.features)
        for weights in ("float32", "int8"):
            with tempfile.TemporaryDirectory() as folder:
                code = to_c(model, folder, name="network", weights=weights)
                yield Cost(
                    f"{case.network}, {weights}", code, microseconds(code, case.features), **micro, arm=arm(code)
                )


def microseconds(code: CCode, inputs: int, rounds: int = 7) -> float:
    """Time of a step in C: the median of some runs."""
    steps = 2_000_000 // (code.functions + code.products // 8 + 1)
    program = built(code, TIMED, inputs=inputs, outputs=MOTORS, steps=steps)
    runs = [subprocess.run([program], capture_output=True, check=True).stdout for _ in range(rounds)]
    return float(np.median([float(run) for run in runs]))


def built(code: CCode, main: str, **values: int) -> Path:
    """A program of exported code."""
    source = code.files[1]
    text = source.with_name("program.c")
    text.write_text(main.format(name=code.name, **values), encoding="ascii")
    program = source.with_name("program")
    subprocess.run([*C, "-o", program, text, source, "-lm"], check=True)
    return program


def arm(code: CCode) -> int | None:
    """Bytes of code for a Cortex-M4."""
    compiler = shutil.which("arm-none-eabi-gcc")
    if compiler is None:
        return None
    built = code.files[1].with_suffix(".o")
    subprocess.run([compiler, *CORTEX_M4, "-c", "-o", built, code.files[1]], check=True)
    size = subprocess.run(["arm-none-eabi-size", built], capture_output=True, text=True, check=True).stdout
    return int(size.splitlines()[1].split()[0])


def speakers() -> dict[str, float]:
    """Accuracies of the demo's network: on NumPy, and in C with weights of both types."""
    training, test = data.load()
    ncps.set_seed(0)
    network = make_network("cfc", 96, 24)
    train(network, training, 30, 0.01, 0)
    on_numpy = ncps.convert(network, "numpy")
    found = {"NumPy": accuracy(predict(on_numpy, test), test)}
    for weights in ("float32", "int8"):
        with tempfile.TemporaryDirectory() as folder:
            code = to_c(network, folder, name="speakers", weights=weights)
            found[f"C, {weights}"] = accuracy(logits(code, test), test)
    return found


def logits(code: CCode, series: Any) -> np.ndarray:
    """What the C code gives for series of many lengths."""
    program = built(code, SPEAKERS, inputs=data.FEATURES, outputs=data.SPEAKERS)
    content = b"".join(
        np.float32(mask.sum()).tobytes() + x[mask].tobytes() for x, mask in zip(series.x, series.mask, strict=True)
    )
    done = subprocess.run([program], input=content, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.float32).reshape(len(series.y), -1)


def table(found: list[Cost]) -> Table:
    """Costs as a table."""
    made = Table(title="One step of one stream", title_justify="left")
    for heading in (
        "network",
        "C µs",
        "NumPy µs",
        "ncps 1.0.1 torch µs",
        "ratio",
        "tables",
        "Cortex-M4",
        "RAM",
        "stack",
    ):
        made.add_column(heading, justify="left" if heading == "network" else "right")
    for each in found:
        others = ["–" if x is None else f"{x:.1f}" for x in (each.numpy, each.peer)]
        ratio = "–" if each.peer is None else f"{each.peer / each.microseconds:.0f}"
        size = "–" if each.arm is None else f"{each.arm:,}"
        bytes_ = (f"{x:,}" for x in (each.code.flash, each.code.ram, each.code.stack))
        tables, ram, stack = bytes_
        made.add_row(each.network, f"{each.microseconds:.2f}", *others, ratio, tables, size, ram, stack)
    return made


if __name__ == "__main__":
    raise SystemExit(main())
