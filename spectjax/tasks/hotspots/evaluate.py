"""Scores of a trained model on held-out images: numbers, a table and pictures.

The number of images is N, of images in a batch B, of classes K; height and width are H
and W.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
from matplotlib.figure import Figure

from spectjax.evaluation.batches import Fit, predict_in_batches
from spectjax.evaluation.run import FinishedRun
from spectjax.imaging.hotspots import classify_pixels
from spectjax.input_pipeline import Examples
from spectjax.metrics.pixel import SCORES, PixelCounts, score_pixels
from spectjax.report.data_notes import caption_data
from spectjax.report.picture_parts import save_figure
from spectjax.report.training_curves import draw_detection_training, draw_training
from spectjax.system.files import write_file, write_json
from spectjax.system.messages import UserError
from spectjax.tasks.hotspots.case_tables import (
    format_lesions,
    format_regions,
    format_segmentation_cases,
)
from spectjax.tasks.hotspots.cases import SegmentationCases, measure_cases
from spectjax.tasks.hotspots.fitting import fit_operation, make_operation
from spectjax.tasks.hotspots.image_scores import NONE
from spectjax.tasks.hotspots.labels import (
    FILE as LABELS_FILE,
)
from spectjax.tasks.hotspots.labels import (
    SUREST,
    ImageCollector,
    Judged,
    format_labels,
    summarise_labels,
)
from spectjax.tasks.hotspots.operation import FILE, Operation
from spectjax.tasks.hotspots.operation_scores import (
    draw_operation,
    summarise_operation,
)
from spectjax.tasks.hotspots.picture import draw_case
from spectjax.tasks.hotspots.precision_recall import draw_detection
from spectjax.tasks.hotspots.region_cases import (
    RegionCases,
    RegionCollector,
    collect_regions,
)
from spectjax.tasks.hotspots.scores import summarise_segmentation
from spectjax.tasks.hotspots.subgroups import (
    MARKED_FILE,
    count_marked,
    format_marked,
    score_groups,
)
from spectjax.tasks.hotspots.table import write_segmentation_table

PredictProbs = Callable[[np.ndarray], np.ndarray]
FindMasks = Callable[[int], np.ndarray]


def evaluate(run: FinishedRun) -> dict[str, Any]:
    """Scores a model that gives each pixel its probabilities, see `write_scores`.

    Where images may have labels alone, pixels and lesions are scored on the others and
    on those whose label says that there is nothing to outline; the section `images`
    scores the labels of all.

    Raises:
        UserError: if all images are without outlines and none is normal.
        ValueError: if there is no image or the model's output has the wrong shape or
            is not finite.
        WriteError: if a file cannot be written.
    """
    whole, run = run, leave_out_unknown(run)
    operation = learn_operation(run)
    collector = start_collector(run, operation)
    probs, classes = predict_hotspots(
        run.model.predict,
        run.held_out.images,
        batch_size=run.batch_size,
        look=collector.add,
        fit=run.fit(run.held_out),
    )
    regions, judged = collector.finish(operation)
    return write_scores(
        run,
        "segmentation",
        probs,
        classes,
        find_masks=lambda row: classes[row] > 0,
        operation=operation,
        regions=regions,
        scores=score_labels(whole, judged, operation),
    )


def has_labels_alone(run: FinishedRun) -> bool:
    """Tells whether some of a run's images may have a label and no outlines."""
    return run.image_score != NONE or run.external is not None


def start_collector(run: FinishedRun, operation: Operation | None) -> ImageCollector:
    """Returns what takes a model's answers about the images of a run."""
    level = operation.min_log_odds if operation else 0.0
    return ImageCollector(RegionCollector(run.held_out, level), run.image_score)


def score_labels(
    run: FinishedRun, judged: Judged, operation: Operation | None
) -> dict[str, Any]:
    """Returns `images`, how well labels are told, and writes `labels.csv`.

    Args:
        run: with all images, those that nobody outlined among them.
        judged: what the model says of the images whose lesions are known.
        operation: what it knows about its use, if that is known.

    Returns:
        Nothing where no image may have a label alone.

    Raises:
        WriteError: if the file cannot be written.
    """
    if not has_labels_alone(run):
        return {}
    examples, known = run.held_out, run.held_out.located
    found = Judged(np.zeros(len(examples)), np.zeros(len(examples), bool))
    parts = [(known, judged)]
    if not known.all():
        others = dataclasses.replace(run, held_out=examples.select(~known))
        collector = start_collector(others, operation)
        for rows, answer in predict_in_batches(
            run.model.predict,
            others.held_out.images,
            batch_size=run.batch_size,
            fit=run.fit(others.held_out),
        ):
            collector.add(rows, answer)
        parts.append((~known, collector.finish(operation)[1]))
    for chosen, said in parts:
        found.log_odds[chosen], found.marked[chosen] = said.log_odds, said.marked
    write_file(run.output_dir / LABELS_FILE, format_labels(examples, found))
    how = SUREST if run.image_score == NONE else run.image_score
    return {"images": summarise_labels(examples, found, how)}


