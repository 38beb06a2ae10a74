"""Scores of a trained classifier on held-out images: numbers, a table and pictures.

The number of images is N, of images in a batch B; height and width are H and W.
"""

from typing import Any

import numpy as np

from spectjax.evaluation.batches import Predict, predict_in_batches
from spectjax.evaluation.folds import summarise_folds
from spectjax.evaluation.run import FinishedRun
from spectjax.evaluation.subgroups import score_subgroups
from spectjax.imaging.hotspots import check_finite
from spectjax.input_pipeline import Examples
from spectjax.metrics.calibration import MIN_TEMPERATURE, fit_temperature
from spectjax.report.picture_parts import save_figure
from spectjax.report.training_curves import draw_training
from spectjax.system.files import write_file, write_json
from spectjax.system.messages import UserError
from spectjax.tasks.classification.cases import Cases, format_cases, format_patients
from spectjax.tasks.classification.external_scores import (
    adjust,
    score_group,
    score_threshold,
)
from spectjax.tasks.classification.metrics_sections import Calibration, Repeated
from spectjax.tasks.classification.plots import draw_classifier
from spectjax.tasks.classification.scores import (
    describe_calibration,
    score_images,
    summarise_cases,
)
from spectjax.tasks.classification.table import write_classification_table

EVALUATIONS = 10  # [P2]: "A trained classifier was run 10 times on the test subset"


def evaluate(run: FinishedRun) -> dict[str, Any]:
    """Scores a classifier on held-out originals and writes what a reader wants to see.

    Writes `cases.csv` and `patients.csv` (a row for each), `table.md` ([P2] Tables 6-9
    with our rows), `figures/{roc,precision_recall,reliability,confusion}.png`
    ([P2] Fig. 9, 10), `figures/mistakes.png` (Fig. 11), `figures/training.png` (Fig. 8,
    if there is a log) and, last, `metrics.json`: where that file is, the others are
    complete.

    Returns:
        The content of `metrics.json`; None stands for an undefined score.

    Raises:
        ValueError: if there is no image or the model's output has the wrong shape or
            is not finite.
        WriteError: if a file cannot be written.
    """
    predict_logits = find_logits(run.model)
    examples = run.held_out.crop_centre(run.train_hw)
    cases = predict_cases(predict_logits, examples, batch_size=run.batch_size)
    calibrated = _calibrate(run, predict_logits, cases)
    metrics = run.make_document(
        "classification",
        {
            **summarise_cases(cases),
            "calibration": calibrated,
            "repeated": _repeat(run, predict_logits, examples, cases),
            **_score_elsewhere(run, predict_logits, examples, cases),
        },
    )
    output_dir, temperature = run.output_dir, metrics["calibration"]["temperature"]
    write_file(output_dir / "cases.csv", format_cases(cases, temperature))
    write_file(output_dir / "patients.csv", format_patients(cases))
    write_file(output_dir / "table.md", write_classification_table(metrics))
    figures = draw_classifier(cases, examples, metrics)
    if run.training_log is not None:
        figures["training"] = draw_training(
            run.training_log,
            title=f"Training of {run.model_name}",
            synthetic=examples.synthetic,
            score="Acc",
        )
    for name, figure in figures.items():
        save_figure(figure, output_dir / "figures" / f"{name}.png")
    write_json(output_dir / "metrics.json", metrics)
    return metrics


def find_logits(model: Any) -> Predict:
    """Returns what maps counts (B, H, W, 1) to logits (B, 2), of a run or of a file.

    A file gives probabilities; their logarithms are logits. What is rounded to 0 counts
    as the smallest float32 with all its digits.
    """
    if hasattr(model, "learned"):
        logits: Predict = model.compile(model.learned.predict_logits)
        return logits
    smallest = np.finfo(np.float32).tiny
    return lambda counts: np.log(np.maximum(model.predict(counts), smallest))


def predict_cases(
    predict_logits: Predict, examples: Examples, *, batch_size: int
) -> Cases:
    """Returns what a classifier says about every image, see `predict_log_odds`."""
    return Cases(
        example_ids=examples.example_ids,
        patients=examples.patients,
        views=examples.views,
        diagnoses=examples.diagnoses,
        labels=np.asarray(examples.labels, np.int64),
        log_odds=predict_log_odds(
            predict_logits, examples.images, batch_size=batch_size
        ),
    )


