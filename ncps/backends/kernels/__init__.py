"""Fused kernels for CPUs, compiled by numba (the extra ``fast``): whole sequences of LTC and CfC in one pass.

One source serves NumPy and torch: the functions here know NumPy arrays only. They are compiled at their first call and
kept on disk.
"""
