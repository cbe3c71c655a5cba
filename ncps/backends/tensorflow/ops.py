"""The ops on TensorFlow tensors: eagerly, in a `tf.function`, and compiled by XLA."""

from __future__ import annotations

import builtins
import functools
import itertools
import threading
from contextlib import contextmanager

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from ncps import tree
from ncps.backends import common
from ncps.ops.dispatch import COMPOSITES
from ncps.ops.sequences.cfc import separate_heads

# ---- types and conversion


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
    return (separate_heads if in_xla() else COMPOSITES["linear_heads"])(kernel, bias, units)


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


# ---- random: stateless draws, whose seeds come from a variable


FRESH = [np.random.default_rng()]  # seeds for generators without one; in a list, so that set_seed replaces it


class SeedGenerator(tf.Module):
    """A seed and the number of draws so far: [seed, draws]."""

    def __init__(self, seed=None):
        super().__init__()
        with tf.init_scope():  # a function that is being traced would own the variable
            self.state = tf.Variable(seed_of(FRESH[0].integers(2**63) if seed is None else seed), trainable=False)

    def next(self):
        seed = self.state.read_value()
        self.state.assign_add((0, 1))
        return seed


def seed_of(number):
    return tf.constant((int(number) % 2**63, 0), tf.int64)


@functools.cache
def global_generator():
    return SeedGenerator()


class Draws(threading.local):
    """How draws from generators get their seeds in this thread; None: from the generator's variable."""

    draw = None


draws = Draws()


@contextmanager
def drawing(draw):
    before, draws.draw = draws.draw, draw
    try:
        yield
    finally:
        draws.draw = before


def next_seed(generator):
    """The next seed of any generator that has a `state` and a `next()`."""
    return generator.next() if draws.draw is None else draws.draw(generator)


def at_step(function, index):
    """`function` as step `index` of a loop: where seeds do not come from a variable, each step has its own."""

    def step(*args):
        outer = draws.draw
        if outer is None:
            return function(*args)
        with drawing(lambda generator: tf.random.fold_in(outer(generator), index)):
            return function(*args)

    return step


def seeded(function, seeds, index=0):
    """`function`, which draws from one seed for each generator: the same at every run with the same index."""

    def run(*args):
        numbers = itertools.count()

        def draw(generator):
            seed = next(seed for known, seed in seeds if known is generator)
            return tf.random.fold_in(tf.random.fold_in(seed, next(numbers)), index)

        with drawing(draw):
            return function(*args)

    return run


def random_seed_generator(seed=None):
    return SeedGenerator(seed)


def random_set_seed(seed):
    FRESH[0] = np.random.default_rng(seed)
    global_generator().state.assign(seed_of(seed))


def generator(seed):
    if isinstance(seed, (int, np.integer)):
        return seed_of(seed)
    return next_seed(global_generator() if seed is None else seed)


def random_normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None):
    return tf.random.stateless_normal(dims(shape), generator(seed), mean, stddev, native_dtype(dtype))


def random_uniform(shape, minval=0.0, maxval=1.0, dtype="float32", seed=None):
    return tf.random.stateless_uniform(dims(shape), generator(seed), minval, maxval, native_dtype(dtype))


def random_randint(shape, minval, maxval, dtype="int32", seed=None):
    dtype = native_dtype(dtype)
    drawn = dtype if dtype in (tf.int32, tf.int64) else tf.int32
    return tf.cast(tf.random.stateless_uniform(dims(shape), generator(seed), minval, maxval, drawn), dtype)


def random_bernoulli(shape, probability=0.5, seed=None):
    return random_uniform(shape, seed=seed) < probability


def random_dropout(inputs, rate, seed=None):
    inputs = floating(inputs)
    kept = random_bernoulli(shape(inputs), 1 - rate, seed)
    return tf.where(kept, inputs / (1 - rate), tf.zeros_like(inputs)) if rate < 1 else tf.zeros_like(inputs)


# ---- control


