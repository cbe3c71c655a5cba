"""Each framework's compiler, training mode and loop; and pickles in fresh processes."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from native import keras_framework, to_numpy

import ncps
from ncps import ops
from ncps.backend import NCPSBackend, backend_scope
from ncps.layers import (
    GRU,
    LRC,
    LTC,
    Bidirectional,
    CfC,
    Dense,
    Dropout,
    Layer,
    LinOSS,
    List,
    LTCCell,
    MixedMemory,
    Sequential,
)  # fmt: skip
from ncps.wirings import AutoNCP

HERE = Path(__file__).parent
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6, 3)).astype(np.float32)
TIMES = RNG.uniform(0, 1, size=(4, 6)).astype(np.float32)
LAYERS = {
    "dense": lambda: Dense(3, "tanh", input_size=3),
    "ltc": lambda: LTC(AutoNCP(19, 1), unfolds=2, return_sequences=True, input_size=3),
    "cfc": lambda: CfC(5, backbone_units=8, return_sequences=True, input_size=3),
    "cfc_wired": lambda: CfC(AutoNCP(8, 2), return_sequences=True, input_size=3),
    "lrc": lambda: LRC(6, unfolds=1, initialization_ranges={"vleak": (-5, 5)}, return_sequences=True, input_size=3),
    "mixed": lambda: MixedMemory(LTCCell(AutoNCP(8, 2), unfolds=2), return_sequences=True, input_size=3),
    "linoss": lambda: LinOSS(4, return_sequences=True, input_size=3),
    "both": lambda: Bidirectional(GRU(4, return_sequences=True), input_size=3),
}


def made(name, backend):
    with backend_scope(backend):
        ncps.set_seed(3)
        return LAYERS[name]()


def needs(*backends):
    for backend in backends:
        if backend not in NCPSBackend.available_backends():
            pytest.skip(f"{backend} is not installed")


@pytest.fixture(params=list(LAYERS))
def name(request):
    return request.param


def options_of(name):
    return {} if name == "dense" else {"timespans": TIMES}


# ---- torch


def compare_compiled_torch(name, x, times, compiler):
    import torch

    torch._dynamo.reset()
    layer = made(name, "torch")
    compiled = torch.compile(layer, fullgraph=True, backend=compiler)
    x = torch.tensor(x, requires_grad=True)
    options = {} if name == "dense" else {"timespans": torch.tensor(times)}
    results = []
    for call in (layer, compiled):
        layer.zero_grad()
        x.grad = None
        output = call(x, **options)
        (output**2).sum().backward()
        results.append((to_numpy(output), {n: to_numpy(p.grad) for n, p in layer.named_parameters()}, to_numpy(x.grad)))
    (output, gradients, inputs), (again, compiled_gradients, compiled_inputs) = results
    np.testing.assert_allclose(again, output, rtol=0, atol=2e-6)
    np.testing.assert_allclose(compiled_inputs, inputs, rtol=0, atol=1e-4 * np.abs(inputs).max())
    for path, gradient in gradients.items():
        error = np.abs(compiled_gradients[path] - gradient).max() / np.abs(gradient).max()
        assert error < 1e-4, path


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "ltc"])  # which is compiled below
def test_torch_compile(name):
    needs("torch")  # inductor takes a minute more for all; with two scans in one graph it mixed up their gradients
    compare_compiled_torch(name, X, TIMES, "inductor" if name in ("cfc", "both") else "aot_eager")


@pytest.mark.parametrize("times", [None, 0.5, TIMES], ids=["none", "number", "array"])
@pytest.mark.parametrize("name", ["ltc", "cfc"])
def test_torch_compile_with_times_that_are_no_tensors(name, times):
    """Without timespans, with a number or with a NumPy array."""
    needs("torch")
    import torch

    torch._dynamo.reset()
    layer, x = made(name, "torch"), torch.tensor(X)
    options = {} if times is None else {"timespans": times}
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    np.testing.assert_allclose(to_numpy(compiled(x, **options)), to_numpy(layer(x, **options)), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["ltc", "cfc"])
def test_torch_compiles_once_for_all_states(name):
    needs("torch")
    import torch

    torch._dynamo.reset()
    layer, x = made(name, "torch"), torch.tensor(X)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for once_more in (False, True, True):
        state = torch.zeros(len(X), layer.cell.state_size) + once_more  # each time another tensor
        with torch._dynamo.config.patch(error_on_recompile=once_more):
            np.testing.assert_allclose(to_numpy(compiled(x, state)), to_numpy(layer(x, state)), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["ltc", "cfc"])
def test_torch_compile_with_a_mask(name):
    needs("torch")
    import torch

    torch._dynamo.reset()
    layer, x, mask = made(name, "torch"), torch.tensor(X), torch.tensor(TIMES > 0.3)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    np.testing.assert_allclose(to_numpy(compiled(x, mask=mask)), to_numpy(layer(x, mask=mask)), rtol=0, atol=2e-6)


@pytest.mark.slow
def test_torch_compile_of_a_long_sequence():
    needs("torch")
    rng = np.random.default_rng(1)
    start = time.perf_counter()
    compare_compiled_torch(
        "ltc",
        rng.normal(size=(2, 500, 3)).astype(np.float32),
        rng.uniform(0, 1, (2, 500)).astype(np.float32),
        "inductor",
    )
    assert time.perf_counter() - start < 60


def test_torch_functional_call_and_func_grad(name):
    needs("torch")
    import torch

    layer, x = made(name, "torch"), torch.tensor(X)
    parameters = {n: p.detach().clone() for n, p in layer.named_parameters()}
    doubled = {n: 1.5 * p for n, p in parameters.items()}
    plain = layer(x)
    with torch.no_grad():
        changed = torch.func.functional_call(layer, doubled, (x,))
        assert (changed - plain).abs().max() > 1e-3  # 1.0.1 ignored them
        for n, p in layer.named_parameters():
            assert torch.equal(p, parameters[n])

    def loss(parameters):
        return (torch.func.functional_call(layer, parameters, (x,)) ** 2).sum()

    gradients = torch.func.grad(loss)(parameters)
    (plain**2).sum().backward()
    for n, p in layer.named_parameters():
        assert (gradients[n] - p.grad).abs().max() <= 1e-4 * p.grad.abs().max(), n


def test_torch_saves_whole_modules_and_state_dicts(name, tmp_path):
    needs("torch")
    import torch

    layer = made(name, "torch")
    wanted = to_numpy(layer(X))
    torch.save(layer, tmp_path / "layer.pt")
    np.testing.assert_array_equal(to_numpy(torch.load(tmp_path / "layer.pt", weights_only=False)(X)), wanted)
    with backend_scope("torch"):
        ncps.set_seed(99)
        other = LAYERS[name]()
    assert (to_numpy(other(X)) != wanted).any()
    other.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(to_numpy(other(X)), wanted)


def test_torch_to_dtype_moves_all(name):
    needs("torch")
    import torch

    layer = made(name, "torch")
    wanted = to_numpy(layer(X, **options_of(name)))
    layer.double()
    output = layer(X, **options_of(name))
    assert output.dtype == torch.float64
    np.testing.assert_allclose(to_numpy(output), wanted, rtol=0, atol=1e-5)


# ---- jax


def test_jax_compilers(name):
    needs("jax")
    import jax
    from flax import nnx

    layer = made(name, "jax")
    wanted = to_numpy(layer(X, **options_of(name)))
    jitted = nnx.jit(lambda layer, x, options: layer(x, **options))
    np.testing.assert_allclose(to_numpy(jitted(layer, X, options_of(name))), wanted, rtol=0, atol=2e-6)
    definition, state = nnx.split(layer)
    pure = jax.jit(lambda state, x: nnx.merge(definition, state)(x, **options_of(name)))
    np.testing.assert_allclose(to_numpy(pure(state, X)), wanted, rtol=0, atol=2e-6)
    closed = jax.jit(lambda x: layer(x, **options_of(name)))
    np.testing.assert_allclose(to_numpy(closed(X)), wanted, rtol=0, atol=2e-6)
    batched = jax.vmap(lambda x: layer(x))(X)  # one series each
    np.testing.assert_allclose(to_numpy(batched), to_numpy(layer(X)), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["ltc", "cfc", "lrc", "mixed"])
def test_jax_gradients_of_a_layer_in_a_loop(name):
    needs("jax")
    import jax
    from flax import nnx

    definition, params, rest = nnx.split(made(name, "jax"), nnx.Param, ...)

    def loss(params, rest, pieces, loop):
        layer = nnx.merge(definition, params, rest)
        return loop(lambda total, x: (total + (layer(x) ** 2).sum(), None), 0.0, pieces)[0]

    def unrolled(body, total, pieces):
        for piece in pieces:
            total, _ = body(total, piece)
        return total, None

    pieces = X.reshape(2, 2, 6, 3)
    found, wanted = (
        jax.jit(jax.grad(lambda *a, loop=loop: loss(*a, loop)))(params, rest, pieces)
        for loop in (jax.lax.scan, unrolled)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, wanted)


def test_jax_exports_for_any_batch_and_length(name):
    needs("jax")
    import jax
    from jax import export

    layer = made(name, "jax")
    sizes = export.symbolic_shape("batch, time")
    exported = export.export(jax.jit(lambda x: layer(x)))(jax.ShapeDtypeStruct((*sizes, 3), np.float32))
    np.testing.assert_allclose(to_numpy(exported.call(X[:2, :7])), to_numpy(layer(X[:2, :7])), rtol=0, atol=2e-6)


# ---- mlx


def test_mlx_compiler(name):
    needs("mlx")
    import mlx.core as mx
    from mlx import nn

    layer = made(name, "mlx")
    wanted = to_numpy(layer(X, **options_of(name)))
    options = {key: mx.array(value) for key, value in options_of(name).items()}
    compiled = mx.compile(lambda x, **options: layer(x, **options))
    np.testing.assert_allclose(to_numpy(compiled(mx.array(X), **options)), wanted, rtol=0, atol=2e-6)

    def loss(layer, x):
        return (layer(x) ** 2).sum()

    plain = nn.value_and_grad(layer, loss)
    other, wanted = plain(layer, mx.array(X))
    state = [layer.state]
    value, gradients = mx.compile(lambda x: plain(layer, x), inputs=state, outputs=state)(mx.array(X))
    assert abs(value.item() - other.item()) < 1e-4
    from mlx.utils import tree_flatten

    for (path, gradient), (_, right) in zip(tree_flatten(gradients), tree_flatten(wanted), strict=True):
        assert np.abs(to_numpy(gradient) - to_numpy(right)).max() <= 1e-4 * np.abs(to_numpy(right)).max(), path


# ---- tensorflow


def test_tensorflow_function(name):
    """One trace for all batches and lengths, forward and backward."""
    needs("tensorflow")
    import tensorflow as tf

    layer, traces = made(name, "tensorflow"), []

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3)), tf.TensorSpec((None, None))])
    def run(x, times):
        traces.append(1)
        with tf.GradientTape() as tape:
            output = layer(x) if name == "dense" else layer(x, timespans=times)
            loss = tf.reduce_sum(output**2)
        return output, tape.gradient(loss, layer.trainable_variables)

    for batch, steps in ((4, 6), (2, 3), (1, 1)):
        x, times = tf.constant(X[:batch, :steps]), tf.constant(TIMES[:batch, :steps])
        output, gradients = run(x, times)
        with tf.GradientTape() as tape:
            wanted = layer(x) if name == "dense" else layer(x, timespans=times)
            loss = tf.reduce_sum(wanted**2)
        np.testing.assert_allclose(output.numpy(), wanted.numpy(), rtol=0, atol=2e-6)
        for variable, gradient, right in zip(
            layer.trainable_variables, gradients, tape.gradient(loss, layer.trainable_variables), strict=True
        ):
            gradient, right = tf.convert_to_tensor(gradient), tf.convert_to_tensor(right)
            assert np.abs(gradient - right).max() <= 1e-4 * np.abs(right).max() + 1e-9, variable.name
    assert len(traces) == 1


@pytest.mark.parametrize("layer", [lambda: LTC(AutoNCP(64, 8)), lambda: CfC(AutoNCP(160, 8)), lambda: CfC(64)])
@pytest.mark.parametrize(("batch", "times"), [(1, None), (2, None), (2, TIMES[:2])])
def test_tensorflow_function_with_xla(layer, batch, times):
    needs("tensorflow")
    import tensorflow as tf

    def loss_and_gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(model(x, timespans=times) ** 2)
        return loss, tape.gradient(loss, [x, *model.trainable_variables])

    with backend_scope("tensorflow"):
        ncps.set_seed(3)
        model, x = layer(), tf.constant(X[:batch])
        model(x)
        plain, compiled = (tf.function(loss_and_gradients, jit_compile=jit, autograph=False)(x) for jit in (None, True))
    for expected, found in zip(tf.nest.flatten(plain), tf.nest.flatten(compiled), strict=True):
        assert np.abs(found - expected).max() <= 1e-5 * max(np.abs(expected).max(), 1e-3)


@pytest.mark.parametrize("name", ["ltc", "cfc"])
def test_long_sequences_with_xla(name):
    """They copy neither all that comes in nor all that goes out."""
    needs("tensorflow")
    import tensorflow as tf

    layer, steps, rng = made(name, "tensorflow"), 263, np.random.default_rng(1)
    x, times = (tf.constant(rng.uniform(0, 1, (2, steps, *last)), tf.float32) for last in ((3,), ()))
    mask = tf.constant(rng.uniform(size=(2, steps)) < 0.9)

    def output_and_gradients(x):
        with tf.GradientTape() as tape:
            tape.watch([x, times])
            output = layer(x, timespans=times, mask=mask)
        return output, tape.gradient(output, [x, times, *layer.trainable_variables])

    plain, compiled = (tf.function(output_and_gradients, jit_compile=jit, autograph=False)(x) for jit in (None, True))
    for expected, found in zip(tf.nest.flatten(plain), tf.nest.flatten(compiled), strict=True):
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    forward = tf.function(lambda x: layer(x), jit_compile=True, autograph=False)
    text = forward.experimental_get_compiler_ir(x)(stage="optimized_hlo")
    assert f"[2,{steps}," in text
    assert f"[{steps},2," not in text


# ---- keras


def test_keras_fit(name):
    needs("keras")
    import keras

    if keras_framework() == "numpy":
        pytest.skip("does not train")
    keras.utils.set_random_seed(0)
    layer = made(name, "keras")
    model = keras.Sequential([layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    y = X.sum(-1, keepdims=True)
    before = [np.array(w) for w in layer.get_weights()]
    history = model.fit(X, y, epochs=40, batch_size=2, verbose=0)
    assert history.history["loss"][-1] < 0.9 * history.history["loss"][0]
    changed = [
        path for path, a, b in zip(layer.weight_paths(), before, layer.get_weights(), strict=True) if (a != b).any()
    ]
    assert set(changed) == set(layer.weight_paths())
    np.testing.assert_allclose(model.predict(X, verbose=0), to_numpy(model(X)), rtol=0, atol=1e-5)


def test_keras_takes_the_inputs_by_name():
    needs("keras")
    layer = made("cfc", "keras")
    np.testing.assert_array_equal(to_numpy(layer(sequences=X)), to_numpy(layer(X)))


def test_keras_functional_model_saves_and_loads(name, tmp_path):
    needs("keras")
    import keras

    layer = made(name, "keras")
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, layer(inputs))
    wanted = model.predict(X, verbose=0)
    np.testing.assert_allclose(wanted, to_numpy(layer(X)), rtol=0, atol=2e-6)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras").predict(X, verbose=0), wanted)


@ncps.register_serializable("tests")
class Speaker(Layer):
    """Defines no build: its layers are built by being called."""

    def __init__(self, **options):
        super().__init__(**options)
        self.blocks = List([CfC(AutoNCP(8, 2)), Dense(3)])

    def call(self, inputs):
        for block in self.blocks:
            inputs = block(inputs)
        return inputs


def test_keras_saves_and_loads_layers_that_define_no_build(tmp_path):
    needs("keras")
    import keras

    if keras_framework() == "numpy":
        pytest.skip("Keras runs the layer on memory as it happens to be, and NumPy warns of what it finds there")
    with backend_scope("keras"):
        model = keras.Sequential([keras.Input((None, 3)), Speaker()])
    wanted = model.predict(X, verbose=0)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras").predict(X, verbose=0), wanted)


def test_keras_mask_of_a_masking_layer_reaches_ours():
    needs("keras")
    import keras

    if keras_framework() == "numpy":
        pytest.skip("Keras cannot note masks on arrays of NumPy")
    x = X.copy()
    x[1, 4:] = 0
    mask = np.ones((4, 6), bool)
    mask[1, 4:] = False
    for name in ("ltc", "cfc"):
        layer = made(name, "keras")
        masked = keras.layers.Masking()(x)
        np.testing.assert_array_equal(to_numpy(layer(masked)), to_numpy(layer(x, mask=mask)))
        with_times = to_numpy(layer(masked, timespans=TIMES))
        np.testing.assert_array_equal(with_times, to_numpy(layer(x, mask=mask, timespans=TIMES)))
        assert np.abs(with_times - to_numpy(layer(x, timespans=TIMES))).max() > 1e-4


# ---- dropout and modes


class Wrapper(Layer):
    """Holds a dropout two layers down, and never speaks of training itself."""

    def __init__(self, **options):
        super().__init__(**options)
        self.blocks = List([Dropout(0.5)])

    def call(self, inputs, training=None):
        return self.blocks[0](inputs)


ONES = np.ones((50, 40), np.float32)


def compiled(layer):
    """A compiled call of the layer in training, without arguments."""
    backend = layer.bound_to
    if backend == "torch":
        import torch

        torch._dynamo.reset()
        function = torch.compile(layer, fullgraph=True, backend="aot_eager")
        return lambda: function(torch.tensor(ONES), training=True)
    if backend == "jax":
        from flax import nnx

        function = nnx.jit(lambda layer, x: layer(x, training=True))
        return lambda: function(layer, ONES)
    if backend == "mlx":
        import mlx.core as mx

        state = [layer.state, mx.random.state]
        function = mx.compile(lambda x: layer(x, training=True), inputs=state, outputs=state)
        return lambda: function(mx.array(ONES))
    if backend == "tensorflow":
        import tensorflow as tf

        function = tf.function(lambda x: layer(x, training=True))
        return lambda: function(tf.constant(ONES))
    return lambda: layer(ONES, training=True)


@pytest.mark.parametrize(
    "make", [lambda: Dropout(0.5), Wrapper, lambda: CfC(3, backbone_units=40, backbone_dropout=0.5, input_size=40)]
)
def test_dropout_draws_anew_and_repeats_under_a_seed(backend, make):
    def draws():
        ncps.set_seed(5)
        layer = make()
        call = compiled(layer)
        if not layer.built:
            layer(ONES, training=False)
        first, second = to_numpy(call()), to_numpy(call())
        quiet = to_numpy(layer(ONES, training=False))
        return first, second, quiet

    first, second, quiet = draws()
    assert (first != second).any()
    assert (first != quiet).any()
    again = draws()
    np.testing.assert_array_equal(again[0], first)
    np.testing.assert_array_equal(again[1], second)
    ncps.set_seed(6)
    other = make()
    other(ONES, training=False)
    assert (to_numpy(compiled(other)()) != first).any()


@pytest.fixture
def dropping(short_chunks):
    """A layer that runs in chunks, whose outputs for the same inputs differ by what it drops only."""
    layer = CfC(4, backbone_units=40, backbone_dropout=0.5, input_size=40, return_sequences=True)
    weights = dict(zip(layer.weight_paths(), layer.get_weights(), strict=True))
    weights["cell/backbone/0/kernel"][40:] = 0.0  # nothing of the state
    layer.set_weights(list(weights.values()))
    return layer


def test_a_compiled_loop_drops_out_anew_at_each_step(backend, dropping):
    """Also where it runs in chunks, each of which a compiler could take for the first."""
    outputs = to_numpy(compiled(dropping)()).round(5)
    assert len(np.unique(outputs, axis=0)) == len(outputs)


@pytest.mark.parametrize("around", [lambda f: f, ops.checkpoint])
def test_a_loop_of_xla_drops_out_anew_at_each_step(backend, dropping, around):
    if backend != "tensorflow":
        pytest.skip("for TensorFlow")
    import tensorflow as tf

    call = tf.function(lambda x: around(lambda x: dropping(x, training=True))(x), jit_compile=True)
    outputs = to_numpy(call(tf.constant(ONES))).round(5)
    assert len(np.unique(outputs, axis=0)) == len(outputs)


def dropped(layer, **options):
    output = to_numpy(layer(ONES, **options))
    assert set(np.unique(output)) <= {0.0, 1.0, 2.0}
    share = float((output == 0).mean())
    assert share in (0.0, 1.0) or 0.45 < share < 0.55
    return share > 0


@pytest.mark.parametrize("make", [lambda: Dropout(0.5), Wrapper, lambda: Sequential([Dropout(0.5)])])
def test_training_mode_is_the_frameworks_own_and_an_explicit_value_wins(backend, make):
    layer = make()
    assert dropped(layer, training=True)
    assert not dropped(layer, training=False)
    modes = backend in ("torch", "jax", "mlx")
    assert dropped(layer) == modes
    if modes:
        layer.eval()
        assert not dropped(layer)
        assert dropped(layer, training=True)
        layer.train()
        assert dropped(layer)
        assert not dropped(layer, training=False)
    assert dropped(layer, training=True)  # and nothing of it stays
    assert dropped(layer) == modes


def test_keras_fit_trains_and_predict_does_not():
    needs("keras")
    import keras

    if keras_framework() == "numpy":
        pytest.skip("does not train")
    seen = []

    class Spy(Layer):
        def call(self, inputs):
            seen.append(self.is_training(None))
            return inputs

    with backend_scope("keras"):
        layer = Spy()
    model = keras.Sequential([layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.predict(ONES, verbose=0)
    assert seen
    assert not any(seen)
    seen.clear()
    model.fit(ONES, ONES[:, :1], verbose=0, epochs=1)
    assert seen[-1]


def test_an_unbuilt_layer_under_jax_jit_says_so():
    needs("jax")
    import jax

    with backend_scope("jax"):
        layer = CfC(AutoNCP(8, 2))
    with pytest.raises(RuntimeError, match="before it is built"):
        jax.jit(lambda x: layer(x))(X)
    assert layer(X).shape == (4, 2)


def test_torch_moves_an_unbuilt_layer():
    """What is asked of it before its first call holds for the weights to come."""
    needs("torch")
    import torch

    with backend_scope("torch"):
        layers = [CfC(AutoNCP(8, 2)), LTC(3), Dense(2)]
    for layer in layers:
        assert layer.double()(torch.tensor(X).double()).dtype == torch.float64
    with backend_scope("torch"):
        layer = CfC(AutoNCP(8, 2)).to("meta")
    assert layer(torch.zeros(2, 4, 3, device="meta")).device.type == "meta"


def call_compiled(layer):
    """A first call of the layer, under its framework's compiler."""
    if layer.bound_to == "torch":
        import torch

        torch._dynamo.reset()
        return torch.compile(layer, fullgraph=True)(torch.tensor(X))
    if layer.bound_to == "jax":
        from flax import nnx

        return nnx.jit(lambda layer, x: layer(x))(layer, X)
    if layer.bound_to == "mlx":
        import mlx.core as mx

        return mx.compile(lambda x: layer(x))(mx.array(X))
    import tensorflow as tf

    return tf.function(lambda x: layer(x))(tf.constant(X))


