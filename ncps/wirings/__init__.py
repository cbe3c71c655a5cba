"""Wirings: who is connected to whom. Pure NumPy; drawing needs networkx and matplotlib (`pip install "ncps[viz]"`)."""

from ncps.wirings import wirings as wirings  # where ncps 1.0.1 had them
from ncps.wirings.layered import Layered
from ncps.wirings.ncp import NCP, AutoNCP
from ncps.wirings.random_wirings import FullyConnected, Random
from ncps.wirings.synapses import Synapses
from ncps.wirings.wiring import Wiring

__all__ = ["NCP", "AutoNCP", "FullyConnected", "Layered", "Random", "Synapses", "Wiring"]
