"""The ops on mlx arrays."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ncps.backends import common

# ---- types and conversion


def native_dtype(dtype):
    found = dtype if isinstance(dtype, mx.Dtype) else getattr(mx, name_of(dtype), None)
    if not isinstance(found, mx.Dtype):
        raise ValueError(
            f"Expected a type that mlx has, such as 'float32'. Received: dtype={dtype!r}. Give the name of one."
        )
    if found == mx.float64 and device() == "gpu":
        raise ValueError("mlx has float64 on the CPU only: call mx.set_default_device(mx.cpu), or use float32.")
    return found


def name_of(dtype):
    name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    return "bool_" if name == "bool" else name


def tensor(x, dtype=None):
    if isinstance(x, mx.array):
        return x if dtype is None else x.astype(dtype)
    # mlx makes float32 of float64 where it is not told otherwise; it has no negative strides.
    return mx.array(np.asarray(common.as_array(x, "mlx"), order="C"), dtype)


def is_floating(x):
    return mx.issubdtype(x.dtype, mx.floating)


def floating(x):
    x = tensor(x)
    return x if is_floating(x) else x.astype(mx.float32)


def pair(x1, x2):
    if isinstance(x1, mx.array):
        return x1, x2 if isinstance(x2, mx.array) else beside(x1, x2)
    if isinstance(x2, mx.array):
        return beside(x2, x1), x2
    return tensor(x1), tensor(x2)


def beside(x, number):
    """`number` as a tensor; Python numbers take the type of `x`."""
    if common.fits(number, is_floating(x), x.dtype == mx.bool_):
        return mx.array(number, x.dtype)
    return tensor(number)


REALS = (mx.float32, mx.bfloat16, mx.float16, mx.float64)
make = common.elementwise(tensor, floating, pair, (mx.array,), REALS, promotes=True)
unary, real, binary, real_binary, reduction = make.unary, make.real, make.binary, make.real_binary, make.reduction


def convert_to_tensor(x, dtype=None):
    return tensor(x) if dtype is None else cast(x, dtype)


def convert_to_numpy(x):
    x = tensor(x)
    if x.dtype == mx.bfloat16:
        try:
            import ml_dtypes
        except ImportError:
            raise ValueError(
                "NumPy has no bfloat16 of its own: install it with pip install ml_dtypes, or cast to float32 first."
            ) from None
        return np.array(x.view(mx.uint16)).view(ml_dtypes.bfloat16)
    return np.array(x)


def is_traced(x):
    if not isinstance(x, mx.array):
        return False
    try:
        mx.eval(x)
    except (RuntimeError, ValueError):  # mlx forbids to evaluate while it compiles, and has no other sign of it
        return True
    return False


def is_tensor(x):
    return isinstance(x, mx.array)


def shape(x):
    return tuple(tensor(x).shape)


def dtype(x):
    return str(tensor(x).dtype)[len("mlx.core.") :]


def cast(x, dtype):
    return tensor(common.exact(x, "mlx"), native_dtype(dtype))


def device(x=None):
    # Arrays live in memory that all devices share; the default device computes.
    return mx.default_device().type.name


def to_device(x, device):
    if device not in ("cpu", "gpu"):
        raise ValueError(f"Expected the device 'cpu' or 'gpu'. Received: {device!r}. Leave it out for the default.")
    return tensor(x)


# ---- creation


def zeros(shape, dtype="float32"):
    return mx.zeros(tuple(shape), native_dtype(dtype))


def ones(shape, dtype="float32"):
    return mx.ones(tuple(shape), native_dtype(dtype))


def full(shape, fill_value, dtype="float32"):
    return mx.full(tuple(shape), tensor(fill_value, native_dtype(dtype)))


def copy(x):
    return mx.contiguous(tensor(x))


def zeros_like(x, dtype=None):
    x = tensor(x)
    return mx.zeros(x.shape, native_dtype(dtype) if dtype else x.dtype)


def ones_like(x, dtype=None):
    x = tensor(x)
    return mx.ones(x.shape, native_dtype(dtype) if dtype else x.dtype)


def full_like(x, fill_value, dtype=None):
    x = tensor(x)
    return mx.full(x.shape, tensor(fill_value, native_dtype(dtype) if dtype else x.dtype))


def arange(start, stop=None, step=1, dtype=None):
    start, stop = (0, start) if stop is None else (start, stop)
    default = mx.float32 if common.any_float(start, stop, step) else mx.int32
    return mx.arange(start, stop, step, native_dtype(dtype) if dtype else default)


def linspace(start, stop, num=50, dtype="float32"):
    return mx.linspace(start, stop, num, dtype=native_dtype(dtype))


def eye(N, M=None, dtype="float32"):
    return mx.eye(N, M, dtype=native_dtype(dtype))


# ---- shapes


def reshape(x, newshape):
    return mx.reshape(tensor(x), newshape)


def transpose(x, axes=None):
    return mx.transpose(tensor(x), axes)


def swapaxes(x, axis1, axis2):
    return mx.swapaxes(tensor(x), axis1, axis2)


def moveaxis(x, source, destination):
    return mx.moveaxis(tensor(x), source, destination)


def expand_dims(x, axis):
    return mx.expand_dims(tensor(x), axis)


def squeeze(x, axis=None):
    return mx.squeeze(tensor(x), axis)


def broadcast_to(x, shape):
    return mx.broadcast_to(tensor(x), tuple(shape))


def concatenate(xs, axis=0):
    return mx.concatenate([tensor(x) for x in xs], axis)


def stack(x, axis=0):
    return mx.stack([tensor(e) for e in x], axis)


def unstack(x, num=None, axis=0):
    x = tensor(x)
    return [mx.squeeze(y, axis) for y in mx.split(x, x.shape[axis], axis)]  # whose gradient is one concatenation


def split(x, indices_or_sections, axis=0):
    return list(mx.split(tensor(x), indices_or_sections, axis))


def repeat(x, repeats, axis=None):
    return mx.repeat(tensor(x), repeats, axis)


def tile(x, repeats):
    return mx.tile(tensor(x), repeats)


def flip(x, axis=None):
    return mx.flip(tensor(x), axis)


def pad(x, pad_width, constant_values=0):
    x = tensor(x)
    return mx.pad(x, [tuple(width) for width in pad_width], constant_values=tensor(constant_values, x.dtype))


def roll(x, shift, axis=None):
    return mx.roll(tensor(x), shift, axis)


def diagonal(x):
    return mx.diagonal(tensor(x), 0, -2, -1)


def triu(x, k=0):
    return mx.triu(tensor(x), k)


def tril(x, k=0):
    return mx.tril(tensor(x), k)


# ---- arithmetic

add = binary(mx.add)
subtract = binary(mx.subtract)
multiply = binary(mx.multiply)
divide = real_binary(mx.divide)
floor_divide = binary(mx.floor_divide)
mod = binary(mx.remainder)
power = binary(mx.power)
maximum = binary(mx.maximum)
minimum = binary(mx.minimum)


def clip(x, x_min, x_max):
    x = tensor(x)
    return mx.clip(x, beside(x, x_min), beside(x, x_max))


negative = unary(mx.negative)
absolute = unary(mx.abs)
sign = unary(mx.sign)
square = unary(mx.square)
# mlx makes float32 of integers itself.
sqrt = unary(mx.sqrt)
rsqrt = unary(mx.rsqrt)
reciprocal = unary(mx.reciprocal)
exp = unary(mx.exp)
expm1 = unary(mx.expm1)
log = unary(mx.log)
log1p = unary(mx.log1p)
sin = unary(mx.sin)
cos = unary(mx.cos)
tan = unary(mx.tan)
arctan = unary(mx.arctan)
sinh = unary(mx.sinh)
cosh = unary(mx.cosh)
tanh = unary(mx.tanh)
erf = unary(mx.erf)
floor = unary(mx.floor)
ceil = unary(mx.ceil)
round = unary(mx.round)

# ---- reductions


def kept_type(x):
    return x.dtype if x.dtype != mx.bool_ else mx.int32


sum = reduction(lambda x, axis, keepdims: mx.sum(x, axis, keepdims).astype(kept_type(x)))
mean = reduction(mx.mean, floating)
max = reduction(mx.max)
min = reduction(mx.min)
prod = reduction(lambda x, axis, keepdims: mx.prod(x, axis, keepdims).astype(kept_type(x)))
var = reduction(mx.var, floating)
std = reduction(mx.std, floating)
logsumexp = reduction(mx.logsumexp, floating)
norm = reduction(lambda x, axis, keepdims: mx.sqrt(mx.sum(x * x, axis, keepdims)), floating)
all = reduction(mx.all)
any = reduction(mx.any)


def argmax(x, axis=-1):
    return mx.argmax(tensor(x), axis).astype(mx.int32)


def argmin(x, axis=-1):
    return mx.argmin(tensor(x), axis).astype(mx.int32)


def cumsum(x, axis=0):
    x = tensor(x)
    return mx.cumsum(x, axis).astype(x.dtype)


def cumprod(x, axis=0):
    x = tensor(x)
    return mx.cumprod(x, axis).astype(x.dtype)


# ---- linear algebra

matmul = binary(mx.matmul)
outer = binary(mx.outer)


def tensordot(x1, x2, axes=2):
    return mx.tensordot(*pair(x1, x2), axes)


def einsum(subscripts, *operands):
    return mx.einsum(subscripts, *(tensor(x) for x in operands))


# ---- comparison

equal = binary(mx.equal)
not_equal = binary(mx.not_equal)
greater = binary(mx.greater)
greater_equal = binary(mx.greater_equal)
less = binary(mx.less)
less_equal = binary(mx.less_equal)
logical_and = binary(mx.logical_and)
logical_or = binary(mx.logical_or)
logical_not = unary(mx.logical_not)
isnan = unary(mx.isnan)
isinf = unary(mx.isinf)
isfinite = unary(mx.isfinite)


def where(condition, x1, x2):
    return mx.where(tensor(condition), *pair(x1, x2))


# ---- indexing


def take(x, indices, axis=0):
    return mx.take(tensor(x), tensor(indices), axis)


def take_along_axis(x, indices, axis=-1):
    return mx.take_along_axis(tensor(x), tensor(indices), axis)


def segment_sum(data, segment_ids, num_segments, sorted=False):
    data = tensor(data)
    return mx.zeros((num_segments, *data.shape[1:]), data.dtype).at[tensor(segment_ids)].add(data)


def one_hot(x, num_classes, dtype="float32"):
    return mx.equal(tensor(x)[..., None], mx.arange(num_classes)).astype(native_dtype(dtype))


def slice(inputs, start_indices, shape):
    return tensor(inputs)[common.block(start_indices, shape)]


def slice_update(inputs, start_indices, updates):
    inputs = tensor(inputs)
    updates = tensor(updates, inputs.dtype)
    return mx.slice_update(inputs, updates, mx.array([int(n) for n in start_indices]), tuple(range(inputs.ndim)))


def sort(x, axis=-1):
    return mx.sort(tensor(x), axis)


def argsort(x, axis=-1):
    return mx.argsort(tensor(x), axis).astype(mx.int32)


def searchsorted(sorted_sequence, values, side="left"):
    return mx.searchsorted(tensor(sorted_sequence), tensor(values), side).astype(mx.int32)


# ---- activations

relu = unary(nn.relu)
sigmoid = unary(mx.sigmoid)
softplus = real(lambda x: mx.logaddexp(x, mx.zeros_like(x)))
silu = real(nn.silu)


def gelu(x, approximate=True):
    return nn.gelu_approx(floating(x)) if approximate else nn.gelu(floating(x))


def elu(x, alpha=1.0):
    x = floating(x)
    return mx.where(x > 0, x, alpha * mx.expm1(mx.minimum(x, 0)))


def leaky_relu(x, negative_slope=0.2):
    x = floating(x)
    return mx.where(x > 0, x, negative_slope * x)


def softmax(x, axis=-1):
    return mx.softmax(floating(x), axis)


def log_softmax(x, axis=-1):
    return nn.log_softmax(floating(x), axis)
