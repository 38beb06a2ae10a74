"""Measures the planar index: against the truth, against itself, and what it loses.

    python scripts/measure_burden.py --output_dir=OUT
    python scripts/measure_burden.py --output_dir=OUT --ask=bones --patients=40

Simulated patients with 0.1 to 13 % of their skeleton in metastases, and normal ones,
are scanned in memory; others, of several levels, again: with new noise, twice as fast,
lying otherwise, on other pixels, and at several count levels. Of those who are asked,
`bones` finds the skeleton, `crop` hotspots of the thorax, and `whole` those of the
whole body, each as it ships. The same command again goes on where it was stopped.

OUT gets `patients/`, a file for each; `scans.csv`; `burden.json`, `burden.md` and
`agreement.png`; and, if hotspots were asked for, `repeatability.json`. With `--ship`
this becomes `spectjax/bones/repeatability.json`, and the tables those of
`docs/burden.md`.
"""

import functools
import json
import pathlib
import sys
from typing import Any, cast

from absl import flags

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from scripts.burden.examinations import BURDEN, GROUPS, NORMALS, REPEATED, simulate
from scripts.burden.figures import draw_agreement
from scripts.burden.finders import LOADERS
from scripts.burden.measures import measure_examination
from scripts.burden.summary import make_table, summarise
from scripts.burden.tables import write_report, write_scans
from spectjax.bones.repeatability import FILE
from spectjax.phantom.population import VERSION
from spectjax.report.picture_parts import save_figure
from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.files import write_file, write_json
from spectjax.system.locks import hold
from spectjax.system.machine import find_commit
from spectjax.system.messages import UserError
from spectjax.system.workers import Workers

_OUTPUT_DIR = define_path("output_dir", "Folder to write to.", required=True)
_PATIENTS = flags.DEFINE_integer(
    "patients", 120, "With metastases, of the population `burden`.", lower_bound=2
)
_REPEATED = flags.DEFINE_integer(
    "repeated", 30, "Others of that kind, who are scanned again.", lower_bound=0
)
_NORMAL = flags.DEFINE_integer(
    "normal", 40, "Without metastases, of `whole_body`.", lower_bound=0
)
_REPEATED_NORMAL = flags.DEFINE_integer(
    "repeated_normal", 6, "Of these, how many are scanned again.", lower_bound=0
)
_SEED = flags.DEFINE_integer("seed", 2101, "Of both populations.", lower_bound=0)
_ASK = flags.DEFINE_list("ask", list(LOADERS), f"Of {', '.join(LOADERS)}.")
_SHIP = flags.DEFINE_bool("ship", False, "Put the results where they are read.")
_PROCESSES = flags.DEFINE_integer("processes", None, "One a core.", lower_bound=1)

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "burden.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end of what was measured -->\n"
_SECONDS = 1.0, 4.0  # of a scan: to simulate it, and of each who is asked
Job = tuple[str, int, bool]  # group, number, whether scanned again


def main(argv: list[str]) -> None:
    """Simulates, asks and writes the tables."""
    refuse_arguments(argv)
    folder, asked = cast(pathlib.Path, _OUTPUT_DIR.value), sorted(_ASK.value)
    if unknown := set(asked) - set(LOADERS):
        raise UserError(
            f"--ask={','.join(sorted(unknown))}: expected some of {', '.join(LOADERS)}."
        )
    jobs: list[Job] = [
        (group, number, number <= repeated)
        for group, patients, repeated in (
            (BURDEN, _PATIENTS.value, 0),
            (NORMALS, _NORMAL.value, _REPEATED_NORMAL.value),
            (REPEATED, _REPEATED.value, _REPEATED.value),
        )
        for number in range(1, patients + 1)
    ]
    with hold(folder):
        check_run(folder, {"seed": _SEED.value, "asked": asked, "phantom": VERSION})
        measure(folder, jobs, asked)
        write_tables(folder, [read(folder, job) for job in jobs], asked)
        if _SHIP.value:
            ship(folder)
    print((folder / "burden.md").read_text())


