"""What every layer does on every backend; a new layer is one line in `LAYERS`."""

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from native import (
    BACKENDS,
    can_train,
    keras_framework,
    module_type,
    native_parameters,
    projected,
    to_numpy,
    value_and_gradients,
    weights_of,
)

import ncps
from ncps import layers, ops, tree
from ncps.backend import NCPSBackend, backend_scope
from ncps.layers import (
    CTGRU,
    CTRNN,
    GRU,
    LRC,
    LSTM,
    LTC,
    RNN,
    STC,
    Activation,
    Bidirectional,
    Cell,
    CfC,
    CfCCell,
    Dense,
    Dict,
    Dropout,
    Layer,
    LayerNormalization,
    LinOSS,
    List,
    LSTMCell,
    LTCCell,
    MixedMemory,
    NeuralODE,
    Sequential,
    StackedRNNCells,
    TimeDistributed,
)
from ncps.wirings import AutoNCP, Random


@ncps.register_serializable("tests")
class Leaky(Cell):
    """A user's cell."""

    def __init__(self, units, rate=1.0, **options):
        super().__init__(**options)
        self.units = units
        self.rate = rate

    @property
    def state_size(self):
        return self.units

    @property
    def output_size(self):
        return self.units

    def build(self, input_shape):
        self.kernel = self.add_weight("kernel", (input_shape[-1], self.units))
        self.offset = self.add_weight("offset", (self.units,), "ones", trainable=False)

    def call(self, inputs, states, *, timespan=1.0, training=None):
        decay = ops.exp(ops.multiply(timespan, -self.rate))
        states = decay * states + (1 - decay) * ops.tanh(ops.matmul(inputs, self.kernel) + self.offset)
        return states, states


@ncps.register_serializable("tests")
class Scaled(Layer):
    """A user's layer that holds one of ours, and a weight that is not trained."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units
        self.inner = Dense(units, "tanh")

    def build(self, input_shape):
        self.scale = self.add_weight("scale", (self.units,), "normal")
        self.shift = self.add_weight("shift", (self.units,), 0.5, trainable=False)
        self.inner.ensure_built(input_shape)

    def call(self, inputs):
        return self.inner(inputs) * self.scale + self.shift


@ncps.register_serializable("tests")
class Wide(Dense):
    """A subclass of a layer of ours, with an argument more."""

    def __init__(self, units, factor=2, **options):
        super().__init__(units * factor, **options)
        self.factor = factor

    def get_config(self):
        return super().get_config() | {"units": self.units // self.factor, "factor": self.factor}


@ncps.register_serializable("tests")
class Stack(Layer):
    """Layers in a List and in a Dict."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units
        self.blocks = List([Dense(units, "tanh"), Dense(units)])
        self.named = Dict({"gate": Dense(units, "sigmoid"), "value": Dense(units)})

    def build(self, input_shape):
        for layer in self.named:
            self.named[layer].ensure_built(input_shape)
        for layer in self.blocks:
            layer.ensure_built(input_shape)
            input_shape = (None, self.units)

    def call(self, inputs):
        x = inputs
        for layer in self.blocks:
            x = layer(x)
        return x * self.named["gate"](inputs) + self.named["value"](inputs)


def auto():
    return AutoNCP(6, 2, seed=3)


@dataclasses.dataclass(frozen=True)
class Spec:
    """How a layer is made, and the shape of its inputs."""

    make: Callable[..., Layer]
    shape: tuple = (3, 4, 2)
    independent: bool = True  # whether samples do not know of each other
    features: bool = True  # whether another number of features raises
    built: bool = True  # whether the layer has weights


