"""Times K-means against scikit-learn's on simulated 256x256 images, in one run.

    python -m benchmarks.clustering
    taskset -c 0 python -m benchmarks.clustering --clusters=9 --repeats=9

The two take turns. Seconds are processor time of this process, summed over threads,
which other programs on the machine disturb least. `same` gives both the same first
centroids and lets both search until no pixel changes its cluster; their objectives are
compared. `defaults` lets each begin as it would: scikit-learn with k-means++ once and
its tolerance, spectjax with ten random beginnings. `weighted` gives scikit-learn what a
careful user could: each count once, weighted by how often it occurs.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from absl import flags

from spectjax.system.commands import refuse_arguments, run_command
from spectjax.system.workers import count_cores

_CLUSTERS = flags.DEFINE_integer("clusters", 9, "K.", lower_bound=2)
_IMAGES = flags.DEFINE_integer("images", 8, "Images in the batch.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 7, "Turns of each.", lower_bound=1)
_HW = (256, 256)


def make_images(count: int) -> np.ndarray:
    """Returns counts like those of thoraces with hotspots, uint16, (B, N).

    An ellipse of soft tissue, a spine and ribs, and round spots, with Poisson noise.
    """
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: _HW[0], : _HW[1]] / _HW[0] - 0.5
    body = (rows / 0.35) ** 2 + (columns / 0.28) ** 2 < 1
    spine = np.exp(-((columns / 0.03) ** 2))
    ribs = np.cos(rows * 90) > 0.6
    images = []
    for _ in range(count):
        expected = rng.uniform(1, 4) * body * (1 + 5 * spine + 1.5 * ribs)
        for _ in range(rng.integers(2, 8)):
            row, column = rng.uniform(-0.2, 0.2, size=2)
            distance = (rows - row) ** 2 + (columns - column) ** 2
            expected += rng.uniform(10, 80) * np.exp(-distance / (2 * 0.015**2))
        images.append(rng.poisson(expected).astype(np.uint16).reshape(-1))
    return np.stack(images)


def fit(image: np.ndarray, weights: np.ndarray | None = None, **changes: Any) -> float:
    """Returns the objective that scikit-learn finds for one image."""
    from sklearn.cluster import KMeans  # here, as jax: --help need not wait for them

    options = {"n_clusters": _CLUSTERS.value, "random_state": 0} | changes
    model = KMeans(**options).fit(image[:, None].astype(np.float32), None, weights)
    return float(model.inertia_)


def fit_from(images: np.ndarray, initial: np.ndarray, weighted: bool) -> list[float]:
    """Returns the lowest objective of each image from the given centroids (B, R, K)."""
    found = []
    for image, starts in zip(images, initial, strict=True):
        weights = None
        if weighted:
            image, weights = np.unique(image, return_counts=True)
        found.append(
            min(
                fit(image, weights, init=start[:, None], n_init=1, tol=0)
                for start in starts
            )
        )
    return found


def measure(
    contenders: dict[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    """Returns the seconds of each turn, after one to warm up."""
    for run in contenders.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    return seconds


def measure_same(images: np.ndarray, restarts: int) -> None:
    """Prints the times from the same first centroids, and compares the objectives."""
    import jax

    from spectjax.ops.clustering import choose_centroids, refine_clusters

    on_device, clusters = jax.device_put(images), _CLUSTERS.value
    choose = partial(choose_centroids, num_clusters=clusters, restarts=restarts)
    initial = jax.jit(choose)(on_device, jax.random.key(0))
    starts = np.asarray(initial)
    refine = jax.jit(refine_clusters)
    ours = np.asarray(refine(on_device, initial).objective)
    excess = ours / np.array(fit_from(images, starts, weighted=True)) - 1
    seconds = measure(
        {
            "spectjax": lambda: refine(on_device, initial).labels.block_until_ready(),
            "scikit-learn": lambda: fit_from(images, starts, weighted=False),
            "scikit-learn, weighted": lambda: fit_from(images, starts, weighted=True),
        },
        _REPEATS.value,
    )
    report(
        f"same: {restarts} beginnings; objectives {excess.min():.0e} to "
        f"{excess.max():.0e} above scikit-learn's",
        seconds,
    )


def report(title: str, seconds: dict[str, list[float]]) -> None:
    """Prints milliseconds per image, and how many times those of spectjax they are."""
    print(title)
    ours = seconds["spectjax"]
    for name, times in seconds.items():
        ms = [1000 * x / _IMAGES.value for x in times]
        ratio = statistics.median(a / b for a, b in zip(times, ours, strict=True))
        print(
            f"  {name:24s} {statistics.median(ms):8.1f} ms/image "
            f"({min(ms):.1f} to {max(ms):.1f}), {ratio:6.1f} times spectjax"
        )


def main(argv: list[str]) -> None:
    """Measures and prints."""
    refuse_arguments(argv)
    import jax
    import sklearn

    from spectjax.ops.clustering import find_clusters

    images, key = make_images(_IMAGES.value), jax.random.key(0)
    clusters = _CLUSTERS.value
    print(
        f"{len(images)} images of {_HW[0]}x{_HW[1]}, K = {clusters}, "
        f"{count_cores()} cores, {jax.devices()[0].device_kind}; "
        f"jax {jax.__version__}, scikit-learn {sklearn.__version__}; medians of "
        f"{_REPEATS.value}"
    )
    on_device = jax.device_put(images)
    for restarts in (1, 10):
        measure_same(images, restarts)
    find = jax.jit(partial(find_clusters, num_clusters=clusters))
    seconds = measure(
        {
            "spectjax": lambda: find(on_device, key).labels.block_until_ready(),
            "scikit-learn": lambda: [fit(image) for image in images],
            "scikit-learn, random": lambda: [
                fit(image, init="random", n_init=10) for image in images
            ],
        },
        _REPEATS.value,
    )
    report("defaults; random: ten beginnings, its tolerance", seconds)


if __name__ == "__main__":
    run_command(main)
