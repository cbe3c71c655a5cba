"""The ops on mlx arrays."""

from __future__ import annotations

import builtins
import contextlib
import functools
import threading

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ncps import tree
from ncps.backends import common
from ncps.errors import UnsupportedOperationError

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


# ---- random: mlx's own generator, which mx.random.seed seeds


class Inside(threading.local):
    """The key that draws without a seed come from, inside a function that is run again or mapped."""

    key = None


inside = Inside()


@contextlib.contextmanager
def drawing_from(key):
    before, inside.key = inside.key, key
    try:
        yield
    finally:
        inside.key = before


def random_seed_generator(seed=None):
    return None


def random_set_seed(seed):
    mx.random.seed(seed)


def new_key(seed):
    if seed is not None:
        return seed if isinstance(seed, mx.array) else mx.random.key(seed)
    if inside.key is None:
        return None  # mlx's own generator
    inside.key, key = mx.random.split(inside.key)
    return key


def fresh_key():
    return mx.random.randint(0, 2**32 - 1, (2,), mx.uint32, new_key(None))


def random_normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None):
    return mx.random.normal(tuple(shape), native_dtype(dtype), key=new_key(seed)) * stddev + mean


def random_uniform(shape, minval=0.0, maxval=1.0, dtype="float32", seed=None):
    return mx.random.uniform(minval, maxval, tuple(shape), native_dtype(dtype), new_key(seed))


def random_randint(shape, minval, maxval, dtype="int32", seed=None):
    return mx.random.randint(minval, maxval, tuple(shape), native_dtype(dtype), new_key(seed))


def random_bernoulli(shape, probability=0.5, seed=None):
    return mx.random.bernoulli(probability, tuple(shape), new_key(seed))


def random_dropout(inputs, rate, seed=None):
    inputs = floating(inputs)
    kept = random_bernoulli(inputs.shape, 1 - rate, seed)
    return mx.where(kept, inputs / (1 - rate), 0) if rate < 1 else mx.zeros_like(inputs)


# ---- control: mlx runs Python's own loops and branches; only mx.compile and mx.vmap trace


WINDOW = 64  # steps that are computed together: mlx would hold what all of a long loop needs until its end


def scan(f, init, xs=None, length=None, reverse=False, unroll=False):
    init, xs = tree.map(tensor, init), tree.map(tensor, xs)
    steps = common.scan_length(xs, length)

    def run(carry, xs, steps):
        return common.loop_scan(unstack, mx.stack, f, carry, xs, steps, reverse)

    return in_windows(run, init, xs, steps, reverse)


def over_chunks(f, carry, xs, reverse=False):
    return in_windows(lambda carry, xs, steps: f(carry, xs), carry, xs, len(tree.flatten(xs)[0][0]), reverse)


def in_windows(run, carry, xs, steps, reverse):
    """Runs one window of steps after the other; where nothing transforms them, each is computed before the next one."""
    if steps <= 2 * WINDOW:
        return run(carry, xs, steps)
    starts, parts, outputs = range(0, steps, WINDOW), [], None
    leaves, structure = tree.flatten(xs)
    slices = list(zip(*(mx.split(x, list(starts[1:])) for x in leaves), strict=True)) or [()] * len(starts)
    windows = list(zip(starts, slices, strict=True))
    for start, each in reversed(windows) if reverse else windows:
        end = builtins.min(start + WINDOW, steps)
        carry, ys = run(carry, tree.unflatten(structure, each), end - start)
        if parts or is_transformed((carry, ys)):
            parts.append(ys)
            continue
        outputs = common.written(outputs, ys, builtins.slice(start, end), steps, room)
        mx.async_eval(carry, outputs)  # before the next: mlx then writes into this array, and not into a copy
    if not parts:
        return carry, outputs
    return carry, tree.map(lambda *each: mx.concatenate(each), *(reversed(parts) if reverse else parts))


def room(steps, ys):
    return mx.zeros((steps, *ys.shape[1:]), ys.dtype)


