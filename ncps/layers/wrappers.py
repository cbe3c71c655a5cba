"""Layers around a layer: both directions of time, every step of time."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ncps import ops, tree
from ncps.backend import backend_scope, training_mode
from ncps.layers.layer import Layer, Shape, Tensor
from ncps.layers.rnn import RNN, SEQUENCE_RANK, check_sequences
from ncps.naming import nearest
from ncps.serialization import deserialize, serialize

MERGES: dict[str | None, Callable[[Tensor, Tensor], Any]] = {
    "concat": lambda a, b: ops.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
    None: lambda a, b: (a, b),
}


class Bidirectional(Layer):
    """Runs a layer over sequences in both directions of time, and merges the outputs step by step.

    Elapsed times, mask and resets go with their steps: backwards, a step comes after the time that stands with it.

    Args:
        layer: the layer that runs forwards: an `RNN`, `LTC`, `CfC` ...
        merge_mode: ``"concat"``, ``"sum"``, ``"mul"``, ``"ave"``, or None for the pair of outputs.
        backward_layer: the layer that runs backwards; by default one like `layer`, with weights of its own.
        options: `input_size`, `name`, `dtype`.

    Raises:
        TypeError: a layer does not run over sequences.
        ValueError: `merge_mode` is unknown, or the layers disagree about direction or what they return.

    Source: Schuster, Paliwal 1997.

    Example:
        >>> layer = Bidirectional(CfC(8, return_sequences=True), merge_mode="sum")
        >>> layer(np.zeros((5, 7, 3), "float32"), timespans=0.1).shape
        (5, 7, 8)
    """

    def __init__(
        self, layer: RNN, merge_mode: str | None = "concat", backward_layer: RNN | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        if merge_mode not in MERGES:
            raise ValueError(
                f"Expected merge_mode out of {', '.join(map(repr, MERGES))}. Received: {merge_mode!r}. "
                f"{nearest(merge_mode, MERGES)}"
            )
        self.merge_mode = merge_mode
        self.layer = check_sequence_layer(layer)
        self.backward_layer = check_sequence_layer(reversed_layer(layer) if backward_layer is None else backward_layer)
        for name in ("return_sequences", "return_state", "stateful"):
            if getattr(self.layer, name) != getattr(self.backward_layer, name):
                raise ValueError(
                    f"Expected layers with the same {name}. Received: {getattr(self.layer, name)} and "
                    f"{getattr(self.backward_layer, name)}. Give both the same, or leave backward_layer out."
                )
        if self.layer.go_backwards == self.backward_layer.go_backwards:
            raise ValueError(
                "Expected backward_layer to run against layer. Received: two with "
                f"go_backwards={self.layer.go_backwards}. Give one of them go_backwards=True."
            )

    def build(self, input_shape: Shape) -> None:
        """Builds both layers."""
        self.layer.ensure_built(input_shape)
        self.backward_layer.ensure_built(input_shape)

    check_arguments = RNN.check_arguments

    def call(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Tensor | None = None,
        timespans: Any = None,
        training: bool | None = None,
        resets: Any = None,
    ) -> Any:
        """Runs both layers.

        Args:
            sequences: (B, T, F), or (T, F) for a single series.
            initial_state: the pair of those of both layers; or None.
            mask: see `RNN`, as for the arguments that follow.
            timespans: see there.
            training: see there.
            resets: see there; each direction starts afresh before the step, in its own order.

        Returns:
            The merged outputs; where the layers return states, also the pair of them.
        """
        batched = check_sequences(self, sequences)
        options = {"mask": mask, "timespans": timespans, "training": training, "resets": resets}
        options = {name: value for name, value in options.items() if value is not None}
        states = self.pair_of_states(initial_state)
        forward = self.parts(self.layer(sequences, initial_state=states[0], **options))
        backward = self.parts(self.backward_layer(sequences, initial_state=states[1], **options))
        outputs = [forward[0], backward[0]]
        if self.layer.return_sequences:  # in the order of time
            late = 0 if self.layer.go_backwards else 1
            outputs[late] = ops.flip(outputs[late], 1 if batched else 0)
        merged = MERGES[self.merge_mode](*outputs)
        return self.native_result(merged, (forward[1], backward[1])) if self.layer.return_state else merged

    def parts(self, result: Any) -> tuple[Tensor, Any]:
        """Outputs and states of what a layer returned; Keras' are flat."""
        if not self.layer.return_state:
            return result, None
        outputs, *states = result
        return outputs, states[0] if len(states) == 1 else states

    def pair_of_states(self, given: Any) -> Any:
        """The initial states of both layers.

        Raises:
            ValueError: there are not two.
        """
        if given is None:
            return None, None
        sizes = len(tree.flatten(self.layer.cell.state_size)[0])
        leaves = tree.flatten(given)[0]
        if len(leaves) != 2 * sizes:
            raise ValueError(
                f"Expected initial_state as the pair of those of both layers, {2 * sizes} tensors. Received: "
                f"{len(leaves)}. Give (state of the forward layer, state of the backward layer)."
            )
        return leaves[:sizes], leaves[sizes:]

    def reset_state(self) -> None:
        """Both layers begin with zeros, where they are stateful."""
        self.layer.reset_state()
        self.backward_layer.reset_state()

    def compute_mask(self, sequences: Tensor, previous_mask: Tensor | None) -> Any:
        """The mask of the outputs, where they are sequences, or of both; Keras asks for it."""
        mask = previous_mask if self.layer.return_sequences else None
        return (mask, mask) if self.merge_mode is None else mask

    def compute_output_shape(self, sequences_shape: Shape, *_: Any) -> Any:
        """Shapes of what `call` returns."""
        results = [layer.compute_output_shape(sequences_shape) for layer in (self.layer, self.backward_layer)]
        (forward, *own), (backward, *others) = results if self.layer.return_state else [[shape] for shape in results]
        merged: Any = forward
        if self.merge_mode == "concat":
            merged = (*forward[:-1], forward[-1] + backward[-1])
        elif self.merge_mode is None:
            merged = (forward, backward)
        return (merged, *own, *others) if self.layer.return_state else merged


