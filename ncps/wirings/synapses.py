"""Synapses as lists, for computing, and as a matrix, for editing."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ncps import allowance

Pair = tuple[int, int]


class Synapses(NamedTuple):
    """The synapses that exist, sorted by target and then by source: E of each array, int32.

    Attributes:
        source: ids of the neurons (or inputs) where the synapses begin.
        target: ids of the neurons where they end.
        polarity: 1 for excitatory, -1 for inhibitory.

    Example:
        >>> from ncps.wirings import FullyConnected
        >>> wiring = FullyConnected(2)
        >>> wiring.build(3)
        >>> wiring.synapses.source, wiring.synapses.target
        (array([0, 1, 0, 1], dtype=int32), array([0, 0, 1, 1], dtype=int32))
    """

    source: np.ndarray
    target: np.ndarray
    polarity: np.ndarray


class SynapseMatrix:
    """A matrix [source, target] of polarities that knows which of its entries were made by hand.

    Hand-made is what differs from the matrix as it was when it was last settled, and what was set explicitly since:
    so writing to the matrix itself counts as well, and so does a synapse set to the polarity that it had.
    """

    def __init__(self, sources: int, targets: int) -> None:
        allowance.spend(16 * sources * targets)  # the matrix, the copy that tells what was changed, and their synapses
        self.polarities = np.zeros((sources, targets), dtype=np.int32)
        self.settle()

    def settle(self) -> None:
        """Takes every entry as generated: from here on, changes are hand-made."""
        self._generated = self.polarities.copy()
        self._set_by_hand: set[Pair] = set()

    def set_by_hand(self, polarities: Mapping[Pair, int]) -> None:
        """Sets entries, which count as hand-made from here on."""
        for pair, polarity in polarities.items():
            self.polarities[pair] = polarity
        self._set_by_hand.update(polarities)

    def hand_made(self) -> dict[Pair, int]:
        """Returns the hand-made entries in the order of their ids; a synapse taken away has polarity 0."""
        changed = np.nonzero(self.polarities != self._generated)
        pairs = self._set_by_hand.union(zip(*(ids.tolist() for ids in changed), strict=True))
        return {pair: int(self.polarities[pair]) for pair in sorted(pairs)}

    def synapses(self) -> Synapses:
        """Returns the synapses as lists."""
        target, source = np.nonzero(self.polarities.T)
        return Synapses(source.astype(np.int32), target.astype(np.int32), self.polarities[source, target])

    def count(self) -> int:
        """Returns the number of synapses."""
        return int(np.count_nonzero(self.polarities))

    def assign(self, name: str, polarities: ArrayLike) -> None:
        """Replaces the whole matrix by hand.

        Raises:
            ValueError: if `polarities` has another shape or an entry other than -1, 0 and 1.
        """
        received = np.asarray(polarities)
        if received.shape != self.polarities.shape or not np.isin(received, (-1, 0, 1)).all():
            raise ValueError(
                f"Expected {name} to have the shape {self.polarities.shape} and entries -1, 0 and 1. "
                f"Received: {name}={polarities!r}, of shape {received.shape}. "
                "Rows are sources and columns are targets; use add_synapse for single synapses."
            )
        self.polarities[...] = received

    def lock(self) -> None:
        """Makes the matrix read-only, also the arrays that were handed out."""
        self.polarities.setflags(write=False)
