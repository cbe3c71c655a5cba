"""The ops on NumPy: inference anywhere, without a framework."""

from __future__ import annotations

import itertools

import numpy as np

from ncps.backends import common

# ---- types and conversion


def native_dtype(dtype):
    if dtype == "bfloat16":
        try:
            import ml_dtypes
        except ImportError:
            raise ValueError(
                "NumPy has no bfloat16 of its own: install it with pip install ml_dtypes, or use float32."
            ) from None
        return np.dtype(ml_dtypes.bfloat16)
    try:
        return np.dtype(dtype)
    except TypeError:
        raise ValueError(
            f"Expected a type that NumPy has, such as 'float32'. Received: dtype={dtype!r}. Give the name of one."
        ) from None


def tensor(x):
    return x if isinstance(x, (np.ndarray, np.generic)) else common.as_array(x, "NumPy")


def is_floating(x):
    return x.dtype.kind == "f" or x.dtype.name == "bfloat16"


def floating(x):
    x = tensor(x)
    return x if is_floating(x) else x.astype(np.float32)


def pair(x1, x2):
    if is_tensor(x1) and not isinstance(x1, float):
        x2 = beside(x1, x2)
    elif is_tensor(x2) and not isinstance(x2, float):
        x1 = beside(x2, x1)
    else:
        x1, x2 = tensor(x1), tensor(x2)
    if is_floating(x1) != is_floating(x2):  # NumPy would make float64 of float32 and int32
        return (x1, x2.astype(x1.dtype)) if is_floating(x1) else (x1.astype(x2.dtype), x2)
    return x1, x2


def beside(x, number):
    """`number` as an array; Python numbers take the type of `x`."""
    if common.fits(number, is_floating(x), x.dtype == bool):
        return np.asarray(number, x.dtype)
    return tensor(number)


REALS = (*map(np.dtype, ("float32", "float64", "float16")),)
make = common.elementwise(tensor, floating, pair, (np.ndarray,), REALS)
unary, real, binary, real_binary, reduction = make.unary, make.real, make.binary, make.real_binary, make.reduction


def convert_to_tensor(x, dtype=None):
    return tensor(x) if dtype is None else cast(x, dtype)


def convert_to_numpy(x):
    return np.asarray(tensor(x))


def is_traced(x):
    return False


def is_tensor(x):
    return isinstance(x, (np.ndarray, np.generic))


def shape(x):
    return np.shape(x)


def dtype(x):
    return tensor(x).dtype.name


def cast(x, dtype):
    if type(x) is float and getattr(dtype, "kind", "") == "f":  # as elapsed times of a stream: a tenth of the time
        return np.asarray(x, dtype)
    return tensor(common.exact(x, "NumPy")).astype(native_dtype(dtype), copy=False)


def device(x=None):
    return "cpu"


def to_device(x, device):
    if device != "cpu":
        raise ValueError(f"Expected the device 'cpu', the only one that NumPy has. Received: {device!r}. Leave it out.")
    return tensor(x)


# ---- creation


def zeros(shape, dtype="float32"):
    return np.zeros(shape, native_dtype(dtype))


def ones(shape, dtype="float32"):
    return np.ones(shape, native_dtype(dtype))


def full(shape, fill_value, dtype="float32"):
    return np.full(shape, fill_value, native_dtype(dtype))


def copy(x):
    return tensor(x).copy()


def zeros_like(x, dtype=None):
    return np.zeros_like(tensor(x), native_dtype(dtype) if dtype else None)


def ones_like(x, dtype=None):
    return np.ones_like(tensor(x), native_dtype(dtype) if dtype else None)


def full_like(x, fill_value, dtype=None):
    return np.full_like(tensor(x), fill_value, native_dtype(dtype) if dtype else None)


def arange(start, stop=None, step=1, dtype=None):
    start, stop = (0, start) if stop is None else (start, stop)
    default = np.float32 if common.any_float(start, stop, step) else np.int32
    return np.arange(start, stop, step, native_dtype(dtype) if dtype else default)


def linspace(start, stop, num=50, dtype="float32"):
    return np.linspace(start, stop, num).astype(native_dtype(dtype))


def eye(N, M=None, dtype="float32"):
    return np.eye(N, M, dtype=native_dtype(dtype))


# ---- shapes


def reshape(x, newshape):
    return np.reshape(tensor(x), newshape)


def transpose(x, axes=None):
    return np.transpose(tensor(x), axes)


def swapaxes(x, axis1, axis2):
    return np.swapaxes(tensor(x), axis1, axis2)


def moveaxis(x, source, destination):
    return np.moveaxis(tensor(x), source, destination)


def expand_dims(x, axis):
    return np.expand_dims(tensor(x), axis)


