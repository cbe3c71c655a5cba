"""The registry: which backend is active, where it comes from, and what a layer type is."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import ncps
from ncps import ops
from ncps.backend import BUILTIN, DETECTED, NCPSBackend, active, backend_scope, process
from ncps.layers import LTC, CfC, Dense, Layer, List, Sequential

ROOT = Path(__file__).parents[1]
FRAMEWORKS = ("torch", "jax", "flax", "mlx", "tensorflow", "keras", "optax", "numba", "matplotlib", "networkx", "scipy")


@pytest.fixture(autouse=True)
def restored_registry():
    """Puts back what a test registers or sets."""
    for name in set(NCPSBackend.available_backends()) & set(BUILTIN):
        NCPSBackend.ops_of(name)  # what loading registers is kept
    tables = {name: dict(table) for name, table in NCPSBackend._ops.items()}
    kept = process.backend, process.ops, dict(NCPSBackend._layers), set(NCPSBackend._loaded)
    yield
    process.backend, process.ops = kept[:2]
    NCPSBackend._layers.clear()
    NCPSBackend._layers.update(kept[2])
    for name, table in tables.items():
        NCPSBackend._ops[name].clear()
        NCPSBackend._ops[name].update(table)
    left = active.backend, active.training
    active.backend = active.ops = active.training = None
    assert left == (None, None), "the test left its scope open"


def run_python(code, *folders, **environment):
    """What a fresh process prints, and its return code."""
    kept = {key: value for key, value in os.environ.items() if key not in ("NCPS_BACKEND", "KERAS_BACKEND")}
    path = os.pathsep.join([*map(str, folders), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120, cwd="/",
        env=kept | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
    )  # fmt: skip
    return done


def output_of(code, *folders, **environment):
    done = run_python(code, *folders, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def broken_package(folder, name, error):
    """A package that shadows a framework and cannot be imported."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(f"raise {error}('broken on purpose')\n")


# ---- switching


def test_set_backend_is_the_default_of_the_process():
    NCPSBackend.set_backend("numpy")
    assert NCPSBackend.get_backend() == ncps.get_backend() == "numpy"
    ncps.set_backend("torch")
    assert NCPSBackend.get_backend() == ncps.get_backend() == "torch"
    assert type(ops.zeros((2,))).__module__ == "torch"


def test_an_unknown_backend_is_named_with_the_known_ones():
    ncps.set_backend("numpy")
    for function in (ncps.set_backend, backend_scope, NCPSBackend.backend_scope):
        with pytest.raises(
            ValueError, match=r"numpy.*keras.*Received: 'pytorch'\. Did you mean 'torch'\?.*register_op"
        ):
            function("pytorch")
    assert ncps.get_backend() == "numpy"


@pytest.mark.parametrize("wrong", ["", "NumPy", 3, ("numpy",)])
def test_strange_names_are_unknown(wrong):
    with pytest.raises(ValueError, match="Expected a backend out of"):
        ncps.set_backend(wrong)


def test_scopes_nest_and_end():
    ncps.set_backend("numpy")
    with backend_scope("torch"):
        assert ncps.get_backend() == "torch"
        with ncps.backend_scope("jax"):
            assert ncps.get_backend() == "jax"
            with NCPSBackend.backend_scope("numpy"):
                assert ncps.get_backend() == "numpy"
                assert type(ops.zeros((1,))) is np.ndarray
            assert ncps.get_backend() == "jax"
        assert ncps.get_backend() == "torch"
        assert type(ops.zeros((1,))).__module__ == "torch"
    assert ncps.get_backend() == "numpy"


def test_a_scope_ends_with_an_exception():
    ncps.set_backend("numpy")
    with pytest.raises(KeyError), backend_scope("torch"), backend_scope("jax"):
        raise KeyError
    assert ncps.get_backend() == "numpy"


def test_set_backend_within_a_scope_waits_for_its_end():
    ncps.set_backend("numpy")
    with backend_scope("torch"):
        ncps.set_backend("jax")
        assert ncps.get_backend() == "torch"
        assert type(ops.zeros((1,))).__module__ == "torch"
        assert Dense(2).bound_to == "torch"
    assert ncps.get_backend() == "jax"
    assert Dense(2).bound_to == "jax"


def test_one_scope_object_can_be_used_again():
    ncps.set_backend("numpy")
    scope = backend_scope("torch")
    for _ in range(2):
        with scope:
            assert ncps.get_backend() == "torch"
        assert ncps.get_backend() == "numpy"