LAYERS = {
    "dense": Spec(lambda **o: Dense(3, "tanh", **o), (4, 2)),
    "dense_no_bias": Spec(lambda **o: Dense(3, use_bias=False, kernel_initializer="orthogonal", **o), (4, 2)),
    "activation": Spec(lambda **o: Activation("lecun_tanh", **o), (4, 2), features=False, built=False),
    "dropout": Spec(lambda **o: Dropout(0.5, **o), (4, 2), features=False, built=False),
    "normalization": Spec(lambda **o: LayerNormalization(**o), (4, 5)),
    "sequential": Spec(lambda **o: Sequential([Dense(4, "tanh"), LayerNormalization(), Dense(2)]), (4, 2)),
    "sequential_ltc": Spec(lambda **o: Sequential([Dense(3), LTC(auto(), return_sequences=True), Dense(1)])),
    "ltc": Spec(lambda **o: LTC(3, return_sequences=True, unfolds=2, **o)),
    "ltc_wired": Spec(lambda **o: LTC(auto(), unfolds=2, **o)),
    "ltc_implicit": Spec(
        lambda **o: LTC(Random(4, 1, 0.5, 4), output_mapping=None, implicit_param_constraints=True, unfolds=2, **o)
    ),
    "cfc": Spec(lambda **o: CfC(3, return_sequences=True, backbone_units=5, **o)),
    "cfc_pure": Spec(lambda **o: CfC(3, mode="pure", backbone_units=5, backbone_layers=2, **o)),
    "cfc_no_gate": Spec(lambda **o: CfC(3, mode="no_gate", backbone_layers=0, **o)),
    "cfc_wired": Spec(lambda **o: CfC(auto(), return_sequences=True, **o)),
    "cfc_wired_recurrences": Spec(lambda **o: CfC(auto(), fully_recurrent=False, **o)),
    "cfc_wired_layers": Spec(lambda **o: CfC(auto(), masked_gates=False, state_order="layers", **o)),
    "cfc_masked": Spec(lambda **o: CfC(2, backbone_layers=0, sparsity_mask=[[1, 0], [0, 1], [1, 1], [0, -1]], **o)),
    "ltc_rk4": Spec(lambda **o: LTC(auto(), solver="rk4", unfolds=2, initialization_ranges={"cm": (3.0, 4.0)}, **o)),
    "stc": Spec(lambda **o: STC(3, return_sequences=True, solver="heun", unfolds=2, **o)),
    "lrc": Spec(lambda **o: LRC(auto(), return_sequences=True, **o)),
    "lrc_symmetric": Spec(lambda **o: LRC(3, elastance="symmetric", solver="semi_implicit", unfolds=2, **o)),
    "ctrnn": Spec(lambda **o: CTRNN(3, unfolds=2, tau=[0.5, 1.0, 2.0], **o)),
    "neural_ode": Spec(lambda **o: NeuralODE(3, unfolds=2, return_sequences=True, **o)),
    "ctgru": Spec(lambda **o: CTGRU(3, time_constants=4, return_sequences=True, **o)),
    "lstm": Spec(lambda **o: LSTM(3, append_timespans=True, return_sequences=True, **o)),
    "gru": Spec(lambda **o: GRU(3, append_timespans=True, **o)),
    "mixed_memory": Spec(lambda **o: MixedMemory(LTCCell(auto(), unfolds=2), return_sequences=True, **o)),
    "mixed_memory_to_state": Spec(lambda **o: MixedMemory(LSTMCell(2), memory_to="state", **o)),
    "linoss": Spec(lambda **o: LinOSS(3, output_units=2, return_sequences=True, **o)),
    "linoss_imex": Spec(lambda **o: LinOSS(3, discretization="imex", parallel=False, **o)),
    "stacked": Spec(lambda **o: RNN(StackedRNNCells([CfCCell(3, backbone_units=4), LTCCell(2, unfolds=2)]), **o)),
    "bidirectional": Spec(lambda **o: Bidirectional(GRU(3, return_sequences=True), **o)),
    "time_distributed": Spec(lambda **o: TimeDistributed(Dense(3, "tanh"), **o)),
    "rnn": Spec(lambda **o: RNN(CfCCell(3, backbone_units=4), go_backwards=True, **o)),
    "rnn_users_cell": Spec(lambda **o: RNN(Leaky(3, 0.5), return_sequences=True, **o), features=False),
    "users_layer": Spec(lambda **o: Scaled(3, **o), (4, 2)),
    "users_subclass": Spec(lambda **o: Wide(2, **o), (4, 2)),
    "containers": Spec(lambda **o: Stack(3, **o), (4, 2)),
}
VARIANTS = {  # options of layers that are here already, left out where each takes seconds to compile or trace
    "dense_no_bias", "ltc_implicit", "cfc_pure", "cfc_no_gate", "cfc_wired_recurrences", "ltc_rk4", "lrc_symmetric",
    "mixed_memory_to_state", "linoss_imex", "users_subclass", "ltc_wired",
}  # fmt: skip
WRAPPERS = (  # whose weights are those of layers given to them, of their own types
    "sequential", "sequential_ltc", "rnn", "rnn_users_cell", "users_layer", "containers", "mixed_memory",
    "mixed_memory_to_state", "stacked", "bidirectional", "time_distributed",
)  # fmt: skip
TAKING_DTYPE = [name for name in LAYERS if name not in WRAPPERS]
TAKING_OPTIONS = [name for name in LAYERS if not name.startswith("sequential")]
RNNS = [name for name, spec in LAYERS.items() if len(spec.shape) == 3 and name != "time_distributed"]


