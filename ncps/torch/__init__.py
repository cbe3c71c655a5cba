"""The torch module of ncps 1.0.1: the same classes, arguments and results, as faces of the layers in `ncps.layers`.

The forward mathematics is that of 1.0.1, so that its state dicts load (`load_state_dict` takes them) and compute what
they did. What is better is a keyword of each class; what raised or was wrong is corrected.
docs/guides/from_ncps_1.md has the table.
"""

from ncps.backend import NCPSBackend

NCPSBackend.ops_of("torch")  # tells what to install, where torch is missing

from ncps.torch.cfc import CfC
from ncps.torch.cfc_cell import CfCCell
from ncps.torch.ltc import LTC
from ncps.torch.ltc_cell import LTCCell
from ncps.torch.wired_cfc_cell import WiredCfCCell

__all__ = ["CfC", "CfCCell", "LTC", "LTCCell", "WiredCfCCell"]