@pytest.mark.parametrize("make", [lambda: Dense(2), lambda: LTC(3), lambda: Sequential([Dense(2)])])
def test_an_unbuilt_layer_under_a_compiler_says_so(backend, make):
    if backend in ("numpy", "keras"):
        pytest.skip("no compiler of its own")
    layer = make()
    with pytest.raises(Exception, match=r"before it is built") as caught:
        call_compiled(layer)
    assert isinstance(caught.value, RuntimeError) or "RuntimeError" in str(caught.value)
    assert not layer.built
    layer(X)  # and can still be used
    assert layer.built


# ---- fresh processes

LOAD = """
import pickle, sys
import numpy as np
import ncps
from native import to_numpy
for backend, held in pickle.load(open(sys.argv[1], "rb")).items():
    ncps.set_backend("numpy" if backend != "numpy" else "torch")
    for layer, x, wanted in pickle.loads(held):
        assert layer.bound_to == backend, layer.bound_to
        np.testing.assert_allclose(to_numpy(layer(x)), wanted, rtol=0, atol=1e-6)
        print(backend, type(layer).__name__)
"""
PICKLED = {
    "dense": "Dense", "ltc_wired": "LTC", "cfc": "CfC", "cfc_wired": "CfC", "rnn_users_cell": "RNN",
    "users_layer": "Scaled", "users_subclass": "Wide", "containers": "Stack",
}  # fmt: skip


