"""Annotations from LabelMe: wkentaro's JSON and MIT's LabelMe 3.0 XML.

[P1] drew its ground truth in MIT's LabelMe with polygons and rectangles. Points are
(x, y) in continuous pixel coordinates of the whole-body frame (H rows, W columns).
"""

import dataclasses
import re
from pathlib import Path

from spectjax.imaging.annotations.drafts import Draft, DraftError
from spectjax.imaging.annotations.image_names import drop_image_suffix, fold_name
from spectjax.imaging.annotations.labelme_json import NotLabelMeError, parse_json
from spectjax.imaging.annotations.labelme_xml import parse_mit_xml
from spectjax.imaging.annotations.regions import Region
from spectjax.system.limits import LABELME_BYTES, read_limited
from spectjax.system.messages import UserError


class AnnotationError(UserError):
    """An annotation that cannot be used; one line of text that starts with its path."""


class NotAnnotationError(AnnotationError):
    """A JSON or XML file of another kind."""


class UncheckedDraftError(AnnotationError):
    """A model's draft that no reader has made an annotation of."""


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What one reader marked in one view.

    Attributes:
        path: the file.
        reader: name of the folder that holds the file.
        image_name: `<DICOM stem>_<view>`, the `name` of its `BoneScan` as `fold_name`
            gives it.
        image_hw: (H, W) that the file states; None if it does not.
        regions: none means that the reader saw no lesion.
        draft: what a model drew for the reader to correct; None if none did.
    """

    path: Path
    reader: str
    image_name: str
    image_hw: tuple[int, int] | None
    regions: tuple[Region, ...]
    draft: Draft | None = None


def read_annotation(path: Path) -> Annotation:
    """Reads one LabelMe file.

    Shapes are polygons, rectangles (also of four corners, and turned ones, as
    X-AnyLabeling writes them), circles (centre and a point of the edge) and masks.
    Objects that MIT's LabelMe marks as deleted are left out. A file that says anything
    else about the lesions, such as by a flag, is refused.

    Args:
        path: a `.json` or `.xml` file named `<DICOM stem>_<view>`.

    Returns:
        The annotation, its points inside the frame as far as the file states its size.

    Raises:
        NotAnnotationError: a file of another kind.
        UncheckedDraftError: a draft that nobody has saved, or left empty unchecked.
        AnnotationError: damaged, of another tool, by several readers, about another
            image than the file's name says, or with a shape that is unknown, impossible
            or outside of the frame.
    """
    path = Path(path)
    contents = read_limited(path, LABELME_BYTES, error=AnnotationError)
    try:
        if path.suffix.lower() == ".xml":
            parsed = parse_mit_xml(path, contents)
        else:
            parsed = parse_json(contents)
    except DraftError as error:
        raise UncheckedDraftError(f"{path}: {error}.") from None
    except NotLabelMeError as error:
        raise NotAnnotationError(
            f"{path}: expected a LabelMe annotation, found {error}. Move it elsewhere."
        ) from None
    except UserError as error:
        raise AnnotationError(
            f"{path}: {error}. Correct it in LabelMe, or move it."
        ) from error

    # Windows writes backslashes; only the last part of the path says which image.
    stem = fold_name(drop_image_suffix(re.split(r"[/\\]", parsed.image)[-1]))
    if stem != fold_name(path.stem):
        raise AnnotationError(
            f"{path}: expected an annotation of {path.stem!r}, as the file's name "
            f"says, found one of {parsed.image!r}. Correct the name of one or the "
            "other."
        )
    return Annotation(
        path=path,
        reader=path.absolute().parent.name,
        image_name=stem,
        image_hw=parsed.image_hw,
        regions=parsed.regions,
        draft=parsed.draft,
    )
