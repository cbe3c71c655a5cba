"""The comparison benchmark: its tables, its turns, its records and its page; and one small measurement."""

import contextlib
import io
import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from rich.console import Console

import ncps
from benchmarks import compare, export
from benchmarks.comparing import floors, growth, limit, memory, ours, page, peers, plots, records, sides, tables, worker
from benchmarks.comparing.bench import Bench, Options, Question, take_turns
from benchmarks.comparing.cases import CENTERS, CFC_64, CFC_WIRED, LONG, LTC_19, LTC_64, LTC_FULL, MODES, Case, grid
from benchmarks.comparing.models import Model
from benchmarks.comparing.process import Failed
from benchmarks.comparing.records import Record, Results, about
from benchmarks.comparing.sides import BACKENDS, LSTM, OURS, PEERS, UPSTREAM, UPSTREAM_CELLS, Side

NOWHERE = Path("no-such-folder")
HASTY = Options(rounds=2, round_ms=0.1, pause_s=0.0, budget_s=0.1, patience_s=60.0, limit=False)
NUMPY = Side(OURS, "numpy")
TINY = Case("CfC", units=4, batch=2, steps=3, features=3)


def record(case=LTC_64, mode="training", backend="torch", **fields):
    of_case = {
        name: getattr(case, name) for name in ("cell", "wiring", "units", "outputs", "features", "batch", "steps")
    }
    made = Record(**of_case, synapses=limit.synapses_of(case), mode=mode, backend=backend, device="cpu")
    return replace(made, **fields)


def results(*records, quick=True):
    return Results(about(2, "cpu", NOWHERE, quick), list(records))


# -- cases


def test_the_grid_has_every_cell_and_varies_two_of_them():
    cases = grid()
    assert {case.cell for case in cases} == {case.cell for case in CENTERS}
    assert {case.batch for case in cases if case.cell == "STC"} == {64}
    lengths = {case.steps for case in cases if case.network == "LTC AutoNCP(64, 8)"}
    assert lengths == {1, 100, 1_000, LONG}
    assert len(cases) == len(set(cases))


@pytest.mark.parametrize(
    ("names", "networks"),
    [
        (["CfC(64)"], {"CfC(64)"}),
        (["LTC AutoNCP"], {"LTC AutoNCP(19, 1)", "LTC AutoNCP(64, 8)", "LTC AutoNCP(256, 16)"}),
        (["GRU", "LSTM"], {"GRU(64)", "LSTM(64)"}),
    ],
)
def test_cells_are_chosen_by_the_beginning_of_their_network(names, networks):
    assert {case.network for case in grid(names)} == networks


def test_given_numbers_are_combined():
    cases = grid(["LTC"], units=[32], batches=[1, 2], steps=[5])
    assert {(case.network, case.batch, case.steps) for case in cases} == set(
        itertools.product(["LTC AutoNCP(32, 4)", "LTC(32)"], [1, 2], [5])
    )


# -- sides


def test_a_worker_of_a_peer_finds_the_peer_first(tmp_path):
    (tmp_path / UPSTREAM / "ncps").mkdir(parents=True)
    given = {"OPENBLAS_CORETYPE": "Zen", "JAX_COMPILATION_CACHE_DIR": "x", "HOME": "y"}
    made = sides.environment(Side(UPSTREAM, "keras-jax"), 2, "cpu", tmp_path, given)
    assert made["PYTHONPATH"].split(":" if sys.platform != "win32" else ";") == [
        str(tmp_path / UPSTREAM),
        str(sides.ROOT),
    ]
    assert made["KERAS_BACKEND"] == "jax"
    assert made["OMP_NUM_THREADS"] == "2"
    assert made["HOME"] == "y"
    assert not {"OPENBLAS_CORETYPE", "JAX_COMPILATION_CACHE_DIR", "NCPS_BACKEND", "NCPS_FAST"} & set(made)


def test_the_environment_chooses_our_backend_and_hides_the_fast_extra():
    made = sides.environment(Side(OURS, "keras-torch", fast=False), 1, "cpu", NOWHERE, {})
    assert (made["NCPS_BACKEND"], made["KERAS_BACKEND"], made["NCPS_FAST"]) == ("keras", "torch", "0")


