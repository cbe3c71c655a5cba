"""What ncps 1.0.1 downloaded data with."""

from __future__ import annotations

from pathlib import Path

ATARI = "https://people.csail.mit.edu/mlechner/datasets/{}.zip"


def download_and_unzip(url: str, extract_to: str = ".") -> None:
    """Raises: nothing is downloaded.

    Raises:
        FileNotFoundError: always; the message says what to do.
    """
    raise not_downloaded(url, f"unzip it into {extract_to!r}")


def not_downloaded(url: str, then: str) -> FileNotFoundError:
    """The error for data that is not there."""
    return FileNotFoundError(f"ncps does not download data. Get {url} yourself, and {then}.")


def atari_folder(env_name: str, root_dir: str) -> Path:
    """The folder with the recorded games of an environment.

    Raises:
        FileNotFoundError: it is not there.
    """
    folder = Path(root_dir) / "data_atari_seq" / env_name
    if not folder.exists():
        raise not_downloaded(ATARI.format(env_name), f"unzip it into {root_dir!r}, so that {str(folder)!r} is there")
    return folder
