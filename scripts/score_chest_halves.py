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

import dataclasses
import io
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from absl import flags, logging
from PIL import Image
from scipy import ndimage

from spectjax.imaging.diagnosis import NORMAL, clean_word, label_diagnosis
from spectjax.imaging.geometry import cut_centre
from spectjax.imaging.hotspots import Instances
from spectjax.imaging.listed.csv_table import read_table
from spectjax.imaging.thorax.crop import CANVAS_HW
from spectjax.metrics.curves import area_under_roc, roc_curve
from spectjax.metrics.intervals import Interval, bootstrap_patients
from spectjax.report.markdown import format_bounds, format_rows, format_score
from spectjax.system.commands import define_path, read_paths, run_command
from spectjax.system.files import format_csv, write_file, write_json
from spectjax.system.limits import PICTURE_BYTES, read_limited
from spectjax.system.locks import hold
from spectjax.system.messages import UserError
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

TABLE = "labels.csv"
SHIPPED = "the model that ships"
_COLUMNS = ("file", "patient", "view", "label")
_VIEWS = ("anterior", "posterior")
_NOTHING = -100.0  # log-odds of a view without any instance
_MAX_FALSE = 0.1  # share of the normal images above the threshold: 90 % specificity
# Of the baselines, pixels: a small lesion, and what lies around it.
_LESION_SIGMA, _SURROUNDINGS_SIGMA = 1.5, 8.0
# How the table calls the scores.
SCORES = {
    "auc": "AUC",
    "sensitivity_at_90_specificity": "sensitivity at 90 % specificity",
    "normals_marked": "normal images marked",
    "sensitivity": "abnormal images marked",
}


@dataclasses.dataclass(frozen=True)
class Halves:
    """N pictures on canvases, by view.

    Attributes:
        rows: what the table says of each: file, patient, view and label.
        counts: float32, (N, H, W).
        inside: pixels of the picture, bool, (N, H, W).
        abnormal: 1 for every label but normal, int64, (N,).
    """

    rows: list[dict[str, str]]
    counts: np.ndarray
    inside: np.ndarray
    abnormal: np.ndarray


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
        halves = read_halves(images)
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


def read_halves(folder: pathlib.Path) -> Halves:
    """Reads the pictures that a folder's table lists.

    Raises:
        ImageTableError: if the table cannot be read.
        UserError: if a row or its picture cannot be used, or if there is none.
    """
    path = folder / TABLE
    found, errors = read_table(path, _COLUMNS)
    if errors:
        raise errors[0]
    rows = [{**cells, "row": f"{path}: row {number}"} for number, cells in found]
    if not rows:
        raise UserError(f"{path}: expected a row for each picture, found none.")
    abnormal = [_read_label(row) for row in rows]
    placed = [_place(read_picture(folder / row["file"]), row) for row in rows]
    counts, inside = (np.stack(each) for each in zip(*placed, strict=True))
    return Halves(rows, counts, inside, np.array(abnormal))


def _read_label(row: dict[str, str]) -> int:
    """Returns 1 for a label that is not normal, after a look at the whole row.

    Raises:
        UserError: if a cell is empty or not what it should be.
    """
    if row["view"] not in _VIEWS or not row["patient"] or not row["file"]:
        raise UserError(
            f"{row['row']}: expected a file, a patient and a view, anterior or "
            f"posterior, found {row['file']!r}, {row['patient']!r} and "
            f"{row['view']!r}. Correct the row."
        )
    try:
        return int(label_diagnosis(clean_word(row["label"])) != NORMAL)
    except ValueError as error:
        raise UserError(f"{row['row']}: {error} Correct the row.") from error


def read_picture(path: pathlib.Path) -> np.ndarray:
    """Returns the grey values of an 8-bit picture that fits the canvas, uint8, (H, W).

    Raises:
        UserError: if it is no such picture.
    """
    content = read_limited(path, PICTURE_BYTES, error=UserError)
    height, width = CANVAS_HW[0], CANVAS_HW[1] // (1 + _MIRRORED.value)
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
            found = f"{picture.height}x{picture.width} pixels of mode {picture.mode}"
            fits = picture.height <= height and picture.width <= width
            if picture.mode == "L" and fits:
                return np.asarray(picture)
    except Exception as error:  # Pillow's are of many kinds
        found = f"what cannot be read ({error})"
    raise UserError(
        f"{path}: expected a grey picture of 8 bits, at most {height}x{width} pixels, "
        f"found {found}. Save it as a grey PNG, cut to the chest."
    )


def _place(grey: np.ndarray, row: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns counts on the canvas, and which of its pixels are the picture's."""
    counts = np.where(grey > _BACKGROUND.value, grey, 0).astype(np.float32)
    own = np.ones_like(counts)
    if _MIRRORED.value:
        # The patient's right is on the left of an anterior view.
        on_the_left = (row["view"] == "anterior") == (_HALF.value == "right")
        sides = slice(None) if on_the_left else slice(None, None, -1)
        counts = np.hstack([counts, counts[:, ::-1]][sides])
        own = np.hstack([own, np.zeros_like(own)][sides])
    top, left = ((a - b) // 2 for a, b in zip(CANVAS_HW, counts.shape, strict=True))
    margins = [
        (before, total - before - size)
        for before, total, size in zip(
            (top, left), CANVAS_HW, counts.shape, strict=True
        )
    ]
    # Of two halves the picture's own is judged: the other one was never seen.
    return np.pad(counts, margins), np.pad(own > 0, margins)


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


def measure_highest_pixel(counts: np.ndarray, shown: np.ndarray) -> float:
    """Returns the highest pixel over the median of those shown."""
    values = counts[shown]
    return float(values.max() / np.median(values)) if values.size else 0.0


def measure_surroundings(counts: np.ndarray, shown: np.ndarray) -> float:
    """Returns how far a spot of lesion size stands out from what lies around it."""
    spot, around = (
        _smooth(counts, shown, sigma) for sigma in (_LESION_SIGMA, _SURROUNDINGS_SIGMA)
    )
    return float((spot / around)[shown].max(initial=0))


def _smooth(counts: np.ndarray, shown: np.ndarray, sigma: float) -> np.ndarray:
    """Returns a Gaussian mean over the pixels shown; 1 where there are none."""
    weights = ndimage.gaussian_filter(shown.astype(float), sigma)
    sums = ndimage.gaussian_filter(np.where(shown, counts, 0).astype(float), sigma)
    return np.divide(sums, weights, out=np.ones_like(sums), where=shown)


def judge_by_hand(halves: Halves) -> dict[str, Judged]:
    """Returns the scores of features made by hand."""
    features = {
        "highest pixel over median": measure_highest_pixel,
        "smoothed pixel over its surroundings": measure_surroundings,
    }
    pairs = [(counts, counts > 0) for counts in halves.counts]
    return {
        name: (np.array([measure(*pair) for pair in pairs]), None)
        for name, measure in features.items()
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
    for view in _VIEWS:
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
    names = [*_COLUMNS, "model", "score", "marked"]
    lines = []
    for model, (scores, marked) in judged.items():
        for i, row in enumerate(halves.rows):
            call = "" if marked is None else int(marked[i])
            cells = [row[column] for column in _COLUMNS]
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
    value = score["value"] if np.isfinite(score["value"]) else None
    return format_score(value, ".3f") + format_bounds(score["interval"])


if __name__ == "__main__":
    run_command(main)
