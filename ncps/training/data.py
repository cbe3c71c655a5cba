"""Batches out of whatever holds the data: arrays, tuples and dictionaries of them, generators, frameworks' loaders."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, NamedTuple

import numpy as np

from ncps import tree
from ncps.seeds import generator_for

Tree = Any


class Batch(NamedTuple):
    """Inputs, targets and sample weights; the last two may be None."""

    x: Tree
    y: Tree = None
    sample_weight: Any = None

    def part(self, chosen: Any) -> Batch:
        """These of the samples."""
        return Batch(*(tree.map(lambda array: array[chosen], part) for part in self))


class Arrays:
    """Batches of rows of arrays.

    Args:
        x: an array (samples, ...), or a tuple, list or dictionary of some.
        y: targets, of any such structure, or None.
        sample_weight: (samples,) or (samples, T), or None.
        batch_size: rows of a batch; the last may have fewer.
        passes: gives the number of each pass, on which the order of its rows depends and on `ncps.set_seed`; None keeps
            the rows in order.
        class_weight: factor of each class, for targets that are numbers of classes or one-hot, see `class_weights`.

    Raises:
        ValueError: the lengths differ, or there are no rows.
    """

    def __init__(
        self,
        x: Tree,
        y: Tree = None,
        sample_weight: Any = None,
        batch_size: int | None = None,
        passes: Iterator[int] | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        self.data = Batch(*(tree.map(rows, part) for part in (x, y, sample_weight)))
        self.length = check_lengths(self.data)
        if class_weight:
            self.data = self.data._replace(sample_weight=class_weights(self.data.y, class_weight, self.data[2]))
        self.batch_size = 32 if batch_size is None else check_batch_size(batch_size)
        self.passes = passes

    @property
    def steps(self) -> int:
        """Number of batches."""
        return -(-self.length // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = None
        if self.passes is not None:
            order = generator_for(next(self.passes), "order of the samples").permutation(self.length)
        for start in range(0, self.length, self.batch_size):
            chosen = slice(start, start + self.batch_size)
            yield self.data.part(chosen if order is None else order[chosen])


class Batches:
    """Batches as a generator, a `torch.utils.data.DataLoader`, a `tf.data.Dataset` or any iterable gives them.

    Args:
        batches: gives ``x``, ``(x, y)`` or ``(x, y, sample_weight)``.
        steps: number of batches of a pass; None for all. At their end they begin again, except a generator.
        class_weight: factor of each class.
        goes_on: whether a pass of so many steps begins where the last one ended, and not with the first batch; a
            generator does in any case.

    Raises:
        ValueError: a pass finds no batch, or fewer than `steps`.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        steps: int | None = None,
        class_weight: Mapping[int, float] | None = None,
        goes_on: bool = False,
    ) -> None:
        self.batches, self.given, self.class_weight = batches, steps, class_weight
        self.goes_on = goes_on and steps is not None
        self.rest: Iterator[Any] | None = None

    @property
    def steps(self) -> int | None:
        """Number of batches, None if it will show."""
        if self.given or not isinstance(self.batches, Sized):
            return self.given
        try:
            return len(self.batches)
        except TypeError:  # what a Dataset or a DataLoader says where nobody knows
            return None

    def __iter__(self) -> Iterator[Batch]:
        once, count = isinstance(self.batches, Iterator), 0
        if self.rest is None or not self.goes_on:
            self.rest = iter(self.batches)
        while self.given is None or count < self.given:
            found = next(self.rest, END)
            if found is END and self.given and not once:
                self.rest = iter(self.batches)
                found = next(self.rest, END)
            if found is END:
                break
            count += 1
            yield self.batch(found)
        if count == 0 or (self.given and count < self.given):
            wanted, way_out = self.given or "at least one", "Look at what selected or loaded the data."
            if once:
                way_out = (
                    "A generator can be passed through once: give steps for which it has enough batches in all epochs, "
                    "or an iterable that can begin again."
                )
            raise ValueError(f"Expected {wanted} batches from the data. Received: {count}. {way_out}")

    def batch(self, found: Any) -> Batch:
        """The batch in what the iterable gave."""
        parts = tuple(found) if isinstance(found, (tuple, list)) else (found,)
        if len(parts) > len(Batch._fields):
            raise ValueError(
                f"Expected batches x, (x, y) or (x, y, sample_weight). Received: {len(parts)} parts. Several inputs go "
                "into a tuple of their own, ((x, timespans), y)."
            )
        batch = Batch(*(tree.map(array_of, part) for part in parts))
        check_lengths(batch)
        if self.class_weight:
            batch = batch._replace(sample_weight=class_weights(batch.y, self.class_weight, batch.sample_weight))
        return batch


