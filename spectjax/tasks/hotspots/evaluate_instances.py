"""Scores of a trained model that marks instances: those of pixels, lesions and boxes.

The number of images is N, of images in a batch B, of instances in each D, of classes K;
height and width are H and W.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from spectjax.evaluation.batches import predict_in_batches
from spectjax.evaluation.run import FinishedRun
from spectjax.hotspots import Instances, classify_pixels, decode_rle, paint_probs
from spectjax.input_pipeline import Examples
from spectjax.report.figures import save_figure
from spectjax.report.training_curves import draw_detection_training
from spectjax.system.files import replace_undefined, write_json
from spectjax.tasks.hotspots.cases import measure_cases
from spectjax.tasks.hotspots.detection_figures import draw_model_detection
from spectjax.tasks.hotspots.detection_scores import summarise_detections
from spectjax.tasks.hotspots.detections import (
    DetectionCases,
    Outlines,
    join_detection_cases,
    measure_detections,
)
from spectjax.tasks.hotspots.detections_file import write_detections
from spectjax.tasks.hotspots.evaluate import describe_scores, write_scores
from spectjax.tasks.hotspots.figures import describe_images

PredictInstances = Callable[[np.ndarray], Instances]


def evaluate(run: FinishedRun) -> dict[str, Any]:
    """Scores a run, see `evaluate_instances`."""
    return evaluate_instances(
        run.model.predict, run.held_out, num_classes=run.num_classes, **run.told
    )


def evaluate_instances(
    predict_instances: PredictInstances,
    examples: Examples,
    *,
    num_classes: int,
    batch_size: int,
    output_dir: pathlib.Path,
    model_name: str,
    dataset_info: Mapping[str, Any],
    training_log: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Scores a model on held-out originals and writes what a reader wants to see.

    Each instance paints its score over its mask, see `spectjax.hotspots.paint_probs`:
    of that map are made the scores and files of `evaluate_segmentation`. Besides,
    `detections.json` holds all instances beside the lesions, `metrics.json` the average
    precision of boxes and masks under `detection`, and
    `figures/precision_recall.png` its curves. The overlays show the instances whose
    score exceeds 0.5, each with an outline of its own.

    Args:
        predict_instances: maps counts (B, H, W, 1) to the instances of B images.
        examples: N images with truth.
        num_classes: K.
        batch_size: B, the same in every call, so that a jitted model compiles once.
        output_dir: folder to write to, usually `<workdir>/eval`.
        model_name: the model's registry name.
        dataset_info: what else to say about the data, see `evaluate_segmentation`.
        training_log: CSV of the training, see `draw_detection_training`.

    Returns:
        The content of `metrics.json`; None stands for an undefined score.

    Raises:
        ValueError: if there is no image or the model's output has the wrong shape or
            is not finite.
        WriteError: if a file cannot be written.
    """
    probs, classes, detections = predict_detections(
        predict_instances, examples, num_classes=num_classes, batch_size=batch_size
    )
    cases = measure_cases(examples, probs, classes)
    metrics = describe_scores(
        examples,
        cases,
        task="instance_segmentation",
        model_name=model_name,
        dataset_info=dataset_info,
    )
    metrics["detection"] = replace_undefined(summarise_detections(detections))
    write_detections(output_dir / "detections.json", detections, metrics["data"])
    write_scores(
        examples,
        cases,
        metrics,
        output_dir,
        find_masks=lambda row: decode_marked(
            detections.detections[row], examples.masks.shape[1:]
        ),
    )
    figure = draw_model_detection(
        metrics["detection"],
        title=f"Precision and recall: {model_name}",
        described=describe_images(metrics),
    )
    save_figure(figure, output_dir / "figures" / "precision_recall.png")
    if training_log is not None:
        figure = draw_detection_training(
            training_log,
            title=f"Training of {model_name}",
            synthetic=examples.synthetic,
        )
        save_figure(figure, output_dir / "figures" / "training.png")
    write_json(output_dir / "metrics.json", metrics)
    return metrics


def predict_detections(
    predict_instances: PredictInstances,
    examples: Examples,
    *,
    num_classes: int,
    batch_size: int,
) -> tuple[np.ndarray, np.ndarray, DetectionCases]:
    """Returns what a model says of every image; the model sees each image once.

    Args:
        predict_instances: maps counts (B, H, W, 1) to the instances of B images.
        examples: N images.
        num_classes: K.
        batch_size: B.

    Returns:
        Of the painted map the hotspot probability and the most probable class of every
        pixel, as `predict_hotspots` gives them, float32 and uint8, (N, H, W); and the
        instances beside the lesions.

    Raises:
        ValueError: if the model's output has the wrong shape or is not finite.
    """
    hotspot_probs = np.zeros(examples.masks.shape, dtype=np.float32)
    classes = np.zeros(examples.masks.shape, dtype=np.uint8)
    parts = []
    batches = predict_in_batches(
        predict_instances, examples.images, batch_size=batch_size
    )
    for rows, answer in batches:
        instances = Instances(*(each[: rows.stop - rows.start] for each in answer))
        parts.append(measure_detections(_select(examples, rows), instances))
        probs = paint_probs(instances, num_classes)
        classes[rows] = classify_pixels(probs)
        hotspot_probs[rows] = probs[..., 1:].sum(axis=-1)
    return hotspot_probs, classes, join_detection_cases(parts)


def decode_marked(found: Outlines, hw: tuple[int, ...]) -> np.ndarray:
    """Returns the masks of the instances whose score exceeds 0.5, bool, (T, H, W)."""
    masks = [
        decode_rle(mask)
        for mask, score in zip(found.masks, found.scores, strict=True)
        if score > 0.5
    ]
    return np.array(masks, dtype=bool).reshape(-1, *hw)


def _select(examples: Examples, rows: slice) -> Examples:
    """Returns some of the examples."""
    fields: dict[str, Any] = {
        field.name: getattr(examples, field.name)
        for field in dataclasses.fields(examples)
    }
    of_examples: dict[str, Any] = {
        name: value[rows]
        for name, value in fields.items()
        if isinstance(value, np.ndarray | list)
    }
    return dataclasses.replace(examples, **of_examples)
