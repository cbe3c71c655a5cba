"""The ops on jax arrays."""

from __future__ import annotations

import builtins
import contextlib
import threading

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.errors import TraceContextError
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


# ---- random: keys out of nnx streams, whose count is state that moves on with every draw


class GlobalGenerator:
    """Where draws without a seed come from. It is no state that jax tracks, so what is compiled cannot use it."""

    def __init__(self):
        self.numbers = np.random.default_rng()

    def __call__(self):
        if isinstance(jnp.zeros(()), jax.core.Tracer):
            raise RuntimeError(
                "Random numbers from the global generator would be constants of the compiled function. Give the op a "
                "seed or a seed generator (ncps.ops.random.seed_generator), held by the module that nnx.jit compiles."
            )
        return jax.random.key(self.integer())

    def integer(self):
        return int(self.numbers.integers(2**32))


GLOBAL = GlobalGenerator()


def random_seed_generator(seed=None):
    return nnx.RngStream(jax.random.key(GLOBAL.integer() if seed is None else seed), tag="ncps")


def random_set_seed(seed):
    GLOBAL.numbers = np.random.default_rng(seed)


def new_key(seed):
    if seed is None or isinstance(seed, (nnx.RngStream, nnx.Rngs)):
        return draw(GLOBAL if seed is None else seed)
    return seed if isinstance(seed, jax.Array) else jax.random.key(seed)


# nnx refuses to count a draw inside a function that jax transforms: the new count would leave the transformation as a
# tracer. So an op that transforms a function lifts the randomness out of it. It runs the function; at the first draw
# from a generator that cannot count there it stops, traces the function once to note all such generators, draws one key
# from each outside, where they can count, and runs the function with these. Inside, draw number n of step i is
# fold_in(fold_in(key, i), n). Functions that do not draw pay nothing, and what is recomputed draws the same numbers.


class Lifting(threading.local):
    """The innermost transformed function of this thread, and the generators noted while one is only traced."""

    frame = None
    noted = None


lifting = Lifting()


class Stop(BaseException):  # no Exception: nobody but `lifted` shall catch it
    """A draw inside a transformed function, the first time it is run."""

    def __init__(self, frame):
        super().__init__()
        self.frame = frame


class Frame:
    """One transformed function: a key for every generator that it draws from."""

    def __init__(self, generators=None, keys=None):
        self.generators = generators
        self.keys = keys
        self.step = None
        self.counts = None

    def steps(self, count):
        """Something to run over that numbers the steps, if the function draws at all."""
        return jnp.arange(count) if self.generators else None

    @contextlib.contextmanager
    def at(self, step=None, keys=None):
        before = (lifting.frame, self.step, self.counts, self.keys)
        lifting.frame, self.step, self.counts = self, step, {}
        self.keys = self.keys if keys is None else keys
        try:
            yield
        finally:
            lifting.frame, self.step, self.counts, self.keys = before

    def key(self, generator):
        if lifting.noted is not None:
            lifting.noted[id(generator)] = generator
            return jax.random.key(0)
        if self.generators is None:
            raise Stop(self)
        position = [id(known) for known in self.generators].index(id(generator))
        count = self.counts[position] = self.counts.get(position, -1) + 1
        key = self.keys[position]
        return jax.random.fold_in(key if self.step is None else jax.random.fold_in(key, self.step), count)


def draw(generator):
    if generator is GLOBAL and lifting.frame is not None:
        return lifting.frame.key(generator)
    try:
        return generator()
    except TraceContextError:
        if lifting.frame is None:
            raise
        return lifting.frame.key(generator)


def lifted(transform):
    """``transform(frame)`` with the draws of the functions that it runs inside ``with frame.at(...)``."""
    frame = Frame()
    try:
        return transform(frame)
    except Stop as stop:
        if stop.frame is not frame:
            raise
    lifting.noted = {}
    try:
        jax.eval_shape(lambda: transform(Frame()))
        generators = list(lifting.noted.values())
    finally:
        lifting.noted = None
    return transform(Frame(generators, [draw(generator) for generator in generators]))


def random_normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None):
    return jax.random.normal(new_key(seed), tuple(shape), native_dtype(dtype)) * stddev + mean


def random_uniform(shape, minval=0.0, maxval=1.0, dtype="float32", seed=None):
    return jax.random.uniform(new_key(seed), tuple(shape), native_dtype(dtype), minval, maxval)


def random_randint(shape, minval, maxval, dtype="int32", seed=None):
    return jax.random.randint(new_key(seed), tuple(shape), minval, maxval, native_dtype(dtype))


def random_bernoulli(shape, probability=0.5, seed=None):
    return jax.random.bernoulli(new_key(seed), probability, tuple(shape))


def random_dropout(inputs, rate, seed=None):
    inputs = floating(inputs)
    kept = random_bernoulli(inputs.shape, 1 - rate, seed)
    return jnp.where(kept, inputs / (1 - rate), 0) if rate < 1 else jnp.zeros_like(inputs)


# ---- control


def is_variable(x):
    return isinstance(x, nnx.Variable)


