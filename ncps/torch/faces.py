"""What the classes of `ncps.torch` share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ncps.checkpoints.torch_checkpoints import to_array
from ncps.checkpoints.weights import faults_of, from_old, to_old
from ncps.wirings import FullyConnected, Wiring


class LoadsOld(torch.nn.Module):
    """A module whose `load_state_dict` takes state dicts of ncps 1.0.1 as well as its own, as a whole or not at all."""

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Sets the weights from a state dict of this class, here or in ncps 1.0.1.

        Raises:
            RuntimeError: it does not fit; the message names what is missing, unexpected or of another shape, and
                synapses where the wiring has none. Nothing is changed then.
        """
        _, faults = self.translated(state_dict)
        if strict and faults:
            raise not_its_own(self, faults)
        return super().load_state_dict(state_dict, strict, assign)

    def translated(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """A state dict with our names, and where it does not fit."""
        own = torch.nn.Module.state_dict(self)
        projection = {name: x for name, x in own.items() if name.startswith("fc.")}  # has the same names in both
        if not (old_names(self) - own.keys()) & given.keys():
            return dict(given), faults_of(shapes(own), given)
        try:
            old = {name: to_array(x) for name, x in given.items() if name not in projection}
            taken: dict[str, Any] = {
                path.replace("/", "."): torch.from_numpy(np.array(x)) for path, x in from_old(self, old).items()
            }
        except ValueError as error:
            return {}, [str(error)]
        taken |= {name: given[name] for name in projection if name in given}
        return taken, faults_of(shapes(own), taken)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:  # also within another module
        given = {name.removeprefix(prefix): x for name, x in state_dict.items() if name.startswith(prefix)}
        taken, faults = self.translated(given)
        own = torch.nn.Module.state_dict(self)
        unusable = not taken or any(taken[name].shape != own[name].shape for name in taken.keys() & own.keys())
        if faults and given and unusable:  # what is missing or unexpected else, torch tells if it is asked to
            args[-1].append(str(not_its_own(self, faults)))
            taken = dict(own)
        for name in given:
            del state_dict[prefix + name]
        state_dict.update({prefix + name: x for name, x in taken.items()})
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_layer_index" not in state:
            raise RuntimeError(
                f"Expected a {type(self).__name__} of this version. Received: one that was pickled by ncps 1.0.1. Save "
                "its weights there, torch.save(module.state_dict(), path), and load them here with load_state_dict."
            )
        super().__setstate__(state)


def old_names(module: Any) -> set[str]:
    """The names of its weights in ncps 1.0.1, none where that does not compute the same."""
    try:
        return set(to_old(module))
    except ValueError:
        return set()


def not_its_own(module: Any, faults: list[str]) -> RuntimeError:
    """The error for weights that do not fit."""
    return RuntimeError(
        f"Expected a state dict of {type(module).__name__} with these arguments. Received: {'; '.join(faults)}. "
        "The module keeps its weights."
    )


def shapes(tensors: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Those of tensors by name."""
    return {name: tuple(x.shape) for name, x in tensors.items()}


class Sizes:
    """The sizes that 1.0.1 had as attributes of cells and layers with a wiring."""

    wiring: Wiring

    @property
    def sensory_size(self) -> int:
        """The number of inputs."""
        assert self.wiring.input_dim is not None
        return self.wiring.input_dim

    @property
    def motor_size(self) -> int:
        """The number of motor neurons."""
        return self.wiring.output_dim

    @property
    def synapse_count(self) -> int:
        """The number of synapses among neurons."""
        return self.wiring.synapse_count

    @property
    def sensory_synapse_count(self) -> int:
        """The number of synapses from inputs; ncps 1.0.1 gave that among neurons."""
        return self.wiring.sensory_synapse_count


def input_size_of(wiring: Wiring, name: str, input_size: int | None) -> int:
    """The number of inputs, as given or as the wiring was built for.

    Raises:
        ValueError: neither tells.
    """
    if input_size is None and not wiring.is_built():
        raise ValueError(
            f"Wiring error! Unknown number of input features. Pass the parameter {name!r} or call 'wiring.build()'."
        )
    return wiring.input_dim if input_size is None else input_size  # type: ignore[return-value]


def wiring_of(units: int | Wiring) -> Wiring:
    """A wiring, or all-to-all synapses among so many neurons."""
    return units if isinstance(units, Wiring) else FullyConnected(units)
