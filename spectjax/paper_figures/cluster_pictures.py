"""Pictures of K-means: IoU against the number of clusters, and centroids on their way.

The number of clusters is K, of numbers of clusters C, of iterations T; height and width
are H and W.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spectjax.report.data_notes import Caption
from spectjax.report.picture_parts import (
    CROP,
    TRUTH,
    WARNING,
    add_caption,
    outline,
    show_counts,
    zoom_to,
)

PUBLISHED_BEST = (9, 0.7421)  # K and IoU that the text of [P1] gives for its Fig. 11
_COLORS = (CROP, WARNING, "#6a3d9a", "#33a02c")


@dataclass(frozen=True)
class ClusterCurve:
    """IoU of K-means for C numbers of clusters.

    Attributes:
        clusters: the numbers, ascending, length C.
        pooled: IoU over all pixels, nan where there is none, length C.
        per_image: mean IoU of the images, likewise.
    """

    clusters: tuple[int, ...]
    pooled: tuple[float, ...]
    per_image: tuple[float, ...]


def draw_cluster_curve(curves: Mapping[int, ClusterCurve], caption: Caption) -> Figure:
    """Draws IoU against K as [P1] Fig. 11 does, with the one figure that [P1] prints.

    Args:
        curves: by the number of brightest clusters that count as hotspots.
        caption: title and more.
    """
    figure = Figure(figsize=(8.0, 5.0), dpi=150)
    axes = figure.add_axes((0.09, 0.15, 0.88, 0.70))
    for (number, curve), color in zip(curves.items(), _COLORS, strict=False):
        whose = "brightest cluster" if number == 1 else f"{number} brightest clusters"
        for values, name, style in (
            (curve.pooled, "pooled", "-"),
            (curve.per_image, "mean of images", "--"),
        ):
            axes.plot(
                curve.clusters,
                values,
                style,
                color=color,
                marker=".",
                label=f"{whose}, {name}",
            )
    k, iou = PUBLISHED_BEST
    axes.plot(k, iou, "*", color=TRUTH, markersize=11, clip_on=False)
    axes.annotate(
        f"printed in Lin 2020: {iou} at K = {k},\non its hospital's images",
        (k, iou),
        xytext=(10, 0),
        textcoords="offset points",
        va="center",
        size=9,
        color=TRUTH,
    )
    axes.set_xlabel("Number of clusters K")
    axes.set_ylabel("IoU")
    axes.set_ylim(0, 0.85)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, loc="center right")
    add_caption(figure, *caption)
    return figure


def draw_centroids(
    counts: np.ndarray,
    labels: np.ndarray,
    centroids: np.ndarray,
    *,
    truth: np.ndarray,
    caption: Caption,
) -> Figure:
    """Draws an image, its clusters, and how the centroids moved ([P1] Fig. 9).

    The centroids of [P1] Fig. 9 are points on the image; ours are brightnesses, since
    nothing else is clustered, so they move along an axis of counts.

    Args:
        counts: of the thorax, (H, W).
        labels: the cluster of each pixel, 0 the darkest, integer, (H, W).
        centroids: before and after each iteration, ascending, (T + 1, K).
        truth: hotspots marked by the readers, bool, (H, W).
        caption: title and more.
    """
    num_clusters = centroids.shape[1]
    colors = _choose_colors(num_clusters)
    figure = Figure(figsize=(13.0, 5.4), dpi=130)
    plain = figure.add_axes((0.01, 0.13, 0.31, 0.70))
    clustered = figure.add_axes((0.335, 0.13, 0.31, 0.70))
    path = figure.add_axes((0.71, 0.13, 0.275, 0.70))
    show_counts(plain, counts)
    height, width = counts.shape
    clustered.imshow(
        labels,
        cmap=ListedColormap(colors),
        vmin=-0.5,
        vmax=num_clusters - 0.5,
        interpolation="nearest",
        extent=(0, width, height, 0),
    )
    clustered.set_xticks([])
    clustered.set_yticks([])
    clustered.spines[:].set_color("0.8")
    for axes in (plain, clustered):
        zoom_to(axes, (counts > 0) | truth, side_px=3)
        outline(axes, truth, TRUTH, linewidth=1.0)
    plain.set_title("Counts; red: hotspots by the readers", size=9)
    clustered.set_title("Clusters, in the colours at the right", size=9)
    _draw_path(path, centroids, colors)
    add_caption(figure, *caption)
    return figure


def _draw_path(axes: Axes, centroids: np.ndarray, colors: list[str]) -> None:
    """Draws brightness of each centroid over the iterations."""
    steps = np.arange(len(centroids))
    for k, color in enumerate(colors):
        axes.plot(
            steps,
            centroids[:, k],
            color=color,
            marker="o",
            markersize=4,
            markeredgecolor="0.3",
            markeredgewidth=0.5,
        )
    axes.set_title("Centroids: brightness after each iteration", size=9)
    axes.set_xlabel("Iteration")
    axes.set_ylabel("Counts per pixel")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)


def _choose_colors(num_clusters: int) -> list[str]:
    """Returns colours from pale to dark, one for each cluster."""
    shades = np.linspace(0.15, 0.95, num_clusters)
    return [to_hex(colormaps["YlGnBu"](shade)) for shade in shades]
