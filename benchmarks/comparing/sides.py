"""Who is compared: ours, peers, and the limit of the machine; and the environment of a side's process."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.comparing.cases import Case

ROOT = Path(__file__).parents[2]
OURS, UPSTREAM, LSTM, LIMIT = "ncps", "ncps-1.0.1", "lstm", "limit"
KERAS = ("keras-torch", "keras-jax", "keras-tensorflow")
BACKENDS = ("numpy", "torch", "jax", "mlx", "tensorflow", *KERAS)
NEEDED = {"jax": ("jax", "flax", "optax"), "mlx": ("mlx.core",)}  # packages, where not the framework's name alone
INSTALL = "python -m pip install --no-deps --target {folder} ncps==1.0.1 future==1.0.0"

# The framework of a peer's process, by our backend. ncps 1.0.1 has torch, and Keras on any framework.
_ON_KERAS = {name: name for name in KERAS}
PEERS = {
    UPSTREAM: {"numpy": "torch", "torch": "torch", "mlx": "torch", "jax": "keras-jax",
               "tensorflow": "keras-tensorflow", **_ON_KERAS},
    LSTM: {"numpy": "torch", "torch": "torch", "mlx": "mlx", "jax": "jax",
           "tensorflow": "keras-tensorflow", **_ON_KERAS},
}  # fmt: skip
UPSTREAM_CELLS = {  # its layer and options
    "LTC": ("LTC", {}),
    "CfC": ("CfC", {}),
    "CfC-no_gate": ("CfC", {"mode": "no_gate"}),
    "CfC-pure": ("CfC", {"mode": "pure"}),
    "MixedMemory": ("LTC", {"mixed_memory": True}),
    "MixedMemory-state": ("LTC", {"mixed_memory": True}),
}
FORMS = {"MixedMemory": "keras", "MixedMemory-state": "torch"}  # of one cell, and whose form each is in ncps 1.0.1
LSTM_NAMES = {"torch": "torch.nn.LSTM", "jax": "flax.nnx LSTM", "mlx": "mlx.nn.LSTM", "keras": "keras.layers.LSTM"}

# What would steer only some of the sides, or hide what compiling costs. Settings of OpenBLAS for one processor slow
# NumPy down on another, where they are inherited from somebody else's shell.
DROPPED = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "JAX_COMPILATION_CACHE_DIR",
    "KERAS_BACKEND",
    "NCPS_BACKEND",
    "NCPS_FAST",
    "PYTHONPATH",
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
DEVICE = "NCPS_BENCHMARK_DEVICE"  # tells the workers
CPU_ONLY = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
SHARED_GPU = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}  # all sides are on it
DEVICES = {"cpu": CPU_ONLY, "gpu": SHARED_GPU}


@dataclass(frozen=True)
class Side:
    """A library on a framework.

    Attributes:
        package: `OURS`, a peer's name, or `LIMIT`.
        framework: module of `benchmarks.comparing.frameworks`, with "-" for "_".
        fast: whether our compiled kernels may be used, where they are installed.
    """

    package: str
    framework: str
    fast: bool = True

    @property
    def family(self) -> str:
        """The framework whose modules the networks are."""
        return self.framework.split("-")[0]

    @property
    def label(self) -> str:
        """The side as tables show it."""
        if self.package == LSTM:
            on = f" ({self.framework})" if self.family == "keras" else ""
            return LSTM_NAMES[self.family] + on
        return f"{self.package.replace('-', ' ')} ({self.framework}{'' if self.fast else ', not fast'})"


def peer(name: str, backend: str, case: Case) -> Side | None:
    """The peer that a case on one of our backends is compared with, None where it does not have the cell."""
    if name == UPSTREAM and case.cell not in UPSTREAM_CELLS:
        return None
    return Side(name, PEERS[name][backend])


def runs(backend: str, mode: str, case: Case) -> bool:
    """Whether a case runs: NumPy does not train, and of two forms of a cell each backend has that of its peer."""
    family = Side(UPSTREAM, PEERS[UPSTREAM][backend]).family
    return (backend != "numpy" or mode != "training") and FORMS.get(case.cell, family) == family


def installed(framework: str) -> bool:
    """Whether all packages of a framework are there; none is imported."""
    needed = [package for name in framework.split("-") for package in NEEDED.get(name, (name,))]
    return all(importlib.util.find_spec(package.split(".")[0]) for package in needed) and all(
        map(importlib.util.find_spec, needed)
    )


def limit() -> Side:
    """The limit of the machine, through the faster library that is there."""
    return Side(LIMIT, "torch" if installed("torch") else "numpy")


def packages(side: Side, peers: Path) -> list[Path]:
    """Folders that go before the installed packages on a side's path.

    Raises:
        FileNotFoundError: a peer is not installed.
    """
    if side.package != UPSTREAM:
        return [ROOT]
    folder = peers.resolve() / UPSTREAM  # workers run elsewhere
    if not (folder / "ncps").is_dir():
        raise FileNotFoundError(f"{UPSTREAM} is not in {peers}. Install it: {INSTALL.format(folder=folder)}")
    return [folder, ROOT]  # its `ncps` is found first, our benchmarks second


def environment(
    side: Side, threads: int, device: str, peers: Path, given: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The environment of a side's process: the same for all but what chooses the side."""
    kept = {name: value for name, value in given.items() if name not in DROPPED}
    made = {
        **dict.fromkeys(THREADS, str(threads)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(map(str, packages(side, peers))),
        DEVICE: device,
    }
    if side.family == "keras":
        made["KERAS_BACKEND"] = side.framework.removeprefix("keras-")
    if side.package == OURS:
        made["NCPS_BACKEND"] = side.family
    if not side.fast:
        made["NCPS_FAST"] = "0"
    return kept | made | DEVICES[device]
