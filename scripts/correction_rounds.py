"""Runs rounds of drafts, corrections and trainings on simulated patients.

    python scripts/correction_rounds.py --output_dir=OUT

A hospital of simulated patients is read in rounds. The newest model draws a draft of
each view of a round (`predict --labelme`), a simulated reader corrects it, and from
`--start` a network learns from all that is corrected so far. Patients apart, whom the
reader outlines without a draft, score every model. The hospital counts metastases
alone, where the model that ships marks all abnormal uptake.

The reader knows the truth. They delete what meets no metastasis, by the rule of
`spectjax.metrics.lesions`; leave an outline whose Dice is at least `--leave`, draw
others anew, and add a missed metastasis if its contrast, `measure_contrast`, is at
least `--contrast`. Without a draft they outline those of that contrast.

The same command again goes on where it was. OUT receives `hospital`, with annotations a
round as LabelMe leaves them; `runs`; `corrections`, what `spectjax.corrections` says;
`scores`, what `spectjax.evaluate` says of each model; `rounds.json` and `table.md`.
Other values of the training: --config.num_epochs=20 and so on.
"""

import json
import pathlib
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

from absl import flags
from ml_collections import ConfigDict, config_flags

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from scripts.rounds.reader import Eyes, Reader
from spectjax.report.markdown import bracket, format_rows
from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.files import write_file, write_json
from spectjax.system.locks import hold

_CONFIG = config_flags.DEFINE_config_file("config", "configs/unet_res.py:ready")
_OUTPUT_DIR = define_path("output_dir", "Folder to write to.", required=True)
_START = flags.DEFINE_string(
    "start", "shipped", "Draws the first round, and what trainings begin from: a run."
)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "How many.", lower_bound=1)
_PATIENTS = flags.DEFINE_integer("patients", 20, "Of a round.", lower_bound=1)
_HELD_OUT = flags.DEFINE_integer("held_out", 20, "Patients apart.", lower_bound=5)
_SEED = flags.DEFINE_integer("seed", 7, "Of the simulation.", lower_bound=0)
_PROCESSES = flags.DEFINE_integer("processes", None, "For the simulation.")
_POINT = flags.DEFINE_string(
    "operating_point", "sensitive", "At which drafts are drawn; empty: as it is."
)
_CONTRAST = flags.DEFINE_float("contrast", 1.5, "From which a metastasis is seen.")
_LEAVE = flags.DEFINE_float("leave", 0.7, "Dice of an outline that is good enough.")

SHIPPED = "shipped"
_DATA = "segmentation_originals"  # all images once, as a hospital's are prepared


def main(argv: list[str]) -> None:
    """Runs what has not been run yet, then writes and prints the table."""
    refuse_arguments(argv)
    output_dir = cast(pathlib.Path, _OUTPUT_DIR.value)
    with hold(output_dir):
        print(run(output_dir, Eyes(_CONTRAST.value, _LEAVE.value)))


def run(folder: pathlib.Path, eyes: Eyes) -> str:
    """Runs all rounds in a folder and returns the table."""
    from spectjax.corrections import run as compare
    from spectjax.phantom import write_phantom

    per_round, held_out = _PATIENTS.value, _HELD_OUT.value
    phantom = write_phantom(
        folder / "phantom",
        patients=held_out + per_round * _ROUNDS.value,
        seed=_SEED.value,
        processes=_PROCESSES.value,
    )
    patients = sorted(path.stem for path in (phantom / "truth").iterdir())
    reader = Reader(phantom, eyes)
    apart = folder / "held_out"
    reader.outline_all(copy_scans(phantom, patients[:held_out], apart), apart)
    models, rounds = [_START.value], []
    for number in range(1, _ROUNDS.value + 1):
        first = held_out + per_round * (number - 1)
        read = folder / "hospital" / "annotations" / f"round{number}"
        if not read.is_dir():
            drafts = folder / "drafts" / read.name
            files = copy_scans(
                phantom, patients[first : first + per_round], folder / "hospital"
            )
            draw(files, models[-1], drafts)
            reader.correct_all(files, drafts / "labelme")
            (drafts / "labelme").rename(_with_parent(read))
        rounds.append(read)
        models.append(str(train(folder, number)))
    compare(rounds, folder / "corrections")
    scores = [score(folder, model) for model in models]
    return write_results(folder, scores)


