"""Masks of bones that a hospital drew, or the public ones of BS-80K, read as regions.

DIR/bones/classes.csv           label,name and, where a name has no side, side
DIR/bones/P0001_anterior.png    a label for each pixel, 0 where there is no bone

A mask is an 8-bit PNG, grey or with a palette, of its image's size and named as that
is: `<DICOM stem>_<view>`, or for a picture its path. The public masks of BS-80K
(Rachmawati et al., Zenodo 20342310: 12 regions) are described as PNG masks by name and
a table of classes; this was written against a copy of that layout which we made, and
NEVER run on the real files.

A table may have other regions than ours: `Classes.missing` are those of which its masks
say nothing, which is not that there are none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spectjax.bones.regions import NAMES, REGIONS
from spectjax.imaging.annotations.masks import decode_labels
from spectjax.imaging.listed.csv_table import ImageTableError, read_table
from spectjax.imaging.scan import View
from spectjax.system.limits import MASK_BYTES, read_limited
from spectjax.system.messages import UserError

FOLDER, TABLE = "bones", "classes.csv"
_KINDS = {region.kind for region in REGIONS}
_PAIRED = {region.kind for region in REGIONS if region.side}
# Other words for our kinds, or for a bone of theirs.
_SYNONYMS = {
    "skull": ("cranium", "head", "face", "mandible"),
    "cervical spine": ("cervical vertebra", "cervical vertebrae", "neck"),
    "thoracic spine": ("thoracic vertebra", "thoracic vertebrae"),
    "lumbar spine": ("lumbar vertebra", "lumbar vertebrae"),
    "sacrum": ("sacral spine", "sacral vertebrae", "sacrum and coccyx"),
    "sternum": ("breastbone", "breast bone"),
    "ribs": ("rib", "rib cage", "ribcage"),
    "clavicle": ("collarbone", "collar bone", "clavicles", "claviculae"),
    "scapula": ("shoulder blade", "shoulder blades", "scapulae", "scapulas"),
    "humerus": ("upper arm", "humeri"),
    "forearm and hand": (
        *("forearm", "radius", "ulna", "radius and ulna", "ulna and radius", "hand"),
    ),
    "hip bone": ("pelvis", "pelvic bone", "ilium", "hip", "hip bones"),
    "femur": ("thigh", "thigh bone", "femora", "femurs"),
    "lower leg and foot": (
        *("lower leg", "tibia", "fibula", "tibia and fibula", "foot", "patella"),
    ),
}
_KIND_OF = {word: kind for kind, words in _SYNONYMS.items() for word in (kind, *words)}
_NOTHING = ("background", "none")
_MIDLINE = "midline"


class Classes(NamedTuple):
    """What the labels of masks mean.

    Attributes:
        path: of the table.
        regions: the regions of each label: one, two sides of which the midline decides
            (left, right), or () for none.
    """

    path: Path
    regions: Mapping[int, tuple[str, ...]]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the regions of which the masks say nothing."""
        said = {name for names in self.regions.values() for name in names}
        return tuple(name for name in NAMES if name not in said)


@dataclass(frozen=True)
class BoneMasks:
    """The masks of a folder.

    Attributes:
        classes: what their labels mean.
        paths: of each mask, by the name of its image: its path without ".png".
    """

    classes: Classes
    paths: Mapping[str, Path]

    def read(self, name: str, view: View, frame_hw: tuple[int, int]) -> np.ndarray:
        """Returns the regions of an image, see `read_regions`; KeyError if none."""
        return read_regions(self.paths[name], self.classes, view, frame_hw)


def read_bone_masks(folder: Path) -> BoneMasks:
    """Finds the masks of a folder, DIR/bones, and reads what their labels mean.

    Raises:
        UserError: there is no table, or one that cannot be used; or no mask.
    """
    folder = folder / FOLDER
    classes = read_classes(folder / TABLE)
    paths = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.png"))
    }
    if not paths:
        raise UserError(
            f"{folder}: expected masks of bones, one PNG for each image, found none."
        )
    return BoneMasks(classes, paths)


