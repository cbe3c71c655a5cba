"""The kernels behind the ops for whole sequences: their arguments are those of the ops, as lists of NumPy arrays.

What the ops take as a tree, time first, the kernels take as arrays, batch first, and empty ones for None. Views of what
users gave come back into their order, so that nothing is copied.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from ncps.backends.kernels.streams import ByValue
from ncps.ops.sequences.cfc import CfCLayer, cfc_functions, unmasked
from ncps.ops.sequences.ltc import LTCWeights, Synapses, ltc_functions

Array = Any
Arrays = list[Array]
Tree = Any

ACTIVATIONS = ("linear", None, "relu", "tanh", "lecun_tanh", "sigmoid", "silu", "gelu")  # those of the CfC kernels
NO_FLAGS = np.zeros((0, 0), bool)


def wanted() -> bool:
    """Whether numba is installed, and not forbidden by ``NCPS_FAST=0``."""
    return os.environ.get("NCPS_FAST", "1") != "0" and importlib.util.find_spec("numba") is not None


@functools.cache
def kernel(name: str) -> Any:
    """A module of kernels; numba, which takes a second to import, is imported with the first.

    Raises:
        ImportError: numba does not work here.
    """
    try:
        return importlib.import_module(f"ncps.backends.kernels.{name}")
    except ImportError as error:
        raise ImportError(
            f"Expected a numba that fits the other packages. Received: {str(error).rstrip('.')}. Install another one, "
            "or set NCPS_FAST=0 in the environment, with which networks run without kernels."
        ) from error


@functools.cache
def threads() -> int:
    """As many as numba is told, by NUMBA_NUM_THREADS; torch has a number of its own."""
    from numba import config

    return int(config.NUMBA_NUM_THREADS)


def plain(x: Array) -> Array:
    """`x` in the layout that the kernels are compiled for; for another one they would be compiled once more."""
    return x if x.flags.carray else np.array(x, order="C")


def batch_first(x: Array) -> Array:
    """(T, B, ...) as (B, T, ...)."""
    return plain(x.swapaxes(0, 1))


def elapsed(times: Array) -> Array:
    """A scalar, (T, 1, 1) or (T, B, 1) as (1, 1), (1, T) or (B, T)."""
    return times.reshape(1, 1) if times.ndim == 0 else plain(times[..., 0].T)


def like_elapsed(d_times: Array, times: Array) -> Array:
    """Gradients (1, 1), (1, T) or (B, T) in the shape of the times that users gave."""
    return d_times.reshape(()) if times.ndim == 0 else plain(d_times.T[..., None])


def check_shapes(inputs: Array, states: Iterable[tuple[Array, int]], times: Array, *marks: Array | None) -> None:
    """Raises if an argument has not the shape that ops ask for: kernels would read and write what is not theirs.

    Args:
        inputs: (T, B, F).
        states: each with its number of units.
        times: elapsed times.
        marks: which steps count, and before which samples start from zeros.

    Raises:
        ValueError: one of them has another shape.
    """
    steps, batch, _ = inputs.shape
    each = steps, batch, 1
    check_shape("times", times, inputs, (), (steps, 1, 1), each)
    for x, units in states:
        check_shape("initial", x, inputs, (batch, units))
    for x in marks:
        if x is not None:
            check_shape("valid and resets", x, inputs, each)


def check_shape(name: str, x: Array, inputs: Array, *shapes: tuple[int, ...]) -> None:
    """Raises if an argument beside these inputs has none of the shapes."""
    if x.shape not in shapes:
        raise ValueError(
            f"Expected {name} of shape {' or '.join(map(str, shapes))} with inputs of shape {inputs.shape}. "
            f"Received: {x.shape}. Broadcast it to that shape."
        )


def flags(x: Array | None) -> Array:
    """(T, B, 1), or None, as (B, T) or (0, 0)."""
    return NO_FLAGS if x is None else plain(x[..., 0].T)


def present(each: list[Any], tensors: list[Any]) -> list[Any]:
    """What there is for each tensor; None for those that are None."""
    return [None if tensor is None else one for one, tensor in zip(each, tensors, strict=True)]


def large(room: Arrays | None, results: int, keep: bool) -> tuple[Array | None, Array | None]:
    """Of the room for a program's results and what it keeps, that for the outputs and for the most of what is kept."""
    return (None, None) if room is None else (room[0], room[results] if keep else None)


