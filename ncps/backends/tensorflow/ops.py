"""The ops on TensorFlow tensors: eagerly, in a `tf.function`, and compiled by XLA."""

from __future__ import annotations

import builtins
import functools
import itertools

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from ncps.backends import common
from ncps.ops.dispatch import COMPOSITES
from ncps.ops.sequences.cfc import separate_heads

# ---- types and conversion

FEW = 16  # samples whose heads are one product in XLA, see `separate_heads`


def native_dtype(dtype):
    try:
        return tf.as_dtype(dtype)
    except TypeError:
        raise ValueError(
            f"Expected a type that TensorFlow has, such as 'float32'. Received: dtype={dtype!r}. Give the name of one."
        ) from None


def tensor(x):
    if isinstance(x, tf.Tensor):
        return x
    return tf.convert_to_tensor(x if isinstance(x, tf.Variable) else common.as_array(x, "TensorFlow"))


def floating(x):
    x = tensor(x)
    return x if x.dtype.is_floating else tf.cast(x, tf.float32)


def boolean(x):
    return tf.cast(tensor(x), tf.bool)


def pair(x1, x2):
    if isinstance(x1, (bool, int, float)):
        x2 = tensor(x2)
        return promoted(beside(x2, x1), x2)
    x1 = tensor(x1)
    return promoted(x1, beside(x1, x2))


def beside(x, number):
    """`number` as a tensor; Python numbers take the type of `x`."""
    fits = common.fits(number, x.dtype.is_floating, x.dtype.is_bool)
    return tf.constant(number, x.dtype) if fits else tensor(number)


def promoted(*xs):
    """Tensors of one type: TensorFlow combines no others."""
    xs = [tensor(x) for x in xs]
    common_type = functools.reduce(promotion, (x.dtype for x in xs))
    return [tf.cast(x, common_type) for x in xs]


def promotion(a, b):
    if a == b or b.is_bool or (a.is_floating and b.is_integer):
        return a
    if a.is_bool or (b.is_floating and a.is_integer):
        return b
    if tf.bfloat16 in (a, b):  # which NumPy promotes only where another package has told it how
        return builtins.max(a, b, key=lambda dtype: dtype.size) if a.size != b.size else tf.float32
    return tf.as_dtype(np.promote_types(a.as_numpy_dtype, b.as_numpy_dtype))


def filling(value, dtype):
    # tf.cast would take a Python number through float32.
    return tf.cast(value if is_tensor(value) else np.asarray(value), dtype)


def dims(shape):
    """A shape that may hold scalar tensors, as one tensor."""
    return tf.convert_to_tensor(tuple(shape), tf.int32)


OWN = (type(tf.constant(0.0)), tf.Tensor)  # with numbers, and those of a traced function
make = common.elementwise(tensor, floating, pair, OWN)
unary, binary, real_binary, reduction = make.unary, make.binary, make.real_binary, make.reduction


# The functions in `tf` look for other things than tensors before they call these, which doubles what an addition costs.


def real(function):
    def op(x):
        if type(x) in OWN:  # to ask for the type of what it holds would cost more than all the rest
            try:
                return function(x=x)
            except (TypeError, tf.errors.InvalidArgumentError):  # an integer
                pass
        return function(x=floating(x))

    return op


def raw(function):
    return lambda x1, x2: function(x=x1, y=x2)


def convert_to_tensor(x, dtype=None):
    return tensor(x) if dtype is None else cast(x, dtype)


def convert_to_numpy(x):
    return np.asarray(tensor(x).numpy())


def is_traced(x):
    return tf.is_symbolic_tensor(x)


def is_tensor(x):
    return isinstance(x, (tf.Tensor, tf.Variable))


def shape(x):
    x = x if is_tensor(x) else tensor(x)
    if x.shape.is_fully_defined():
        return tuple(x.shape)
    found = tf.shape(x)
    return tuple(found[i] if n is None else n for i, n in enumerate(x.shape))


