"""The ops of Keras, for its symbolic tensors; tensors with numbers go to the framework that Keras runs on."""

from __future__ import annotations

import functools
import importlib

import keras
import numpy as np

from ncps import ops, tree
from ncps.backends import common
from ncps.ops.dispatch import COMPOSITES, PRIMITIVES

FRAMEWORK = keras.backend.backend()
below = importlib.import_module(f"ncps.backends.{FRAMEWORK}.ops")

# ---- types and conversion


def native_dtype(dtype):
    """The name of a type, if the framework has it."""
    below.native_dtype(dtype if isinstance(dtype, str) else keras.backend.standardize_dtype(dtype))
    return keras.backend.standardize_dtype(dtype)


def tensor(x):
    if below.is_tensor(x) or isinstance(x, keras.KerasTensor):
        return x
    if isinstance(x, keras.Variable):
        return keras.ops.convert_to_tensor(x.value)
    array = common.as_array(x, f"Keras ({FRAMEWORK})")
    if FRAMEWORK == "torch":  # Keras knows the device
        return keras.ops.convert_to_tensor(array if array.flags.writeable else array.copy(), array.dtype.name)
    return below.tensor(array)


def tensors(trees):
    return tree.map(lambda x: tensor(x) if isinstance(x, keras.Variable) else x, trees)


def is_floating(x):
    return keras.backend.is_float_dtype(x.dtype)


def floating(x):
    x = tensor(x)
    return x if is_floating(x) else keras.ops.cast(x, "float32")


def boolean(x):
    return keras.ops.cast(tensor(x), "bool")


def pair(x1, x2):
    # Python numbers that fit stay as they are: Keras gives them the type of the other operand.
    if isinstance(x1, (bool, int, float)):
        x2 = tensor(x2)
        return beside(x2, x1), x2
    x1 = tensor(x1)
    return x1, beside(x1, x2)


def beside(x, number):
    if common.fits(number, is_floating(x), keras.backend.standardize_dtype(x.dtype) == "bool"):
        return keras.ops.convert_to_tensor(number, x.dtype)
    return tensor(number)


make = common.elementwise(tensor, floating, pair)
unary, real, binary, real_binary, reduction = make.unary, make.real, make.binary, make.real_binary, make.reduction


def convert_to_tensor(x, dtype=None):
    return tensor(x) if dtype is None else cast(x, dtype)


def convert_to_numpy(x):
    return below.convert_to_numpy(tensor(x))


def is_traced(x):
    x = x.value if isinstance(x, keras.Variable) else x
    return isinstance(x, keras.KerasTensor) or below.is_traced(x)


def is_tensor(x):
    return below.is_tensor(x) or isinstance(x, (keras.Variable, keras.KerasTensor))


def shape(x):
    return tuple(keras.ops.shape(tensor(x)))


def dtype(x):
    return keras.backend.standardize_dtype(tensor(x).dtype)


def cast(x, dtype):
    return keras.ops.cast(tensor(common.exact(x, f"Keras ({FRAMEWORK})")), native_dtype(dtype))


def device(x=None):
    return below.device(tensor(0.0 if x is None else x))


def to_device(x, device):
    return below.to_device(tensor(x), device)


# ---- creation


def zeros(shape, dtype="float32"):
    return keras.ops.zeros(shape, native_dtype(dtype))


def ones(shape, dtype="float32"):
    return keras.ops.ones(shape, native_dtype(dtype))


def full(shape, fill_value, dtype="float32"):
    return keras.ops.full(shape, fill_value, native_dtype(dtype))


def copy(x):
    return keras.ops.copy(tensor(x))


def zeros_like(x, dtype=None):
    return keras.ops.zeros_like(tensor(x), native_dtype(dtype) if dtype else None)


def ones_like(x, dtype=None):
    return keras.ops.ones_like(tensor(x), native_dtype(dtype) if dtype else None)


def full_like(x, fill_value, dtype=None):
    return keras.ops.full_like(tensor(x), fill_value, native_dtype(dtype) if dtype else None)


def arange(start, stop=None, step=1, dtype=None):
    start, stop = (0, start) if stop is None else (start, stop)
    default = "float32" if common.any_float(start, stop, step) else "int32"
    return keras.ops.arange(start, stop, step, native_dtype(dtype) if dtype else default)


def linspace(start, stop, num=50, dtype="float32"):
    return keras.ops.linspace(start, stop, num, dtype=native_dtype(dtype))


def eye(N, M=None, dtype="float32"):
    return keras.ops.eye(N, M, dtype=native_dtype(dtype))


# ---- shapes


