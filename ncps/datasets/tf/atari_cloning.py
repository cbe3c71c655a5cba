"""Recorded Atari games as a `tf.data.Dataset`."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from ncps.datasets.utils import atari_folder

STEPS, FRAME = 32, (84, 84, 4)


class AtariCloningDatasetTF:
    """Sequences of 32 frames (84, 84, 4) of uint8 with the actions that were taken.

    Args:
        env_name: name of the game, a folder in ``data_atari_seq``.
        root_dir: where ``data_atari_seq`` lies.

    Raises:
        FileNotFoundError: the folder is not there; nothing is downloaded.
        RuntimeError: it holds no sequences.
    """

    def __init__(self, env_name: str, root_dir: str = ".") -> None:
        folder = atari_folder(env_name, root_dir)
        self.val_files, self.train_files = (
            [str(path) for path in sorted(folder.glob(f"{split}_*.npz"))] for split in ("val", "train")
        )
        if not self.val_files or not self.train_files:
            raise RuntimeError(
                f"Could not find data: expected files train_*.npz and val_*.npz in {folder}. Unzip it anew."
            )

    def get_dataset(self, batch_size: int, split: str) -> Any:
        """Batches of sequences of a split, ``"train"`` (shuffled) or ``"val"``.

        Raises:
            ValueError: there is no such split.
        """
        if split not in ("train", "val"):
            raise ValueError(f"Invalid split '{split}', must be either 'train' or 'val'.")
        files = tf.data.Dataset.from_tensor_slices(self.train_files if split == "train" else self.val_files)
        files = files.shuffle(30000) if split == "train" else files
        return files.map(sequence_in).batch(batch_size).prefetch(10)


def sequence_in(path: Any) -> tuple[Any, Any]:
    """The frames and actions in a file."""
    frames, actions = tf.py_function(func=arrays_in, inp=[path], Tout=[tf.uint8, tf.int64])
    return tf.ensure_shape(frames, (STEPS, *FRAME)), tf.ensure_shape(actions, (STEPS,))


def arrays_in(path: Any) -> tuple[Any, Any]:
    """The arrays in a file."""
    with np.load(path.numpy().decode("UTF-8"), allow_pickle=False) as content:
        return tf.convert_to_tensor(content["obs"]), tf.convert_to_tensor(content["actions"])
