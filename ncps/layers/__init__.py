"""Layers, written once against `ncps.ops`; each is its framework's own module."""

from ncps import wirings
from ncps.backend import NCPSBackend
from ncps.layers.cfc import CfC, CfCCell, WiredCfCCell
from ncps.layers.containers import Dict, List, Sequential
from ncps.layers.dense import Dense
from ncps.layers.layer import Layer
from ncps.layers.ltc import LTC, LTCCell
from ncps.layers.rnn import RNN, Cell
from ncps.layers.simple import Activation, Dropout, LayerNormalization
from ncps.serialization import register_class

__all__ = [
    "LTC",
    "RNN",
    "Activation",
    "Cell",
    "CfC",
    "CfCCell",
    "Dense",
    "Dict",
    "Dropout",
    "LTCCell",
    "Layer",
    "LayerNormalization",
    "List",
    "Sequential",
    "WiredCfCCell",
]

for _name in __all__:
    if _name != "Layer":
        NCPSBackend.provide_layer(_name, globals()[_name])
    register_class(_name, globals()[_name])
for _name in ("Wiring", "FullyConnected", "Random", "NCP", "AutoNCP"):
    register_class(_name, getattr(wirings, _name))