@pytest.fixture(params=list(LAYERS))
def name(request):
    return request.param


@pytest.fixture(autouse=True)
def some_go_without(request):
    """Variants do not run on jax and tensorflow; Keras has a Sequential of its own, which has a test of its own."""
    arguments = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    name, backend = arguments.get("name", ""), arguments.get("backend", arguments.get("backend_name"))
    if name in VARIANTS and backend in ("jax", "tensorflow"):
        pytest.skip("a variant")
    if backend == "keras" and name.startswith("sequential"):
        pytest.skip("Keras' own")


def inputs_of(spec):
    return np.random.default_rng(1).normal(size=spec.shape).astype(np.float32)


def made(name, **options):
    """The layer, from seed 11, built."""
    ncps.set_seed(11)
    layer = LAYERS[name].make(**options)
    if getattr(layer, "bound_to", "keras") == "keras":  # whose own layers are built by being called
        layer(inputs_of(LAYERS[name]))
    else:
        layer.ensure_built(LAYERS[name].shape)
    return layer


def value(layer, x, **options):
    if isinstance(layer, Dropout):  # torch, jax and mlx modules begin in training mode
        options["training"] = False
    with backend_scope(layer.bound_to):
        return np.float64(ops.convert_to_numpy(ops.cast(layer(x, **options), "float32")))


def test_is_a_layer_of_ours_and_a_module_of_the_framework(name, backend):
    layer = made(name)
    if isinstance(layer, Sequential) or backend != "keras":
        assert isinstance(layer, Layer)
        assert layer.bound_to == backend
    assert isinstance(layer, module_type(backend))
    for weight in layer.walk():
        assert isinstance(weight.owner, module_type(backend))


def test_configuration_round_trip(name, backend):
    layer = made(name)
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert type(again) is type(layer)
    assert json.loads(json.dumps(again.get_config())) == config
    x = inputs_of(LAYERS[name])
    again(x)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(value(again, x), value(layer, x))


def test_a_configuration_goes_to_another_backend(name, backend):
    layer = made(name)
    x = inputs_of(LAYERS[name])
    config = json.loads(json.dumps(ncps.serialization.serialize(layer)))
    with backend_scope("numpy"):
        again = ncps.serialization.deserialize(config)
        assert again.bound_to == "numpy"
        again(x)
        assert again.weight_paths() == layer.weight_paths()
        again.set_weights(layer.get_weights())
    np.testing.assert_allclose(value(again, x), value(layer, x), rtol=0, atol=2e-6)


def test_same_seed_same_weights_and_paths_as_on_numpy(name, backend):
    weights = weights_of(made(name))
    with backend_scope("numpy"):
        wanted = weights_of(made(name))
    assert list(weights) == list(wanted)
    for path, array in weights.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, wanted[path], err_msg=path)


def test_another_seed_other_weights(name, backend):
    spec = LAYERS[name]
    first = made(name).get_weights()
    ncps.set_seed(12)
    layer = spec.make()
    layer(inputs_of(spec))
    if spec.built and name != "normalization":
        assert any((a != b).any() for a, b in zip(first, layer.get_weights(), strict=True))
    else:
        assert all((a == b).all() for a, b in zip(first, layer.get_weights(), strict=True))


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_copies_keep_values_and_share_nothing(name, backend, how):
    layer = made(name)
    rng = np.random.default_rng(0)
    layer.set_weights([w + rng.uniform(0, 0.1, w.shape).astype(np.float32) for w in layer.get_weights()])
    x = inputs_of(LAYERS[name])
    wanted, weights = value(layer, x), weights_of(layer)
    again = pickle.loads(pickle.dumps(layer)) if how == "pickle" else copy.deepcopy(layer)
    assert type(again) is type(layer)
    assert again is not layer
    np.testing.assert_array_equal(value(again, x), wanted)
    assert list(weights_of(again)) == list(weights)
    assert again.get_config() == layer.get_config()
    again.set_weights([w * 0 for w in again.get_weights()])
    np.testing.assert_array_equal(value(layer, x), wanted)
    for path, array in weights_of(layer).items():
        np.testing.assert_array_equal(array, weights[path], err_msg=path)
    assert set(native_parameters(again)) == set(native_parameters(layer))