def predict_log_odds(
    predict_logits: Predict, images: np.ndarray, *, batch_size: int
) -> np.ndarray:
    """Returns the log-odds of metastasis of every image, float32, (N,).

    Args:
        predict_logits: maps counts (B, H, W, 1) to logits (B, 2), normal first.
        images: counts, (N, H, W, 1).
        batch_size: B; the last batch is filled up and what is said of that thrown away.

    Raises:
        ValueError: if there is no image or the model's output has the wrong shape or
            is not finite.
    """
    if not len(images):
        raise UserError("Expected at least one image to classify, got none.")
    log_odds = np.empty(len(images), np.float32)
    batches = predict_in_batches(predict_logits, images, batch_size=batch_size)
    for rows, logits in batches:
        if logits.shape != (batch_size, 2):
            raise ValueError(
                f"Expected logits {(batch_size, 2)} from the model, normal and "
                f"metastasis, got {logits.shape}."
            )
        check_finite("logits", logits)
        count = rows.stop - rows.start
        log_odds[rows] = logits[:count, 1] - logits[:count, 0]
    return log_odds


def _calibrate(run: FinishedRun, predict_logits: Predict, cases: Cases) -> Calibration:
    """Returns how far probabilities can be trusted, as they are and after scaling."""
    calibration: Calibration = {
        "before": describe_calibration(cases.labels, cases.log_odds),
        "after": None,
        "temperature": None,
        "fitted_on": None,
    }
    if run.brought is not None and run.brought.temperature is not None:
        temperature, source = run.brought.temperature, str(run.brought.source)
        return {
            "before": calibration["before"],
            "after": describe_calibration(cases.labels, cases.log_odds / temperature),
            "temperature": temperature,
            "fitted_on": source,
        }
    if run.calibration is None or run.brought is not None:
        return calibration
    examples = run.calibration().crop_centre(run.train_hw)
    fitted = predict_cases(predict_logits, examples, batch_size=run.batch_size)
    temperature = fit_temperature(fitted.labels, fitted.log_odds)
    source = (
        f"temperature T fitted on {len(fitted)} images of "
        f"{len(set(fitted.patients))} patients ({examples.split})"
    )
    if temperature == MIN_TEMPERATURE:
        source += "; none of them is misclassified, so that T stops at its lower bound"
    return {
        "before": calibration["before"],
        "after": describe_calibration(cases.labels, cases.log_odds / temperature),
        "temperature": temperature,
        "fitted_on": source,
    }


def _score_elsewhere(
    run: FinishedRun, predict_logits: Predict, examples: Examples, cases: Cases
) -> dict[str, Any]:
    """Returns what is said of images of elsewhere besides.

    Thresholds that the model brings, groups of images, and probabilities adjusted on
    patients who are named for it and not scored.
    """
    if run.external is None or run.brought is None:
        return {}
    scores: dict[str, Any] = {
        "at_model_thresholds": {
            name: score_threshold(cases, threshold)
            for name, threshold in run.brought.thresholds.items()
        },
        "subgroups": score_subgroups(examples, lambda rows: score_group(cases, rows)),
    }
    if run.calibration is None:
        return scores
    others = run.calibration().crop_centre(run.train_hw)
    fitted = predict_cases(predict_logits, others, batch_size=run.batch_size)
    return scores | {"adjusted": adjust(cases, fitted, others.split)}


def _repeat(
    run: FinishedRun, predict_logits: Predict, examples: Examples, cases: Cases
) -> Repeated | None:
    """Returns mean and standard deviation of ten evaluations.

    [P2] ran a trained classifier ten times "to reduce the effects of randomness", yet
    nothing in it is random, and the printed scores are those of ten equal runs. Read
    as a test of steadiness: the first evaluation is of the images as they are, the nine
    others of images moved at random as the papers augment them.
    """
    if run.move is None:
        return None
    scores = [score_images(cases.labels, cases.log_odds)]
    for seed in range(1, EVALUATIONS):
        moved = run.move(examples.images, seed)
        log_odds = predict_log_odds(predict_logits, moved, batch_size=run.batch_size)
        scores.append(score_images(cases.labels, log_odds))
    return {
        "evaluations": EVALUATIONS,
        "what": "images as they are, then moved at random nine times",
        **summarise_folds(scores),
    }
