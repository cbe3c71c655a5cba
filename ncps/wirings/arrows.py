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
        self, ax: Axes, tails: np.ndarray, tips: np.ndarray, *, length: float, gap: float, **style: Any
    ) -> None:
        super().__init__([], offsets=tips, **_in_points(ax), linewidths=0, **style)
        self._tails, self._tips = tails, tips
        self._head = _HEAD * length - [gap, 0.0]

    def draw(self, renderer: RendererBase) -> None:
        """Turns the heads into the directions that the arrows have on the screen, and draws them."""
        to_screen = self.axes.transData.transform
        x, y = (to_screen(self._tips) - to_screen(self._tails)).T
        cos, sin = np.array([x, y]) / np.maximum(np.hypot(x, y), 1e-9)
        rotations = np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1)
        self.set_paths([Path(head) for head in self._head @ rotations])
        super().draw(renderer)


def add_arrows(
    ax: Axes, starts: np.ndarray, ends: np.ndarray, bends: np.ndarray, *, node_size: float, color: Any
) -> None:
    """Draws arrows from nodes to nodes, below the nodes.

    Args:
        ax: the axes.
        starts: positions (E, 2) of the sources.
        ends: positions (E, 2) of the targets; where they equal the sources, a loop is drawn.
        bends: how far (E,) the arrows are bent, as a share of their lengths.
        node_size: the area of the nodes in square points.
        color: the color of all arrows.
    """
    radius = 0.5 * node_size**0.5
    style = {"alpha": 0.7, "zorder": 1}
    lines = {"facecolors": "none", "edgecolors": [color], **style}
    loops = (starts == ends).all(axis=1)
    circle = Path.circle((0.0, 1.3 * radius), radius)
    artists = [PathCollection([circle], offsets=starts[loops], **_in_points(ax), **lines)]

    starts, ends, bends = starts[~loops], ends[~loops], bends[~loops]
    x, y = (ends - starts).T
    corners = (starts + ends) / 2 + bends[:, None] * np.stack([y, -x], axis=1)
    codes = [Path.MOVETO, Path.CURVE3, Path.CURVE3]
    curves = [Path(points, codes) for points in np.stack([starts, corners, ends], axis=1)]
    artists.append(PathCollection(curves, transform=ax.transData, **lines))
    artists.append(ArrowHeads(ax, corners, ends, length=2 + 0.6 * radius, gap=radius, facecolors=[color], **style))
    for artist in artists:
        ax.add_collection(artist, autolim=False)


def _in_points(ax: Axes) -> dict[str, Any]:
    """Returns what makes a `PathCollection` draw paths given in points at offsets given in data coordinates."""
    return {"sizes": [1.0], "transform": IdentityTransform(), "offset_transform": ax.transData}