def test_sides_share_an_accelerator():
    made = sides.environment(Side(OURS, "jax"), 1, "gpu", NOWHERE, {})
    assert made["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert made["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert not set(sides.CPU_ONLY) & set(made)


def test_a_peer_that_is_missing_is_told_with_the_command_that_installs_it():
    with pytest.raises(FileNotFoundError, match=r"pip install --no-deps --target .*ncps-1\.0\.1 ncps==1\.0\.1"):
        sides.packages(Side(UPSTREAM, "torch"), NOWHERE)


def test_every_backend_has_every_peer():
    assert all(set(frameworks) == set(BACKENDS) for frameworks in PEERS.values())
    assert sides.peer(UPSTREAM, "jax", Case("GRU")) is None
    assert sides.peer(LSTM, "jax", Case("GRU")).label == "flax.nnx LSTM"


def test_both_sides_of_a_mixed_memory_do_the_same_work():
    forms = {
        backend: [cell for cell in sides.FORMS if sides.runs(backend, "forward", Case(cell))] for backend in BACKENDS
    }
    assert {backend for backend in BACKENDS if forms[backend] == ["MixedMemory-state"]} == {"numpy", "torch", "mlx"}
    assert all(forms[backend] == ["MixedMemory"] for backend in ("jax", "tensorflow", *sides.KERAS))
    assert [ours.make(replace(TINY, cell=cell)).layer.cell.memory_to for cell in sides.FORMS] == ["input", "state"]
    assert {q.case.cell for q in growth_and_floors("jax") if q.case.cell in sides.FORMS} == {"MixedMemory"}
    args = compare.parsed(["--cells", "MixedMemory", "--peers", "none", "--backends", "numpy", "jax"])
    asked = {(question.ours.framework, question.case.cell) for question in compare.grid_questions(args)}
    assert asked == {("numpy", "MixedMemory-state"), ("jax", "MixedMemory")}


def growth_and_floors(backend):
    return [check.question for check in floors.checks([backend])] + growth.questions([backend])


def test_the_process_of_a_peer_imports_nothing_of_ours():
    modules = "worker", "peers", "models", "memory", "frameworks.numpy"
    line = f"import sys, {', '.join(f'benchmarks.comparing.{name}' for name in modules)}; print('ncps' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", line], cwd=sides.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_folder_of_peers_is_found_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "peers" / UPSTREAM / "ncps").mkdir(parents=True)
    assert sides.packages(Side(UPSTREAM, "torch"), Path("peers"))[0] == tmp_path / "peers" / UPSTREAM


def test_a_library_of_the_same_name_from_elsewhere_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(ncps.__file__).parents[1]))
    worker.check_origin()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ImportError, match=r"Expected ncps of .* Received: .*__init__\.py"):
        worker.check_origin()


# -- networks of peers


def stepped(model, name, series):
    """Outputs of steps that carry the state."""
    state, outputs = None, []
    for t in range(series.shape[1]):
        output, state = model.steps[name](model.layer, series[:, t], state)
        outputs.append(array_of(output).reshape(1, -1))
    return np.stack(outputs, 1)


def array_of(x):
    return x.detach().numpy() if hasattr(x, "detach") else np.asarray(x)


def test_a_layer_of_keras_and_its_cell_take_the_same_steps():
    keras = pytest.importorskip("keras")
    model = peers.keras_lstm(TINY)
    series = np.random.default_rng(0).standard_normal((1, 4, TINY.features), np.float32)
    whole = array_of(model.outputs(model.layer, keras.ops.convert_to_tensor(series)))
    assert set(model.steps) == {"layer", "cell"}
    for name in model.steps:
        assert_allclose(stepped(model, name, series), whole, atol=1e-6)


def test_a_cell_without_a_list_of_states_carries_its_state():
    class Layer:
        """As a wired CfC of ncps 1.0.1: its cell returns a bare tensor."""

        def __call__(self, x):
            return x

        def cell(self, x, states):
            return x + states[0], x + states[0]

        def get_initial_state(self, batch):
            return [np.zeros((batch, 3))]

        def get_weights(self):
            return []

        def set_weights(self, weights):
            pass

    model = peers.keras_model(Layer(), TINY)
    assert stepped(model, "cell", np.ones((1, 4, 3)))[0, :, 0].tolist() == [1, 2, 3, 4]


def test_a_cell_of_torch_starts_with_zeros_and_carries_its_state():
    torch = pytest.importorskip("torch")

    class Layer:
        state_size = 3

        def rnn_cell(self, x, state, elapsed):
            return x + state * elapsed, x + state * elapsed

    model = Model(Layer(), None, {"cell": peers.torch_cell_step})
    assert stepped(model, "cell", torch.ones(1, 4, 3))[0, :, 0].tolist() == [1, 2, 3, 4]


def test_each_step_of_a_network_is_a_way_to_run_it():
    from benchmarks.comparing.frameworks import numpy

    def counting(layer, x, state):
        taken.append(layer)
        return x, (state or 0) + layer

    taken = []
    model = Model(2, None, {"layer": counting, "cell": lambda layer, x, state: counting(3, x, state)})
    runs = worker.ways_to_run(numpy, model, "control", [np.ones(1)])
    assert list(runs) == ["eager, layer", "eager, cell"]
    runs["eager, cell"]()
    assert taken == [3]


def test_what_mlx_does_not_compile_trains_all_the_same():
    pytest.importorskip("mlx.core")
    from benchmarks.comparing.frameworks import mlx

    with ncps.backend_scope("mlx"):
        model = ours.make(replace(TINY, cell="LTC"))
        runs = mlx.training(model, *(mlx.tensor(np.ones((2, 3, size), np.float32)) for size in (3, 4)))
        runs["eager"]()
        before = np.array(model.layer.cell.gleak)
        with contextlib.suppress(IndexError):  # mlx 0.32 has no LTC compiled
            runs["compiled"]()
        runs["eager"]()
    assert (np.array(model.layer.cell.gleak) != before).any()


