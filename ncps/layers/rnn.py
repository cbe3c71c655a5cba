"""The layer that runs a cell over sequences."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from ncps import ops, tree
from ncps.backend import training_mode
from ncps.layers.cell import Cell, Tree, check_cell, check_rank, checked_state
from ncps.layers.dense import check_features
from ncps.layers.layer import Layer, Shape, Tensor, check_size, constructor_arguments
from ncps.layers.time import check_elapsed, different, on_host, sequence_timespans, step_timespan
from ncps.ops.sequences.chunks import over_chunks

SEQUENCE_RANK = 3
SEQUENCE_OPTIONS = (
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
)
Record = Callable[[Tree, Tree, Tree, Tensor, Tree], Tree]


class Sequences(NamedTuple):
    """The arguments of a call in the order in which the loop runs through them: time first."""

    inputs: Tensor  # (T, B, F)
    times: Tensor  # scalar, (T, 1, 1) or (T, B, 1)
    valid: Tensor | None  # (T, B, 1), whether the step counts
    resets: Tensor | None  # (T, B, 1), whether the sample starts afresh before the step
    state: Tree
    batched: bool


class RNN(Layer):
    """Runs a cell over sequences.

    Args:
        cell: the cell.
        return_sequences: the outputs of all steps (B, T, output_size), else of the last (B, output_size).
        return_state: also the state after the last step, in the structure of the cell's `state_size`.
        go_backwards: runs from the last step to the first, elapsed times, mask and resets with their steps.
        stateful: each call goes on from the state in which the one before ended, sample by sample, until `reset_state`;
            no gradient passes from one to the other.
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
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.cell = check_cell(cell)
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask

    def build(self, input_shape: Shape) -> None:
        """Builds the cell for inputs (B, T, F) or (T, F)."""
        self.features = check_size("the number of features", input_shape[-1])
        self.cell.ensure_built((None, input_shape[-1]))
        if self.stateful:
            self.build_state(input_shape)

    def check_arguments(
        self, sequences: Tensor, initial_state: Tree = None, mask: Any = None, timespans: Any = None, *_: Any, **__: Any
    ) -> None:
        """Raises if an elapsed time is negative, except at masked steps."""
        check_elapsed(self, "timespans", timespans, mask)

    def call(
        self,
        sequences: Tensor,
        initial_state: Tree = None,
        mask: Tensor | None = None,
        timespans: Any = None,
        training: bool | None = None,
        resets: Any = None,
    ) -> Any:
        """Runs the cell.

        Args:
            sequences: (B, T, F), or (T, F) for a single series.
            initial_state: in the structure of the cell's `state_size`, (B, N) or (N,); zeros by default.
            mask: (B, T) or (T,), true where a step counts; a masked step leaves the state, and neither its inputs nor
                its time have any effect.
            timespans: elapsed time of the steps, a number, (T,), (B, T) or (B, T, 1); 1.0 by default.
            training: whether to drop out; None is the framework's own mode.
            resets: (B, T) or (T,), true where a sample starts afresh from zeros before a step, as where an episode
                begins; a reset at a masked step counts too.

        Returns:
            The outputs, or a pair of the outputs and the state where `return_state` is set.

        Raises:
            ValueError: a shape does not fit, an elapsed time that counts is negative, or the sequence is empty.
        """
        with training_mode(training):
            run = self.arranged(sequences, initial_state, mask, timespans, resets)
            if on_host(timespans):
                self.cell.check_step_size(run.times)
            outputs, state = self.run_cell(run)
        if self.stateful:
            self.write_states(tree.map(self.to_keep, state))
        if not run.batched:
            outputs, state = outputs[0], tree.map(lambda x: x[0], state)
        return self.native_result(outputs, state) if self.return_state else outputs

    def arranged(self, sequences: Tensor, initial_state: Tree, mask: Any, timespans: Any, resets: Any) -> Sequences:
        """The arguments of a call, checked, time first and in the order of the steps."""
        batched = check_sequences(self, sequences)
        check_features(self, sequences, self.features)
        inputs = ops.swapaxes(sequences, 0, 1) if batched else sequences[:, None]
        times = sequence_timespans(timespans, inputs, batched)
        valid = None if mask is None else sequence_flags("mask", mask, inputs, batched)
        resets = None if resets is None else sequence_flags("resets", resets, inputs, batched)
        if valid is not None:  # nothing of a masked step shall count: padding may hold NaN, which no gradient survives
            inputs = ops.where(valid, inputs, ops.zeros_like(inputs))
            times = times if len(times.shape) == 0 else ops.where(valid, times, ops.zeros_like(times))
        if self.go_backwards:
            inputs, times, valid, resets = (
                x if x is None or len(x.shape) == 0 else ops.flip(x, 0) for x in (inputs, times, valid, resets)
            )
        state = self.initial_state(initial_state, inputs[0], batched)
        return Sequences(inputs, times, valid, resets, state, batched)

    def run_cell(self, run: Sequences) -> tuple[Tensor, Tree]:
        """Outputs, of all steps (B, T, output_size) or the last, and the state after the last."""
        cell = self.cell
        if cell.runs_by_op(run.inputs):
            outputs, state = cell.whole_sequence(
                run.inputs, run.state, run.times, run.valid, run.resets, self.return_sequences
            )
            return self.arranged_outputs(outputs, run.valid), state
        if cell.parallel and isinstance(run.inputs.shape[0], int):  # some compilers know the length by name only
            constants = cell.constants(None)
            first = cell.pack_state(run.state, run.inputs[0])
            every = cell.all_steps(
                first, cell.drive(run.inputs, constants), run.times, run.valid, run.resets, constants
            )
            packed = tree.map(lambda x: x[-1], every)
            emitted = cell.emit(every if self.return_sequences else packed)
        else:
            emitted, packed, constants = self.loop(run, self.cell_emits if self.return_sequences else None)
            emitted = emitted if self.return_sequences else cell.emit(packed)
        outputs = self.arranged_outputs(cell.readout(emitted, constants), run.valid)
        return cell.apart(outputs, cell.unpack_state(packed))

    def arranged_outputs(self, outputs: Tensor, valid: Tensor | None) -> Tensor:
        """Outputs of all steps, time first, as users want them; those of the last as they are."""
        if not self.return_sequences:
            return outputs
        if valid is not None and self.zero_output_for_mask:
            outputs = ops.where(valid, outputs, ops.zeros_like(outputs))
        return ops.swapaxes(outputs, 0, 1)

    def cell_emits(self, before: Tree, after: Tree, drive: Tree, timespan: Tensor, constants: Tree) -> Tensor:
        """What is kept of a step for the outputs."""
        return self.cell.emit(after)

    def loop(self, run: Sequences, record: Record | None) -> tuple[Tree, Tree, Tree]:
        """The time loop.

        Args:
            run: what to run over.
            record: what to keep of each step, a function of the packed states before and after it, its drive and
                elapsed time, and the cell's constants; None keeps nothing.

        Returns:
            What was kept, time first; the packed state after the last step; the cell's constants.
        """
        cell, shared = self.cell, run.times if len(run.times.shape) == 0 else None
        constants = self.capturable(cell.constants(shared))
        first = cell.pack_state(run.state, run.inputs[0])
        fresh = None if run.resets is None else cell.pack_state(cell.zero_state(run.inputs[0]), run.inputs[0])

        def masked_step(before: Tree, drive: Tree, timespan: Tensor, valid: Tensor | None, constants: Tree) -> Tree:
            after = cell.step(before, drive, timespan, constants)
            return after if valid is None else cell.select(valid, after, before)

        advance = ops.checkpoint(masked_step) if cell.recomputes else masked_step

        def step(packed: Tree, x: Tree) -> tuple[Tree, Tree]:
            drive, timespan, valid, reset = x
            before = packed if reset is None else cell.select(reset, fresh, packed)
            timespan = shared if timespan is None else timespan
            after = advance(before, drive, timespan, valid, constants)
            return after, None if record is None else record(before, after, drive, timespan, constants)

        def chunk(packed: Tree, xs: Tree) -> tuple[Tree, Tree]:
            (inputs, *others), _ = xs
            packed, recorded = ops.scan(step, packed, (cell.drive(inputs, constants), *others), unroll=self.unroll)
            return packed, (recorded, None)

        # What the inputs contribute to all steps may take several times the memory of the outputs.
        in_chunks = chunk if self.unroll else functools.partial(over_chunks, chunk)
        xs = run.inputs, None if shared is not None else run.times, run.valid, run.resets
        packed, (recorded, _) = in_chunks(first, (xs, None))
        return recorded, packed, constants

    def initial_state(self, given: Tree, inputs: Tensor, batched: bool) -> Tree:
        """The state before the first step, of the type and on the device of inputs (B, F)."""
        if given is None:
            kept = self.read_states(inputs) if self.stateful else None
            return self.cell.zero_state(inputs) if kept is None else kept
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
        with self.scope():
            if self.built:
                return self.step_in_scope(inputs, state, timespan, reset)
            with self.whole_or_not_at_all():  # a first step that fails does not decide the number of features
                return self.step_in_scope(inputs, state, timespan, reset)

    def step_in_scope(self, inputs: Any, state: Tree, timespan: Any, reset: Any) -> tuple[Tensor, Tree]:
        """`step` in the layer's own backend."""
        cell = self.cell  # torch takes a microsecond to find it
        inputs = ops.convert_to_tensor(inputs)
        single = len(inputs.shape) == 1
        inputs = inputs[None] if single else inputs
        check_rank(self, inputs)
        if not self.built:
            self.build_before_call(inputs)
        inputs = self.convert_input(inputs)
        check_features(self, inputs, self.features)
        state = cell.zero_state(inputs) if state is None else self.initial_state(state, inputs, not single)
        if reset is not None:
            state = self.started(state, reset, inputs)
        if on_host(timespan):
            cell.check_step_size(timespan)
        check_elapsed(self, "timespan", timespan)
        output, state = cell.advance(inputs, state, step_timespan(timespan, inputs))
        return (output[0], tree.map(lambda x: x[0], state)) if single else (output, state)

    def started(self, state: Tree, reset: Any, inputs: Tensor) -> Tree:
        """The state, with zeros for the samples that start afresh."""
        fresh = ops.reshape(ops.cast(ops.convert_to_tensor(reset), "bool"), (-1, 1))
        if different(fresh.shape[0], inputs.shape[0]):
            raise ValueError(
                f"Expected reset (B,) with B = {inputs.shape[0]}. Received: {fresh.shape[0]} values. Give one for each "
                "sample, or None."
            )
        return tree.map(lambda old, new: ops.where(fresh, new, old), state, self.cell.zero_state(inputs))

    def get_initial_state(self, batch_size: int = 1) -> Tree:
        """Zeros, in the structure of the cell's `state_size`."""
        return self.cell.get_initial_state(batch_size)

    # -- stateful

    def state_names(self) -> list[str]:
        """Attributes that hold the state between the calls, one for each of its tensors."""
        return [f"_state_{i}" for i in range(len(tree.flatten(self.cell.state_size)[0]))]

    def build_state(self, input_shape: Shape) -> None:
        """Makes the state variables where the framework wants them made when the layer is built."""
        batch = input_shape[0] if len(input_shape) == SEQUENCE_RANK else 1
        if self.makes_states_at_build():
            if batch is None:
                raise ValueError(
                    "Expected a fixed batch size for stateful=True. Received: inputs of any batch size. Give it, as "
                    "keras.Input(batch_shape=(batch, time, features)), and leave input_size out."
                )
            for name, size in zip(self.state_names(), tree.flatten(self.cell.state_size)[0], strict=True):
                setattr(self, name, self.make_state(ops.zeros((batch, size), self.input_type())))

    def read_states(self, inputs: Tensor) -> Tree:
        """The state in which the last call ended; None before the first."""
        if not hasattr(self, self.state_names()[0]):
            return None
        leaves = [self.read_state(name) for name in self.state_names()]
        if different(leaves[0].shape[0], inputs.shape[0]):
            raise ValueError(
                f"Expected the batch of {leaves[0].shape[0]} samples whose states this stateful layer holds. Received: "
                f"{inputs.shape[0]} samples. Call reset_state() before another batch size."
            )
        return checked_state(self.cell, tree.unflatten(tree.flatten(self.cell.state_size)[1], leaves), inputs)

    def to_keep(self, state: Tensor) -> Tensor:
        """A state for the next call, without gradient; a copy where the caller gets the same and could change it."""
        state = ops.stop_gradient(state)
        return ops.copy(state) if self.changes_in_place and self.return_state else state

    def write_states(self, state: Tree) -> None:
        """Keeps the state for the next call."""
        for name, value in zip(self.state_names(), tree.flatten(state)[0], strict=True):
            if hasattr(self, name):
                self.write_state(name, value)
            else:
                setattr(self, name, self.make_state(value))

    def reset_state(self) -> None:
        """The next call of a stateful layer begins with zeros, and may have another batch size (not under Keras)."""
        with self.scope():
            for name in self.state_names():
                if hasattr(self, name) and self.makes_states_at_build():
                    self.write_state(name, ops.zeros_like(self.read_state(name)))
                elif hasattr(self, name):
                    delattr(self, name)

    # -- what Keras asks for

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
    """Base of the sequence layers that take the arguments of their cell along with those of `RNN`.

    A subclass says in `make_cell` which cell, or function that makes one, it runs. The cell's arguments are written
    there only, and show in the layer's signature (written out in every layer once more, they would drift apart).

    Args:
        args: the cell's first argument, then those of `RNN` in its order.
        kwargs: these, and the other arguments of the cell; `input_size`, `name`, `dtype`.
    """

    make_cell: Callable[..., Cell]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "make_cell" in vars(cls) and "__init__" not in vars(cls):
            cls.__signature__ = joint_signature(cls.make_cell)
        elif "__init__" in vars(cls):
            own = inspect.signature(vars(cls)["__init__"])
            cls.__signature__ = own.replace(parameters=list(own.parameters.values())[1:])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        make: Any = type(self).make_cell
        given = joint_signature(make).bind(*args, **kwargs).arguments
        native = given.pop("native", {})
        own = {name: given.pop(name) for name in cell_arguments(make) if name in given}
        super().__init__(make(**own, dtype=given.get("dtype")), **given, **native)

    @classmethod
    def arguments(cls) -> list[str]:
        """Names of the constructor's arguments."""
        return list(joint_signature(cls.make_cell).parameters)[:-1]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, those of the cell and those of the layer."""
        own = {name: getattr(self, name) for name in ("input_size", *SEQUENCE_OPTIONS)}
        return self.cell.get_config() | own | self.native_config()


def cell_arguments(make: Callable[..., Cell]) -> list[str]:
    """Names of the arguments of a cell's class, or of a function that makes cells."""
    if isinstance(make, type):
        return [name for name in constructor_arguments(make) if name != "input_size"]
    return [name for name, p in inspect.signature(make).parameters.items() if p.kind is not p.VAR_KEYWORD]


