"""Checks of the arguments of wirings: each error says what was expected, what was received, and the way out."""

import operator
from typing import Any

import numpy as np

_NUMBERS = (int, float, np.integer, np.floating)


def integer(name: str, value: Any, way_out: str, at_least: int | None = None, at_most: int | None = None) -> int:
    """Returns `value` as a Python int.

    Args:
        name: the argument's name, for the message.
        value: an integer of Python or NumPy; a bool is none.
        way_out: what to do instead, a sentence.
        at_least: the smallest number allowed.
        at_most: the largest number allowed.

    Raises:
        TypeError: if `value` is not an integer.
        ValueError: if it is out of range.
    """
    bounds = [f"at least {at_least}"] if at_least is not None else []
    bounds += [f"at most {at_most}"] if at_most is not None else []
    expected = " of ".join(filter(None, ["an integer", " and ".join(bounds)]))
    message = f"Expected {name} to be {expected}. Received: {name}={value!r}. {way_out}"
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(message)
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(message) from None
    if (at_least is not None and number < at_least) or (at_most is not None and number > at_most):
        raise ValueError(message)
    return number


def sparsity(value: Any, *, below_one: bool) -> float:
    """Returns a sparsity level from 0 to 1 as a float; NaN is out of range.

    Raises:
        TypeError: if `value` is not a number.
        ValueError: if it is out of range.
    """
    expected = "from 0.0 to below 1.0" if below_one else "from 0.0 to 1.0"
    message = (
        f"Expected sparsity_level to be a number {expected}. Received: sparsity_level={value!r}. "
        "It is the share of synapses to leave out: 0.0 is the densest wiring, 0.5 leaves out half."
    )
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        raise TypeError(message)
    if not 0.0 <= value <= 1.0 or (below_one and value == 1.0):
        raise ValueError(message)
    return float(value)


def seed(name: str, value: int | None, at_most: int | None = None) -> int:
    """Returns the seed of a random wiring; None is answered with a seed drawn afresh.

    A drawn seed is kept like a given one: a wiring whose seed nobody knows could not be saved.

    Raises:
        TypeError: if `value` is neither None nor an integer.
        ValueError: if it is negative or above `at_most`.
    """
    if value is None:
        return int(np.random.default_rng().integers(2**32))
    return integer(name, value, "Pass None for a random seed.", at_least=0, at_most=at_most)


def polarity(value: Any) -> int:
    """Returns the polarity of a synapse, -1 or 1.

    Raises:
        ValueError: if `value` is neither.
    """
    if isinstance(value, bool) or not isinstance(value, _NUMBERS) or value not in (-1, 1):
        raise ValueError(
            "Expected polarity to be 1 (excitatory) or -1 (inhibitory). "
            f"Received: polarity={value!r}. To change a synapse, add it again with the other polarity."
        )
    return int(value)


def input_dim(value: Any) -> int:
    """Returns the number of inputs from a number or from the shape of the inputs, whose last axis counts.

    Raises:
        TypeError: if the number of inputs is not an integer, like the None of an unknown axis.
        ValueError: if it is negative, or the shape is empty.
    """
    way_out = "Pass the number of input features, or the shape of the inputs with the features last."
    if hasattr(value, "__len__") and not isinstance(value, (str, np.ndarray)):
        if len(value) == 0:
            raise ValueError(f"Expected input_dim to be a number or a shape. Received: input_dim={value!r}. {way_out}")
        value = value[-1]
    return integer("input_dim", value, way_out, at_least=0)