def test_unbuilt_layers_copy(name, backend):
    ncps.set_seed(11)
    layer = LAYERS[name].make()
    again = copy.deepcopy(layer)
    third = pickle.loads(pickle.dumps(layer))
    x = inputs_of(LAYERS[name])
    wanted = value(layer, x)
    for other in (again, third):
        np.testing.assert_array_equal(value(other, x), wanted)


def test_every_parameter_has_a_gradient(name, backend):
    if not can_train(backend):
        pytest.skip("no gradients there")
    spec, layer = LAYERS[name], made(name)
    rng = np.random.default_rng(5)
    layer.set_weights([w + rng.uniform(0.01, 0.2, w.shape).astype(np.float32) for w in layer.get_weights()])
    x = inputs_of(spec)
    if not spec.built:
        assert native_parameters(layer) == {}
        return
    projection = rng.normal(size=value(layer, x).shape)

    def run(layer):
        outputs = layer(x)
        return projected(outputs, [projection]), outputs

    _, _, gradients = value_and_gradients(layer, run)
    trained = [weight.path for weight in layer.walk() if weight.trainable]
    assert set(gradients) == set(trained)
    for path in trained:
        assert gradients[path] is not None, path
        assert np.isfinite(gradients[path]).all(), path
        assert np.abs(gradients[path]).max() > 0, path


def test_the_frameworks_own_view_has_the_trained_weights_only(name, backend):
    layer = made(name)
    trained = {weight.path: to_numpy(weight.variable) for weight in layer.walk() if weight.trainable}
    parameters = native_parameters(layer)
    assert set(parameters) == set(trained)
    for path, array in trained.items():
        np.testing.assert_array_equal(parameters[path], array, err_msg=path)
    everything = set(layer.weight_paths())
    if backend == "torch":
        assert {key.replace(".", "/") for key in layer.state_dict()} == everything
    if backend == "mlx":
        from mlx.utils import tree_flatten

        assert {path.replace(".", "/") for path, _ in tree_flatten(layer.parameters())} == everything
    if backend == "keras":
        assert sorted(tuple(w.shape) for w in layer.weights) == sorted(tuple(w.variable.shape) for w in layer.walk())
        assert len(layer.non_trainable_weights) == len(everything) - len(trained)
    if backend == "tensorflow":
        assert {id(v) for v in layer.variables} >= {id(weight.variable) for weight in layer.walk()}


def test_weights_can_be_set_and_wrong_ones_change_nothing(name, backend):
    layer = made(name)
    before = layer.get_weights()
    rng = np.random.default_rng(2)
    new = [rng.uniform(0.1, 1, w.shape).astype(np.float32) for w in before]
    layer.set_weights(new)
    for array, wanted in zip(layer.get_weights(), new, strict=True):
        np.testing.assert_array_equal(array, wanted)
    with pytest.raises(ValueError, match=f"Expected {len(new)} weights"):
        layer.set_weights([*new, np.zeros(3)])
    if new:
        with pytest.raises(ValueError, match=f"Expected {layer.weight_paths()[-1]} of shape"):
            layer.set_weights([*(w * 0 for w in new[:-1]), np.zeros((9, 9, 9))])
        for array, wanted in zip(layer.get_weights(), new, strict=True):
            np.testing.assert_array_equal(array, wanted)
        layer.get_weights()[0][...] = 77  # a copy
        np.testing.assert_array_equal(layer.get_weights()[0], new[0])
    assert layer.count_params() == sum(w.size for w in new)
    assert ncps.count_params(layer) == layer.count_params()


def test_a_batch_is_its_samples_one_by_one(name, backend):
    layer, x = made(name), inputs_of(LAYERS[name])
    together = value(layer, x)
    single = np.concatenate([value(layer, x[i : i + 1]) for i in range(len(x))])
    np.testing.assert_allclose(together, single, rtol=0, atol=2e-6)
    if name in RNNS:
        times = np.random.default_rng(3).uniform(0, 2, x.shape[:2]).astype(np.float32)
        together = value(layer, x, timespans=times)
        single = np.stack([value(layer, x[i], timespans=times[i]) for i in range(len(x))])  # without a batch axis
        np.testing.assert_allclose(together, single, rtol=0, atol=2e-6)


