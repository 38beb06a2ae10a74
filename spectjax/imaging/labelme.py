"""Annotations from LabelMe: wkentaro's JSON and MIT's LabelMe 3.0 XML.

[P1] drew its ground truth in MIT's LabelMe with polygons and rectangles. Points are
(x, y) in continuous pixel coordinates of the whole-body frame (H rows, W columns).
"""

import base64
import binascii
import dataclasses
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from spectjax.imaging.masks import decode_mask, fill_polygon, trace_circle
from spectjax.limits import LABELME_BYTES, read_limited
from spectjax.messages import UserError

# A drawn point may stray so far beyond the frame, pixels; LabelMe itself cuts at the
# border. What lies further out was drawn on another image.
BORDER_TOLERANCE = 1.0
MAX_BYTES = 64 * 1024 * 1024  # with the picture that wkentaro's LabelMe embeds

_SIZES = range(1, 65536)
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


class AnnotationError(UserError):
    """An annotation that cannot be used; one line of text that starts with its path."""


class NotAnnotationError(AnnotationError):
    """A JSON or XML file of another kind."""


@dataclasses.dataclass(frozen=True)
class Region:
    """One thing that a reader marked, as a polygon or as a mask.

    Attributes:
        label: the reader's word for it.
        polygon_xy: corners, float64, (N, 2), frame pixels; None if there is a mask.
        mask: bool, (H, W); None if there is a polygon.
    """

    label: str
    polygon_xy: np.ndarray | None
    mask: np.ndarray | None

    def fill(self, image_hw: tuple[int, int]) -> np.ndarray:
        """Returns the region's pixels, bool, (H, W)."""
        if self.polygon_xy is not None:
            return fill_polygon(self.polygon_xy, image_hw)
        return np.zeros(image_hw, bool) if self.mask is None else self.mask


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What one reader marked in one view.

    Attributes:
        path: the file.
        reader: name of the folder that holds the file.
        image_name: `<DICOM stem>_<view>`, the `name` of its `BoneScan`.
        image_hw: (H, W) that the file states; None if it does not.
        regions: none means that the reader saw no lesion.
    """

    path: Path
    reader: str
    image_name: str
    image_hw: tuple[int, int] | None
    regions: tuple[Region, ...]


def read_annotation(path: Path) -> Annotation:
    """Reads one LabelMe file.

    Shapes are polygons, rectangles, circles (centre and a point of the edge) and
    masks. Objects that MIT's LabelMe marks as deleted are left out.

    Args:
        path: a `.json` or `.xml` file named `<DICOM stem>_<view>`.

    Returns:
        The annotation, its points inside the frame as far as the file states its size.

    Raises:
        NotAnnotationError: a file of another kind.
        AnnotationError: damaged, about another image than the file's name says, or
            with a shape that is unknown, impossible or outside of the frame.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise AnnotationError(
                f"{path}: expected less than {MAX_BYTES >> 20} MiB, found "
                f"{path.stat().st_size >> 20} MiB. Save it without the image data."
            )
        contents = path.read_bytes()
    except OSError as error:
        raise AnnotationError(
            f"{path}: expected a readable file, found: {error.strerror}."
        ) from None
    try:
        if path.suffix.lower() == ".xml":
            image, image_hw, regions = _parse_xml(path, contents)
        else:
            image, image_hw, regions = _parse_json(contents)
    except AnnotationError:
        raise
    except _NotLabelMe as error:
        raise NotAnnotationError(
            f"{path}: expected a LabelMe annotation, found {error}."
        ) from None
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path}: {error}. Correct it in LabelMe.") from error

    # Windows writes backslashes; only the last part of the path says which image.
    stem = re.split(r"[/\\]", image)[-1]
    if Path(stem).suffix.lower() in _IMAGE_SUFFIXES:
        stem = Path(stem).stem
    if stem != path.stem:
        raise AnnotationError(
            f"{path}: expected an annotation of {path.stem!r}, as the file's name "
            f"says, found one of {image!r}. Correct the name of one or the other."
        )
    return Annotation(
        path=path,
        reader=path.absolute().parent.name,
        image_name=stem,
        image_hw=image_hw,
        regions=regions,
    )


class _NotLabelMe(Exception):
    pass


_Parsed = tuple[str, tuple[int, int] | None, tuple[Region, ...]]