def test_one_scope_object_within_itself():
    ncps.set_backend("numpy")
    scope = backend_scope("torch")
    with scope:
        with scope:
            assert ncps.get_backend() == "torch"
        assert ncps.get_backend() == "torch"
    assert ncps.get_backend() == "numpy"


def test_threads_do_not_see_the_scopes_of_each_other():
    ncps.set_backend("numpy")
    seen, barrier = {}, threading.Barrier(3, timeout=20)

    def work(backend):
        with backend_scope(backend):
            barrier.wait()
            seen[backend] = ncps.get_backend(), type(ops.zeros((1,))).__module__.split(".")[0], Dense(2).bound_to
            barrier.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("torch", "jax")]
    for thread in threads:
        thread.start()
    barrier.wait()
    assert ncps.get_backend() == "numpy"
    barrier.wait()
    for thread in threads:
        thread.join()
    assert seen == {"torch": ("torch", "torch", "torch"), "jax": ("jax", "jaxlib", "jax")}


def test_a_new_thread_begins_with_the_default_of_the_process():
    ncps.set_backend("numpy")
    seen = []
    with backend_scope("torch"):
        thread = threading.Thread(target=lambda: seen.append(ncps.get_backend()))
        thread.start()
        thread.join()
    assert seen == ["numpy"]


# ---- the first use, in fresh processes

TELL = "import ncps; print(ncps.get_backend())"


@pytest.mark.parametrize("name", ["numpy", "torch", "mlx"])
def test_the_environment_chooses_and_a_backend_imports_no_other(name):
    code = """
import sys, ncps
print(ncps.get_backend())
ncps.layers.Dense(2, input_size=3)
print([name for name in ("torch", "jax", "mlx", "tensorflow", "keras") if name in sys.modules])
"""
    assert output_of(code, NCPS_BACKEND=name).splitlines() == [name, str([] if name == "numpy" else [name])]


def test_set_backend_goes_before_the_environment():
    assert (
        output_of("import ncps; ncps.set_backend('numpy'); print(ncps.get_backend())", NCPS_BACKEND="nonsense")
        == "numpy"
    )


def test_an_unknown_name_in_the_environment_is_an_error():
    done = run_python(TELL, NCPS_BACKEND="pytorch")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: ")
    assert "'pytorch'" in last
    assert all(name in last for name in BUILTIN)


@pytest.mark.parametrize("error", ["ImportError", "OSError"])
@pytest.mark.parametrize("name", ["torch", "jax", "mlx", "tensorflow", "keras"])
def test_a_framework_that_cannot_be_imported_is_an_error_with_the_line_that_installs_it(tmp_path, name, error):
    broken_package(tmp_path, name, error)
    last = run_python(TELL, tmp_path, NCPS_BACKEND=name).stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert f'pip install "ncps[{name}]"' in last
    assert "broken on purpose" in last
    code = f"""
import ncps
ncps.set_backend("numpy")
for function in (ncps.set_backend, ncps.backend_scope):
    try:
        function({name!r})
    except ImportError as error:
        assert 'pip install "ncps[{name}]"' in str(error), error
        assert isinstance(error.__cause__, {error}), error.__cause__
    else:
        raise AssertionError(function)
print(ncps.get_backend())
"""
    if error == "OSError":
        assert output_of(code, tmp_path) == "numpy"


def test_detection_takes_the_first_that_really_imports(tmp_path):
    assert DETECTED == ("mlx", "torch", "tensorflow", "jax", "numpy")
    broken = dict(zip(DETECTED, ("ImportError", "OSError", "AttributeError", "RuntimeError"), strict=False))
    for name, error in broken.items():  # find_spec finds them all; they fail when they are imported
        broken_package(tmp_path, name, error)
    assert output_of(TELL, tmp_path) == "numpy"
    shutil.rmtree(tmp_path / "torch")
    assert output_of(TELL, tmp_path) == "torch"


def test_detection_goes_through_the_backends_in_their_order(monkeypatch):
    asked, real = [], NCPSBackend.ops_of
    for working in DETECTED:

        def ops_of(name, working=working):
            asked.append(name)
            if name != working:
                raise ImportError(f"{name} is broken on purpose")
            return real("numpy") | {"device": lambda x=None: "gpu"}

        asked.clear()
        monkeypatch.setattr(NCPSBackend, "ops_of", ops_of)
        assert NCPSBackend._detect() == working
        assert tuple(dict.fromkeys(asked)) == DETECTED[: DETECTED.index(working) + 1]
    monkeypatch.setattr("ncps.backend.DETECTED", DETECTED[:2])
    with pytest.raises(RuntimeError, match=r"mlx is broken on purpose torch is broken on purpose"):
        NCPSBackend._detect()


