"""Draws the pictures of guides/inspect.md: runs its code, and saves what it drew."""

import re
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import ncps

FOLDER = Path(__file__).parent
PICTURES = {"neurons": "activity.png", "lines": "time_constants.png", "synapses": "synapses.png"}


def main() -> None:
    names: dict = {}
    with ncps.backend_scope("numpy"):
        for block in re.findall(
            r"```python\n(.*?)```", (FOLDER / "guides" / "inspect.md").read_text("utf-8"), re.DOTALL
        ):
            exec(block, names)
    for name, file in PICTURES.items():
        names[name].figure.savefig(FOLDER / "pictures" / file, dpi=110)


if __name__ == "__main__":
    main()
