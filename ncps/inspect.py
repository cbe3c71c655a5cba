"""Looking inside a layer: neurons, time constants and synapses over time, and where NaN begins.

Every function takes a layer that runs a cell over sequences (`RNN`, `LTC`, `CfC`, `LRC` ...), on any backend, and the
arguments of a call of it; it returns NumPy arrays. What the layer returns itself (`return_sequences`, `return_state`)
makes no difference, nothing is dropped out, and the layer stays as it is: a layer that was never called is built, a
stateful one starts from the state that it holds and keeps it.

Steps stand in the order of the layer's own outputs: with `go_backwards`, the first is the last of the sequence. Neurons
stand in the order of their ids, as in the layer's state. A single series (T, F) gives arrays without the batch axis.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ncps import ops, tree
from ncps.backend import training_mode
from ncps.layers.cell import Cell
from ncps.layers.layer import Layer
from ncps.layers.mixed_memory import MixedMemoryCell
from ncps.layers.rnn import RNN, Sequences, check_sequences
from ncps.layers.stacked import StackedRNNCells
from ncps.layers.time import on_host
from ncps.wirings import Wiring

__all__ = ["Activity", "NonFinite", "SynapseActivity", "activity", "first_nonfinite", "synapses", "time_constants"]

Tensor = Any
Tree = Any


@dataclass(frozen=True, eq=False)
class Activity:
    """What the neurons of a layer did.

    Args:
        states: the state after each step, (B, T, N), or arrays in the structure of the cell's `state_size`.
        outputs: the outputs (B, T, output_size).

    Example:
        >>> from ncps import inspect
        >>> seen = inspect.activity(CfC(4), np.ones((2, 5, 3), "float32"))
        >>> seen.states.shape
        (2, 5, 4)
    """

    states: Tree
    outputs: np.ndarray


@dataclass(frozen=True, eq=False)
class SynapseActivity:
    """What passed through the synapses of a layer, where each step begins.

    Args:
        source: ids (E,) of the neurons where the synapses begin.
        target: ids (E,) of the neurons where they end.
        openness: how open they are, (B, T, E), between 0 and 1.
        conductance: w times the openness, (B, T, E).
        current: the current into their targets (B, T, E), for an LTC, else None.
        sensory_source: ids (Es,) of the inputs where the sensory synapses begin.
        sensory_target: ids (Es,) of the neurons where they end.
        sensory_openness: (B, T, Es).
        sensory_conductance: (B, T, Es).
        sensory_current: (B, T, Es), for an LTC, else None.

    Example:
        >>> from ncps import inspect
        >>> flow = inspect.synapses(LTC(2), np.ones((1, 5, 3), "float32"))
        >>> flow.openness.shape, flow.sensory_current.shape  # 4 synapses, and 6 from the inputs
        ((1, 5, 4), (1, 5, 6))
    """

    source: np.ndarray
    target: np.ndarray
    openness: np.ndarray
    conductance: np.ndarray
    current: np.ndarray | None
    sensory_source: np.ndarray
    sensory_target: np.ndarray
    sensory_openness: np.ndarray
    sensory_conductance: np.ndarray
    sensory_current: np.ndarray | None


@dataclass(frozen=True)
class NonFinite:
    """The first number that is NaN or infinite, and where it comes from; `str` of it is a sentence.

    Args:
        where: ``"neuron"``, ``"output"``, or, where neurons and outputs all stay finite, ``"input"`` or ``"timespan"``.
        step: the step, in the order of the layer's outputs.
        input_step: the step of the sequence: another one only with `go_backwards`.
        sample: the sample; None for a single series.
        index: the id of the neuron, or the number of the output or input.
        value: NaN, infinity or -infinity.
        lasting: whether it is not finite at any later step either.
        neuron_type: ``"inter"``, ``"command"``, ``"motor"``, where the neuron belongs to a wiring.
        state: which of the tensors of a nested state it belongs to.
        causes: what of ``"inputs"``, ``"timespans"``, ``"initial state"`` and ``"weights NAME"`` was not finite already
            when the step began, and what it held.

    Example:
        >>> from ncps import inspect
        >>> series = np.ones((1, 5, 3), "float32")
        >>> series[0, 2, 1] = np.nan
        >>> found = inspect.first_nonfinite(CfC(4), series)
        >>> found.step, found.from_inputs
        (2, True)
    """

    where: str
    step: int
    input_step: int
    sample: int | None
    index: int
    value: float
    lasting: bool
    neuron_type: str | None
    state: int | None
    causes: dict[str, str]

    @property
    def neuron(self) -> int | None:
        """The id of the neuron, if it is one."""
        return self.index if self.where == "neuron" else None

    @property
    def from_inputs(self) -> bool:
        """Whether inputs or elapsed time of this very step were not finite."""
        return "inputs" in self.causes or "timespans" in self.causes

    def __str__(self) -> str:
        sample = "" if self.sample is None else f" of sample {self.sample}"
        if self.where in ("input", "timespan"):
            name = f"input {self.index}" if self.where == "input" else "the timespan"
            return f"{name}{sample} is {self.value} at step {self.input_step} (all neurons and outputs stay finite)"
        state = "" if self.state is None else f" of state {self.state}"
        kind = "" if self.neuron_type is None else f" ({self.neuron_type})"
        when = f"from step {self.step} on" if self.lasting else f"at step {self.step}"
        return f"{self.where} {self.index}{kind}{state}{sample} is {self.value} {when} ({self.explanation()})"

    def explanation(self) -> str:
        """What was not finite when the step began."""
        if not self.causes:
            return "inputs, timespans, initial state and weights are finite: the numbers grew too large"
        parts = (
            f"the {name} of step {self.input_step} hold {held}"
            if name in ("inputs", "timespans")
            else f"the {name} {'hold' if name.startswith('weights') else 'holds'} {held}"
            for name, held in self.causes.items()
        )
        return ", ".join(parts)


def activity(
    layer: RNN,
    sequences: Tensor,
    *,
    initial_state: Tree = None,
    mask: Any = None,
    timespans: Any = None,
    resets: Any = None,
) -> Activity:
    """The state of every neuron after each step, and the outputs.

    Args:
        layer: the layer.
        sequences: (B, T, F), or (T, F) for a single series; this and what follows as in a call of the layer.
        initial_state: in the structure of the cell's `state_size`; zeros by default.
        mask: (B, T) or (T,), true where a step counts; a masked step repeats the state before it.
        timespans: elapsed times, a number, (T,), (B, T) or (B, T, 1); 1.0 by default.
        resets: (B, T) or (T,), true where a sample starts afresh before a step.

    Returns:
        States (B, T, N), or a tree of them, and outputs (B, T, output_size).

    Raises:
        TypeError: `layer` does not run a cell over sequences.
        ValueError: a shape does not fit, or an elapsed time is negative.

    Example:
        >>> from ncps import inspect
        >>> from ncps.wirings import AutoNCP
        >>> layer = LTC(AutoNCP(8, 2))
        >>> seen = inspect.activity(layer, np.ones((5, 7, 3), "float32"), timespans=0.1)
        >>> seen.states.shape, seen.outputs.shape
        ((5, 7, 8), (5, 7, 2))
    """
    with prepared(layer, sequences, initial_state, mask, timespans, resets) as run:
        states, outputs = observed(layer, run)
        return Activity(tree.map(lambda x: batch_first(x, run.batched), states), batch_first(outputs, run.batched))


def time_constants(
    layer: RNN,
    sequences: Tensor,
    *,
    initial_state: Tree = None,
    mask: Any = None,
    timespans: Any = None,
    resets: Any = None,
) -> np.ndarray:
    r"""The effective time constants of the neurons, where each step begins.

    A liquid neuron's time constant depends on its inputs and on the other neurons:

    ========== ================================== ===========================================================
    layer      time constant                      meaning
    ========== ================================== ===========================================================
    LTC        c / (g + Σ w openness)             in [τ / (1 + τ W), τ], with τ = c / g, W = Σ w / c (theorem 1)
    STC        1 / σ(f)                           at least 1
    LRC        1 / (ε(z) σ(f))                    the elastance ε makes the capacitance liquid as well
    CTRNN      τ                                  depends on nothing
    CfC        1 / \|a\|, or 1 / (\|w\| + \|f\|)  the gate σ(a t + b) moves by 1 before its sigmoid; mode pure
    ========== ================================== ===========================================================

    In an `ODECell` of your own that defines `rates`, it is c / d.

    Args:
        layer: the layer.
        sequences: see `activity`, as for the arguments that follow.
        initial_state: see there.
        mask: see there.
        timespans: see there.
        resets: see there.

    Returns:
        (B, T, N), in the unit of the timespans; NaN at masked steps, infinity where nothing decays.

    Raises:
        TypeError: `layer` does not run a cell over sequences, or the cell's neurons have no time constants.
        ValueError: a shape does not fit, or an elapsed time is negative.

    Source: Hasani et al., AAAI 2021 (arXiv 2006.04439), theorem 1; Farsang, Neubauer, Grosu 2024 (arXiv 2403.08791).

    Example:
        >>> from ncps import inspect
        >>> layer = CTRNN(2, tau=[0.5, 4.0])
        >>> inspect.time_constants(layer, np.ones((3, 1), "float32"))
        array([[0.5, 4. ],
               [0.5, 4. ],
               [0.5, 4. ]], dtype=float32)
    """

    def record(before: Tree, after: Tree, drive: Tree, timespan: Tensor, constants: Tree) -> Tensor:
        return layer.cell.effective_time_constants(before, drive, timespan, constants)

    with prepared(layer, sequences, initial_state, mask, timespans, resets) as run:
        constants, *_ = layer.loop(with_time_of_each_step(run), record)
        return batch_first(where_counted(to_array(constants), run), run.batched)


def synapses(
    layer: RNN,
    sequences: Tensor,
    *,
    initial_state: Tree = None,
    mask: Any = None,
    timespans: Any = None,
    resets: Any = None,
) -> SynapseActivity:
    r"""How open the synapses are, and what passes through them, where each step begins.

    For the synapse from j to i, with the potentials $v$ of neurons (or mapped inputs) before the step,

    $$a_{ji} = \sigma(\sigma_{ji} (v_j - \mu_{ji})), \qquad s_{ji} = w_{ji}\, a_{ji}, \qquad
      I_{ji} = s_{ji} (E_{ji} - v_i)$$

    are its openness, its conductance and, in an LTC, the current into i. They stand in the order of `wiring.synapses`
    and `wiring.sensory_synapses`: sorted by target, then source.

    Args:
        layer: an `LTC`, `LRC` or `STC`, or an `RNN` of such a cell.
        sequences: see `activity`, as for the arguments that follow.
        initial_state: see there.
        mask: see there.
        timespans: see there.
        resets: see there.

    Returns:
        Arrays (B, T, E) of the synapses among neurons and (B, T, Es) of those from inputs; NaN at masked steps.

    Raises:
        TypeError: `layer` does not run a cell over sequences, or the cell has no such synapses.
        ValueError: a shape does not fit, or an elapsed time is negative.

    Source: Lechner et al., Nature Machine Intelligence 2020, eq. 3; Farsang, Neubauer, Grosu 2024 (arXiv 2403.08791).

    Example:
        >>> from ncps import inspect
        >>> from ncps.wirings import AutoNCP
        >>> seen = inspect.synapses(LTC(AutoNCP(8, 2, seed=1)), np.ones((5, 7, 3), "float32"))
        >>> seen.conductance.shape, seen.sensory_conductance.shape
        ((5, 7, 9), (5, 7, 7))
        >>> seen.source[:3], seen.target[:3]
        (array([2, 2, 3], dtype=int32), array([0, 1, 1], dtype=int32))
    """

    def record(before: Tree, after: Tree, drive: Tree, timespan: Tensor, constants: Tree) -> Tree:
        return cell.unpack_state(before)

    with prepared(layer, sequences, initial_state, mask, timespans, resets) as run:
        cell = layer.cell
        before, *_ = layer.loop(run, record)
        inputs = one_batch(run.inputs)
        flows = cell.synapse_flows(cell.pack_state(tree.map(one_batch, before), inputs), inputs)
        inner, sensory = ({name: of_steps(x, run) for name, x in flow.items()} for flow in flows)
        ends, sensory_ends = cell.wiring.synapses, cell.wiring.sensory_synapses  # type: ignore[attr-defined]
        return SynapseActivity(
            ends.source,
            ends.target,
            inner["openness"],
            inner["conductance"],
            inner.get("current"),
            sensory_ends.source,
            sensory_ends.target,
            sensory["openness"],
            sensory["conductance"],
            sensory.get("current"),
        )


def first_nonfinite(
    layer: RNN,
    sequences: Tensor,
    *,
    initial_state: Tree = None,
    mask: Any = None,
    timespans: Any = None,
    resets: Any = None,
) -> NonFinite | None:
    """The first neuron that becomes NaN or infinite, and whether inputs, times, initial state or weights were before.

    Layers let NaN and infinity pass, as frameworks do: they neither raise nor replace them. What stands in the inputs
    of masked steps does not count.

    Args:
        layer: the layer.
        sequences: see `activity`, as for the arguments that follow.
        initial_state: see there.
        mask: see there.
        timespans: see there; here, NaN and infinity are not refused but reported.
        resets: see there.

    Returns:
        The earliest step, of it the first sample, of it the first neuron (or output, if no neuron is concerned); where
        neurons and outputs stay finite, the first input or elapsed time that is not; None if all is finite.

    Raises:
        TypeError: `layer` does not run a cell over sequences.
        ValueError: a shape does not fit, or an elapsed time is negative.

    Example:
        >>> from ncps import inspect
        >>> series = np.ones((2, 9, 3), "float32")
        >>> series[1, 4, 2] = np.nan
        >>> print(inspect.first_nonfinite(CfC(8), series))
        neuron 0 of sample 1 is nan from step 4 on (the inputs of step 4 hold nan)
    """
    finite_times = timespans
    if timespans is not None and on_host(timespans):
        finite_times = np.nan_to_num(timespans, posinf=0, neginf=0)
    with prepared(layer, sequences, initial_state, mask, timespans, resets, finite_times) as run:
        states, outputs = observed(layer, run)
        states = tree.flatten(states)[0]
        weights = {weight.path: weight.owner.read_weight(weight.name) for weight in layer.walk()}
        inputs, times, first = (tree.map(to_array, x) for x in (run.inputs, run.times, run.state))
    times = np.broadcast_to(times, (*inputs.shape[:2], 1))
    found = earliest([*(("neuron", i, x) for i, x in enumerate(states)), ("output", None, outputs)])
    found = found or earliest([("input", None, inputs), ("timespan", None, times)])
    if found is None:
        return None
    (step, sample, index), where, which, values = found
    ingoing = {"inputs": inputs[step, sample], "timespans": times[step, sample]}
    if step == 0:
        ingoing["initial state"] = np.concatenate([x[sample] for x in tree.flatten(first)[0]])
    ingoing |= {f"weights {path}": value for path, value in weights.items()}
    wiring = wirings_of(layer.cell)[which] if which is not None else None
    return NonFinite(
        where=where,
        step=step,
        input_step=len(values) - 1 - step if layer.go_backwards else step,
        sample=sample if run.batched else None,
        index=index,
        value=float(values[step, sample, index]),
        lasting=not np.isfinite(values[step:, sample, index]).any(),
        neuron_type=None if wiring is None else wiring.get_type_of_neuron(index),
        state=which if len(states) > 1 else None,
        causes={name: kinds(value) for name, value in ingoing.items() if not np.isfinite(value).all()},
    )


# ---- running


@contextlib.contextmanager
def prepared(
    layer: RNN,
    sequences: Tensor,
    initial_state: Tree,
    mask: Any,
    timespans: Any,
    resets: Any,
    checked_timespans: Any = None,
) -> Iterator[Sequences]:
    """The arguments of a call as the layer's loop takes them; in the block, its backend is active and no dropout.

    Raises:
        TypeError: `layer` does not run a cell over sequences.
        ValueError: an argument does not fit.
    """
    check_layer(layer)
    checked_timespans = timespans if checked_timespans is None else checked_timespans
    layer.check_arguments(sequences, mask=mask, timespans=checked_timespans)
    with (
        layer.scope(),
        contextlib.nullcontext() if layer.built else layer.whole_or_not_at_all(),
        training_mode(False),
        np.errstate(all="ignore"),  # what is not finite is looked for on purpose
    ):
        inputs = ops.convert_to_tensor(sequences)
        check_sequences(layer, inputs)
        if not layer.built:
            layer.build_before_call(inputs)
        yield layer.arranged(layer.convert_input(inputs), initial_state, mask, timespans, resets)


def check_layer(layer: Any) -> None:
    """Raises unless `layer` runs a cell over sequences.

    Raises:
        TypeError: it does not.
    """
    if isinstance(layer, RNN):
        return
    received = type(layer).__qualname__
    way_out = "Inspect one of the layers within it."
    if isinstance(layer, Cell):
        way_out = f"Inspect ncps.layers.RNN({received}(...))."
    elif isinstance(getattr(layer, "layer", None), RNN):
        both = " and its backward_layer" if hasattr(layer, "backward_layer") else ""
        way_out = f"Inspect its attribute layer{both}."
    elif not isinstance(layer, Layer):
        way_out = "Inspect a layer of ncps.layers."
    raise TypeError(
        f"Expected a layer that runs one cell over sequences: ncps.layers.RNN, LTC, CfC ... Received: {received}. "
        f"{way_out}"
    )


def observed(layer: RNN, run: Sequences) -> tuple[Tree, np.ndarray]:
    """States, a tree, and outputs of all steps, time first."""
    cell = layer.cell

    def record(before: Tree, after: Tree, drive: Tree, timespan: Tensor, constants: Tree) -> Tree:
        return cell.neurons_of(after), cell.emit(after)

    (states, emitted), _, constants = layer.loop(run, record)
    outputs = cell.readout(emitted, constants)
    if run.valid is not None and layer.zero_output_for_mask:
        outputs = ops.where(run.valid, outputs, ops.zeros_like(outputs))
    return tree.map(to_array, states), to_array(outputs)


def with_time_of_each_step(run: Sequences) -> Sequences:
    """Elapsed times (T, 1, 1) in place of a scalar, which cells fold into their weights."""
    if len(run.times.shape) > 0:
        return run
    return run._replace(times=ops.broadcast_to(run.times, (run.inputs.shape[0], 1, 1)))


# ---- arrays


def to_array(x: Tensor) -> np.ndarray:
    """A tensor as an array, of float32 where NumPy hardly computes with its type."""
    array = np.asarray(ops.convert_to_numpy(x))
    return np.array(array, np.float64 if array.dtype == np.float64 else np.float32)


def batch_first(x: np.ndarray, batched: bool) -> np.ndarray:
    """(T, B, ...) as (B, T, ...), or (T, ...) for a single series."""
    return np.ascontiguousarray(np.swapaxes(x, 0, 1)) if batched else x[:, 0]


def where_counted(x: np.ndarray, run: Sequences) -> np.ndarray:
    """(T, B, ...) with NaN at masked steps."""
    return x if run.valid is None else np.where(np.asarray(ops.convert_to_numpy(run.valid)), x, np.float32(np.nan))


def one_batch(x: Tensor) -> Tensor:
    """(T, B, ...) as (T B, ...)."""
    return ops.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def of_steps(x: Tensor, run: Sequences) -> np.ndarray:
    """(E, T B) as (B, T, E), or (T, E) for a single series."""
    array = to_array(x)
    array = array.T.reshape(*run.inputs.shape[:2], len(array))
    return batch_first(where_counted(array, run), run.batched)


# ---- what is not finite


class Found(NamedTuple):
    """A number that is not finite, in an array (T, B, K)."""

    place: tuple[int, ...]
    where: str
    state: int | None
    values: np.ndarray


def earliest(candidates: list[tuple[str, int | None, np.ndarray]]) -> Found | None:
    """The number that is not finite of the earliest step, of it of the first array, sample and element."""
    found = [
        Found(tuple(np.argwhere(~np.isfinite(values))[0].tolist()), where, state, values)
        for where, state, values in candidates
        if not np.isfinite(values).all()
    ]
    return min(found, key=lambda one: one.place[0], default=None)


def kinds(x: np.ndarray) -> str:
    """What an array holds of NaN and infinity."""
    held = {"nan": np.isnan(x), "inf": np.isposinf(x), "-inf": np.isneginf(x)}
    return " and ".join(name for name, where in held.items() if where.any())


def wirings_of(cell: Cell) -> list[Wiring | None]:
    """For every tensor of the state, the wiring of its neurons; None where they have none."""
    if isinstance(cell, StackedRNNCells):
        return [wiring for inner in cell.cells for wiring in wirings_of(inner)]
    if isinstance(cell, MixedMemoryCell):
        return [None, *wirings_of(cell.cell)]
    wiring = getattr(cell, "wiring", None)
    return [wiring if isinstance(wiring, Wiring) else None] * len(tree.flatten(cell.state_size)[0])
