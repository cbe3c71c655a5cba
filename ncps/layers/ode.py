"""The base of the cells that integrate an ordinary differential equation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ncps import ops
from ncps.layers.cell import HoistingCell, Tree
from ncps.layers.layer import Tensor, check_size, unbound
from ncps.layers.solvers import EXPLICIT, SEMI_IMPLICIT, check_solver, semi_implicit_step


class Longest:
    """The longest solver step that was checked. All are equal: nnx must not take two modules for different ones."""

    step = 0.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Longest)

    def __hash__(self) -> int:
        return hash(Longest)


class ODECell(HoistingCell):
    r"""A cell that is given by its right-hand side; a solver of `ncps.layers.solvers` does the stepping.

    A cell of your own defines `build` and one of

    - `derivative`: $\dot x = f(x, u)$, for the explicit solvers;
    - `rates`: a, d and c of $c\,\dot x = a(x, u) - d(x, u)\,x$, which `semi_implicit` needs, and from which
      `derivative` and the effective time constants c / d follow.

    What depends on the inputs u only goes into `drive`, what depends on neither into `constants`, so that it is
    computed once for the whole sequence. The elapsed time of one solver step is timespan / unfolds.

    Args:
        solver: ``"euler"`` (or ``"explicit"``), ``"heun"``, ``"rk4"``, or ``"semi_implicit"`` where `rates` is defined.
        unfolds: solver steps in one time step.
        options: `input_size`, `name`, `dtype`.

    Raises:
        ValueError: the cell does not have this solver, or `unfolds` is below 1.

    Example:
        >>> class Decay(ODECell):
        ...     units = 3
        ...
        ...     def derivative(self, x, drive, constants):
        ...         return drive - x
        >>> layer = RNN(Decay(solver="rk4", unfolds=4))
        >>> layer(np.ones((2, 1, 3), "float32"), timespans=1.0)[0].round(4)  # 1 - exp(-1)
        array([0.6321, 0.6321, 0.6321], dtype=float32)
    """

    def __init__(self, solver: str = "rk4", unfolds: int = 6, **options: Any) -> None:
        super().__init__(**options)
        self.solver = check_solver(solver, self.solvers())
        self.unfolds = check_size("unfolds", unfolds)
        self._longest = Longest()  # an object: attributes of modules must not be set under jax.jit

    @classmethod
    def solvers(cls) -> tuple[str, ...]:
        """Names of the solvers that this cell has."""
        semi_implicit = unbound(cls).rates is not ODECell.rates
        return (SEMI_IMPLICIT, *EXPLICIT) if semi_implicit else tuple(EXPLICIT)

    def derivative(self, x: Tensor, drive: Tree, constants: Tree) -> Tensor:
        """The right-hand side: dx/dt (B, N)."""
        source, decay, capacity = self.rates(x, drive, constants)
        return (source - decay * x) / capacity

    def rates(self, x: Tensor, drive: Tree, constants: Tree) -> tuple[Tensor, Tensor, Tensor]:
        """Source a, decay d and capacity c of c dx/dt = a - d x."""
        raise NotImplementedError(
            f"{type(self).__name__} defines neither derivative(x, drive, constants) nor rates. Define one of them: "
            "docs/guides/own_cell.md shows how."
        )

    def step(self, packed: Tensor, drive: Tree, timespan: Tensor, constants: Tree) -> Tensor:
        """`unfolds` steps of the solver."""
        x, delta = packed, timespan / self.unfolds
        for _ in range(self.unfolds):
            x = self.solver_step(x, delta, drive, constants)
        return x

    def solver_step(self, x: Tensor, delta: Tensor, drive: Tree, constants: Tree) -> Tensor:
        """One step of the solver."""
        if self.solver == SEMI_IMPLICIT:
            return semi_implicit_step(x, delta, *self.rates(x, drive, constants))
        slope: Callable[[Tensor], Tensor] = lambda x: self.derivative(x, drive, constants)  # noqa: E731
        return EXPLICIT[self.solver].step(slope, x, delta)

    def effective_time_constants(self, packed: Tree, drive: Tree, timespan: Tensor, constants: Tree) -> Tensor:
        """c / d of every neuron: with inputs and state held, its distance from rest falls by e in this time."""
        if unbound(type(self)).rates is ODECell.rates:
            return super().effective_time_constants(packed, drive, timespan, constants)
        source, decay, capacity = self.rates(packed, drive, constants)
        return self.unpack_state(capacity / decay + ops.zeros_like(source))

    # -- stability

    def fastest_rate(self) -> float | None:
        """The fastest decay that the weights allow, in 1 / time; None where nobody knows."""
        return None

    def check_step_size(self, timespans: Any) -> None:
        """Warns if an explicit solver takes steps that are too long for the fastest neuron.

        Looks at the weights only if a step is longer than any before, and not where a compiler or a transformation
        hides values.
        """
        if self.solver == SEMI_IMPLICIT:
            return
        times = self.visible(timespans)
        if times is None:
            return
        longest = float(np.max(times)) / self.unfolds
        if longest <= self._longest.step:
            return
        rate = self.fastest_rate()
        if rate is None:
            return
        self._longest.step = longest
        limit = EXPLICIT[self.solver].limit
        if longest * rate > limit:
            warnings.warn(
                f"{type(self).__name__}: solver {self.solver!r} takes steps of {longest:.3g} (timespan / unfolds), and "
                f"is stable up to {limit / rate:.3g} with these weights: states may oscillate or overflow. Use "
                f"{self.stable_choice(longest * rate / limit)}.",
                RuntimeWarning,
                stacklevel=2,
            )

    def stable_choice(self, excess: float) -> str:
        """What to do about steps that are `excess` times too long."""
        unfolds = f"unfolds={math.ceil(self.unfolds * excess)}"
        return f"solver={SEMI_IMPLICIT!r}, or {unfolds}" if SEMI_IMPLICIT in self.solvers() else unfolds
