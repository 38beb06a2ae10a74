"""Under which names what was found in bone scans is written."""

import json
import pathlib
from collections import Counter
from collections.abc import Sequence

from spectjax.imaging.dicom import BoneScan


def name_outputs(scans: Sequence[BoneScan], output_dir: pathlib.Path) -> list[str]:
    """Returns one file name per view, without suffix, that no other image has.

    Usually `<file stem>_<view>`. But many exports call every file `IM0001`: where
    several views would share a name, or the folder holds another image's result under
    it, the image key is appended. Names that differ in upper and lower case alone
    count as shared, since some file systems do not tell them apart.
    """
    shared = Counter(scan.name.casefold() for scan in scans)
    return [
        f"{scan.name}_{scan.image_key}"
        if shared[scan.name.casefold()] > 1
        or _holds_another(output_dir / f"{scan.name}.json", scan)
        else scan.name
        for scan in scans
    ]


def _holds_another(path: pathlib.Path, scan: BoneScan) -> bool:
    """Whether `path` exists and is not an earlier result of the same image."""
    try:
        return json.loads(path.read_text())["source"]["image_key"] != scan.image_key
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):
        return True  # not ours: keep it
