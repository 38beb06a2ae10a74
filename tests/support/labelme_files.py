"""LabelMe files, masks and annotations of a small image, for tests."""

import base64
import json

import numpy as np

from spectjax.imaging.annotations.labelme import (
    Annotation,
)
from spectjax.imaging.annotations.masks import (
    encode_grey,
)
from spectjax.imaging.annotations.regions import Region

HW = (12, 9)  # rows, columns
TRIANGLE = [[1, 1], [7, 1], [1, 7]]


def picture(*rows):
    """A mask from rows of text: `#` is set."""
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def filled(*boxes, hw=HW):
    """A mask with these boxes (y0, x0, y1, x1) set."""
    mask = np.zeros(hw, bool)
    for y0, x0, y1, x1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def shape(points=TRIANGLE, label="metastasis", kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


def write_json(path, *shapes, image=None, hw=HW, **more):
    """Writes wkentaro's LabelMe format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": f"{path.stem}.png" if image is None else image,
        "imageData": None,
        "imageHeight": hw[0],
        "imageWidth": hw[1],
        **more,
    }
    path.write_text(json.dumps(document))
    return path


def xml_object(points=TRIANGLE, label="metastasis", deleted=0, segment=""):
    drawn = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in points)
    polygon = f"<polygon><username>anna</username>{drawn}</polygon>" if points else ""
    return (
        f"<object><name>{label}</name><deleted>{deleted}</deleted>"
        f"<id>0</id>{polygon}{segment}</object>"
    )


def write_xml(path, *objects, image=None, hw=HW, before=""):
    """Writes MIT's LabelMe 3.0 format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = f"{path.stem}.png" if image is None else image
    size = f"<imagesize><nrows>{hw[0]}</nrows><ncols>{hw[1]}</ncols></imagesize>"
    path.write_text(
        f"{before}<annotation><filename>{image}</filename><folder>scans</folder>"
        f"{''.join(objects)}{size if hw else ''}</annotation>"
    )
    return path


def encode_png(mask):
    return encode_grey(np.uint8(mask * 255))


def annotation(*regions, reader="reader1", hw=HW, image="P1_anterior"):
    """What a reader marked: regions, or pairs of label and mask."""
    regions = tuple(
        r if isinstance(r, Region) else Region(r[0], None, r[1]) for r in regions
    )
    return Annotation(None, reader, image, hw, regions)


def save_as_labelme(path, shapes=None, *, version="5.5.0", checked=None):
    """Saves a file as LabelMe does: 5.5.0 with the picture in it, 6.3.1 without.

    So both were seen to do it, run with a draft and without a screen.
    """
    document = json.loads(path.read_text())
    flags = {key: bool(value) for key, value in document.pop("flags").items()}
    shapes = document.pop("shapes") if shapes is None else shapes
    sides = document.pop("imageHeight"), document.pop("imageWidth")
    picture = base64.b64encode(encode_png(np.ones(sides, bool))).decode()
    known = ("version", "shapes", "imagePath", "imageData")
    path.write_text(
        json.dumps(
            {
                "version": version,
                "flags": flags if checked is None else flags | {"checked": checked},
                "shapes": [{**each, "description": ""} for each in shapes],
                "imagePath": document["imagePath"],
                "imageData": picture if version < "6" else None,
                "imageHeight": sides[0],
                "imageWidth": sides[1],
                **{key: each for key, each in document.items() if key not in known},
            },
            indent=2,
            ensure_ascii=False,
        )
    )
