"""The figures of [P1] for a finished segmentation run, on the images it held out.

The number of images is N; height and width are H and W.
"""

import pathlib
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from spectjax import input_pipeline
from spectjax.evaluation.folds import read_metrics
from spectjax.evaluation.metrics_file import OtherDataError
from spectjax.imaging.hotspots import CLASS_NAMES, paint_probs
from spectjax.inference.trained import load_run
from spectjax.input_pipeline import Examples
from spectjax.metrics.pixel import PixelCounts, score_pixels
from spectjax.models.brightest_clusters import KMeans
from spectjax.paper_figures.cluster_pictures import draw_centroids, draw_cluster_curve
from spectjax.paper_figures.cluster_scan import follow_centroids, scan_clusters
from spectjax.paper_figures.overlays import (
    KMEANS,
    NETWORK,
    Segmentation,
    draw_comparison,
)
from spectjax.report.data_notes import Caption, caption_data
from spectjax.report.picture_parts import save_figure
from spectjax.system.files import replace_undefined, write_file
from spectjax.system.schema import Each, Maybe
from spectjax.tasks import TASKS
from spectjax.tasks.hotspots import NAMES
from spectjax.tasks.hotspots.burden import draw_burden
from spectjax.tasks.hotspots.case_tables import read_run_tables
from spectjax.tasks.hotspots.cases import SegmentationCases, measure_cases
from spectjax.tasks.hotspots.evaluate import predict_hotspots, rank_cases
from spectjax.tasks.hotspots.froc import draw_froc
from spectjax.tasks.hotspots.scores import summarise_segmentation

_KMEANS = "kmeans"  # registry name
# Figures that every run draws, by the names that they get beside these.
_OWN = {
    "training": "training",
    "best": "case_best",
    "median": "case_median",
    "worst": "case_worst",
    "precision_recall": "precision_recall",
}
# What of `metrics.json` they draw.
_DRAWN = {
    "n_images": int,
    "n_patients": int,
    "lesion": {
        "n": int,
        "min_iou": float,
        "sensitivity": Maybe(float),
        "false_per_image": float,
        "sensitivity_at": {"1": Maybe(float)},
        "froc": {"false_per_image": [float], "sensitivity": [Maybe(float)]},
    },
    "intervals": {"lesion.sensitivity_at.1": [Maybe(float)]},
    "burden": {"area_mm2": Each(Maybe(float)), "counts": Each(Maybe(float))},
}
_EXAMPLE_CLUSTERS = 5  # as in [P1] Fig. 9
_HOTSPOT_CLUSTERS = (1, 2)  # brightest ones: which are hotspots [P1] does not say
_BATCH = 8  # images that K-means takes at once

PredictProbs = Callable[[np.ndarray], np.ndarray]


def draw_run(
    workdir: pathlib.Path, builder_dir: pathlib.Path, output_dir: pathlib.Path
) -> list[str]:
    """Writes all figures of a run, see `spectjax.figures`.

    A run of K-means has no training to show, and is not compared with itself.

    Args:
        workdir: folder of a finished segmentation run.
        builder_dir: folder of its data set.
        output_dir: folder to write to.

    Returns:
        The names of the files.

    Raises:
        UserError: if a file of the run is missing, or the data set has other images.
        WriteError: if a file cannot be written.
    """
    metrics = read_metrics(workdir, *NAMES, schema=_DRAWN)
    cases = read_run_tables(workdir / "eval")
    examples = input_pipeline.load_examples(builder_dir, metrics["data"]["split"])
    check_scored_images(cases, examples, builder_dir)

    model = metrics["model"]
    figures = {
        "kmeans_centroids": _draw_centroids(
            examples, rank_cases(examples, cases.pixels)["median"]
        ),
        "kmeans_curve": draw_cluster_curve(
            scan_clusters(
                examples.images, examples.masks, hotspot_clusters=_HOTSPOT_CLUSTERS
            ),
            caption_data(metrics, "IoU of K-means for each number of clusters"),
        ),
    }
    shown: dict[str, Any] = {model: metrics}
    if model != _KMEANS:
        probs, classes = predict_hotspots(
            _load_kmeans(), examples.images, batch_size=_BATCH
        )
        clustered = measure_cases(examples, probs, classes)
        shown[_KMEANS] = replace_undefined(summarise_segmentation(clustered))
        figures |= _draw_comparisons(workdir, examples, cases, clustered, classes)
    figures["froc"] = draw_froc(shown, caption_data(metrics, f"FROC: {model}"))
    figures["burden"] = draw_burden(
        cases.burden,
        metrics["burden"],
        caption_data(metrics, f"Burden: {model} against readers"),
    )
    for name, figure in figures.items():
        save_figure(figure, output_dir / f"{name}.png")
    return [*(f"{name}.png" for name in figures), *_copy_own(workdir, output_dir)]


