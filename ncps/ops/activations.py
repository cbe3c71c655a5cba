"""Activations: tensors of any shape, element by element or along one axis; the shape stays."""

from __future__ import annotations

from ncps.ops.arithmetic import multiply, tanh
from ncps.ops.comparison import logical_and, where
from ncps.ops.control import custom_gradient
from ncps.ops.creation import Tensor, zeros_like
from ncps.ops.dispatch import composite, primitive


@primitive
def relu(x: Tensor) -> Tensor:
    """max(x, 0).

    Example:
        >>> ops.relu([-1.0, 2.0])
        array([0., 2.], dtype=float32)
    """


@primitive
def sigmoid(x: Tensor) -> Tensor:
    """Logistic function, 1 / (1 + e⁻ˣ).

    Example:
        >>> ops.sigmoid([0.0, 100.0])
        array([0.5, 1. ], dtype=float32)
    """


@primitive
def softplus(x: Tensor) -> Tensor:
    """ln(1 + eˣ).

    Example:
        >>> ops.softplus([0.0, 100.0])
        array([  0.6931472, 100.       ], dtype=float32)
    """


@primitive
def silu(x: Tensor) -> Tensor:
    """x sigmoid(x).

    Example:
        >>> ops.silu([0.0, 100.0])
        array([  0., 100.], dtype=float32)
    """


@primitive
def gelu(x: Tensor, approximate: bool = True) -> Tensor:
    """x Φ(x), Φ the normal distribution function; by default its tanh approximation.

    Example:
        >>> ops.gelu([0.0, 100.0])
        array([  0., 100.], dtype=float32)
    """


@primitive
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where positive, else alpha (eˣ - 1).

    Example:
        >>> ops.elu([-100.0, 2.0])
        array([-1.,  2.], dtype=float32)
    """


@primitive
def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """x where positive, else negative_slope x.

    Example:
        >>> ops.leaky_relu([-1.0, 2.0])
        array([-0.2,  2. ], dtype=float32)
    """


@primitive
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """eˣ / Σ eˣ along an axis.

    Example:
        >>> ops.softmax([0.0, 0.0])
        array([0.5, 0.5], dtype=float32)
    """


@primitive
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x - ln Σ eˣ along an axis.

    Example:
        >>> ops.log_softmax([0.0, 100.0])
        array([-100.,    0.], dtype=float32)
    """


@composite
def lecun_tanh(x: Tensor) -> Tensor:
    """1.7159 tanh(0.666 x), the activation of the CfC paper's backbones (LeCun et al. 1998).

    Example:
        >>> ops.lecun_tanh([0.0, 100.0])
        array([0.    , 1.7159], dtype=float32)
    """
    return multiply(tanh(multiply(x, 0.666)), 1.7159)


@composite
def non_negative(x: Tensor) -> Tensor:
    """max(x, 0), whose gradient passes except where descent would push a negative x further down.

    The gradient of a plain maximum is 0 below 0, so a weight that an optimizer carried there would stay for ever, and
    frameworks disagree about it at 0 itself.

    Example:
        >>> ops.non_negative(ops.convert_to_tensor([-1.0, 2.0]))
        array([0., 2.], dtype=float32)
    """

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return relu(x), x

    def backward(x: Tensor, upstream: Tensor) -> Tensor:
        return where(logical_and(x < 0, upstream > 0), zeros_like(upstream), upstream)

    return custom_gradient(lambda x: forward(x)[0], forward, backward)(x)
