"""Views from PNG and JPEG pictures of 8 or 16 bits.

A picture is never trusted: what cannot be read with certainty is refused with one clear
line. H is a picture's number of rows, W its number of columns.
"""

import dataclasses
import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spectjax.imaging.dicom.whole_body import MIN_ROWS_PER_COLUMN
from spectjax.imaging.scan import (
    CANVAS_HW,
    REGIONS,
    BodyPart,
    EmptyImageError,
    NotWholeBodyError,
    ScanError,
    UnreadableFileError,
    naming,
)
from spectjax.system.limits import PICTURE_BYTES, WHOLE_BODY_PIXELS, read_limited

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EXIF_ORIENTATION = 0x0112

# Of the range between a picture's least and greatest grey value: what lies so close to
# an end counts as that end.
_END = 0.1
# Outside the body lies more than half of a whole-body picture; hot spots and a bright
# body that the grey scale cuts off fill less than a tenth. Of 1 958 real halves of
# chests, cut out of whole bodies, at least 18 % lie outside.
_MIN_BACKGROUND: dict[BodyPart, float] = {
    "whole_body": 0.25,
    "thorax": 0.1,
    "chest_half": 0.1,
}
_MAX_OPPOSITE = 0.15
_RIM_PX = 2
_MIN_COLUMNS = 64  # cameras give 256, some 128
_MIN_PART_PX = 32  # of a thorax or half of one: real halves have 47 and more