# -- measuring


class Fake:
    def __init__(self, name, ms, log):
        self.name, self.ms, self.log = name, ms, log

    def run(self, repeats, warm=False):
        self.log.append((self.name, repeats, warm))
        return self.ms


def test_sides_take_turns():
    log = []
    times = take_turns([Fake("A", 1.0, log), Fake("B", 50.0, log)], Options(rounds=4, pause_s=0.0))
    assert times == [[1.0] * 4, [50.0] * 4]
    turns = log[4:]  # after the looks at how fast they are
    assert "".join(name for name, *_ in turns) == "ABBAABBA"
    assert set(turns) == {("A", 30, True), ("B", 1, True)}


def test_turns_of_two_lengths_last_alike():
    log = []
    take_turns([Fake("A", 1.0, log), Fake("B", 50.0, log)], Options(rounds=4, pause_s=0.0), alike=True)
    assert set(log[4:]) == {("A", 50, True), ("B", 1, True)}


def test_slow_sides_take_fewer_turns():
    log = []
    times = take_turns([Fake("A", 60_000.0, log)], Options(rounds=12, pause_s=0.0, budget_s=40.0))
    assert len(times[0]) == 3
    assert {warm for *_, warm in log} == {False}


@pytest.fixture(scope="module")
def measured():
    changes = []
    bench = Bench(HASTY, changes.append)
    question = Question(TINY, "forward", NUMPY, NUMPY, replace(TINY, steps=6))
    bench.time(question)
    again = bench.memory(question)
    bench.time(question)  # it is there
    assert changes == [again, again]
    return again


def test_a_measurement(measured):
    assert measured.failure is None
    assert measured.peer_failure is None
    assert measured.way == "eager"
    assert 0 < measured.min_ms <= measured.median_ms <= measured.max_ms
    assert 0 < measured.ratio_low <= measured.ratio <= measured.ratio_high
    assert 0 <= measured.peak_mb < 50
    assert measured.peer == "itself, T = 6"


def test_ratios_are_of_turns_that_followed_each_other(monkeypatch):
    times = [[8.0, 8.0, 64.0], [1.0, 2.0, 8.0]]  # of the peer, which has half the steps, and of ours
    monkeypatch.setattr("benchmarks.comparing.bench.take_turns", lambda *_, **__: times)
    question = Question(TINY, "forward", NUMPY, NUMPY, replace(TINY, steps=6))
    found = Bench(HASTY).time(question)
    assert (found.ratio_low, found.ratio, found.ratio_high) == (3.0, 4.0, 4.0)
    assert (found.median_ms, found.peer_median_ms) == (2.0, 8.0)


class FakeWorker(contextlib.AbstractContextManager):
    """A side that takes 1 ms, or fails in its turn or before."""

    def __init__(self, side, failing, log=None):
        self.side, self.failing, self.log = side, failing, [] if log is None else log

    def __exit__(self, *_):
        return None

    def prepare(self, case, mode, way=None):
        self.fail_if("prepare")
        return {"compile_s": 0.5, "way": "eager", "factor": 1.0}

    def run(self, repeats, warm=False):
        self.fail_if("run")
        self.log.append((self.side.package, warm))
        return 1.0

    def memory(self, case, mode, way):
        self.fail_if("memory")
        return 2.0

    def fail_if(self, what):
        if (self.side.package, what) in self.failing:
            raise Failed(f"{self.side.package} could not {what}", self)


def test_ours_is_between_its_peer_and_the_limit(monkeypatch):
    log = []
    bench = Bench(replace(HASTY, limit=True))
    monkeypatch.setattr(Bench, "_worker", lambda _, side: FakeWorker(side, [], log))
    bench.time(Question(LTC_64, "training", Side(OURS, "torch"), Side(LSTM, "torch")))
    own, other, last = OURS, LSTM, sides.LIMIT
    assert [package for package, warm in log if warm] == [other, own, last, last, own, other, other, own, last]


@pytest.mark.parametrize("what", ["prepare", "run"])
@pytest.mark.parametrize("package", [OURS, LSTM, sides.LIMIT])
def test_a_side_that_fails_leaves_the_others_their_times(package, what, monkeypatch):
    monkeypatch.setattr(Bench, "_worker", lambda _, side: FakeWorker(side, [(package, what)]))
    bench = Bench(replace(HASTY, limit=True))
    own = bench.time(Question(LTC_64, "training", Side(OURS, "torch"), Side(LSTM, "torch")))
    text = f"{package} could not {what}"
    assert own.failure == (text if package == OURS else None)
    assert own.peer_failure == (text if package == LSTM else None)
    assert own.median_ms == (None if package == OURS else 1.0)
    assert own.ratio == (1.0 if package == sides.LIMIT else None)
    assert own.fraction == (1.0 if package == LSTM else None)


