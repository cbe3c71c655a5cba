"""Layers of one line: activation, dropout, normalisation."""

from __future__ import annotations

from typing import Any

from ncps import activations, ops
from ncps.layers.dense import check_features
from ncps.layers.layer import Activation as ActivationName, Layer, Shape, Tensor, check_rate, check_size


class Elementwise(Layer):
    """Base of layers whose outputs have the shape of their inputs."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the inputs."""
        return input_shape

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> Tensor | None:
        """The mask of the inputs; Keras asks for it."""
        return previous_mask


class Activation(Elementwise):
    """y = activation(x).

    Args:
        activation: name or function.
        options: `input_size`, `name`, `dtype`.

    Example:
        >>> Activation("relu")(np.float32([-1, 2]))
        array([0., 2.], dtype=float32)
    """

    def __init__(self, activation: ActivationName, **options: Any) -> None:
        super().__init__(**options)
        activations.get(activation)
        self.activation = activation

    def call(self, inputs: Tensor) -> Tensor:
        """Applies the activation to inputs of any shape."""
        return activations.get(self.activation)(inputs)


class Dropout(Elementwise):
    """While training, zeros a fraction `rate` of the elements, and divides the others by 1 - rate (Srivastava 2014).

    Args:
        rate: fraction between 0 and 1.
        seed: start of the layer's own draws, where the framework lets a layer have its own (not on torch and mlx, whose
            global generators draw).
        options: `input_size`, `name`, `dtype`.

    Raises:
        ValueError: `rate` lies outside [0, 1].

    Example:
        >>> Dropout(0.5)(np.float32([1, 2]))
        array([1., 2.], dtype=float32)
    """

    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.rate = check_rate("rate", rate)
        self.seed = seed
        self.add_seed_generator(seed)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Drops while training; otherwise the inputs as they are."""
        if self.rate == 0 or not self.is_training(training):
            return inputs
        return ops.random.dropout(inputs, self.rate, self.seed_generator)


class LayerNormalization(Elementwise):
    """y = (x - mean) / √(variance + epsilon) · gamma + beta over the last axis (Ba 2016).

    Args:
        epsilon: keeps constant inputs finite.
        options: `input_size`, `name`, `dtype`.

    Example:
        >>> LayerNormalization()(np.float32([[1, 3]])).round(2)
        array([[-1.,  1.]], dtype=float32)
    """

    def __init__(self, epsilon: float = 1e-3, **options: Any) -> None:
        super().__init__(**options)
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        """Makes gamma and beta (F,)."""
        features = check_size("the number of features", input_shape[-1])
        self.gamma = self.add_weight("gamma", (features,), "ones")
        self.beta = self.add_weight("beta", (features,), "zeros")

    def call(self, inputs: Tensor) -> Tensor:
        """Normalises inputs (..., F)."""
        check_features(self, inputs, self.gamma.shape[0])
        centred = inputs - ops.mean(inputs, axis=-1, keepdims=True)
        variance = ops.mean(centred * centred, axis=-1, keepdims=True)
        return centred * ops.rsqrt(variance + self.epsilon) * self.gamma + self.beta
