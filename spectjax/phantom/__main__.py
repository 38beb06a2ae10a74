"""Writes a folder of simulated bone scans.

    python -m spectjax.phantom --output_dir=phantom --patients=76 --seed=0
    python -m spectjax.phantom --output_dir=phantom --population=classification
    python -m spectjax.phantom --output_dir=later --population=burden --rescan=1

The folder holds DICOM files, LabelMe outlines of three readers and the truth; it can
take the place of a hospital's folder wherever one is asked for.
"""

from pathlib import Path
from typing import cast

from absl import flags

from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.locks import hold

_OUTPUT_DIR = define_path(
    "output_dir", "Folder to write; new, empty, or one to be continued.", required=True
)
_PATIENTS = flags.DEFINE_integer(
    "patients",
    None,
    "Number of patients; by default the paper's: 76 of segmentation (112 images) or "
    "251 of classification (346 images); 200 of screening and of whole_body, 100 of "
    "burden.",
    lower_bound=1,
)
_POPULATION = flags.DEFINE_enum(
    "population",
    "segmentation",
    ["segmentation", "classification", "screening", "whole_body", "burden"],
    "All with metastases in every thorax, mostly normal, half of each; the last two "
    "have masks of the bones as well: half normal, or metastases in 0.1 to 13 % of the "
    "skeleton.",
)
_ANY_FRAME = flags.DEFINE_bool(
    "any_frame",
    False,
    "Scans of 128 to 1024 columns and pixels of 1.8 to 4.8 mm; by default all have the "
    "papers' 256 columns of some 2.3 mm.",
)
_CAMERA = flags.DEFINE_enum(
    "camera",
    "usual",
    ["usual", "fast", "coarse"],
    "Which camera the same patients lie under: fast has a collimator of lower "
    "resolution and half of the counts, coarse also 128 columns of 4.7 mm.",
)
_ISSUER = flags.DEFINE_string(
    "issuer",
    "",
    "Issuer of the Patient IDs; all phantoms count from P0001, and only another "
    "issuer tells their patients apart.",
)
_RESCAN = flags.DEFINE_integer(
    "rescan",
    0,
    "Another study of the same patients, whom nobody treated: 1 half a year after the "
    "first, 2 a year. They lie down anew and keep their Patient IDs.",
    lower_bound=0,
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "The same seed gives the same bytes.", lower_bound=0
)
_PROCESSES = flags.DEFINE_integer(
    "processes", None, "Processes that share the work; one per core by default.",
    lower_bound=1,
)  # fmt: skip


def main(argv: list[str]) -> None:
    """Writes the phantom and says where it is."""
    refuse_arguments(argv)
    from spectjax.phantom.population import write_phantom
    from spectjax.phantom.slots import count_patients

    patients = _PATIENTS.value or count_patients(_POPULATION.value)
    folder = cast(Path, _OUTPUT_DIR.value)
    with hold(folder):
        write_phantom(
            folder,
            patients=patients,
            seed=_SEED.value,
            population=_POPULATION.value,
            any_frame=_ANY_FRAME.value,
            camera=_CAMERA.value,
            issuer=_ISSUER.value,
            rescan=_RESCAN.value,
            processes=_PROCESSES.value,
        )
    print(
        f"{folder}: {patients} synthetic patients for {_POPULATION.value}, seed "
        f"{_SEED.value}"
    )


if __name__ == "__main__":
    run_command(main)
