"""What all tests run with. Doctests run on NumPy, with the names that their readers know."""

import os
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("NCPS_BACKEND", "numpy")
os.environ.setdefault("KERAS_BACKEND", "torch")  # others: set it before pytest starts, as Keras has one per process
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# The tests mostly wait for the compiler of jax: it keeps its programs, for all processes and the next time.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# and compiles twice as fast so, in one part, as the processes share the processor; each program runs a few times only.
# XLA ends a process at a flag that it does not know.
if find_spec("jaxlib") and tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0 "
        "--xla_cpu_parallel_codegen_split_count=1",
    )

import numpy as np
import pytest

# What raises when it is imported, on purpose.
collect_ignore = ["ncps/paddle.py"] + ([] if os.environ["KERAS_BACKEND"] == "tensorflow" else ["ncps/tf"])


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    import ncps
    from ncps import layers

    doctest_namespace.update(np=np, ops=ncps.ops, **{name: getattr(layers, name) for name in layers.__all__})
