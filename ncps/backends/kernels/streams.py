"""What was prepared for the parameters of a stream, which come again at each step of a control loop."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any


class ByIdentity:
    """What was prepared for the last parameters, as long as they are the same arrays or tensors, at the same places.

    What is written into them is seen by those who read them where they lie. Nothing here keeps them alive.

    Args:
        place: where the elements of a parameter begin, if that may change.
        takes: whether something can be prepared for such parameters; asked of those that are new.
    """

    def __init__(
        self, place: Callable[[Any], int] | None = None, takes: Callable[[Sequence[Any]], bool] | None = None
    ) -> None:
        self.place, self.takes = place, takes
        self.known: dict[int, tuple[Any, ...]] = {}

    def stream(self, options: Any, parameters: Sequence[Any], prepare: Callable[[], Any]) -> Any:
        """What `prepare` returned for these; None where nothing can be, or where they are new and may never come again.

        What it returns has what holds the parameters as `alive`.
        """
        owner = parameters[-3]  # the last bias, one that is always there
        seen, places, held, end, stream = self.known.get(id(owner), (None, None, (), None, None))
        same = seen == options and len(held) == len(parameters) and all(map(is_still, held, parameters))
        if not same and self.takes is not None and not self.takes(parameters):
            return None
        now = None if self.place is None else [0 if x is None else self.place(x) for x in parameters]
        if not same or places != now:
            held = [None if x is None else weakref.ref(x) for x in parameters]
            self.known[id(owner)] = options, now, held, released(owner, self.known), None
            return None
        if stream is None:
            stream = prepare()
            if stream is not None:
                stream.alive = None  # those that `held` shows to be there
            self.known[id(owner)] = seen, places, held, end, stream
        return stream


class ByValue(threading.local):
    """What was prepared for the last weights of a wiring, in each thread, for streams may compute in place.

    Users may change weights in place as well: so their bytes are compared at every call. Synapses stay as they are: of
    these it matters only whether they are the same arrays or tensors.
    """

    def __init__(self) -> None:
        self.known: dict[int, tuple[Any, ...]] = {}

    def stream(self, synapses: Sequence[Any], weights: Sequence[Any], options: Any, prepare: Callable[[], Any]) -> Any:
        """What `prepare` returned for these synapses, weights (None where there is none) and options."""
        owner = synapses[0]
        values = [None if x is None else x.tobytes() for x in weights], options
        seen, held, _, stream = self.known.get(id(owner), (None, (), None, None))
        if seen != values or not all(map(is_still, held, synapses)):
            stream = prepare()
            self.known[id(owner)] = values, [*map(weakref.ref, synapses)], released(owner, self.known), stream
        return stream


def is_still(reference: Any, parameter: Any) -> bool:
    """Whether a parameter is the one that was referred to."""
    return (reference is None) if parameter is None else (reference is not None and reference() is parameter)


def released(owner: Any, known: dict[int, Any]) -> Any:
    """A reference to an array or tensor, with which its entry in `known` ends."""
    place = id(owner)
    return weakref.ref(owner, lambda _: known.pop(place, None))
