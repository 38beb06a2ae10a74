"""Makes the atlas of the skeleton that ships with the package, of simulated patients.

    python scripts/make_atlas.py --output=spectjax/bones/atlas.npz

A fixed seed gives the same file. The defaults take about a minute on one core.
"""

import functools
import sys
from pathlib import Path
from typing import cast

from absl import flags

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.bone_atlas.examples import make_examples
from spectjax.bones.atlas import build_atlas, pack_atlas
from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.files import write_file
from spectjax.system.locks import hold
from spectjax.system.workers import Workers

_OUTPUT = define_path("output", "File of the atlas to write.", required=True)
_PATIENTS = flags.DEFINE_integer(
    "patients", 100, "Simulated patients; each has two views.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 2100, "Seed of the patients.")
_PROCESSES = flags.DEFINE_integer("processes", 2, "Processes that share the work.")
_SECONDS_PER_PATIENT = 0.6


def main(argv: list[str]) -> None:
    """Simulates, measures, writes."""
    refuse_arguments(argv)
    output = cast(Path, _OUTPUT.value)
    with hold(output.parent):
        numbers = range(_PATIENTS.value)
        with Workers(_PROCESSES.value) as workers:
            seconds = _SECONDS_PER_PATIENT * len(numbers)
            make = functools.partial(make_examples, _SEED.value)
            made = list(workers.map(make, numbers, seconds=seconds))
        examples = [example for each in made for example in each]
        print(f"{len(examples)} views of {len(numbers)} patients.")
        write_file(output, pack_atlas(build_atlas(examples)))


if __name__ == "__main__":
    run_command(main)