def copy_scans(
    phantom: pathlib.Path, patients: Sequence[str], folder: pathlib.Path
) -> list[pathlib.Path]:
    """Copies the DICOM files of some patients and returns the copies."""
    copies = []
    for patient in patients:
        for file in sorted((phantom / "dicom").glob(f"{patient}*.dcm")):
            copy = _with_parent(folder / "dicom" / file.name)
            copies.append(pathlib.Path(shutil.copyfile(file, copy)))
    return copies


def draw(files: Sequence[pathlib.Path], model: str, folder: pathlib.Path) -> None:
    """Writes the drafts of a model."""
    from spectjax import predict

    predict.run(
        files,
        workdirs=[] if model == SHIPPED else [pathlib.Path(model)],
        output_dir=folder,
        operating_point=_POINT.value or None,
        labelme=True,
    )


def train(folder: pathlib.Path, number: int) -> pathlib.Path:
    """Trains on all that is corrected after a round and returns the run's folder."""
    from spectjax.main import hold_run, train_and_evaluate

    config: ConfigDict = _CONFIG.value.copy_and_resolve_references()
    config.data.name, config.pretrained = _DATA, _START.value
    config.data.augmentation = "online"  # these data have no copies
    workdir = folder / "runs" / f"round{number}"
    if not (workdir / "eval" / "metrics.json").is_file():  # the hospital grows on
        with hold_run(workdir):
            train_and_evaluate(
                config,
                workdir,
                data_dir=folder / "data" / workdir.name,
                manual_dir=folder / "hospital",
            )
    return workdir


def score(folder: pathlib.Path, model: str) -> dict[str, Any]:
    """Returns what a model scores on the patients apart."""
    from spectjax.evaluate import evaluate

    run, name = pathlib.Path(model), "start"
    if run.parent == folder / "runs":
        name = run.name
    found = folder / "scores" / name / "metrics.json"
    if found.is_file():
        return dict(json.loads(found.read_text()))
    return evaluate(
        workdirs=[] if model == SHIPPED else [run],
        manual_dir=folder / "held_out",
        data_dir=folder / "data" / run.name,
        output_dir=found.parent,
    )


def write_results(folder: pathlib.Path, scores: Sequence[dict[str, Any]]) -> str:
    """Writes `rounds.json` and `table.md`, and returns the table."""
    said = json.loads((folder / "corrections" / "corrections.json").read_text())
    rounds = list(said["rounds"].values())
    cost: list[Callable[[dict[str, Any]], str]] = [
        lambda each: str(each["images_corrected_before"]),
        lambda each: str(each["n_files"]),
        lambda each: bracket(each, "per_file", "corrections", pattern=".2f"),
        *(
            lambda each, kind=kind: str(each["regions"][kind])
            for kind in ("unchanged", "moved", "removed", "added")
        ),
        lambda each: bracket(each, "pixel", "pooled", "Dice"),
    ]
    rows = []
    for number, metrics in enumerate(scores):
        drew = rounds[number] if number < len(rounds) else None
        name = f"round {number}" if number else "start"
        rows.append(
            [name]
            + [tell(drew) if drew else "–" for tell in cost]
            + [
                bracket(metrics, "pixel", "pooled", "IoU"),
                bracket(metrics, "lesion", "sensitivity_at", "1"),
            ]
        )
    header = ["Model after", "Images learned from", "Files it drew"]
    header += ["Corrections a file", "Left", "Redrawn", "Removed", "Added"]
    header += ["Dice of the drafts", "IoU, patients apart"]
    header += ["Lesions found there at 1 false region an image"]
    table = "\n".join(format_rows(header, rows))
    write_file(folder / "table.md", table)
    write_json(
        folder / "rounds.json", {"corrections": said, "patients_apart": list(scores)}
    )
    return table


def _with_parent(path: pathlib.Path) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    run_command(main)
