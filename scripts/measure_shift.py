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
import sys
from typing import cast

from absl import flags, logging

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from scripts.shift.comparison import compare, format_table, read_images
from scripts.shift.hospitals import write_hospitals
from spectjax.system.commands import (
    define_path,
    define_paths,
    refuse_arguments,
    run_command,
)
from spectjax.system.files import write_file, write_json
from spectjax.system.locks import hold

_OUTPUT_DIR = define_path("output_dir", "Folder to write to.", required=True)
_WORKDIRS = define_paths("workdir", "Folder of a training run; may be repeated.")
_DATA_DIR = define_path("data_dir", "Folder of the data sets of these trainings.")
_PATIENTS = flags.DEFINE_integer("patients", 100, "How many.", lower_bound=5)
_SEED = flags.DEFINE_integer("seed", 11, "Of the patients.", lower_bound=0)

SHIPPED = "shipped"


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
        document = compare(
            {
                name: {
                    hospital: read_images(
                        folder / "scores" / name / hospital, _PATIENTS.value
                    )
                    for hospital in sources
                }
                for name in names
            }
        )
        write_json(folder / "shift.json", document)
        table = "\n".join(format_table(document)) + "\n"
        write_file(folder / "table.md", table)
    print(table)


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


if __name__ == "__main__":
    run_command(main)