def test_detection_skips_what_is_not_installed(tmp_path):
    """Without any framework numpy is chosen, without a warning."""
    code = """
import importlib.util, sys
real = importlib.util.find_spec
def find_spec(name, package=None):
    return None if name in ("mlx", "torch", "tensorflow", "jax", "keras") else real(name, package)
importlib.util.find_spec = find_spec
import warnings; warnings.simplefilter("error")
import ncps
print(ncps.get_backend(), *ncps.available_backends())
assert not {"mlx", "torch", "tensorflow", "jax", "keras"} & set(sys.modules)
"""
    assert output_of(code) == "numpy numpy"


def test_mlx_without_a_gpu_hints_once_at_a_faster_one():
    code = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import ncps
    names = [ncps.get_backend() for _ in range(3)]
    import mlx.core as mx
hints = [w for w in caught if "ncps" in str(w.message)]
gpu = mx.default_device() == mx.Device(mx.gpu)
assert names == ["mlx"] * 3, names
assert len(hints) == (0 if gpu else 1), [str(w.message) for w in caught]
assert gpu or "NCPS_BACKEND=torch" in str(hints[0].message), hints[0]
"""
    output_of(code)


def test_no_backend_at_all_is_a_runtime_error():
    code = """
import ncps, ncps.backend
ncps.backend.DETECTED = ()
try:
    ncps.get_backend()
except RuntimeError as error:
    print(error)
"""
    assert "pip install" in output_of(code)


def test_importing_the_library_imports_no_framework():
    code = f"""
import sys
before = set(sys.modules)
import ncps, ncps.layers, ncps.ops, ncps.wirings, ncps.training
print([name for name in {FRAMEWORKS!r} if name in sys.modules and name not in before])
"""
    assert output_of(code) == "[]"


def test_available_backends_imports_none():
    code = f"""
import sys, ncps
assert "torch" in ncps.available_backends()
print([name for name in {FRAMEWORKS!r} if name in sys.modules])
"""
    assert output_of(code) == "[]"


def test_keras_refuses_openvino():
    done = run_python("import ncps; ncps.set_backend('keras')", KERAS_BACKEND="openvino")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "openvino" in last
    assert "KERAS_BACKEND" in last


# ---- entry points


def entry_point(folder, name, module, source):
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ncps.backends]\n{name} = {module}\n")
    (folder / f"{module}.py").write_text(source)


OUTSIDE = """
from ncps.backend import NCPSBackend
import ncps.backends.numpy  # binds itself
from ncps.backends.numpy.module import NumpyLayer
for name, function in NCPSBackend.ops_of("numpy").items():
    NCPSBackend.register_op("outside", name, function)
class OutsideLayer(NumpyLayer):
    pass
NCPSBackend.register("outside", "Layer", OutsideLayer)
"""


def test_another_package_adds_a_backend_by_its_entry_point(tmp_path):
    entry_point(tmp_path, "outside", "my_outside", OUTSIDE)
    code = """