def reshape(x, newshape):
    return keras.ops.reshape(tensor(x), newshape)


def transpose(x, axes=None):
    return keras.ops.transpose(tensor(x), axes)


def swapaxes(x, axis1, axis2):
    return keras.ops.swapaxes(tensor(x), axis1, axis2)


def moveaxis(x, source, destination):
    return keras.ops.moveaxis(tensor(x), source, destination)


def expand_dims(x, axis):
    return keras.ops.expand_dims(tensor(x), axis)


def squeeze(x, axis=None):
    return keras.ops.squeeze(tensor(x), axis)


def broadcast_to(x, shape):
    return keras.ops.broadcast_to(tensor(x), shape)


def concatenate(xs, axis=0):
    return keras.ops.concatenate([tensor(x) for x in xs], axis)


def stack(x, axis=0):
    return keras.ops.stack([tensor(e) for e in x], axis)


def unstack(x, num=None, axis=0):
    return list(keras.ops.unstack(tensor(x), num, axis))


def split(x, indices_or_sections, axis=0):
    return list(keras.ops.split(tensor(x), indices_or_sections, axis))


def repeat(x, repeats, axis=None):
    return keras.ops.repeat(tensor(x), repeats, axis)


def tile(x, repeats):
    return keras.ops.tile(tensor(x), repeats)


def flip(x, axis=None):
    return keras.ops.flip(tensor(x), axis)


def pad(x, pad_width, constant_values=0):
    return keras.ops.pad(tensor(x), pad_width, "constant", constant_values)


def roll(x, shift, axis=None):
    return keras.ops.roll(tensor(x), shift, axis)


def diagonal(x):
    return keras.ops.diagonal(tensor(x), 0, -2, -1)


def triu(x, k=0):
    return keras.ops.triu(tensor(x), k)


def tril(x, k=0):
    return keras.ops.tril(tensor(x), k)


# ---- arithmetic


def kept(function):
    # Keras makes integers real, which stay as they are.
    return lambda x: function(x) if is_floating(x) else x


add = binary(keras.ops.add)
subtract = binary(keras.ops.subtract)
multiply = binary(keras.ops.multiply)
divide = real_binary(keras.ops.divide)
floor_divide = binary(keras.ops.floor_divide)
mod = binary(keras.ops.mod)
power = binary(keras.ops.power)
maximum = binary(keras.ops.maximum)
minimum = binary(keras.ops.minimum)


def clip(x, x_min, x_max):
    return minimum(maximum(tensor(x), x_min), x_max)


negative = unary(keras.ops.negative)
absolute = unary(keras.ops.absolute)
sign = unary(keras.ops.sign)
square = unary(keras.ops.square)
sqrt = real(keras.ops.sqrt)
rsqrt = real(keras.ops.rsqrt)
reciprocal = real(keras.ops.reciprocal)
exp = real(keras.ops.exp)
expm1 = real(keras.ops.expm1)
log = real(keras.ops.log)
log1p = real(keras.ops.log1p)
sin = real(keras.ops.sin)
cos = real(keras.ops.cos)
tan = real(keras.ops.tan)
arctan = real(keras.ops.arctan)
sinh = real(keras.ops.sinh)
cosh = real(keras.ops.cosh)
tanh = real(keras.ops.tanh)
erf = real(keras.ops.erf)
floor = unary(kept(keras.ops.floor))
ceil = unary(kept(keras.ops.ceil))
round = unary(kept(keras.ops.round))

# ---- reductions


def typed(function):
    # Keras widens small integers; only booleans change their type.
    def op(x, axis, keepdims):
        kind = keras.backend.standardize_dtype(x.dtype)
        return keras.ops.cast(function(x, axis=axis, keepdims=keepdims), "int32" if kind == "bool" else kind)

    return op


sum = reduction(typed(keras.ops.sum))
mean = reduction(keras.ops.mean, floating)
max = reduction(keras.ops.max)
min = reduction(keras.ops.min)
prod = reduction(typed(keras.ops.prod))
var = reduction(keras.ops.var, floating)
std = reduction(keras.ops.std, floating)
logsumexp = reduction(keras.ops.logsumexp, floating)
norm = reduction(lambda x, axis, keepdims: keras.ops.sqrt(keras.ops.sum(x * x, axis, keepdims)), floating)
all = reduction(keras.ops.all)
any = reduction(keras.ops.any)


def argmax(x, axis=-1):
    return keras.ops.cast(keras.ops.argmax(tensor(x), axis), "int32")


def argmin(x, axis=-1):
    return keras.ops.cast(keras.ops.argmin(tensor(x), axis), "int32")


