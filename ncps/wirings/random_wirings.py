"""Wirings without structure: every pair of neurons, or a random choice of them, with random polarities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ncps.wirings import checks
from ncps.wirings.wiring import Wiring


def _polarities(rng: np.random.Generator, count: int) -> np.ndarray:
    """Returns random polarities, two of three excitatory."""
    return rng.choice([-1, 1, 1], size=count)


class FullyConnected(Wiring):
    """A wiring with all synapses: from every input and every neuron to every neuron, with random polarities.

    The synapses among neurons are drawn by the constructor, those from the inputs by `build`, one generator after the
    other use; two thirds are excitatory on average. The same arguments give the synapses of ncps 1.0.1.

    Args:
        units: the number of neurons.
        output_dim: the number of motor neurons; all neurons if None.
        erev_init_seed: the seed of the polarities; None draws one.
        self_connections: whether neurons have synapses to themselves.

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if a number is out of range.

    Example:
        >>> from ncps.wirings import FullyConnected
        >>> wiring = FullyConnected(8, output_dim=2, self_connections=False)
        >>> wiring.build(3)
        >>> wiring.synapse_count, wiring.sensory_synapse_count
        (56, 24)
    """

    def __init__(
        self,
        units: int,
        output_dim: int | None = None,
        erev_init_seed: int | None = 1111,
        self_connections: bool = True,
    ) -> None:
        super().__init__(units)
        self.set_output_dim(self.units if output_dim is None else output_dim)
        self.erev_init_seed = checks.seed("erev_init_seed", erev_init_seed)
        self.self_connections = self_connections
        self._rng = np.random.default_rng(self.erev_init_seed)
        connected = ~np.eye(self.units, dtype=bool) | bool(self_connections)
        self.adjacency_matrix[connected] = _polarities(self._rng, int(np.count_nonzero(connected)))

    def build(self, input_dim: int | Sequence[Any]) -> None:
        """Connects every input to every neuron; see `Wiring.build`."""
        super().build(input_dim)
        matrix = self._sensory().polarities
        matrix[...] = _polarities(self._rng, matrix.size).reshape(matrix.shape)


class Random(Wiring):
    """A wiring with a random choice of all synapses, with random polarities.

    Of all F N + N N synapses the share `1 - sparsity_level` exists, the one among neurons chosen by the constructor,
    the one from the inputs by `build`. The same arguments give the synapses of ncps 1.0.1, which drew the polarity of
    every sensory synapse twice; so the second draw is the one that counts.

    Args:
        units: the number of neurons.
        output_dim: the number of motor neurons; all neurons if None.
        sparsity_level: the share of synapses to leave out, from 0 to below 1.
        random_seed: the seed of synapses and polarities; None draws one.

    Raises:
        TypeError: if a number is not an integer, or the sparsity is no number.
        ValueError: if a number is out of range.

    Example:
        >>> from ncps.wirings import Random
        >>> wiring = Random(8, output_dim=2, sparsity_level=0.75)
        >>> wiring.build(3)
        >>> wiring.synapse_count, wiring.sensory_synapse_count
        (16, 6)
    """

    def __init__(
        self, units: int, output_dim: int | None = None, sparsity_level: float = 0.0, random_seed: int | None = 1111
    ) -> None:
        super().__init__(units)
        self.set_output_dim(self.units if output_dim is None else output_dim)
        self.sparsity_level = checks.sparsity(sparsity_level, below_one=True)
        self.random_seed = checks.seed("random_seed", random_seed)
        self._rng = np.random.default_rng(self.random_seed)
        chosen = self._choose(self.adjacency_matrix.shape)
        self.adjacency_matrix[chosen] = _polarities(self._rng, len(chosen[0]))

    def build(self, input_dim: int | Sequence[Any]) -> None:
        """Connects the inputs to neurons; see `Wiring.build`."""
        super().build(input_dim)
        matrix = self._sensory().polarities
        chosen = self._choose(matrix.shape)
        drawn_twice = _polarities(self._rng, 2 * len(chosen[0]))
        matrix[chosen] = drawn_twice[1::2]

    def _choose(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the sources and targets of as many different synapses as the sparsity leaves."""
        possible = shape[0] * shape[1]
        count = int(np.round(possible * (1 - self.sparsity_level)))
        return np.divmod(self._rng.choice(possible, size=count, replace=False), self.units)
