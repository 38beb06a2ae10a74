r"""Writes whole-body views as pictures for readers to annotate in LabelMe.

    python -m spectjax.imaging.export_views --output_dir=OUT FILE_OR_FOLDER ...

For each view OUT/<file>_<view>.png is an 8-bit grey picture, dark where there are many
counts. It is neither scaled nor turned: a point in LabelMe is a point of the scan, so
zoom in LabelMe, not here. Keep the names; save each reader's annotations in a folder of
its own, e.g. HOSPITAL/annotations/reader1/<file>_<view>.json. Posterior views are shown
as recorded, with the patient's left on the left.
"""

import sys
from pathlib import Path
from typing import cast

import numpy as np
from absl import flags

from spectjax.commands import define_path, read_paths, run_command
from spectjax.locks import hold
from spectjax.messages import UserError

_OUTPUT_DIR = define_path("output_dir", "Folder for the pictures.", required=True)
_VIEW = flags.DEFINE_enum(
    "view",
    None,
    ["anterior", "posterior"],
    "View of the first frame of every file, whatever the files say.",
)
_BLACK_PERCENTILE = flags.DEFINE_float(
    "black_percentile",
    99.5,
    "Percentile of the pixels with counts at which the grey scale ends in black.",
    lower_bound=0,
    upper_bound=100,
)


def render_view(counts: np.ndarray, black_percentile: float) -> np.ndarray:
    """Returns an inverse grey picture: white for no counts, black for many.

    Args:
        counts: not negative, (H, W), at least one of them positive.
        black_percentile: of the positive counts, in [0, 100]; black from there on.

    Returns:
        Grey values, uint8, (H, W).
    """
    black = np.percentile(counts[counts > 0], black_percentile)
    grey = 255 * (1 - np.minimum(counts / black, 1))
    return np.rint(grey).astype(np.uint8)


def main(arguments: list[str]) -> None:
    """Writes a picture for every view found in the paths."""
    from spectjax.files import write_file
    from spectjax.imaging.dicom import View, find_bone_scans
    from spectjax.imaging.masks import encode_grey

    paths, output_dir = read_paths(arguments), cast(Path, _OUTPUT_DIR.value)
    if not paths:
        raise UserError("Expected DICOM files or folders after the flags, found none.")
    scans, errors = find_bone_scans(paths, view=cast(View | None, _VIEW.value))
    taken: dict[str, Path] = {}
    for scan in scans:
        first = taken.setdefault(scan.name, scan.path)
        if first is not scan.path:
            raise UserError(
                f"{scan.path}: expected files of different names, found {first} of the "
                "same. Rename one: the name ties an annotation to its scan."
            )
    with hold(output_dir):
        for scan in scans:
            picture = render_view(scan.counts, _BLACK_PERCENTILE.value)
            write_file(output_dir / f"{scan.name}.png", encode_grey(picture))
    for scan_error in errors:
        print(f"Skipped {scan_error}", file=sys.stderr)
    summary = f"{len(scans)} views written to {output_dir}, {len(errors)} skipped."
    if not scans:
        raise UserError(summary)
    print(summary)


if __name__ == "__main__":
    run_command(main)
