"""Many arrows as few artists: a matplotlib patch for every arrow takes seconds for a wiring of 64 neurons.

This module imports matplotlib, so it is imported when something is drawn.
"""
# ruff: noqa: TID253

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import PathCollection
from matplotlib.path import Path
from matplotlib.transforms import IdentityTransform

_HEAD = np.array([[0.0, 0.0], [-1.0, 0.4], [-1.0, -0.4], [0.0, 0.0]])  # tip first, pointing to the right


class ArrowHeads(PathCollection):
    """Triangles in points that point from `tails` to `tips`, also after the axes change their shape."""

    def __init__(
        self, ax: Axes, tails: np.ndarray, tips: np.ndarray, *, lengths: np.ndarray, gap: float, **style: Any
    ) -> None:
        super().__init__([], offsets=tips, **_in_points(ax), linewidths=0, **style)
        self._tails, self._tips = tails, tips
        self._heads = _HEAD * lengths[:, None, None] - [gap, 0.0]

    def draw(self, renderer: RendererBase) -> None:
        """Turns the heads into the directions that the arrows have on the screen, and draws them."""
        to_screen = self.axes.transData.transform
        x, y = (to_screen(self._tips) - to_screen(self._tails)).T
        cos, sin = np.array([x, y]) / np.maximum(np.hypot(x, y), 1e-9)
        rotations = np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1)
        self.set_paths([Path(head) for head in self._heads @ rotations])
        super().draw(renderer)


def add_arrows(
    ax: Axes,
    starts: np.ndarray,
    ends: np.ndarray,
    bends: np.ndarray,
    *,
    node_size: float,
    color: Any,
    widths: np.ndarray | None = None,
) -> None:
    """Draws arrows from nodes to nodes, below the nodes.

    Args:
        ax: the axes.
        starts: positions (E, 2) of the sources.
        ends: positions (E, 2) of the targets; where they equal the sources, a loop is drawn.
        bends: how far (E,) the arrows are bent, as a share of their lengths.
        node_size: the area of the nodes in square points.
        color: the color of all arrows.
        widths: the widths (E,) of the lines in points; by default that of matplotlib's patches for all.
    """
    radius = 0.5 * node_size**0.5
    style = {"alpha": 0.7, "zorder": 1}
    lines = {"facecolors": "none", "edgecolors": [color], **style}
    loops = (starts == ends).all(axis=1)
    lengths = np.full(len(starts), 2 + 0.6 * radius)
    of_loops, of_curves = {}, {}
    if widths is not None:
        lengths = lengths + widths
        of_loops, of_curves = {"linewidths": widths[loops]}, {"linewidths": widths[~loops]}
    circle = Path.circle((0.0, 1.3 * radius), radius)
    artists = [PathCollection([circle], offsets=starts[loops], **_in_points(ax), **lines, **of_loops)]

    starts, ends, bends, lengths = (values[~loops] for values in (starts, ends, bends, lengths))
    x, y = (ends - starts).T
    corners = (starts + ends) / 2 + bends[:, None] * np.stack([y, -x], axis=1)
    codes = [Path.MOVETO, Path.CURVE3, Path.CURVE3]
    curves = [Path(points, codes) for points in np.stack([starts, corners, ends], axis=1)]
    artists.append(PathCollection(curves, transform=ax.transData, **lines, **of_curves))
    artists.append(ArrowHeads(ax, corners, ends, lengths=lengths, gap=radius, facecolors=[color], **style))
    for artist in artists:
        ax.add_collection(artist, autolim=False)
    if len(starts):  # collections of curves do not widen the axes by themselves
        ax.update_datalim((starts + 2 * corners + ends) / 4)
        ax.autoscale_view()


def _in_points(ax: Axes) -> dict[str, Any]:
    """Returns what makes a `PathCollection` draw paths given in points at offsets given in data coordinates."""
    return {"sizes": [1.0], "transform": IdentityTransform(), "offset_transform": ax.transData}