def _parse_json(contents: bytes) -> _Parsed:
    """Returns image path, (H, W) and regions of wkentaro's format."""
    try:
        document = json.loads(contents)
    except ValueError as error:
        raise ValueError(f"expected JSON, found a damaged file ({error})") from None
    if not isinstance(document, dict) or "shapes" not in document:
        raise _NotLabelMe("JSON without 'shapes'")
    shapes, image = document["shapes"], document.get("imagePath")
    if not isinstance(shapes, list) or not all(isinstance(s, dict) for s in shapes):
        raise ValueError(
            "expected 'shapes' to be a list of objects, found another type"
        )
    if not isinstance(image, str) or not image:
        raise ValueError("expected 'imagePath' to name the image, found none")
    size = document.get("imageHeight"), document.get("imageWidth")
    image_hw = None if None in size else _image_size(*size)
    return image, image_hw, tuple(_json_region(s, image_hw) for s in shapes)


def _json_region(shape: dict[str, Any], image_hw: tuple[int, int] | None) -> Region:
    label = _label(shape.get("label"))
    kind = shape.get("shape_type") or "polygon"  # files before version 4 have none
    points = _points(shape.get("points"), label)
    _check_inside(points, image_hw, label)
    if kind == "mask":
        return Region(label, None, _json_mask(shape, points, image_hw, label))
    if kind in ("rectangle", "circle"):
        if len(points) != 2 or (points[0] == points[1]).all():
            raise ValueError(
                f"expected a {kind} {label!r} of two different points, found "
                f"{points.tolist()}"
            )
        if kind == "circle":
            return Region(label, trace_circle(*points), None)
        return Region(label, _rectangle(*points[0], *points[1]), None)
    if kind != "polygon":
        raise ValueError(
            f"expected a polygon, rectangle, circle or mask, found the shape {kind!r} "
            f"{label!r}"
        )
    return Region(label, _polygon(points, label), None)


def _json_mask(
    shape: dict[str, Any],
    corners: np.ndarray,
    image_hw: tuple[int, int] | None,
    label: str,
) -> np.ndarray:
    """Places the small picture of a mask shape at its upper left corner."""
    if image_hw is None:
        raise ValueError(f"expected imageHeight and imageWidth for the mask {label!r}")
    y0, x0 = (int(v) for v in corners.min(axis=0)[::-1])
    y1, x1 = (int(v) + 1 for v in corners.max(axis=0)[::-1])
    if y0 < 0 or x0 < 0 or y1 > image_hw[0] or x1 > image_hw[1]:
        raise ValueError(f"expected the mask {label!r} in the frame, found it beyond")
    try:
        picture = base64.b64decode(shape.get("mask") or "", validate=True)
    except (binascii.Error, TypeError):
        raise ValueError(f"expected base64 in the mask {label!r}") from None
    mask = np.zeros(image_hw, bool)
    mask[y0:y1, x0:x1] = decode_mask(picture, (y1 - y0, x1 - x0))
    return mask


class _SafeBuilder(ElementTree.TreeBuilder):
    """Refuses a document type: no entity can be declared, and so none expands."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("document type declaration")


def parse_xml(contents: bytes) -> ElementTree.Element:
    """Returns the root of an XML document that declares no entities.

    Raises:
        ValueError: damaged, in an encoding that is not known, or with a document type.
    """
    try:
        parser = ElementTree.XMLParser(target=_SafeBuilder())
        return ElementTree.fromstring(contents, parser)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise ValueError(
            f"expected plain XML, found a file that cannot be read ({error})"
        ) from None


def _parse_xml(path: Path, contents: bytes) -> _Parsed:
    """Returns image path, (H, W) and regions of MIT's format."""
    root = parse_xml(contents)
    if root.tag != "annotation":
        raise _NotLabelMe(f"XML of a <{root.tag}>")
    if root.find("size") is not None or root.find("object/bndbox") is not None:
        raise _NotLabelMe("boxes of Pascal VOC; name them in images.csv")
    image = _text(root, "filename")
    if not image:
        raise ValueError("expected <filename> to name the image, found none")
    size = _text(root, "imagesize/nrows"), _text(root, "imagesize/ncols")
    image_hw = _image_size(*(_number(v) for v in size)) if all(size) else None
    regions = []
    for thing in root.findall("object"):
        if _text(thing, "deleted") == "1":
            continue
        regions.append(_xml_region(path, thing, image_hw))
    return image, image_hw, tuple(regions)