def outlined(function, leaves):
    """A trace of a function of tensors apart from the graph, and a seed for every generator that it draws from.

    The trace tells what comes out and what is captured.
    """
    used = []

    def note(generator):
        if not builtins.any(generator is known for known in used):
            used.append(generator)
        return tf.zeros(2, generator.state.dtype)

    with drawing(note):
        specs = [tf.TensorSpec(x.shape, x.dtype) for x in leaves]
        trace = tf.function(function, autograph=False).get_concrete_function(*specs)
    return trace, [(generator, next_seed(generator)) for generator in used]


def wider(a, b):
    """The shape of tensors that have either shape."""
    if a.rank != b.rank:
        raise ValueError(
            f"Expected a loop to keep the shapes of its state. Received: {a} and then {b}. Pad the state to one shape."
        )
    return tf.TensorShape([m if m == n else None for m, n in zip(a, b, strict=True)])


def steps_of(xs, length):
    """Number of steps of a scan: a scalar tensor where it is unknown."""
    leaves = tree.flatten(xs)[0]
    known = [x for x in leaves if x.shape[0] is not None]
    if known or (not leaves and not is_tensor(length)):
        return common.scan_length(known, length)
    return tf.shape(leaves[0])[0] if length is None else length


def scan(f, init, xs=None, length=None, reverse=False, unroll=False):
    init, xs = tree.map(tensor, init), tree.map(tensor, xs)
    steps = steps_of(xs, length)
    if isinstance(steps, int) and (unroll or tf.executing_eagerly()):
        return unrolled_scan(f, init, xs, steps, reverse)
    return looped_scan(f, init, xs, steps, reverse)


def unrolled_scan(f, carry, xs, steps, reverse):
    leaves, structure = tree.flatten(xs)
    slices = [tf.unstack(x, steps) for x in leaves]  # the gradient of x[t] would be as large as x, at every step
    outputs = []
    for t in reversed(range(steps)) if reverse else range(steps):
        carry, y = at_step(f, t)(carry, tree.unflatten(structure, [x[t] for x in slices]))
        outputs.append(y)
    if reverse:
        outputs.reverse()
    return carry, tree.map(lambda *ys: tf.stack(ys), *outputs)


def looped_scan(f, init, xs, steps, reverse):
    carry, carry_structure = tree.flatten(init)
    slices, structure = tree.flatten(xs)
    count, found = len(carry), {}

    def step(*leaves):
        state, y = f(tree.unflatten(carry_structure, leaves[:count]), tree.unflatten(structure, leaves[count:]))
        y, found["y"] = tree.flatten(tree.map(tensor, y))
        state, returned = tree.flatten(state)
        if returned != carry_structure:
            raise ValueError(
                f"Expected a scan to keep the structure of its state. Received: {returned}. Return it as it came."
            )
        return [tensor(x) for x in state], y

    # A loop wants to know beforehand what it carries and what it collects.
    trace, seeds = outlined(step, [*carry, *(x[0] for x in slices)])
    outline = trace.structured_outputs
    invariants = [wider(x.shape, spec.shape) for x, spec in zip(carry, outline[0], strict=True)]
    inputs = [tf.TensorArray(x.dtype, steps, element_shape=x.shape[1:]).unstack(x) for x in slices]
    outputs = [tf.TensorArray(spec.dtype, steps, element_shape=spec.shape) for spec in outline[1]]

    def body(i, carry, outputs):
        t = steps - 1 - i if reverse else i
        carry, y = seeded(step, seeds, t)(*carry, *(x.read(t) for x in inputs))
        return i + 1, carry, [array.write(t, leaf) for array, leaf in zip(outputs, y, strict=True)]

    _, carry, outputs = tf.while_loop(
        lambda i, *_: i < steps,
        body,
        (tf.constant(0), carry, outputs),
        (tf.TensorShape(()), invariants, [tf.TensorShape(None)] * len(outputs)),
        maximum_iterations=steps,  # XLA lays out the memory of the backward pass by it
    )
    stacked = [array.stack() for array in outputs]
    return tree.unflatten(carry_structure, carry), tree.unflatten(found["y"], stacked)


def over_steps(f, carry, xs, reverse=False):
    def one(carry, xs):
        carry, ys = f(carry, tree.map(lambda x: x[0], xs))
        return carry, tree.map(lambda y: y[None], ys)

    if chunk_where_copied(xs) is None:
        return COMPOSITES["over_steps"](f, carry, xs, reverse)
    return over_parts(one, carry, xs, 1, reverse)


