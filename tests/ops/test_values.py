"""Values, types and gradients of every op against NumPy in float64."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest

import ncps
from ncps import ops, tree
from ncps.ops.dispatch import PRIMITIVES

rng = np.random.default_rng(0)


def away_from_integers(*shape):
    return np.float32(rng.choice(np.arange(-3, 3), shape) + rng.uniform(0.1, 0.9, shape))


A = away_from_integers(3, 4)
B = away_from_integers(3, 4)
ROW = away_from_integers(4)
POSITIVE = np.float32(rng.uniform(0.3, 3.0, (3, 4)))
UNIT = np.float32(rng.uniform(-0.9, 0.9, (3, 4)))
CUBE = away_from_integers(2, 3, 4)
SQUARE = away_from_integers(2, 3, 3)
DISTINCT = np.float32(rng.permutation(12).reshape(3, 4) * 0.37 - 2)
INTS = np.int32([[3, -2, 0, 5], [-7, 4, 1, -1]])
SMALL = np.int32([[1, 2, 3, 2], [2, 1, 3, 1]])
BOOLS = np.array([[True, False, True, True], [False, False, True, False]])
ONE = np.float32(rng.normal(size=(1, 3, 1)))
SPECIAL = np.float32([np.nan, np.inf, -np.inf, 0.0, 1.0])
LARGE = np.float32([-500.0, -60.0, 0.25, 60.0, 500.0])
TIES = np.float32([[2, 1, 2, 1], [3, 3, 0, 0]])


class Case(NamedTuple):
    op: str
    args: tuple[Any, ...]
    reference: Any  # in float64
    kwargs: dict[str, Any]
    dtype: str
    grad: bool

    def __str__(self):
        what = [str(x.dtype) + str(list(x.shape)) if isinstance(x, np.ndarray) else type(x).__name__ for x in self.args]
        return f"{self.op}({', '.join(what + [f'{k}={v}' for k, v in self.kwargs.items()])})"


def smooth(op, *args, ref=None, **kwargs):
    return Case(op, args, ref or getattr(np, op), kwargs, "float32", True)


def flat(op, *args, ref=None, dtype="float32", **kwargs):
    return Case(op, args, ref or getattr(np, op), kwargs, dtype, False)


def log_sum_exp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis, keepdims=keepdims))


def softmax(x, axis=-1):
    return np.exp(x) / np.sum(np.exp(x), axis, keepdims=True)


def logistic(x):
    return np.where(x > 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def norm(x, axis=None, keepdims=False):
    return np.sqrt(np.sum(x * x, axis, keepdims=keepdims))


def erf(x):
    return np.vectorize(math.erf)(x)


def gelu(x, approximate=True):
    if approximate:
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def leaky(x, negative_slope=0.2):
    return np.where(x > 0, x, negative_slope * x)


def sums(data, segment_ids, num_segments, sorted=False):  # noqa: A002 - the name of the op's argument
    out = np.zeros((num_segments, *data.shape[1:]))
    np.add.at(out, segment_ids, data)
    return out


def hot(x, num_classes, dtype="float32"):
    return np.eye(num_classes)[x]


def block(x, start_indices, shape):
    return x[tuple(slice(i, i + n) for i, n in zip(start_indices, shape, strict=True))]


def updated(x, start_indices, updates):
    out = x.copy()
    out[tuple(slice(i, i + n) for i, n in zip(start_indices, updates.shape, strict=True))] = updates
    return out


def triangle(function):
    return lambda x, k=0: function(x, k)


def split(x, indices_or_sections, axis=0):
    return np.split(x, indices_or_sections, axis)


def typed(function):
    return function


REAL = {
    "sqrt": (POSITIVE, np.sqrt),
    "rsqrt": (POSITIVE, lambda x: 1 / np.sqrt(x)),
    "reciprocal": (A, lambda x: 1 / x),
    "exp": (A, np.exp),
    "expm1": (A, np.expm1),
    "log": (POSITIVE, np.log),
    "log1p": (POSITIVE, np.log1p),
    "sin": (A, np.sin),
    "cos": (A, np.cos),
    "tan": (UNIT, np.tan),
    "arctan": (A, np.arctan),
    "sinh": (A, np.sinh),
    "cosh": (A, np.cosh),
    "tanh": (A, np.tanh),
    "erf": (A, erf),
    "sigmoid": (A, logistic),
    "softplus": (A, lambda x: np.logaddexp(x, 0)),
    "silu": (A, lambda x: x * logistic(x)),
    "gelu": (A, gelu),
    "elu": (A, elu),
    "leaky_relu": (A, leaky),
    "lecun_tanh": (A, lambda x: 1.7159 * np.tanh(0.666 * x)),
}
KEPT = {
    "negative": np.negative,
    "absolute": np.abs,
    "sign": np.sign,
    "square": np.square,
    "relu": lambda x: np.maximum(x, 0),
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.round,
}
ARITHMETIC = ("add", "subtract", "multiply", "maximum", "minimum")
REDUCTIONS = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "prod": np.prod,
    "var": np.var,
    "std": np.std,
    "logsumexp": log_sum_exp,
    "norm": norm,
}
COMPARISONS = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")

CASES = [
    # creation
    flat("zeros", (2, 3), ref=typed(np.zeros)),
    flat("zeros", [2, 0], ref=typed(np.zeros)),
    flat("ones", (2, 3), ref=typed(np.ones)),
    flat("full", (2, 3), 1.5, ref=typed(np.full)),
    smooth("copy", A),
    flat("zeros_like", A),
    flat("zeros_like", INTS, dtype="int32"),
    flat("ones_like", A),
    flat("full_like", A, 2.5),
    flat("arange", 5, dtype="int32"),
    flat("arange", 2, 9, 3, dtype="int32"),
    flat("arange", 5, 0, -2, dtype="int32"),
    flat("arange", 0.0, 1.0, 0.25),
    flat("arange", 2.5),
    flat("linspace", -1.0, 2.0, 7, ref=np.linspace),
    flat("linspace", -1, 2, 1, ref=np.linspace),
    flat("eye", 3),
    flat("eye", 2, 4),
    # shapes
    smooth("reshape", A, (2, -1)),
    smooth("reshape", A, [12]),
    flat("reshape", INTS, (-1,), dtype="int32"),
    smooth("transpose", CUBE),
    smooth("transpose", CUBE, (1, 2, 0)),
    smooth("swapaxes", CUBE, 0, -1),
    smooth("moveaxis", CUBE, 0, -1),
    smooth("moveaxis", CUBE, -1, 0),
    smooth("expand_dims", A, 0),
    smooth("expand_dims", A, -1),
    smooth("squeeze", ONE),
    smooth("squeeze", ONE, 0),
    smooth("squeeze", ONE, -1),
    smooth("broadcast_to", ROW, (3, 4)),
    smooth("broadcast_to", ONE, (2, 3, 2)),
    smooth("tile", A, (2, 1)),
    smooth("tile", ROW, (2,)),
    smooth("repeat", A, 2),
    smooth("repeat", A, 3, -1),
    smooth("repeat", A, 2, 0),
    smooth("flip", A),
    smooth("flip", A, -1),
    smooth("flip", A, 0),
    smooth("pad", A, ((1, 0), (0, 2)), ref=np.pad),
    smooth("pad", A, [[0, 1], [2, 0]], constant_values=1.5, ref=np.pad),
    flat("pad", INTS, ((0, 1), (1, 0)), constant_values=7, ref=np.pad, dtype="int32"),
    smooth("roll", A, 2),
    smooth("roll", A, -1, 1),
    smooth("roll", A, 5, 0),
    smooth("diagonal", SQUARE, ref=lambda x: np.diagonal(x, axis1=-2, axis2=-1)),
    smooth("diagonal", CUBE, ref=lambda x: np.diagonal(x, axis1=-2, axis2=-1)),
    smooth("triu", CUBE, ref=triangle(np.triu)),
    smooth("triu", A, k=1),
    smooth("tril", CUBE, k=-1),
    smooth("tril", A),
    smooth("concatenate", [A, B]),
    smooth("concatenate", [CUBE, CUBE[..., :2]], -1),
    flat("concatenate", [INTS, SMALL], axis=1, dtype="int32"),
    flat("concatenate", [A[:0], B]),
    smooth("stack", [A, B]),
    smooth("stack", [A, B], -1),
    smooth("stack", [A, B], axis=1),
    smooth("unstack", A, ref=list),
    smooth("unstack", A, axis=-1, ref=lambda x, axis: list(np.moveaxis(x, axis, 0))),
    smooth("split", A, 2, axis=-1, ref=split),
    smooth("split", A, [1], ref=split),
    smooth("split", CUBE, (1, 3), 2, ref=split),
    # arithmetic
    *(smooth(op, x, ref=ref) for op, (x, ref) in REAL.items()),
    *(flat(op, SMALL, ref=ref) for op, (_, ref) in REAL.items() if op != "lecun_tanh"),
    *(smooth(op, A, ref=ref) for op, ref in KEPT.items()),
    *(flat(op, INTS, ref=ref, dtype="int32") for op, ref in KEPT.items()),
    flat("round", np.float32([0.5, 1.5, 2.5, -0.5, -1.5])),
    flat("sign", np.float32([-2.0, 0.0, 3.0])),
    flat("sigmoid", LARGE, ref=logistic),
    flat("softplus", LARGE, ref=lambda x: np.logaddexp(x, 0)),
    flat("silu", LARGE, ref=lambda x: x * logistic(x)),
    flat("tanh", LARGE),
    smooth("gelu", A, approximate=False, ref=gelu),
    smooth("elu", A, alpha=0.5, ref=elu),
    smooth("leaky_relu", A, negative_slope=0.1, ref=leaky),
    smooth("softmax", A, ref=softmax),
    smooth("softmax", CUBE, axis=1, ref=softmax),
    flat("softmax", SMALL, ref=softmax),
    smooth("log_softmax", A, ref=lambda x: x - log_sum_exp(x, -1, True)),
    smooth("log_softmax", A, axis=0, ref=lambda x, axis: x - log_sum_exp(x, axis, True)),
    flat("non_negative", np.float32([-1.0, 0.0, 2.0]), ref=lambda x: np.maximum(x, 0)),
    *(smooth(op, A, B) for op in ARITHMETIC),
    *(smooth(op, CUBE, ROW) for op in ARITHMETIC),
    *(smooth(op, A, 1.25) for op in ARITHMETIC),
    *(smooth(op, 2, A) for op in ARITHMETIC),
    *(smooth(op, A, np.float64(1.25)) for op in ARITHMETIC),
    *(flat(op, INTS, SMALL, dtype="int32") for op in ARITHMETIC),
    *(flat(op, INTS, 2, dtype="int32") for op in ARITHMETIC),
    *(flat(op, INTS, 1.5) for op in ARITHMETIC),
    *(flat(op, A[:2], INTS) for op in ARITHMETIC),
    *(flat(op, INTS, A[:2]) for op in ARITHMETIC),
    *(flat(op, BOOLS, A[:2]) for op in ("add", "multiply")),
    *(flat(op, INTS, BOOLS, dtype="int32") for op in ("add", "multiply")),
    flat("add", BOOLS, 2, dtype="int32"),
    flat("add", 1.0, 2.0),
    flat("add", 1, 2, dtype="int32"),
    flat("add", np.float32([]), 1.0),
    smooth("divide", A, POSITIVE),
    smooth("divide", 2, A),
    smooth("divide", A, 4),
    flat("divide", INTS, SMALL),
    flat("divide", INTS, 2),
    flat("floor_divide", A, B),
    flat("floor_divide", A, 0.7),
    flat("floor_divide", INTS, SMALL, dtype="int32"),
    flat("floor_divide", INTS, -2, dtype="int32"),
    flat("mod", A, B),
    flat("mod", A, 0.7),
    flat("mod", A, -1.5),
    flat("mod", INTS, SMALL, dtype="int32"),
    flat("mod", INTS, -3, dtype="int32"),
    smooth("power", POSITIVE, A),
    smooth("power", POSITIVE, 1.7),
    smooth("power", A, 2),
    smooth("power", A, 3.0),
    smooth("power", 2.0, A),
    flat("power", INTS, 2, dtype="int32"),
    flat("power", INTS, SMALL, dtype="int32"),
    smooth("clip", A, -1.0, 1.0),
    smooth("clip", A, 0, 2),
    smooth("clip", A, np.float32(-0.5), ROW * ROW),
    flat("clip", INTS, 0, 3, dtype="int32"),
    # reductions
    *(smooth(op, CUBE, ref=ref) for op, ref in REDUCTIONS.items()),
    *(smooth(op, CUBE, axis=-1, ref=ref) for op, ref in REDUCTIONS.items()),
    *(smooth(op, CUBE, axis=0, keepdims=True, ref=ref) for op, ref in REDUCTIONS.items()),
    *(smooth(op, CUBE, (0, -1), ref=ref) for op, ref in REDUCTIONS.items()),
    *(flat(op, CUBE, axis=None, keepdims=True, ref=ref) for op, ref in REDUCTIONS.items()),
    *(
        flat(
            op, CUBE, axis=[0, 1], keepdims=True, ref=lambda x, axis, keepdims, f=ref: f(x, tuple(axis), keepdims=True)
        )
        for op, ref in REDUCTIONS.items()
    ),
    *(flat(op, SMALL, axis=1, ref=REDUCTIONS[op], dtype="int32") for op in ("sum", "max", "min", "prod")),
    *(flat(op, np.int64(SMALL), axis=1, ref=REDUCTIONS[op], dtype="int64") for op in ("sum", "max", "min", "prod")),
    *(flat(op, np.int8(SMALL), axis=1, ref=REDUCTIONS[op], dtype="int8") for op in ("sum", "prod")),
    *(flat(op, SMALL, axis=1, ref=REDUCTIONS[op]) for op in ("mean", "var", "std", "logsumexp", "norm")),
    flat("sum", BOOLS, axis=0, dtype="int32"),
    flat("sum", BOOLS, dtype="int32"),
    flat("mean", BOOLS, axis=0),
    flat("sum", A[:0], axis=0),
    flat("prod", A[:0], axis=0),
    flat("logsumexp", np.float32([[-np.inf, -np.inf], [0.0, -np.inf]]), axis=1, ref=lambda x, axis: x.max(axis)),
    flat("logsumexp", LARGE, ref=lambda x: np.float64(500)),
    *(flat(op, BOOLS, dtype="bool") for op in ("all", "any")),
    *(flat(op, BOOLS, axis=-1, dtype="bool") for op in ("all", "any")),
    *(flat(op, BOOLS, axis=(0, 1), keepdims=True, dtype="bool") for op in ("all", "any")),
    *(
        flat(op, x, axis=axis, dtype="int32")
        for op in ("argmax", "argmin")
        for x, axis in ((A, 0), (TIES, 1), (INTS, -1))
    ),
    flat("argmax", A, dtype="int32", ref=lambda x: np.argmax(x, -1)),
    smooth("cumsum", CUBE, ref=lambda x: np.cumsum(x, 0)),
    smooth("cumsum", CUBE, axis=-1),
    flat("cumsum", INTS, axis=1, dtype="int32"),
    smooth("cumprod", CUBE, ref=lambda x: np.cumprod(x, 0)),
    smooth("cumprod", CUBE, axis=-1),
    flat("cumprod", SMALL, axis=-1, dtype="int32"),
    # linear algebra
    smooth("matmul", A, B.T),
    smooth("matmul", CUBE, A.T),
    smooth("matmul", SQUARE, CUBE),
    smooth("matmul", A, ROW),
    smooth("outer", ROW, UNIT[0]),
    smooth("tensordot", CUBE, B),
    smooth("tensordot", A, B.T, axes=1),
    smooth("einsum", "ij,ij->i", A, B),
    smooth("einsum", "bij,kj->bik", CUBE, A),
    smooth("einsum", "bii->b", SQUARE),
    # comparison
    *(flat(op, SMALL, 2, dtype="bool") for op in COMPARISONS),
    *(flat(op, A, ROW, dtype="bool") for op in COMPARISONS),
    *(flat(op, A, 0.25, dtype="bool") for op in COMPARISONS),
    *(flat(op, 2, SMALL, dtype="bool") for op in COMPARISONS),
    flat("logical_and", BOOLS, ~BOOLS[::-1], dtype="bool"),
    flat("logical_or", BOOLS, ~BOOLS[::-1], dtype="bool"),
    flat("logical_and", BOOLS, True, dtype="bool"),
    flat("logical_or", INTS, SMALL - 1, dtype="bool"),
    flat("logical_not", BOOLS, dtype="bool"),
    flat("logical_not", INTS, dtype="bool"),
    *(flat(op, SPECIAL, dtype="bool") for op in ("isnan", "isinf", "isfinite")),
    *(flat(op, INTS, dtype="bool") for op in ("isnan", "isinf", "isfinite")),
    smooth("where", A > 0, A, B),
    smooth("where", A > 0, A, 0.0),
    smooth("where", A > 0, 1, B),
    smooth("where", ROW > 0, CUBE, ROW),
    flat("where", BOOLS, INTS, 0, dtype="int32"),
    flat("where", BOOLS, 1.0, 2.0),
    flat("where", BOOLS, INTS, A[:2]),
    # indexing
    smooth("take", A, np.int32([2, 0, 2]), ref=lambda x, i: np.take(x, i, 0)),
    smooth("take", CUBE, np.int32([[3, 0], [1, 1]]), axis=-1),
    smooth("take", CUBE, np.int32([[2], [0]]), axis=1),
    smooth("take", A, 1, axis=1),
    flat("take", A, np.int32([]), axis=1),
    flat("take", INTS, np.int64([1, 0]), axis=0, dtype="int32"),
    smooth("take_along_axis", A, np.int32([[1, 1], [0, 3], [2, 0]]), ref=lambda x, i: np.take_along_axis(x, i, -1)),
    smooth("take_along_axis", A, np.int32([[1, 2, 0, 0]]), axis=0),
    smooth("segment_sum", CUBE, np.int32([2, 0]), 4, ref=sums),
    smooth("segment_sum", A, np.int32([1, 0, 1]), 3, ref=sums),
    smooth("segment_sum", A, np.int32([1, 1, 3]), 5, sorted=True, ref=sums),
    smooth("segment_sum", A[:, 0], np.int64([0, 2, 2]), 3, sorted=True, ref=sums),
    flat("segment_sum", A[:0], np.int32([]), 2, ref=sums),
    flat("segment_sum", A[:0], np.int32([]), 2, sorted=True, ref=sums),
    flat("segment_sum", INTS, np.int32([1, 1]), 2, ref=sums, dtype="int32"),
    flat("one_hot", np.int32([[1, 0], [2, 3]]), 4, ref=hot),
    flat("one_hot", np.int64(2), 3, ref=hot),
    smooth("slice", CUBE, (0, 1, 2), (2, 2, 1), ref=block),
    flat("slice", INTS, [1, 0], [1, 4], ref=block, dtype="int32"),
    smooth("slice_update", A, (1, 2), B[:2, :2], ref=updated),
    smooth("slice_update", CUBE, [0, 1, 0], CUBE[:1, :2] * 2, ref=updated),
    flat("slice_update", INTS, (0, 1), SMALL[:, 1:3], ref=updated, dtype="int32"),
    smooth("sort", DISTINCT),
    smooth("sort", DISTINCT, axis=0),
    flat("sort", INTS, axis=-1, dtype="int32"),
    flat("argsort", DISTINCT, axis=0, dtype="int32"),
    flat("argsort", TIES, dtype="int32", ref=lambda x: np.argsort(x, -1, stable=True)),
    flat("searchsorted", np.float32([0, 1, 1, 3]), np.float32([-1, 1, 2, 5]), dtype="int32"),
    flat("searchsorted", np.float32([0, 1, 1, 3]), np.float32([1, 3]), side="right", dtype="int32"),
    flat("searchsorted", np.int32([0, 2, 4]), np.int32([[2, 1], [9, 0]]), dtype="int32"),
    # gradients stop
    flat("stop_gradient", A, ref=lambda x: x),
]

ELSEWHERE = {
    # below
    "convert_to_tensor", "convert_to_numpy", "is_tensor", "shape", "dtype", "cast", "device", "to_device",
    # test_control.py
    "scan", "associative_scan", "cond", "while_loop", "fori_loop", "vectorized_map", "checkpoint", "custom_gradient",
    "value_and_grad",
}  # fmt: skip


def test_the_table_has_every_op():
    covered = {case.op for case in CASES} | ELSEWHERE | {name for name in PRIMITIVES if name.startswith("random_")}
    assert set(PRIMITIVES) - covered == set()


def native(x):
    return tree.map(lambda leaf: ops.convert_to_tensor(leaf) if isinstance(leaf, np.ndarray) else leaf, x)


def exact(x):
    """The same in float64, and in Python's own numbers for types."""

    def widened(leaf):
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f":
            return leaf.astype(np.float64)
        return leaf

    return tree.map(widened, x)


