"""Measures what another hospital's camera costs models: the same patients, simulated.

    python scripts/measure_shift.py --output_dir=OUT --workdir=RUN --data_dir=data

The patients lie under the phantom's usual camera, under one of lower resolution with
half of the counts (`fast`), and under that with 128 columns of 4.7 mm (`coarse`); these
images then become 8-bit JPEG pictures with an images.csv (`pictures`). Readers outline
each hospital's images anew, but for the pictures, which keep the outlines of `coarse`.
`spectjax.evaluate` scores the runs and the model that ships on each; `shift.json` and
`table.md` have the scores of the images that every hospital could use, and the
differences to the usual camera, paired by patient. What is there already is not made
again.
"""

import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from absl import flags, logging

from spectjax.report.markdown import format_bounds, format_rows, tabulate_differences
from spectjax.system.commands import (
    define_path,
    define_paths,
    refuse_arguments,
    run_command,
)
from spectjax.system.files import format_csv, write_file, write_json
from spectjax.system.locks import hold

if TYPE_CHECKING:
    from spectjax.evaluation.comparison import Score

_OUTPUT_DIR = define_path("output_dir", "Folder to write to.", required=True)
_WORKDIRS = define_paths("workdir", "Folder of a training run; may be repeated.")
_DATA_DIR = define_path("data_dir", "Folder of the data sets of these trainings.")
_PATIENTS = flags.DEFINE_integer("patients", 100, "How many.", lower_bound=5)
_SEED = flags.DEFINE_integer("seed", 11, "Of the patients.", lower_bound=0)

ISSUER = "Elsewhere"  # nobody whom a model of simulated patients has learned from
CAMERAS = ("usual", "fast", "coarse")
PICTURES = "pictures"
QUALITY = 90
SHIPPED = "shipped"
SCORES = {
    "sensitivity": "Sensitivity",
    "false_per_image": "False per image (fewer are better)",
    "marked_without_lesion": "Images without lesion: marked (fewer are better)",
    "IoU": "IoU, pooled",
}


def main(argv: list[str]) -> None:
    """Simulates, evaluates and prints the table."""
    logging.set_verbosity(logging.FATAL)  # TFDS tells of every file it opens
    refuse_arguments(argv)
    folder = cast(pathlib.Path, _OUTPUT_DIR.value)
    with hold(folder):
        sources = write_hospitals(folder, _PATIENTS.value, _SEED.value)
        names = [SHIPPED, *(path.resolve().name for path in _WORKDIRS.value)]
        for name, workdir in zip(names, [None, *_WORKDIRS.value], strict=True):
            for hospital, source in sources.items():
                score(folder, name, workdir, hospital, source, _DATA_DIR.value)
        document = compare(folder, names, list(sources))
        write_json(folder / "shift.json", document)
        table = "\n".join(format_table(document)) + "\n"
        write_file(folder / "table.md", table)
    print(table)


def write_hospitals(
    folder: pathlib.Path, patients: int, seed: int
) -> dict[str, pathlib.Path]:
    """Simulates the patients under each camera, and draws pictures of the last one."""
    from spectjax.phantom import write_phantom

    sources = {
        camera: write_phantom(
            folder / camera,
            patients=patients,
            seed=seed,
            population="screening",
            camera=camera,
            issuer=ISSUER,
        )
        for camera in CAMERAS
    }
    return sources | {PICTURES: write_pictures(sources[CAMERAS[-1]], folder / PICTURES)}