class LTCProgram(NamedTuple):
    """The run of `ops.ltc_sequence` with these options, as functions of the arrays of its other arguments, in order."""

    unfolds: int
    epsilon: float
    motors: int
    every: bool

    @property
    def results(self) -> int:
        """Number of results besides what `backward` needs: outputs and last state."""
        return 2

    def exists(self) -> bool:
        """Whether the kernels have all that is asked for."""
        return True

    @classmethod
    def of(cls, args: tuple[Any, ...]) -> tuple[LTCProgram, list[Any]]:
        """The program for a call of the op, and the tensors that it takes; None where there is none."""
        *tensors, weights, synapses, unfolds, epsilon, motors, every = args
        return cls(unfolds, float(epsilon), motors, every), [*tensors, *weights, *synapses]

    def arguments(self, arrays: Arrays) -> tuple[Any, ...]:
        """Those of the kernels."""
        inputs, initial, times, valid, resets, *others = arrays
        check_shapes(inputs, [(initial, len(others[0]))], times, valid, resets)
        given = batch_first(inputs), plain(initial), elapsed(times), flags(valid), flags(resets)
        return *given, *self.network(others), *self

    def network(self, arrays: Arrays) -> tuple[Any, Any]:
        """Weights and synapses, as the kernels want them."""
        *weights, source, _, start, sensory_source, _, sensory_start = arrays
        empty = np.zeros(0, weights[0].dtype)
        given = kernel("ltc").Weights(*[empty if x is None else x for x in weights])
        return given, kernel("ltc").Wiring(source, start, sensory_source, sensory_start)

    def stream(self, arrays: Arrays) -> Any:
        """`forward` for single samples with these weights and synapses."""
        return kernel("ltc").Stream(*self.network(arrays), self.unfolds, self.epsilon, self.motors)

    def forward(self, arrays: Arrays, keep: bool, threads: int, room: Arrays | None = None) -> Arrays:
        """Outputs (B, T, M) or (B, M), last state, and where it is asked for what `backward` needs.

        With `room` for all of these, the large ones are written there.
        """
        outputs, final, kept = kernel("ltc").forward(
            *self.arguments(arrays), keep, threads, large(room, self.results, keep)
        )
        return [outputs, final, kept] if keep else [outputs, final]

    def backward(self, arrays: Arrays, kept: Arrays, upstream: Arrays, threads: int) -> Arrays:
        """Gradients of inputs (B, T, F), first state, times and weights."""
        d_outputs, d_final = upstream
        d_outputs = batch_first(d_outputs) if self.every else plain(d_outputs)
        d_inputs, d_first, d_times, d_weights = kernel("ltc").backward(
            d_outputs, plain(d_final), *self.arguments(arrays), *kept, threads
        )
        return [d_inputs, d_first, like_elapsed(d_times, arrays[2]), *d_weights]

    def outcome(self, results: list[Any]) -> tuple[Any, Any]:
        """What the op returns."""
        outputs, final = results
        return (outputs.swapaxes(0, 1) if self.every else outputs), final

    def gradients(self, found: list[Any]) -> list[Any]:
        """Gradients of the tensors that the program takes, from those that `backward` returns."""
        d_inputs, d_first, d_times, *d_weights = found
        return [d_inputs.swapaxes(0, 1), d_first, d_times, None, None, *d_weights, *[None] * len(Synapses._fields)]

    def tree(self, each: list[Any], tensors: list[Any]) -> Tree:
        """What there is for each of the tensors that the program takes, as the op has them; None where that is None."""
        *given, count = *present(each, tensors), len(Synapses._fields)
        return *given[:WEIGHTS], LTCWeights(*given[WEIGHTS:-count]), Synapses(*given[-count:])

    def shapes(self, shapes: list[Any], dtype: str, keep: bool) -> list[Any]:
        """Those of the results of `forward`, by those of the arrays and their type."""
        (steps, batch, _), (_, neurons), *_ = shapes
        outputs = (batch, steps, self.motors) if self.every else (batch, self.motors)
        return [outputs, (batch, neurons), *([(steps, batch, neurons)] if keep else [])]

    def gradient_shapes(self, shapes: list[Any]) -> list[Any]:
        """Those of the results of `backward`."""
        (steps, batch, features), initial, times, _, _, *weights = shapes
        return [(batch, steps, features), initial, times, *(w or (0,) for w in weights[:-6])]