END = object()


def batches_of(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    passes: Iterator[int] | None = None,
    steps: int | None = None,
    class_weight: Mapping[int, float] | None = None,
    goes_on: bool = False,
) -> Arrays | Batches:
    """The batches of what a user gives to `fit`: see `Arrays` and `Batches`.

    Raises:
        TypeError: `x` holds no data.
        ValueError: an iterable of batches comes with targets of its own, or arrays are empty or of different length.
    """
    if tree.is_arrays(x):
        data = Arrays(x, y, sample_weight, batch_size, passes, class_weight)
        return data if steps is None else Batches(data, steps, goes_on=goes_on)
    numbers = isinstance(x, (tuple, list)) and (
        y is not None or not any(isinstance(part, (tuple, list, Mapping)) for part in x)
    )
    if numbers or isinstance(x, (str, bytes)) or not isinstance(x, Iterable):
        raise TypeError(
            "Expected arrays, a tuple or dictionary of arrays, a generator, a DataLoader or a Dataset. Received: "
            f"{type(x).__qualname__}. Convert it first, for example with numpy.asarray(x)."
        )
    if y is not None or sample_weight is not None:
        raise ValueError(
            "Expected y and sample_weight inside of the batches that x gives. Received: both apart. Let it give (x, "
            "y) or (x, y, sample_weight)."
        )
    return Batches(x, steps, class_weight, goes_on)


def split(x: Tree, y: Tree, sample_weight: Any, share: float) -> tuple[Batch, Batch]:
    """All samples but the last, and this share of them at the end, as Keras does it: before any shuffling.

    Raises:
        ValueError: these are batches, of which nobody knows the number, or one of the two would be empty.
    """
    if not tree.is_arrays(x):
        raise ValueError(
            f"Expected arrays where validation_split is given. Received: {type(x).__qualname__}. Give arrays, or "
            "validation_data."
        )
    data = Batch(*(tree.map(rows, part) for part in (x, y, sample_weight)))
    length = check_lengths(data)
    first = int(length * (1 - share))
    if not 0 < first < length:
        raise ValueError(
            f"Expected a validation_split that leaves samples for both. Received: validation_split={share!r} of "
            f"{length} samples. Give a share between 0 and 1 of more samples, or validation_data."
        )
    return data.part(slice(first)), data.part(slice(first, None))


def rows(value: Any) -> np.ndarray:
    """An array of samples.

    Raises:
        ValueError: it has no axis of samples.
    """
    array = array_of(value)
    if array.ndim == 0:
        raise ValueError(
            f"Expected arrays whose first axis are the samples. Received: {value!r}. Give an array of one for each "
            "sample."
        )
    return array


def array_of(value: Any) -> np.ndarray:
    """What any framework holds, as an array of NumPy."""
    if hasattr(value, "detach"):  # a torch tensor, wherever it lies
        value = value.detach().cpu()
    return np.asarray(value)


def check_lengths(batch: Batch) -> int:
    """The number of samples, the same for all arrays.

    Raises:
        ValueError: it is not, or is 0.
    """
    lengths = {name: [len(array) for array in tree.flatten(part)[0]] for name, part in batch._asdict().items()}
    found = {length for part in lengths.values() for length in part}
    if len(found) != 1:
        shown = ", ".join(f"{name} {', '.join(map(str, part))}" for name, part in lengths.items() if part)
        raise ValueError(
            f"Expected the same number of samples in x, y and sample_weight. Received: {shown or 'none'}. Samples "
            "are the first axis of each."
        )
    (length,) = found
    if length == 0:
        raise ValueError(
            "Expected at least one sample. Received: arrays of length 0. Look at what selected or loaded the data."
        )
    return length