def test_a_fresh_process_loads_pickles(tmp_path):
    from test_harness import LAYERS as SPECS, inputs_of, made as harness_made

    pickles = {}
    for backend in NCPSBackend.available_backends():
        with backend_scope(backend):
            layers = [(harness_made(spec), inputs_of(SPECS[spec])) for spec in PICKLED]
            pickles[backend] = pickle.dumps([(layer, x, to_numpy(layer(x))) for layer, x in layers])
    (tmp_path / "layers.pickle").write_bytes(pickle.dumps(pickles))
    path = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "layers.pickle")],
        capture_output=True, text=True, check=False, timeout=120, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{backend} {name}" for backend in pickles for name in PICKLED.values()]


LOAD_KERAS = """
import sys
import numpy as np
import ncps
ncps.set_backend("keras")
import keras
model = keras.models.load_model(sys.argv[1] + "/model.keras")
x, wanted = (np.load(sys.argv[1] + name) for name in ("/x.npy", "/y.npy"))
np.testing.assert_array_equal(model.predict(x, verbose=0), wanted)
"""


def test_a_fresh_process_loads_a_file_of_keras(tmp_path):
    needs("keras")
    import keras

    with backend_scope("keras"):
        layers = [LTC(AutoNCP(8, 2), return_sequences=True), CfC(5, backbone_units=4), Dense(2)]
        model = keras.Sequential([keras.Input((None, 3)), *layers])
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", model.predict(X, verbose=0))
    done = subprocess.run(
        [sys.executable, "-c", LOAD_KERAS, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


# ---- the training step of each framework


@pytest.mark.parametrize("name", ["dense", "ltc", "cfc"])
def test_a_training_step_learns(backend, name):
    if backend == "numpy" or (backend == "keras" and keras_framework() == "numpy"):
        pytest.skip("does not train")
    layer, y = made(name, backend), X[..., :1] * 0.5
    step = ncps.training_step(layer, lambda layer, x, y: ops.mean((layer(x)[..., :1] - y) ** 2), 0.02)
    losses = [float(to_numpy(step(X, y))) for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]
    with backend_scope(backend):
        assert abs(float(to_numpy(ops.mean((layer(X)[..., :1] - ops.convert_to_tensor(y)) ** 2))) - losses[-1]) < 0.05
