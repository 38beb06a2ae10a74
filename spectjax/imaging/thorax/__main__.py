r"""Crops the thorax out of whole-body bone scans and shows how.

    python -m spectjax.imaging.thorax --output_dir=OUT FILE_OR_FOLDER ...

Takes DICOM files, and pictures that images.csv at the top of a folder lists or of which
--view says the view (docs/data.md); what shows a thorax already is shown as it is.
For each view OUT/<file>_<view>.json gets the box and its landmarks in whole-body
pixels, and OUT/<file>_<view>.png the evidence: the row-count curve, its fit and
derivatives, the landmarks, the box and the crop. Where crops are flagged or not found,
OUT/crops.csv is the table to accept them in, or to give boxes in their place, and
contact sheets show them, OUT/crops_001.png and so on; --crops=FILE heeds that table,
here and in `spectjax.predict` and `spectjax.explain`. Files that cannot be used are
named on stderr and passed over; the exit status is 0 if at least one view was written,
else 1. It is 3 if a view was passed over for an error that nobody expected, a bug:
OUT/problems.log then has what to report.
"""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from absl import flags

from spectjax.system.commands import (
    define_crops,
    define_path,
    define_stated,
    read_paths,
    run_command,
)
from spectjax.system.messages import make_printable

if TYPE_CHECKING:  # takes a third of a second: not before --help
    from spectjax.imaging.listed.crop_review import DoubtfulCrop
    from spectjax.imaging.scan import BoneScan

_OUTPUT_DIR = define_path(
    "output_dir", "Folder for the results; made if it is missing.", required=True
)
define_stated()
_CROPS = define_crops()


def main(arguments: list[str]) -> None:
    """Writes a box and a drawing for every view found in the paths."""
    from spectjax.imaging.intake import write_views
    from spectjax.imaging.listed.crop_review import write_review
    from spectjax.imaging.listed.crops import read_crops
    from spectjax.imaging.listed.found import Stated
    from spectjax.imaging.outputs import OutputNames

    output_dir = cast(Path, _OUTPUT_DIR.value)
    decisions = read_crops(_CROPS.value)
    doubtful: list[DoubtfulCrop] = []

    def finish() -> None:
        if doubtful:
            print(write_review(doubtful, decisions, output_dir, place=output_dir))

    write_views(
        read_paths(arguments),
        output_dir,
        lambda files: OutputNames(files, output_dir, mark="landmarks").choose,
        lambda scan, name: _crop(scan, name, output_dir, doubtful),
        stated=Stated.of(flags.FLAGS),
        crops=decisions,
        finish=finish,
    )


def _crop(
    scan: "BoneScan", name: str, output_dir: Path, doubtful: "list[DoubtfulCrop]"
) -> None:
    """Writes box and drawing of one view, prints a line about it, and notes doubts."""
    from spectjax.imaging.listed.crop_review import doubt_crop
    from spectjax.imaging.thorax.crop import CropError, crop_thorax
    from spectjax.imaging.thorax.evidence import save_evidence
    from spectjax.system.files import write_json

    try:
        thorax = crop_thorax(scan)
    except CropError as error:
        doubtful.append(doubt_crop(scan, error))
        raise
    if thorax.flags:
        doubtful.append(doubt_crop(scan, thorax))
    save_evidence(thorax, output_dir / f"{name}.png")
    write_json(output_dir / f"{name}.json", thorax.to_json())
    doubts = "".join(f"  Flagged: {flag}." for flag in thorax.flags)
    if thorax.decision:
        doubts += f"  Note: {thorax.decision}."
    doubts += "".join(f"  WARNING: {warning}." for warning in scan.warnings)
    print(make_printable(f"{name}: box {thorax.transform.box}{doubts}"))


if __name__ == "__main__":
    run_command(main)
