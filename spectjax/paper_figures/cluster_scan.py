"""How K-means finds its clusters, and how well for each number K ([P1] Fig. 9, 11).

The number of images is N, of clusters K, of numbers of clusters C, of iterations T;
height and width are H and W.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast

import jax
import numpy as np

from spectjax.evaluation.batches import predict_in_batches
from spectjax.metrics.pixel import count_pixels, summarise_pixels
from spectjax.models.brightest_clusters import KMeans
from spectjax.ops.clustering import find_clusters, trace_centroids
from spectjax.ops.normalisation import keep_images
from spectjax.paper_figures.cluster_pictures import ClusterCurve

CLUSTERS = range(2, 16)


def scan_clusters(
    images: np.ndarray,
    masks: np.ndarray,
    ks: Sequence[int] = CLUSTERS,
    *,
    hotspot_clusters: Sequence[int] = (1,),
    normalise: Callable[[jax.Array], jax.Array] = keep_images,
    batch_size: int = 16,
    restarts: int = 10,
    max_iterations: int = 300,
    seed: int = 0,
) -> dict[int, ClusterCurve]:
    """Returns the IoU of K-means for each K.

    Args:
        images: counts, (N, H, W, 1).
        masks: truth, 0 is background, integer or bool, (N, H, W).
        ks: C numbers of clusters.
        hotspot_clusters: numbers of brightest clusters to take as hotspots; a number
            that is not below K gets no score there.
        normalise: one of `spectjax.ops.normalisation.NORMALISATIONS`.
        batch_size: images at once.
        restarts: see `KMeans`, as for the other two.
        max_iterations: of each restart.
        seed: of what is drawn.

    Returns:
        The curve of each number of hotspots' clusters.

    Raises:
        ValueError: if there is no image, the shapes differ, or a field cannot be used.
    """
    scores: dict[int, list[Mapping[str, float]]] = {n: [] for n in hotspot_clusters}
    for k in ks:
        model = KMeans(
            clusters=k,
            hotspot_clusters=1,
            restarts=restarts,
            max_iterations=max_iterations,
            seed=seed,
        )
        find = _compile(model, normalise)
        batches = predict_in_batches(find, images, batch_size=batch_size)
        found = [log_odds[: rows.stop - rows.start] for rows, log_odds in batches]
        log_odds = np.concatenate(found)
        for n, entries in scores.items():
            pixel = summarise_pixels(count_pixels(log_odds > 1 - n, masks))
            entries.append(
                {
                    name: pixel[name]["IoU"] if n < k else float("nan")
                    for name in ("pooled", "per_image")
                }
            )
    return {
        n: ClusterCurve(
            clusters=tuple(ks),
            pooled=tuple(entry["pooled"] for entry in entries),
            per_image=tuple(entry["per_image"] for entry in entries),
        )
        for n, entries in scores.items()
    }


def follow_centroids(
    counts: np.ndarray,
    *,
    clusters: int,
    restarts: int = 10,
    max_iterations: int = 300,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the clusters of one image as `KMeans` finds them, and the way there.

    Args:
        counts: (H, W).
        clusters: K.
        restarts: see `KMeans`, as for the other two.
        max_iterations: of each restart.
        seed: of what is drawn.

    Returns:
        The cluster of each pixel, int32, (H, W); the centroids before and after each
        iteration of the search that was kept, float32, (T + 1, K).

    Raises:
        ValueError: if a number cannot be used.
    """
    values = np.reshape(counts, (1, -1))
    find = partial(
        find_clusters,
        num_clusters=clusters,
        restarts=restarts,
        max_iterations=max_iterations,
    )
    found = jax.jit(find)(values, jax.random.key(seed))
    trace = partial(trace_centroids, max_iterations=int(found.iterations[0]))
    path = jax.jit(trace)(values[0], found.initial[0])
    return np.asarray(found.labels[0]).reshape(counts.shape), np.asarray(path)


def _compile(
    model: KMeans, normalise: Callable[[jax.Array], jax.Array]
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function from counts (B, H, W, 1) to log-odds (B, H, W)."""

    @jax.jit
    def find(counts: jax.Array) -> jax.Array:
        logits = cast(jax.Array, model.apply({}, normalise(counts), train=False))
        return logits[..., 1]

    return lambda counts: np.asarray(find(counts))
