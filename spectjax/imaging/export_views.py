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

import io
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from absl import flags

from spectjax.system.commands import define_path, define_view, read_paths, run_command
from spectjax.system.messages import make_printable

if TYPE_CHECKING:  # takes a third of a second: not before --help
    import numpy as np

    from spectjax.imaging.scan import BoneScan, View

_MOST_BYTES = 255  # of a name, on most disks

_OUTPUT_DIR = define_path("output_dir", "Folder for the pictures.", required=True)
_VIEW = define_view("View of the first frame of every file, whatever the files say.")
_BLACK_PERCENTILE = flags.DEFINE_float(
    "black_percentile",
    99.5,
    "Percentile of the pixels with counts at which the grey scale ends in black.",
    lower_bound=0,
    upper_bound=100,
)


def render_view(counts: "np.ndarray", black_percentile: float) -> "np.ndarray":
    """Returns an inverse grey picture: white for no counts, black for many.

    Args:
        counts: not negative, (H, W), at least one of them positive.
        black_percentile: of the positive counts, in [0, 100]; black from there on.
    """
    import numpy as np

    black = np.percentile(counts[counts > 0], black_percentile)
    grey = 255 * (1 - np.minimum(counts / black, 1))
    return np.rint(grey).astype(np.uint8)


def main(arguments: list[str]) -> None:
    """Writes a picture for every view found in the paths."""
    from spectjax.imaging.intake import write_views
    from spectjax.imaging.listed.found import Stated

    output_dir = cast(Path, _OUTPUT_DIR.value)
    write_views(
        read_paths(arguments),
        output_dir,
        _tie_names,
        lambda scan, name: _export(scan, output_dir / f"{name}.png"),
        stated=Stated(cast("View | None", _VIEW.value)),
    )


def _tie_names(files: Sequence[Path]) -> Callable[["BoneScan"], str]:
    """Returns what names a view so that the name can tie an annotation to it.

    It raises a ScanError if another of the files has the name too, or if it is too long
    for a disk.
    """
    from spectjax.imaging.outputs import fold_file_name
    from spectjax.imaging.scan import ScanError, find_stem

    namesakes: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        namesakes[fold_file_name(find_stem(path))].append(path)

    def choose(scan: "BoneScan") -> str:
        alike = namesakes[fold_file_name(find_stem(scan.path))]
        others = [path for path in alike if path != scan.path]
        if others:
            raise ScanError(
                f"{scan.path}: expected files of different names, found {others[0]} of "
                "the same. Rename one: the name ties an annotation to its scan."
            )
        if len(os.fsencode(f"{scan.name}.json")) > _MOST_BYTES:
            raise ScanError(
                f"{scan.path}: expected a name that leaves room for _{scan.view}.json, "
                f"found {len(os.fsencode(scan.path.name))} bytes. Rename it: the name "
                "ties an annotation to its scan."
            )
        return scan.name

    return choose


def _check_free(path: Path, scan: "BoneScan") -> None:
    """Checks that a picture replaces none but an earlier one of the same image."""
    from PIL import Image

    from spectjax.imaging.scan import ScanError

    try:
        with Image.open(path) as picture:
            found = picture.info.get("image_key")
    except FileNotFoundError:
        return
    except OSError:
        found = None
    if found != scan.image_key:
        raise ScanError(
            f"{scan.path}: expected {path} to be free, found the picture of another "
            "image, or of an unknown one. Choose another --output_dir."
        )


def _export(scan: "BoneScan", path: Path) -> None:
    """Writes the picture of one view, and prints what there is to doubt."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from spectjax.system.files import write_file

    _check_free(path, scan)
    info = PngInfo()
    info.add_text("image_key", scan.image_key)
    picture = render_view(scan.counts, _BLACK_PERCENTILE.value)
    png = io.BytesIO()
    Image.fromarray(picture).save(png, format="PNG", pnginfo=info)
    write_file(path, png.getvalue())
    for warning in scan.warnings:
        print(make_printable(f"{scan.name}: WARNING: {warning}"))


if __name__ == "__main__":
    run_command(main)
