"""Cells, and the layer that runs a cell over sequences."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

from ncps import ops, tree
from ncps.layers.dense import check_features
from ncps.layers.layer import Layer, Shape, Tensor, check_size
from ncps.layers.time import check_elapsed, different, like_inputs, sequence_timespans, step_timespan

Tree = Any
SEQUENCE_RANK = 3
SEQUENCE_OPTIONS = ("return_sequences", "return_state", "go_backwards", "unroll", "zero_output_for_mask")


def one_step(call: Callable[..., Any]) -> Callable[..., Any]:
    """Makes the `call` of a cell get states in the structure of `state_size` and a timespan that fits them."""

    @functools.wraps(call)
    def checked(self: Cell, inputs: Tensor, states: Tree, *, timespan: Any = 1.0, **options: Any) -> tuple[Any, Tree]:
        check_rank(self, inputs, 2)
        wrapped = isinstance(states, (list, tuple)) and not isinstance(self.state_size, (list, tuple))
        state = checked_state(self, states[0] if wrapped else states, inputs)
        output, state = call(self, inputs, state, timespan=step_timespan(timespan, inputs), **options)
        return output, type(states)([state]) if wrapped else state

    return checked


class Cell(Layer):
    """One time step of a recurrent network: Keras' contract for cells, plus elapsed time.

    A cell of your own defines `state_size`, `output_size`, `build` and ``call(inputs, states, *, timespan, training)``,
    and runs in `RNN`. Whoever calls it, `call` gets inputs (B, F), states in the structure of `state_size` (a list or
    tuple of length one that Keras wraps around them is taken off and put on again), and the timespan as a scalar tensor
    or (B, 1), which multiplies states (B, N) sample by sample.

    The cells of this library go further: they say apart what a sequence needs once (`prepare`), what each step needs
    (`step`), and what follows from the states of many steps at once (`readout`), so that nothing is computed in the
    loop that does not depend on the state.

    Args:
        options: `input_size`, `name`, `dtype`.

    Example:
        >>> class Leaky(Cell):
        ...     state_size = output_size = 3
        ...
        ...     def call(self, inputs, states, *, timespan=1.0, training=None):
        ...         decay = ops.exp(-timespan)
        ...         states = decay * states + (1 - decay) * inputs
        ...         return states, states
        >>> RNN(Leaky())(np.ones((2, 5, 3), "float32")).shape
        (2, 3)
    """

    state_size: Any
    output_size: Any
    batch_last = False  # whether packed states are (N, B)
    recomputes = False  # whether the backward pass computes a step again instead of keeping its inner results

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "call" in vars(cls):
            cls.call = one_step(vars(cls)["call"])  # type: ignore[method-assign]

    def check_arguments(self, *args: Any, timespan: Any = 1.0, **_: Any) -> None:
        """Raises if the elapsed time is negative."""
        check_elapsed(self, "timespan", timespan)

    def get_initial_state(self, batch_size: int = 1) -> Tree:
        """Zeros (B, N), in the structure of `state_size`."""
        with self.scope():
            like = self.convert_input(ops.zeros((batch_size, 1)))
            return self.zero_state(ops.to_device(like, ops.device(self.anchor_weight())) if self._anchor else like)

    def zero_state(self, inputs: Tensor) -> Tree:
        """The initial state beside `inputs` (B, F): of their type, on their device."""
        column = ops.zeros_like(inputs[:, :1])
        batch = ops.shape(inputs)[0]
        return tree.map(lambda size: ops.broadcast_to(column, (batch, size)), self.state_size)

    # -- for sequences; a cell that defines `call` only is run as it is

    def pack_state(self, states: Tree, inputs: Tensor) -> Tree:
        """The form of the state that `step` carries from step to step."""
        column = ops.zeros_like(inputs[:, :1])
        output = tree.map(lambda size: ops.broadcast_to(column, (ops.shape(inputs)[0], size)), self.output_size)
        return states, output

    def unpack_state(self, packed: Tree) -> Tree:
        """The state as users see it."""
        return packed[0]

    def prepare(self, inputs: Tensor, timespans: Tensor, training: bool | None) -> tuple[Tree, Tree]:
        """What does not depend on the state.

        Args:
            inputs: (T, B, F).
            timespans: scalar, (T, 1, 1) or (T, B, 1).
            training: as in `call`.

        Returns:
            What every step uses, and what each uses, time first.
        """
        if len(timespans.shape) == 0:
            return timespans, (inputs, None)
        return None, (inputs, timespans)

    def step(self, constants: Tree, drive: Tree, packed: Tree) -> Tree:
        """The packed state after one step."""
        inputs, timespan = drive
        output, states = self.call(inputs, packed[0], timespan=constants if timespan is None else timespan)
        return states, output

    def emit(self, packed: Tree) -> Tensor:
        """What a step leaves for the outputs."""
        return packed[1]

    def readout(self, emitted: Tensor) -> Tensor:
        """Outputs (..., B, output_size) of what one or many steps emitted."""
        return emitted


class HoistingCell(Cell):
    """A cell that is written as `prepare`, `step` and `readout`; its `call` is a sequence of one step."""

    def call(
        self, inputs: Tensor, states: Tree, *, timespan: Any = 1.0, training: bool | None = None
    ) -> tuple[Tensor, Tree]:
        """Advances the state by one time step.

        Args:
            inputs: (B, F).
            states: (B, N), or a list or tuple of length one that holds it.
            timespan: elapsed time, a number, (B,) or (B, 1).
            training: whether to drop out; None is the framework's own mode.

        Returns:
            The output (B, output_size) and the new state, in the structure of `states`.
        """
        timespan = timespan if len(timespan.shape) == 0 else timespan[None]
        constants, drive = self.prepare(inputs[None], timespan, training)
        packed = self.step(constants, tree.map(lambda x: x[0], drive), self.pack_state(states, inputs))
        return self.readout(self.emit(packed)), self.unpack_state(packed)


class RNN(Layer):
    """Runs a cell over sequences.

    Args:
        cell: the cell.
        return_sequences: the outputs of all steps (B, T, output_size), else of the last (B, output_size).
        return_state: also the state after the last step, in the structure of the cell's `state_size`.
        go_backwards: runs from the last step to the first, elapsed times and mask with their steps.
        unroll: lays the steps out one after the other where the framework has a choice.
        zero_output_for_mask: masked steps give zeros, else the output of the step before.
        options: `input_size`, `name`, `dtype`.

    Raises:
        TypeError: `cell` is no `Cell`.

    Example:
        >>> layer = RNN(CfCCell(4), return_sequences=True, return_state=True)
        >>> outputs, state = layer(np.zeros((2, 5, 3), "float32"), timespans=np.ones((2, 5)))
        >>> outputs.shape, state.shape
        ((2, 5, 4), (2, 4))
    """

    def __init__(
        self,
        cell: Cell,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not isinstance(cell, Cell):
            raise TypeError(
                "Expected a cell: an ncps.layers.Cell with state_size, output_size and call(inputs, states, *, "
                f"timespan, training). Received: {cell if isinstance(cell, type) else type(cell).__qualname__}"
            )
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask

    def build(self, input_shape: Shape) -> None:
        """Builds the cell for inputs (B, T, F) or (T, F)."""
        self.features = check_size("the number of features", input_shape[-1])
        self.cell.ensure_built((None, input_shape[-1]))

    def check_arguments(
        self, sequences: Tensor, initial_state: Tree = None, mask: Any = None, timespans: Any = None, *_: Any, **__: Any
    ) -> None:
        """Raises if an elapsed time is negative."""
        check_elapsed(self, "timespans", timespans)

    def call(
        self,
        sequences: Tensor,
        initial_state: Tree = None,
        mask: Tensor | None = None,
        timespans: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Runs the cell.

        Args:
            sequences: (B, T, F), or (T, F) for a single series.
            initial_state: in the structure of the cell's `state_size`, (B, N) or (N,); zeros by default.
            mask: (B, T) or (T,), true where a step counts; a masked step leaves the state, and its time is dropped.
            timespans: elapsed time of the steps, a number, (T,), (B, T) or (B, T, 1); 1.0 by default.
            training: whether to drop out; None is the framework's own mode.

        Returns:
            The outputs, or a pair of the outputs and the state where `return_state` is set.

        Raises:
            ValueError: a shape does not fit, an elapsed time is negative, or the sequence is empty.
        """
        batched = check_sequences(self, sequences)
        check_features(self, sequences, self.features)
        inputs = ops.swapaxes(sequences, 0, 1) if batched else sequences[:, None]
        times = sequence_timespans(timespans, inputs, batched)
        valid = None if mask is None else sequence_mask(mask, inputs, batched)
        if self.go_backwards:
            inputs, times, valid = (
                x if x is None or len(x.shape) == 0 else ops.flip(x, 0) for x in (inputs, times, valid)
            )
        state = self.initial_state(initial_state, inputs[0], batched)
        emitted, packed = self.run_cell(inputs, times, valid, state, training)
        outputs = self.cell.readout(emitted)
        if self.return_sequences:
            if valid is not None and self.zero_output_for_mask:
                outputs = ops.where(valid, outputs, ops.zeros_like(outputs))
            outputs = ops.swapaxes(outputs, 0, 1)
        state = self.cell.unpack_state(packed)
        if not batched:
            outputs, state = outputs[0], tree.map(lambda x: x[0], state)
        return self.native_result(outputs, state) if self.return_state else outputs

    def run_cell(
        self, inputs: Tensor, times: Tensor, valid: Tensor | None, state: Tree, training: bool | None
    ) -> tuple[Tensor, Tree]:
        """What the cell emits, of all steps or the last, and its packed state after the last."""
        cell = self.cell
        constants, drive = cell.prepare(inputs, times, training)
        valid = valid if valid is None or not cell.batch_last else ops.swapaxes(valid, 1, 2)

        def masked_step(constants: Tree, drive: Tree, valid: Tensor | None, packed: Tree) -> Tree:
            after = cell.step(constants, drive, packed)
            return after if valid is None else tree.map(lambda new, old: ops.where(valid, new, old), after, packed)

        advance = ops.checkpoint(masked_step) if cell.recomputes else masked_step

        def step(packed: Tree, x: Tree) -> tuple[Tree, Tensor | None]:
            drive, valid = x
            packed = advance(constants, drive, valid, packed)
            return packed, cell.emit(packed) if self.return_sequences else None

        packed, emitted = ops.scan(step, cell.pack_state(state, inputs[0]), (drive, valid), unroll=self.unroll)
        return emitted if self.return_sequences else cell.emit(packed), packed

    def initial_state(self, given: Tree, inputs: Tensor, batched: bool) -> Tree:
        """The state before the first step, of the type and on the device of inputs (B, F)."""
        if given is None:
            return self.cell.zero_state(inputs)
        if isinstance(given, (list, tuple)) and not isinstance(self.cell.state_size, (list, tuple)):
            if len(given) != 1:
                size = self.cell.state_size
                raise ValueError(f"Expected a state (B, {size}), or a list of one. Received: {len(given)} in a list")
            (given,) = given  # Keras passes a list
        if not batched:
            given = tree.map(lambda x: ops.convert_to_tensor(x)[None], given)
        return checked_state(self.cell, given, inputs, batched)

    def step(self, inputs: Tensor, state: Tree = None, timespan: Any = 1.0, reset: Any = None) -> tuple[Tensor, Tree]:
        """One step of a stream, as in a control loop: the same as the sequence, one step at a time.

        Args:
            inputs: (B, F), or (F,) for a single stream.
            state: what the step before returned; None at the start.
            timespan: time since the step before, a number, (B,) or (B, 1).
            reset: (B,), true where a sample starts afresh; a boolean for a single stream.

        Returns:
            The output (B, output_size) and the state.

        Example:
            >>> layer, state = LTC(4), None
            >>> for _ in range(3):
            ...     output, state = layer.step(np.ones(2, "float32"), state, timespan=0.1)
            >>> output.shape
            (4,)
        """
        # As for a whole sequence, a first step that fails does not decide the number of features.
        with self.scope(), contextlib.nullcontext() if self.built else self.whole_or_not_at_all():
            inputs = ops.convert_to_tensor(inputs)
            single = len(inputs.shape) == 1
            inputs = inputs[None] if single else inputs
            check_rank(self, inputs, 2)
            if not self.built:
                self.build_before_call(inputs)
            inputs = self.convert_input(inputs)
            check_features(self, inputs, self.features)
            state = self.initial_state(state, inputs, not single)
            if reset is not None:
                fresh = ops.reshape(ops.cast(ops.convert_to_tensor(reset), "bool"), (-1, 1))
                if different(fresh.shape[0], inputs.shape[0]):
                    raise ValueError(
                        f"Expected reset (B,) with B = {inputs.shape[0]}. Received: {fresh.shape[0]} values"
                    )
                state = tree.map(lambda old, new: ops.where(fresh, new, old), state, self.cell.zero_state(inputs))
            output, state = self.cell(inputs, state, timespan=timespan)
            return (output[0], tree.map(lambda x: x[0], state)) if single else (output, state)

    def get_initial_state(self, batch_size: int = 1) -> Tree:
        """Zeros, in the structure of the cell's `state_size`."""
        return self.cell.get_initial_state(batch_size)

    def compute_mask(self, sequences: Tensor, previous_mask: Tensor | None) -> Tensor | None:
        """The mask of the outputs, where they are sequences; Keras asks for it."""
        return previous_mask if self.return_sequences else None

    def compute_output_shape(self, sequences_shape: Shape, *_: Any) -> Any:
        """Shapes of what `call` returns."""
        batch, steps = sequences_shape[:-1] if len(sequences_shape) == SEQUENCE_RANK else ((), sequences_shape[0])
        lead = (batch,) if len(sequences_shape) == SEQUENCE_RANK else ()
        output = (*lead, steps, self.cell.output_size) if self.return_sequences else (*lead, self.cell.output_size)
        if not self.return_state:
            return output
        return output, *((*lead, size) for size in tree.flatten(self.cell.state_size)[0])