def test_output_shape_is_the_computed_one(name, backend):
    layer, x = made(name), inputs_of(LAYERS[name])
    if name not in ("users_layer", "containers"):
        assert tuple(layer.compute_output_shape(x.shape)) == value(layer, x).shape


def test_input_size_builds_in_the_constructor(name, backend):
    if name not in TAKING_OPTIONS:
        pytest.skip("a container of layers that are built")
    spec = LAYERS[name]
    ncps.set_seed(11)
    layer = spec.make(input_size=spec.shape[-1])
    assert layer.built
    for (path, array), (other, wanted) in zip(weights_of(layer).items(), weights_of(made(name)).items(), strict=True):
        assert path == other
        np.testing.assert_array_equal(array, wanted)
    assert layer.get_config()["input_size"] == spec.shape[-1]


def test_another_number_of_features_raises(name, backend):
    if not LAYERS[name].features:
        pytest.skip("takes any")
    layer, spec = made(name), LAYERS[name]
    with pytest.raises(ValueError, match=f"{spec.shape[-1]} features"):
        layer(np.zeros((*spec.shape[:-1], spec.shape[-1] + 1), np.float32))
    before = value(layer, inputs_of(spec))
    np.testing.assert_array_equal(before, value(layer, inputs_of(spec)))


DTYPES = {
    "numpy": ("float16", "float64", "bfloat16"),
    "torch": ("float16", "float64", "bfloat16"),
    "jax": ("float16", "bfloat16"),
    "mlx": ("float16", "bfloat16"),
    "tensorflow": ("float16", "float64", "bfloat16"),
    "keras": ("float16", "bfloat16"),
}


@pytest.mark.parametrize(("backend_name", "dtype"), [(b, d) for b in BACKENDS for d in DTYPES[b]])
@pytest.mark.parametrize("name", TAKING_DTYPE, ids=TAKING_DTYPE)
def test_dtype_of_weights_and_outputs(name, backend_name, dtype):
    if backend_name not in NCPSBackend.available_backends():
        pytest.skip("not installed")
    if dtype == "bfloat16" and backend_name == "keras" and keras_framework() == "numpy":
        pytest.skip("Keras on NumPy widens it")
    with backend_scope(backend_name):
        layer, x = made(name, dtype=dtype), inputs_of(LAYERS[name])
        assert ops.dtype(layer(x)) == dtype
        for weight in layer.walk():
            assert ops.dtype(ops.convert_to_tensor(weight.variable)) == dtype, weight.path
        result = value(layer, x)
        with backend_scope("numpy"):
            exact = made(name)
            wanted = value(exact, x)
        tolerance = {"float64": 1e-6, "float16": 2e-2, "bfloat16": 1e-1}[dtype]
        np.testing.assert_allclose(result, wanted, rtol=0, atol=tolerance)
        assert layer.get_config()["dtype"] is not None
        assert ops.dtype(type(layer).from_config(layer.get_config())(x)) == dtype


def test_float64_on_jax_names_the_switch():
    with backend_scope("jax"):
        for make in (lambda: Dense(2, dtype="float64"), lambda: LTC(2, dtype="float64", input_size=3)):
            with pytest.raises((TypeError, ValueError), match="jax_enable_x64"):
                make()


@pytest.mark.parametrize("name", RNNS)
def test_a_stream_is_its_sequence_step_by_step(name, backend):
    layer, x = made(name), inputs_of(LAYERS[name])
    if not hasattr(layer, "step"):
        pytest.skip("no stream: a model of layers, or one that needs the future")
    times = np.random.default_rng(3).uniform(0, 2, x.shape[:2]).astype(np.float32)
    order = range(x.shape[1])[::-1] if layer.go_backwards else range(x.shape[1])
    state, outputs = None, []
    for t in order:
        output, state = layer.step(x[:, t], state, timespan=times[:, t])
        outputs.append(ops.convert_to_numpy(output))
    wanted = value(layer, x, timespans=times)
    np.testing.assert_allclose(
        np.stack(outputs, 1) if layer.return_sequences else outputs[-1], wanted, rtol=0, atol=2e-6
    )
    reset = np.array([True, False, True])
    output, _ = layer.step(x[:, 0], state, timespan=0.5, reset=reset)
    fresh, _ = layer.step(x[:, 0], None, timespan=0.5)
    kept, _ = layer.step(x[:, 0], state, timespan=0.5)
    wanted = np.where(reset[:, None], ops.convert_to_numpy(fresh), ops.convert_to_numpy(kept))
    np.testing.assert_allclose(ops.convert_to_numpy(output), wanted, rtol=0, atol=1e-6)
    assert np.abs(ops.convert_to_numpy(fresh) - ops.convert_to_numpy(kept)).max() > 1e-4


