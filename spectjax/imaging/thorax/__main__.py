r"""Crops the thorax out of whole-body bone scans and shows how.

    python -m spectjax.imaging.thorax --output_dir=OUT FILE_OR_FOLDER ...

For each view OUT/<file>_<view>.json gets the box and its landmarks in whole-body
pixels, and OUT/<file>_<view>.png the evidence: the row-count curve, its fit and
derivatives, the landmarks, the box and the crop.
"""

import sys
from pathlib import Path
from typing import cast

from absl import app, flags

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "Folder for the results; made if it is missing.", required=True
)
_VIEW = flags.DEFINE_enum(
    "view",
    None,
    ["anterior", "posterior"],
    "The view, for one-frame files that do not say it.",
)


def main(arguments: list[str]) -> None:
    """Writes a box and a drawing for every view found in the paths."""
    from spectjax.files import write_json
    from spectjax.imaging.dicom import ScanError, View, find_bone_scans
    from spectjax.imaging.thorax.crop import crop_thorax
    from spectjax.imaging.thorax.evidence import save_evidence

    paths = [Path(argument) for argument in arguments[1:]]
    if not paths:
        sys.exit("Expected DICOM files or folders after the flags, found none.")
    output_dir = Path(_OUTPUT_DIR.value)
    scans, errors = find_bone_scans(paths, view=cast(View | None, _VIEW.value))
    written = 0
    for scan in scans:
        try:
            thorax = crop_thorax(scan)
            save_evidence(thorax, output_dir / f"{scan.name}.png")
            write_json(output_dir / f"{scan.name}.json", thorax.to_json())
        except ScanError as error:
            errors.append(error)
        except OSError as error:
            sys.exit(str(error))
        else:
            written += 1
            doubts = "".join(f"  Flagged: {flag}." for flag in thorax.flags)
            print(f"{scan.name}: box {thorax.transform.box}{doubts}")
    for skipped in errors:
        print(f"Skipped {skipped}", file=sys.stderr)
    summary = f"{written} views written to {output_dir}, {len(errors)} skipped."
    if not written:
        sys.exit(summary)
    print(summary)


if __name__ == "__main__":
    app.run(main)