def read_classes(path: Path) -> Classes:
    """Reads a table of classes.

    Its columns are `label`, 0 to 255, `name`, and optionally `side`. A name is one of
    ours, "left ribs", or another word for its kind, with or without its side; "none"
    and "background" are no bone. Bones of a pair need a side, in the name or in `side`:
    left, right, or midline, where one label has both and the midline of the body tells
    them apart.

    Raises:
        ImageTableError: the table, or a row of it, cannot be used.
    """
    rows, errors = read_table(path, ("label", "name"), ("side",))
    if errors:
        raise errors[0]
    regions: dict[int, tuple[str, ...]] = {}
    for number, row in rows:
        where = f"{path}: row {number}: expected"
        text = row["label"]
        if not (text.isascii() and text.isdigit() and int(text) < 256):
            raise ImageTableError(f"{where} a label from 0 to 255, found {text!r}.")
        if int(text) in regions:
            raise ImageTableError(f"{where} each label once, found {text} again.")
        regions[int(text)] = _find_regions(where, row["name"], row["side"])
    if regions.setdefault(0, ()):
        raise ImageTableError(f"{path}: expected label 0 for no bone, found a bone.")
    if not any(regions.values()):
        raise ImageTableError(f"{path}: expected names of bones, found none.")
    return Classes(path, regions)


def _find_regions(where: str, name: str, side: str) -> tuple[str, ...]:
    """Returns the regions that a class may be of, see `Classes`."""
    word = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    side = side.lower()
    if side not in ("", "left", "right", _MIDLINE):
        raise ImageTableError(
            f"{where} a side, left, right or {_MIDLINE}, found {side!r}."
        )
    if word in _NOTHING:
        return ()
    for known in ("left", "right"):
        if known in word.split():
            word = " ".join(part for part in word.split() if part != known)
            if side not in ("", known):
                raise ImageTableError(f"{where} one side, found {name!r} and {side!r}.")
            side = known
    kind = _KIND_OF.get(word)
    if kind is None:
        raise ImageTableError(
            f"{where} a bone, one of {', '.join(sorted(_KINDS))}, with left or right, "
            f"or none for no bone; found {name!r}."
        )
    if kind not in _PAIRED:
        if side:
            raise ImageTableError(f"{where} no side of {kind}, found {side}.")
        return (kind,)
    if not side:
        raise ImageTableError(
            f"{where} left or right of {name!r}, found neither. If the label has both, "
            f"write {_MIDLINE} into a column side: the midline of the body tells them "
            "apart."
        )
    return tuple(f"{s} {kind}" for s in ("left", "right") if side in (s, _MIDLINE))


def read_regions(
    path: Path, classes: Classes, view: View, frame_hw: tuple[int, int]
) -> np.ndarray:
    """Returns the region of each pixel of a mask, as `regions.draw_regions` does.

    Where one label has both sides of a pair, a straight line fitted to the pixels of
    the bones in the middle tells them apart.

    Args:
        path: of the mask, a PNG.
        classes: what its labels mean.
        view: the side that is seen: the patient's left is on the right of an anterior
            view.
        frame_hw: size of the image.

    Returns:
        1 + the place in `REGIONS`, 0 where there is no bone, uint8, (H, W).

    Raises:
        UserError: the file is no such PNG, or has labels that the table has not.
    """
    try:
        labels = decode_labels(read_limited(path, MASK_BYTES), frame_hw)
    except UserError as error:
        text = str(error)
        raise UserError(
            text if text.startswith(str(path)) else f"{path}: {text}."
        ) from error
    found = np.unique(labels).tolist()
    unknown = [label for label in found if label not in classes.regions]
    if unknown:
        raise UserError(
            f"{path}: expected the labels of {classes.path}, found {unknown[0]}. Add "
            "it to the table; none is the name of no bone."
        )
    firsts, lasts = np.zeros((2, 256), np.uint8)
    for label in found:
        places = [1 + NAMES.index(name) for name in classes.regions[label]] or [0]
        firsts[label], lasts[label] = places[0], places[-1]
    left, right = firsts[labels], lasts[labels]
    if np.array_equal(left, right):
        return left
    on_right = _find_right(np.where(left == right, left, 0), path)
    return np.where(on_right if view == "anterior" else ~on_right, left, right)


def _find_right(regions: np.ndarray, path: Path) -> np.ndarray:
    """Returns what lies to the right of the midline in the image, bool, (H, W)."""
    middle = [label for label, r in enumerate(REGIONS, 1) if not r.side]
    row, column = np.nonzero(np.isin(regions, middle))
    if len(np.unique(row)) < 2:
        raise UserError(
            f"{path}: expected bones in the middle, skull, spine, sternum or sacrum, "
            "to tell left from right, found none. Draw them, or name the sides in "
            f"{TABLE}."
        )
    slope, start = np.polyfit(row, column, 1)
    height, width = regions.shape
    midline = start + slope * np.arange(height)
    return np.arange(width) > midline[:, None]