@pytest.mark.parametrize("package", [OURS, LSTM])
def test_a_failed_look_at_memory_is_no_failed_time(package, monkeypatch):
    monkeypatch.setattr(Bench, "_worker", lambda _, side: FakeWorker(side, [(package, "memory")]))
    bench, question = Bench(HASTY), Question(LTC_64, "training", Side(OURS, "torch"), Side(LSTM, "torch"))
    bench.time(question)
    own = bench.memory(question)
    text = f"{package} could not memory"
    assert (own.failure, own.peer_failure, own.median_ms) == (None, None, 1.0)
    assert (own.memory_failure, own.peer_memory_failure) == ((text, None) if package == OURS else (None, text))
    assert (own.peak_mb, own.peer_peak_mb) == ((None, 2.0) if package == OURS else (2.0, None))
    row = dict(zip(tables.RECORDS, tables.records([own])[0], strict=True))
    assert row["MB" if package == OURS else "its MB"] == f"failed: {text}"
    assert row["ms"] == row["its ms"] == "1"
    check = floors.Check(floors.Floor(LTC_64, "training", ("torch",), LSTM, floors.LESS_MEMORY, 1), question)
    assert (check.verdict(own).word, check.verdict(own).reason) == (
        "MISSED" if package == OURS else "not measured",
        text,
    )
    own.ratio = 2.0
    faster = replace(check, floor=replace(check.floor, figure=floors.FASTER))
    assert faster.verdict(own).word == "kept"


def test_what_fails_is_a_result():
    failed = Bench(HASTY).time(Question(TINY, "training", NUMPY))
    assert failed.failure == "NotImplementedError: NumPy does not train."
    assert failed.median_ms is None


def test_a_process_that_fails_or_ends_is_told():
    with Bench(HASTY)._worker(NUMPY) as worker:
        with pytest.raises(Failed, match="no_such_cell"):
            worker.prepare(replace(TINY, cell="no_such_cell"), "forward")
        worker._process.kill()
        with pytest.raises(Failed, match="ended"):
            worker.prepare(TINY, "forward")


def test_the_peak_of_an_accelerator_is_that_of_the_call():
    held = {"now": 10.0, "peak": 500.0}  # compiling took much

    def call():
        held["peak"] = 30.0

    meter = memory.Meter(lambda: held.update(peak=held["now"]), lambda: held["peak"] * memory.MB)
    assert meter.above_start(call) == 20


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux only")
def test_memory_is_that_of_the_call():
    bytearray(2**27)  # was before
    meter = memory.Meter()
    assert meter.above_start(lambda: bytearray(2**26).count(1)) == pytest.approx(64, abs=8)
    assert meter.above_start(lambda: None) < 8


# -- the limit


def test_the_limit_counts_products_and_sigmoids():
    products = (20 + 64) * 128, 128 * 3 * 64
    assert limit.WORK["CfC"](CFC_64).operations("forward") == 2 * sum(products)
    assert limit.WORK["CfC"](CFC_64).operations("training") == 2 * (3 * sum(products) - 20 * 128)
    assert limit.WORK["LTC"](LTC_FULL).sigmoids == 20 * 64 + 6 * 64 * 64
    assert limit.WORK["MixedMemory"](Case("MixedMemory")).sigmoids == 64 * 64 + 6 * 64 * 64
    assert limit.WORK["MixedMemory-state"](Case("MixedMemory")).sigmoids == 20 * 64 + 6 * 64 * 64
    assert limit.WORK["LTC"](LTC_64).sigmoids < limit.WORK["LTC"](LTC_FULL).sigmoids / 4
    assert set(limit.WORK) == {case.cell for case in CENTERS}
    assert {cell for cell in limit.WORK if not limit.WORK[cell](Case(cell)).products} == {"LTC", "STC", "LRC"}
    run, factor = limit.prepare("numpy", replace(CFC_64, batch=1, steps=2), "training")
    run()
    assert factor == 2 / limit.ROWS[0]


@pytest.mark.parametrize(
    ("case", "without_gradient"),
    [
        (CFC_WIRED, 20 * 3 * 34),  # of the first layer, 34 inter neurons
        (Case("LSTM"), 20 * 4 * 64),
        (Case("CTRNN"), 20 * 64),
        (Case("CTGRU"), 20 * 3 * 64),
        (Case("LinOSS"), 20 * 3 * 64),
        (Case("MixedMemory"), 20 * 4 * 64),
    ],
    ids=lambda case: getattr(case, "network", ""),
)
def test_the_limit_needs_no_gradient_of_inputs(case, without_gradient):
    work = limit.WORK[case.cell](case)
    assert 3 * work.operations("forward") - work.operations("training") == 2 * without_gradient


# -- floors


def bounds(case, mode, figure, fast=True):
    return {
        (backend, floor.against): floor.bound
        for floor in floors.FLOORS
        if (floor.case, floor.mode, floor.figure, floor.fast) == (case, mode, figure, fast) and floor.bound != 1
        for backend in floor.backends
    }


