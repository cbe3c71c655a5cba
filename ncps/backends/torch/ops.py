"""The ops on torch tensors."""

from __future__ import annotations

import builtins

import numpy as np
import torch
from torch.utils.weak import WeakIdKeyDictionary

from ncps.backends import common
from ncps.ops.dispatch import COMPOSITES
from ncps.ops.sequences.synapses import SparseMatrices

# ---- types and conversion


def native_dtype(dtype):
    if isinstance(dtype, torch.dtype):
        return dtype
    found = getattr(torch, str(np.dtype(dtype)) if not isinstance(dtype, str) else dtype, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(
            f"Expected a type that torch has, such as 'float32'. Received: dtype={dtype!r}. Give the name of one."
        )
    return found


NUMBERS = {bool: torch.bool, int: torch.int32, float: torch.float32}


def tensor(x, device=None):
    if isinstance(x, torch.Tensor):
        return x
    if type(x) in NUMBERS:  # without NumPy, which the compiler would trace
        return torch.tensor(x, dtype=NUMBERS[type(x)], device=device)
    if isinstance(x, np.ndarray) and torch.compiler.is_compiling():
        return torch.as_tensor(x, device=device)
    array = common.as_array(x, "torch")
    # torch shares memory with NumPy, warns of arrays that must not be written, and has no negative strides
    if not array.flags.writeable or (array.ndim and builtins.min(array.strides) < 0):
        array = array.copy()
    if array.dtype.name == "bfloat16":
        return torch.as_tensor(array.view(np.int16), device=device).view(torch.bfloat16)
    return torch.as_tensor(array, device=device)


def floating(x):
    x = tensor(x)
    return x if x.is_floating_point() else x.to(torch.float32)


def pair(x1, x2):
    if isinstance(x1, torch.Tensor):
        return x1, x2 if isinstance(x2, torch.Tensor) else beside(x1, x2)
    if isinstance(x2, torch.Tensor):
        return beside(x2, x1), x2
    return tensor(x1), tensor(x2)


def beside(x, number):
    """`number` as a tensor on the device of `x`; Python numbers take its type."""
    if common.fits(number, x.is_floating_point(), x.dtype == torch.bool):
        # An exported program cannot save constants within a loop. An accelerator fills a number without waiting for the
        # host, and while a CUDA graph is captured nothing may be copied to it.
        if x.device.type != "cpu" or torch.compiler.is_exporting():
            return torch.full((), number, dtype=x.dtype, device=x.device)
        return torch.tensor(number, dtype=x.dtype, device=x.device)
    return tensor(number, x.device)


OWN = (torch.Tensor, torch.nn.Parameter)
REALS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
make = common.elementwise(tensor, floating, pair, OWN, REALS, promotes=True)
unary, real, binary, real_binary, reduction = make.unary, make.real, make.binary, make.real_binary, make.reduction


def convert_to_tensor(x, dtype=None):
    return tensor(x) if dtype is None else cast(x, dtype)


def convert_to_numpy(x):
    x = tensor(x).detach().cpu()
    if x.dtype == torch.bfloat16:
        import ml_dtypes

        return x.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return x.numpy()


def is_traced(x):
    return torch.compiler.is_compiling()


def is_tensor(x):
    return isinstance(x, torch.Tensor)


def shape(x):
    return tuple(x.shape)


def dtype(x):
    return str(tensor(x).dtype)[len("torch.") :]


def cast(x, dtype):
    dtype = native_dtype(dtype)
    if type(x) in NUMBERS:
        return torch.tensor(x, dtype=dtype)  # torch.scalar_tensor is faster, and raises where this gives infinity
    return tensor(common.exact(x, "torch")).to(dtype)


def device(x=None):
    return str(torch.get_default_device() if x is None else x.device)


def to_device(x, device):
    return tensor(x).to(device)


# ---- creation


def zeros(shape, dtype="float32"):
    return torch.zeros(tuple(shape), dtype=native_dtype(dtype))


def ones(shape, dtype="float32"):
    return torch.ones(tuple(shape), dtype=native_dtype(dtype))


def full(shape, fill_value, dtype="float32"):
    return torch.full(tuple(shape), fill_value, dtype=native_dtype(dtype))


def copy(x):
    return tensor(x).clone(memory_format=torch.contiguous_format)


def zeros_like(x, dtype=None):
    return torch.zeros_like(tensor(x), dtype=native_dtype(dtype) if dtype else None)


def ones_like(x, dtype=None):
    return torch.ones_like(tensor(x), dtype=native_dtype(dtype) if dtype else None)


def full_like(x, fill_value, dtype=None):
    return torch.full_like(tensor(x), fill_value, dtype=native_dtype(dtype) if dtype else None)


def arange(start, stop=None, step=1, dtype=None):
    start, stop = (0, start) if stop is None else (start, stop)
    default = torch.float32 if common.any_float(start, stop, step) else torch.int32
    return torch.arange(start, stop, step, dtype=native_dtype(dtype) if dtype else default)


def linspace(start, stop, num=50, dtype="float32"):
    return torch.linspace(start, stop, num, dtype=native_dtype(dtype))


def eye(N, M=None, dtype="float32"):
    return torch.eye(N, N if M is None else M, dtype=native_dtype(dtype))


# ---- shapes


def reshape(x, newshape):
    return torch.reshape(tensor(x), tuple(newshape))


def transpose(x, axes=None):
    x = tensor(x)
    return x.permute(tuple(reversed(range(x.ndim))) if axes is None else tuple(axes))


def swapaxes(x, axis1, axis2):
    return torch.swapaxes(tensor(x), axis1, axis2)


def moveaxis(x, source, destination):
    return torch.movedim(tensor(x), source, destination)


def expand_dims(x, axis):
    return torch.unsqueeze(tensor(x), axis)


def squeeze(x, axis=None):
    x = tensor(x)
    return torch.squeeze(x) if axis is None else torch.squeeze(x, axis)


def broadcast_to(x, shape):
    return torch.broadcast_to(tensor(x), tuple(shape))


def concatenate(xs, axis=0):
    return torch.cat([tensor(x) for x in xs], axis)


def stack(x, axis=0):
    return torch.stack([tensor(e) for e in x], axis)


def unstack(x, num=None, axis=0):
    return list(torch.unbind(tensor(x), axis))


def split(x, indices_or_sections, axis=0):
    x = tensor(x)
    if isinstance(indices_or_sections, int) and x.shape[axis] % indices_or_sections:
        raise ValueError(
            f"Expected equal sections of an axis of length {x.shape[axis]}. Received: {indices_or_sections}. Give "
            "the places where it is cut."
        )
    return list(torch.tensor_split(x, indices_or_sections, axis))


def repeat(x, repeats, axis=None):
    return torch.repeat_interleave(tensor(x), repeats, axis)


def tile(x, repeats):
    return torch.tile(tensor(x), tuple(repeats))


def flip(x, axis=None):
    x = tensor(x)
    return torch.flip(x, tuple(range(x.ndim)) if axis is None else (axis,))


def pad(x, pad_width, constant_values=0):
    flat = [int(n) for before_after in reversed(pad_width) for n in before_after]
    return torch.nn.functional.pad(tensor(x), flat, value=constant_values)


def roll(x, shift, axis=None):
    return torch.roll(tensor(x), shift, axis)


def diagonal(x):
    return torch.diagonal(tensor(x), dim1=-2, dim2=-1)


def triu(x, k=0):
    return torch.triu(tensor(x), k)


def tril(x, k=0):
    return torch.tril(tensor(x), k)


# ---- arithmetic

add = binary(torch.add)
subtract = binary(torch.subtract)
multiply = binary(torch.multiply)
divide = real_binary(torch.divide)
floor_divide = binary(torch.floor_divide)
mod = binary(torch.remainder)
power = binary(torch.pow)
maximum = binary(torch.maximum)
minimum = binary(torch.minimum)


def clip(x, x_min, x_max):
    x = tensor(x)
    return torch.clamp(x, beside(x, x_min), beside(x, x_max))


negative = unary(torch.negative)
absolute = unary(torch.abs)
sign = unary(torch.sign)
square = unary(torch.square)
sqrt = real(torch.sqrt)
rsqrt = real(torch.rsqrt)
reciprocal = real(torch.reciprocal)
exp = real(torch.exp)
expm1 = real(torch.expm1)
log = real(torch.log)
log1p = real(torch.log1p)
sin = real(torch.sin)
cos = real(torch.cos)
tan = real(torch.tan)
arctan = real(torch.arctan)
sinh = real(torch.sinh)
cosh = real(torch.cosh)
tanh = real(torch.tanh)
erf = real(torch.erf)
floor = unary(torch.floor)
ceil = unary(torch.ceil)
round = unary(torch.round)

# ---- reductions


def axes_of(x, axis):
    return tuple(range(x.ndim)) if axis is None else axis


def kept_type(x):
    return x.dtype if x.dtype != torch.bool else torch.int32


def multiplied(x, axis, keepdims):
    if axis is None:
        return torch.prod(x, dtype=kept_type(x)).reshape((1,) * x.ndim if keepdims else ())
    for one in sorted((a % x.ndim for a in (axis if isinstance(axis, (tuple, list)) else (axis,))), reverse=True):
        x = torch.prod(x, one, keepdims, dtype=kept_type(x))
    return x


sum = reduction(lambda x, axis, keepdims: torch.sum(x, axes_of(x, axis), keepdims, dtype=kept_type(x)))
mean = reduction(lambda x, axis, keepdims: torch.mean(x, axes_of(x, axis), keepdims), floating)
max = reduction(lambda x, axis, keepdims: torch.amax(x, axes_of(x, axis), keepdims))
min = reduction(lambda x, axis, keepdims: torch.amin(x, axes_of(x, axis), keepdims))
prod = reduction(multiplied)
var = reduction(lambda x, axis, keepdims: torch.var(x, axes_of(x, axis), correction=0, keepdim=keepdims), floating)
std = reduction(lambda x, axis, keepdims: torch.std(x, axes_of(x, axis), correction=0, keepdim=keepdims), floating)
logsumexp = reduction(lambda x, axis, keepdims: torch.logsumexp(x, axes_of(x, axis), keepdims), floating)
norm = reduction(lambda x, axis, keepdims: torch.linalg.vector_norm(x, 2, axes_of(x, axis), keepdims), floating)
all = reduction(lambda x, axis, keepdims: torch.all(x, axes_of(x, axis), keepdims))
any = reduction(lambda x, axis, keepdims: torch.any(x, axes_of(x, axis), keepdims))


def argmax(x, axis=-1):
    return torch.argmax(tensor(x), axis).to(torch.int32)


def argmin(x, axis=-1):
    return torch.argmin(tensor(x), axis).to(torch.int32)


def cumsum(x, axis=0):
    x = tensor(x)
    return torch.cumsum(x, axis, dtype=x.dtype)


def cumprod(x, axis=0):
    x = tensor(x)
    return torch.cumprod(x, axis, dtype=x.dtype)


# ---- linear algebra

matmul = binary(torch.matmul)
outer = binary(torch.outer)


def tensordot(x1, x2, axes=2):
    return torch.tensordot(*pair(x1, x2), axes)


def einsum(subscripts, *operands):
    return torch.einsum(subscripts, *(tensor(x) for x in operands))


# ---- comparison

equal = binary(torch.eq)
not_equal = binary(torch.ne)
greater = binary(torch.gt)
greater_equal = binary(torch.ge)
less = binary(torch.lt)
less_equal = binary(torch.le)
logical_and = binary(torch.logical_and)
logical_or = binary(torch.logical_or)
logical_not = unary(torch.logical_not)
isnan = unary(torch.isnan)
isinf = unary(torch.isinf)
isfinite = unary(torch.isfinite)


def where(condition, x1, x2):
    if type(x2) is float and isinstance(x1, torch.Tensor) and x1.dtype in REALS:  # as masks have it
        return torch.where(tensor(condition), x1, x2)
    return torch.where(tensor(condition), *pair(x1, x2))


# ---- indexing


def take(x, indices, axis=0):
    x, indices = tensor(x), tensor(indices)
    if indices.ndim == 1:
        return torch.index_select(x, axis, indices)
    flat = torch.index_select(x, axis, indices.reshape(-1))
    axis %= x.ndim
    return flat.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def take_along_axis(x, indices, axis=-1):
    return torch.take_along_dim(tensor(x), tensor(indices).long(), axis)


BAGS = WeakIdKeyDictionary()  # by the tensor of segment ids: see bags


class Bags:
    """Segments as bags of rows for `torch.embedding_bag`, with several copies of the segments one after the other."""

    def __init__(self, ids, count, copies):
        copy, rows, segments = (torch.arange(n, device=ids.device) for n in (copies, len(ids), count))
        copy, own = copy[:, None], torch.argsort(ids, stable=True)
        begins = torch.searchsorted(ids[own], segments)
        self.rows, self.begins = own.repeat(copies), (begins + len(ids) * copy).reshape(-1)
        self.order = (own + len(ids) * copy).reshape(-1)  # of the rows of all copies
        # The other way round, each row has a bag with the copies of its segment.
        self.rows_of_all, self.copies = rows.repeat(copies), (ids + count * copy).reshape(-1)
        self.copies_by_row, self.begins_by_row = (ids + count * copy).T.reshape(-1), copies * rows


def bags(ids, count, copies=1):
    known, key = BAGS.setdefault(ids, {}), (count, copies, ids._version)
    if key not in known:
        known[key] = Bags(ids.long(), count, copies)
    return known[key]


def sums_as_bags(data, ids):
    # Sums of embeddings take a quarter of the time of index_add on a CPU; their own gradients would not. On CUDA a run
    # waits for the launches of kernels, and they take one; and unlike index_add they add in the same order every time.
    return (
        data.device.type in ("cpu", "cuda")
        and data.dtype in (torch.float32, torch.float64)
        and data.ndim == 2
        and type(ids) is torch.Tensor
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not (torch.is_grad_enabled() and data.requires_grad)
        and not torch._C._are_functorch_transforms_active()
    )


def segment_sum(data, segment_ids, num_segments, sorted=False):
    data, ids = tensor(data), tensor(segment_ids, data.device)
    if sums_as_bags(data, ids):
        found = bags(ids, num_segments)
        return torch.embedding_bag(data, found.rows, found.begins, False, 0)[0]
    return data.new_zeros((num_segments, *data.shape[1:])).index_add(0, ids, data)


def sparse_matrices(weights, rows, count, sorted=False):
    if torch.is_grad_enabled() or not sums_as_bags(weights, rows):
        return COMPOSITES["sparse_matrices"](weights, rows, count, sorted)
    copies = len(weights)
    found, by_row = bags(rows, count, copies), weights.T.reshape(-1)
    in_order = weights.reshape(-1)[found.order]
    bag, dots = torch.embedding_bag, torch.ops.aten._embedding_bag_per_sample_weights_backward

    def product(x):
        return bag(x, found.rows, found.begins, False, 0, False, in_order)[0].view(copies, count, x.shape[1])

    def transposed(y):
        return bag(y.flatten(0, 1), found.copies_by_row, found.begins_by_row, False, 0, False, by_row)[0]

    def gradient(x, upstream):
        return dots(upstream.flatten(0, 1), x, found.rows_of_all, found.begins, found.copies, 0).view(weights.shape)

    return SparseMatrices(product, transposed, gradient)


def sigmoid_gradient(s, upstream):
    return torch.ops.aten.sigmoid_backward(upstream, s)


def one_hot(x, num_classes, dtype="float32"):
    x = tensor(x)
    return (x[..., None] == torch.arange(num_classes, device=x.device)).to(native_dtype(dtype))


def slice(inputs, start_indices, shape):
    return tensor(inputs)[common.block(start_indices, shape)]


def slice_update(inputs, start_indices, updates):
    inputs = tensor(inputs)
    out = inputs.clone()
    out[common.block(start_indices, np.shape(updates))] = beside(inputs, updates) if not is_tensor(updates) else updates
    return out


def sort(x, axis=-1):
    return torch.sort(tensor(x), axis).values


def argsort(x, axis=-1):
    return torch.argsort(tensor(x), dim=axis, stable=True).to(torch.int32)


def searchsorted(sorted_sequence, values, side="left"):
    return torch.searchsorted(tensor(sorted_sequence), tensor(values), side=side, out_int32=True)


# ---- activations

relu = unary(torch.relu)


def non_negative(x):
    # Without gradients, going by way of a backward pass takes as long as the rest of a step of a stream.
    return COMPOSITES["non_negative"](x) if torch.is_grad_enabled() else relu(x)


sigmoid = real(torch.sigmoid)
softplus = real(lambda x: torch.logaddexp(x, torch.zeros_like(x)))  # torch's own is linear above 20
silu = real(torch.nn.functional.silu)


def gelu(x, approximate=True):
    return torch.nn.functional.gelu(floating(x), approximate="tanh" if approximate else "none")


def elu(x, alpha=1.0):
    return torch.nn.functional.elu(floating(x), alpha)


def leaky_relu(x, negative_slope=0.2):
    return torch.nn.functional.leaky_relu(floating(x), negative_slope)


def softmax(x, axis=-1):
    return torch.softmax(floating(x), axis)


def log_softmax(x, axis=-1):
    return torch.log_softmax(floating(x), axis)