@functools.cache
def joint_signature(make: Callable[..., Cell]) -> inspect.Signature:
    """The arguments of a sequence layer: the first of its cell, those of `RNN`, then the cell's others by keyword."""
    functions: list[Any] = [make]
    if isinstance(make, type):
        functions = [vars(base)["__init__"] for base in make.__mro__ if "__init__" in vars(base)]
    options: dict[str, inspect.Parameter] = {}
    for function in reversed(functions):
        options |= inspect.signature(function).parameters
    first, *others = (options[name] for name in cell_arguments(make))
    own = [inspect.signature(RNN.__init__).parameters[name] for name in SEQUENCE_OPTIONS]
    common = [inspect.signature(Layer.__init__).parameters[name] for name in ("input_size", "name", "dtype", "native")]
    return inspect.Signature([first, *own, *(p.replace(kind=p.KEYWORD_ONLY) for p in others), *common])


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
            f"shape {shape}. Series of one feature need an axis for it, x[..., None]; images go through a layer in "
            "TimeDistributed first."
        )
    if shape[-2] == 0:
        raise ValueError(
            f"{type(layer).__name__} expects at least one time step. Received: sequences of shape {shape}. Leave empty "
            "series out, or pad them and give mask= (B, T): a wholly masked series yields its initial state."
        )
    return len(shape) == SEQUENCE_RANK


def sequence_flags(name: str, flags: Any, inputs: Tensor, batched: bool) -> Tensor:
    """A mask or resets as (T, B, 1).

    Raises:
        ValueError: they are not (B, T), or (T,) for a single series.
    """
    flags = ops.cast(ops.convert_to_tensor(flags), "bool")
    if not batched and len(flags.shape) == 1:
        flags = flags[None]
    steps, batch = inputs.shape[:2]
    if len(flags.shape) != 2 or different(flags.shape[0], batch) or different(flags.shape[1], steps):
        raise ValueError(
            f"Expected {name} (B, T) with B = {batch} and T = {steps}. Received: shape {tuple(flags.shape)}. Give one "
            "flag for each step of each series."
        )
    return ops.expand_dims(ops.swapaxes(flags, 0, 1), -1)