def over_chunks(f, carry, xs, reverse=False):
    size = chunk_where_copied(xs)
    if size is None:
        return COMPOSITES["over_chunks"](f, carry, xs, reverse)
    return over_parts(f, carry, xs, size, reverse)


def chunk_where_copied(xs):
    """Steps of a chunk of a sequence that XLA would copy as a whole, and that is long; else None."""
    known = builtins.all(x.shape.is_fully_defined() for x in tree.flatten(xs)[0])
    return COMPOSITES["chunk_steps"](steps_of(xs, None)) if known and in_xla() else None


def over_parts(f, carry, xs, size, reverse):
    """`f` for some steps after the others, with the time of the user's tensors second.

    They are transposed before and afterwards: XLA sees that the transposes cancel one another, and copies a part at a
    time. Otherwise it would copy all that comes in, and all that goes out.
    """
    (leaves, structure), axes = tree.flatten(xs), time_axes(xs)
    wholes = [swapaxes(x, 0, axis) for x, axis in zip(leaves, axes, strict=True)]
    carry, carry_structure = tree.flatten(carry)
    steps, found = steps_of(xs, None), {}

    def part(start, length, carry):
        parts = [slice(x, at(start, axis, x), sized(x, length, axis)) for x, axis in zip(wholes, axes, strict=True)]
        own = [swapaxes(x, 0, axis) for x, axis in zip(parts, axes, strict=True)]
        carry, ys = f(tree.unflatten(carry_structure, carry), tree.unflatten(structure, own))
        found["axes"] = time_axes(ys)
        ys, found["structure"] = tree.flatten(ys)
        return tree.flatten(carry)[0], [swapaxes(y, 0, axis) for y, axis in zip(ys, found["axes"], strict=True)]

    def written(start, length, carry, ys):
        carry, parts = part(start, length, carry)
        places = [at(start, axis, y) for y, axis in zip(ys, found["axes"], strict=True)]
        return carry, list(map(slice_update, ys, places, parts))

    _, parts = outlined(lambda *carry: part(0, size, carry), carry)[0].structured_outputs
    shapes = [sized(y, steps, axis) for y, axis in zip(parts, found["axes"], strict=True)]
    state = carry, [tf.zeros(shape, y.dtype) for shape, y in zip(shapes, parts, strict=True)]
    count, rest = divmod(steps, size)
    late = functools.partial(written, count * size, rest) if rest else lambda *state: state
    state = late(*state) if reverse else state
    _, *state = tf.while_loop(
        lambda i, *_: i < count,
        lambda i, *state: (i + 1, *written((count - 1 - i if reverse else i) * size, size, *state)),
        (tf.constant(0), *state),
        maximum_iterations=count,
    )
    carry, ys = state if reverse else late(*state)
    ys = [swapaxes(y, 0, axis) for y, axis in zip(ys, found["axes"], strict=True)]
    return tree.unflatten(carry_structure, carry), tree.unflatten(found["structure"], ys)


def time_axes(pair):
    """Where the time of the tensors of a pair is, of those of the user and of the others."""
    return [axis for axis, part in zip((1, 0), pair, strict=True) for _ in tree.flatten(part)[0]]


def sized(x, length, axis):
    """The shape of x with another length of an axis."""
    return [length if i == axis else n for i, n in enumerate(x.shape)]


def at(start, axis, x):
    """Indices of the first element of a part of x."""
    return [start if i == axis else 0 for i in range(x.shape.rank)]


def associative_scan(f, elems, reverse=False, axis=0):
    elems = tree.map(tensor, elems)
    if tree.flatten(elems)[0][0].shape[axis] is None:
        raise ValueError(
            f"Expected elements whose number along the axis {axis} is known while tensorflow traces. Received: None. "
            f"Give the function an input signature with this length, or use ops.scan."
        )
    at = axis % tree.flatten(elems)[0][0].shape.rank

    def merged(x, shape):
        lengths = tf.shape(x)  # for the unknown ones: x has one axis more, the two that are merged
        return tf.reshape(x, dims(lengths[i + (i > at)] if n is None else n for i, n in enumerate(shape)))

    return common.associative_scan(tf.concat, tf.stack, f, elems, reverse, axis, merged)