def is_transformed(arrays):
    """Whether mlx differentiates, maps or compiles the function that computes these, so that it needs all of it."""
    try:
        mx.async_eval([mx.stop_gradient(x) for x in tree.flatten(arrays)[0]])
    except ValueError:  # the only sign that mlx gives
        return True
    return False


def associative_scan(f, elems, reverse=False, axis=0):
    return common.associative_scan(mx.concatenate, mx.stack, f, tree.map(tensor, elems), reverse, axis)


def truth(x):
    try:
        return bool(x)
    except ValueError as error:
        if "eval" not in str(error):
            raise
        raise UnsupportedOperationError(
            "mlx cannot branch on values that it only traces: keep cond and while_loop out of functions given to "
            "mx.compile or vectorized_map, or choose with ncps.ops.where."
        ) from error


def cond(pred, true_fn, false_fn):
    return true_fn() if truth(pred) else false_fn()


def while_loop(cond, body, loop_vars, maximum_iterations=None):
    loop_vars, count = tree.map(tensor, tuple(loop_vars)), 0
    while (maximum_iterations is None or count < maximum_iterations) and truth(cond(*loop_vars)):
        result = body(*loop_vars)
        loop_vars, count = tuple(result) if isinstance(result, (tuple, list)) else (result,), count + 1
    return loop_vars


def fori_loop(lower, upper, body_fun, init_val):
    init_val = tree.map(tensor, init_val)
    for i in range(int(lower), int(upper)):
        init_val = body_fun(i, init_val)
    return init_val


def vectorized_map(function, elements):
    leaves, structure = tree.flatten(tree.map(tensor, elements))
    found = []

    def one(key, leaves):
        with drawing_from(key):
            out, out_structure = tree.flatten(function(tree.unflatten(structure, leaves)))
        found.append(out_structure)
        return [tensor(x) for x in out]

    keys = mx.random.split(fresh_key(), common.scan_length(elements, None))
    outputs = mx.vmap(one)(keys, leaves)
    return tree.unflatten(found[-1], outputs)


class Held:
    """The arrays that a call of a function uses: its arguments, its closure, and the weights of modules in these.

    mx.checkpoint differentiates with respect to arguments only: the gradients of what else a function uses, such as
    the weights of the layer that it belongs to, would silently be zero. So all of it becomes an argument.
    """

    def __init__(self, function, args, kwargs):
        self.cells, self.modules, self.arrays, self._seen = [], [], [], set()
        self.args = tree.flatten((args, kwargs))
        self._look_at((function, args, kwargs))
        self.arrays += [x for x in self.args[0] if isinstance(x, mx.array)]
        for _, (leaves, _) in self.cells:
            self.arrays += [x for x in leaves if isinstance(x, mx.array)]
        self.parameters = [tree.flatten(module.parameters()) for module in self.modules]
        for leaves, _ in self.parameters:
            self.arrays += leaves

    def _look_at(self, found):
        for x in tree.flatten(found)[0]:
            if id(x) in self._seen:
                continue
            self._seen.add(id(x))
            if isinstance(x, nn.Module):
                self.modules.append(x)
            elif isinstance(x, functools.partial):
                self._look_at((x.func, x.args, x.keywords))
            elif hasattr(x, "__func__"):
                self._look_at((x.__func__, x.__self__))
            for cell in getattr(x, "__closure__", None) or ():
                self._look_into(cell)

    def _look_into(self, cell):
        if id(cell) in self._seen:
            return
        self._seen.add(id(cell))
        try:
            content = cell.cell_contents
        except ValueError:  # not assigned yet
            return
        self._look_at(content)
        if any_array(content):
            self.cells.append((cell, tree.flatten(content)))

    @contextlib.contextmanager
    def replaced(self, arrays):
        """Puts other arrays in their places, until the end of the block; yields the arguments."""
        try:
            yield self._put(arrays)
        finally:
            self._put(self.arrays)

    def _put(self, arrays):
        arrays = iter(arrays)

        def filled(leaves, structure):
            return tree.unflatten(structure, [next(arrays) if isinstance(x, mx.array) else x for x in leaves])

        call = filled(*self.args)
        for cell, flat in self.cells:
            cell.cell_contents = filled(*flat)
        for module, flat in zip(self.modules, self.parameters, strict=True):
            module.update(filled(*flat))
        return call


