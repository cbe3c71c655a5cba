"""The limit: the time that a case's matrix products and sigmoids take alone, in large pieces, on the same machine.

Products count with their multiplications, and in a step of training also those of the gradients: of all weights, and of
what is multiplied with them, save for the network's own inputs, which need none. Of cells with synapses the sigmoids
count, once: one for each synapse in each solver step, whose result serves the backward pass as well. All else is free
here, and a sequence need not go step by step. Products and sigmoids are those of the framework's library: whoever has
faster ones, as our kernels have sigmoids, may do better than the limit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from benchmarks.comparing.cases import Case
from benchmarks.comparing.models import Run
from ncps.wirings import AutoNCP, FullyConnected, Wiring

ROWS = 4096, 16_384  # least and most rows of a product: enough to keep the cores busy, and few enough for their caches
MOST_SIGMOIDS = 20_000_000  # of a run
BLOCK = 2**17  # values of a sigmoid at once: they stay in the caches
BACKBONE = 128
HEADS = 3  # of the default mode: where all steps take the same time, time_a and time_b are one map
UNFOLDS = 6
RK4 = 4


Shape = tuple[int, int]  # rows and columns of a matrix that a vector is multiplied with


class Product(NamedTuple):
    """A matrix that a vector is multiplied with.

    Attributes:
        rows: of them all, one for each element of the vector.
        columns: elements of the result.
        data: how many of the rows are for inputs of the network.
    """

    rows: int
    columns: int
    data: int = 0

    @property
    def forward(self) -> list[Shape]:
        """The product itself."""
        return [(self.rows, self.columns)]

    @property
    def training(self) -> list[Shape]:
        """The product; as many multiplications for the weights' gradient; and the gradient of what is no data."""
        return 2 * self.forward + [(self.columns, self.rows - self.data)] * (self.rows > self.data)

    control = forward


class Work(NamedTuple):
    """What a sample takes in a step.

    Attributes:
        products: with what its vectors are multiplied.
        sigmoids: their number.
    """

    products: list[Product]
    sigmoids: int = 0

    def shapes(self, mode: str) -> list[Shape]:
        """All that is multiplied in a mode."""
        return [shape for product in self.products for shape in getattr(product, mode)]

    def operations(self, mode: str) -> int:
        """Floating-point operations of the products."""
        return 2 * sum(rows * columns for rows, columns in self.shapes(mode))


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


def of_inputs_and_states(case: Case, columns: int) -> Product:
    """A matrix for a step's inputs and for states."""
    return Product(case.features + case.units, columns, data=case.features)


def cfc(heads: int) -> Callable[[Case], Work]:
    """A backbone and heads, or for a wiring heads for each of its layers, as whole matrices."""

    def work(case: Case) -> Work:
        if not case.wiring:
            return Work([of_inputs_and_states(case, BACKBONE), Product(BACKBONE, heads * case.units)])
        sizes = [case.features, *(len(neurons) for neurons in wiring_of(case).layers)]
        first, *others = (Product(before + own, heads * own) for before, own in itertools.pairwise(sizes))
        return Work([first._replace(data=case.features), *others])

    return work


def gated(gates: int) -> Callable[[Case], Work]:
    """Gates of inputs and states."""
    return lambda case: Work([of_inputs_and_states(case, gates * case.units)])


def of_inputs(case: Case, columns: int) -> Product:
    """A matrix for a step's inputs alone."""
    return Product(case.features, columns, data=case.features)


def integrated(stages: int) -> Callable[[Case], Work]:
    """A product of inputs, and one of states in each stage of the solver."""
    return lambda case: Work([of_inputs(case, case.units), *[Product(case.units, case.units)] * stages])


def ctgru(case: Case) -> Work:
    n = case.units
    return Work([of_inputs(case, 3 * n), Product(n, 2 * n), Product(n, n)])


def linoss(case: Case) -> Work:
    n = case.units
    return Work([of_inputs(case, 2 * n), Product(2 * n, n), of_inputs(case, n)])


def mixed_memory(to: str) -> Callable[[Case], Work]:
    """A memory of gates, whose output takes the place of the inputs or of the state of a cell with synapses."""

    def work(case: Case) -> Work:
        inner = replace(case, features=case.units) if to == "input" else case
        return Work(gated(4)(case).products, synaptic(UNFOLDS)(inner).sigmoids)

    return work


WORK: dict[str, Callable[[Case], Work]] = {
    "LTC": synaptic(UNFOLDS),
    "STC": synaptic(1, gates=2),
    "LRC": synaptic(1, gates=3),
    "CfC": cfc(HEADS),
    "CfC-no_gate": cfc(HEADS),
    "CfC-pure": cfc(1),
    "CTRNN": integrated(UNFOLDS),
    "NeuralODE": integrated(RK4 * UNFOLDS),
    "CTGRU": ctgru,
    "MixedMemory": mixed_memory("input"),
    "MixedMemory-state": mixed_memory("state"),
    "LinOSS": linoss,
    "LSTM": gated(4),
    "GRU": gated(3),
}


def prepare(framework: str, case: Case, mode: str) -> tuple[Run, float]:
    """A run of the work of some of the rows, and by what its time is to be multiplied."""
    work, wanted = WORK[case.cell](case), 1 if mode == "control" else case.batch * case.steps
    rows = min(max(wanted, ROWS[0]), ROWS[1], MOST_SIGMOIDS // max(1, work.sigmoids))
    multiply, sigmoid = LIBRARIES[framework](rows, work.shapes(mode), work.sigmoids)

    def run() -> None:
        multiply()
        sigmoid()

    return run, wanted / rows


def blocks(number: int) -> list[slice]:
    """Pieces of an array that make up a number of values."""
    whole, rest = divmod(number, BLOCK)
    return [slice(BLOCK)] * whole + [slice(rest)] * bool(rest)


def with_torch(rows: int, shapes: Sequence[Shape], sigmoids: int) -> tuple[Run, Run]:
    import torch

    from benchmarks.comparing.frameworks.torch import DEVICE, wait

    def made(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=DEVICE)

    products = [(made(rows, m), made(m, n), made(rows, n)) for m, n in shapes]
    values, results = made(BLOCK), made(BLOCK)

    def multiply() -> None:
        for a, b, out in products:
            torch.matmul(a, b, out=out)
        wait()

    def sigmoid() -> None:
        for part in blocks(rows * sigmoids):
            torch.sigmoid(values[part], out=results[part])
        wait()

    return multiply, sigmoid


def with_numpy(rows: int, shapes: Sequence[Shape], sigmoids: int) -> tuple[Run, Run]:
    rng = np.random.default_rng(0)

    def made(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32)

    products = [(made(rows, m), made(m, n), made(rows, n)) for m, n in shapes]
    values, results = made(BLOCK), made(BLOCK)

    def multiply() -> None:
        for a, b, out in products:
            np.matmul(a, b, out=out)

    def sigmoid() -> None:
        for part in blocks(rows * sigmoids):
            np.exp(values[part], out=results[part])
            np.add(results[part], 1, out=results[part])
            np.divide(1, results[part], out=results[part])

    return multiply, sigmoid


LIBRARIES = {"torch": with_torch, "numpy": with_numpy}
