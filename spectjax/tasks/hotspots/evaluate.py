"""Scores of a trained model on held-out images: numbers, a table and pictures.

The number of images is N, of images in a batch B, of classes K; height and width are H
and W.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import spectjax
from spectjax.evaluation.batches import predict_in_batches
from spectjax.evaluation.run import FinishedRun
from spectjax.hotspots import classify_pixels
from spectjax.input_pipeline import Examples
from spectjax.metrics.pixel import SCORES, PixelCounts, score_pixels
from spectjax.report.figures import draw_case, save_figure
from spectjax.report.training_curves import draw_training
from spectjax.system.files import replace_undefined, write_file, write_json
from spectjax.system.messages import DISCLAIMER
from spectjax.tasks.hotspots.case_tables import (
    format_lesions,
    format_regions,
    format_segmentation_cases,
)
from spectjax.tasks.hotspots.cases import SegmentationCases, measure_cases
from spectjax.tasks.hotspots.scores import summarise_segmentation
from spectjax.tasks.hotspots.table import write_segmentation_table

PredictProbs = Callable[[np.ndarray], np.ndarray]
FindMasks = Callable[[int], np.ndarray]


def evaluate(run: FinishedRun) -> dict[str, Any]:
    """Scores a run, see `evaluate_segmentation`."""
    return evaluate_segmentation(run.model.predict, run.held_out, **run.told)


def evaluate_segmentation(
    predict_probs: PredictProbs,
    examples: Examples,
    *,
    batch_size: int,
    output_dir: pathlib.Path,
    model_name: str,
    dataset_info: Mapping[str, Any],
    training_log: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Scores a model on held-out originals and writes what a reader wants to see.

    Writes `cases.csv`, `lesions.csv` and `regions.csv` (see
    `spectjax.tasks.hotspots.case_tables`), `table.md` ([P1] Table 2 with our rows,
    and the scores of lesions), `figures/{best,median,worst}.png` ([P1] Fig. 13),
    `figures/training.png` ([P1] Fig. 10, if there is a log) and, last, `metrics.json`:
    where that file is, the others are complete.

    Args:
        predict_probs: maps counts (B, H, W, 1) to probabilities (B, H, W, K).
        examples: N images with truth; unless they are marked as leaking, originals of
            patients not trained on.
        batch_size: B, the same in every call, so that a jitted model compiles once.
        output_dir: folder to write to, usually `<workdir>/eval`.
        model_name: the model's registry name.
        dataset_info: what else to say about the data, e.g. `config`; joins `name`,
            `split`, `synthetic` and `leaking` of the examples under `data`.
        training_log: CSV of the training with the columns epoch, loss and PA.

    Returns:
        The content of `metrics.json`; None stands for an undefined score.

    Raises:
        ValueError: if there is no image or the model's output has the wrong shape or
            is not finite.
        WriteError: if a file cannot be written.
    """
    probs, classes = predict_hotspots(
        predict_probs, examples.images, batch_size=batch_size
    )
    cases = measure_cases(examples, probs, classes)
    metrics = describe_scores(
        examples,
        cases,
        task="segmentation",
        model_name=model_name,
        dataset_info=dataset_info,
    )
    write_scores(
        examples, cases, metrics, output_dir, find_masks=lambda row: classes[row] > 0
    )
    if training_log is not None:
        figure = draw_training(
            training_log,
            title=f"Training of {model_name}",
            synthetic=examples.synthetic,
        )
        save_figure(figure, output_dir / "figures" / "training.png")
    write_json(output_dir / "metrics.json", metrics)
    return metrics


