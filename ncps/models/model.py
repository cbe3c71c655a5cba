"""A layer that can be compiled, fitted and saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ncps import ops, tree
from ncps.layers.layer import Layer

if TYPE_CHECKING:  # what the native base adds: our Trainer, or `keras.Model` under keras
    from ncps.training.trainer import Trainer

    class _Base(Trainer, Layer): ...
else:
    _Base = Layer


class Model(_Base):
    """Base of models: a layer with Keras' `compile`, `fit`, `evaluate`, `predict`, `summary` and `save`.

    Under keras it is a `keras.Model`, which Keras trains. On torch, jax, mlx and tensorflow it is a module of the
    framework, and `fit` uses the framework's own optimizers; NumPy evaluates and predicts.

    The inputs of a batch reach `call` as they are: an array is its first argument; a tuple gives the first arguments in
    order, such as sequences, timespans and mask; a dictionary gives arguments by name. A mask (B, T) among them leaves
    padded steps out of the loss and the metrics.

    Args:
        input_size: number of features; when given, the model is built at once, else at its first call.
        name: a name to show.

    Example:
        >>> from ncps.layers import CfC, Dense
        >>> class Classifier(Model):
        ...     def __init__(self, units, classes, **options):
        ...         super().__init__(**options)
        ...         self.units, self.classes = units, classes
        ...         self.rnn, self.readout = CfC(units), Dense(classes)
        ...
        ...     def call(self, sequences, timespans=None, mask=None):
        ...         return self.readout(self.rnn(sequences, timespans=timespans, mask=mask))
        >>> model = Classifier(8, 3)
        >>> model.predict((np.zeros((5, 4, 2), "float32"), np.full((5, 4), 0.5, "float32"))).shape
        (5, 3)
    """

    native_kind = "NativeModel"

    @classmethod
    def made_of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> type:
        """`Functional` for ``Model(inputs, outputs)``."""
        if cls is Model and (len(args) > 1 or "outputs" in kwargs):
            from ncps.models.functional import Functional  # a model itself

            return Functional
        return cls

    def tensors(self, inputs: Any) -> Any:
        """Inputs as tensors: one, or a tuple or a dictionary of them."""
        nested = isinstance(inputs, (tuple, list, dict)) and tree.is_arrays(inputs)
        return tree.map(ops.convert_to_tensor, inputs) if nested else ops.convert_to_tensor(inputs)

    def convert_input(self, inputs: Any) -> Any:
        """Inputs as tensors of their own types: the layers within convert to theirs."""
        return self.tensors(inputs)
