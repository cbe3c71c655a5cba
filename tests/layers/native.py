"""Each framework's own way to do what a test does on all of them."""

import contextlib
import functools

import numpy as np

from ncps import ops, tree
from ncps.backend import backend_scope

BACKENDS = ("numpy", "torch", "jax", "mlx", "tensorflow", "keras")
WITH_GRADIENTS = BACKENDS[1:]


def to_numpy(x):
    """A tree of tensors as arrays, a new one for each."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        return (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy().copy()
    if isinstance(x, (tuple, list)):
        return type(x)(to_numpy(item) for item in x)
    if type(x).__module__.startswith("mlx") and "bfloat16" in str(x.dtype):
        import mlx.core as mx

        x = x.astype(mx.float32)
    array = np.array(x.numpy() if hasattr(x, "numpy") and not isinstance(x, np.ndarray) else x)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def weights_of(layer):
    """All weights by path."""
    return dict(zip(layer.weight_paths(), layer.get_weights(), strict=True))


def keras_framework():
    import keras

    return keras.backend.backend()


def module_type(backend):
    """The class whose instances the framework takes for its own modules."""
    if backend == "torch":
        import torch

        return torch.nn.Module
    if backend == "jax":
        from flax import nnx

        return nnx.Module
    if backend == "mlx":
        from mlx import nn

        return nn.Module
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.Module
    if backend == "keras":
        import keras

        return keras.layers.Layer
    return object


def native_parameters(layer):
    """Paths and arrays of what the framework itself takes for trained parameters."""
    backend = layer.bound_to
    if backend == "torch":
        return {name.replace(".", "/"): to_numpy(value) for name, value in layer.named_parameters()}
    if backend == "jax":
        from flax import nnx

        flat = nnx.to_flat_state(nnx.state(layer, nnx.Param))
        return {"/".join(map(str, path)): to_numpy(value[...]) for path, value in flat}
    if backend == "mlx":
        from mlx.utils import tree_flatten

        return {path.replace(".", "/"): to_numpy(value) for path, value in tree_flatten(layer.trainable_parameters())}
    if backend in ("tensorflow", "keras"):
        paths = {id(weight.variable): weight.path for weight in layer.walk()}
        return {paths[id(variable)]: to_numpy(variable) for variable in layer.trainable_variables}
    return {weight.path: np.array(weight.variable) for weight in layer.walk() if weight.trainable}


def value_and_gradients(layer, function):
    """`function(layer)` is a scalar and anything else: both as arrays, and the gradients by path."""
    backend = layer.bound_to
    framework = keras_framework() if backend == "keras" else backend
    with backend_scope(backend):
        return globals()[f"{'keras_' if backend == 'keras' else ''}{framework}_gradients"](layer, function)


def torch_gradients(layer, function):
    layer.zero_grad()
    value, extra = function(layer)
    value.backward()
    return (
        to_numpy(value),
        to_numpy(extra),
        {
            w.path: w.variable.grad if w.variable.grad is None else to_numpy(w.variable.grad)
            for w in layer.walk()
            if w.trainable
        },
    )


def jax_gradients(layer, function):
    from flax import nnx

    @nnx.jit
    def run(layer):
        return nnx.value_and_grad(function, argnums=nnx.DiffState(0, nnx.Param), has_aux=True)(layer)

    with quick_compilation():
        (value, extra), gradients = run(layer)
    flat = {"/".join(map(str, path)): to_numpy(g[...]) for path, g in nnx.to_flat_state(gradients)}
    return to_numpy(value), to_numpy(extra), flat


def compiled_once(call, layer):
    """What a call of a layer of jax returns, from a program that is compiled for it."""
    from flax import nnx

    with quick_compilation():
        return nnx.jit(call)(layer)


@contextlib.contextmanager
def quick_compilation():
    """XLA compiles in a third of the time; each of our programs runs once."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


def mlx_gradients(layer, function):
    from mlx import nn
    from mlx.utils import tree_flatten

    (value, extra), gradients = nn.value_and_grad(layer, function)(layer)
    return (
        to_numpy(value),
        to_numpy(extra),
        {path.replace(".", "/"): to_numpy(g) for path, g in tree_flatten(gradients)},
    )


def tensorflow_gradients(layer, function, variable_of=lambda weight: weight.variable):
    import tensorflow as tf

    own = [weight for weight in layer.walk() if weight.trainable]
    with tf.GradientTape() as tape:
        value, extra = function(layer)
    gradients = tape.gradient(value, [variable_of(weight) for weight in own])
    gradients = {
        w.path: None if g is None else to_numpy(tf.convert_to_tensor(g)) for w, g in zip(own, gradients, strict=True)
    }
    return to_numpy(value), to_numpy(extra), gradients


def keras_torch_gradients(layer, function):
    own = [weight for weight in layer.walk() if weight.trainable]
    for weight in own:
        weight.variable.value.grad = None
    value, extra = function(layer)
    value.backward()
    return (
        to_numpy(value),
        to_numpy(extra),
        {w.path: g if (g := w.variable.value.grad) is None else to_numpy(g) for w in own},
    )


def keras_tensorflow_gradients(layer, function):
    return tensorflow_gradients(layer, function, lambda weight: weight.variable.value)


def keras_jax_gradients(layer, function):
    import jax
    import keras

    own = [weight for weight in layer.walk() if weight.trainable]
    others = [variable for variable in layer.variables if all(variable is not weight.variable for weight in own)]

    def loss(values):
        mapping = [(weight.variable, value) for weight, value in zip(own, values, strict=True)]
        mapping += [(variable, variable.value) for variable in others]
        with keras.StatelessScope(state_mapping=mapping):
            return function(layer)

    with quick_compilation():
        (value, extra), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))([w.variable.value for w in own])
    return to_numpy(value), to_numpy(extra), {w.path: to_numpy(g) for w, g in zip(own, gradients, strict=True)}


def can_train(backend):
    """Whether there are gradients: keras on NumPy has none."""
    return backend in WITH_GRADIENTS and not (backend == "keras" and keras_framework() == "numpy")


def projected(outputs, projections):
    """Sum of all outputs, each element times a fixed number: every output counts, none like another."""
    leaves = tree.flatten(outputs)[0]
    terms = [
        ops.sum(ops.multiply(leaf, projection.astype(np.float32)))
        for leaf, projection in zip(leaves, projections, strict=True)
    ]
    return functools.reduce(lambda a, b: a + b, terms)