def dtype(x):
    return (x if is_tensor(x) else tensor(x)).dtype.name


def cast(x, dtype):
    return tf.cast(tensor(common.exact(x, "TensorFlow")), native_dtype(dtype))


def device(x=None):
    place = tf.DeviceSpec.from_string((tf.constant(0.0) if x is None else x).device)
    if place.device_type is None:  # not placed yet: while a function is traced
        place = tf.DeviceSpec(device_type="GPU" if tf.config.list_logical_devices("GPU") else "CPU", device_index=0)
    return "cpu" if place.device_type == "CPU" else f"{place.device_type.lower()}:{place.device_index}"


def to_device(x, device):
    with tf.device(device):
        return tf.identity(tensor(x))


# ---- creation


def zeros(shape, dtype="float32"):
    return tf.zeros(dims(shape), native_dtype(dtype))


def ones(shape, dtype="float32"):
    return tf.ones(dims(shape), native_dtype(dtype))


def full(shape, fill_value, dtype="float32"):
    return tf.broadcast_to(filling(fill_value, native_dtype(dtype)), dims(shape))


def copy(x):
    return tf.identity(tensor(x))


def zeros_like(x, dtype=None):
    return tf.zeros_like(tensor(x), native_dtype(dtype) if dtype else None)


def ones_like(x, dtype=None):
    return tf.ones_like(tensor(x), native_dtype(dtype) if dtype else None)


def full_like(x, fill_value, dtype=None):
    x = tensor(x)
    return tf.broadcast_to(filling(fill_value, native_dtype(dtype) if dtype else x.dtype), tf.shape(x))


def arange(start, stop=None, step=1, dtype=None):
    start, stop = (0, start) if stop is None else (start, stop)
    whole = tensor(start).dtype.is_integer and tensor(stop).dtype.is_integer and tensor(step).dtype.is_integer
    default = tf.int32 if whole else tf.float32
    dtype = native_dtype(dtype) if dtype else default
    # TensorFlow counts in four types only, and never in integers between floats.
    counted = dtype if dtype in (tf.int64, tf.float64) and (whole or dtype.is_floating) else default
    return tf.cast(tf.range(*(tf.cast(x, counted) for x in (start, stop, step))), dtype)


def linspace(start, stop, num=50, dtype="float32"):
    return tf.cast(tf.constant(np.linspace(start, stop, num)), native_dtype(dtype))


def eye(N, M=None, dtype="float32"):
    return tf.eye(N, M, dtype=native_dtype(dtype))


# ---- shapes


def reshape(x, newshape):
    return tf.reshape(tensor(x), dims(newshape))


def transpose(x, axes=None):
    x = tensor(x)
    return tf.transpose(x, None if axes is None else [axis % x.shape.rank for axis in axes])


def swapaxes(x, axis1, axis2):
    x = tensor(x)
    axes = list(range(x.shape.rank))
    axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    return tf.transpose(x, axes)


def moveaxis(x, source, destination):
    x = tensor(x)
    axes = list(range(x.shape.rank))
    moved = axes.pop(source)
    axes.insert(destination % x.shape.rank, moved)
    return tf.transpose(x, axes)


def expand_dims(x, axis):
    return tf.expand_dims(tensor(x), axis)


def squeeze(x, axis=None):
    return tf.squeeze(tensor(x), axis)


def broadcast_to(x, shape):
    return tf.broadcast_to(tensor(x), dims(shape))


def concatenate(xs, axis=0):
    return tf.concat(promoted(*xs), axis)


def stack(x, axis=0):
    return tf.stack(promoted(*x), axis)


def unstack(x, num=None, axis=0):
    return tf.unstack(tensor(x), num, axis)


