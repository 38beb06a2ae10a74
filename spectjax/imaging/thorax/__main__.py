r"""Crops the thorax out of whole-body bone scans and shows how.

    python -m spectjax.imaging.thorax --output_dir=OUT FILE_OR_FOLDER ...

For each view OUT/<file>_<view>.json gets the box and its landmarks in whole-body
pixels, and OUT/<file>_<view>.png the evidence: the row-count curve, its fit and
derivatives, the landmarks, the box and the crop.
"""

import sys
from pathlib import Path
from typing import cast

from absl import flags

from spectjax.commands import define_path, read_paths, run_command
from spectjax.locks import hold
from spectjax.messages import UserError

_OUTPUT_DIR = define_path(
    "output_dir", "Folder for the results; made if it is missing.", required=True
)
_VIEW = flags.DEFINE_enum(
    "view",
    None,
    ["anterior", "posterior"],
    "The view, for one-frame files that do not say it.",
)


def main(arguments: list[str]) -> None:
    """Writes a box and a drawing for every view found in the paths."""
    paths, output_dir = read_paths(arguments), cast(Path, _OUTPUT_DIR.value)
    if not paths:
        raise UserError("Expected DICOM files or folders after the flags, found none.")
    with hold(output_dir):
        crop_scans(paths, output_dir)


def crop_scans(paths: list[Path], output_dir: Path) -> None:
    """Writes the results of all scans below `paths`.

    Raises:
        UserError: if there is no scan that could be used.
        WriteError: if a file cannot be written.
    """
    from spectjax.files import write_json
    from spectjax.imaging.dicom import ScanError, View, find_bone_scans
    from spectjax.imaging.thorax.crop import crop_thorax
    from spectjax.imaging.thorax.evidence import save_evidence

    scans, errors = find_bone_scans(paths, view=cast(View | None, _VIEW.value))
    written = 0
    for scan in scans:
        try:
            thorax = crop_thorax(scan)
            save_evidence(thorax, output_dir / f"{scan.name}.png")
            write_json(output_dir / f"{scan.name}.json", thorax.to_json())
        except ScanError as error:
            errors.append(error)
        else:
            written += 1
            doubts = "".join(f"  Flagged: {flag}." for flag in thorax.flags)
            print(f"{scan.name}: box {thorax.transform.box}{doubts}")
    for skipped in errors:
        print(f"Skipped {skipped}", file=sys.stderr)
    summary = f"{written} views written to {output_dir}, {len(errors)} skipped."
    if not written:
        raise UserError(summary)
    print(summary)


if __name__ == "__main__":
    run_command(main)
