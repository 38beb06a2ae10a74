"""Scores models on pictures of half a chest that people have labelled.

    python scripts/score_chest_halves.py --images=FOLDER --output_dir=OUT RUN_OR_MODEL

FOLDER holds 8-bit pictures (PNG, JPEG) and labels.csv with the columns file, patient,
view, label (normal, or another word of spectjax.imaging.diagnosis). Grey values enter
as counts; those up to `--background` are noise around the body and become 0. A picture
is centred on the canvas of zeros that a thorax has, at its own size, and cut to what
the model takes; with `--mirrored` its own mirror image stands beside it, as the other
half of the chest. Each run's folder or exported file is scored on its own, or all runs
as one with `--ensemble`; without any it is the model that ships with the package.
`--baseline` scores two features made by hand.

An image's score is the view's, of a model that knows its operating points; else its
surest place, smoothed over 3x3 pixels, its surest instance or its log-odds of
metastasis. It is marked where `spectjax.predict` would mark it. OUT receives
`halves.json` and `halves.csv`, a row for each image and model. Intervals (95 %) are of
2000 draws of patients, whose images stay together: a score of these pictures, not of a
clinic.
"""

import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from absl import flags, logging

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from scripts.halves.by_hand import FEATURES
from scripts.halves.pictures import COLUMNS, VIEWS, Halves, Placing, read_halves
from spectjax.imaging.geometry import cut_centre
from spectjax.imaging.hotspots import Instances
from spectjax.metrics.curves import area_under_roc, roc_curve
from spectjax.metrics.intervals import Interval, bootstrap_patients
from spectjax.report.markdown import format_bounds, format_rows, format_score
from spectjax.system.commands import define_path, read_paths, run_command
from spectjax.system.files import format_csv, write_file, write_json
from spectjax.system.locks import hold
from spectjax.tasks.hotspots.candidates import propose, propose_pixel
from spectjax.tasks.hotspots.regions import score_regions, score_view, select_regions

if TYPE_CHECKING:  # jax takes seconds: not before --help
    from spectjax.inference.trained import TrainedModel

_IMAGES = define_path("images", "Folder of pictures and labels.csv.", required=True)
_OUTPUT_DIR = define_path("output_dir", "Folder to write to.", required=True)
_BACKGROUND = flags.DEFINE_integer(
    "background", 2, "Grey values up to this one are noise around the body.", 0
)
_MIRRORED = flags.DEFINE_boolean(
    "mirrored", False, "Put the picture's mirror image beside it, at the spine."
)
_HALF = flags.DEFINE_enum(
    "half", "right", ["left", "right"], "The patient's side that pictures show."
)
_ENSEMBLE = flags.DEFINE_boolean("ensemble", False, "Take all runs as one model.")
_BASELINE = flags.DEFINE_boolean("baseline", False, "Score two features made by hand.")
_POINT = flags.DEFINE_string(
    "operating_point", None, "As of spectjax.predict; of models that know theirs."
)
_BATCH = flags.DEFINE_integer("batch", 16, "Images at a time.", lower_bound=1)

SHIPPED = "the model that ships"
_NOTHING = -100.0  # log-odds of a view without any instance
_MAX_FALSE = 0.1  # share of the normal images above the threshold: 90 % specificity
# How the table calls the scores.
SCORES = {
    "auc": "AUC",
    "sensitivity_at_90_specificity": "sensitivity at 90 % specificity",
    "normals_marked": "normal images marked",
    "sensitivity": "abnormal images marked",
}


# The score of each image, float64, (N,), and whether the model marks it, bool, (N,);
# what has no operating point marks nothing: None.
Judged = tuple[np.ndarray, np.ndarray | None]


def main(argv: list[str]) -> None:
    """Scores what the arguments name and prints the table."""
    logging.set_verbosity(logging.WARNING)
    images = cast(pathlib.Path, _IMAGES.value)
    output_dir = cast(pathlib.Path, _OUTPUT_DIR.value)
    load = list_models(read_paths(argv))
    with hold(output_dir):
        placing = Placing(_BACKGROUND.value, _MIRRORED.value, _HALF.value)
        halves = read_halves(images, placing)
        judged = judge_by_hand(halves) if _BASELINE.value else {}
        for name, load_model in load.items():
            judged[name] = judge(load_model(), halves)
        document = describe(halves, judged)
        write_json(output_dir / "halves.json", document)
        write_file(output_dir / "halves.csv", format_cases(halves, judged))
    print(format_table(document))


def list_models(
    paths: Sequence[pathlib.Path],
) -> dict[str, Callable[[], "TrainedModel"]]:
    """Returns what loads each model, by the name that the table gives it.

    Raises:
        ModelFileError: if one is neither a run nor an exported model.
    """
    from spectjax.inference.runtimes import find_model

    if _ENSEMBLE.value:
        together = find_model(workdirs=paths, file=None, runtime=None)
        return {" + ".join(map(str, paths)): together}
    if not paths and not _BASELINE.value:
        return {SHIPPED: find_model(workdirs=[], file=None, runtime=None)}
    return {
        str(path): find_model(workdirs=[path], file=None, runtime=None)
        if path.is_dir()
        else find_model(workdirs=[], file=path, runtime=None)
        for path in paths
    }