def split(x, indices_or_sections, axis=0):
    x = tensor(x)
    if isinstance(indices_or_sections, int):
        if x.shape[axis] is not None and x.shape[axis] % indices_or_sections:
            raise ValueError(
                f"Expected sections that divide {x.shape[axis]}. Received: {indices_or_sections}. Give the places "
                "where it is cut."
            )
        return tf.split(x, indices_or_sections, axis)
    bounds = [0, *(int(i) for i in indices_or_sections)]
    if len(bounds) == 1:  # TensorFlow infers no length where there is one section only
        return [x]
    return tf.split(x, [*(b - a for a, b in itertools.pairwise(bounds)), -1], axis)


def repeat(x, repeats, axis=None):
    return tf.repeat(tensor(x), repeats, axis)


def tile(x, repeats):
    return tf.tile(tensor(x), dims(repeats))


def flip(x, axis=None):
    x = tensor(x)
    return tf.reverse(x, tuple(range(x.shape.rank)) if axis is None else (axis,))


def pad(x, pad_width, constant_values=0):
    x = tensor(x)
    return tf.pad(x, [dims(widths) for widths in pad_width], constant_values=filling(constant_values, x.dtype))


def roll(x, shift, axis=None):
    x = tensor(x)
    if axis is None:
        return tf.reshape(tf.roll(tf.reshape(x, (-1,)), shift, 0), tf.shape(x))
    return tf.roll(x, shift, axis)


def diagonal(x):
    return tf.linalg.diag_part(tensor(x))


def offsets(x):
    """How far each element of the last two axes is above the diagonal."""
    rows, columns = shape(x)[-2:]
    return tf.range(columns) - tf.range(rows)[:, None]


def triu(x, k=0):
    x = tensor(x)
    return tf.where(offsets(x) >= k, x, tf.zeros((), x.dtype))


def tril(x, k=0):
    x = tensor(x)
    return tf.where(offsets(x) <= k, x, tf.zeros((), x.dtype))


# ---- arithmetic


def kept(function):
    # TensorFlow refuses integers, which stay as they are.
    return lambda x: function(x) if x.dtype.is_floating else x


add = binary(raw(tf.raw_ops.AddV2))
subtract = binary(raw(tf.raw_ops.Sub))
multiply = binary(raw(tf.raw_ops.Mul))
divide = real_binary(raw(tf.raw_ops.RealDiv))
floor_divide = binary(tf.math.floordiv)
mod = binary(tf.math.floormod)
power = binary(tf.pow)
maximum = binary(tf.maximum)
minimum = binary(tf.minimum)


def clip(x, x_min, x_max):
    return minimum(maximum(tensor(x), x_min), x_max)


negative = unary(tf.negative)
absolute = unary(tf.abs)
sign = unary(tf.sign)
square = unary(tf.square)
sqrt = real(tf.raw_ops.Sqrt)
rsqrt = real(tf.raw_ops.Rsqrt)
reciprocal = make.real(tf.math.reciprocal)  # takes integers and has no kernel for them, as tan and arctan
exp = real(tf.raw_ops.Exp)
expm1 = real(tf.raw_ops.Expm1)
log = real(tf.raw_ops.Log)
log1p = real(tf.raw_ops.Log1p)
sin = real(tf.raw_ops.Sin)
cos = real(tf.raw_ops.Cos)
tan = make.real(tf.tan)
arctan = make.real(tf.atan)
sinh = real(tf.raw_ops.Sinh)
cosh = real(tf.raw_ops.Cosh)
tanh = real(tf.raw_ops.Tanh)
erf = real(tf.raw_ops.Erf)
floor = unary(kept(tf.floor))
ceil = unary(kept(tf.math.ceil))
round = unary(kept(tf.round))

# ---- reductions


def countable(x):
    x = tensor(x)
    return tf.cast(x, tf.int32) if x.dtype.is_bool else x


def ordered(function, booleans):
    # TensorFlow has no order of booleans.
    return lambda x, axis, keepdims: (booleans if x.dtype.is_bool else function)(x, axis, keepdims)


