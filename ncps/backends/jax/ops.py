"""The ops on jax arrays."""

from __future__ import annotations

import builtins

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from ncps import tree
from ncps.backends import common

# ---- types and conversion


def native_dtype(dtype):
    try:
        found = jnp.dtype(dtype)
    except TypeError:
        raise ValueError(
            f"Expected a type that jax has, such as 'float32'. Received: dtype={dtype!r}. Give the name of one."
        ) from None
    if found.name in ("float64", "int64", "uint64", "complex128") and not jax.config.jax_enable_x64:
        raise ValueError(
            f"jax has {found.name} only with jax.config.update('jax_enable_x64', True) at the start of the program, or "
            f"with the environment variable JAX_ENABLE_X64=1. Received: dtype={dtype!r}. Or use 32 bits."
        )
    return found


def tensor(x):
    if isinstance(x, jax.Array):
        return x
    if isinstance(x, nnx.Variable):  # weights are held in variables and used as arrays
        return x[...]
    return jnp.asarray(common.as_array(x, "jax"))


def tensors(trees):
    return tree.map(tensor, trees)


def is_floating(x):
    return jnp.issubdtype(x.dtype, jnp.floating)


def floating(x):
    x = tensor(x)
    return x if is_floating(x) else x.astype(jnp.float32)


def pair(x1, x2):
    if is_tensor(x1):
        return tensor(x1), beside(tensor(x1), x2)
    if is_tensor(x2):
        return beside(tensor(x2), x1), tensor(x2)
    return tensor(x1), tensor(x2)


def beside(x, number):
    """`number` as a tensor; Python numbers take the type of `x`."""
    if common.fits(number, is_floating(x), x.dtype == bool):
        return jnp.asarray(number, x.dtype)
    return tensor(number)


OWN = (type(jnp.zeros(())),)  # arrays with numbers; there is no public name for their class
REALS = (*map(jnp.dtype, ("float32", "float64", "bfloat16", "float16")),)
make = common.elementwise(tensor, floating, pair, OWN, REALS, promotes=True)
unary, real, binary, real_binary, reduction = make.unary, make.real, make.binary, make.real_binary, make.reduction


def convert_to_tensor(x, dtype=None):
    return tensor(x) if dtype is None else cast(x, dtype)


def convert_to_numpy(x):
    return np.asarray(tensor(x))


def is_variable(x):
    return isinstance(x, nnx.Variable)


def is_traced(x):
    return isinstance(x[...] if is_variable(x) else x, jax.core.Tracer)


def is_tensor(x):
    return isinstance(x, (jax.Array, nnx.Variable))


def shape(x):
    return tuple(tensor(x).shape)


def dtype(x):
    return tensor(x).dtype.name


def cast(x, dtype):
    dtype = native_dtype(dtype)
    return tensor(common.exact(x, "jax")).astype(dtype)


def device(x=None):
    if x is None or isinstance(tensor(x), jax.core.Tracer):  # what is traced lives where the program will run
        default = jax.config.jax_default_device or jax.devices()[0]
        return default if isinstance(default, str) else name_of(default)
    return name_of(builtins.min(tensor(x).devices(), key=lambda one: one.id))


def name_of(device):
    return "cpu" if device.platform == "cpu" else f"{device.platform}:{device.id}"


def to_device(x, device):
    if isinstance(device, str):
        platform, _, index = device.partition(":")
        device = jax.devices(platform)[int(index or 0)]
    return jax.device_put(tensor(x), device)


# ---- creation


def zeros(shape, dtype="float32"):
    return jnp.zeros(tuple(shape), native_dtype(dtype))


def ones(shape, dtype="float32"):
    return jnp.ones(tuple(shape), native_dtype(dtype))


def full(shape, fill_value, dtype="float32"):
    return jnp.full(tuple(shape), fill_value, native_dtype(dtype))


def copy(x):
    return jnp.copy(tensor(x))


def zeros_like(x, dtype=None):
    return jnp.zeros_like(tensor(x), native_dtype(dtype) if dtype else None)


def ones_like(x, dtype=None):
    return jnp.ones_like(tensor(x), native_dtype(dtype) if dtype else None)


def full_like(x, fill_value, dtype=None):
    return jnp.full_like(tensor(x), fill_value, native_dtype(dtype) if dtype else None)


