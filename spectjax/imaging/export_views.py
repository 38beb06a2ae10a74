r"""Writes whole-body views as pictures for readers to annotate in LabelMe.

    python -m spectjax.imaging.export_views --output_dir=OUT FILE_OR_FOLDER ...

For each view OUT/<file>_<view>.png is an 8-bit grey picture, dark where there are many
counts. It is neither scaled nor turned: a point in LabelMe is a point of the scan, so
zoom in LabelMe, not here. Keep the names; save each reader's annotations in a folder of
its own, e.g. HOSPITAL/annotations/reader1/<file>_<view>.json. Posterior views are shown
as recorded, with the patient's left on the left. Files that cannot be used are named on
stderr and passed over; the exit status is 0 if at least one view was written, else 1.
It is 3 if a view was passed over for an error that nobody expected, a bug:
OUT/problems.log then has what to report.
"""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from absl import flags

from spectjax.system.commands import define_path, define_view, read_paths, run_command
from spectjax.system.messages import make_printable

if TYPE_CHECKING:  # takes a third of a second: not before --help
    from spectjax.imaging.scan import BoneScan, View

_OUTPUT_DIR = define_path("output_dir", "Folder for the pictures.", required=True)
_VIEW = define_view("View of the first frame of every file, whatever the files say.")
_BLACK_PERCENTILE = flags.DEFINE_float(
    "black_percentile",
    99.5,
    "Percentile of the pixels with counts at which the grey scale ends in black.",
    lower_bound=0,
    upper_bound=100,
)


def main(arguments: list[str]) -> None:
    """Writes a picture for every view found in the paths."""
    from spectjax.imaging.intake import write_views
    from spectjax.imaging.listed.found import Stated
    from spectjax.imaging.readers_pictures import tie_names

    output_dir = cast(Path, _OUTPUT_DIR.value)
    write_views(
        read_paths(arguments),
        output_dir,
        tie_names,
        lambda scan, name: _export(scan, output_dir / f"{name}.png"),
        stated=Stated(cast("View | None", _VIEW.value)),
    )


def _export(scan: "BoneScan", path: Path) -> None:
    """Writes the picture of one view, and prints what there is to doubt."""
    from spectjax.imaging.readers_pictures import write_picture

    write_picture(scan, path, _BLACK_PERCENTILE.value)
    for warning in scan.warnings:
        print(make_printable(f"{scan.name}: WARNING: {warning}"))


if __name__ == "__main__":
    run_command(main)
