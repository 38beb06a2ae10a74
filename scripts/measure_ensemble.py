"""Measures what averaging gains: of several runs, and of an image and its mirror image.

    python scripts/measure_ensemble.py --workdir=runs/fold0 --workdir=runs/fold1 \
        --output_dir=OUT

Simulates patients that no run has seen, prepares them as a hospital's folder is, and
scores each segmenting run and the ensemble of all, with and without mirroring. Gains
are over the mean of the single runs; their 95 % intervals come from a bootstrap over
patients. Runs that mirror by themselves gain nothing in the mirrored rows.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from absl import flags, logging

from spectjax.report.markdown import format_rows
from spectjax.system.commands import (
    define_path,
    define_paths,
    refuse_arguments,
    run_command,
)
from spectjax.system.files import write_json
from spectjax.system.locks import hold
from spectjax.system.messages import UserError

if TYPE_CHECKING:  # TFDS takes seconds: not before --help
    from spectjax.input_pipeline import Examples

_WORKDIR = define_paths("workdir", "Folder of a training run; given twice or more.")
_OUTPUT_DIR = define_path("output_dir", "Folder.", required=True)
_PATIENTS = flags.DEFINE_integer("patients", 60, "Simulated patients.", lower_bound=5)
_SEED = flags.DEFINE_integer(
    "seed", 101, "Of the simulated patients; those of data sets have 2.", lower_bound=3
)
_BATCH = flags.DEFINE_integer("batch", 8, "Images at a time.", lower_bound=1)

FOLDS = "+".join(f"fold{i}" for i in range(5))
# As the table calls them; of the last one less is better.
SCORES = (
    "IoU, pooled",
    "IoU, per image",
    "IoU, images with a lesion",
    "lesions found at 1 false region/image",
    "lesions found at p > 0.5",
    "false regions/image at p > 0.5",
)
SINGLE = "single runs, mean"
ENSEMBLE = "ensemble"
MIRRORED = ", mirrored"
Scores = dict[str, float]
Score = Callable[[np.ndarray], Scores]  # of images, some of them perhaps repeated
Predict = Callable[[np.ndarray], Any]


def main(argv: list[str]) -> None:
    """Simulates, scores and prints the table."""
    refuse_arguments(argv)
    logging.set_verbosity(logging.WARNING)
    # Here, so that --help need not wait for jax.
    from spectjax.inference.runtimes import find_model

    workdirs = _WORKDIR.value
    if len(workdirs) < 2:
        raise UserError("Expected --workdir twice or more, found it once.")
    find_model(workdirs=workdirs, file=None, runtime=None)  # do they agree?
    output_dir = cast(pathlib.Path, _OUTPUT_DIR.value)
    with hold(output_dir):
        examples = simulate(output_dir)
        members: dict[str, list[Score]] = {}
        for suffix in ("", MIRRORED):
            found = score_models(workdirs, examples, mirrored=bool(suffix))
            *members[SINGLE + suffix], ensemble = found
            members[ENSEMBLE + suffix] = [ensemble]
            print(f"{ENSEMBLE}{suffix}: scored", flush=True)
        document = describe(workdirs, members, examples)
        write_json(output_dir / "ensemble.json", document)
    print(format_table(document))


def simulate(output_dir: pathlib.Path) -> "Examples":
    """Returns new patients, normal ones among them, with their true outlines."""
    from spectjax.input_pipeline import load_examples
    from spectjax.phantom import write_phantom
    from tfds_spect.prepare import prepare

    folder = write_phantom(
        output_dir / "patients",
        patients=_PATIENTS.value,
        seed=_SEED.value,
        population="classification",
    )
    prepared = prepare(
        "segmentation_originals", data_dir=output_dir / "data", manual_dir=folder
    )
    print(prepared.summarise(), flush=True)
    return load_examples(prepared.builder_dir, FOLDS)


def score_models(
    workdirs: Sequence[pathlib.Path], examples: "Examples", *, mirrored: bool
) -> list[Score]:
    """Returns the scores of each run and, last, of the mean of their answers."""
    from spectjax.inference.ensembles import average_probs
    from spectjax.inference.runtimes import find_model
    from spectjax.tasks.hotspots.evaluate import predict_hotspots

    answers = []
    for workdir in workdirs:
        model = find_model(workdirs=[workdir], file=None, runtime=None)()
        predict: Predict = model.predict
        hotspots, _ = predict_hotspots(
            mirror(predict) if mirrored else predict,
            examples.images,
            batch_size=_BATCH.value,
        )
        answers.append(hotspots)
    return [prepare(each, examples) for each in (*answers, average_probs(answers))]


def mirror(predict: Predict) -> Predict:
    """Returns a model that averages what it says of an image and its mirror image."""

    def predict_both(counts: np.ndarray) -> Any:
        mirrored = predict(np.ascontiguousarray(counts[:, :, ::-1]))
        return (predict(counts) + mirrored[:, :, ::-1]) / 2

    return predict_both


def prepare(hotspots: np.ndarray, examples: "Examples") -> Score:
    """Returns the scores of the probabilities of hotspots, (N, H, W)."""
    from spectjax.metrics.lesions import HALF
    from spectjax.tasks.hotspots.cases import measure_cases
    from spectjax.tasks.hotspots.comparison import prepare_froc, prepare_scores

    cases = measure_cases(examples, hotspots, (hotspots > 0.5).astype(np.uint8))
    compare, count = prepare_scores(cases), prepare_froc(cases)

    def score(images: np.ndarray) -> Scores:
        curve = count(images)
        at_half = curve.sensitivity[HALF], curve.false_per_image[HALF]
        values = (*compare(images).values(), *map(float, at_half))
        return dict(zip(SCORES, values, strict=True))

    return score


def describe(
    workdirs: Sequence[pathlib.Path],
    members: Mapping[str, Sequence[Score]],
    examples: "Examples",
) -> dict[str, Any]:
    """Returns what `ensemble.json` says."""
    from spectjax.input_pipeline import number_lesions
    from spectjax.metrics.intervals import bootstrap_patients

    everything = np.arange(len(examples))
    rows = average_members(members, everything)
    intervals = bootstrap_patients(
        examples.patients,
        lambda images: flatten(find_gains(average_members(members, images))),
        seed=0,
        resamples=1000,
    )
    return {
        "n_images": len(examples),
        "n_patients": len(set(examples.patients)),
        "n_lesions": int(number_lesions(examples.masks).max(axis=(1, 2)).sum()),
        "seed": _SEED.value,
        "runs": {
            str(workdir): score(everything)
            for workdir, score in zip(workdirs, members[SINGLE], strict=True)
        },
        "rows": rows,
        "gains": {
            name: {
                "gain": gain,
                "low": intervals[name].low,
                "high": intervals[name].high,
            }
            for name, gain in flatten(find_gains(rows)).items()
        },
    }


def average_members(
    members: Mapping[str, Sequence[Score]], images: np.ndarray
) -> dict[str, Scores]:
    """Returns the mean scores of each row of the table."""
    rows = {}
    for row, members_of_row in members.items():
        scores = [score(images) for score in members_of_row]
        rows[row] = {
            name: float(np.mean([each[name] for each in scores])) for name in SCORES
        }
    return rows


def find_gains(rows: Mapping[str, Scores]) -> dict[str, Scores]:
    """Returns what each row has more than the mean of the single runs."""
    single = rows[SINGLE]
    return {
        row: {name: scores[name] - single[name] for name in SCORES}
        for row, scores in rows.items()
        if row != SINGLE
    }


def flatten(rows: Mapping[str, Scores]) -> Scores:
    """Returns all scores of all rows, the row first in each name."""
    return {f"{row}: {n}": x for row, scores in rows.items() for n, x in scores.items()}


def format_table(document: Mapping[str, Any]) -> str:
    """Returns the scores, and what averaging gains, as a table."""
    rows, gains = document["rows"], document["gains"]
    title = (
        f"{document['n_images']} images of {document['n_patients']} patients, "
        f"{document['n_lesions']} lesions, {len(document['runs'])} runs, SYNTHETIC"
    )
    lines = []
    for name in SCORES:
        cells = [f"{rows[SINGLE][name]:.3f}"]
        for row in list(rows)[1:]:
            gain = gains[f"{row}: {name}"]
            cells.append(
                f"{rows[row][name]:.3f} ({gain['gain']:+.3f}, "
                f"{gain['low']:+.3f} to {gain['high']:+.3f})"
            )
        lines.append([name, *cells])
    return "\n".join([title, "", *format_rows(["", *rows], lines)[:-1]])


if __name__ == "__main__":
    run_command(main)