def check_batch_size(size: Any) -> int:
    """`size` if it is a whole number above 0.

    Raises:
        ValueError: it is not.
    """
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
        raise ValueError(
            f"Expected batch_size to be a whole number from 1. Received: batch_size={size!r}. Leave it out for 32."
        )
    return int(size)


def class_weights(y: Any, weights: Mapping[int, float], sample_weight: Any = None) -> np.ndarray:
    """The weight of each target's class, times the sample's own; classes without a weight have 1.

    A last axis of length 1 is dropped. What is left are classes (B,), classes of each step (B, T), one-hot targets
    (B, C), or one-hot targets of each step (B, T, C).

    Of two axes, rows that are not negative and sum to 1 are one-hot, or shares of which the largest counts, if there is
    a column for each class that has a weight; for integers there may be no others, since (B, T) with a single 1 in each
    row looks the same. Where this is ambiguous still, because T is the number of classes, targets are read as one-hot,
    as Keras reads all of two axes: (B, T, 1) are classes of each step whatever they hold.

    Args:
        y: the targets, one array.
        weights: factor of each class.
        sample_weight: (B,) or (B, T), or None.

    Returns:
        Weights (B,), or (B, T) of targets for each step.

    Raises:
        ValueError: the targets are no classes.

    Example:
        >>> class_weights(np.array([[0, 1, 1], [1, 0, 0]]), {0: 1.0, 1: 10.0})
        array([[ 1., 10., 10.],
               [10.,  1.,  1.]], dtype=float32)
        >>> class_weights(np.eye(2), {0: 1.0, 1: 10.0})
        array([ 1., 10.], dtype=float32)
    """
    classes = classes_of(y, 1 + max(weights, default=0)) if isinstance(y, np.ndarray) else None
    if classes is None:
        raise ValueError(
            "Expected one array of classes (B,) or (B, T), or one-hot targets (B, C) or (B, T, C), where class_weight "
            f"is given. Received: {type(y).__name__} of shape {np.shape(y) if isinstance(y, np.ndarray) else 'none'}"
            f"{f', {y.dtype}' if isinstance(y, np.ndarray) else ''}. Give sample_weight in its place."
        )
    numbers, places = np.unique(classes, return_inverse=True)
    factors = np.array([weights.get(int(number), 1.0) for number in numbers], np.float32)[places].reshape(classes.shape)
    if sample_weight is None:
        return factors
    own = np.asarray(sample_weight, np.float32)
    rank = max(factors.ndim, own.ndim)  # what holds for a sample holds for all of its steps
    factors, own = (array.reshape(array.shape + (1,) * (rank - array.ndim)) for array in (factors, own))
    return factors * own


def classes_of(y: np.ndarray, count: int) -> np.ndarray | None:
    """The classes in targets by the rule of `class_weights`, of which `count` have a weight; None if they are none."""
    if y.dtype.kind not in "biuf":
        return None
    exact = y.dtype.kind != "f"
    if y.ndim > 1 and y.shape[-1] == 1:
        y = y[..., 0]
    elif y.ndim in (2, 3):
        covered = y.shape[-1] == count or (y.shape[-1] > count and (y.ndim == 3 or not exact))
        if covered and bool((y >= 0).all()) and np.allclose(y.sum(-1, dtype=np.float64), 1, atol=1e-3):
            return y.argmax(-1)
    whole = exact or bool((y == np.round(y)).all())
    return y.astype(np.int64) if whole and y.ndim in (1, 2) else None


def call_arguments(call: Callable[..., Any], x: Tree) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and named arguments of a model's `call` for the inputs `x` of a batch.

    An array is the first argument. A tuple gives the first arguments in order, such as sequences, timespans and mask; a
    dictionary gives arguments by name. Where `call` has not so many or no such names, the whole is its first argument.
    """
    parameters = [p for name, p in inspect.signature(call).parameters.items() if name != "training"]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if isinstance(x, Mapping):
        names = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
        return ((), dict(x)) if set(x) <= names else ((x,), {})
    if isinstance(x, (tuple, list)):
        return (tuple(x), {}) if 1 < len(x) <= len(positional) else ((x,), {})
    return (x,), {}