def leave_out_unknown(run: FinishedRun) -> FinishedRun:
    """Returns a run with the images alone of which it is known where lesions are.

    Raises:
        UserError: if that is known of none that are held out.
    """
    if not has_labels_alone(run):
        return run
    load = run.calibration
    held_out = _take_known(run.held_out)
    if not len(held_out):
        raise UserError(
            f"{run.held_out.name}, {run.held_out.split}: expected images that are "
            f"outlined or normal, found none among {len(run.held_out)}. Hold out "
            "another fold with --config.data.fold."
        )
    return dataclasses.replace(
        run,
        held_out=held_out,
        calibration=None if load is None else lambda: _take_known(load()),
    )


def _take_known(examples: Examples) -> Examples:
    return examples.select(examples.located)


def write_scores(
    run: FinishedRun,
    task: str,
    probs: np.ndarray,
    classes: np.ndarray,
    *,
    find_masks: FindMasks,
    operation: Operation | None,
    regions: RegionCases,
    scores: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Scores what a model marked and writes what a reader wants to see.

    Writes `cases.csv`, `lesions.csv` and `regions.csv` (see
    `spectjax.tasks.hotspots.case_tables`), `table.md` ([P1] Table 2 with our rows, and
    the scores of lesions), `figures/{best,median,worst}.png` ([P1] Fig. 13),
    `figures/training.png` ([P1] Fig. 10, if there is a log), of detections
    `figures/precision_recall.png`, if there are images to calibrate on `operation.json`
    (see `spectjax.tasks.hotspots.operation`) and `figures/reliability.png`, and, last,
    `metrics.json`: where that file is, the others are complete.

    Args:
        run: the model and N images with truth.
        task: that of the model.
        probs: hotspot probabilities, float32, (N, H, W).
        classes: the most probable classes, uint8, (N, H, W).
        find_masks: what the model marked in the image of a row, bool, (H, W), or
            mask by mask, (T, H, W).
        operation: what the model knows about its use, if that is known.
        regions: what it marked, at the operation's level.
        scores: `detection`, of a model that marks instances; `images`, of one that
            learned from labels alone.

    Returns:
        The content of `metrics.json`; None stands for an undefined score.

    Raises:
        WriteError: if a file cannot be written.
    """
    cases = measure_cases(run.held_out, probs, classes)
    operated = operation and summarise_operation(operation, regions)
    metrics = run.make_document(
        task,
        {
            "n_images_without_lesion": cases.count_without_lesion(),
            **summarise_segmentation(cases),
            **(scores or {}),
            **({"operation": operated} if operated else {}),
            **_score_elsewhere(run, cases, regions, operation),
        },
    )
    write_file(run.output_dir / "cases.csv", format_segmentation_cases(cases))
    write_file(run.output_dir / "lesions.csv", format_lesions(cases))
    write_file(run.output_dir / "regions.csv", format_regions(cases))
    write_file(run.output_dir / "table.md", write_segmentation_table(metrics))
    figures = _draw_cases(run.held_out, find_masks, cases.pixels)
    if "detection" in metrics:
        figures["precision_recall"] = draw_detection(
            metrics["detection"],
            caption_data(metrics, f"Precision and recall: {run.model_name}"),
        )
    if operation is not None:
        write_json(run.output_dir / FILE, operation.to_json())
    if operation is not None and metrics["operation"]["calibration"]:
        figures["reliability"] = draw_operation(
            operation,
            regions,
            caption_data(metrics, f"Reliability: {run.model_name}"),
            instances="detection" in metrics,
        )
    if run.training_log is not None:
        draw = draw_detection_training if "detection" in metrics else draw_training
        figures["training"] = draw(
            run.training_log,
            title=f"Training of {run.model_name}",
            synthetic=run.held_out.synthetic,
        )
    for name, figure in figures.items():
        save_figure(figure, run.output_dir / "figures" / f"{name}.png")
    write_json(run.output_dir / "metrics.json", metrics)
    return metrics


def _score_elsewhere(
    run: FinishedRun,
    cases: SegmentationCases,
    regions: RegionCases,
    operation: Operation | None,
) -> dict[str, Any]:
    """Returns what is said of images of elsewhere besides; writes `marked.csv`.

    The points are measured anew on patients who are named for it and not scored.
    """
    if run.external is None:
        return {}
    marked = count_marked(cases, regions, operation)
    table = format_marked(cases.example_ids, marked)
    write_file(run.output_dir / MARKED_FILE, table)
    scores: dict[str, Any] = {"subgroups": score_groups(run.held_out, cases, marked)}
    if run.calibration is None:
        return scores
    examples = run.calibration()
    level = operation.min_log_odds if operation else 0.0
    (found,) = collect_regions(
        run.model.predict,
        examples,
        batch_size=run.batch_size,
        levels=(level,),
        fit=run.fit(examples),
    )
    adjusted = fit_operation(found, examples, level, learnt_from=False)
    if adjusted is None:
        raise UserError(
            f"{examples.name} {examples.split}: expected, to adjust operating points "
            "on, images with lesions, marked ones and false marks, found none of one "
            "kind. Name another part with --calibrate_on."
        )
    return scores | {"adjusted": summarise_operation(adjusted, regions)}


def learn_operation(run: FinishedRun) -> Operation | None:
    """Returns what a run's model knows about its use; None if nothing tells."""
    if run.brought is not None:
        return cast(Operation | None, run.brought.operation)
    if run.calibration is None:
        return None
    return make_operation(
        run.model.predict,
        run.calibration(),
        batch_size=run.batch_size,
        learnt_from=not run.validated,
    )


def predict_hotspots(
    predict_probs: PredictProbs,
    images: np.ndarray,
    *,
    batch_size: int,
    look: Callable[[slice, np.ndarray], None] | None = None,
    fit: Fit | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the probability of a hotspot and the most probable class of every pixel.

    The last batch is filled up with copies of its last image, whose predictions are
    thrown away: the model sees one shape and no padding is ever counted.

    Args:
        predict_probs: maps counts (B, H, W, 1) to probabilities (B, H, W, K).
        images: counts, (N, H, W, 1).
        batch_size: B.
        look: is shown the rows of each batch, and their probabilities.
        fit: see `predict_in_batches`.

    Returns:
        The sum of the probabilities of all classes but background, float32, (N, H, W),
        and the classes, uint8, (N, H, W). With two classes a pixel's class is 1 where
        its probability exceeds 0.5.

    Raises:
        ValueError: if the model's output has the wrong shape or is not finite.
    """
    hotspot_probs = np.zeros(images.shape[:3], dtype=np.float32)
    classes = np.zeros(images.shape[:3], dtype=np.uint8)
    batches = predict_in_batches(predict_probs, images, batch_size=batch_size, fit=fit)
    for rows, probs in batches:
        expected = (batch_size, *images.shape[1:3])
        if probs.ndim != 4 or probs.shape[:3] != expected or probs.shape[3] < 2:
            raise ValueError(
                f"Expected probabilities {(*expected, 'K>=2')} from the model, got "
                f"{probs.shape}."
            )
        probs = probs[: rows.stop - rows.start]
        classes[rows] = classify_pixels(probs)
        if look is not None:
            look(rows, probs)
        # 1 - p of background would round small probabilities away.
        hotspot_probs[rows] = probs[..., 1:].sum(axis=-1)
    return hotspot_probs, classes


def rank_cases(examples: Examples, counts: PixelCounts) -> dict[str, int]:
    """Returns the indices of the best, the median and the worst image by IoU.

    Images with nothing marked by readers or model would fill the first places with
    empty pictures; they take part only if there are no others. Equal IoU are ordered
    by example_id, and of two middle images the better is the median.
    """
    iou = score_pixels(counts)["IoU"]
    marked = np.flatnonzero(counts.tp + counts.fp + counts.fn)
    candidates = marked if marked.size else np.arange(iou.size)
    ranking = sorted(candidates, key=lambda i: (-iou[i], examples.example_ids[i]))
    return {
        "best": int(ranking[0]),
        "median": int(ranking[(len(ranking) - 1) // 2]),
        "worst": int(ranking[-1]),
    }


def _draw_cases(
    examples: Examples, find_masks: FindMasks, counts: PixelCounts
) -> dict[str, Figure]:
    """Returns the overlays of the best, the median and the worst case."""
    scores, figures = score_pixels(counts), {}
    for rank, index in rank_cases(examples, counts).items():
        listed = (f"{name} {_format_defined(scores[name][index])}" for name in SCORES)
        figures[rank] = draw_case(
            examples.images[index, :, :, 0],
            examples.masks[index] > 0,
            find_masks(index),
            title=f"{rank.capitalize()} case by IoU: {examples.example_ids[index]}",
            scores=f"{examples.views[index]} view, {', '.join(listed)}",
            synthetic=examples.synthetic,
        )
    return figures


def _format_defined(score: float) -> str:
    return "undefined" if np.isnan(score) else f"{score:.3f}"