def ship(folder: pathlib.Path) -> None:
    """Puts tables on the page, and the one of repeated scans beside what reads it."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    tables = (folder / "burden.md").read_text()
    after = rest.partition(END)[2]
    write_file(PAGE, "".join([before, BEGIN, "\n", tables, END, after]))
    picture = PAGE.parent / "figures" / "burden_agreement.png"
    write_file(picture, (folder / "agreement.png").read_bytes())
    table = folder / FILE.name
    if table.exists():
        write_file(FILE, table.read_text())


def check_run(folder: pathlib.Path, run: dict[str, Any]) -> None:
    """Refuses a folder of patients who were measured otherwise.

    Raises:
        UserError: if it is one.
    """
    file = folder / "run.json"
    run = {**run, "commit": find_commit()}
    if not file.exists():
        write_json(file, run)
        return
    found = json.loads(file.read_text())
    if other := [key for key in run if found.get(key) != run[key]]:
        raise UserError(
            f"{folder}: expected the same run, found another "
            + ", ".join(f"{key} ({found.get(key)}, not {run[key]})" for key in other)
            + "; choose another --output_dir."
        )


def measure(folder: pathlib.Path, jobs: list[Job], asked: list[str]) -> None:
    """Writes the file of each patient who has none yet."""
    left = [job for job in jobs if not find_file(folder, job).exists()]
    work = functools.partial(measure_patient, _SEED.value, asked)
    scans = sum(14 if again else 1 for _, _, again in left)
    seconds = scans * (_SECONDS[0] + _SECONDS[1] * len(asked))
    with Workers(_PROCESSES.value) as workers:
        found = workers.map(work, left, seconds=seconds)
        for done, (job, record) in enumerate(zip(left, found, strict=True), 1):
            write_json(find_file(folder, job), record)
            print(f"{done} of {len(left)} patients", flush=True)


def measure_patient(seed: int, asked: list[str], job: Job) -> dict[str, Any]:
    """Returns the record of a patient, see `scripts.burden.summary`."""
    group, number, again = job
    scans = simulate(group, number, seed, repeats=again)
    measured = (measure_examination(scan, asked) for scan in scans)
    return {
        "group": group,
        "number": number,
        "scans": {each["name"]: each for each in measured},
    }


def find_file(folder: pathlib.Path, job: Job) -> pathlib.Path:
    """Returns where the record of a patient lies; one scanned again has another."""
    group, number, again = job
    return folder / "patients" / f"{group}_{number:04d}{'_again' * again}.json"


def read(folder: pathlib.Path, job: Job) -> dict[str, Any]:
    """Returns the record of a patient."""
    record: dict[str, Any] = json.loads(find_file(folder, job).read_text())
    return record


def write_tables(
    folder: pathlib.Path, records: list[dict[str, Any]], asked: list[str]
) -> None:
    """Writes what the patients say together."""
    document = {
        "synthetic": True,
        "phantom": VERSION,
        "seed": _SEED.value,
        "commit": find_commit(),
        "asked": asked,
        "patients": {
            **{g: sum(r["group"] == g for r in records) for g in GROUPS},
            "normal_repeated": sum(
                r["group"] == NORMALS and len(r["scans"]) > 1 for r in records
            ),
        },
        **summarise(records),
    }
    write_json(folder / "burden.json", document)
    write_file(folder / "scans.csv", write_scans(records))
    write_file(folder / "burden.md", write_report(document))
    save_figure(draw_agreement(records, document), folder / "agreement.png")
    if set(asked) > {"bones"}:
        measured = {
            "synthetic": "yes",
            "again": "new noise, lying otherwise",
            "hotspots": "found, at the shipped operating point",
            "bones": "found",
            "population": "burden, and normal patients of whole_body",
            "patients": sum(len(r["scans"]) > 1 for r in records),
            "seed": _SEED.value,
            "phantom_version": VERSION,
            "commit": find_commit(),
        }
        write_json(folder / FILE.name, make_table(records, measured))


if __name__ == "__main__":
    run_command(main)
