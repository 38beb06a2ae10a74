"""Scores of a trained model that marks instances: those of pixels, lesions and boxes.

The number of images is N, of images in a batch B, of instances in each D, of classes K;
height and width are H and W.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from spectjax.evaluation.batches import join_cases, predict_in_batches
from spectjax.evaluation.run import FinishedRun
from spectjax.imaging.hotspots import (
    Instances,
    classify_pixels,
    decode_rle,
    paint_probs,
)
from spectjax.input_pipeline import Examples
from spectjax.tasks.hotspots.detection_scores import summarise_detections
from spectjax.tasks.hotspots.detections import (
    DetectionCases,
    Outlines,
    measure_detections,
)
from spectjax.tasks.hotspots.detections_file import FILE, write_detections
from spectjax.tasks.hotspots.evaluate import (
    learn_operation,
    leave_out_unknown,
    score_labels,
    start_collector,
    write_scores,
)

PredictInstances = Callable[[np.ndarray], Instances]


def evaluate(run: FinishedRun) -> dict[str, Any]:
    """Scores a model that marks instances and writes what a reader wants to see.

    Each instance paints its score over its mask, see `hotspots.paint_probs`:
    of that map are made the scores and files of `write_scores`. Besides,
    `detections.json` holds all instances beside the lesions and `metrics.json` the
    average precision of boxes and masks under `detection`. The overlays show the
    instances whose score exceeds 0.5, each with an outline of its own.
    """
    whole, run = run, leave_out_unknown(run)
    operation = learn_operation(run)
    collector = start_collector(run, operation)
    probs, classes, found = predict_detections(
        run.model.predict,
        run.held_out,
        num_classes=run.num_classes,
        batch_size=run.batch_size,
        look=collector.add,
    )
    regions, judged = collector.finish(operation)
    scores = {
        "detection": summarise_detections(found),
        **score_labels(whole, judged, operation),
    }
    write_detections(run.output_dir / FILE, found, run.data)

    def find_masks(row: int) -> np.ndarray:
        return decode_marked(found.detections[row], classes.shape[1:])

    return write_scores(
        run,
        "instance_segmentation",
        probs,
        classes,
        find_masks=find_masks,
        operation=operation,
        regions=regions,
        scores=scores,
    )


def predict_detections(
    predict_instances: PredictInstances,
    examples: Examples,
    *,
    num_classes: int,
    batch_size: int,
    look: Callable[[slice, Instances], None] | None = None,
) -> tuple[np.ndarray, np.ndarray, DetectionCases]:
    """Returns what a model says of every image; the model sees each image once.

    Args:
        predict_instances: maps counts (B, H, W, 1) to the instances of B images.
        examples: N images.
        num_classes: K.
        batch_size: B.
        look: is shown the rows of each batch, and their instances.

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
        parts.append(measure_detections(examples.select(rows), instances))
        if look is not None:
            look(rows, instances)
        probs = paint_probs(instances, num_classes)
        classes[rows] = classify_pixels(probs)
        hotspot_probs[rows] = probs[..., 1:].sum(axis=-1)
    return hotspot_probs, classes, join_cases(parts)


def decode_marked(found: Outlines, hw: tuple[int, ...]) -> np.ndarray:
    """Returns the masks of the instances whose score exceeds 0.5, bool, (T, H, W)."""
    masks = [
        decode_rle(mask)
        for mask, score in zip(found.masks, found.scores, strict=True)
        if score > 0.5
    ]
    return np.array(masks, dtype=bool).reshape(-1, *hw)