class UnknownPolarityError(ScanError):
    """Nothing tells whether hot is bright or dark."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """Grey values of a picture as counts.

    Attributes:
        counts: float32, (H, W), not negative, bright is hot.
        content: hash of `counts`, the same for the same picture in another format.
        synthetic: a text in the file begins with SYNTHETIC.
        notes: how grey values became counts.
    """

    counts: np.ndarray
    content: str
    synthetic: bool
    notes: tuple[str, ...]


def read_picture(
    path: Path, *, inverted: bool | None = None, region: BodyPart = "whole_body"
) -> Picture:
    """Reads a PNG or JPEG picture of one view, of the whole body or of `region`.

    The grey value that is farthest from hot becomes 0 counts; values are not scaled.
    Pictures that are dark where there are many counts are turned into their negative:
    outside the body there are no counts, so a background at the bright end of the grey
    scale gives them away. `inverted` says whether hot is dark; it overrides the
    background.

    Raises:
        UnreadableFileError: no PNG or JPEG, damaged, of other bits than 8 or 16, or
            with an orientation to be applied.
        NotWholeBodyError: not tall, coloured, transparent, or without a body in the
            middle, as two views side by side.
        UnknownPolarityError: the background is neither bright nor dark.
        EmptyImageError: all pixels are equal.
    """
    contents = read_limited(path, PICTURE_BYTES, error=UnreadableFileError)
    with naming(path):
        return _read(contents, inverted, region)


def _read(contents: bytes, inverted: bool | None, region: BodyPart) -> Picture:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        grey, info = _decode(contents, region)
    if grey.min() == grey.max():
        raise EmptyImageError(
            f"expected a body, found {grey.max()} in every pixel. Remove the "
            "file, or export it again."
        )
    bits = 8 * grey.dtype.itemsize
    notes = ["8-bit picture: grey values, not counts"]
    if bits == 16:
        notes = ["16-bit picture: values taken as counts"]
    if not contents.startswith(_PNG_SIGNATURE):
        notes.append("lossy compression")

    if is_dark_hot(grey, region) if inverted is None else inverted:
        grey = grey.max() - grey
        why = "the background is bright" if inverted is None else "the user's word"
        notes.append(f"dark was hot: inverted ({why})")
    elif grey.min() > 0:
        notes.append(f"grey value {grey.min()} taken as no counts")
        grey = grey - grey.min()
    if region != "chest_half":
        _check_one_body(grey)
    shape = "x".join(map(str, grey.shape))
    content = hashlib.sha256(shape.encode() + grey.astype("<u2").tobytes()).hexdigest()
    return Picture(grey.astype(np.float32), content, _is_synthetic(info), tuple(notes))


def _decode(contents: bytes, region: BodyPart) -> tuple[np.ndarray, dict[Any, Any]]:
    """Returns grey values, uint8 or uint16, (H, W), and what else the file says."""
    try:
        # Reads the header alone, so the size is known before anything is unpacked.
        picture = _open(contents)
    except Image.DecompressionBombError:
        raise UnreadableFileError(
            f"expected about 1024x256 pixels, found more than "
            f"{WHOLE_BODY_PIXELS >> 20} million. Save it again in the size of the scan."
        ) from None
    except Exception as error:  # a damaged header raises errors of many kinds
        raise UnreadableFileError(
            "expected a PNG or JPEG picture, found another format or a "
            "damaged file. Save it as PNG."
        ) from error
    _check_size(picture, region)
    _check_kind(picture, contents)
    try:
        if contents.startswith(_PNG_SIGNATURE):
            picture.verify()  # checksums, which decoding passes over
            picture = _open(contents)
        picture.load()
        orientation = picture.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception as error:
        raise UnreadableFileError(
            "expected pixels, found a picture that is cut off or damaged. "
            "Copy or save it again."
        ) from error
    if orientation != 1:
        raise UnreadableFileError(
            f"expected pixels in the order in which they are seen, found EXIF "
            f"orientation {orientation}: programs disagree on what is left. Save it "
            "upright without that tag."
        )
    return _grey_values(picture), picture.info


def _open(contents: bytes) -> Image.Image:
    return Image.open(io.BytesIO(contents), formats=("PNG", "JPEG"))


def _check_size(picture: Image.Image, region: BodyPart) -> None:
    rows, columns = picture.height, picture.width
    if region != "whole_body":
        if min(rows, columns) < _MIN_PART_PX or rows * columns > WHOLE_BODY_PIXELS:
            raise UnreadableFileError(
                f"expected from {_MIN_PART_PX}x{_MIN_PART_PX} to "
                f"{CANVAS_HW[0]}x{CANVAS_HW[1]} pixels of a {REGIONS[region]}, found "
                f"{rows}x{columns} (rows x columns). Save it again in the size of the "
                "scan."
            )
        return
    if rows * columns > WHOLE_BODY_PIXELS or columns < _MIN_COLUMNS:
        raise UnreadableFileError(
            f"expected about 1024x256 pixels, found {rows}x{columns} (rows x "
            "columns). Save it again in the size of the scan. Of one that is cut to "
            "the thorax already, say so (region)."
        )
    if rows < MIN_ROWS_PER_COLUMN * columns:
        raise NotWholeBodyError(
            f"expected one whole-body view, at least {MIN_ROWS_PER_COLUMN} "
            f"times higher than wide, found {rows}x{columns} pixels (rows x columns). "
            "Save each view as a picture of its own, head up. Of one that is cut to "
            "the thorax already, say so (region)."
        )


def _check_kind(picture: Image.Image, contents: bytes) -> None:
    """Refuses pictures that Pillow would read with a loss, or only in part."""
    bits, found = 8, ""
    if contents.startswith(_PNG_SIGNATURE):
        bits = contents[24]  # of IHDR, which is always first
    if bits not in (8, 16):
        found = f"a PNG of {bits} bits"
    elif bits == 16 and (picture.mode not in ("I", "I;16") or _has_alpha(picture)):
        found = "a 16-bit PNG with colours or transparency"
    elif getattr(picture, "n_frames", 1) > 1:
        found = f"{getattr(picture, 'n_frames', 1)} pictures in one file"
    if found:
        raise UnreadableFileError(
            f"expected one grey picture of 8 or 16 bits, found {found}. Save "
            "it as a grey PNG."
        )


def _has_alpha(picture: Image.Image) -> bool:
    return picture.mode in ("LA", "RGBA", "PA") or "transparency" in picture.info


def _grey_values(picture: Image.Image) -> np.ndarray:
    """Returns values of a picture that is grey, whatever its colour model."""
    found = ""
    if picture.mode in ("I", "I;16"):
        return np.asarray(picture).astype(np.uint16)
    if picture.mode == "L" and not _has_alpha(picture):
        return np.asarray(picture)
    if picture.mode not in ("L", "LA", "P", "PA", "RGB", "RGBA"):
        found = f"the colour model {picture.mode}"
    else:
        red, green, blue, alpha = np.moveaxis(np.asarray(picture.convert("RGBA")), 2, 0)
        if not ((red == green) & (green == blue)).all():
            found = "colours"
        elif (alpha < 255).any():
            found = "transparent pixels"
    if found:
        raise NotWholeBodyError(
            f"expected a grey picture, found {found}. Export the original "
            "image in grey instead of a screen capture."
        )
    return red


def is_dark_hot(grey: np.ndarray, region: BodyPart) -> bool:
    """Returns whether the background, which has no counts, is the bright end.

    Raises:
        UnknownPolarityError: if it is neither end.
    """
    low, high = float(grey.min()), float(grey.max())
    inside = grey[_RIM_PX:-_RIM_PX, _RIM_PX:-_RIM_PX]
    sides = (grey[:_RIM_PX], grey[-_RIM_PX:], grey[:, :_RIM_PX], grey[:, -_RIM_PX:])
    rim = np.median(np.concatenate([side.ravel() for side in sides]))
    rim = (float(rim) - low) / (high - low)
    dark = float((inside <= low + _END * (high - low)).mean())
    bright = float((inside >= high - _END * (high - low)).mean())
    least = _MIN_BACKGROUND[region]
    if rim <= _END and dark >= least and bright <= _MAX_OPPOSITE:
        return False
    if rim >= 1 - _END and bright >= least and dark <= _MAX_OPPOSITE:
        return True
    raise UnknownPolarityError(
        f"expected a background at one end of the grey scale, found the rim at "
        f"{rim:.0%} of it, {dark:.0%} of the pixels at the dark end and {bright:.0%} "
        "at the bright one. State 'inverted' in images.csv: yes if hot is dark, else "
        "no; of a picture that no table lists say --inverted or --noinverted."
    )


def _check_one_body(counts: np.ndarray) -> None:
    """Refuses two views side by side, which can be as tall as one wide frame."""
    across = counts.mean(axis=0, dtype=np.float64)
    parts = [part.mean() for part in np.array_split(across, 16)]
    middle, left, right = max(parts[7:9]), max(parts[2:6]), max(parts[10:14])
    # One body has more counts in the middle, two have a fifth at most between them.
    if middle < 0.5 * min(left, right):
        raise NotWholeBodyError(
            "expected one body in the middle, found more to the left and to "
            "the right of it, as of two views side by side or of a wrong 'inverted'. "
            "Save each view as a picture of its own."
        )


def _is_synthetic(info: dict[Any, Any]) -> bool:
    texts = (
        value.decode("ascii", "replace") if isinstance(value, bytes) else value
        for value in info.values()
    )
    return any(
        isinstance(text, str) and text.upper().startswith("SYNTHETIC") for text in texts
    )
