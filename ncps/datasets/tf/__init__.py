"""Recorded Atari games for TensorFlow, as in ncps 1.0.1."""

from ncps.datasets.tf.atari_cloning import AtariCloningDatasetTF

__all__ = ["AtariCloningDatasetTF"]