def one_sample(streams: ByValue, args: tuple[Any, ...], prepare: Callable[[], Any]) -> tuple[Array, Array] | None:
    """`ops.ltc_sequence` of a sample alone, by what was prepared for its weights; None where that does not take it.

    Args:
        streams: which hold what `prepare` returned.
        args: those of the op, as arrays; of the synapses it matters only whether they are the same.
        prepare: makes a stream of the weights and synapses, or None.
    """
    inputs, initial, times, valid, resets, weights, synapses, *options, every = args
    if not len(initial) == inputs.shape[1] == 1:  # one sample never takes a second thread
        return None
    check_shapes(inputs, [(initial, len(weights.cm))], times, valid, resets)
    stream = streams.stream(synapses, weights, (*options, inputs.shape[2]), prepare)
    if stream is None or not inputs.dtype == initial.dtype == times.dtype == stream.dtype:
        return None
    outputs, final = stream(batch_first(inputs), plain(initial), elapsed(times), flags(valid), flags(resets), every)
    return (outputs.swapaxes(0, 1) if every else outputs), final


class CfCProgram(NamedTuple):
    """The run of `ops.cfc_sequence`, see `LTCProgram`; `maps` is the number of linear maps of each layer."""

    mode: str
    backbone_activation: str | None
    head_activation: str | None
    every: bool
    maps: tuple[int, ...]

    @property
    def results(self) -> int:
        """Outputs, and the last states of all layers."""
        return 1 + len(self.maps)

    def exists(self) -> bool:
        """Whether the kernels have all that is asked for: both activations."""
        return self.backbone_activation in ACTIVATIONS and self.head_activation in ACTIVATIONS

    @classmethod
    def of(cls, args: tuple[Any, ...]) -> tuple[CfCProgram, list[Any]]:
        """The program for a call of the op, and the tensors that it takes but for masks; None where there is none."""
        inputs, initial, times, valid, resets, layers, mode, backbone, head, every = args
        program = cls(mode, backbone, head, every, tuple([len(layer.maps) for layer in layers]))
        weights: list[Any] = []
        for layer in layers:
            for pair in layer.maps:
                weights += pair
            weights += layer.w_tau, layer.A
        return program, [inputs, times, valid, resets, *initial, *weights]

    def arguments(self, arrays: Arrays) -> tuple[Any, ...]:
        """Those of the kernels."""
        inputs, times, valid, resets, *others = arrays
        initial, layers = others[: len(self.maps)], self.layers(others[len(self.maps) :])
        units = [len(layer.heads[1]) // kernel("cfc").HEADS[self.mode] for layer in layers]
        check_shapes(inputs, zip(initial, units, strict=True), times, valid, resets)
        given = batch_first(inputs), tuple(initial), elapsed(times), flags(valid), flags(resets)
        return *given, layers, self.mode, self.backbone_activation, self.head_activation, self.every

    def layers(self, arrays: Arrays) -> tuple[Any, ...]:
        """The layers of these parameters, as the kernels want them."""
        weights, layers = iter(arrays), []
        for count in self.maps:
            *backbone, heads = [(next(weights), next(weights)) for _ in range(count)]
            tau = next(weights), next(weights)
            layers.append(kernel("cfc").Layer(tuple(backbone), heads, () if tau[0] is None else tau))
        return tuple(layers)

    def few_steps(self, features: int, masks: Arrays, weights: Arrays) -> Any:
        """`forward` for few samples and steps with these parameters, whatever is written into them later, or None."""
        given = [x for x in (*masks, *weights) if x is not None]
        if not (self.exists() and all(x.flags.carray for x in given)):
            return None
        layers = self.layers(weights)
        kernels = [layer.heads[0] for layer in layers]
        if any(m is not None and (m.dtype, m.shape) != (bool, k.shape) for m, k in zip(masks, kernels, strict=True)):
            return None
        options = self.mode, self.backbone_activation, self.head_activation
        return kernel("cfc").FewSteps(layers, masks, features, *options, given[-1].dtype)

    def forward(self, arrays: Arrays, keep: bool, threads: int, room: Arrays | None = None) -> Arrays:
        """Outputs (B, T, H) or (B, H), last states, and where it is asked for what `backward` needs.

        With `room` for all of these, the large ones are written there.
        """
        outputs, final, kept = kernel("cfc").forward(
            *self.arguments(arrays), keep, threads, large(room, self.results, keep)
        )
        return [outputs, *final, *([kept.values, np.array(threads, outputs.dtype)] if keep else [])]

    def backward(self, arrays: Arrays, kept: Arrays, upstream: Arrays, threads: int) -> Arrays:
        """Gradients of inputs (B, T, F), times, first states and weights."""
        d_outputs, *d_final = upstream
        (steps, batch, _), (values, threads) = arrays[0].shape, kept
        work = batch * steps * self.plan([None if x is None else x.shape for x in arrays], arrays[0].dtype).work
        parts = kernel("pool").ranges(batch, work, int(threads))
        d_outputs = batch_first(d_outputs) if self.every else plain(d_outputs)
        d_inputs, d_first, d_times, d_layers = kernel("cfc").backward(
            d_outputs, d_final, *self.arguments(arrays), kernel("cfc").Kept(values, parts)
        )
        empty = np.zeros(0, d_inputs.dtype)
        weights = [
            x for layer in d_layers for x in (*(x for pair in layer.maps for x in pair), *(layer.tau or (empty, empty)))
        ]
        return [d_inputs, like_elapsed(d_times, arrays[1]), *d_first, *weights]

    def outcome(self, results: list[Any]) -> tuple[Any, Any]:
        """What the op returns."""
        outputs, *final = results
        return (outputs.swapaxes(0, 1) if self.every else outputs), tuple(final)

    def gradients(self, found: list[Any]) -> list[Any]:
        """Gradients of the tensors that the program takes, from those that `backward` returns."""
        d_inputs, d_times, *others = found
        return [d_inputs.swapaxes(0, 1), d_times, None, None, *others]

    def tree(self, each: list[Any], tensors: list[Any]) -> Tree:
        """What there is for each of the tensors that the program takes, as the op has them; None where that is None."""
        inputs, times, valid, resets, *others = present(each, tensors)
        rest = iter(others)
        initial = tuple([next(rest) for _ in self.maps])
        layers = [CfCLayer(tuple([(next(rest), next(rest)) for _ in range(n)]), *islice(rest, 2)) for n in self.maps]
        return inputs, initial, times, valid, resets, tuple(layers)

    def shapes(self, shapes: list[Any], dtype: str, keep: bool) -> list[Any]:
        """Those of the results of `forward`, by those of the arrays and their type."""
        (steps, batch, _), *_ = shapes
        final = shapes[4 : 4 + len(self.maps)]
        outputs = (batch, steps, final[-1][-1]) if self.every else final[-1]
        kept = [(batch * steps * self.plan(shapes, dtype).values,), ()]
        return [outputs, *final, *(kept if keep else [])]

    def plan(self, shapes: list[Any], dtype: Any) -> Any:
        """The kernels' tables for these shapes."""
        weights, maps = iter(shapes[4 + len(self.maps) :]), []
        for count in self.maps:
            maps += [(next(weights), next(weights))[0] for _ in range(count)]
            _, _ = next(weights), next(weights)
        depths = tuple(count - 1 for count in self.maps)
        folded = self.mode != "pure" and all(n == 1 for n in shapes[1])
        options = self.mode, self.backbone_activation, self.head_activation, folded, True, np.dtype(dtype)
        return kernel("cfc").plan_of(shapes[0][-1], tuple(map(tuple, maps)), depths, *options)

    def gradient_shapes(self, shapes: list[Any]) -> list[Any]:
        """Those of the results of `backward`."""
        (steps, batch, features), times, _, _, *others = shapes
        return [(batch, steps, features), times, *(x or (0,) for x in others)]


TREES = {"ltc_sequence": 7, "cfc_sequence": 6}  # arguments of the ops, the first ones, that are trees of tensors
WEIGHTS = 5  # the last of them that has gradients
UNMASKED: dict[str, Any] = {  # the arguments of a call with the masks of its layers folded into their kernels
    "ltc_sequence": lambda args: args,
    "cfc_sequence": lambda args: (*args[:WEIGHTS], unmasked(args[WEIGHTS]), *args[WEIGHTS + 1 :]),
}
PROGRAMS: dict[str, Any] = {"ltc_sequence": LTCProgram, "cfc_sequence": CfCProgram}
FUNCTIONS: dict[str, Any] = {  # the ops' own run, forward and backward, by the arguments of a call
    "ltc_sequence": lambda args: ltc_functions(*args[TREES["ltc_sequence"] :]),
    "cfc_sequence": lambda args: cfc_functions(*args[TREES["cfc_sequence"] :]),
}