def check_sequence_layer(layer: Any) -> RNN:
    """`layer` if it runs over sequences.

    Raises:
        TypeError: it does not.
    """
    if not isinstance(layer, RNN):
        raise TypeError(
            f"Expected a layer that runs over sequences: ncps.layers.RNN, LTC, CfC ... Received: "
            f"{type(layer).__qualname__}. A cell becomes one by RNN(cell)."
        )
    return layer


def reversed_layer(layer: RNN) -> RNN:
    """A layer like `layer` that runs the other way, with weights of its own."""
    data = serialize(check_sequence_layer(layer))
    config = data["config"] | {"go_backwards": not layer.go_backwards}
    if layer.bound_to == "keras":  # names of Keras' layers differ
        config["name"] = f"backward_{config['name']}"
    with backend_scope(layer.bound_to or ""):
        return deserialize(data | {"config": config})


class TimeDistributed(Layer):
    """Applies a layer to every time step, as `Dense` or an image network in front of a recurrent layer.

    Args:
        layer: any layer; it sees the steps (B T, ...) as samples.
        options: `input_size`, `name`, `dtype`.

    Raises:
        TypeError: `layer` is no layer.

    Example:
        >>> TimeDistributed(CfC(8))(np.zeros((2, 5, 7, 3), "float32")).shape  # 5 series at 2 times
        (2, 5, 8)
    """

    def __init__(self, layer: Layer, **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(layer, Layer):
            raise TypeError(
                f"Expected a layer. Received: {type(layer).__qualname__}. A function becomes one in a class derived "
                "from ncps.layers.Layer."
            )
        self.layer = layer

    def build(self, input_shape: Shape) -> None:
        """Builds the layer for the inputs (B, ...) of one step."""
        self.layer.ensure_built((None, *input_shape[2:]) if len(input_shape) >= SEQUENCE_RANK else input_shape)

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        """Applies the layer to inputs (B, T, ...).

        Args:
            inputs: (B, T, ...).
            training: the mode of the layer; None is the framework's own.
            mask: (B, T, S) where each step is a series of S steps itself, for a layer that takes a mask. One of the
                steps, (B, T), has no effect on the outputs.

        Raises:
            ValueError: there is no time axis.
        """
        if len(inputs.shape) < SEQUENCE_RANK:
            raise ValueError(
                "Expected inputs (batch, time, ...) with at least one more axis. Received: shape "
                f"{tuple(inputs.shape)}. Add an axis of features, inputs[..., None]."
            )
        batch, steps, *rest = ops.shape(inputs)
        options = {} if mask is None else self.mask_of_steps(ops.convert_to_tensor(mask))
        with training_mode(training):
            outputs = self.layer(ops.reshape(inputs, (-1, *rest)), **options)
        return ops.reshape(outputs, (batch, steps, *ops.shape(outputs)[1:]))

    def mask_of_steps(self, mask: Tensor) -> dict[str, Tensor]:
        """The mask of the series at all steps (B T, S), where there is one and the layer takes it."""
        if len(mask.shape) < SEQUENCE_RANK or "mask" not in inspect.signature(self.layer.call).parameters:
            return {}
        return {"mask": ops.reshape(mask, (-1, *ops.shape(mask)[2:]))}

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> Tensor | None:
        """The mask of the outputs; Keras asks for it. A step that is a series counts if one of its steps does."""
        if previous_mask is None or len(previous_mask.shape) < SEQUENCE_RANK:
            return previous_mask
        own = self.layer.compute_mask(inputs, previous_mask)
        with self.scope():
            return ops.any(previous_mask, axis=-1) if own is None else own

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, T, ...)."""
        batch, steps, *rest = input_shape
        return (batch, steps, *self.layer.compute_output_shape((None, *rest))[1:])
