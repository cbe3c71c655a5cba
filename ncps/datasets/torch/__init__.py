"""Recorded Atari games for torch, as in ncps 1.0.1."""

from ncps.datasets.torch.atari_cloning import AtariCloningDataset

__all__ = ["AtariCloningDataset"]
