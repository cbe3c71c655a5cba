"""What configurations say, in the form of this version and of ncps 1.0.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from ncps import serialization, wirings

OLD = {name: getattr(wirings, name) for name in ("AutoNCP", "NCP", "FullyConnected", "Random", "Wiring", "Layered")}
TELLING = {"AutoNCP": "output_size", "NCP": "motor_fanin", "FullyConnected": "erev_init_seed", "Random": "random_seed"}


def wiring_from(value: Any) -> Any:
    """A wiring, or a number of units, from what a configuration holds.

    Raises:
        ValueError: it is of a class that is not registered.
    """
    if not isinstance(value, Mapping):
        return value
    if "class_name" not in value:  # 1.0.1's LTC left the class out
        name = next((name for name, argument in TELLING.items() if argument in value), "Wiring")
        return OLD[name].from_config(arguments(name, value))
    name = value["class_name"]
    if name in OLD:
        return OLD[name].from_config(arguments(name, value["config"]))
    registered = value.get("registered_name") or name
    return serialization.deserialize({"class_name": registered, "config": value["config"]})


def arguments(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a wiring. Those of 1.0.1's NCP are lists of ids, and it forgot the seed: the default is taken."""
    found = dict(config)
    if name == "NCP":
        found |= {key: len(value) for key, value in config.items() if isinstance(value, list)}
        if found.get("seed") is None:
            found.pop("seed", None)
    return found


def cell_from(value: Any) -> Any:
    """A cell from what a configuration holds; 1.0.1 left its class out."""
    from ncps.keras import CfCCell, LTCCell, WiredCfCCell

    if not isinstance(value, Mapping):
        return value
    if "class_name" in value:
        return keras.saving.deserialize_keras_object(value)
    if "wiring" not in value:
        return CfCCell.from_config(dict(value))
    return (LTCCell if "ode_unfolds" in value else WiredCfCCell).from_config(dict(value))