def numbers(result):
    """The tensors of a result, in NumPy."""
    return [ops.convert_to_numpy(x) for x in (result if isinstance(result, (list, tuple)) else [result])]


def expected(case, args):
    result = case.reference(*exact(args), **case.kwargs)
    return result if isinstance(result, list) else [result]


def dtype_here(name, framework):
    """64-bit integers are 32 bits wide on jax, unless it is told otherwise."""
    return "int32" if name == "int64" and framework == "jax" else name


@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_and_type(backend, framework, case):
    references = expected(case, case.args)
    for args in (native(case.args), case.args):  # tensors, and NumPy arrays
        result = getattr(ops, case.op)(*args, **case.kwargs)
        results = result if isinstance(result, list) else [result]
        assert all(ops.is_tensor(x) for x in results)
        assert {ops.dtype(x) for x in results} == {dtype_here(case.dtype, framework)}
        assert len(results) == len(references)
        for got, wanted in zip(numbers(results), references, strict=True):
            assert got.shape == np.shape(wanted)
            np.testing.assert_allclose(got, np.asarray(wanted, np.float64), rtol=2e-5, atol=2e-6)


def floats_of(args):
    leaves, structure = tree.flatten(args)
    where = [i for i, leaf in enumerate(leaves) if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f"]
    return leaves, structure, where


def central_differences(function, xs, step=1e-5):
    gradients = []
    for which, x in enumerate(xs):
        gradient = np.zeros(x.shape)
        for index in np.ndindex(x.shape):
            sides = []
            for sign in (1, -1):
                moved = [np.array(other) for other in xs]
                moved[which][index] += sign * step
                sides.append(function(moved))
            gradient[index] = (sides[0] - sides[1]) / (2 * step)
        gradients.append(gradient)
    return gradients


SMOOTH = [case for case in CASES if case.grad]


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_gradient(differentiable, case):
    leaves, structure, where = floats_of(case.args)
    weights = [np.random.default_rng(1).normal(size=np.shape(x)) for x in expected(case, case.args)]

    def filled(xs):
        values = dict(zip(where, xs, strict=True))
        return tree.unflatten(structure, [values.get(i, leaf) for i, leaf in enumerate(leaves)])

    def reference(xs):
        result = case.reference(*filled(xs), **case.kwargs)
        results = result if isinstance(result, list) else [result]
        return sum(float(np.sum(x * w)) for x, w in zip(results, weights, strict=True))

    def loss(xs):
        result = getattr(ops, case.op)(*filled(xs), **case.kwargs)
        results = result if isinstance(result, list) else [result]
        total = 0.0
        for x, w in zip(results, weights, strict=True):
            total = ops.add(total, ops.sum(x * ops.convert_to_tensor(np.float32(w))))
        return total

    value, found = ops.value_and_grad(loss)([ops.convert_to_tensor(leaves[i]) for i in where])
    exact_xs = [leaves[i].astype(np.float64) for i in where]
    np.testing.assert_allclose(ops.convert_to_numpy(value), reference(exact_xs), rtol=1e-4, atol=1e-4)
    for got, wanted in zip(found, central_differences(reference, exact_xs), strict=True):
        assert ops.dtype(got) == "float32"
        scale = max(1.0, float(np.abs(wanted).max(initial=0)))
        np.testing.assert_allclose(ops.convert_to_numpy(got), wanted, rtol=1e-3, atol=2e-5 * scale)


NARROW = ("float16", "bfloat16", "float32", "float64")
BESIDE_NUMBERS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "floor_divide": np.floor_divide,
    "mod": np.mod,
    "power": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
}
WITH_NUMBERS = {
    "clip": (lambda x: ops.clip(x, 0.25, 1), lambda x: np.clip(x, 0.25, 1)),
    "where": (lambda x: ops.where(x > 1, x, 0.5), lambda x: np.where(x > 1, x, 0.5)),
    "leaky_relu": (lambda x: ops.leaky_relu(-x, 0.25), lambda x: leaky(-x, 0.25)),
    "elu": (lambda x: ops.elu(-x, 0.5), lambda x: elu(-x, 0.5)),
    "gelu": (ops.gelu, gelu),
    "gelu exact": (lambda x: ops.gelu(x, False), lambda x: gelu(x, False)),
    "sigmoid": (ops.sigmoid, logistic),
    "softplus": (ops.softplus, lambda x: np.logaddexp(x, 0)),
    "softmax": (ops.softmax, softmax),
    "log_softmax": (ops.log_softmax, lambda x: np.log(softmax(x))),
    "non_negative": (ops.non_negative, lambda x: x),
    "mean": (lambda x: ops.mean(x, -1), lambda x: np.mean(x, -1)),
    "sum": (lambda x: ops.sum(x, -1), lambda x: np.sum(x, -1)),
    "var": (lambda x: ops.var(x, -1), lambda x: np.var(x, -1)),
    "logsumexp": (lambda x: ops.logsumexp(x, -1), lambda x: log_sum_exp(x, -1)),
    "norm": (lambda x: ops.norm(x, -1), lambda x: norm(x, -1)),
    "rsqrt": (ops.rsqrt, lambda x: 1 / np.sqrt(x)),
    "erf": (ops.erf, erf),
    "pad": (lambda x: ops.pad(x, ((1, 0),), 1.5), lambda x: np.pad(x, ((1, 0),), constant_values=1.5)),
    "full_like": (lambda x: ops.full_like(x, 1.5), lambda x: np.full_like(x, 1.5)),
}
TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 2e-5, "float64": 1e-9}


