"""Weights of ncps 1.0.1 in and out: dense matrices there, synapses that exist here."""

from ncps.checkpoints.torch_checkpoints import export_torch as export_torch, import_torch as import_torch

__all__ = ["export_torch", "import_torch"]
