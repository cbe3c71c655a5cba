"""Solvers against theory: orders of convergence, stability, and the bounds that the LTC paper proves. In float64."""

import functools
import warnings

import numpy as np
import pytest
import reference
from hypothesis import given, settings, strategies as st
from native import weights_of

import ncps
from ncps.layers import CTRNN, LRC, LTC, STC, CTRNNCell, LTCCell, NeuralODE, NeuralODECell, ODECell
from ncps.layers.solvers import EXPLICIT, ORDERS
from ncps.wirings import AutoNCP, FullyConnected, Random

NCP = AutoNCP(6, 2, seed=3)


def built(wiring):
    return wiring.frozen(3)


# A layer by its name, and the right-hand side of its equation from the reference.
EQUATIONS = {
    "ltc": (functools.partial(LTC, 4), lambda p: reference.ltc_system(p, built(FullyConnected(4)))),
    "ltc_wired": (functools.partial(LTC, NCP), lambda p: reference.ltc_system(p, built(NCP))),
    "stc": (functools.partial(STC, 4), lambda p: reference.stc_system(p, built(FullyConnected(4)))),
    "lrc": (functools.partial(LRC, 4), lambda p: reference.stc_system(p, built(FullyConnected(4)), "asymmetric")),
    "lrc_symmetric": (
        functools.partial(LRC, NCP, elastance="symmetric"),
        lambda p: reference.stc_system(p, built(NCP), "symmetric"),
    ),
    "ctrnn": (functools.partial(CTRNN, 4, tau=0.7), lambda p: reference.ctrnn_system(p, 4)),
    "neural_ode": (functools.partial(NeuralODE, 4), lambda p: reference.ctrnn_system(p, 4)),
}
SOLVERS = {
    name: [s for s in ("semi_implicit", "euler", "heun", "rk4") if not (name == "neural_ode" and s == "semi_implicit")]
    for name in EQUATIONS
}
X = np.random.default_rng(0).normal(size=(1, 1, 3))
TIME = 1.5


def made(name, **options):
    ncps.set_seed(5)
    with ncps.backend_scope("numpy"):
        return EQUATIONS[name][0](input_size=3, dtype="float64", return_state=True, **options)


def exact(name):
    """The solution of the reference's equation by an adaptive method of order 8."""
    from scipy.integrate import solve_ivp

    layer = made(name)
    rates = EQUATIONS[name][1](reference.under(weights_of(layer), "cell"))(X[0])
    f = reference.right_hand_side(rates)
    start = initial(layer)
    solution = solve_ivp(lambda t, v: f(v[None])[0], (0, TIME), start[0], method="DOP853", rtol=1e-13, atol=1e-14)
    return solution.y[:, -1]


def initial(layer):
    return np.random.default_rng(1).uniform(-0.5, 0.5, (1, layer.cell.state_size))


@pytest.mark.parametrize(("name", "solver"), [(name, solver) for name in SOLVERS for solver in SOLVERS[name]])
def test_order_of_convergence(name, solver):
    """Halving the step divides the error by 2 to the power of the order."""
    wanted, errors = exact(name), []
    for unfolds in (16, 32, 64) if solver == "rk4" else (32, 64, 128):
        layer = made(name, solver=solver, unfolds=unfolds)
        _, state = layer(X, initial_state=initial(layer), timespans=TIME)
        errors.append(np.abs(state[0] - wanted).max())
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert errors[-1] > 1e-14  # not yet rounding
    np.testing.assert_allclose(orders[-1], ORDERS[solver], rtol=0, atol=0.1)


@pytest.mark.parametrize("name", list(EXPLICIT))
def test_tableaus_are_consistent(name):
    """The weights of a method sum to 1, and its stability limit is where it stops to damp x' = -x."""
    method = EXPLICIT[name]
    assert sum(method.weights) == pytest.approx(1)
    for excess, grows in ((0.999, False), (1.001, True)):
        x = method.step(lambda x: -x, 1.0, method.limit * excess)
        assert (abs(x) > 1) == grows


def test_cells_list_their_solvers():
    assert LTCCell.solvers()[0] == "semi_implicit"
    assert set(LTCCell.solvers()) == set(CTRNNCell.solvers()) == {"semi_implicit", "euler", "explicit", "heun", "rk4"}
    assert set(NeuralODECell.solvers()) == set(EXPLICIT)
    with pytest.raises(ValueError, match=r"out of euler, heun, rk4, explicit.*'semi_implicit'"):
        NeuralODE(3, solver="semi_implicit")
    with pytest.raises(ValueError, match=r"semi_implicit, euler.*'rk5'"):
        LTC(3, solver="rk5")


def test_a_time_of_zero_leaves_the_state(backend):
    for name in EQUATIONS:
        for solver in SOLVERS[name]:
            ncps.set_seed(5)
            layer = EQUATIONS[name][0](input_size=3, return_state=True, solver=solver)
            start = np.float32(initial(layer))
            result = layer(np.float32(X), initial_state=start, timespans=0.0)
            np.testing.assert_allclose(ncps.ops.convert_to_numpy(result[1]), start, rtol=0, atol=1e-7)


