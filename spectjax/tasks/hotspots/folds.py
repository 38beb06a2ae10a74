"""Segmentation models over all folds: scores of all held-out images, and who is better.

Every image is scored once, by the run that held its patient out.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from spectjax.evaluation.folds import (
    check_images,
    check_same_data,
    describe_folds,
    end_document,
    read_metrics,
    read_training_seconds,
    summarise_folds,
)
from spectjax.metrics.lesions import HALF, froc, sensitivity_at
from spectjax.metrics.pixel import SCORES, summarise_pixels
from spectjax.report.figures import save_figure
from spectjax.system.files import replace_undefined, write_file, write_json
from spectjax.tasks.hotspots import NAMES
from spectjax.tasks.hotspots.case_tables import read_run_tables
from spectjax.tasks.hotspots.cases import (
    SegmentationCases,
    join_segmentation_cases,
)
from spectjax.tasks.hotspots.comparison import compare_false_regions, compare_models
from spectjax.tasks.hotspots.detection_figures import draw_model_detection
from spectjax.tasks.hotspots.detection_folds import (
    compare_detectors,
    read_folds,
    summarise_detector,
)
from spectjax.tasks.hotspots.detections import DetectionCases, join_detection_cases
from spectjax.tasks.hotspots.figures import (
    describe_images,
    draw_model_burden,
    draw_models_froc,
)
from spectjax.tasks.hotspots.folds_table import write_segmentation_folds_table
from spectjax.tasks.hotspots.scores import summarise_segmentation

REFERENCE = "kmeans"  # registry name of the model that others are to beat


def compare_segmentations(
    workdirs: Mapping[str, Sequence[pathlib.Path]],
    networks: Mapping[str, Mapping[str, Any]],
    output_dir: pathlib.Path,
) -> dict[str, Any]:
    """Writes what finished runs say together.

    Writes `table.md` ([P1] Table 2 with our rows), `figures/froc.png` of all models,
    `figures/burden_<name>.png` of each, `figures/precision_recall_<name>.png` of those
    that mark instances and, last, `metrics.json`.

    Args:
        workdirs: the runs of each model, one for each fold, in the order of folds.
        networks: of each model `num_parameters`, `num_epochs` and `image_hw`.
        output_dir: folder to write to.

    Returns:
        The content of `metrics.json`; None stands for an undefined score.

    Raises:
        ValueError: if a run is not finished or the runs did not score the same images.
        WriteError: if a file cannot be written.
    """
    documents = {
        name: [read_metrics(each, *NAMES) for each in folders]
        for name, folders in workdirs.items()
    }
    folds = {
        name: [read_run_tables(each / "eval") for each in folders]
        for name, folders in workdirs.items()
    }
    check_same_data(documents, workdirs)
    check_images({k: [_count_true(each) for each in v] for k, v in folds.items()})
    detections = {
        name: read_folds(workdirs[name], found)
        for name, found in folds.items()
        if documents[name][0]["task"] == "instance_segmentation"
    }
    cases = {name: join_segmentation_cases(found) for name, found in folds.items()}
    everyone = next(iter(cases.values()))
    references = [k for k in folds if documents[k][0]["model"] == REFERENCE]
    metrics: dict[str, Any] = replace_undefined(
        {
            **describe_folds(next(iter(documents.values())), everyone.patients),
            "task": "segmentation",  # that of the table; its models have their own
            "n_images_without_lesion": int(
                sum(everyone.pixels.tp + everyone.pixels.fn == 0)
            ),
            "models": {
                name: {
                    "task": documents[name][0]["task"],
                    "model": documents[name][0]["model"],
                    **summarise_segmentation(cases[name]),
                    **_summarise_detections(detections.get(name)),
                    "folds": summarise_folds([score_fold(each) for each in found]),
                    "network": dict(networks[name]),
                    "training_seconds": [
                        read_training_seconds(each, networks[name]["num_epochs"])
                        for each in workdirs[name]
                    ],
                }
                for name, found in folds.items()
            },
            "comparisons": compare_models(cases),
            "detection_comparisons": compare_detectors(
                {k: join_detection_cases(each) for k, each in detections.items()}
            ),
            "at_equal_sensitivity": [
                compare_false_regions(cases, name) for name in references
            ],
            **end_document(),
        }
    )
    write_file(output_dir / "table.md", write_segmentation_folds_table(metrics))
    _draw(cases, metrics, output_dir / "figures")
    write_json(output_dir / "metrics.json", metrics)
    return metrics


def _count_true(cases: SegmentationCases) -> dict[str, int]:
    """Returns how many pixels of each image are hotspots, by its name."""
    pixels = (cases.pixels.tp + cases.pixels.fn).tolist()
    return dict(zip(cases.example_ids, pixels, strict=True))


def _summarise_detections(
    folds: Sequence[DetectionCases] | None,
) -> dict[str, Any]:
    """Returns `detection`, or nothing for a model that marks no instances."""
    return {} if folds is None else {"detection": summarise_detector(folds)}


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


def _draw(
    cases: Mapping[str, SegmentationCases],
    metrics: Mapping[str, Any],
    figures_dir: pathlib.Path,
) -> None:
    models, described = metrics["models"], describe_images(metrics)
    figure = draw_models_froc(
        models, title="FROC: cross-validation over patients", described=described
    )
    save_figure(figure, figures_dir / "froc.png")
    for name, each in cases.items():
        figure = draw_model_burden(
            each,
            models[name]["burden"],
            title=f"Burden, {name} against readers: cross-validation over patients",
            described=described,
        )
        save_figure(figure, figures_dir / f"burden_{name}.png")
        if "detection" in models[name]:
            figure = draw_model_detection(
                models[name]["detection"],
                title=f"Precision and recall, {name}: cross-validation over patients",
                described=described,
            )
            save_figure(figure, figures_dir / f"precision_recall_{name}.png")


def summarise(model: Mapping[str, Any]) -> str:
    """Returns the main scores of one model, a line.

    Args:
        model: its entry under `models` in `metrics.json`.
    """
    pixel, sensitivity = model["pixel"], model["lesion"]["sensitivity_at"]["1"]
    found = "; no lesion to find"  # a hospital may have sent normal images alone
    if sensitivity is not None:
        found = f"; at 1 false region per image {sensitivity:.3f} of the lesions"
    return (
        f"IoU {pixel['pooled']['IoU']:.4f} pooled, {pixel['per_image']['IoU']:.4f} per "
        f"image{found}"
    )
