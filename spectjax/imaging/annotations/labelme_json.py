"""The JSON of wkentaro's LabelMe, and of X-AnyLabeling, which writes the same."""

import base64
import binascii
import io
import json
import re
import warnings
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from spectjax.imaging.annotations.drafts import (
    CHECKED,
    KEY,
    MARK,
    VERSION,
    Draft,
    read_draft,
)
from spectjax.imaging.annotations.masks import decode_mask, trace_circle
from spectjax.imaging.annotations.regions import (
    Region,
    check_count,
    check_inside,
    cut_mask,
    make_polygon,
    read_label,
    read_points,
)
from spectjax.imaging.annotations.text_encoding import decode_text
from spectjax.imaging.diagnosis import NORMAL, clean_word
from spectjax.system.limits import JSON_VALUES, MASK_PIXELS, WHOLE_BODY_PIXELS
from spectjax.system.messages import UserError

# Top-level keys of other tools: COCO, VIA, Supervisely, Label Studio and their like.
_KEYS_OF_OTHERS = {
    *("annotations", "categories", "completions", "instances", "objects", "regions"),
    *("tags", "_via_img_metadata", "predictions", "labels", "boxes", "polygons"),
}
_OUR_FLAG = "synthetic"  # of the phantom and of de-identified outlines
# Keys that say nothing of lesions, or are judged by themselves.
_SAYS_NOTHING = {
    *("version", "flags", "shapes", "imagePath", "imageData", "imageHeight"),
    *("imageWidth", "lineColor", "fillColor", "checked", KEY),
}
_SIDES = ("imageHeight", "imageWidth")


class NotLabelMeError(UserError):
    """A document of another kind, which is no annotation that we know of."""


class Parsed(NamedTuple):
    """What a file says: name or path of the image, its (H, W) if stated, regions.

    And the draft that it began as, if it did.
    """

    image: str
    image_hw: tuple[int, int] | None
    regions: tuple[Region, ...]
    draft: Draft | None = None


def parse_json(contents: bytes) -> Parsed:
    """Reads a document."""
    document = _load(contents)
    if not isinstance(document, dict) or "shapes" not in document:
        _refuse_other(document)
    shapes, image = document["shapes"], document.get("imagePath")
    if not isinstance(shapes, list) or not all(isinstance(s, dict) for s in shapes):
        raise UserError("expected 'shapes' to be a list of objects, found another type")
    if not isinstance(image, str) or not image:
        raise UserError("expected 'imagePath' to name the image, found none")
    points = [s["points"] for s in shapes if isinstance(s.get("points"), list)]
    check_count(len(shapes), sum(map(len, points)))
    image_hw = _read_size(document)
    draft = read_draft(document, image_hw)
    reader = _ShapeReader(image_hw)
    regions = tuple(map(reader.read, shapes))
    labels = {clean_word(region.label) for region in regions}
    _check_flags(document, labels, {_OUR_FLAG} | ({CHECKED} if draft else set()))
    if not regions:
        _check_silence(document)
    return Parsed(image, image_hw, regions, draft)


def encode_json(
    image: str,
    image_hw: tuple[int, int],
    shapes: list[Any],
    *,
    synthetic: bool,
    draft: Draft | None = None,
) -> str:
    """Returns a document with these shapes, a draft's if there is one."""
    document: dict[str, Any] = {
        "version": VERSION if draft else "5.4.1",
        "flags": {"SYNTHETIC": True} if synthetic else {},
        "shapes": shapes,
        "imagePath": image,
        "imageData": None,
        "imageHeight": image_hw[0],
        "imageWidth": image_hw[1],
    }
    if draft:
        document["flags"] |= {CHECKED: False}
        document[KEY] = draft.to_json()
    return json.dumps(document, indent=1)


