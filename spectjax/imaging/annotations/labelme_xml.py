"""The XML of MIT's LabelMe 3.0."""

import re
from pathlib import Path
from xml.etree import ElementTree

from spectjax.imaging.annotations.labelme_json import (
    NotLabelMeError,
    Parsed,
    check_size,
)
from spectjax.imaging.annotations.masks import decode_mask
from spectjax.imaging.annotations.regions import (
    Region,
    check_count,
    check_inside,
    cut_mask,
    make_polygon,
    read_label,
    read_points,
)
from spectjax.imaging.annotations.text_encoding import name_encoding
from spectjax.imaging.diagnosis import clean_word
from spectjax.system.limits import (
    LABELME_BYTES,
    MASK_BYTES,
    MASK_PIXELS,
    XML_PARTS,
    read_limited,
)
from spectjax.system.messages import UserError

# What draws in MIT's XML or in Pascal VOC's, wherever it stands and however written.
_DRAWN = {"object", "polygon", "pt", "bndbox", "segm", "mask"}
_PLACES_OF_DRAWN = (
    *("object", "object/polygon", "object/polygon/pt", "object/bndbox"),
    *("object/segm", "object/segm/mask"),
)
# Parts of a document that say nothing of lesions.
_SAYS_NOTHING = {"filename", "folder", "source", "imagesize"}