def describe_scores(
    examples: Examples,
    cases: SegmentationCases,
    *,
    task: str,
    model_name: str,
    dataset_info: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns what `metrics.json` says of hotspots that a model marked.

    Args:
        examples: N images.
        cases: what the model said about them.
        task: that of the model.
        model_name: the model's registry name.
        dataset_info: see `evaluate_segmentation`.
    """
    return {
        "task": task,
        "model": model_name,
        "data": {
            "name": examples.name,
            "split": examples.split,
            "synthetic": examples.synthetic,
            "leaking": examples.leaking,
            **dataset_info,
        },
        "n_images": len(examples.example_ids),
        "n_patients": len(set(examples.patients)),
        "n_images_without_lesion": int(np.sum(cases.pixels.tp + cases.pixels.fn == 0)),
        **replace_undefined(summarise_segmentation(cases)),
        "spectjax_version": spectjax.__version__,
        "disclaimer": DISCLAIMER,
    }


def write_scores(
    examples: Examples,
    cases: SegmentationCases,
    metrics: Mapping[str, Any],
    output_dir: pathlib.Path,
    *,
    find_masks: FindMasks,
) -> None:
    """Writes the tables and the overlays of an evaluation, see `evaluate_segmentation`.

    Args:
        examples: N images.
        cases: what the model said about them.
        metrics: for `table.md`.
        output_dir: folder to write to.
        find_masks: what the model marked in the image of a row, bool, (H, W), or
            mask by mask, (T, H, W).

    Raises:
        WriteError: if a file cannot be written.
    """
    write_file(output_dir / "cases.csv", format_segmentation_cases(cases))
    write_file(output_dir / "lesions.csv", format_lesions(cases))
    write_file(output_dir / "regions.csv", format_regions(cases))
    write_file(output_dir / "table.md", write_segmentation_table(metrics))
    _draw_cases(examples, find_masks, cases.pixels, output_dir / "figures")


def predict_hotspots(
    predict_probs: PredictProbs, images: np.ndarray, *, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the probability of a hotspot and the most probable class of every pixel.

    The last batch is filled up with copies of its last image, whose predictions are
    thrown away: the model sees one shape and no padding is ever counted.

    Args:
        predict_probs: maps counts (B, H, W, 1) to probabilities (B, H, W, K).
        images: counts, (N, H, W, 1).
        batch_size: B.

    Returns:
        The sum of the probabilities of all classes but background, float32, (N, H, W),
        and the classes, uint8, (N, H, W). With two classes a pixel's class is 1 where
        its probability exceeds 0.5.

    Raises:
        ValueError: if the model's output has the wrong shape or is not finite.
    """
    hotspot_probs = np.zeros(images.shape[:3], dtype=np.float32)
    classes = np.zeros(images.shape[:3], dtype=np.uint8)
    batches = predict_in_batches(predict_probs, images, batch_size=batch_size)
    for rows, probs in batches:
        expected = (batch_size, *images.shape[1:3])
        if probs.ndim != 4 or probs.shape[:3] != expected or probs.shape[3] < 2:
            raise ValueError(
                f"Expected probabilities {(*expected, 'K>=2')} from the model, got "
                f"{probs.shape}."
            )
        probs = probs[: rows.stop - rows.start]
        classes[rows] = classify_pixels(probs)
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
    examples: Examples,
    find_masks: FindMasks,
    counts: PixelCounts,
    figures_dir: pathlib.Path,
) -> None:
    """Writes the overlays of the best, the median and the worst case."""
    scores = score_pixels(counts)
    for rank, index in rank_cases(examples, counts).items():
        figure = draw_case(
            examples.images[index, :, :, 0],
            examples.masks[index] > 0,
            find_masks(index),
            title=f"{rank.capitalize()} case by IoU: {examples.example_ids[index]}",
            scores=f"{examples.views[index]} view, "
            + ", ".join(
                f"{name} {_format(scores[name][index], '.3f', undefined='undefined')}"
                for name in SCORES
            ),
            synthetic=examples.synthetic,
        )
        save_figure(figure, figures_dir / f"{rank}.png")


def _format(score: float, pattern: str, *, undefined: str) -> str:
    """Returns a score as text, `undefined` where it is NaN."""
    return undefined if np.isnan(score) else format(score, pattern)