def check_size(height: object, width: object) -> tuple[int, int]:
    """Returns (H, W) of an image as a file states it."""
    sides = [v for v in (height, width) if isinstance(v, (int, float)) and v > 0]
    whole = [int(v) for v in sides if v < WHOLE_BODY_PIXELS and v == int(v)]
    if len(whole) != 2 or whole[0] * whole[1] > WHOLE_BODY_PIXELS:
        raise UserError(
            f"expected an image size in pixels, found {str(height)[:40]} x "
            f"{str(width)[:40]}"
        )
    return whole[0], whole[1]


def _load(contents: bytes) -> Any:
    """Returns a document that has no key twice and not too many values."""
    if not contents.strip():
        raise UserError("expected JSON, found an empty file")
    text = decode_text(contents)
    # Each value follows one of these, so they are no fewer than the values.
    count = sum(map(text.count, "[{,:"))
    if count > JSON_VALUES:
        raise UserError(f"expected at most {JSON_VALUES} values, found up to {count}")
    try:
        return json.loads(text, object_pairs_hook=_make_object)
    except RecursionError:
        raise UserError("expected JSON, found too many brackets in brackets") from None
    except UserError:
        raise
    except ValueError as error:  # damaged, or a number of thousands of digits
        raise UserError(f"expected JSON, found a damaged file ({error})") from None


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise UserError(f"expected every key once, found {twice[:80]!r} again")
    return found


def _refuse_other(document: Any) -> None:
    found = document
    if isinstance(document, list) and document:
        found = document[0]
    if isinstance(found, dict) and (keys := sorted(_KEYS_OF_OTHERS & found.keys())):
        raise UserError(
            f"expected LabelMe's JSON with 'shapes', found that of another tool with "
            f"{keys[0]!r}"
        )
    raise NotLabelMeError("JSON without 'shapes'")


def _read_size(document: dict[str, Any]) -> tuple[int, int] | None:
    """Returns (H, W) as the file states it and as the picture in it has it."""
    stated = [document.get(side) for side in _SIDES]
    if stated.count(None) == 1:
        raise UserError("expected imageHeight and imageWidth, found one without other")
    image_hw = None if None in stated else check_size(*stated)
    if not document.get("imageData"):
        return image_hw
    found = _measure_picture(document["imageData"])
    if image_hw not in (None, found):
        raise UserError(
            f"expected imageHeight and imageWidth of the picture in imageData, "
            f"{found[0]}x{found[1]}, found {stated[0]}x{stated[1]}"
        )
    return found


def _measure_picture(encoded: object) -> tuple[int, int]:
    """Returns (H, W) of a picture in base64; unpacks nothing but its header."""
    try:
        contents = base64.b64decode(encoded, validate=True)  # type: ignore[arg-type]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(contents), formats=("PNG", "JPEG", "BMP"))
    except Exception as error:  # a damaged header raises errors of many kinds
        raise UserError(
            "expected a picture in imageData, found none that opens; save the file "
            "without it"
        ) from error
    return check_size(picture.height, picture.width)


def _check_flags(document: dict[str, Any], labels: set[str], ours: set[str]) -> None:
    """Refuses flags of the image that are not ours and that its outlines do not say."""
    for flag in _list_flags(document.get("flags")):
        is_said = flag in labels or (flag == NORMAL and not labels)
        if flag not in ours and not is_said:
            raise UserError(
                f"expected outlines that say what the image's flag {flag[:80]!r} says, "
                f"found {', '.join(map(repr, sorted(labels)))[:200] or 'none'}; say it "
                "by outlines and their labels, and clear the flag"
            )


def _check_silence(document: dict[str, Any]) -> None:
    """Refuses a document without shapes that says something in another way."""
    for key, value in document.items():
        is_normal = isinstance(value, str) and clean_word(value) in ("", NORMAL)
        if value and key not in _SAYS_NOTHING and not is_normal:
            raise UserError(
                "expected shapes, or nothing that could stand for some, found "
                f"{key[:80]!r} and no shape"
            )


def _list_flags(flags: object) -> list[str]:
    """Returns the clean names of flags that are set."""
    if not flags:
        return []
    if not isinstance(flags, dict):
        raise UserError("expected flags by their names, found another type")
    return [clean_word(name) for name, is_set in flags.items() if is_set]