def _draw_centroids(examples: Examples, row: int) -> Figure:
    """Returns the clusters of one image, and how their centroids moved."""
    counts = examples.images[row, :, :, 0]
    labels, path = follow_centroids(counts, clusters=_EXAMPLE_CLUSTERS)
    caption = _caption_example(examples, row, f"K-means, K = {_EXAMPLE_CLUSTERS}")
    iterations = f"{len(path) - 1} iterations"
    return draw_centroids(
        counts,
        labels,
        path,
        truth=examples.masks[row] > 0,
        caption=caption._replace(subtitle=f"{caption.subtitle}, {iterations}"),
    )


def _caption_example(examples: Examples, row: int, title: str) -> Caption:
    name, view = examples.example_ids[row], examples.views[row]
    return Caption(f"{title}: {name}", f"{view} view", examples.synthetic)


def _draw_comparisons(
    workdir: pathlib.Path,
    examples: Examples,
    cases: SegmentationCases,
    clustered: SegmentationCases,
    clusters: np.ndarray,
) -> dict[str, Figure]:
    """Returns K-means beside the run's model on its best, median and worst image.

    Args:
        workdir: the run.
        examples: N images.
        cases: what the run's model said about them.
        clustered: what K-means said about them.
        clusters: the classes that K-means gave their pixels, (N, H, W).
    """
    trained = load_run(workdir)
    model, ranked = trained.info["model"], rank_cases(examples, cases.pixels)
    rows = list(ranked.values())

    def predict_probs(counts: np.ndarray) -> np.ndarray:
        found: Any = trained.predict(counts)
        if TASKS[trained.task].answer == "instances":
            found = paint_probs(found, len(CLASS_NAMES))
        return np.asarray(found)

    _, classes = predict_hotspots(
        predict_probs, examples.images[rows], batch_size=len(rows)
    )
    figures = {}
    for (rank, row), marked in zip(ranked.items(), classes, strict=True):
        segmentations = [
            Segmentation(name, mask > 0, color, _tell_scores(said.pixels, row))
            for name, mask, color, said in (
                (_KMEANS, clusters[row], KMEANS, clustered),
                (model, marked, NETWORK, cases),
            )
        ]
        title = f"{rank.capitalize()} case by IoU of {model}"
        figures[f"comparison_{rank}"] = draw_comparison(
            examples.images[row, :, :, 0],
            examples.masks[row] > 0,
            segmentations,
            _caption_example(examples, row, title),
        )
    return figures


def _tell_scores(counts: PixelCounts, row: int) -> str:
    """Returns the scores of one image that stand below it."""
    scores = score_pixels(counts)
    return f"IoU {scores['IoU'][row]:.3f}, Dice {scores['Dice'][row]:.3f}"


def _load_kmeans() -> PredictProbs:
    """Returns K-means as [P1] has it, as a function from counts to probabilities."""
    model = KMeans()

    @jax.jit
    def predict(counts: jax.Array) -> jax.Array:
        logits = model.apply({}, counts.astype(jnp.float32), train=False)
        return jax.nn.softmax(cast(jax.Array, logits))

    return lambda counts: np.asarray(predict(counts))


def _copy_own(workdir: pathlib.Path, output_dir: pathlib.Path) -> list[str]:
    """Copies the figures that the run itself has drawn, and returns their new names."""
    copied = []
    for old, new in _OWN.items():
        path = workdir / "eval" / "figures" / f"{old}.png"
        if path.exists():
            write_file(output_dir / f"{new}.png", path.read_bytes())
            copied.append(f"{new}.png")
    return copied


def check_scored_images(
    cases: SegmentationCases, examples: Examples, builder_dir: pathlib.Path
) -> None:
    """Checks that a data set still holds the images that a run was scored on.

    Raises:
        OtherDataError: if it does not.
    """
    lesion_px = np.count_nonzero(examples.masks, axis=(1, 2))
    known = cases.pixels.tp + cases.pixels.fn
    if cases.example_ids != examples.example_ids or (known != lesion_px).any():
        raise OtherDataError(
            f"{builder_dir}, {examples.split}: expected the {len(cases)} images that "
            "the run was scored on, found others: the data set was prepared anew. Name "
            "the folder of the old one with --data_dir, or train again."
        )
