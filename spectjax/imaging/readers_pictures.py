"""Pictures for readers to outline lesions in, under names that tie these to scans."""

import io
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from spectjax.imaging.outputs import fold_file_name
from spectjax.imaging.scan import PICTURE_SUFFIXES, BoneScan, ScanError, find_stem
from spectjax.system.files import write_file

BLACK_PERCENTILE = 99.5
_MOST_BYTES = 255  # of a name, on most disks


def tie_names(files: Sequence[Path]) -> Callable[[BoneScan], str]:
    """Returns what names a view so that the name can tie an annotation to it.

    It raises a ScanError if another of the files has the name too, or if it is too long
    for a disk. A DICOM file may hold any view; pictures with one stem are told apart by
    theirs.
    """
    namesakes: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        namesakes[fold_file_name(find_stem(path))].append(path)
    firsts: dict[str, Path] = {}

    def choose(scan: BoneScan) -> str:
        alike = namesakes[fold_file_name(find_stem(scan.path))]
        if all(path.suffix.lower() in PICTURE_SUFFIXES for path in alike):
            alike = [firsts.setdefault(fold_file_name(scan.name), scan.path)]
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


def render_view(counts: np.ndarray, black_percentile: float) -> np.ndarray:
    """Returns an inverse grey picture: white for no counts, black for many.

    Args:
        counts: not negative, (H, W), at least one of them positive.
        black_percentile: of the positive counts, in [0, 100]; black from there on.
    """
    black = np.percentile(counts[counts > 0], black_percentile)
    grey = 255 * (1 - np.minimum(counts / black, 1))
    return np.rint(grey).astype(np.uint8)


def write_picture(
    scan: BoneScan, path: Path, black_percentile: float = BLACK_PERCENTILE
) -> None:
    """Writes the picture of one view, see `render_view`.

    Raises:
        ScanError: if the picture of another image is there.
    """
    _check_free(path, scan)
    info = PngInfo()
    info.add_text("image_key", scan.image_key)
    picture = render_view(scan.counts, black_percentile)
    png = io.BytesIO()
    Image.fromarray(picture).save(png, format="PNG", pnginfo=info)
    write_file(path, png.getvalue())


def _check_free(path: Path, scan: BoneScan) -> None:
    """Checks that a picture replaces none but an earlier one of the same image."""
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