def squeeze(x, axis=None):
    return np.squeeze(tensor(x), axis)


def broadcast_to(x, shape):
    return np.broadcast_to(tensor(x), shape)


def concatenate(xs, axis=0):
    return np.concatenate([tensor(x) for x in xs], axis)


def stack(x, axis=0):
    return np.stack([tensor(e) for e in x], axis)


def unstack(x, num=None, axis=0):
    return list(np.unstack(tensor(x), axis=axis))


def split(x, indices_or_sections, axis=0):
    x = tensor(x)
    if not isinstance(indices_or_sections, (list, tuple)):
        return np.split(x, indices_or_sections, axis)
    before = (np.s_[:],) * (axis % x.ndim)  # np.split takes five times as long
    return [x[(*before, np.s_[a:b])] for a, b in itertools.pairwise((0, *indices_or_sections, None))]


def repeat(x, repeats, axis=None):
    return np.repeat(tensor(x), repeats, axis)


def tile(x, repeats):
    return np.tile(tensor(x), repeats)


def flip(x, axis=None):
    return np.flip(tensor(x), axis)


def pad(x, pad_width, constant_values=0):
    return np.pad(tensor(x), pad_width, constant_values=constant_values)


def roll(x, shift, axis=None):
    return np.roll(tensor(x), shift, axis)


def diagonal(x):
    return np.diagonal(tensor(x), axis1=-2, axis2=-1)


def triu(x, k=0):
    return np.triu(tensor(x), k)


def tril(x, k=0):
    return np.tril(tensor(x), k)


# ---- arithmetic

add = binary(np.add)
subtract = binary(np.subtract)
multiply = binary(np.multiply)
divide = real_binary(np.divide)
floor_divide = binary(np.floor_divide)
mod = binary(np.mod)
power = binary(np.power)
maximum = binary(np.maximum)
minimum = binary(np.minimum)


def clip(x, x_min, x_max):
    return minimum(maximum(x, x_min), x_max)  # np.clip makes float32 of bfloat16


negative = unary(np.negative)
absolute = unary(np.absolute)
sign = unary(np.sign)
square = unary(np.square)
sqrt = real(np.sqrt)
rsqrt = real(lambda x: np.reciprocal(np.sqrt(x)))
reciprocal = real(np.reciprocal)
exp = real(np.exp)
expm1 = real(np.expm1)
log = real(np.log)
log1p = real(np.log1p)
sin = real(np.sin)
cos = real(np.cos)
tan = real(np.tan)
arctan = real(np.arctan)
sinh = real(np.sinh)
cosh = real(np.cosh)
tanh = real(np.tanh)
erf = real(lambda x: common.erf(x).astype(x.dtype))
floor = unary(np.floor)
ceil = unary(np.ceil)
round = unary(np.round)

# ---- reductions


def counted(function):
    # NumPy would widen int32 to int64.
    return lambda x, axis, keepdims: function(
        x, axis=axis, keepdims=keepdims, dtype=np.int32 if x.dtype.kind == "b" else x.dtype
    )


sum = reduction(counted(np.sum))
mean = reduction(lambda x, axis, keepdims: np.mean(x, axis, keepdims=keepdims), floating)
max = reduction(lambda x, axis, keepdims: np.max(x, axis, keepdims=keepdims))
min = reduction(lambda x, axis, keepdims: np.min(x, axis, keepdims=keepdims))
prod = reduction(counted(np.prod))
var = reduction(lambda x, axis, keepdims: np.var(x, axis, keepdims=keepdims), floating)
std = reduction(lambda x, axis, keepdims: np.std(x, axis, keepdims=keepdims), floating)