def test_the_table_of_floors():
    assert bounds(LTC_64, "training", floors.FASTER) == {
        ("torch", UPSTREAM): 15,
        ("jax", UPSTREAM): 20,
        ("tensorflow", UPSTREAM): 6,
        ("keras-jax", UPSTREAM): 15,
    }
    assert bounds(LTC_64, "training", floors.FASTER, fast=False) == {("torch", UPSTREAM): 4}
    assert bounds(CFC_64, "training", floors.OF_LIMIT) == {("jax", floors.LIMIT): 2}
    assert bounds(CFC_64, "forward", floors.ITS_TIME) == {("torch", LSTM): 1.5}
    assert bounds(LTC_19, "control", floors.FASTER) == {("numpy", UPSTREAM): 10}
    assert bounds(LTC_19, "control", floors.FASTER, fast=False) == {("numpy", UPSTREAM): 5}
    assert set(bounds(LTC_FULL, "training", floors.LESS_MEMORY).values()) == {10}
    assert set(bounds(replace(LTC_64, steps=LONG), "forward", floors.PER_STEP)) == {
        (b, floors.ITSELF) for b in BACKENDS
    }
    for floor in floors.FLOORS:
        assert set(floor.backends) <= set(BACKENDS)
        assert floor.mode in MODES
        assert floor.against != UPSTREAM or floor.case.cell in UPSTREAM_CELLS


def test_floors_are_asked_of_backends_that_can():
    found = list(floors.checks())
    assert not [
        check for check in found if (check.question.ours.framework, check.question.mode) == ("numpy", "training")
    ]
    assert {check.question.peer.framework for check in floors.checks(["jax"], ["LTC AutoNCP(64"]) if check.question.peer
            and check.floor.figure is floors.LESS_MEMORY} == {"torch"}  # fmt: skip
    assert len({(check.question, check.floor.figure) for check in found}) == len(found)
    assert next(check for check in found if check.question.case == LTC_19.of_mode("control")).floor.bound == 10
    short = [check.question for check in floors.checks(["mlx"], long=50) if check.floor.against == floors.ITSELF]
    assert {question.case.steps for question in short} == {50}
    assert {question.against for question in short} == {"itself, T = 100"}


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"ratio": 15.5}, "kept"),
        ({"ratio": 14.5}, "MISSED"),
        ({"ratio": 15.5, "ratio_low": 14.9, "ratio_high": 16.0}, "undecided"),
        ({"ratio": 14.5, "ratio_low": 14.0, "ratio_high": 15.1}, "undecided"),
        ({"ratio": 15.5, "ratio_low": 15.0, "ratio_high": 16.0}, "kept"),
        ({"ratio": 14.5, "ratio_low": 14.0, "ratio_high": 15.0}, "MISSED"),
        ({"peer_failure": "more than 16 GB of memory"}, "not measured"),
        ({"failure": "ended: killed"}, "MISSED"),
    ],
)
def test_verdicts(fields, word):
    check = next(floors.checks(["torch"], ["LTC AutoNCP(64, 8)"]))
    verdict = floors.stated(
        check, [record(peer="torch.nn.LSTM", ratio=0.1), record(peer="ncps 1.0.1 (torch)", **fields)]
    )
    assert verdict.word == word
    assert verdict.reason == (fields.get("failure") or fields.get("peer_failure") or "")


def test_figures_of_floors():
    assert floors.ITS_TIME.of(record(ratio=0.5)) == 2
    assert floors.OF_LIMIT.of(record(fraction=0.25)) == 4
    assert floors.OF_LIMIT.quartiles(record(fraction=0.25, fraction_low=0.2, fraction_high=0.5)) == (2, 5)
    assert floors.FASTER.quartiles(record(ratio=2.0, ratio_low=1.0, ratio_high=4.0)) == (1, 4)
    assert floors.OF_LIMIT.quartiles(record(fraction=0.25)) is floors.LESS_MEMORY.quartiles(record()) is None
    grown = 64 * 8 * 4 * (LONG - 100) / 2**20
    long = record(replace(LTC_64, steps=LONG), peer_steps=100, peak_mb=3 + 1.5 * grown, peer_peak_mb=3.0)
    assert floors.OUTPUT_ONLY.of(long) == pytest.approx(1.5)
    assert floors.OUTPUT_ONLY.of(record()) is None


# -- growth


def test_exponents_of_powers():
    x = np.array([10, 100, 1000])
    assert growth.exponent(x, 3 * x**2.0) == pytest.approx(2)
    assert growth.exponent(x, np.full(3, 7.0)) == pytest.approx(0)


def test_records_of_a_series_are_fitted():
    own = [record(replace(LTC_64, batch=b), median_ms=2.0 * b, peak_mb=5.0) for b in (16, 64, 256)]
    own.append(replace(own[0], peer="torch.nn.LSTM", median_ms=1e6))  # once more, and later
    found = {(fit.series.against, fit.quantity): round(fit.exponent, 6) for fit in growth.fits(own)}
    assert found == {("batch", "time"): 1, ("batch", "memory"): 0}
    (row,) = tables.growth(growth.fits(own))
    assert row == ["LTC AutoNCP(64, 8)", "training", "torch", "batch", "16 to 256", "1.00", "0.00"]
    assert len(row) == len(tables.GROWTH)
    assert growth.fits(own[:2]) == []


