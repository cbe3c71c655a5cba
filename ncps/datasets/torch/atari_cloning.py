"""Recorded Atari games as a `torch.utils.data.Dataset`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ncps.datasets.utils import atari_folder


class AtariCloningDataset(torch.utils.data.Dataset):
    """Sequences of frames (T, C, H, W) in [0, 1] with the actions that were taken.

    Args:
        env_name: name of the game, a folder in ``data_atari_seq``.
        split: ``"train"`` or ``"val"``.
        root_dir: where ``data_atari_seq`` lies.

    Raises:
        FileNotFoundError: the folder is not there; nothing is downloaded.
        RuntimeError: it holds no sequences.
    """

    def __init__(self, env_name: str, split: str = "train", root_dir: str = ".") -> None:
        folder = atari_folder(env_name, root_dir)
        self.files = sorted(folder.glob(f"{split}_*.npz"))
        if not self.files:
            raise RuntimeError(
                f"Could not find data: expected files {split}_*.npz in {folder}. Splits: 'train' and 'val'."
            )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        with np.load(self.files[index], allow_pickle=False) as content:
            frames, actions = content["obs"], content["actions"]
        frames = np.transpose(frames, (0, 3, 1, 2))  # torch has the channels first
        return torch.from_numpy(frames.astype(np.float32) / 255), torch.from_numpy(actions)