# ---- the bounds of Hasani et al. 2021

SEEDS = st.integers(0, 99)
WIRINGS = st.one_of(
    st.integers(1, 6),
    st.builds(lambda units, seed: AutoNCP(units, 1, seed=seed), st.integers(4, 12), SEEDS),
    st.builds(lambda units, seed: Random(units, 1, 0.6, seed), st.integers(2, 8), SEEDS),
)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(
    WIRINGS,
    st.integers(0, 2**16),
    st.floats(1e-3, 1e4),
    st.floats(1e-4, 1e3),
    st.integers(1, 8),
    st.sampled_from([False, True]),
)
def test_theorems_1_and_2(wiring, seed, size, time, unfolds, implicit):
    """States stay between the smallest and largest of 0, leak and reversal potentials; time constants in their range.

    Whatever the inputs, their size and the elapsed times, with the semi-implicit solver.
    """
    rng = np.random.default_rng(seed)
    ncps.set_seed(seed)
    with ncps.backend_scope("numpy"):
        layer = LTC(
            wiring, unfolds=unfolds, input_size=2, dtype="float64", return_state=True, epsilon=1e-12,
            implicit_param_constraints=implicit,
        )  # fmt: skip
    layer.set_weights([w + rng.uniform(0, 2, w.shape) for w in layer.get_weights()])
    p = reference.under(weights_of(layer), "cell")
    potentials = np.concatenate([p["vleak"], p["erev"], p["sensory_erev"], [0.0]])
    low, high = potentials.min(), potentials.max()
    batch, steps = 3, 5
    state = rng.uniform(low, high, (batch, layer.cell.state_size))
    x = size * rng.normal(size=(batch, steps, 2))
    times = time * rng.uniform(size=(batch, steps))
    positive = reference.positive_part(implicit)
    cell = layer.cell
    leak, capacity = positive(p["gleak"]), positive(p["cm"])
    total = np.zeros(len(leak))
    for prefix, synapses in (("", cell.wiring.synapses), ("sensory_", cell.wiring.sensory_synapses)):
        np.add.at(total, synapses.target, positive(p[f"{prefix}w"]))
    for t in range(steps):
        with ncps.backend_scope("numpy"):
            constants = cell.constants(None)
            drive = cell.drive_of_step(x[:, t], constants)
            tau = cell.effective_time_constants(cell.pack_state(state, x[:, t]), drive, np.float64(1), constants)
        assert (tau <= capacity / leak * (1 + 1e-9)).all()
        assert (tau >= capacity / (leak + total + 1e-9) * (1 - 1e-9)).all()
        _, state = layer.step(x[:, t], state, timespan=times[:, t])
        assert (state >= low - 1e-9 * max(1, abs(low))).all()
        assert (state <= high + 1e-9 * max(1, abs(high))).all()


# ---- unstable steps


def test_an_unstable_explicit_solver_warns_once_and_names_the_way_out(backend):
    ncps.set_seed(0)
    layer = LTC(8, solver="explicit", input_size=2)
    x = np.zeros((1, 3, 2), np.float32)
    with pytest.warns(RuntimeWarning, match=r"solver 'explicit' takes steps of 0.167.*stable up to.*semi_impl"):
        layer(x)
    layer(x)  # an error, were it to warn again
    with pytest.warns(RuntimeWarning, match="steps of 0.5 "):
        layer(x, timespans=3.0)
    with pytest.warns(RuntimeWarning, match="steps of 1 "):
        layer.step(x[:, 0], timespan=6)
    LTC(8, input_size=2)(x, timespans=1e6)  # the semi-implicit one is always stable


def test_what_the_warning_advises_is_stable():
    with ncps.backend_scope("numpy"):
        ncps.set_seed(0)
        layer = LTC(8, solver="rk4", unfolds=1, input_size=2, return_state=True)
        x = 5 * np.random.default_rng(0).normal(size=(4, 100, 2)).astype(np.float32)
        with pytest.warns(RuntimeWarning) as caught, np.errstate(all="ignore"):
            wild = layer(x)[1]
        assert not np.abs(wild).max() < 5
        advised = int(str(caught[0].message).split("unfolds=")[1].rstrip("."))
        ncps.set_seed(0)
        tame = LTC(8, solver="rk4", unfolds=advised, input_size=2, return_state=True)(x)[1]
        assert np.abs(tame).max() < 1.5


def test_no_warning_under_compilers_and_for_times_that_are_tensors():
    torch = pytest.importorskip("torch")
    with ncps.backend_scope("torch"):
        layer = LTC(8, solver="euler", input_size=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(torch.zeros(1, 3, 2), timespans=torch.ones(1, 3))
        torch.func.functional_call(
            layer, dict(layer.named_parameters()), (torch.zeros(1, 3, 2),), {"timespans": torch.ones(3)}
        )


def test_cells_whose_rates_nobody_knows_do_not_warn(backend):
    class Growth(ODECell):
        units = 2

        def derivative(self, x, drive, constants):
            return drive - 1000.0 * x

    ncps.layers.RNN(Growth("euler", 1))(np.zeros((1, 1, 2), np.float32))