import sys, ncps, numpy as np
assert "my_outside" not in sys.modules
assert "outside" in ncps.available_backends()
assert "my_outside" not in sys.modules
ncps.set_backend("outside")
layer = ncps.layers.Dense(2, kernel_initializer="ones")
assert [c.__name__ for c in type(layer).__mro__].count("OutsideLayer") == 1
assert layer(np.float32([[1, 2]])).tolist() == [[3, 3]]
import pickle
assert pickle.loads(pickle.dumps(layer)).bound_to == "outside"
print(ncps.get_backend())
"""
    assert output_of(code, tmp_path) == "outside"
    assert output_of(TELL, tmp_path, NCPS_BACKEND="outside") == "outside"


def test_an_entry_point_that_fails_says_so(tmp_path):
    entry_point(tmp_path, "outside", "my_outside", "import no_such_module\n")
    done = run_python("import ncps; ncps.set_backend('outside')", tmp_path)
    assert "no_such_module" in done.stderr.strip().splitlines()[-1]
    assert output_of(TELL, tmp_path, NCPS_BACKEND="numpy") == "numpy"  # and disturbs nobody else


# ---- registering


class Quick(Dense):
    """A faster Dense."""

    def call(self, inputs):
        return super().call(inputs) + 100


class Other:
    """Nothing to do with ours."""

    def __init__(self, units, **options):
        self.units = units


class MyDense(Dense):
    pass


def user_dense():
    class Dense(ncps.layers.Dense):
        pass

    return Dense


def test_a_replacement_is_used_for_calls_of_the_library_class_itself():
    x = np.float32([[1, 2]])
    NCPSBackend.register("numpy", "Dense", Quick)
    with backend_scope("numpy"):
        assert type(Dense(3)).__name__ == "Quick"
        assert isinstance(Dense(3), Dense)
        np.testing.assert_array_equal(Dense(2, kernel_initializer="ones")(x), [[103, 103]])
        np.testing.assert_array_equal(Quick(2, kernel_initializer="ones")(x), [[103, 103]])
        assert not isinstance(MyDense(3), Quick)
        np.testing.assert_array_equal(MyDense(2, kernel_initializer="ones")(x), [[3, 3]])
        own = user_dense()(2, kernel_initializer="ones")
        assert not isinstance(own, Quick)
        np.testing.assert_array_equal(own(x), [[3, 3]])
    with backend_scope("torch"):
        assert not isinstance(Dense(3), Quick)


def test_a_replacement_may_be_any_class():
    NCPSBackend.register("numpy", "Dense", Other)
    with backend_scope("numpy"):
        assert type(Dense(3)) is Other
        assert Dense(3).units == 3
        assert isinstance(MyDense(3), Dense)
        assert NCPSBackend.get_implementation("Dense") is Other


def test_registering_again_replaces_the_replacement():
    NCPSBackend.register("numpy", "Dense", Quick)
    NCPSBackend.register("numpy", "Dense", Other)
    with backend_scope("numpy"):
        assert type(Dense(3)) is Other
    NCPSBackend.register("numpy", "Dense", Dense)  # ours again
    with backend_scope("numpy"):
        assert type(Dense(3)).__mro__[1] is Dense


def test_a_replacement_reaches_layers_within_layers():
    NCPSBackend.register("numpy", "Dense", Quick)
    with backend_scope("numpy"):
        layer = CfC(3, input_size=2)
    assert all(isinstance(inner, Quick) for inner in layer.cell.backbone)


def test_registering_something_that_is_no_class():
    for wrong in (Dense.call, "Dense", None, 3):
        with pytest.raises(TypeError, match="Expected a class as implementation of 'Dense'"):
            NCPSBackend.register("numpy", "Dense", wrong)


def test_register_op_binds_an_op_for_one_backend():
    with pytest.raises(TypeError, match="Expected a function"):
        NCPSBackend.register_op("numpy", "tanh", 3)
    NCPSBackend.register_op("numpy", "tanh", lambda x: x + 1000)
    with backend_scope("numpy"):
        assert ops.tanh(np.float32(1)) == 1001
        np.testing.assert_array_equal(Dense(1, "tanh", kernel_initializer="ones")(np.float32([[1]])), [[1001]])
    with backend_scope("torch"):
        assert abs(float(ops.tanh(1.0)) - np.tanh(1)) < 1e-6


def test_registering_makes_a_backend_known():
    NCPSBackend.register("novel", "Dense", Other)
    assert "novel" in NCPSBackend.known_backends()
    assert "novel" in ncps.available_backends()
    with backend_scope("novel"):
        assert type(Dense(3)) is Other
        assert NCPSBackend.get_implementation("Dense") is Other
        with pytest.raises(ValueError, match=r"no native base class.*NCPSBackend.register"):
            CfC(3)
        with pytest.raises(ncps.UnsupportedOperationError, match="'novel' does not bind the op 'zeros'"):
            ops.zeros((2,))
    NCPSBackend.register_op("novel_two", "zeros", lambda shape, dtype="float32": "zeros")
    with backend_scope("novel_two"):
        assert ops.zeros((2,)) == "zeros"


def test_composite_ops_work_on_a_new_backend():
    NCPSBackend.register_op("novel", "tanh", np.tanh)
    NCPSBackend.register_op("novel", "multiply", np.multiply)
    with backend_scope("novel"):
        assert abs(ops.lecun_tanh(np.float64(0.5)) - 1.7159 * np.tanh(0.333)) < 1e-12


def test_get_implementation_is_the_class_that_would_be_made(backend):
    for layer_type in ("Dense", "LTC", "CfC", "Dropout", "RNN"):
        cls = NCPSBackend.get_implementation(layer_type)
        assert issubclass(cls, getattr(ncps.layers, layer_type))
        assert cls.bound_to == backend
    assert type(Dense(3)) is NCPSBackend.get_implementation("Dense")
    assert type(LTC(3)) is NCPSBackend.get_implementation("LTC")


@pytest.mark.parametrize("unknown", ["Dens", "Layer", "dense", ""])
def test_get_implementation_of_what_there_is_not(backend, unknown):
    with pytest.raises(ValueError, match="Expected a layer type out of"):
        NCPSBackend.get_implementation(unknown)


def test_the_base_of_all_layers_cannot_be_instantiated(backend):
    with pytest.raises(TypeError):
        Layer()


# ---- a layer remembers its backend


def test_a_layer_works_while_another_backend_is_active(backend):
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    layers = [Dense(3), LTC(3), CfC(3, backbone_units=4)]
    wanted = [ops.convert_to_numpy(layer(x)) for layer in layers]
    other = "torch" if backend == "numpy" else "numpy"
    with backend_scope(other):
        for layer, value in zip(layers, wanted, strict=True):
            output = layer(x)
            assert ncps.get_backend() == other
            assert type(output).__module__ == type(layer(x)).__module__
            with backend_scope(backend):
                np.testing.assert_array_equal(ops.convert_to_numpy(output), value)
            late = type(layer)  # built under another backend's scope
            assert late.bound_to == backend
    with backend_scope(other):
        unbuilt = Dense(3)
    with backend_scope(backend):
        unbuilt(x)
        assert unbuilt.bound_to == other
        assert sorted(w.shape for w in unbuilt.get_weights()) == [(3,), (3, 3)]


def test_a_layer_works_in_another_thread(backend):
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    layer = LTC(3, input_size=3)
    wanted = ops.convert_to_numpy(layer(x))
    results, errors = [], []
    # The thread's default is another backend than the layer's.
    NCPSBackend.set_backend("torch" if backend == "numpy" else "numpy")

    def work():
        try:
            output = layer(x)
            with backend_scope(backend):
                results.append(ops.convert_to_numpy(output))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
    np.testing.assert_allclose(results[0], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same thread", "another thread"])
def test_torch_backward_outside_of_the_scope(elsewhere):
    """Recomputation and hand-written backward passes run after the layer's scope has ended."""
    torch = pytest.importorskip("torch")
    ncps.set_backend("numpy")
    x = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    with backend_scope("torch"):
        ncps.set_seed(0)
        layer = LTC(4, input_size=3)
        layer(x).sum().backward()
        wanted = [parameter.grad.clone() for parameter in layer.parameters()]
        layer.zero_grad()
    loss, errors = layer(x).sum(), []
    if elsewhere:

        def work():
            try:
                loss.backward()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    else:
        with backend_scope("jax"):
            loss.backward()
    assert errors == []
    for parameter, gradient in zip(layer.parameters(), wanted, strict=True):
        assert torch.equal(parameter.grad, gradient)
    assert sum(gradient.abs().sum() for gradient in wanted) > 0