sum = reduction(tf.reduce_sum, countable)
mean = reduction(tf.reduce_mean, floating)
max = reduction(ordered(tf.reduce_max, tf.reduce_any))
min = reduction(ordered(tf.reduce_min, tf.reduce_all))
prod = reduction(tf.reduce_prod, countable)
var = reduction(tf.math.reduce_variance, floating)
std = reduction(tf.math.reduce_std, floating)
logsumexp = reduction(tf.reduce_logsumexp, floating)
norm = reduction(lambda x, axis, keepdims: tf.sqrt(tf.reduce_sum(x * x, axis, keepdims)), floating)
all = reduction(tf.reduce_all, boolean)
any = reduction(tf.reduce_any, boolean)


def argmax(x, axis=-1):
    return tf.argmax(tensor(x), axis, tf.int32)


def argmin(x, axis=-1):
    return tf.argmin(tensor(x), axis, tf.int32)


def cumsum(x, axis=0):
    return tf.cumsum(tensor(x), axis)


def cumprod(x, axis=0):
    return tf.math.cumprod(tensor(x), axis)


# ---- linear algebra


def contracted(x1, x2, axes):
    # tf.tensordot transposes, and XLA cannot compile its gradient in a loop.
    kept1, kept2 = shape(x1)[: x1.shape.rank - axes], shape(x2)[axes:]
    middle = tf.reduce_prod(dims(shape(x2)[:axes]))
    result = tf.matmul(tf.reshape(x1, dims((-1, middle))), tf.reshape(x2, dims((middle, -1))))
    return tf.reshape(result, dims((*kept1, *kept2)))


def product(x1, x2):
    # tf.matmul has no vectors, and would repeat one matrix for a whole batch.
    if x1.shape.rank == 2 and x2.shape.rank == 2:
        return tf.matmul(x1, x2)
    if x2.shape.rank <= 2:
        return contracted(x1, x2, 1)
    return tf.squeeze(tf.matmul(x1[None], x2), -2) if x1.shape.rank == 1 else tf.matmul(x1, x2)


matmul = binary(product)
outer = binary(lambda x1, x2: tf.reshape(x1, (-1, 1)) * tf.reshape(x2, (1, -1)))


def tensordot(x1, x2, axes=2):
    return contracted(*pair(x1, x2), axes)


def einsum(subscripts, *operands):
    return tf.einsum(subscripts, *promoted(*operands))


# ---- comparison


def logical(function):
    return lambda x1, x2: function(boolean(x1), boolean(x2))


def test(function, integers):
    # TensorFlow refuses integers, which are always finite.
    return unary(lambda x: function(x) if x.dtype.is_floating else tf.fill(tf.shape(x), integers))


equal = binary(tf.equal)
not_equal = binary(tf.not_equal)
greater = binary(tf.greater)
greater_equal = binary(tf.greater_equal)
less = binary(tf.less)
less_equal = binary(tf.less_equal)
logical_and = binary(logical(tf.logical_and))
logical_or = binary(logical(tf.logical_or))
logical_not = unary(lambda x: tf.logical_not(boolean(x)))
isnan = test(tf.math.is_nan, False)
isinf = test(tf.math.is_inf, False)
isfinite = test(tf.math.is_finite, True)


def where(condition, x1, x2):
    return tf.where(boolean(condition), *pair(x1, x2))


# ---- indexing


def take(x, indices, axis=0):
    return tf.gather(tensor(x), tensor(indices), axis=axis)


def take_along_axis(x, indices, axis=-1):
    x, indices = moveaxis(x, axis, -1), moveaxis(indices, axis, -1)
    rank = x.shape.rank - 1
    if x.shape[:-1].as_list() != indices.shape[:-1].as_list():  # axes of length one are repeated
        common_shape = tf.broadcast_dynamic_shape(tf.shape(x)[:-1], tf.shape(indices)[:-1])
        x = tf.broadcast_to(x, tf.concat([common_shape, tf.shape(x)[-1:]], 0))
        indices = tf.broadcast_to(indices, tf.concat([common_shape, tf.shape(indices)[-1:]], 0))
    return moveaxis(tf.gather(x, indices, batch_dims=rank), -1, axis)


