"""Draws a picture of docs/ideas/wirings.md: the wiring of a neural circuit policy with 19 neurons."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from ncps.wirings import AutoNCP


def main() -> None:
    wiring = AutoNCP(19, 2, sparsity_level=0.6, seed=3)
    wiring.build(8)
    figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    handles = wiring.draw_graph(layout="layered", ax=axes)
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=4, frameon=False)
    axes.set_axis_off()
    figure.savefig(Path(__file__).parent / "pictures" / "wiring.png", dpi=110)


if __name__ == "__main__":
    main()
