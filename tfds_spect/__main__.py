"""Prepares a data set of thorax images, without TensorFlow.

Simulated patients, to try it out:

    python -m tfds_spect --data_dir=data --config=segmentation_quick

A hospital's own:

    python -m tfds_spect --data_dir=data --manual_dir=FOLDER

What of it would be left out, and contact sheets of the crops among it, to accept from:

    python -m tfds_spect --manual_dir=FOLDER --dry_run=OUT

A prepared data set is reused. Exit status 1: it could not be prepared; 3: it was, but
without files that met an unexpected error, a bug, which the summary tells.
"""

import pathlib
import sys

from absl import flags

from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.messages import UserError

_DATA_DIR = define_path(
    "data_dir", "Folder for data sets; by default ~/tensorflow_datasets."
)
_MANUAL_DIR = define_path(
    "manual_dir",
    "A hospital's folder of whole-body DICOM files and LabelMe files named <DICOM "
    "stem>_<view>.json or .xml; the folder that holds one names its reader. Or of "
    "pictures that its images.csv lists (tfds_spect/README.md). Without it, patients "
    "are simulated.",
)
_CONFIG = flags.DEFINE_string(
    "config",
    "segmentation",
    "segmentation: as many copies of each image as in the paper, 19 or 20; "
    "segmentation_quick: 4 copies; segmentation_smoke: 10 simulated patients, 1 copy; "
    "segmentation_originals: no copies; segmentation_mixed: no copies, and normal "
    "images among the simulated ones; segmentation_screening: no copies, 3000 "
    "simulated patients, half of them normal; segmentation_whole_body: whole frames, "
    "nothing cropped, 1000 simulated patients, half of them normal. "
    "classification_d1, _d2, _d3: the three data sets of the other paper. With "
    "_leaking added to segmentation, "
    "segmentation_quick, classification_d2 or classification_d3: originals and copies "
    "split at random, as in the papers.",
)
_PROCESSES = flags.DEFINE_integer(
    "processes",
    None,
    "How many processes share the work; by default one for each core if there is much "
    "to do. The result is the same.",
    lower_bound=1,
)
_BEAM = flags.DEFINE_string(
    "beam",
    None,
    "Share the work out through Apache Beam, with these arguments of its own: "
    "'--runner=DirectRunner --direct_running_mode=multi_processing "
    "--direct_num_workers=8'. Every worker must see both folders under the same path "
    "and have the same SPECTJAX_PSEUDONYM_KEY.",
)

_DRY_RUN = define_path(
    "dry_run",
    "Prepare nothing: write to this folder what of --manual_dir would be left out and "
    "why, contact sheets of the crops among it, and a crops.csv to decide about them.",
)


def main(argv: list[str]) -> None:
    """Prepares what the flags name."""
    refuse_arguments(argv)
    if _DRY_RUN.value is not None:
        _try_out(_DRY_RUN.value)
        return
    # Here, so that --help need not wait for TFDS.
    from spectjax.imaging.problems import BUG_STATUS
    from tfds_spect.prepare import prepare

    prepared = prepare(
        _CONFIG.value,
        data_dir=_DATA_DIR.value,
        manual_dir=_MANUAL_DIR.value,
        beam=_BEAM.value,
        processes=_PROCESSES.value,
    )
    print(prepared.summarise())
    if prepared.n_unexpected:
        sys.exit(BUG_STATUS)


def _try_out(output_dir: pathlib.Path) -> None:
    """Tells what would be left out."""
    if _MANUAL_DIR.value is None:
        raise UserError("Expected --manual_dir beside --dry_run, found none.")
    from spectjax.imaging.problems import BUG_STATUS
    from tfds_spect.dry_run import try_out

    text, n_unexpected = try_out(
        _CONFIG.value, _MANUAL_DIR.value, output_dir, processes=_PROCESSES.value
    )
    print(text)
    if n_unexpected:
        sys.exit(BUG_STATUS)


if __name__ == "__main__":
    run_command(
        main,
        stopped="Stopped. Nothing half-written is kept; the same command starts anew.",
    )
