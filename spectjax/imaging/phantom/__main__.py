"""Writes a folder of simulated bone scans.

    python -m spectjax.imaging.phantom --output_dir=phantom --patients=76 --seed=0

The folder holds DICOM files, LabelMe outlines of three readers and the truth; it can
take the place of a hospital's folder wherever one is asked for.
"""

import sys

from absl import app, flags

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "Folder to write; new, empty, or one to be continued.",
    required=True,
)
_PATIENTS = flags.DEFINE_integer(
    "patients", 76, "Number of patients; 76 of them have 112 views.", lower_bound=1
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
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    from spectjax.files import WriteError
    from spectjax.imaging.phantom.population import PhantomError, write_phantom

    try:
        folder = write_phantom(
            _OUTPUT_DIR.value,
            patients=_PATIENTS.value,
            seed=_SEED.value,
            processes=_PROCESSES.value,
        )
    except (PhantomError, WriteError) as error:
        sys.exit(str(error))
    print(f"{folder}: {_PATIENTS.value} synthetic patients, seed {_SEED.value}")


if __name__ == "__main__":
    app.run(main)