def _xml_region(
    path: Path, thing: ElementTree.Element, image_hw: tuple[int, int] | None
) -> Region:
    label = _label(_text(thing, "name"))
    if thing.find("polygon") is not None:
        drawn = [
            [_number(_text(pt, "x")), _number(_text(pt, "y"))]
            for pt in thing.findall("polygon/pt")
        ]
        points = _points(drawn, label)
        _check_inside(points, image_hw, label)
        return Region(label, _polygon(points, label), None)
    name = _text(thing, "segm/mask")
    if not name:
        raise ValueError(f"expected a polygon or a segmentation mask for {label!r}")
    if image_hw is None:
        raise ValueError(f"expected <imagesize> for the mask {label!r}, found none")
    return Region(label, None, decode_mask(_read_mask_file(path, name), image_hw))


def list_mask_files(path: Path) -> list[Path]:
    """Returns the files that an MIT LabelMe file may take its masks from.

    They are those that exist, wherever a mask that it names is looked for. Nothing else
    is read of it, and a file that is no such annotation names none.
    """
    if path.suffix.lower() != ".xml":
        return []
    try:
        root = parse_xml(read_limited(path, LABELME_BYTES))
    except (ValueError, RecursionError):
        return []
    names = {_text(thing, "segm/mask") for thing in root.findall("object")}
    places = [
        place for name in sorted(names) for place in _list_mask_places(path, name)
    ]
    return [place for place in places if place.is_file()]


def _list_mask_places(path: Path, name: str) -> tuple[Path, ...]:
    """Returns where a mask is looked for: nowhere if it has no plain name."""
    if not re.fullmatch(r"[\w\- ]+(\.[\w\- ]+)*", name):
        return ()
    folder = path.absolute().parent
    # LabelMe keeps Annotations/<folder>/ and Masks/<folder>/ side by side.
    tree = folder.parent.parent / "Masks" / folder.name
    return folder / name, folder / "Masks" / name, tree / name


def _read_mask_file(path: Path, name: str) -> bytes:
    """Reads a mask from beside the annotation, or from LabelMe's tree of folders."""
    places = _list_mask_places(path, name)
    if not places:
        raise ValueError(f"expected the plain name of a mask file, found {name!r}")
    for file in places:
        if file.is_file() and file.stat().st_size <= MAX_BYTES:
            return file.read_bytes()
    raise ValueError(
        f"expected the mask file {name!r} beside the annotation or in a folder Masks, "
        "found none"
    )


def _label(value: object) -> str:
    label = value.strip() if isinstance(value, str) else ""
    if not label:
        raise ValueError("expected a label for every shape, found one without")
    return label


def _points(value: object, label: str) -> np.ndarray:
    """Returns points as float64, (N, 2), all finite."""
    try:
        points = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"expected points (x, y), finite numbers, in {label!r}")
    return points


def _polygon(points: np.ndarray, label: str) -> np.ndarray:
    if len(points) < 3:
        raise ValueError(
            f"expected at least three points in the polygon {label!r}, found "
            f"{len(points)}"
        )
    return points


def _rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _check_inside(
    points: np.ndarray, image_hw: tuple[int, int] | None, label: str
) -> None:
    if image_hw is not None and not lies_inside(points, image_hw):
        raise ValueError(
            f"expected the points of {label!r} inside the frame of "
            f"{image_hw[0]}x{image_hw[1]} pixels (rows x columns), found x from "
            f"{points[:, 0].min():g} to {points[:, 0].max():g} and y from "
            f"{points[:, 1].min():g} to {points[:, 1].max():g}"
        )


def lies_inside(points_xy: np.ndarray, image_hw: tuple[int, int]) -> bool:
    """Tells whether points (N, 2) lie in the frame, give or take a pixel."""
    limits = np.array([image_hw[1], image_hw[0]]) + BORDER_TOLERANCE
    return bool(((points_xy >= -BORDER_TOLERANCE) & (points_xy <= limits)).all())


def _image_size(height: object, width: object) -> tuple[int, int]:
    if height not in _SIZES or width not in _SIZES:
        raise ValueError(f"expected an image size in pixels, found {height} x {width}")
    return int(height), int(width)  # type: ignore[call-overload]


def _text(element: ElementTree.Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected a number, found {text!r}") from None
