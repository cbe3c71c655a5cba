r"""Solvers of ordinary differential equations, as data: one step of a size δ from a state x.

========================= ===== ================================================ ==================
name                      order one step                                         stable for δ λ up to
========================= ===== ================================================ ==================
``euler`` (``explicit``)  1     x + δ k₁                                         2
``heun``                  2     x + δ (k₁ + k₂) / 2                              2
``rk4``                   4     x + δ (k₁ + 2 k₂ + 2 k₃ + k₄) / 6                2.785
``semi_implicit``         1     (c x + δ a) / (c + δ d), for c ẋ = a - d x       any
========================= ===== ================================================ ==================

λ is the fastest rate of decay. The semi-implicit step treats the decay of a neuron implicitly and everything else
explicitly; it is the fused step of liquid time-constant networks (Hasani et al. 2021, eq. 3). The explicit ones are
Runge-Kutta methods (Hairer, Nørsett, Wanner: Solving Ordinary Differential Equations I, II.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ncps.naming import nearest

Tensor = Any
SEMI_IMPLICIT = "semi_implicit"


@dataclass(frozen=True)
class RungeKutta:
    """An explicit Runge-Kutta method.

    Args:
        order: the error of a fixed time falls with this power of δ.
        stages: for each slope k, the weights of the slopes before it, which tell where it is taken.
        weights: of the slopes in the step.
        limit: largest δ λ for which ẋ = -λ x does not grow.
    """

    order: int
    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    limit: float

    def step(self, derivative: Callable[[Tensor], Tensor], x: Tensor, delta: Tensor) -> Tensor:
        """The state after δ."""
        slopes: list[Tensor] = []
        for row in self.stages:
            slopes.append(derivative(moved(x, delta, row, slopes)))
        return moved(x, delta, self.weights, slopes)


def moved(x: Tensor, delta: Tensor, weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    """x + δ Σ weight slope."""
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            x = x + (delta if weight == 1 else delta * weight) * slope
    return x


EXPLICIT = {
    "euler": RungeKutta(1, ((),), (1.0,), 2.0),
    "heun": RungeKutta(2, ((), (1.0,)), (1 / 2, 1 / 2), 2.0),
    "rk4": RungeKutta(4, ((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), 2.785),
}
EXPLICIT["explicit"] = EXPLICIT["euler"]  # the name in papers on liquid networks
ORDERS = {name: method.order for name, method in EXPLICIT.items()} | {SEMI_IMPLICIT: 1}


def semi_implicit_step(x: Tensor, delta: Tensor, source: Tensor, decay: Tensor, capacity: Tensor) -> Tensor:
    """The state after δ of capacity · ẋ = source - decay · x, the coefficients held where the step begins."""
    return (capacity * x + delta * source) / (capacity + delta * decay)


def check_solver(solver: str, known: tuple[str, ...]) -> str:
    """`solver` if the cell has it.

    Raises:
        ValueError: it does not.
    """
    if solver not in known:
        raise ValueError(
            f"Expected solver out of {', '.join(known)}. Received: solver={solver!r}. {nearest(solver, known)}"
        )
    return solver
