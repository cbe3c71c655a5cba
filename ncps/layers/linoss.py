"""Linear oscillatory state-space layers, which run over all steps of a sequence at once."""

from __future__ import annotations

from typing import Any, NamedTuple

from ncps import ops
from ncps.initializers import Uniform
from ncps.layers.cell import HoistingCell, Tree, zeros_beside
from ncps.layers.dense import check_features
from ncps.layers.layer import Shape, Tensor, check_size
from ncps.layers.rnn import CellSequence

DISCRETIZATIONS = ("im", "imex")


class Oscillation(NamedTuple):
    """An affine step of the oscillators, x' = M x + F, with a 2 x 2 matrix M for each of them."""

    zz: Tensor  # M, of the velocity z and the position y: (..., 1, P)
    zy: Tensor
    yz: Tensor
    yy: Tensor
    z: Tensor  # F (..., 2, P), of the real and the imaginary part
    y: Tensor

    def after(self, first: Oscillation) -> Oscillation:
        """Both steps in one: `first`, then this one."""
        return Oscillation(
            self.zz * first.zz + self.zy * first.yz,
            self.zz * first.zy + self.zy * first.yy,
            self.yz * first.zz + self.yy * first.yz,
            self.yz * first.zy + self.yy * first.yy,
            *self.of(first.z, first.y),
        )

    def of(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The state after the step."""
        return self.zz * z + self.zy * y + self.z, self.yz * z + self.yy * y + self.y

    def only_where(self, condition: Tensor) -> Oscillation:
        """The step where the condition (..., 1, 1) holds; elsewhere nothing changes."""
        return Oscillation(*(ops.where(condition, x, one) for x, one in zip(self, REST, strict=True)))


REST = Oscillation(1.0, 0.0, 0.0, 1.0, 0.0, 0.0)  # a step that changes nothing


class LinOSSCell(HoistingCell):
    r"""One time step of a linear oscillatory state-space model.

    P forced oscillators with complex input and output,

    $$\ddot y = -A y + B u, \qquad o = \operatorname{Re}(C y) + D u, \qquad A = \max(a, 0),$$

    take steps of $\Delta = \sigma(s)\, t$, for the elapsed time t, in velocity z and position y:

    $$z' = z + \Delta (-A y' + B u) \quad \text{(im)}, \qquad z' = z + \Delta (-A y + B u) \quad \text{(imex)}, \qquad
      y' = y + \Delta z'.$$

    The implicit step (im) dissipates energy and is stable for any Δ; the other conserves it, for equal
    steps with Δ² A < 4; driven by irregular ones it may grow.

    The state (B, 4 P) holds the real and imaginary parts of z, then those of y.

    Args:
        units: number of oscillators P.
        output_units: number of outputs; as many as oscillators by default.
        discretization: ``"im"`` or ``"imex"``.
        parallel: whether sequences run all steps at once, or one after the other, with the same results.
        options: `input_size`, `name`, `dtype`.

    Raises:
        ValueError: an argument is out of its range.

    Source: Rusch, Rus, ICLR 2025 (arXiv 2410.03943), eq. 1-6; their D is a diagonal.

    Example:
        >>> cell = LinOSSCell(4, output_units=2, input_size=3)
        >>> output, state = cell(np.zeros((5, 3), "float32"), cell.get_initial_state(5), timespan=0.5)
        >>> output.shape, state.shape
        ((5, 2), (5, 16))
    """

    def __init__(
        self,
        units: int,
        output_units: int | None = None,
        discretization: str = "im",
        parallel: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = check_size("units", units)
        self.output_units = None if output_units is None else check_size("output_units", output_units)
        if discretization not in DISCRETIZATIONS:
            raise ValueError(
                f"Expected discretization='im' or 'imex'. Received: {discretization!r}. 'im' forgets, 'imex' keeps "
                "energy."
            )
        self.discretization = discretization
        self.parallel = parallel

    @property
    def state_size(self) -> int:
        """Real and imaginary parts of velocity and position."""
        return 4 * self.units

    @property
    def output_size(self) -> int:
        """Number of outputs."""
        return self.output_units or self.units

    def build(self, input_shape: Shape) -> None:
        """Makes A and s (P,), B (F, 2 P), C (2 P, O) and D (F, O)."""
        features = check_size("the number of features", input_shape[-1])
        n, outputs = self.units, self.output_size
        self.A = self.add_weight("A", (n,), Uniform(None, 0.0, 1.0), constraint="non_negative")
        self.steps = self.add_weight("steps", (n,), Uniform(None, 0.0, 1.0))
        self.B = self.add_weight("B", (features, 2 * n), Uniform(None, -(features**-0.5), features**-0.5))
        self.C = self.add_weight("C", (2 * n, outputs), Uniform(None, -(n**-0.5), n**-0.5))
        self.D = self.add_weight("D", (features, outputs))

    # -- for sequences; the packed state is z and y (B, 2, P), and what the inputs add to the outputs (B, O)

    def constants(self, timespan: Tensor | None) -> Tree:
        """A, σ(s), and B, C, D."""
        return ops.non_negative(self.A), ops.sigmoid(self.steps), *map(ops.convert_to_tensor, (self.B, self.C, self.D))

    def drive(self, inputs: Tensor, constants: Tree) -> Tree:
        """B u (T, B, 2, P) and D u (T, B, O)."""
        check_features(self, inputs, self.B.shape[0])
        _, _, b, _, d = constants
        return self.complex(ops.matmul(inputs, b)), ops.matmul(inputs, d)

    def complex(self, x: Tensor) -> Tensor:
        """(..., 2 P) as real and imaginary parts (..., 2, P)."""
        return ops.reshape(x, (*ops.shape(x)[:-1], 2, self.units))

    def pack_state(self, states: Tensor, inputs: Tensor) -> Tree:
        """z, y, and no inputs yet."""
        z, y = ops.split(states, 2, axis=-1)
        return self.complex(z), self.complex(y), zeros_beside(states, self.output_size)

    def unpack_state(self, packed: Tree) -> Tensor:
        """(B, 4 P)."""
        z, y, _ = packed
        return ops.reshape(ops.stack([z, y], axis=-3), (-1, self.state_size))

    def affine(self, force: Tensor, timespan: Tensor, constants: Tree) -> Oscillation:
        """The step of an elapsed time, a scalar or (..., 1, 1), under a force (..., 2, P)."""
        a, rate, *_ = constants
        delta = rate * timespan
        if self.discretization == "imex":
            push, pull = delta * force, delta * delta * a
            return Oscillation(ops.ones_like(delta), -delta * a, delta, 1 - pull, push, delta * push)
        s = 1 / (1 + delta * delta * a)
        push = s * delta * force
        return Oscillation(s, -delta * a * s, delta * s, s, push, delta * push)

    def step(self, packed: Tree, drive: Tree, timespan: Tensor, constants: Tree) -> Tree:
        """z, y and D u after one step."""
        force, through = drive
        timespan = timespan if len(timespan.shape) == 0 else ops.expand_dims(timespan, -1)
        return *self.affine(force, timespan, constants).of(*packed[:2]), through

    def select(self, condition: Tensor, new: Tree, old: Tree) -> Tree:
        """Of each sample the new state where the condition (B, 1) holds, else the old one."""
        wide = ops.expand_dims(condition, -1)
        conditions = wide, wide, condition
        return tuple(ops.where(c, a, b) for c, a, b in zip(conditions, new, old, strict=True))

    def emit(self, packed: Tree) -> Tree:
        """The positions and D u."""
        return packed[1:]

    def readout(self, emitted: Tree, constants: Tree) -> Tensor:
        """Re(C y) + D u; the sign of the imaginary part is in C."""
        y, through = emitted
        return ops.matmul(ops.reshape(y, (*ops.shape(y)[:-2], 2 * self.units)), constants[3]) + through

    def all_steps(
        self, first: Tree, drive: Tree, times: Tensor, valid: Tensor | None, resets: Tensor | None, constants: Tree
    ) -> Tree:
        """The packed states after all steps, time first."""
        force, through = drive
        times = times if len(times.shape) == 0 else ops.expand_dims(times, -1)
        steps = self.affine(force, times, constants)
        held = through if valid is None else held_inputs(through, first[2], valid, resets)
        if valid is not None:
            steps = steps.only_where(ops.expand_dims(valid, -1))
        length, batch, *_ = ops.shape(force)
        wide = length, 1 if resets is None else batch, 1, self.units  # what resets cut off differs between samples
        zz, zy, yz, yy = (x if len(x.shape) > 1 and resets is None else ops.broadcast_to(x, wide) for x in steps[:4])
        steps = Oscillation(zz, zy, yz, yy, steps.z, steps.y)
        if resets is None:
            total = ops.associative_scan(lambda first, then: then.after(first), steps)
            return *total.of(*first[:2]), held
        goes_on = ops.expand_dims(ops.logical_not(resets), -1)
        total, goes_on = ops.associative_scan(after_resets, (steps, goes_on))
        return *total.of(*(ops.where(goes_on, x, 0.0) for x in first[:2])), held


Flagged = tuple[Any, Tensor]  # a step, and whether what was before it has any effect on what comes after


def after_resets(first: Flagged, then: Flagged) -> Flagged:
    """Both steps in one: `first`, unless a reset came after it, then the other.

    What a reset cuts off is chosen away before the product: 0 times NaN would be NaN, also in the gradients.
    """
    (before, went_on), (after, goes_on) = first, then
    return after.after(before.only_where(goes_on)), ops.logical_and(went_on, goes_on)


def held_inputs(through: Tensor, first: Tensor, valid: Tensor, resets: Tensor | None) -> Tensor:
    """What the inputs add to the outputs (T, B, O): at a masked step, what they added at the step before."""
    keeps = ops.logical_not(valid if resets is None else ops.logical_or(valid, resets))
    added = ops.where(valid, through, ops.zeros_like(through))
    keeps, added = ops.associative_scan(
        lambda a, b: (ops.logical_and(a[0], b[0]), ops.where(b[0], a[1], b[1])), (keeps, added)
    )
    return ops.where(keeps, first, added)


class LinOSS(CellSequence):
    """A linear oscillatory state-space layer over sequences, all steps at once: `RNN` of a `LinOSSCell`.

    The steps are affine maps of the state, so any number of them are one, and `ops.associative_scan` finds all states
    in O(log T) parallel operations: sequences of 100,000 steps can be trained. ``parallel=False`` runs them one after
    the other, as `step` does.

    Args:
        units: number of oscillators.
        options: of `RNN` and of `LinOSSCell` (`output_units`, `discretization`, `parallel`); `input_size`, `name`,
            `dtype`.

    Example:
        >>> LinOSS(8, return_sequences=True)(np.zeros((1, 1000, 3), "float32")).shape
        (1, 1000, 8)
    """

    make_cell = LinOSSCell