def segment_sum(data, segment_ids, num_segments, sorted=False):
    # tf.math.segment_sum is for sorted ids, but ends with the last of them, whatever num_segments says.
    return tf.math.unsorted_segment_sum(tensor(data), tensor(segment_ids), num_segments)


def weighted_sums(x, weights, rows, count, sorted=False):
    # Without XLA, several sums run at the same time.
    if x.shape[1] == 1 and not in_xla():
        return [segment_sum(x * w, rows, count, sorted) for w in weights]
    return COMPOSITES["weighted_sums"](x, weights, rows, count, sorted)


def linear_heads(kernel, bias, units):
    whole = COMPOSITES["linear_heads"](kernel, bias, units)
    if not in_xla():
        return whole
    separate = separate_heads(kernel, bias, units)
    return lambda z: (separate if z.shape[0] is None or z.shape[0] > FEW else whole)(z)


def in_xla():
    """Whether a `tf.function` with `jit_compile=True` is being traced."""
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()
        if context is not None and context.IsXLAContext():
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


def one_hot(x, num_classes, dtype="float32"):
    x = tensor(x)
    return tf.cast(x[..., None] == tf.range(num_classes, dtype=x.dtype), native_dtype(dtype))


def slice(inputs, start_indices, shape):
    return tf.slice(tensor(inputs), dims(start_indices), dims(shape))


def slice_update(inputs, start_indices, updates):
    inputs = tensor(inputs)
    updates, start = tf.cast(tensor(updates), inputs.dtype), dims(start_indices)
    if inputs.shape.rank == 0:
        return updates
    if in_xla() and tf.get_static_value(start) is None:
        return update_at_run_time(inputs, updates, start)
    return tf.raw_ops.TensorStridedSliceUpdate(
        input=inputs, begin=start, end=start + tf.shape(updates), strides=tf.ones_like(start), value=updates
    )


@tf.custom_gradient  # XLA's own update has none, and it compiles no other at a place that only a run knows
def update_at_run_time(inputs, updates, start):
    def gradient(upstream):
        d_inputs = update_at_run_time(upstream, tf.zeros_like(updates), start)
        return d_inputs, tf.slice(upstream, start, updates.shape), None

    return xla.dynamic_update_slice(inputs, updates, start), gradient


def sort(x, axis=-1):
    return tf.sort(tensor(x), axis)


def argsort(x, axis=-1):
    return tf.argsort(tensor(x), axis, stable=True)


def searchsorted(sorted_sequence, values, side="left"):
    edges, values = pair(sorted_sequence, values)
    return tf.reshape(tf.searchsorted(edges, tf.reshape(values, (-1,)), side), tf.shape(values))


# ---- activations

relu = unary(tf.nn.relu)
sigmoid = real(tf.raw_ops.Sigmoid)
softplus = make.real(tf.math.softplus)
silu = make.real(tf.nn.silu)


# TensorFlow's own gelu and leaky_relu have constants of float32 only.


def gelu(x, approximate=True):
    x = floating(x)
    if approximate:
        return 0.5 * x * (1 + tf.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + tf.math.erf(x * 0.7071067811865476))


def elu(x, alpha=1.0):
    x = floating(x)
    return tf.where(x > 0, x, alpha * tf.math.expm1(tf.minimum(x, 0)))


def leaky_relu(x, negative_slope=0.2):
    x = floating(x)
    return tf.where(x > 0, x, negative_slope * x)


def softmax(x, axis=-1):
    return tf.nn.softmax(floating(x), axis)


def log_softmax(x, axis=-1):
    return tf.nn.log_softmax(floating(x), axis)