class CellSequence(RNN):
    """Base of the sequence layers that take the arguments of their cell along with those of `RNN`."""

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, those of the cell and those of the layer."""
        own = {name: getattr(self, name) for name in ("input_size", *SEQUENCE_OPTIONS)}
        return self.cell.get_config() | own | self.native_config()


def check_rank(layer: Layer, inputs: Tensor, rank: int) -> None:
    """Raises unless `inputs` has `rank` axes.

    Raises:
        ValueError: it has another number.
    """
    if len(inputs.shape) != rank:
        raise ValueError(
            f"{type(layer).__name__} expects inputs (batch, features) of one time step. Received: shape "
            f"{tuple(inputs.shape)}. Sequences go through ncps.layers.RNN or a sequence layer."
        )


def check_sequences(layer: Layer, sequences: Tensor) -> bool:
    """Whether `sequences` has a batch axis.

    Raises:
        TypeError: it is no tensor.
        ValueError: it is neither (B, T, F) nor (T, F), or has no steps.
    """
    if not hasattr(sequences, "shape"):
        raise TypeError(
            f"{type(layer).__name__} expects one tensor, the sequences. Received: {type(sequences).__name__}. Give the "
            "timespans as timespans=..."
        )
    shape = tuple(sequences.shape)
    if len(shape) not in (2, SEQUENCE_RANK):
        raise ValueError(
            f"{type(layer).__name__} expects sequences (batch, time, features), or (time, features). Received: "
            f"shape {shape}"
        )
    if shape[-2] == 0:
        raise ValueError(f"{type(layer).__name__} expects at least one time step. Received: sequences of shape {shape}")
    return len(shape) == SEQUENCE_RANK


def sequence_mask(mask: Any, inputs: Tensor, batched: bool) -> Tensor:
    """The mask as (T, B, 1).

    Raises:
        ValueError: it is not (B, T), or (T,) for a single series.
    """
    mask = ops.cast(ops.convert_to_tensor(mask), "bool")
    if not batched and len(mask.shape) == 1:
        mask = mask[None]
    steps, batch = inputs.shape[:2]
    if len(mask.shape) != 2 or different(mask.shape[0], batch) or different(mask.shape[1], steps):
        raise ValueError(
            f"Expected a mask (B, T) with B = {batch} and T = {steps}. Received: shape {tuple(mask.shape)}"
        )
    return ops.expand_dims(ops.swapaxes(mask, 0, 1), -1)


def checked_state(cell: Cell, state: Tree, inputs: Tensor, batched: bool = True) -> Tree:
    """`state` in the type of `inputs` (B, F).

    Raises:
        ValueError: its structure or a shape does not fit the cell.
    """
    leaves, structure = tree.flatten(state)
    sizes, expected = tree.flatten(cell.state_size)
    if structure != expected and not (len(sizes) == 1 and len(leaves) == 1):
        raise ValueError(f"Expected a state of the structure {cell.state_size}. Received: {structure}")
    leaves = [like_inputs(leaf, inputs) for leaf in leaves]
    for leaf, size in zip(leaves, sizes, strict=True):
        fits = len(leaf.shape) == 2 and leaf.shape[1] == size and not different(leaf.shape[0], inputs.shape[0])
        if not fits and not batched:
            raise ValueError(f"Expected a state ({size},) of a single series. Received: shape {tuple(leaf.shape[1:])}")
        if not fits:
            raise ValueError(
                f"Expected a state (B, {size}) with B = {inputs.shape[0]}. Received: shape {tuple(leaf.shape)}"
            )
    return tree.unflatten(expected, leaves)