def plain(trees):
    """The trees of a function's results, without variables: jax would take them for containers."""
    return jax.tree.map(lambda x: x[...] if is_variable(x) else x, trees, is_leaf=is_variable)


def scan(f, init, xs=None, length=None, reverse=False, unroll=False):
    init, xs = tensors((init, xs))
    steps = common.scan_length(xs, length, lambda n: n)  # jax.export knows lengths by name only

    def transform(frame):
        def step(carry, numbered):
            i, x = numbered
            with frame.at(i):
                return plain(f(carry, x))

        # Where there is something to run over, jax counts the steps itself, also those that it knows by name only.
        return lax.scan(step, init, (frame.steps(steps), xs), length, reverse, unroll)

    return lifted(transform)


def associative_scan(f, elems, reverse=False, axis=0):
    return lax.associative_scan(lambda a, b: plain(f(a, b)), tensors(elems), reverse, axis)


def cond(pred, true_fn, false_fn):
    if isinstance(pred, (bool, np.bool_)):
        return true_fn() if pred else false_fn()

    def transform(frame):
        def branch(function):
            def op():
                with frame.at():
                    return tensors(function())

            return op

        return lax.cond(tensor(pred), branch(true_fn), branch(false_fn))

    return lifted(transform)


def while_loop(cond, body, loop_vars, maximum_iterations=None):
    loop_vars = tensors(tuple(loop_vars))

    def transform(frame):
        def go_on(state):
            count, loop_vars = state
            more = tensor(cond(*loop_vars)).astype(bool)
            return more if maximum_iterations is None else more & (count < maximum_iterations)

        def step(state):
            count, loop_vars = state
            with frame.at(count):
                result = tensors(body(*loop_vars))
            return count + 1, tuple(result) if isinstance(result, (tuple, list)) else (result,)

        return lax.while_loop(go_on, step, (jnp.int32(0), loop_vars))[1]

    return lifted(transform)


def fori_loop(lower, upper, body_fun, init_val):
    init_val = tensors(init_val)

    def transform(frame):
        def step(i, value):
            with frame.at(i):
                return tensors(body_fun(i, value))

        return lax.fori_loop(lower, upper, step, init_val)

    return lifted(transform)


def vectorized_map(function, elements):
    elements = tensors(elements)
    count = common.scan_length(elements, None, lambda n: n)

    def transform(frame):
        def one(i, element):
            with frame.at(i):
                return plain(function(element))

        numbers = frame.steps(count)
        return jax.vmap(one, in_axes=(None if numbers is None else 0, 0))(numbers, elements)

    return lifted(transform)


def checkpoint(function):
    def op(*args, **kwargs):
        leaves, structure = tree.flatten((args, kwargs))
        # jax would trace every argument; flags and modules go round it.
        traced = [tensor(x) if is_tensor(x) or isinstance(x, np.ndarray) else None for x in leaves]

        def transform(frame):
            def run(traced):
                mixed = [x if t is None else t for x, t in zip(leaves, traced, strict=True)]
                args, kwargs = tree.unflatten(structure, mixed)
                with frame.at():
                    return plain(function(*args, **kwargs))

            return jax.checkpoint(run)(traced)

        return lifted(transform)

    return op


def custom_gradient(function, forward, backward):
    def op(*args):
        leaves, structure = tree.flatten(args)
        leaves = [tensor(x) for x in leaves]
        types = [x.dtype if is_floating(x) else None for x in leaves]

        def transform(frame):
            @jax.custom_vjp
            def run(keys, leaves):
                with frame.at(keys=keys):
                    return plain(function(*tree.unflatten(structure, leaves)))

            def run_forward(keys, leaves):
                with frame.at(keys=keys):
                    return plain(forward(*tree.unflatten(structure, leaves)))

            def run_backward(residuals, cotangents):
                gradients = common.gradients_of(backward, residuals, cotangents, args)
                found = common.per_leaf(args, gradients)
                # None is jax's zero, also for integers, whose gradients have a type of their own.
                return None, [
                    None if g is None or dtype is None else cast(g, dtype)
                    for g, dtype in zip(found, types, strict=True)
                ]

            run.defvjp(run_forward, run_backward)
            # The keys are an argument: jax runs the functions when the tracers around this call may be gone.
            return run(frame.keys, leaves)

        return lifted(transform)

    return op


stop_gradient = unary(lax.stop_gradient)


def value_and_grad(function):
    def op(*args):
        leaves, structure = tree.flatten(args)
        leaves = [tensor(x) for x in leaves]
        real_leaves = [x if is_floating(x) else None for x in leaves]

        def transform(frame):
            def run(real_leaves):
                mixed = [x if r is None else r for x, r in zip(leaves, real_leaves, strict=True)]
                with frame.at():
                    return tensor(function(*tree.unflatten(structure, mixed)))

            return jax.value_and_grad(run)(real_leaves)

        value, found = lifted(transform)
        gradients = tree.unflatten(structure, found)
        return value, gradients[0] if len(args) == 1 else gradients

    return op
