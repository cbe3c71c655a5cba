"""The limit: the time that a case's matrix products and sigmoids take alone, in large pieces, on the same machine.

Products count with their multiplications, three times for a step of training (forward, and backward for inputs and for
weights). Of cells with synapses the sigmoids count, once: one for each synapse in each solver step, whose result serves
the backward pass as well. All else is free here, and a sequence need not go step by step, so nothing should be faster.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.comparing.cases import Case
from benchmarks.comparing.models import Run
from ncps.wirings import AutoNCP, FullyConnected, Wiring

ROWS = 4096, 16_384  # least and most rows of a product: enough to keep the cores busy, and few enough for their caches
MOST_SIGMOIDS = 20_000_000  # of a run
BLOCK = 2**17  # values of a sigmoid at once: they stay in the caches
BACKBONE = 128
UNFOLDS = 6
RK4 = 4


class Work(NamedTuple):
    """What a sample takes in a step.

    Attributes:
        products: (rows, columns) of the matrices that its vectors are multiplied with.
        sigmoids: their number.
    """

    products: list[tuple[int, int]]
    sigmoids: int = 0

    @property
    def operations(self) -> int:
        """Floating-point operations of the products."""
        return 2 * sum(rows * columns for rows, columns in self.products)


def wiring_of(case: Case) -> Wiring:
    """The wiring of a case, built."""
    wiring = AutoNCP(case.units, case.outputs) if case.wiring else FullyConnected(case.units)
    wiring.build(case.features)
    return wiring


def synapses_of(case: Case) -> int:
    """Synapses between neurons and from inputs, each as often as it is computed in a solver step."""
    wiring = wiring_of(case)
    return wiring.synapse_count + wiring.sensory_synapse_count


def synaptic(unfolds: int, gates: int = 0) -> Callable[[Case], Work]:
    """Cells with a sigmoid for each synapse and solver step, and some for each neuron."""

    def work(case: Case) -> Work:
        wiring = wiring_of(case)
        return Work([], wiring.sensory_synapse_count + unfolds * (wiring.synapse_count + gates * case.units))

    return work


def cfc(heads: int) -> Callable[[Case], Work]:
    """A backbone and heads, or for a wiring heads for each of its layers."""

    def work(case: Case) -> Work:
        if not case.wiring:
            return Work([(case.features + case.units, BACKBONE), (BACKBONE, heads * case.units)])
        sizes = [case.features, *(len(neurons) for neurons in wiring_of(case).layers)]
        return Work([(before + own, heads * own) for before, own in itertools.pairwise(sizes)])

    return work


def gated(gates: int) -> Callable[[Case], Work]:
    """Gates of inputs and states."""
    return lambda case: Work([(case.features + case.units, gates * case.units)])


def integrated(stages: int) -> Callable[[Case], Work]:
    """A product of inputs, and one of states in each stage of the solver."""
    return lambda case: Work([(case.features, case.units), *[(case.units, case.units)] * stages])


def ctgru(case: Case) -> Work:
    return Work([(case.features, 3 * case.units), (case.units, 2 * case.units), (case.units, case.units)])


def linoss(case: Case) -> Work:
    return Work([(case.features, 2 * case.units), (2 * case.units, case.units), (case.features, case.units)])


def mixed_memory(case: Case) -> Work:
    return Work(gated(4)(case).products, synaptic(UNFOLDS)(case).sigmoids)


WORK: dict[str, Callable[[Case], Work]] = {
    "LTC": synaptic(UNFOLDS),
    "STC": synaptic(1, gates=2),
    "LRC": synaptic(1, gates=3),
    "CfC": cfc(4),
    "CfC-no_gate": cfc(4),
    "CfC-pure": cfc(1),
    "CTRNN": integrated(UNFOLDS),
    "NeuralODE": integrated(RK4 * UNFOLDS),
    "CTGRU": ctgru,
    "MixedMemory": mixed_memory,
    "LinOSS": linoss,
    "LSTM": gated(4),
    "GRU": gated(3),
}
PASSES = {"forward": 1, "training": 3, "control": 1}  # of the products


def prepare(framework: str, case: Case, mode: str) -> tuple[Run, float]:
    """A run of the work of some of the rows, and by what its time is to be multiplied."""
    work, wanted = WORK[case.cell](case), 1 if mode == "control" else case.batch * case.steps
    rows = min(max(wanted, ROWS[0]), ROWS[1], MOST_SIGMOIDS // max(1, work.sigmoids))
    multiply, sigmoid = LIBRARIES[framework](rows, work)

    def run() -> None:
        for _ in range(PASSES[mode]):
            multiply()
        sigmoid()

    return run, wanted / rows


def blocks(number: int) -> list[slice]:
    """Pieces of an array that make up a number of values."""
    whole, rest = divmod(number, BLOCK)
    return [slice(BLOCK)] * whole + [slice(rest)] * bool(rest)


def with_torch(rows: int, work: Work) -> tuple[Run, Run]:
    import torch

    from benchmarks.comparing.frameworks.torch import DEVICE, wait

    def made(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=DEVICE)

    products = [(made(rows, m), made(m, n), made(rows, n)) for m, n in work.products]
    values, results = made(BLOCK), made(BLOCK)

    def multiply() -> None:
        for a, b, out in products:
            torch.matmul(a, b, out=out)
        wait()

    def sigmoid() -> None:
        for part in blocks(rows * work.sigmoids):
            torch.sigmoid(values[part], out=results[part])
        wait()

    return multiply, sigmoid


def with_numpy(rows: int, work: Work) -> tuple[Run, Run]:
    rng = np.random.default_rng(0)

    def made(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32)

    products = [(made(rows, m), made(m, n), made(rows, n)) for m, n in work.products]
    values, results = made(BLOCK), made(BLOCK)

    def multiply() -> None:
        for a, b, out in products:
            np.matmul(a, b, out=out)

    def sigmoid() -> None:
        for part in blocks(rows * work.sigmoids):
            np.exp(values[part], out=results[part])
            np.add(results[part], 1, out=results[part])
            np.divide(1, results[part], out=results[part])

    return multiply, sigmoid


LIBRARIES = {"torch": with_torch, "numpy": with_numpy}
