"""The C code of models compiles without a warning and computes what the layers compute."""

import inspect
import re
import shutil
import subprocess

import numpy as np
import pytest
from c_program import FLAGS, compiled
from exported_models import MODELS, made, series
from trained_models import TRAINED, expected, trained

import ncps
from ncps.backend import backend_scope
from ncps.demo import data
from ncps.demo.network import accuracy, make_network, predict, train
from ncps.export import to_c
from ncps.layers import LTC, CfC, Dense, LTCCell
from ncps.wirings import AutoNCP

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
SANITIZERS = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def models():
    return [made(make, features, seed) for seed, (features, make) in enumerate(MODELS)]


def outputs_of(model, inputs, times):
    """The outputs of a single series."""
    timed = "timespans" in inspect.signature(model.call).parameters
    return model(inputs[None], **({"timespans": times[None]} if timed else {}))[0]


@pytest.mark.parametrize(("flags", "steps"), [(("-O2",), 200), (SANITIZERS, 20)], ids=["optimised", "sanitized"])
def test_random_models_agree_with_numpy(models, tmp_path, flags, steps):
    assert len(models) >= 60
    program = compiled(models, tmp_path, *flags)
    errors = {}
    for i, (model, (features, _)) in enumerate(zip(models, MODELS, strict=True)):
        inputs, times = series(features, steps, seed=i)
        expected = outputs_of(model, inputs, times)
        scale = max(1, np.abs(expected).max())  # the states of NeuralODE grow without bound
        errors[f"{i} {model}"] = np.abs(program.outputs(i, inputs, times) - expected).max() / scale
    assert not {name: error for name, error in errors.items() if not error <= 1e-5}


EXTREMES = {
    "long": (1, 1e6), "longest": (1, 1e30), "at once": (1, 0), "denormal time": (1, 1e-40), "denormal": (1e-41, 1),
    "large": (1e4, 1), "infinite": (np.inf, 1), "no number": (np.nan, 1),
}  # fmt: skip


@pytest.mark.parametrize("level", ["-O0", "-O3", "-Ofast"])
def test_extreme_times_and_inputs(level, tmp_path):
    chosen = [0, 1, 17, 27, 39]  # LTC, in one solver step, and the modes of CfC
    models = [made(MODELS[i][1], MODELS[i][0], i) for i in chosen]
    program = compiled(models, tmp_path, level)
    for name, (scale, elapsed) in EXTREMES.items():
        for i, model in enumerate(models):
            inputs, times = series(MODELS[chosen[i]][0], 8, i)
            inputs, times = inputs * np.float32(scale), np.full_like(times, elapsed)
            with np.errstate(all="ignore"):
                wanted = outputs_of(model, inputs, times)
            assert np.allclose(program.outputs(i, inputs, times), wanted, 1e-5, 1e-5, equal_nan=True), (name, model)


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_it_goes_into_programs_of_cpp(tmp_path):
    header, source = to_c(made(*MODELS[-2][::-1], 0), tmp_path, name="model").files
    main = tmp_path / "main.cpp"
    main.write_text(
        f'#include "{header.name}"\n'
        "int main() { model_state s; float x[MODEL_INPUTS] = {}, y[MODEL_OUTPUTS]; model_reset(&s); "
        "model_step(&s, x, 1, y); return y[0] != y[0]; }\n"
    )
    strict = ("-Wall", "-Wextra", "-Werror", "-pedantic")
    subprocess.run(["cc", *FLAGS, "-c", "-o", tmp_path / "model.o", source], check=True)
    subprocess.run(["c++", *strict, "-o", tmp_path / "main", main, tmp_path / "model.o", "-lm"], check=True)
    subprocess.run(["c++", *strict, "-x", "c++", "-c", "-o", tmp_path / "x.o", source], check=True)
    subprocess.run([tmp_path / "main"], check=True)


@pytest.mark.parametrize("backend", TRAINED)
def test_trained_models_agree(backend, tmp_path):
    program = compiled([trained(cell, backend) for cell in TRAINED[backend]], tmp_path)
    for i, cell in enumerate(TRAINED[backend]):
        inputs, times, outputs = expected(cell, backend)
        assert np.abs(program.outputs(i, inputs[0], times[0]) - outputs[0]).max() <= 1e-5


@pytest.mark.parametrize("backend", ["torch", "jax", "mlx", "tensorflow", "keras", "numpy"])
def test_the_code_is_the_same_whichever_backend_a_model_lives_on(backend, tmp_path):
    pytest.importorskip({"mlx": "mlx.core", "numpy": "numpy"}.get(backend, backend))
    with backend_scope("numpy"):
        model = ncps.Sequential([LTC(AutoNCP(9, 2), return_sequences=True), CfC(4, backbone_units=5), Dense(2)])
        model(np.zeros((1, 2, 3), np.float32))
    to_c(model, tmp_path / "numpy", name="model")
    to_c(ncps.convert(model, backend), tmp_path / backend, name="model")
    texts = [(tmp_path / folder / "model.c").read_text() for folder in ("numpy", backend)]
    texts = [re.sub(r"/\* .*?, see", "", text) for text in texts]
    assert texts[0] == texts[1]


