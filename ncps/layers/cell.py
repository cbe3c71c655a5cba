"""Cells: one time step of a recurrent network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ncps import ops, tree
from ncps.backend import training_mode
from ncps.layers.layer import Layer, Tensor
from ncps.layers.time import check_elapsed, different, like_inputs, step_timespan
from ncps.ops.dispatch import is_offered

Tree = Any


def one_step(call: Callable[..., Any]) -> Callable[..., Any]:
    """Makes the `call` of a cell get states in the structure of `state_size` and a timespan that fits them."""

    @functools.wraps(call)
    def checked(self: Cell, inputs: Tensor, states: Tree, *, timespan: Any = 1.0, **options: Any) -> tuple[Any, Tree]:
        check_rank(self, inputs)
        state = checked_state(self, states, inputs)
        output, state = call(self, inputs, state, timespan=step_timespan(timespan, inputs), **options)
        return output, tree.unflatten(tree.flatten(states)[1], tree.flatten(state)[0])  # answered in kind

    return checked


class Cell(Layer):
    """One time step of a recurrent network: Keras' contract for cells, plus elapsed time.

    A cell of your own defines `state_size`, `output_size`, `build` and ``call(inputs, states, *, timespan, training)``,
    and runs in `RNN`. Whoever calls it, `call` gets inputs (B, F), states in the structure of `state_size` (lists in
    place of tuples, and a list of length one around a single state, are accepted and answered in kind), and the
    timespan as a scalar tensor or (B, 1), which multiplies states (B, N) sample by sample.

    The cells of this library go further, see `HoistingCell`.

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
    parallel = False  # whether the cell can run all steps at once, see `all_steps`
    sequence_op: str | None = None  # the op that `whole_sequence` is; subclasses do not inherit it
    recomputes = False  # whether the backward pass computes a step again instead of keeping its inner results

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not {"sequence_op", "bound_to"} & vars(cls).keys():  # a subclass may have changed the equation
            cls.sequence_op = None
        if "call" in vars(cls):
            cls.call = one_step(vars(cls)["call"])  # type: ignore[method-assign]

    def check_arguments(self, *args: Any, timespan: Any = 1.0, **_: Any) -> None:
        """Raises if the elapsed time is negative."""
        check_elapsed(self, "timespan", timespan)

    def check_step_size(self, timespans: Any) -> None:
        """Warns if a solver becomes unstable over such elapsed times; cells without solver have nothing to say."""

    def get_initial_state(self, batch_size: int = 1) -> Tree:
        """Zeros (B, N), in the structure of `state_size`; under Keras with lists for tuples, as it wants them."""
        with self.scope():
            like = self.convert_input(ops.zeros((batch_size, 1)))
            like = ops.to_device(like, ops.device(self.anchor_weight())) if self._anchor else like
            return self.native_state(self.zero_state(like))

    def zero_state(self, inputs: Tensor) -> Tree:
        """The initial state beside `inputs` (B, F): of their type, on their device."""
        return zeros_beside(inputs, self.state_size)

    # -- for sequences; a cell that defines `call` only is run as it is

    def advance(self, inputs: Tensor, states: Tree, timespan: Tensor) -> tuple[Tensor, Tree]:
        """`call` with arguments that were checked: the timespan a scalar tensor or (B, 1)."""
        return self.apart(*self.call(inputs, states, timespan=timespan))

    def apart(self, output: Tensor, states: Tree) -> tuple[Tensor, Tree]:
        """Both; an output that is part of the state is copied, so that changing it in place leaves the state alone."""
        if self.changes_in_place and (output is states or any(output is leaf for leaf in tree.flatten(states)[0])):
            output = ops.copy(output)
        return output, states

    def constants(self, timespan: Tensor | None) -> Tree:
        """What every step uses, computed once for a sequence: weights, in the form in which the steps use them.

        Args:
            timespan: the elapsed time, a scalar, where all steps and samples share it; else None.
        """

    def constants_of_step(self, timespan: Tensor) -> Tree:
        """The same for a single step of an elapsed time, a scalar or (B, 1)."""
        return self.constants(timespan if len(timespan.shape) == 0 else None)

    def drive(self, inputs: Tensor, constants: Tree) -> Tree:
        """What the inputs (T, B, F) of many steps contribute to each, time first; nothing of the state."""
        return inputs

    def drive_of_step(self, inputs: Tensor, constants: Tree) -> Tree:
        """What the inputs (B, F) contribute to one step."""
        return tree.map(lambda x: x[0], self.drive(inputs[None], constants))

    def pack_state(self, states: Tree, inputs: Tensor) -> Tree:
        """The form of the state that `step` carries from step to step."""
        return states, zeros_beside(inputs, self.output_size)

    def unpack_state(self, packed: Tree) -> Tree:
        """The state as users see it."""
        return packed[0]

    def neurons_of(self, packed: Tree) -> Tree:
        """The state in the order of the neurons' ids, for those who look inside."""
        return self.unpack_state(packed)

    def step(self, packed: Tree, drive: Tree, timespan: Tensor, constants: Tree) -> Tree:
        """The packed state after one step of an elapsed time, a scalar or (B, 1)."""
        output, states = self.call(drive, packed[0], timespan=timespan)
        return states, output

    def all_steps(
        self, first: Tree, drive: Tree, times: Tensor, valid: Tensor | None, resets: Tensor | None, constants: Tree
    ) -> Tree:
        """The packed states after all steps at once, time first, of a cell whose steps compose (`parallel`).

        Args:
            first: the packed state before the first step.
            drive: what the inputs contribute.
            times: elapsed times, a scalar, (T, 1, 1) or (T, B, 1).
            valid: (T, B, 1), where a step counts; None for everywhere.
            resets: (T, B, 1), where a sample starts afresh before the step; None for nowhere.
            constants: what every step uses.
        """
        raise NotImplementedError(f"{type(self).__name__} runs step by step.")

    def runs_by_op(self, inputs: Tensor, **how: bool) -> bool:
        """Whether `whole_sequence` runs such inputs, also in single `steps`, or `in_loop`: see `is_offered`."""
        return self.sequence_op is not None and is_offered(self.sequence_op, inputs, **how) and self.fits_op()

    def fits_op(self) -> bool:
        """Whether the op has the options of this cell."""
        return True

    def whole_sequence(
        self,
        inputs: Tensor,
        state: Tree,
        times: Tensor,
        valid: Tensor | None,
        resets: Tensor | None,
        every: bool,
    ) -> tuple[Tensor, Tree]:
        """The whole run as one op, where `runs_by_op`.

        Args:
            inputs: (T, B, F).
            state: before the first step.
            times: elapsed times, a scalar, (T, 1, 1) or (T, B, 1).
            valid: (T, B, 1), where a step counts; None for everywhere.
            resets: (T, B, 1), where a sample starts afresh before the step; None for nowhere.
            every: whether the outputs of all steps are wanted, time first, or only of the last.

        Returns:
            Outputs and the last state, each in memory of its own.
        """
        raise NotImplementedError(f"{type(self).__name__} runs step by step.")

    def step_by_op(self, inputs: Tensor, states: Tree, timespan: Tensor) -> tuple[Tensor, Tree]:
        """The output and the state after one step, as a sequence of one."""
        times = timespan if len(timespan.shape) == 0 else timespan[None]
        return self.whole_sequence(inputs[None], states, times, None, None, every=False)

    def select(self, condition: Tensor, new: Tree, old: Tree) -> Tree:
        """Packed states: of each sample the new one where the condition (B, 1) holds, else the old one."""
        return tree.map(lambda new, old: ops.where(condition, new, old), new, old)

    def emit(self, packed: Tree) -> Tensor:
        """What a step leaves for the outputs."""
        return packed[1]

    def readout(self, emitted: Tensor, constants: Tree) -> Tensor:
        """Outputs (..., B, output_size) of what one or many steps emitted."""
        return emitted

    def effective_time_constants(self, packed: Tree, drive: Tree, timespan: Tensor, constants: Tree) -> Tensor:
        """Effective time constants (B, N) of the neurons, where a step begins.

        Raises:
            TypeError: the cell has none.
        """
        raise TypeError(
            f"Expected a cell whose neurons have time constants: LTC, CfC, LRC, STC, CTRNN, or an ODECell that defines "
            f"`rates`. Received: {type(self).__name__}. Look at its states with ncps.inspect.activity."
        )

    def synapse_flows(self, packed: Tree, inputs: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What passes through the synapses, where a step begins: among the neurons, and from the inputs.

        Args:
            packed: the packed state of B samples.
            inputs: (B, F).

        Returns:
            Two dictionaries of tensors (E, B), of `wiring.synapses` and of `wiring.sensory_synapses`: `openness`,
            `conductance`, and where the synapses have reversal potentials `current`.

        Raises:
            TypeError: the cell has no synapses that open and close.
        """
        raise TypeError(
            f"Expected a cell whose synapses open and close: LTC, LRC or STC. Received: {type(self).__name__}. What "
            "connects its neurons are weights: see get_weights()."
        )


class HoistingCell(Cell):
    """A cell that is written as `constants`, `drive`, `step` and `readout`, so that a loop computes only what it must.

    `constants` holds what a sequence needs once, `drive` what the inputs of many steps contribute, in one product,
    `step` what depends on the state, and `readout` what follows from many states at once. Its `call` is a sequence of
    one step. Here the packed state is the state, and the output is the state.

    Example:
        >>> class Leaky(HoistingCell):  # τ dh/dt = W x - h, solved exactly
        ...     def __init__(self, units, **options):
        ...         super().__init__(**options)
        ...         self.units = units
        ...
        ...     def build(self, input_shape):
        ...         self.kernel = self.add_weight("kernel", (input_shape[-1], self.units))
        ...
        ...     def constants(self, timespan):
        ...         return ops.convert_to_tensor(self.kernel)
        ...
        ...     def drive(self, inputs, constants):
        ...         return ops.matmul(inputs, constants)
        ...
        ...     def step(self, packed, drive, timespan, constants):
        ...         return drive + (packed - drive) * ops.exp(-timespan)
        >>> RNN(Leaky(4))(np.ones((2, 5, 3), "float32"), timespans=0.1).shape
        (2, 4)
    """

    units: Any

    @property
    def state_size(self) -> Any:
        """Number of neurons."""
        return self.units

    @property
    def output_size(self) -> Any:
        """Number of neurons, as the state is the output."""
        return self.units

    def pack_state(self, states: Tree, inputs: Tensor) -> Tree:
        """The state as it is."""
        return states

    def unpack_state(self, packed: Tree) -> Tree:
        """The state as it is."""
        return packed

    def emit(self, packed: Tree) -> Tensor:
        """The state."""
        return packed

    def call(
        self, inputs: Tensor, states: Tree, *, timespan: Any = 1.0, training: bool | None = None
    ) -> tuple[Tensor, Tree]:
        """Advances the state by one time step.

        Args:
            inputs: (B, F).
            states: in the structure of `state_size`, (B, N) for a number; or a list of length one that holds it.
            timespan: elapsed time, a number, (B,) or (B, 1).
            training: whether to drop out; None is the framework's own mode.

        Returns:
            The output (B, output_size) and the new state, in the structure of `states`.
        """
        with training_mode(training):
            return self.advance(inputs, states, timespan)

    def advance(self, inputs: Tensor, states: Tree, timespan: Tensor) -> tuple[Tensor, Tree]:
        """The output and the state after one step; by the op for whole sequences, where the backend has its own."""
        if self.runs_by_op(inputs, steps=True):
            return self.step_by_op(inputs, states, timespan)
        constants = self.constants_of_step(timespan)
        packed = self.step(self.pack_state(states, inputs), self.drive_of_step(inputs, constants), timespan, constants)
        return self.apart(self.readout(self.emit(packed), constants), self.unpack_state(packed))


def zeros_beside(inputs: Tensor, sizes: Tree) -> Tree:
    """Zeros (B, size) for a tree of sizes, of the type and on the device of inputs (B, F)."""
    column, batch = inputs[:, :1], ops.shape(inputs)[0]
    return tree.map(lambda size: ops.zeros_like(ops.broadcast_to(column, (batch, size))), sizes)


def check_cell(cell: Any) -> Cell:
    """`cell` if it is one.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(cell, Cell):
        raise TypeError(
            "Expected a cell: an ncps.layers.Cell with state_size, output_size and call(inputs, states, *, "
            f"timespan, training), such as LTCCell or CfCCell. Received: "
            f"{cell if isinstance(cell, type) else type(cell).__qualname__}. A sequence layer has one as layer.cell; "
            "a class "
            "has to be called."
        )
    return cell


def check_rank(layer: Layer, inputs: Tensor) -> None:
    """Raises unless `inputs` is (B, F).

    Raises:
        ValueError: it has another number of axes.
    """
    if len(inputs.shape) != 2:
        raise ValueError(
            f"{type(layer).__name__} expects inputs (batch, features) of one time step. Received: shape "
            f"{tuple(inputs.shape)}. Sequences go through ncps.layers.RNN or a sequence layer."
        )


def checked_state(cell: Cell, state: Tree, inputs: Tensor, batched: bool = True) -> Tree:
    """`state` in the structure of the cell's `state_size` and the type of `inputs` (B, F).

    Args:
        cell: whose state it is.
        state: the same structure with lists or tuples, or all its tensors in one list, as Keras passes them.
        inputs: what it stands beside.
        batched: whether the user's inputs had a batch axis.

    Raises:
        ValueError: its structure or a shape does not fit the cell.
    """
    if fits_as_it_is(cell.state_size, state, inputs):
        return state
    leaves, structure = tree.flatten(state)
    sizes, expected = tree.flatten(cell.state_size)
    if as_lists(structure) not in (as_lists(expected), [tree.LEAF] * len(sizes)):
        example = tree.map(lambda size: f"({'B, ' if batched else ''}{size}{'' if batched else ','})", cell.state_size)
        raise ValueError(
            f"Expected the state of {type(cell).__name__}, tensors {str(example).replace(chr(39), '')}. Received: "
            f"{tree.map(lambda leaf: tuple(getattr(leaf, 'shape', ())), state) if leaves else state}. "
            "get_initial_state(batch_size) has this structure."
        )
    leaves = [like_inputs(leaf, inputs) for leaf in leaves]
    for leaf, size in zip(leaves, sizes, strict=True):
        fits = len(leaf.shape) == 2 and leaf.shape[1] == size and not different(leaf.shape[0], inputs.shape[0])
        if not fits and not batched:
            raise ValueError(
                f"Expected a state ({size},) of a single series. Received: shape {tuple(leaf.shape[1:])}. A state of "
                "many goes with inputs that have a batch axis."
            )
        if not fits:
            raise ValueError(
                f"Expected a state (B, {size}) with B = {inputs.shape[0]}. Received: shape {tuple(leaf.shape)}. "
                f"get_initial_state({inputs.shape[0]}) makes one of zeros."
            )
    return tree.unflatten(expected, leaves)


def fits_as_it_is(size: Any, state: Tree, inputs: Tensor) -> bool:
    """Whether a single state is a tensor (B, size) of the type of `inputs`, as where steps follow one another."""
    return (
        isinstance(size, int)
        and type(state) is type(inputs)
        and state.dtype == inputs.dtype
        and tuple(state.shape) == (inputs.shape[0], size)
    )


def as_lists(structure: Any) -> Any:
    """A structure with lists for tuples: Keras' RNN passes lists on jax, tuples on torch and TensorFlow."""
    return [as_lists(child) for child in structure] if isinstance(structure, (list, tuple)) else structure