def test_growth_is_measured_in_every_direction():
    questions = growth.questions(["numpy", "torch"])
    assert {series.against for series in growth.SERIES} == {"steps", "batch", "units", "synapses"}
    assert {question.mode for question in questions if question.ours == NUMPY} == {"forward"}
    assert len(growth.questions(["torch"], quick=True)) < len(growth.questions(["torch"]))


# -- records, tables, page


def test_records_are_written_and_read(tmp_path):
    wanted = {"cell", "wiring", "units", "batch", "steps", "mode", "backend", "device", "median_ms", "min_ms", "max_ms",
              "compile_s", "peak_mb", "peer", "peer_median_ms", "ratio"}  # fmt: skip
    assert wanted <= set(asdict(record()))
    before = results(record(median_ms=1.5, peer="x", ratio=2.0), record(CFC_64, "control", "numpy"))
    before.write(tmp_path / "records.json")
    after = Results.read(tmp_path / "records.json")
    assert after == before
    assert {"machines", "threads", "versions", "environment", "commits"} <= set(after.about)
    assert after.about["environment"]["OMP_NUM_THREADS"] == "2"
    assert after.about["versions"]["numpy"] == np.__version__
    assert after.records[0].case == LTC_64


def test_older_records_do_not_tell_of_which_code_they_are(tmp_path):
    before = results(record())
    del before.about["commits"], before.about["machines"]
    before.write(tmp_path / "records.json")
    after = Results.read(tmp_path / "records.json")
    assert after.about["commits"] == []
    (tmp_path / "older.json").write_text(json.dumps({"about": {}, "records": [asdict(record()) | {"ratio_min": 1.0}]}))
    assert Results.read(tmp_path / "older.json").records == [record()]
    assert "State of the code: unknown." in page.conditions(after.about)


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "records.json"
    results(record()).write(file)
    before = file.read_text()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        results(record(), record()).write(file)
    assert file.read_text() == before


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_the_state_of_the_code(monkeypatch, tmp_path):
    monkeypatch.setattr(records, "ROOT", tmp_path)
    assert records.commit() == ncps.__version__
    code = tmp_path / "code.py"
    code.write_text("1")
    who = "-c", "user.name=x", "-c", "user.email=x"
    for command in (["init"], ["add", "."], [*who, "commit", "-m", "x"]):
        subprocess.run(["git", *command], cwd=tmp_path, capture_output=True, check=True)
    clean = records.commit()
    code.write_text("2")
    assert (len(clean), records.commit()) == (7, f"{clean}-dirty")


def test_runs_are_merged_with_the_states_of_their_code():
    one, other = results(record()), results(record(CFC_64))
    one.about["commits"], other.about["commits"] = ["a", "b"], ["b", "c"]
    one.about["machines"], other.about["machines"] = ["Abacus, 1 core"], ["Zuse, 1 core"]
    both = records.merged([one, other])
    assert both.about["commits"] == ["a", "b", "c"]
    assert both.records == [*one.records, *other.records]
    told = page.conditions(both.about)
    assert "State of the code: `a`, `b`, `c`." in told
    assert "on the CPU of: Abacus, 1 core; Zuse, 1 core." in told


def test_tables_tell_the_machine_where_there_are_several():
    one, other = record(machine="Abacus, 1 core"), record(machine="Zuse, 1 core")
    place = tables.RECORDS.index("machine")
    assert [row[place] for row in tables.records([one, other])] == ["Abacus", "Zuse"]
    assert "| machine |" in tables.markdown(tables.RECORDS, tables.records([one, other]))
    alone = tables.markdown(tables.RECORDS, tables.records([one, one]))
    assert "machine" not in alone
    assert "Abacus" not in alone


def test_curves_are_of_one_machine():
    abacus = [record(replace(LTC_64, batch=b), machine="Abacus", median_ms=9.0) for b in (64, 16)]
    zuse = [record(replace(LTC_64, batch=b), machine="Zuse", median_ms=b) for b in (256, 64, 16)]
    assert records.curve([*abacus, *zuse], "batch", "median_ms") == {16: 16, 64: 64, 256: 256}
    assert list(records.curve(zuse, "batch", "median_ms")) == [16, 64, 256]
    assert records.curve(zuse, "batch", "peak_mb") == {}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"device": "gpu"}, "device = cpu. Received: device = gpu"),
        ({"threads": 3}, "threads = 2. Received: threads = 3"),
        ({"quick": False}, "quick = True. Received: quick = False"),
        ({"versions": {"numpy": "1.0"}}, r"numpy = 1\.0"),
        ({"environment": {"XLA_FLAGS": "x"}}, "XLA_FLAGS = x"),
    ],
)
def test_what_was_measured_elsewhere_is_not_mixed(changes, text):
    other = results(record())
    other.about |= changes
    with pytest.raises(ValueError, match=text):
        records.merged([results(record()), other])