def judge(model: "TrainedModel", halves: Halves) -> Judged:
    """Returns what a model says of each image."""
    from spectjax.evaluation.batches import predict_in_batches
    from spectjax.inference.answers import take

    images, inside = (
        np.stack([cut_centre(each, model.input_hw) for each in whole])
        for whole in (halves.counts, halves.inside)
    )
    scores, marked = np.zeros(len(images)), np.zeros(len(images), bool)
    predict = cast(Callable[[np.ndarray], Any], model.predict)
    for rows, answer in predict_in_batches(
        predict, images[..., np.newaxis], batch_size=min(_BATCH.value, len(images))
    ):
        for place, row in enumerate(range(rows.start, rows.stop)):
            scores[row], marked[row] = judge_image(
                take(answer, place), images[row], inside[row], model.operation
            )
    return scores, marked


def judge_image(
    answer: Any, counts: np.ndarray, inside: np.ndarray, operation: Any
) -> tuple[float, bool]:
    """Returns the score of an image and whether `spectjax.predict` would mark it.

    Args:
        answer: the model's, of one image.
        counts: that it saw, (H, W).
        inside: pixels of the picture, bool, (H, W).
        operation: what a model that marks places knows about its use, or None.

    Raises:
        OperationError: if it does not know the operating point.
    """
    if not isinstance(answer, Instances) and answer.ndim == 1:
        normal, abnormal = np.maximum(answer, np.finfo(np.float32).tiny)
        return float(np.log(abnormal) - np.log(normal)), bool(answer[1] > 0.5)
    if operation is None:
        regions = propose(answer, inside)
        if isinstance(answer, Instances):
            score = max((each.peak_log_odds for each in regions), default=_NOTHING)
            return score, score > 0
        return propose_pixel(answer, inside).peak_log_odds, bool(regions)
    seen = (answer, counts, None, operation)
    scored = score_regions(*seen, valid=inside)
    _, point = operation.choose_point(_POINT.value)
    marked = select_regions(scored, operation, point).marked
    return score_view(*seen, valid=inside, regions=scored), bool(marked)


def judge_by_hand(halves: Halves) -> dict[str, Judged]:
    """Returns the scores of features made by hand."""
    return {
        name: (np.array([measure(each) for each in halves.counts]), None)
        for name, measure in FEATURES.items()
    }


def summarise(
    abnormal: np.ndarray, scores: np.ndarray, marked: np.ndarray | None
) -> dict[str, float]:
    """Returns the scores of some images; NaN where one is undefined."""
    curve = roc_curve(abnormal, scores)
    both = 0 < abnormal.sum() < abnormal.size
    found = {
        "auc": area_under_roc(abnormal, scores),
        "sensitivity_at_90_specificity": float(
            curve.tpr[curve.fpr <= _MAX_FALSE].max() if both else np.nan
        ),
    }
    for name, label in (("normals_marked", 0), ("sensitivity", 1)):
        calls = np.empty(0) if marked is None else marked[abnormal == label]
        found[name] = float(calls.mean()) if calls.size else np.nan
    return found


def describe(halves: Halves, judged: dict[str, Judged]) -> dict[str, Any]:
    """Returns what `halves.json` says."""
    views: dict[str, Any] = {}
    for view in VIEWS:
        rows = np.array([row["view"] == view for row in halves.rows])
        if not rows.any():
            continue
        patients = [row["patient"] for row in halves.rows if row["view"] == view]
        abnormal = halves.abnormal[rows]
        views[view] = {
            "n_images": int(rows.sum()),
            "n_abnormal": int(abnormal.sum()),
            "n_patients": len(set(patients)),
            "models": {
                name: _score(
                    patients,
                    abnormal,
                    scores[rows],
                    marked if marked is None else marked[rows],
                )
                for name, (scores, marked) in judged.items()
            },
        }
    return {
        "images": str(_IMAGES.value),
        "background": _BACKGROUND.value,
        "mirrored": _MIRRORED.value,
        "n_patients": len({row["patient"] for row in halves.rows}),
        "views": views,
    }


def _score(
    patients: Sequence[str],
    abnormal: np.ndarray,
    scores: np.ndarray,
    marked: np.ndarray | None,
) -> dict[str, Any]:
    """Returns each score of one model on one view, with its interval."""

    def find(rows: np.ndarray) -> dict[str, float]:
        drawn = None if marked is None else marked[rows]
        return summarise(abnormal[rows], scores[rows], drawn)

    values = find(np.arange(len(patients)))
    intervals: dict[str, Interval] = bootstrap_patients(patients, find)
    return {
        name: {"value": value, "interval": intervals[name].bounds}
        for name, value in values.items()
    }


def format_cases(halves: Halves, judged: dict[str, Judged]) -> str:
    """Returns the table of all images under all models."""
    names = [*COLUMNS, "model", "score", "marked"]
    lines = []
    for model, (scores, marked) in judged.items():
        for i, row in enumerate(halves.rows):
            call = "" if marked is None else int(marked[i])
            cells = [row[column] for column in COLUMNS]
            lines.append([*cells, model, f"{scores[i]:.7g}", call])
    return format_csv(names, lines)


def format_table(document: dict[str, Any]) -> str:
    """Returns the scores of all models, one table for each view."""
    lines = []
    for view, found in document["views"].items():
        lines += [
            f"{view}: {found['n_images']} images of {found['n_patients']} patients, "
            f"{found['n_abnormal']} abnormal",
            "",
            *format_rows(
                ["model", *SCORES.values()],
                [
                    [name, *(_say(scores[key]) for key in SCORES)]
                    for name, scores in found["models"].items()
                ],
            ),
        ]
    return "\n".join(lines).rstrip()


def _say(score: dict[str, Any]) -> str:
    """Returns a score with its interval, or a dash."""
    if not np.isfinite(score["value"]):
        return format_score(None)
    return format_score(score["value"], ".3f") + format_bounds(score["interval"])


if __name__ == "__main__":
    run_command(main)
