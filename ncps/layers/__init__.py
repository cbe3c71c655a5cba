"""Layers, written once against `ncps.ops`; each is its framework's own module."""

from ncps import wirings
from ncps.backend import NCPSBackend
from ncps.layers.cell import Cell, HoistingCell
from ncps.layers.cfc import CfC, CfCCell, WiredCfCCell
from ncps.layers.containers import Dict, List
from ncps.layers.ctgru import CTGRU, CTGRUCell
from ncps.layers.ctrnn import CTRNN, CTRNNCell, NeuralODE, NeuralODECell
from ncps.layers.dense import Dense
from ncps.layers.gated import GRU, LSTM, GRUCell, LSTMCell
from ncps.layers.layer import Layer
from ncps.layers.linoss import LinOSS, LinOSSCell
from ncps.layers.lrc import LRC, STC, LRCCell, STCCell
from ncps.layers.ltc import LTC, LTCCell
from ncps.layers.mixed_memory import MixedMemory, MixedMemoryCell
from ncps.layers.ode import ODECell
from ncps.layers.rnn import RNN
from ncps.layers.simple import Activation, Dropout, LayerNormalization
from ncps.layers.stacked import StackedRNNCells
from ncps.layers.wrappers import Bidirectional, TimeDistributed
from ncps.models.sequential import Sequential  # a model of layers, where Keras' users look for it
from ncps.serialization import register_class

__all__ = [
    "Activation",
    "Bidirectional",
    "CTGRU",
    "CTGRUCell",
    "CTRNN",
    "CTRNNCell",
    "Cell",
    "CfC",
    "CfCCell",
    "Dense",
    "Dict",
    "Dropout",
    "GRU",
    "GRUCell",
    "HoistingCell",
    "LRC",
    "LRCCell",
    "LSTM",
    "LSTMCell",
    "LTC",
    "LTCCell",
    "Layer",
    "LayerNormalization",
    "LinOSS",
    "LinOSSCell",
    "List",
    "MixedMemory",
    "MixedMemoryCell",
    "NeuralODE",
    "NeuralODECell",
    "ODECell",
    "RNN",
    "STC",
    "STCCell",
    "Sequential",
    "StackedRNNCells",
    "TimeDistributed",
    "WiredCfCCell",
]

for _name in __all__:
    if _name != "Layer":
        NCPSBackend.provide_layer(_name, globals()[_name])
    register_class(_name, globals()[_name])
for _name in ("Wiring", "FullyConnected", "Layered", "Random", "NCP", "AutoNCP"):
    register_class(_name, getattr(wirings, _name))