def arange(start, stop=None, step=1, dtype=None):
    start, stop = (0, start) if stop is None else (start, stop)
    default = jnp.float32 if common.any_float(start, stop, step) else jnp.int32
    return jnp.arange(start, stop, step, native_dtype(dtype) if dtype else default)


def linspace(start, stop, num=50, dtype="float32"):
    return jnp.linspace(start, stop, num, dtype=native_dtype(dtype))


def eye(N, M=None, dtype="float32"):
    return jnp.eye(N, M, dtype=native_dtype(dtype))


# ---- shapes


def reshape(x, newshape):
    return jnp.reshape(tensor(x), newshape)


def transpose(x, axes=None):
    return jnp.transpose(tensor(x), axes)


def swapaxes(x, axis1, axis2):
    return jnp.swapaxes(tensor(x), axis1, axis2)


def moveaxis(x, source, destination):
    return jnp.moveaxis(tensor(x), source, destination)


def expand_dims(x, axis):
    return jnp.expand_dims(tensor(x), axis)


def squeeze(x, axis=None):
    return jnp.squeeze(tensor(x), axis)


def broadcast_to(x, shape):
    return jnp.broadcast_to(tensor(x), tuple(shape))


def concatenate(xs, axis=0):
    return jnp.concatenate([tensor(x) for x in xs], axis)


def stack(x, axis=0):
    return jnp.stack([tensor(e) for e in x], axis)


def unstack(x, num=None, axis=0):
    return list(jnp.unstack(tensor(x), axis=axis))


def split(x, indices_or_sections, axis=0):
    return list(jnp.split(tensor(x), indices_or_sections, axis))


def repeat(x, repeats, axis=None):
    return jnp.repeat(tensor(x), repeats, axis)


def tile(x, repeats):
    return jnp.tile(tensor(x), repeats)


def flip(x, axis=None):
    return jnp.flip(tensor(x), axis)


def pad(x, pad_width, constant_values=0):
    return jnp.pad(tensor(x), pad_width, constant_values=constant_values)


def roll(x, shift, axis=None):
    return jnp.roll(tensor(x), shift, axis)


def diagonal(x):
    return jnp.diagonal(tensor(x), axis1=-2, axis2=-1)


def triu(x, k=0):
    return jnp.triu(tensor(x), k)


def tril(x, k=0):
    return jnp.tril(tensor(x), k)


# ---- arithmetic

add = binary(jnp.add)
subtract = binary(jnp.subtract)
multiply = binary(jnp.multiply)
divide = real_binary(jnp.divide)
floor_divide = binary(jnp.floor_divide)
mod = binary(jnp.mod)
power = binary(jnp.power)
maximum = binary(jnp.maximum)
minimum = binary(jnp.minimum)


def clip(x, x_min, x_max):
    x = tensor(x)
    return jnp.clip(x, beside(x, x_min), beside(x, x_max))


negative = unary(jnp.negative)
absolute = unary(jnp.absolute)
sign = unary(jnp.sign)
square = unary(jnp.square)
# The functions of jax.numpy make real numbers of integers themselves; to look first would double what an op costs.
sqrt = unary(jnp.sqrt)
rsqrt = real(lax.rsqrt)
reciprocal = unary(jnp.reciprocal)
exp = unary(jnp.exp)
expm1 = unary(jnp.expm1)
log = unary(jnp.log)
log1p = unary(jnp.log1p)
sin = unary(jnp.sin)
cos = unary(jnp.cos)
tan = unary(jnp.tan)
arctan = unary(jnp.arctan)
sinh = unary(jnp.sinh)
cosh = unary(jnp.cosh)
tanh = unary(jnp.tanh)
erf = real(lax.erf)
floor = unary(jnp.floor)
ceil = unary(jnp.ceil)
round = unary(jnp.round)

# ---- reductions


def kept_type(x):
    return x.dtype if x.dtype != bool else jnp.int32