def test_kept_functions_run_in_the_backend_in_which_they_were_given():
    torch = pytest.importorskip("torch")
    seen = []

    def inner(x):
        seen.append(ncps.get_backend())
        return ops.tanh(x)

    def backward(residuals, upstream):
        seen.append(ncps.get_backend())
        return ops.multiply(upstream, 2.0)

    ncps.set_backend("numpy")
    with backend_scope("torch"):
        again = ops.checkpoint(inner)
        own = ops.custom_gradient(inner, lambda x: (inner(x), x), backward)
        x = torch.ones(3, requires_grad=True)
        y = again(x).sum() + own(x).sum()
    with backend_scope("jax"):
        y.backward()
    assert set(seen) == {"torch"}
    assert len(seen) >= 4  # forward and recomputation; forward and backward
    np.testing.assert_allclose(x.grad, 1 - np.tanh(1) ** 2 + 2, rtol=1e-6)


def test_containers_take_layers_of_their_own_backend_only():
    with backend_scope("torch"):
        layer = Dense(2)
    with backend_scope("numpy"):
        for container in (List, Sequential):
            with pytest.raises(TypeError, match=r"backend 'numpy'.*Dense of torch"):
                container([layer])


def test_public_shortcuts():
    assert ncps.NCPSBackend is NCPSBackend
    assert ncps.backend_scope is backend_scope
    assert set(ncps.available_backends()) <= set(NCPSBackend.known_backends())
    assert "numpy" in ncps.available_backends()
    json.dumps(ncps.available_backends())


def test_bound_classes_are_made_once_and_pickle(backend):
    assert type(Dense(1)) is type(Dense(2))
    assert pickle.loads(pickle.dumps(type(Dense(1)))) is type(Dense(1))
    assert pickle.loads(pickle.dumps(Dense)) is Dense
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert type(MyDense(1)) is not type(Dense(1))
