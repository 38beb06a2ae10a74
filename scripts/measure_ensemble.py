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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from absl import flags, logging

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
    from spectjax.metrics.pixel import PixelCounts

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


@dataclass(frozen=True)
class Scored:
    """What scores are made of; N images, T thresholds of the probability.

    Attributes:
        pixels: counts of each image.
        lesions: number of lesions, (N,).
        found: number of those that are found, (N, T).
        false: number of regions that meet no lesion, (N, T).
    """

    pixels: "PixelCounts"
    lesions: np.ndarray
    found: np.ndarray
    false: np.ndarray


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
        compare(workdirs, output_dir)


def compare(workdirs: Sequence[pathlib.Path], output_dir: pathlib.Path) -> None:
    """Scores the runs, alone and averaged, and writes and prints the table."""
    from spectjax.inference.ensembles import average_probs
    from spectjax.inference.runtimes import find_model
    from spectjax.metrics.intervals import bootstrap_patients

    examples = simulate(output_dir)

    members: dict[str, list[Scored]] = {}
    for suffix in ("", MIRRORED):
        probs = []
        for workdir in workdirs:
            model = find_model(workdirs=[workdir], file=None, runtime=None)()
            predict = mirror(model.predict) if suffix else model.predict
            probs.append(predict_hotspots(predict, examples.images))
        members[SINGLE + suffix] = [measure(each, examples) for each in probs]
        members[ENSEMBLE + suffix] = [measure(average_probs(probs), examples)]
        print(f"{ENSEMBLE}{suffix}: scored", flush=True)

    def gains(images: np.ndarray) -> dict[str, float]:
        return flatten(find_gains(average_members(members, images)))

    everything = np.arange(len(examples))
    rows = average_members(members, everything)
    intervals = bootstrap_patients(examples.patients, gains, seed=0, resamples=1000)
    document = {
        "n_images": len(examples),
        "n_patients": len(set(examples.patients)),
        "n_lesions": int(members[ENSEMBLE][0].lesions.sum()),
        "seed": _SEED.value,
        "runs": {
            str(workdir): score(each, everything)
            for workdir, each in zip(workdirs, members[SINGLE], strict=True)
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
    write_json(output_dir / "ensemble.json", document)
    print(describe(document))


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
        "segmentation_originals",
        data_dir=output_dir / "data",
        manual_dir=folder,
    )
    print(prepared.summarise(), flush=True)
    return load_examples(prepared.builder_dir, FOLDS)


def mirror(
    predict_probs: Callable[[np.ndarray], np.ndarray],
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a model that averages what it says of an image and its mirror image."""

    def predict(counts: np.ndarray) -> np.ndarray:
        mirrored = predict_probs(np.ascontiguousarray(counts[:, :, ::-1]))
        return (predict_probs(counts) + mirrored[:, :, ::-1]) / 2

    return predict


def predict_hotspots(
    predict_probs: Callable[[np.ndarray], np.ndarray], images: np.ndarray
) -> np.ndarray:
    """Returns the probability of a hotspot for each pixel, float32, (N, H, W)."""
    from spectjax.evaluation.batches import predict_in_batches

    hotspots = np.empty(images.shape[:3], np.float32)
    batches = predict_in_batches(predict_probs, images, batch_size=_BATCH.value)
    for rows, probs in batches:
        hotspots[rows] = 1 - probs[: rows.stop - rows.start, ..., 0]
    return hotspots


def measure(hotspots: np.ndarray, examples: "Examples") -> Scored:
    """Compares the probabilities of hotspots, (N, H, W), with the truth."""
    from spectjax.metrics.lesions import measure_lesions
    from spectjax.metrics.pixel import count_pixels

    lesions, regions = measure_lesions(
        hotspots, examples.masks, examples.images[..., 0], examples.spacing_mm
    )
    found = np.zeros(regions.false.shape, np.int64)
    np.add.at(found, lesions.image, lesions.found)
    return Scored(
        pixels=count_pixels(hotspots > 0.5, examples.masks),
        lesions=np.bincount(lesions.image, minlength=len(examples)),
        found=found,
        false=regions.false,
    )


def score(scored: Scored, images: np.ndarray) -> Scores:
    """Returns the scores of some of the images, some of them perhaps repeated."""
    from spectjax.metrics.lesions import HALF, THRESHOLDS, Froc, sensitivity_at
    from spectjax.metrics.pixel import PixelCounts, score_pixels

    sums = scored.pixels
    pixels = PixelCounts(*(x[images] for x in (sums.tp, sums.fp, sums.fn, sums.tn)))
    iou, with_lesion = score_pixels(pixels)["IoU"], scored.lesions[images] > 0
    curve = Froc(
        thresholds=THRESHOLDS,
        sensitivity=scored.found[images].sum(axis=0) / scored.lesions[images].sum(),
        false_per_image=scored.false[images].mean(axis=0),
    )
    values = (
        score_pixels(pixels.pool())["IoU"],
        iou.mean(),
        iou[with_lesion].mean(),
        sensitivity_at(curve, 1),
        curve.sensitivity[HALF],
        curve.false_per_image[HALF],
    )
    return dict(zip(SCORES, map(float, values), strict=True))


def average_members(
    members: Mapping[str, Sequence[Scored]], images: np.ndarray
) -> dict[str, Scores]:
    """Returns the mean scores of each row of the table."""
    rows = {}
    for row, scored in members.items():
        scores = [score(each, images) for each in scored]
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


def describe(document: Mapping[str, Any]) -> str:
    """Returns the scores, and what averaging gains, as a table."""
    rows, gains = document["rows"], document["gains"]
    lines = [
        f"{document['n_images']} images of {document['n_patients']} patients, "
        f"{document['n_lesions']} lesions, {len(document['runs'])} runs, SYNTHETIC",
        "",
        f"| | {' | '.join(rows)} |",
        "|---|" + "---|" * len(rows),
    ]
    for name in SCORES:
        cells = [f"{rows[SINGLE][name]:.3f}"]
        for row in list(rows)[1:]:
            gain = gains[f"{row}: {name}"]
            cells.append(
                f"{rows[row][name]:.3f} ({gain['gain']:+.3f}, "
                f"{gain['low']:+.3f} to {gain['high']:+.3f})"
            )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
