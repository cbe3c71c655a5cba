"""The affine layer."""

from __future__ import annotations

from typing import Any

from ncps import activations, initializers, ops
from ncps.layers.layer import Activation, Layer, Shape, Tensor, check_size


class Dense(Layer):
    """y = activation(x W + b).

    Args:
        units: number of outputs.
        activation: name or function; None is linear.
        use_bias: whether to add b.
        kernel_initializer: of W (F, units): a name, a number, an array or an `ncps.initializers.Initializer`.
        bias_initializer: of b (units,).
        options: `input_size`, `name`, `dtype`, as for every layer.

    Returns:
        (..., units) for inputs (..., F).

    Raises:
        ValueError: `units` is below 1, or the inputs have another number of features than before.

    Example:
        >>> Dense(2, kernel_initializer="ones")(np.float32([[1, 2]]))
        array([[3., 3.]], dtype=float32)
    """

    def __init__(
        self,
        units: int,
        activation: Activation = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = check_size("units", units)
        activations.get(activation)
        self.activation = activation
        self.use_bias = use_bias
        self.kernel_initializer = initializers.argument(kernel_initializer)
        self.bias_initializer = initializers.argument(bias_initializer)

    def build(self, input_shape: Shape) -> None:
        """Makes the kernel (F, units) and the bias (units,)."""
        features = check_size("the number of features", input_shape[-1])
        self.kernel = self.add_weight("kernel", (features, self.units), self.kernel_initializer)
        if self.use_bias:
            self.bias = self.add_weight("bias", (self.units,), self.bias_initializer)

    def call(self, inputs: Tensor) -> Tensor:
        """Maps inputs (..., F) to (..., units)."""
        check_features(self, inputs, self.kernel.shape[0])
        outputs = ops.matmul(inputs, self.kernel)
        if self.use_bias:
            outputs = outputs + self.bias
        return activations.get(self.activation)(outputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(..., units)."""
        return (*input_shape[:-1], self.units)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> Tensor | None:
        """The mask of the inputs; Keras asks for it."""
        return previous_mask


def check_features(layer: Layer, inputs: Tensor, features: int | None) -> None:
    """Raises unless `inputs` has `features` features.

    Raises:
        ValueError: it has another number.
    """
    if inputs.shape[-1] != features:
        raise ValueError(
            f"{type(layer).__name__} was built for {features} features, the last axis of its inputs. Received: inputs "
            f"of shape {tuple(inputs.shape)}. Make a new layer for another number of features."
        )