def any_array(trees):
    return not {mx.array}.isdisjoint(type(x) for x in tree.flatten(trees)[0])


def checkpoint(function):
    def op(*args, **kwargs):
        held, key, found = Held(function, args, kwargs), fresh_key(), []

        def run(arrays):
            # mlx's generator has moved on when the backward pass runs the function again: both runs start at one key.
            with held.replaced(arrays) as (new_args, new_kwargs), drawing_from(key):
                outputs, structure = tree.flatten(function(*new_args, **new_kwargs))
            found.append(structure)
            # mlx 0.32 gives no gradient to an output that is another one, as y and y[:n] of the whole length are.
            first, *others = (tensor(x) for x in outputs)
            return [first, *(mx.contiguous(x) for x in others)]

        outputs = mx.checkpoint(run)(held.arrays)
        return tree.unflatten(found[0], outputs)

    return op


def custom_gradient(function, forward, backward):
    def op(*args):
        leaves, structure = tree.flatten(args)
        leaves = [tensor(x) for x in leaves]
        if not is_transformed(leaves):  # with residuals as outputs, mlx would compute these as well
            return function(*tree.unflatten(structure, leaves))
        seen = {}

        @mx.custom_function
        def run(*leaves):
            outputs, residuals = forward(*tree.unflatten(structure, leaves))
            out, seen["outputs"] = tree.flatten(outputs)
            seen["kept"], seen["residuals"] = tree.flatten(residuals)
            seen["count"] = len(out)
            # Residuals travel as outputs, which mlx gives to the backward pass.
            return [*(tensor(x) for x in out), *(x for x in seen["kept"] if isinstance(x, mx.array))]

        @run.vjp
        def run_backward(primals, cotangents, outputs):
            primals = list(primals) if isinstance(primals, (list, tuple)) else [primals]
            count, arrays = seen["count"], iter(outputs[seen["count"] :])
            kept = [next(arrays) if isinstance(x, mx.array) else x for x in seen["kept"]]

            def gradients_of(residuals, primals, upstream):
                gradients = common.gradients_of(backward, residuals, tree.unflatten(seen["outputs"], upstream), args)
                return [
                    mx.zeros_like(x) if gradient is None else tensor(gradient, x.dtype)
                    for x, gradient in zip(primals, common.per_leaf(args, gradients), strict=True)
                ]

            # Residuals have no gradients of their own: to differentiate once more, they are computed again.
            @mx.custom_function
            def first_gradients(*both):
                return gradients_of(tree.unflatten(seen["residuals"], kept), both[: len(primals)], both[len(primals) :])

            @first_gradients.vjp
            def second_gradients(both, upstream, _):
                def again(*both):
                    _, residuals = forward(*tree.unflatten(structure, list(both[: len(primals)])))
                    return gradients_of(residuals, both[: len(primals)], both[len(primals) :])

                return mx.vjp(again, list(both), list(upstream))[1]

            return first_gradients(*primals, *cotangents[:count])

        outputs = run(*leaves)
        return tree.unflatten(seen["outputs"], outputs[: seen["count"]])

    return op


stop_gradient = unary(mx.stop_gradient)


def value_and_grad(function):
    def op(*args):
        leaves, structure = tree.flatten(args)
        leaves = [tensor(x) for x in leaves]
        real_leaves = [x for x in leaves if is_floating(x)]

        def run(real_leaves):
            rest = iter(real_leaves)
            return tensor(function(*tree.unflatten(structure, [next(rest) if is_floating(x) else x for x in leaves])))

        value, gradients = mx.value_and_grad(run)(real_leaves)
        found = iter(gradients)
        gradients = tree.unflatten(structure, [next(found) if is_floating(x) else None for x in leaves])
        return value, gradients[0] if len(args) == 1 else gradients

    return op
