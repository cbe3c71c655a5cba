"""Objects that are described by the arguments of their constructor and by what was changed by hand since."""

import copy
import functools
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

# What configurations hold beside the arguments of the constructor: ours, then those of ncps 1.0.1.
_CHANGES = ("hand_made", "adjacency_matrix", "sensory_adjacency_matrix", "input_dim", "output_dim")


class Configured:
    """Compares, hashes, prints and saves an object by its constructor's arguments and its hand-made changes.

    A subclass says what was changed (`_hand_made`) and how to change it again (`_change`). Its own subclasses need
    nothing: their arguments are noted when their constructor has run.
    """

    _arguments: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _noting_arguments(vars(cls)["__init__"])  # type: ignore[method-assign]

    def _finish_construction(self) -> None:
        """Is called when the constructor of the whole object has run."""

    def _hand_made(self) -> dict[str, Any]:
        """Returns what was changed since the constructor, as arguments of `_change`."""
        raise NotImplementedError

    def _change(self, *args: Any, **changes: Any) -> None:
        """Changes the object by hand."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns what makes this wiring again: the constructor's arguments and, as "hand_made", what was changed.

        Raises:
            TypeError: if JSON cannot hold the arguments of a subclass' constructor.
        """
        hand_made = self._hand_made()
        return _jsonable(
            type(self).__name__, self._current_arguments() | ({"hand_made": hand_made} if hand_made else {})
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Returns the wiring that `get_config` described; configurations of ncps 1.0.1 are read as well.

        Raises:
            TypeError: if the constructor does not take the arguments in `config`.

        Example:
            >>> from ncps.wirings import AutoNCP
            >>> wiring = AutoNCP(8, 2)
            >>> wiring.add_synapse(7, 0, polarity=-1)
            >>> config = wiring.get_config()
            >>> config["hand_made"]
            {'synapses': [[7, 0, -1]]}
            >>> AutoNCP.from_config(config) == wiring
            True
        """
        signature = inspect.signature(cls)
        changes = {name: config[name] for name in _CHANGES if name in config and name not in signature.parameters}
        arguments = {name: value for name, value in config.items() if name not in changes}
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise TypeError(
                f"Expected a configuration with the arguments of {cls.__name__}{signature}: {error}. "
                f"Received: config={dict(config)!r}. Write get_config() and from_config() in {cls.__name__} if its "
                "constructor takes other arguments than its configuration holds."
            ) from None
        wiring = cls(**arguments)
        wiring._change(**changes.pop("hand_made", {}))
        wiring._change(**changes)
        return wiring

    def _current_arguments(self) -> dict[str, Any]:
        """Returns the constructor's arguments by name, as they would have to be passed now.

        Where None stands for a number that the constructor chose (a seed), it is the number, which the constructor
        keeps under the argument's name.
        """
        chosen = {name: number for name, number in vars(self).items() if isinstance(number, int)}
        return {name: chosen.get(name) if value is None else value for name, value in self._arguments.items()}

    def _identity(self) -> Any:
        return _canonical(self._current_arguments()), _canonical(self._hand_made())

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self is other or self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((type(self), self._identity()))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._current_arguments().items())
        return f"{type(self).__name__}({arguments})"


def _noting_arguments(init: Callable[..., None]) -> Callable[..., None]:
    """Makes a constructor note its arguments, once the whole object is constructed."""

    @functools.wraps(init)
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if type(self).__init__ is construct:  # else a subclass called `super().__init__` and is not done yet
            self._arguments = _received_arguments(init, self, args, kwargs)
            self._finish_construction()

    return construct


def _received_arguments(init: Callable[..., None], instance: object, args: tuple, kwargs: dict) -> dict[str, Any]:
    """Returns the arguments by name, defaults and those of `**kwargs` included."""
    signature = inspect.signature(init)
    bound = signature.bind(instance, *args, **kwargs)
    bound.apply_defaults()
    arguments = {}
    for name, value in list(bound.arguments.items())[1:]:
        match signature.parameters[name].kind:
            case inspect.Parameter.VAR_KEYWORD:
                arguments.update(value)
            case inspect.Parameter.VAR_POSITIONAL:
                # No keyword has such a name: `_jsonable` refuses what `from_config` could not pass.
                arguments.update({f"*{name}": value} if value else {})
            case _:
                arguments[name] = value
    return {name: _plain(value) for name, value in arguments.items()}


def _plain(value: Any) -> Any:
    """Returns a copy of an argument in which the numbers of NumPy are those of Python."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    if type(value) is dict:
        return {key: _plain(item) for key, item in value.items()}
    return value.copy() if isinstance(value, np.ndarray) else value


def _canonical(value: Any) -> Any:
    """Returns what stands for an argument in comparisons: hashable if its parts are, arrays and lists like tuples."""
    if isinstance(value, np.ndarray):
        return _canonical(value.tolist())
    if isinstance(value, Mapping):
        return frozenset((key, _canonical(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_canonical, value))
    return frozenset(value) if isinstance(value, set) else value


def _jsonable(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Returns a copy of `config` if JSON can hold it.

    Raises:
        TypeError: if it cannot; the message says which methods to write.
    """
    nameless = [name for name in config if name.startswith("*")]
    problem = f"{nameless[0]} has no names" if nameless else ""
    try:
        json.dumps(config)
    except (TypeError, ValueError) as error:
        problem = str(error)
    if problem:
        raise TypeError(
            f"Expected the arguments of {class_name} to be plain Python that JSON can hold ({problem}). "
            f"Received: config={config!r}. Write get_config() and from_config() in {class_name}."
        )
    return copy.deepcopy(config)