def logsumexp(x, axis=None, keepdims=False):
    x, axis = floating(x), tuple(axis) if isinstance(axis, list) else axis
    top = np.max(x, axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    with np.errstate(divide="ignore"):  # the logarithm of 0 is -inf
        total = np.log(np.sum(np.exp(x - top), axis, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axis)


norm = reduction(lambda x, axis, keepdims: np.sqrt(np.sum(x * x, axis, keepdims=keepdims)), floating)
all = reduction(lambda x, axis, keepdims: np.all(x, axis, keepdims=keepdims))
any = reduction(lambda x, axis, keepdims: np.any(x, axis, keepdims=keepdims))


def argmax(x, axis=-1):
    return np.argmax(tensor(x), axis).astype(np.int32)


def argmin(x, axis=-1):
    return np.argmin(tensor(x), axis).astype(np.int32)


def cumsum(x, axis=0):
    x = tensor(x)
    return np.cumsum(x, axis, dtype=x.dtype)


def cumprod(x, axis=0):
    x = tensor(x)
    return np.cumprod(x, axis, dtype=x.dtype)


# ---- linear algebra


def product(function):
    # ml_dtypes' bfloat16 comes out of NumPy's products as float32
    def op(x1, x2):
        made = function(x1, x2)
        return made if made.dtype is x1.dtype is x2.dtype else made.astype(np.result_type(x1, x2), copy=False)

    return op


matmul = binary(product(lambda x1, x2: (np.dot if x1.ndim == x2.ndim == 2 else np.matmul)(x1, x2)))  # dot starts sooner
outer = binary(product(np.outer))


def tensordot(x1, x2, axes=2):
    return product(lambda x1, x2: np.asarray(np.tensordot(x1, x2, axes)))(*pair(x1, x2))


def einsum(subscripts, *operands):
    operands = [tensor(x) for x in operands]
    known = [x.astype(np.float32) if x.dtype.name == "bfloat16" else x for x in operands]
    return np.einsum(subscripts, *known).astype(np.result_type(*operands), copy=False)


# ---- comparison

equal = binary(np.equal)
not_equal = binary(np.not_equal)
greater = binary(np.greater)
greater_equal = binary(np.greater_equal)
less = binary(np.less)
less_equal = binary(np.less_equal)
logical_and = binary(np.logical_and)
logical_or = binary(np.logical_or)
logical_not = unary(np.logical_not)
isnan = unary(np.isnan)
isinf = unary(np.isinf)
isfinite = unary(np.isfinite)


def where(condition, x1, x2):
    return np.where(tensor(condition), *pair(x1, x2))


# ---- indexing


def take(x, indices, axis=0):
    return np.take(tensor(x), tensor(indices), axis)


def take_along_axis(x, indices, axis=-1):
    return np.take_along_axis(tensor(x), tensor(indices), axis)


def segment_sum(data, segment_ids, num_segments, sorted=False):
    data, ids = tensor(data), tensor(segment_ids)
    out = np.zeros((num_segments, *data.shape[1:]), data.dtype)
    if not sorted:
        np.add.at(out, ids, data)
    elif len(ids):
        starts = np.flatnonzero(np.diff(ids, prepend=-1))
        out[ids[starts]] = np.add.reduceat(data, starts, axis=0)
    return out


def one_hot(x, num_classes, dtype="float32"):
    return (tensor(x)[..., None] == np.arange(num_classes)).astype(native_dtype(dtype))


def slice(inputs, start_indices, shape):
    return tensor(inputs)[common.block(start_indices, shape)]


def slice_update(inputs, start_indices, updates):
    out = np.array(tensor(inputs))
    out[common.block(start_indices, np.shape(updates))] = updates
    return out


def sort(x, axis=-1):
    return np.sort(tensor(x), axis)


def argsort(x, axis=-1):
    return np.argsort(tensor(x), axis, stable=True).astype(np.int32)


def searchsorted(sorted_sequence, values, side="left"):
    return np.asarray(np.searchsorted(tensor(sorted_sequence), tensor(values), side)).astype(np.int32)


# ---- activations


def widened(function):
    # Beside Python numbers, the bfloat16 of ml_dtypes becomes float32.
    def op(x, *options):
        if x.dtype.kind != "f" and x.dtype.name == "bfloat16":  # to ask for the name takes longer than most functions
            return function(x.astype(np.float32), *options).astype(x.dtype)
        return function(x, *options)

    return op


relu = unary(lambda x: np.maximum(x, 0))
non_negative = relu  # there are no gradients to think of
sigmoid = real(widened(lambda x: 0.5 * np.tanh(0.5 * x) + 0.5))  # twice as fast as 1 / (1 + exp(-x)), and no overflow
softplus = real(lambda x: np.logaddexp(x, 0))
silu = real(lambda x: x * sigmoid(x))
lecun_tanh = real(widened(lambda x: 1.7159 * np.tanh(0.666 * x)))  # a fifth of the calls of the op that is composed


@widened
def gelu_of(x, approximate):
    if approximate:
        return 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + erf(x * 0.7071067811865476))


def gelu(x, approximate=True):
    return gelu_of(floating(x), approximate)


def elu(x, alpha=1.0):
    return widened(lambda x: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))(floating(x))


def leaky_relu(x, negative_slope=0.2):
    return widened(lambda x: np.where(x > 0, x, negative_slope * x))(floating(x))


def softmax(x, axis=-1):
    x = floating(x)
    e = np.exp(x - np.max(x, axis, keepdims=True))
    return e / np.sum(e, axis, keepdims=True)


def log_softmax(x, axis=-1):
    x = floating(x)
    return x - logsumexp(x, axis, True)