def values_of(dtype):
    """Tensors of a type; float64 must be had exactly, or not at all."""
    return ops.convert_to_tensor(np.array([0.5, 1.75, 3.0]), dtype)


@pytest.fixture
def has_type(framework):
    def check(dtype):
        if dtype == "float64" and framework == "jax":
            with pytest.raises(ValueError, match="jax_enable_x64"):
                values_of(dtype)
            pytest.skip("jax has float64 only with jax_enable_x64; the error is what was tested")

    return check


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("number", [2, 1.25])
@pytest.mark.parametrize("op", BESIDE_NUMBERS)
def test_python_numbers_keep_the_type(backend, has_type, op, number, dtype):
    has_type(dtype)
    x, exact_x = values_of(dtype), np.array([0.5, 1.75, 3.0])
    for got, wanted in (
        (getattr(ops, op)(x, number), BESIDE_NUMBERS[op](exact_x, number)),
        (getattr(ops, op)(number, x), BESIDE_NUMBERS[op](number, exact_x)),
    ):
        assert ops.dtype(got) == dtype
        got = ops.convert_to_numpy(got).astype(np.float64)
        np.testing.assert_allclose(got, wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("op", WITH_NUMBERS)
def test_ops_keep_the_type(backend, has_type, op, dtype):
    has_type(dtype)
    function, reference = WITH_NUMBERS[op]
    got = function(values_of(dtype))
    assert ops.dtype(got) == dtype
    wanted = reference(np.array([0.5, 1.75, 3.0]))
    got = ops.convert_to_numpy(got).astype(np.float64)
    # mlx computes some functions of float64 in float32
    tolerance = TOLERANCE["float32" if backend == "mlx" and dtype == "float64" else dtype]
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


def test_numbers_keep_their_digits_on_the_way_to_a_type(backend, framework):
    """Python numbers become float32 and int32 by themselves, but not on the way to a wider type."""
    if framework == "jax":
        pytest.skip("has neither, unless told so")
    for convert in (ops.convert_to_tensor, ops.cast):
        assert float(ops.convert_to_numpy(convert(0.1, "float64"))) == 0.1
        assert ops.convert_to_numpy(convert([0.1, 2], "float64")).tolist() == [0.1, 2.0]
        assert ops.convert_to_numpy(convert([2**40], "int64")).tolist() == [2**40]


@pytest.mark.parametrize("dtype", ["float64", "int64"])
@pytest.mark.parametrize("make", [
    lambda dtype: ops.zeros((2,), dtype),
    lambda dtype: ops.arange(3, dtype=dtype),
    lambda dtype: ops.cast(ops.ones((2,)), dtype),
    lambda dtype: ops.ones_like(ops.ones((2,)), dtype),
    lambda dtype: ops.convert_to_tensor([1, 2], dtype),
], ids=["zeros", "arange", "cast", "ones_like", "convert_to_tensor"])  # fmt: skip
def test_wide_types_are_made_or_refused(backend, framework, make, dtype):
    if framework == "jax":
        with pytest.raises(ValueError, match="jax_enable_x64"):
            make(dtype)
    else:
        assert ops.dtype(make(dtype)) == dtype


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int8", "uint8", "int16", "int32", "bool"])
def test_types_by_name(backend, dtype):
    x = ops.cast(ops.convert_to_tensor([0, 1, 3]), dtype)
    assert ops.dtype(x) == dtype
    got = ops.convert_to_numpy(x)
    assert got.dtype.name == dtype
    assert got.astype(np.float64).tolist() == ([0, 1, 1] if dtype == "bool" else [0, 1, 3])
    assert ops.dtype(ops.convert_to_tensor(got)) == dtype
    assert ops.dtype(ops.zeros((1,), dtype)) == ops.dtype(ops.zeros_like(x)) == dtype
    assert ops.dtype(ops.eye(2, dtype=dtype)) == ops.dtype(ops.full((2,), 1, dtype)) == dtype
    assert ops.dtype(ops.one_hot([1], 2, dtype)) == ops.dtype(ops.full_like(x, 1)) == dtype


def test_types_of_numpy_are_understood(backend):
    assert ops.dtype(ops.zeros((1,), np.float32)) == "float32"
    assert ops.dtype(ops.ones((1,), np.dtype("int32"))) == "int32"
    assert ops.dtype(ops.cast([1.5], np.int32)) == "int32"


def test_unknown_types_are_named(backend):
    with pytest.raises((ValueError, TypeError), match="float31"):
        ops.zeros((1,), "float31")


@pytest.mark.parametrize(("x", "dtype"), [
    (1.5, "float32"), (2, "int32"), (True, "bool"), ([1.0, 2.0], "float32"), ([[1], [2]], "int32"),
    ((1, 2.5), "float32"), ([True, False], "bool"), ([], "float32"), (np.float32([1]), "float32"),
    (np.int32(3), "int32"), (np.array([True]), "bool"), (np.float16([1]), "float16"),
    ([np.float32(1), np.float32(2)], "float32"),
])  # fmt: skip
def test_convert_to_tensor(backend, x, dtype):
    got = ops.convert_to_tensor(x)
    assert ops.is_tensor(got)
    assert ops.dtype(got) == dtype
    assert ops.shape(got) == np.shape(x)
    assert ops.convert_to_numpy(got).tolist() == np.asarray(x).tolist()


def test_conversion_of_arrays_in_odd_layouts(backend):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    frozen = x.copy()
    frozen.flags.writeable = False
    for odd in (x.T, x[::-1], x[:, ::2], np.asfortranarray(x), frozen, np.broadcast_to(x[0], (3, 4))):
        assert ops.convert_to_numpy(ops.convert_to_tensor(odd)).tolist() == odd.tolist()
        assert ops.convert_to_numpy(ops.tanh(odd)).shape == odd.shape


def test_is_tensor(backend):
    assert ops.is_tensor(ops.ones((2,)))
    assert not any(ops.is_tensor(x) for x in (1.0, [1.0], "x", None, object()))


def test_shape(backend):
    assert ops.shape(ops.zeros((2, 0, 3))) == (2, 0, 3)
    assert ops.shape(ops.convert_to_tensor(1.0)) == ()
    assert isinstance(ops.shape(ops.zeros((2,))), tuple)


def test_devices(backend):
    x = ops.ones((2,))
    here = ops.device(x)
    assert isinstance(here, str)
    assert isinstance(ops.device(), str)
    assert ops.convert_to_numpy(ops.to_device(x, here)).tolist() == [1, 1]
    moved = ops.to_device(x, "cpu")
    assert ops.device(moved).lower().strip("/").startswith(("cpu", "device:cpu", "job"))


@pytest.fixture
def foreign(framework):
    """A tensor of a framework that the backend knows nothing of."""
    if framework != "torch":
        return pytest.importorskip("torch").ones((2,))
    return pytest.importorskip("jax").numpy.ones((2,))


@pytest.mark.parametrize("use", [
    ops.convert_to_tensor,
    lambda x: ops.convert_to_tensor([x, x]),
    ops.tanh,
    lambda x: ops.add(ops.ones((2,)), x),
    lambda x: ops.multiply(x, ops.ones((2,))),
    lambda x: ops.add(x, 1.0),
    ops.sum,
    lambda x: ops.concatenate([ops.ones((2,)), x]),
    lambda x: ops.reshape(x, (1, 2)),
    lambda x: ops.where([True, False], x, 0.0),
    lambda x: ops.matmul(ops.ones((2, 2)), x),
    lambda x: ops.cast(x, "float16"),
    ops.softmax,
    lambda x: ops.random.dropout(x, 0.5, 1),
])  # fmt: skip
def test_tensors_of_other_frameworks_are_refused(backend, foreign, use):
    with pytest.raises(TypeError, match="Received"):
        use(foreign)


@pytest.mark.parametrize("x", ["text", None, object(), {1: 2}, ["a"]])
def test_what_holds_no_numbers_is_refused(backend, x):
    with pytest.raises(TypeError):
        ops.convert_to_tensor(x)


def test_unequal_sections_are_refused(backend):
    with pytest.raises(ValueError):  # noqa: PT011 - in the framework's words
        ops.split(ops.ones((3, 4)), 2)


def test_numpy_has_no_gradients():
    with ncps.backend_scope("numpy"), pytest.raises(ncps.errors.UnsupportedOperationError, match="torch, jax"):
        ops.value_and_grad(ops.sum)(np.ones(2))


@pytest.mark.parametrize("compiled", [None, True])
def test_a_block_goes_to_a_place_that_only_a_run_of_tensorflow_knows(compiled):
    tf = pytest.importorskip("tensorflow")

    @tf.function(jit_compile=compiled, autograph=False)
    def updated_at(row, inputs, updates):
        with ncps.backend_scope("tensorflow"), tf.GradientTape() as tape:
            tape.watch([inputs, updates])
            result = ops.slice_update(inputs, (row, 1), updates)
            total = tf.reduce_sum(result**2)
        return result, *tape.gradient(total, [inputs, updates])

    inputs, updates = np.float32([[1, 2, 3], [4, 5, 6]]), np.float32([[7, 8]])
    result, d_inputs, d_updates = updated_at(tf.constant(1), inputs, updates)
    np.testing.assert_array_equal(result, [[1, 2, 3], [4, 7, 8]])
    np.testing.assert_array_equal(d_inputs, [[2, 4, 6], [8, 0, 0]])
    np.testing.assert_array_equal(d_updates, [[14, 16]])