class _ShapeReader:
    """Reads the shapes of one file, whose masks have a limit all together."""

    def __init__(self, image_hw: tuple[int, int] | None) -> None:
        self._image_hw = image_hw
        self._mask_pixels = 0

    def read(self, shape: dict[str, Any]) -> Region:
        label = read_label(shape.get("label"))
        kind = shape.get("shape_type") or "polygon"  # files before version 4 have none
        _check_marks(shape, label)
        points = read_points(shape.get("points"), label)
        check_inside(points, self._image_hw, label)
        if kind == "mask":
            return self._read_mask(shape, points, label)
        if kind == "rectangle":
            return _make_rectangle(points, label)
        if kind == "circle":
            if len(points) != 2 or (points[0] == points[1]).all():
                raise UserError(
                    f"expected a circle {label!r} of two different points, found "
                    f"{points[:9].tolist()}"
                )
            return Region(label, trace_circle(*points), None)
        if kind == "rotation" and len(points) != 4:
            raise UserError(f"expected a turned rectangle {label!r} of four corners")
        if kind not in ("polygon", "rotation"):
            raise UserError(
                f"expected a polygon, rectangle, circle or mask, found the shape "
                f"{str(kind)[:80]!r} {label!r}, which has no area"
            )
        return make_polygon(points, label)

    def _read_mask(
        self, shape: dict[str, Any], corners: np.ndarray, label: str
    ) -> Region:
        """Places the small picture of a mask shape at its upper left corner."""
        if self._image_hw is None:
            raise UserError(
                f"expected imageHeight and imageWidth for the mask {label!r}"
            )
        if not len(corners):
            raise UserError(f"expected two corners of the mask {label!r}, found none")
        y0, x0 = (int(v) for v in corners.min(axis=0)[::-1])
        y1, x1 = (int(v) + 1 for v in corners.max(axis=0)[::-1])
        height, width = self._image_hw
        if y0 < 0 or x0 < 0 or y1 > height or x1 > width:
            raise UserError(
                f"expected the mask {label!r} in the frame, found it beyond"
            )
        self._mask_pixels += (y1 - y0) * (x1 - x0)
        if self._mask_pixels > MASK_PIXELS:
            raise UserError(f"expected masks of at most {MASK_PIXELS} pixels in all")
        try:
            picture = base64.b64decode(shape.get("mask") or "", validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise UserError(f"expected base64 in the mask {label!r}") from None
        return cut_mask(label, decode_mask(picture, (y1 - y0, x1 - x0)), (y0, x0))


def _check_marks(shape: dict[str, Any], label: str) -> None:
    """Refuses flags and attributes of a shape that say more than its label does."""
    flags = _list_flags(shape.get("flags"))
    marks = [flag for flag in flags if flag != _OUR_FLAG and not flag.startswith(MARK)]
    attributes = shape.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise UserError(f"expected attributes of {label!r} by their names")
    marks += [f"{name}: {value}" for name, value in attributes.items() if value]
    for mark in marks:
        if mark != clean_word(label):
            raise UserError(
                f"expected a shape {label!r} whose label says everything, found it "
                f"marked {mark[:80]!r}; say it by the label, and clear the mark"
            )


def _make_rectangle(points: np.ndarray, label: str) -> Region:
    """Returns a rectangle from two opposite corners, or from all four in order."""
    (x0, y0), (x1, y1) = points[0], points[len(points) // 2]
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    is_drawn = len(points) == 2 and (points[0] != points[1]).any()
    if len(points) == 4:  # of X-AnyLabeling, in either direction
        other_way = corners[[0, 3, 2, 1]]
        is_drawn = (points == corners).all() or (points == other_way).all()
    if not is_drawn:
        raise UserError(
            f"expected a rectangle {label!r} of two different points, or of four "
            f"corners, found {re.sub(' +', ' ', str(points[:9].tolist()))}"
        )
    return Region(label, corners, None)