def cond(pred, true_fn, false_fn):
    if not is_tensor(pred):
        return true_fn() if pred else false_fn()
    found = {}

    def branch(function):
        def run():
            leaves, found["structure"] = tree.flatten(function())
            return [tensor(x) for x in leaves]

        return run

    leaves = tf.cond(boolean(pred), branch(true_fn), branch(false_fn))
    return tree.unflatten(found["structure"], leaves)


def while_loop(cond, body, loop_vars, maximum_iterations=None):
    leaves, structure = tree.flatten(tuple(loop_vars))

    def step(i, leaves):
        result = at_step(body, i)(*tree.unflatten(structure, leaves))
        result = tuple(result) if isinstance(result, (tuple, list)) else (result,)
        return i + 1, [tensor(x) for x in tree.flatten(result)[0]]

    _, leaves = tf.while_loop(
        lambda _, leaves: boolean(cond(*tree.unflatten(structure, leaves))),
        step,
        (tf.constant(0), [tensor(x) for x in leaves]),
        maximum_iterations=maximum_iterations,
    )
    return tree.unflatten(structure, leaves)


def fori_loop(lower, upper, body_fun, init_val):
    if tf.executing_eagerly():
        for i in range(int(lower), int(upper)):
            init_val = body_fun(i, init_val)
        return init_val
    start = tensor(lower)
    return while_loop(lambda i, _: i < upper, lambda i, x: (i + 1, body_fun(i, x)), (start, init_val))[1]


def vectorized_map(function, elements):
    leaves, structure = tree.flatten(elements)
    leaves, found = [tensor(x) for x in leaves], {}

    def run(*leaves):
        results, found["structure"] = tree.flatten(function(tree.unflatten(structure, leaves)))
        return [tensor(x) for x in results]

    _, seeds = outlined(run, [x[0] for x in leaves])  # one draw would serve all elements
    numbered = (tf.range(tf.shape(leaves[0])[0]), *leaves)
    results = tf.vectorized_map(lambda x: seeded(run, seeds, x[0])(*x[1:]), numbered, warn=not seeds)
    return tree.unflatten(found["structure"], results)


def checkpoint(function):
    def op(*args, **kwargs):
        # Eagerly, nothing tells which tensors a function captures, and their gradients would be lost.
        return function(*args, **kwargs) if tf.executing_eagerly() else Recomputed(function, args, kwargs)()

    return op


class Recomputed:
    """One call of a function, whose backward pass runs it again, with the seeds that its first run had.

    `tf.recompute_grad` draws anew, and loses the gradients of captured tensors. In a loop it also cannot read variables
    and constants again: so the function becomes a graph, whose captures are read where it is called first.
    """

    def __init__(self, function, args, kwargs):
        leaves, structure = tree.flatten((args, kwargs))
        leaves, count = [tensor(x) for x in leaves], len(leaves)

        def run(*leaves):
            args, kwargs = tree.unflatten(structure, leaves)
            outputs, self.structure = tree.flatten(function(*args, **kwargs))
            return [tensor(x) for x in outputs]

        def run_seeded(*inputs):
            return seeded(run, list(zip(generators, inputs[count:], strict=True)))(*inputs[:count])

        self.graph, seeds = outlined(run, leaves)
        generators, seeds = [generator for generator, _ in seeds], [seed for _, seed in seeds]
        self.inputs = [*leaves, *seeds]
        if seeds:
            self.graph, _ = outlined(run_seeded, self.inputs)
        self.sources = self.graph.captured_inputs
        self.captured = [tf.compat.v1.get_default_graph().capture(x) for x in self.sources]
        self.graph.set_external_captures(self.captured)

    def __call__(self):
        count = len(self.inputs)

        @tf.custom_gradient
        def call(*inputs):
            return self.graph(*inputs[:count]), functools.partial(self.backward, inputs[:count])

        tensors = [x for x in self.captured if x.dtype.is_floating]  # to these, gradients flow as to arguments
        return tree.unflatten(self.structure, call(*self.inputs, *tensors))

    def backward(self, inputs, *upstream, variables=()):
        again = after(inputs, upstream)
        handles = [self.handle(variable) for variable in variables]
        sources = [*again, *(x for x in self.captured if x.dtype.is_floating)]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([*(x for x in sources if x.dtype.is_floating), *(x for x in handles if x is not None)])
            outputs = self.graph(*again)
        real = [(y, g) for y, g in zip(outputs, upstream, strict=True) if y.dtype.is_floating]
        known = [x for x in handles if x is not None]
        found = tape.gradient([y for y, _ in real], [*sources, *known], [g for _, g in real])
        of_handles = iter(found[len(sources) :])
        if not variables:
            return found
        return found[: len(sources)], [None if x is None else next(of_handles) for x in handles]

    def handle(self, variable):
        """The captured tensor through which a variable is read."""
        pairs = zip(self.sources, self.captured, strict=True)
        return next((inner for outer, inner in pairs if outer is variable.handle), None)


