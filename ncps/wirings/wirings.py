"""The wirings where ncps 1.0.1 had them, for programs that import them from here."""

from ncps.wirings.ncp import NCP as NCP, AutoNCP as AutoNCP
from ncps.wirings.random_wirings import FullyConnected as FullyConnected, Random as Random
from ncps.wirings.wiring import Wiring as Wiring