sum = reduction(lambda x, axis, keepdims: jnp.sum(x, axis, kept_type(x), keepdims=keepdims))
mean = reduction(lambda x, axis, keepdims: jnp.mean(x, axis, keepdims=keepdims), floating)
max = reduction(lambda x, axis, keepdims: jnp.max(x, axis, keepdims=keepdims))
min = reduction(lambda x, axis, keepdims: jnp.min(x, axis, keepdims=keepdims))
prod = reduction(lambda x, axis, keepdims: jnp.prod(x, axis, kept_type(x), keepdims=keepdims))
var = reduction(lambda x, axis, keepdims: jnp.var(x, axis, keepdims=keepdims), floating)
std = reduction(lambda x, axis, keepdims: jnp.std(x, axis, keepdims=keepdims), floating)
logsumexp = reduction(lambda x, axis, keepdims: jax.nn.logsumexp(x, axis, keepdims=keepdims), floating)
norm = reduction(lambda x, axis, keepdims: jnp.sqrt(jnp.sum(x * x, axis, keepdims=keepdims)), floating)
all = reduction(lambda x, axis, keepdims: jnp.all(x, axis, keepdims=keepdims))
any = reduction(lambda x, axis, keepdims: jnp.any(x, axis, keepdims=keepdims))


def argmax(x, axis=-1):
    return jnp.argmax(tensor(x), axis).astype(jnp.int32)


def argmin(x, axis=-1):
    return jnp.argmin(tensor(x), axis).astype(jnp.int32)


def cumsum(x, axis=0):
    x = tensor(x)
    return jnp.cumsum(x, axis, x.dtype)


def cumprod(x, axis=0):
    x = tensor(x)
    return jnp.cumprod(x, axis, x.dtype)


# ---- linear algebra

matmul = binary(jnp.matmul)
outer = binary(jnp.outer)


def tensordot(x1, x2, axes=2):
    return jnp.tensordot(*pair(x1, x2), axes)


def einsum(subscripts, *operands):
    return jnp.einsum(subscripts, *(tensor(x) for x in operands))


# ---- comparison

equal = binary(jnp.equal)
not_equal = binary(jnp.not_equal)
greater = binary(jnp.greater)
greater_equal = binary(jnp.greater_equal)
less = binary(jnp.less)
less_equal = binary(jnp.less_equal)
logical_and = binary(jnp.logical_and)
logical_or = binary(jnp.logical_or)
logical_not = unary(jnp.logical_not)
isnan = unary(jnp.isnan)
isinf = unary(jnp.isinf)
isfinite = unary(jnp.isfinite)


def where(condition, x1, x2):
    return jnp.where(tensor(condition), *pair(x1, x2))


# ---- indexing


def take(x, indices, axis=0):
    return jnp.take(tensor(x), tensor(indices), axis, mode="clip")


def take_along_axis(x, indices, axis=-1):
    return jnp.take_along_axis(tensor(x), tensor(indices), axis)


def segment_sum(data, segment_ids, num_segments, sorted=False):
    return jax.ops.segment_sum(tensor(data), tensor(segment_ids), num_segments, indices_are_sorted=sorted)


def one_hot(x, num_classes, dtype="float32"):
    return jax.nn.one_hot(tensor(x), num_classes, dtype=native_dtype(dtype))


def slice(inputs, start_indices, shape):
    return lax.dynamic_slice(tensor(inputs), tuple(start_indices), tuple(shape))  # the start may be traced


def slice_update(inputs, start_indices, updates):
    inputs = tensor(inputs)
    return lax.dynamic_update_slice(inputs, tensor(updates).astype(inputs.dtype), tuple(start_indices))


def sort(x, axis=-1):
    return jnp.sort(tensor(x), axis)


def argsort(x, axis=-1):
    return jnp.argsort(tensor(x), axis, stable=True).astype(jnp.int32)


def searchsorted(sorted_sequence, values, side="left"):
    return jnp.searchsorted(tensor(sorted_sequence), tensor(values), side).astype(jnp.int32)


# ---- activations

relu = unary(jax.nn.relu)
sigmoid = real(lambda x: 0.5 * jnp.tanh(0.5 * x) + 0.5)
softplus = real(jax.nn.softplus)
silu = real(jax.nn.silu)


def gelu(x, approximate=True):
    return jax.nn.gelu(floating(x), approximate)


def elu(x, alpha=1.0):
    return jax.nn.elu(floating(x), alpha)


def leaky_relu(x, negative_slope=0.2):
    return jax.nn.leaky_relu(floating(x), negative_slope)


def softmax(x, axis=-1):
    return jax.nn.softmax(floating(x), axis)


def log_softmax(x, axis=-1):
    return jax.nn.log_softmax(floating(x), axis)