def after(leaves, upstream):
    """`leaves`, known only once `upstream` is: a compiler would find that the forward pass has the results already."""
    first = next((g for g in upstream if g.dtype.is_floating), None)
    if first is None:
        return [tf.identity(x) for x in leaves]
    first = tf.reduce_max(tf.reshape(first, (-1,))[:1])
    zero = tf.where(tf.math.is_nan(first) | True, tf.zeros_like(first), first)
    return [x + tf.cast(zero, x.dtype) if x.dtype.is_floating else tf.identity(x) for x in leaves]


def custom_gradient(function, forward, backward):
    def op(*args):
        leaves, structure = tree.flatten(args)
        found = {}

        @tf.custom_gradient
        def call(*leaves):
            inputs = tree.unflatten(structure, leaves)
            outputs, residuals = forward(*inputs)
            outputs, found["structure"] = tree.flatten(outputs)

            def gradients_of(residuals, upstream):
                cotangents = tree.unflatten(found["structure"], upstream)
                return common.per_leaf(inputs, common.gradients_of(backward, residuals, cotangents, inputs))

            # The tape does not see how the residuals came about: to differentiate once more, they are computed again.
            @tf.custom_gradient
            def first_gradients(leaves, upstream):
                gradients = gradients_of(residuals, upstream)
                real = [i for i, x in enumerate(gradients) if x is not None]

                def again(*upstream_of_gradients, variables=None):
                    args = [x for x in (*leaves, *upstream) if x.dtype.is_floating]
                    with tf.GradientTape() as tape:
                        tape.watch(args)
                        _, residuals = forward(*tree.unflatten(structure, leaves))
                        gradients = gradients_of(residuals, upstream)
                    chosen = [gradients[i] for i in real]
                    second = iter(tape.gradient(chosen, args, upstream_of_gradients))
                    each = [next(second) if x.dtype.is_floating else None for x in (*leaves, *upstream)]
                    second = each[: len(leaves)], each[len(leaves) :]
                    return second if variables is None else (second, [None] * len(variables))

                found["real"], found["count"] = real, len(gradients)
                return [tensor(gradients[i]) for i in real], again

            def gradient(*upstream, variables=None):
                real = iter(first_gradients(list(leaves), list(upstream)))
                gradients = [next(real) if i in found["real"] else None for i in range(found["count"])]
                return gradients if variables is None else (gradients, [None] * len(variables))

            return [tensor(x) for x in outputs], gradient

        outputs = call(*(tensor(x) for x in leaves))
        return tree.unflatten(found["structure"], outputs)

    return op


stop_gradient = unary(tf.stop_gradient)


def value_and_grad(function):
    def op(*args):
        leaves, structure = tree.flatten(args)
        leaves = [tf.identity(tensor(x)) for x in leaves]  # a tensor that is given twice has two gradients
        real_leaves = [x for x in leaves if x.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(real_leaves)
            value = function(*tree.unflatten(structure, leaves))
        gradients = tape.gradient(value, real_leaves, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        found = iter([tf.convert_to_tensor(x) for x in gradients])  # some are sparse
        gradients = tree.unflatten(structure, [next(found) if x.dtype.is_floating else None for x in leaves])
        return value, gradients[0] if len(args) == 1 else gradients

    return op
