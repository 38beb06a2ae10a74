"""Segmentation models over all folds: scores of all held-out images, and who is better.

Every image is scored once, by the run that held its patient out.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from spectjax.evaluation.batches import join_cases
from spectjax.evaluation.folds import (
    Workdirs,
    describe_folds,
    read_folds,
    summarise_folds,
)
from spectjax.metrics.lesions import HALF, froc, sensitivity_at
from spectjax.metrics.pixel import SCORES, summarise_pixels
from spectjax.report.data_notes import caption_data
from spectjax.report.picture_parts import save_figure
from spectjax.system.files import write_file, write_json
from spectjax.tasks.hotspots import NAMES
from spectjax.tasks.hotspots.burden import draw_burden
from spectjax.tasks.hotspots.case_tables import read_run_tables
from spectjax.tasks.hotspots.cases import SegmentationCases, join_segmentation_cases
from spectjax.tasks.hotspots.comparison import (
    DETECTIONS_COMPARED,
    compare_detections,
    compare_false_regions,
    compare_segmentation,
)
from spectjax.tasks.hotspots.detection_scores import (
    score_detections,
    summarise_detections,
)
from spectjax.tasks.hotspots.detections import DetectionCases
from spectjax.tasks.hotspots.detections_file import read_run_detections
from spectjax.tasks.hotspots.froc import draw_froc
from spectjax.tasks.hotspots.metrics_sections import Detection
from spectjax.tasks.hotspots.precision_recall import draw_detection
from spectjax.tasks.hotspots.scores import summarise_segmentation
from spectjax.tasks.hotspots.table import write_segmentation_table

REFERENCE = "kmeans"  # registry name of the model that others are to beat


def compare_segmentations(
    workdirs: Workdirs,
    networks: Mapping[str, Mapping[str, Any]],
    output_dir: pathlib.Path,
) -> dict[str, Any]:
    """Writes what finished runs say together.

    Writes `table.md` ([P1] Table 2 with our rows), `figures/froc.png` of all models,
    `figures/burden_<name>.png` of each, `figures/precision_recall_<name>.png` of those
    that mark instances and, last, `metrics.json`.

    See `compare` of `spectjax.tasks.Row` and, for its errors, `read_folds`.
    """
    documents, folds = read_folds(
        workdirs, NAMES, read=read_run_tables, find_truth=_count_true
    )
    first = {name: runs[0] for name, runs in documents.items()}
    detections = {
        name: [
            read_run_detections(workdir / "eval", each.example_ids)
            for workdir, each in zip(workdirs[name], found, strict=True)
        ]
        for name, found in folds.items()
        if first[name]["task"] == "instance_segmentation"
    }
    cases = {name: join_segmentation_cases(found) for name, found in folds.items()}
    everyone = next(iter(cases.values()))

    def summarise_model(name: str) -> dict[str, Any]:
        scores: dict[str, Any] = {
            "task": first[name]["task"],
            **summarise_segmentation(cases[name]),
            "folds": summarise_folds([score_fold(each) for each in folds[name]]),
        }
        if name in detections:
            scores["detection"] = summarise_detection_folds(detections[name])
        return scores

    metrics = describe_folds(
        documents,
        workdirs,
        networks,
        everyone.patients,
        summarise_model,
        task="segmentation",  # that of the table; its models have their own
        n_images_without_lesion=everyone.count_without_lesion(),
        comparisons=compare_segmentation(cases),
        detection_comparisons=compare_detections(
            {name: join_cases(each) for name, each in detections.items()}
        ),
        at_equal_sensitivity=[
            compare_false_regions(cases, name)
            for name in folds
            if first[name]["model"] == REFERENCE
        ],
    )
    write_file(output_dir / "table.md", write_segmentation_table(metrics))
    _draw(cases, metrics, output_dir / "figures")
    write_json(output_dir / "metrics.json", metrics)
    return metrics


def _count_true(cases: SegmentationCases) -> dict[str, int]:
    """Returns how many pixels of each image are hotspots, by its name."""
    pixels = (cases.pixels.tp + cases.pixels.fn).tolist()
    return dict(zip(cases.example_ids, pixels, strict=True))


def score_fold(cases: SegmentationCases) -> dict[str, float]:
    """Returns the scores of one fold that the table gives the spread of.

    Returns:
        `pooled_<score>` and `per_image_<score>` of the pixels, the lesion `sensitivity`
        and `false_per_image` at the threshold 0.5, and `sensitivity_at_1` false region
        per image.
    """
    pixel, curve = summarise_pixels(cases.pixels), froc(cases.lesions, cases.regions)
    return {
        **{f"{k}_{s}": pixel[k][s] for k in ("pooled", "per_image") for s in SCORES},
        "sensitivity": float(curve.sensitivity[HALF]),
        "false_per_image": float(curve.false_per_image[HALF]),
        "sensitivity_at_1": sensitivity_at(curve, 1.0),
    }


def summarise_detection_folds(folds: Sequence[DetectionCases]) -> Detection:
    """Returns the scores of all folds together, and how those of a fold spread."""
    scores: list[dict[str, float]] = []
    for each in folds:
        found: Any = score_detections(each)
        paths = {path: path.split(".") for path in DETECTIONS_COMPARED}
        scores.append({path: found[kind][name] for path, (kind, name) in paths.items()})
    everyone = summarise_detections(join_cases(folds))
    return {**everyone, "folds": summarise_folds(scores)}


def _draw(
    cases: Mapping[str, SegmentationCases],
    metrics: Mapping[str, Any],
    figures_dir: pathlib.Path,
) -> None:
    models, how = metrics["models"], "cross-validation over patients"
    figures = {"froc": draw_froc(models, caption_data(metrics, f"FROC: {how}"))}
    for name, each in cases.items():
        figures[f"burden_{name}"] = draw_burden(
            each.burden,
            models[name]["burden"],
            caption_data(metrics, f"Burden, {name} against readers: {how}"),
        )
        if "detection" in models[name]:
            figures[f"precision_recall_{name}"] = draw_detection(
                models[name]["detection"],
                caption_data(metrics, f"Precision and recall, {name}: {how}"),
            )
    for name, figure in figures.items():
        save_figure(figure, figures_dir / f"{name}.png")


def summarise(model: Mapping[str, Any]) -> str:
    """Returns the main scores of an entry of `models`, a line."""
    pixel, sensitivity = model["pixel"], model["lesion"]["sensitivity_at"]["1"]
    found = "; no lesion to find"  # a hospital may have sent normal images alone
    if sensitivity is not None:
        found = f"; at 1 false region per image {sensitivity:.3f} of the lesions"
    return (
        f"IoU {pixel['pooled']['IoU']:.4f} pooled, {pixel['per_image']['IoU']:.4f} per "
        f"image{found}"
    )