def cumsum(x, axis=0):
    return keras.ops.cumsum(tensor(x), axis)


def cumprod(x, axis=0):
    return keras.ops.cumprod(tensor(x), axis)


# ---- linear algebra

matmul = binary(keras.ops.matmul)
outer = binary(keras.ops.outer)


def tensordot(x1, x2, axes=2):
    return keras.ops.tensordot(*pair(x1, x2), axes)


def einsum(subscripts, *operands):
    return keras.ops.einsum(subscripts, *(tensor(x) for x in operands))


# ---- comparison

equal = binary(keras.ops.equal)
not_equal = binary(keras.ops.not_equal)
greater = binary(keras.ops.greater)
greater_equal = binary(keras.ops.greater_equal)
less = binary(keras.ops.less)
less_equal = binary(keras.ops.less_equal)
logical_and = binary(keras.ops.logical_and)
logical_or = binary(keras.ops.logical_or)
logical_not = unary(keras.ops.logical_not)
isnan = unary(keras.ops.isnan)
isinf = unary(keras.ops.isinf)
isfinite = unary(keras.ops.isfinite)


def where(condition, x1, x2):
    return keras.ops.where(boolean(condition), *pair(x1, x2))


# ---- indexing


def take(x, indices, axis=0):
    return keras.ops.take(tensor(x), tensor(indices), axis)


def take_along_axis(x, indices, axis=-1):
    return keras.ops.take_along_axis(tensor(x), tensor(indices), axis)


def segment_sum(data, segment_ids, num_segments, sorted=False):
    return keras.ops.segment_sum(tensor(data), tensor(segment_ids), num_segments, sorted)


def one_hot(x, num_classes, dtype="float32"):
    return keras.ops.one_hot(tensor(x), num_classes, dtype=native_dtype(dtype))


def slice(inputs, start_indices, shape):
    return keras.ops.slice(tensor(inputs), start_indices, shape)


def slice_update(inputs, start_indices, updates):
    inputs = tensor(inputs)
    return keras.ops.slice_update(inputs, start_indices, keras.ops.cast(tensor(updates), inputs.dtype))


def sort(x, axis=-1):
    return keras.ops.sort(tensor(x), axis)


def argsort(x, axis=-1):
    return keras.ops.cast(keras.ops.argsort(tensor(x), axis), "int32")


def searchsorted(sorted_sequence, values, side="left"):
    return keras.ops.cast(keras.ops.searchsorted(*pair(sorted_sequence, values), side), "int32")


# ---- activations

relu = unary(keras.ops.relu)
sigmoid = real(keras.ops.sigmoid)
softplus = real(keras.ops.softplus)
silu = real(keras.ops.silu)


def gelu(x, approximate=True):
    return keras.ops.gelu(floating(x), approximate)


def elu(x, alpha=1.0):
    return keras.ops.elu(floating(x), alpha)


def leaky_relu(x, negative_slope=0.2):
    return keras.ops.leaky_relu(floating(x), negative_slope)


def softmax(x, axis=-1):
    return keras.ops.softmax(floating(x), axis)


def log_softmax(x, axis=-1):
    return keras.ops.log_softmax(floating(x), axis)


# ---- tensors with numbers
#
# keras.ops computes float64 and int64 in 32 bits on some frameworks, drops axes on torch, and refuses some arguments on
# tensorflow. So it is for symbolic tensors only, except where Keras decides: on places, new tensors and random numbers.

DIRECT = (ops.activations, ops.arithmetic, ops.comparison, ops.indexing, ops.linalg, ops.reductions, ops.shapes)


def direct(concrete, signature, symbolic):
    @functools.wraps(signature)
    def op(*args, **kwargs):
        leaves, structure = tree.flatten((args, kwargs))
        for i, x in enumerate(leaves):
            if isinstance(x, keras.KerasTensor):
                return symbolic(*args, **kwargs)
            if isinstance(x, (keras.Variable, np.ndarray)):
                leaves[i] = tensor(x)
        args, kwargs = tree.unflatten(structure, leaves)
        return concrete(*args, **kwargs)

    return op


for name, signature in PRIMITIVES.items():
    if signature.__module__ in {theme.__name__ for theme in DIRECT}:
        globals()[name] = direct(getattr(below, name), signature, globals()[name])


def parts_of_sequences(framework):
    """Of the ops that runs over sequences are composed of, those that a module of the framework has its own of."""
    inside = f"{ops.__name__}.sequences."
    return {
        name: direct(getattr(framework, name), body, body)
        for name, body in COMPOSITES.items()
        if body.__module__.startswith(inside) and hasattr(framework, name)
    }


globals().update(parts_of_sequences(below))