def test_tables_show_numbers_and_what_failed():
    assert [tables.digits(x) for x in (None, 0.01234, 12.34, 999.9, 12345.6)] == [
        "–",
        "0.0123",
        "12.3",
        "1000",
        "12,346",
    ]
    row = tables.records([record(failure="ended", peer_failure="no answer", fast=False)])[0]
    assert len(row) == len(tables.RECORDS)
    assert {"failed: ended", "failed: no answer", "torch (not fast)"} <= set(row)
    row = tables.records([record(way="xla, step", peer="ncps 1.0.1 (torch)", peer_way="eager, cell")])[0]
    assert {"torch (xla)", "ncps 1.0.1 (torch), cell"} <= set(row)
    assert tables.markdown(["a", "b"], [["1", "x|y"]]).splitlines() == ["| a | b |", "| --- | --- |", "| 1 | x\\|y |"]


def test_the_page_of_a_run(tmp_path, measured, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    both = [record(replace(LTC_64, batch=b), median_ms=b, peak_mb=1.0, peer="ncps 1.0.1 (torch)", ratio=16.0,
                   ratio_low=15.5, ratio_high=17.0) for b in (16, 64, 256)]  # fmt: skip
    results(*both, measured).write(tmp_path / "run.json")
    status = compare.main(["--from", "run.json", "--page", "speed.md", "--plot", "pictures", "--backends", "torch"])
    text = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert status == 0
    assert "| LTC AutoNCP(64, 8) | 100 | training | torch | ncps 1.0.1 (torch) | times faster |" in text
    assert "| 16 (15.5 to 17) | ≥ 15 | kept |" in text
    assert page.WARNING.strip() in text
    assert "## Growth" in text
    assert "## Training step" in text
    assert "## Forward pass" not in text  # only beside itself
    assert "| torch | 16 (16 to 16; 3) | – | – | – |" in text
    assert f"numpy {np.__version__}" in text
    assert "![speed_batch](pictures/speed_batch.png)" in text
    assert (tmp_path / "pictures" / "speed_batch.png").stat().st_size > 1_000
    assert plots.draw([], tmp_path / "none") == []


@pytest.mark.parametrize(("high", "word", "status"), [(14.5, "MISSED", 1), (16.0, "undecided", 0)])
def test_a_missed_floor_is_the_exit_status(high, word, status, tmp_path, capsys):
    own = record(peer="ncps 1.0.1 (torch)", ratio=14.0, ratio_low=13.0, ratio_high=high, median_ms=1.0)
    results(own).write(tmp_path / "run.json")
    assert compare.main(["--from", str(tmp_path / "run.json"), "--backends", "torch"]) == status
    assert word in capsys.readouterr().out


# -- the command line


def test_backends_by_name():
    assert compare.chosen(["keras", "numpy"]) == ["numpy", "keras-torch", "keras-jax", "keras-tensorflow"]
    assert compare.chosen(["keras-jax"]) == ["keras-jax"]
    assert "numpy" in compare.chosen(["all"])
    with pytest.raises(ValueError, match="Received: theano"):
        compare.chosen(["torch", "theano"])


def test_questions_of_the_grid():
    args = compare.parsed(
        ["--cells", "CfC(64)", "GRU", "--peers", "none", "--backends", "numpy", "torch", "--batch", "4", "--steps", "5"]
    )
    questions = compare.grid_questions(args)
    assert {question.case.batch for question in questions if question.mode != "control"} == {4}
    assert {question.case.steps for question in questions if question.mode == "control"} == {1}
    assert {question.peer for question in questions} == {None}
    assert len(questions) == 2 * (2 + 3)
    args.peers = ["all"]
    assert {q.peer.package for q in compare.grid_questions(args) if q.case.cell == "GRU"} == {LSTM}


def test_growth_uses_what_was_measured():
    args = compare.parsed(["--cells", "LTC(64)", "--peers", "none", "--backends", "torch"])
    asked = compare.growth_questions(args)
    missing = compare.missing(asked, args)
    known = record(LTC_FULL, "training", peer="torch.nn.LSTM", median_ms=1.0, peak_mb=1.0)
    assert {(asked.case.units, asked.mode) for asked in missing} == set(
        itertools.product([32, 64, 128, 256], ["forward", "training"])
    )
    args.results.records = [known, record(CFC_64, "forward", median_ms=1.0)]
    assert len(compare.missing(asked, args)) == len(missing) - 1


def test_the_lstm_is_not_repeated_for_every_cell():
    def packages(*names, case):
        return {side.package for side in compare.beside(names, "torch", case)}

    assert packages("all", case=CFC_64) == {UPSTREAM, LSTM}
    assert packages("all", case=CFC_WIRED) == {UPSTREAM}
    assert packages(LSTM, UPSTREAM, case=CFC_WIRED) == {UPSTREAM, LSTM}
    assert packages("all", LSTM, case=CFC_WIRED) == {UPSTREAM, LSTM}


@pytest.mark.parametrize("flags", ["--quick", "--batch 3", "--steps 7", "--units 32"])
def test_an_lstm_runs_in_every_size(flags):
    args = compare.parsed([*flags.split(), "--backends", "torch", "--peers", LSTM])
    args.peers = ["all"]
    beside = {q.case.network for q in compare.grid_questions(args) if q.peer and q.peer.package == LSTM}
    assert {network.split("(")[0] for network in beside} >= {"LTC AutoNCP", "CfC"}


@pytest.mark.parametrize(
    ("flags", "needs_peer"),
    [
        ("", True),
        ("--peers none", False),
        ("--peers lstm", False),
        ("--cells GRU", False),
        ("--cases growth", False),
        ("--cases floors --peers none", True),
        ("--cases floors --backends jax --cells LSTM", None),
        ("--cells Typo", None),
        ("--cells GRU Typo", None),
        ("--backends numpy --modes training", None),
    ],
)
def test_a_run_that_lacks_its_peer_or_asks_nothing_does_not_begin(flags, needs_peer, capsys):
    needs = contextlib.nullcontext() if needs_peer is False else pytest.raises(SystemExit)
    with needs:
        compare.parsed(["--peers-dir", str(NOWHERE), "--backends", "torch", *flags.split()])
    told = capsys.readouterr().err.replace("\n", " ")
    assert ("pip install" in told) == bool(needs_peer)
    assert ("Expected beginnings of LTC AutoNCP(19, 1), " in told) == ("Typo" in flags)


def test_what_is_read_tells_the_backends(tmp_path):
    results(record(backend="mlx"), record(backend="numpy")).write(tmp_path / "run.json")
    flags = ["--from", str(tmp_path / "run.json")]
    assert compare.parsed(flags).backends == ["numpy", "mlx"]
    assert compare.parsed([*flags, "--backends", "torch"]).backends == ["torch"]


@pytest.mark.parametrize("flag", ["--quick", "--no-memory"])
def test_a_run_without_memory_measures_none(flag, tmp_path):
    (tmp_path / UPSTREAM / "ncps").mkdir(parents=True)
    args = compare.parsed([flag, "--cases", "floors", "growth", "--backends", "torch", "--peers-dir", str(tmp_path)])
    assert not args.memory
    assert not [check for check in compare.measured_floors(args) if check.floor.figure.memory]
    assert [check for check in compare.asked_floors(args) if check.floor.figure.memory]


def test_a_run_from_end_to_end(tmp_path, capsys):
    file = tmp_path / "run.json"
    what = "--quick --peers none --backends numpy --cells GRU --modes control --threads 1 --no-memory"
    assert compare.main([*what.split(), "--json", str(file)]) == 0
    (own,) = Results.read(file).records
    assert (own.cell, own.mode, own.batch, own.failure) == ("GRU", "control", 1, None)
    assert "GRU(64)" in capsys.readouterr().out
    before = file.read_text()
    assert compare.main([*what.split(), "--json", str(file), "--resume"]) == 0
    assert file.read_text() == before  # nothing was left to measure
    for flags, told in (
        (["--json", str(file)], "--resume, or delete it"),
        (["--resume"], "Expected --json FILE beside --resume"),
        (["--json", str(file), "--resume", "--threads", "2"], "Received: threads = 2"),
    ):
        with pytest.raises(SystemExit):
            compare.main([*what.split(), *flags])
        assert told in capsys.readouterr().err.replace("\n", " ")
    assert file.read_text() == before


# -- exported code


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_step_in_c_is_timed(tmp_path):
    from ncps.export import to_c
    from ncps.layers import CfC
    from ncps.wirings import AutoNCP

    code = to_c(CfC(AutoNCP(19, 1), input_size=20), tmp_path, name="network")
    took = export.microseconds(code, 20, rounds=1)
    assert 0 < took < 1_000
    shown = Console(width=200, record=True, file=io.StringIO())
    shown.print(export.table([export.Cost("CfC", code, 2.0, 50.0, 300.0, None)]))
    text = shown.export_text()
    assert "150" in text
    assert f"{code.flash:,}" in text


def test_an_export_without_its_peer_has_not_kept_its_ratio(monkeypatch, capsys):
    assert export.miss(cost(500.0)) is None
    assert export.miss(cost(400.0)).endswith("not 50 times faster than ncps 1.0.1")
    monkeypatch.setattr(export, "packages", lambda *_: [])
    monkeypatch.setattr(export, "costs", lambda _: [cost(None)])
    monkeypatch.setattr(export, "table", lambda _: "")
    assert export.main([]) == 1
    assert "could not be measured" in capsys.readouterr().out


def cost(peer):
    return export.Cost("CfC", None, 9.0, 50.0, peer, None)


def test_an_export_needs_its_peer(tmp_path, capsys):
    with pytest.raises(SystemExit):
        export.main(["--peers-dir", str(tmp_path)])
    assert "ncps==1.0.1" in capsys.readouterr().err