class _SafeBuilder(ElementTree.TreeBuilder):
    """Refuses a document type: no entity can be declared, and so none expands."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("document type declaration")


def parse_xml(contents: bytes) -> ElementTree.Element:
    """Returns the root of an XML document that declares no entities."""
    if not contents.strip():
        raise UserError("expected XML, found an empty file")
    count = sum(map(contents.count, (b"<", b"=", b"&")))
    if count > XML_PARTS:
        raise UserError(
            f"expected at most {XML_PARTS} tags and references, found up to {count}"
        )
    try:
        parser = ElementTree.XMLParser(target=_SafeBuilder())
        return ElementTree.fromstring(contents, parser)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        found = str(error)
        if "invalid token" in found and not _is_utf8(contents):
            found = f"{found}; it looks like {name_encoding(contents)}, not UTF-8"
        raise UserError(
            f"expected plain XML, found a file that cannot be read ({found})"
        ) from None


def check_drawn(root: ElementTree.Element) -> None:
    """Refuses a document in which something is drawn where nobody would look for it.

    What is passed over would count as nothing drawn.
    """
    seen = {id(thing) for place in _PLACES_OF_DRAWN for thing in root.findall(place)}
    for thing in root.iter():
        tag = str(thing.tag)
        name = tag.rpartition("}")[2].lower()
        if name in _DRAWN and id(thing) not in seen:
            raise UserError(
                f"expected objects as LabelMe and LabelImg write them, found a <{name}>"
                " in another place or spelling"
            )


def parse_mit_xml(path: Path, contents: bytes) -> Parsed:
    """Reads the XML of one file; masks that it names are looked for beside it."""
    root = parse_xml(contents)
    if root.tag == "annotations":
        raise UserError("expected LabelMe's XML, found <annotations> of another tool")
    if root.tag != "annotation":
        raise NotLabelMeError(f"XML of a <{str(root.tag)[:80]}>")
    if root.find("size") is not None or root.find("object/bndbox") is not None:
        raise UserError(
            "expected outlines of LabelMe, found boxes of Pascal VOC; name them in "
            "images.csv instead"
        )
    check_drawn(root)
    image = _text(root, "filename")
    if not image:
        raise UserError("expected <filename> to name the image, found none")
    size = _text(root, "imagesize/nrows"), _text(root, "imagesize/ncols")
    if any(size) and not all(size):
        raise UserError("expected <nrows> and <ncols>, found one without the other")
    image_hw = check_size(*(_number(v) for v in size)) if all(size) else None

    things = root.findall("object")
    check_count(len(things), len(root.findall("object/polygon/pt")))
    if not things:
        _check_silence(root)
    drawn = [thing for thing in things if not _is_deleted(thing)]
    _check_one_reader(drawn)
    n_masks = sum(thing.find("polygon") is None for thing in drawn)
    if image_hw and n_masks * image_hw[0] * image_hw[1] > MASK_PIXELS:
        raise UserError(f"expected masks of at most {MASK_PIXELS} pixels in all")
    regions = tuple(_read_object(path, thing, image_hw) for thing in drawn)
    return Parsed(image, image_hw, regions)


def _check_silence(root: ElementTree.Element) -> None:
    """Refuses a document without an object that says something in another way."""
    found = [
        str(thing.tag)
        for thing in root
        if thing.tag not in _SAYS_NOTHING
        and (any(each.attrib for each in thing.iter()) or "".join(thing.itertext()))
    ]
    texts = [root.text or "", *(thing.tail or "" for thing in root)]
    if found or any(text.strip() for text in texts):
        raise UserError(
            "expected objects, or nothing that could stand for some, found "
            f"{f'<{found[0][:80]}>' if found else 'text'} and no object"
        )


def _is_deleted(thing: ElementTree.Element) -> bool:
    stated = {(each.text or "").strip() for each in thing.findall("deleted")} - {""}
    if len(stated) > 1 or not stated <= {"0", "1"}:
        found = ", ".join(sorted(stated))
        raise UserError(f"expected 0 or 1 in <deleted>, found {found[:40]!r}")
    return stated == {"1"}


def _check_one_reader(things: list[ElementTree.Element]) -> None:
    """Refuses a file in which several people drew: they would count as one reader."""
    found = (name.text or "" for thing in things for name in thing.iter("username"))
    names = sorted({clean_word(name) for name in found} - {""})
    if len(names) > 1:
        raise UserError(
            f"expected the outlines of one reader, found {len(names)}, by <username>; "
            "give each a file of their own, in a folder that names the reader"
        )


def _read_object(
    path: Path, thing: ElementTree.Element, image_hw: tuple[int, int] | None
) -> Region:
    label = read_label(_text(thing, "name"))
    attributes = _text(thing, "attributes")
    if attributes and clean_word(attributes) != clean_word(label):
        raise UserError(
            f"expected an object {label!r} whose name says everything, found the "
            f"attributes {attributes[:80]!r}; say it by the name, and clear them"
        )
    polygons, masks = thing.findall("polygon"), thing.findall("segm/mask")
    if len(polygons) + len(masks) != 1:
        raise UserError(
            f"expected a polygon or a segmentation mask for {label!r}, found "
            f"{len(polygons)} and {len(masks)}"
        )
    if polygons:
        drawn = [
            [_number(_text(pt, "x")), _number(_text(pt, "y"))]
            for pt in polygons[0].findall("pt")
        ]
        points = read_points(drawn, label)
        check_inside(points, image_hw, label)
        return make_polygon(points, label)
    if image_hw is None:
        raise UserError(f"expected <imagesize> for the mask {label!r}, found none")
    picture = _read_mask_file(path, _text(thing, "segm/mask"))
    return cut_mask(label, decode_mask(picture, image_hw), (0, 0))


def list_mask_files(path: Path) -> list[Path]:
    """Returns the files that an MIT LabelMe file may take its masks from.

    They are those that exist, wherever a mask that it names is looked for. Nothing else
    is read of it, and a file that is no such annotation names none.
    """
    if path.suffix.lower() != ".xml":
        return []
    try:
        root = parse_xml(read_limited(path, LABELME_BYTES))
    except UserError:
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
        raise UserError(f"expected the plain name of a mask file, found {name!r}")
    for place in places:
        if place.is_file():
            return read_limited(place, MASK_BYTES)
    raise UserError(
        f"expected the mask file {name!r} beside the annotation or in a folder Masks, "
        "found none"
    )


def _is_utf8(contents: bytes) -> bool:
    try:
        contents.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(element: ElementTree.Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"expected a number, found {text[:40]!r}") from None