def write_pictures(source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Writes a phantom's views as 8-bit JPEG, the hottest pixel white.

    Its readers' files come along; images.csv is written last.
    """
    from PIL import Image

    from spectjax.imaging.dicom.reading import find_bone_scans

    if (folder / "images.csv").exists():
        return folder
    rows = []
    for scan in find_bone_scans([source / "dicom"])[0]:
        picture = folder / scan.view / f"{scan.path.stem}.jpg"
        picture.parent.mkdir(parents=True, exist_ok=True)
        grey = np.rint(255 * (scan.counts / scan.counts.max())).astype(np.uint8)
        Image.fromarray(grey).save(
            picture, quality=QUALITY, comment="SYNTHETIC: simulated by spectjax"
        )
        assert scan.spacing_mm is not None
        file, patient = f"{scan.view}/{picture.name}", name_patient(scan.path.stem[:5])
        rows.append((file, patient, scan.view, "", scan.spacing_mm[0]))
    annotations = "annotations"
    shutil.copytree(source / annotations, folder / annotations, dirs_exist_ok=True)
    columns = ("file", "patient", "view", "label", "spacing_mm")
    write_file(folder / "images.csv", format_csv(columns, sorted(rows)))
    return folder


def name_patient(number: str) -> str:
    """Returns what images.csv calls a patient: nobody else has that ID."""
    return f"{ISSUER} {number}"


def score(
    folder: pathlib.Path,
    model: str,
    workdir: pathlib.Path | None,
    hospital: str,
    source: pathlib.Path,
    data_dir: pathlib.Path | None,
) -> None:
    """Evaluates a model on a hospital's folder, which is prepared once."""
    from spectjax.evaluate import evaluate
    from tfds_spect.prepare import prepare

    output_dir = folder / "scores" / model / hospital
    if (output_dir / "metrics.json").exists():
        return
    prepared = prepare(
        "segmentation_originals",
        data_dir=folder / "data" / hospital,
        manual_dir=source,
    )
    print(prepared.summarise(), flush=True)
    evaluate(
        workdirs=[] if workdir is None else [workdir],
        dataset=prepared.builder_dir,
        data_dir=data_dir,
        output_dir=output_dir,
    )


def compare(
    folder: pathlib.Path, models: Sequence[str], hospitals: Sequence[str]
) -> dict[str, Any]:
    """Returns the scores of the images that all hospitals have, and differences."""
    from spectjax.evaluation.comparison import compare_pairs
    from spectjax.metrics.intervals import bootstrap_sums, describe_intervals
    from spectjax.phantom import VERSION

    document: dict[str, Any] = {"synthetic": True, "phantom": VERSION, "models": {}}
    for model in models:
        tables = {
            name: read_images(folder / "scores" / model / name) for name in hospitals
        }
        shared = sorted(set.intersection(*(set(table) for table in tables.values())))
        patients = [patient for patient, _ in shared]
        scores = {
            name: prepare_scores(np.array([table[image] for image in shared]).T)
            # The usual camera comes last: what is told of the others is minus its.
            for name, table in reversed(tables.items())
        }
        everyone = np.ones((1, len(shared)))
        pairs = compare_pairs(
            scores, patients, names=list(SCORES), bootstrap=bootstrap_sums,
            everyone=everyone,
        )  # fmt: skip
        document["models"][model] = {
            "n_images": len(shared),
            "n_patients": len(set(patients)),
            "hospitals": {
                name: {
                    "n_images_usable": len(tables[name]),
                    "n_lesions": sum(tables[name][image][0] for image in shared),
                    "n_found": sum(tables[name][image][1] for image in shared),
                    **{key: float(each[0]) for key, each in of(everyone).items()},
                    "intervals": describe_intervals(bootstrap_sums(patients, of)),
                }
                for name, of in reversed(scores.items())
            },
            "comparisons": [
                pair for pair in reversed(pairs) if pair["models"][1] == hospitals[0]
            ],
        }
    return document


def read_images(scores: pathlib.Path) -> dict[tuple[str, str], tuple[int, ...]]:
    """Reads what a model marked at its own point, by number of the patient and view.

    Each image has its lesions, those found, false regions, whether anything is marked,
    and pixels that are hotspots rightly, falsely, or missed.
    """
    from spectjax.tasks.hotspots.case_tables import read_run_tables
    from spectjax.tasks.hotspots.subgroups import MARKED_FILE, read_marked

    cases = read_run_tables(scores)
    marked = read_marked(scores / MARKED_FILE)
    columns = (
        *vars(marked).values(),
        cases.pixels.tp,
        cases.pixels.fp,
        cases.pixels.fn,
    )
    numbers = list_patients()
    return {
        (numbers[patient], view): tuple(int(each) for each in row)
        for patient, view, *row in zip(
            cases.patients, cases.views, *columns, strict=True
        )
    }


def list_patients() -> dict[str, str]:
    """Returns the numbers of the patients by their pseudonyms, in files and tables."""
    from spectjax.imaging.identity import compute_pseudonym, fold_text, identify_by_id

    numbers = [f"P{number:04d}" for number in range(1, _PATIENTS.value + 1)]
    return {
        key: number
        for number in numbers
        for key in (
            compute_pseudonym("id", fold_text(ISSUER), number),
            identify_by_id(name_patient(number)).patient,
        )
    }


def prepare_scores(columns: np.ndarray) -> "Score":
    """Returns a function from how often images are drawn, (R, N), to `SCORES`, (R,).

    `columns` has the numbers of `read_images`, (7, N).
    """
    from spectjax.tasks.hotspots.subgroups import Marked, prepare_marked

    lesions, found, false, marked, *pixels = columns
    of_regions = prepare_marked(Marked(lesions, found, false, marked > 0))
    tp, fp, fn = (each.astype(np.float64) for each in pixels)

    def score(drawn: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(invalid="ignore"):
            iou = (drawn @ tp) / (drawn @ (tp + fp + fn))
        return {**of_regions(drawn), "IoU": iou}

    return score


def format_table(document: Mapping[str, Any]) -> list[str]:
    """Returns the lines of `table.md`."""
    lines = [f"SIMULATED patients of the phantom's version {document['phantom']}."]
    for model, each in document["models"].items():
        rows = [
            [
                name,
                str(hospital["n_images_usable"]),
                f"{hospital['n_found']} of {hospital['n_lesions']}",
            ]
            + [
                f"{hospital[key]:.3f}{format_bounds(hospital['intervals'][key])}"
                for key in SCORES
            ]
            for name, hospital in each["hospitals"].items()
        ]
        lines += [
            "",
            f"## {model}: {each['n_images']} images of {each['n_patients']} patients",
            "",
            *format_rows(
                ["", "Images usable", "Lesions found", *SCORES.values()], rows
            ),
            "",
            *tabulate_differences(SCORES, each["comparisons"]),
        ]
    return lines


if __name__ == "__main__":
    run_command(main)