@pytest.mark.parametrize("name", RNNS)
def test_changing_an_output_in_place_leaves_the_state_alone(name, backend):
    """Of a step, of the last step of a series, and between the calls of a stateful layer."""
    layer, x = made(name), inputs_of(LAYERS[name])
    if not isinstance(layer, RNN) or not layer.changes_in_place:
        pytest.skip("a model of layers, or a framework whose tensors do not change")
    options = {"return_sequences": False, "return_state": True, "stateful": True}
    stateful = type(layer).from_config(layer.get_config() | options)
    output, *states = tree.flatten(stateful(x))[0]
    kept = [stateful.read_state(each) for each in stateful.state_names()]
    step, after = layer.step(x[:, 0], None)
    wanted = to_numpy([tree.flatten(after)[0], states, kept])
    changed_in_place(step)
    changed_in_place(output)
    assert_equal([tree.flatten(after)[0], states], wanted[:2])
    for each in states:
        changed_in_place(each)
    assert_equal([[stateful.read_state(each) for each in stateful.state_names()]], wanted[2:])


def assert_equal(tensors, wanted):
    for tensor, array in zip(tree.flatten(tensors)[0], tree.flatten(wanted)[0], strict=True):
        np.testing.assert_array_equal(to_numpy(tensor), array)


def changed_in_place(x):
    """Adds 1 to a tensor, where its framework lets anyone do so."""
    x = x.detach() if hasattr(x, "detach") else x
    x += 1.0


def test_a_users_cell_gets_elapsed_times_that_fit_its_states(backend):
    """Also where there are as many samples as units, and a vector of times would silently be one of units."""
    layer, x = made("rnn_users_cell"), np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)
    times = np.float32([0, 0.5, 2])
    states = np.ones((3, 3), np.float32)
    together = ops.convert_to_numpy(layer.cell(x, states, timespan=times)[0])
    for i in range(3):
        single = layer.cell(x[i : i + 1], states[:1], timespan=float(times[i]))[0]
        np.testing.assert_allclose(ops.convert_to_numpy(single)[0], together[i], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(together[0], states[0])  # no time has passed
    wrapped = layer.cell(x, [states], timespan=times)[1]
    assert isinstance(wrapped, list)
    assert len(wrapped) == 1


def test_all_public_layers_are_here():
    """A layer that is added to the library is added to the table."""
    held = set()

    def collect(layer):
        held.update(cls.__name__ for cls in type(layer).__mro__)
        for inner in layer.own_layers().values():
            collect(inner)

    with backend_scope("numpy"):
        for name in LAYERS:
            collect(made(name))
    assert set(layers.__all__) - held == set()


def test_keras_runs_what_the_environment_says():
    import os

    if "keras" not in NCPSBackend.available_backends():
        pytest.skip("not installed")
    with backend_scope("keras"):
        assert keras_framework() == os.environ["KERAS_BACKEND"]


def test_sequential_of_keras_is_keras_own():
    keras = pytest.importorskip("keras")
    x = np.random.default_rng(1).normal(size=(3, 4, 2)).astype(np.float32)
    with backend_scope("numpy"):
        wanted = made("sequential_ltc")
    with backend_scope("keras"):
        model = made("sequential_ltc")
    assert isinstance(model, keras.Sequential)
    assert sorted(w.shape for w in model.get_weights()) == sorted(w.shape for w in wanted.get_weights())
    np.testing.assert_allclose(value_of_keras(model, x), value(wanted, x), rtol=0, atol=2e-6)
    again = type(model).from_config(model.get_config())
    again(x)
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(value_of_keras(again, x), value_of_keras(model, x))


def value_of_keras(model, x):
    return to_numpy(model(x))


def test_trees_of_native_results(backend):
    """return_state: a pair, under keras flat."""
    layer = LTC(3, return_state=True)
    result = layer(np.zeros((2, 4, 2), np.float32))
    assert isinstance(result, tuple)
    assert [tuple(leaf.shape) for leaf in tree.flatten(result)[0]] == [(2, 3), (2, 3)]