def test_int8_hardly_changes_who_is_recognised(tmp_path):
    pytest.importorskip("torch")
    training, test = data.load()
    with backend_scope("torch"):
        ncps.set_seed(0)
        network = make_network("cfc", 32, 9)
        train(network, training, 8, 0.02, 0)
        before = accuracy(predict(network, test), test)
    assert before > 0.8
    program = compiled([network], tmp_path, "-O2", weights="int8")
    ones = np.ones(data.FRAMES, np.float32)
    last = [program.outputs(0, x[mask], ones[: mask.sum()])[-1] for x, mask in zip(test.x, test.mask, strict=True)]
    assert accuracy(np.array(last), test) > before - 0.01


def test_a_cell_alone(tmp_path):
    cell = LTCCell(AutoNCP(9, 2), input_size=3)
    inputs, times = series(3, 5, 0)
    found = compiled([cell], tmp_path).outputs(0, inputs, times)
    state = cell.get_initial_state(1)
    for x, time, wanted in zip(inputs, times, found, strict=True):
        output, state = cell(x[None], state, timespan=time)
        assert np.abs(output[0] - wanted).max() <= 1e-5


def test_int8_takes_a_quarter_of_the_weights(tmp_path):
    model = CfC(32, backbone_units=64, input_size=8)
    floats, small = (to_c(model, tmp_path, name=name, weights=name) for name in ("float32", "int8"))
    kernels = 40 * 64 + 4 * 64 * 32
    assert floats.flash - small.flash == 3 * kernels
    assert small.flash == kernels + 4 * (64 + 4 * 32)


def test_int8_is_near(tmp_path):
    chosen = [i for i, (features, _) in enumerate(MODELS) if features in (5, 7)]
    models = [made(MODELS[i][1], MODELS[i][0], i) for i in chosen]
    program = compiled(models, tmp_path, weights="int8")
    for i, model in enumerate(models):
        inputs, times = series(MODELS[chosen[i]][0], 50, i)
        wanted = outputs_of(model, inputs, times)
        assert 0 < np.abs(program.outputs(i, inputs, times) - wanted).max() < 0.15 * max(1, np.abs(wanted).max())


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("lane keeper-2.1", "lane_keeper_2_1"),
        ("3D", "model_3D"),
        ("int", "model_int"),
        ("Math", "model_Math"),
        ("神経", "model"),
        ("x */ ??/ \\ #", "x"),
        ("_hidden__", "hidden"),
        ("a" * 100, "a" * 24),
    ],
)
def test_identifiers_are_valid_whatever_the_name(name, identifier, tmp_path):
    code = to_c(Dense(1, input_size=1, name=name), tmp_path)
    assert code.name == identifier
    done = subprocess.run(
        ["cc", *FLAGS, "-c", "-o", tmp_path / "x.o", code.files[1]],
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_example_reads_numbers_and_prints_outputs(tmp_path):
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    model = made(lambda: LTC(AutoNCP(9, 2), return_sequences=True), 3, 0)
    to_c(model, tmp_path, name="example", example=True)
    to_c(model, tmp_path, name="other", example=True)  # one Makefile for all
    subprocess.run(["make", "CFLAGS=-Werror"], cwd=tmp_path, check=True, capture_output=True)
    inputs, times = series(3, 5, 0)
    text = "\n".join(" ".join(map(str, [time, *x])) for time, x in zip(times, inputs, strict=True))
    done = subprocess.run([tmp_path / "example"], input=text, capture_output=True, text=True, check=True)
    found = np.loadtxt(done.stdout.splitlines())
    assert np.abs(found - model(inputs, timespans=times)).max() <= 1e-5
    cut = subprocess.run([tmp_path / "other"], input="1 0.5", capture_output=True, text=True, check=False)
    assert cut.returncode == 1
    assert "3 inputs" in cut.stderr
    text = subprocess.run([tmp_path / "other"], input="1 0 0 0 one", capture_output=True, text=True, check=False)
    assert (text.returncode, text.stdout.count("\n"), text.stderr) == (1, 1, "expected numbers\n")


def test_the_header_tells_what_it_costs(tmp_path):
    code = to_c(CfC(AutoNCP(19, 4), input_size=8, name="lane keeper"), tmp_path, name="keeper")
    header = code.files[0].read_text()
    assert "lane keeper, written by ncps" in header
    for figure in (
        "inputs: 8, outputs: 4",
        f"{code.flash:,} bytes",
        "76 bytes of state",
        f"{code.products:,} multiply",
    ):
        assert figure in header
    source = code.files[1].read_text()
    assert set(re.findall(r"#include (.*)", source)) == {'"keeper.h"', "<math.h>"}
    assert not re.search(r"malloc|^static (?!const)[^(]*;", source, re.MULTILINE)


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="there is no compiler for Cortex-M4")
@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_it_compiles_for_a_cortex_m4(weights, tmp_path):
    flags = ("-Os", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
    code = to_c(made(*MODELS[-2][::-1], 0), tmp_path, name="model", weights=weights)
    subprocess.run(["arm-none-eabi-gcc", *FLAGS, *flags, "-c", "-o", tmp_path / "x.o", code.files[1]], check=True)
    size = subprocess.run(["arm-none-eabi-size", tmp_path / "x.o"], check=True, capture_output=True, text=True).stdout
    text, variables, zeros = map(int, size.splitlines()[1].split()[:3])
    assert text > code.flash
    assert (variables, zeros) == (0, 0)  # all of it stays in flash
