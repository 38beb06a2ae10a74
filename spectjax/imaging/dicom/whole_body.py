"""Whether a DICOM file is an emission image of the whole body, by its header alone.

Or whether it can be one of another part, if somebody says that it is.
"""

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    NuclearMedicineImageStorage,
    SecondaryCaptureImageStorage,
)

from spectjax.imaging.scan import (
    REGIONS,
    BodyPart,
    NotWholeBodyError,
    UnclearKindError,
    UnreadableFileError,
)
from spectjax.system.limits import WHOLE_BODY_FRAMES, WHOLE_BODY_PIXELS

# A whole-body frame is at least so many times higher than wide. Cameras give 1024x256
# and 1024x512; a static or a tomographic frame is square.
MIN_ROWS_PER_COLUMN = 1.8
# Nobody is so tall: Rows and Columns are not those of the pixels.
_MAX_ROWS_PER_COLUMN = 12
# What programs make of images of any kind.
_CAPTURES = (
    SecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)

MAKER = "spectjax"  # Manufacturer of our results


def check_whole_body(dataset: Dataset, region: BodyPart | None = None) -> None:
    """Refuses what is not an emission image of the whole body, by name.

    Real whole-body files exist as Secondary Capture: so Modality counts as well as the
    SOP class. Where a person says what `region` a file shows, that counts in place of
    its image type: what is refused then are other modalities.
    """
    _check_origin(dataset)
    if region is None:
        _check_kind(dataset)
    else:
        _check_modality(dataset, region)
    _check_size(dataset, region or "whole_body")
    _check_grey_values(dataset)


def check_proportions(dataset: Dataset) -> None:
    """Refuses frames whose Rows and Columns fit their pixels in number alone."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if rows > _MAX_ROWS_PER_COLUMN * columns:
        raise UnreadableFileError(
            f"expected frames at most {_MAX_ROWS_PER_COLUMN} times higher than wide, "
            f"found {rows}x{columns} pixels (rows x columns). Export the file again."
        )


def describe_doubts(dataset: Dataset) -> list[str]:
    """Returns notes on what may keep the pixels of such a file from being counts."""
    notes = []
    sop_class = _sop_class(dataset)
    if sop_class != NuclearMedicineImageStorage:
        kind = sop_class.name or "no SOP class"
        notes.append(f"grey values may not be counts ({kind})")
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        notes.append("colour palette ignored")
    if dataset.get("BurnedInAnnotation") == "YES":
        notes.append("text may be burned into the pixels")
    return notes


def _sop_class(dataset: Dataset) -> UID:
    stored = dataset.file_meta.get("MediaStorageSOPClassUID")
    return UID(str(dataset.get("SOPClassUID") or stored or ""))


def _image_type(dataset: Dataset) -> list[str]:
    value = dataset.get("ImageType") or []
    return [value] if isinstance(value, str) else [str(v) for v in value]


def _check_origin(dataset: Dataset) -> None:
    """Refuses what `spectjax.dicom_results` wrote: its pictures say they are NM."""
    if dataset.get("Manufacturer") == MAKER:
        raise NotWholeBodyError(
            "expected an NM image of type WHOLE BODY, found a result that spectjax "
            f"wrote ({_sop_class(dataset).name}). Leave results out of what is read."
        )


def _check_kind(dataset: Dataset) -> None:
    sop_class = _sop_class(dataset)
    modality = str(dataset.get("Modality") or "")
    image_type = _image_type(dataset)
    kind = image_type[2].replace("_", " ") if len(image_type) > 2 else "unstated"
    if sop_class != NuclearMedicineImageStorage and modality != "NM":
        known = [sop_class.name, f"modality {modality}" if modality else ""]
        found = ", ".join(filter(None, known)) or "no modality"
    elif kind != "WHOLE BODY":
        found = f"an NM image of type {kind}"
    elif "TRANSMISSION" in image_type[3:]:
        found = "an NM image of type WHOLE BODY TRANSMISSION"
    else:
        return
    is_told = sop_class != NuclearMedicineImageStorage or kind != "unstated"
    raise (NotWholeBodyError if is_told else UnclearKindError)(
        f"expected an NM image of type WHOLE BODY, found {found}. "
        "Choose the whole-body series."
    )


def _check_modality(dataset: Dataset, region: BodyPart) -> None:
    """Refuses what a gamma camera cannot have made."""
    sop_class, modality = _sop_class(dataset), str(dataset.get("Modality") or "")
    found = ""
    if "TRANSMISSION" in _image_type(dataset):
        found = "a transmission image"
    elif not (
        sop_class == NuclearMedicineImageStorage
        or modality == "NM"
        or (sop_class in _CAPTURES and modality in ("", "OT", "SC"))
    ):
        named = sop_class.name or "no SOP class"
        found = f"{named}, modality {modality or 'unstated'}"
    if found:
        raise NotWholeBodyError(
            f"expected an NM image or a secondary capture of a {REGIONS[region]}, "
            f"found {found}. Choose the emission image."
        )


def _check_size(dataset: Dataset, region: BodyPart) -> None:
    rows, columns = (int(dataset.get(k) or 0) for k in ("Rows", "Columns"))
    frames = int(dataset.get("NumberOfFrames") or 1)
    pixels = rows * columns * frames
    is_absurd = frames > WHOLE_BODY_FRAMES or pixels > WHOLE_BODY_PIXELS
    if min(rows, columns, frames) < 1 or is_absurd:
        raise UnreadableFileError(
            f"expected frames of about 1024x256 pixels, found {frames} of "
            f"{rows}x{columns} (rows x columns). The file is cut off or damaged: "
            "export it again."
        )
    if region == "whole_body" and rows < MIN_ROWS_PER_COLUMN * columns:
        is_nm = _sop_class(dataset) == NuclearMedicineImageStorage
        raise (UnclearKindError if is_nm else NotWholeBodyError)(  # a screen, else
            f"expected whole-body frames, at least {MIN_ROWS_PER_COLUMN} times "
            f"higher than wide, found {rows}x{columns} pixels (rows x columns). Choose "
            "the whole-body series. Of an image of the thorax alone say so (region)."
        )


def _check_grey_values(dataset: Dataset) -> None:
    if int(dataset.get("SamplesPerPixel") or 0) > 1:
        raise NotWholeBodyError(
            "expected one count per pixel, found a colour picture. Export the "
            "original image instead of a screen capture."
        )
    # Some programs invert the values when they write MONOCHROME1, others only say how
    # to show them: nothing in the file tells which.
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        raise UnclearKindError(
            "expected counts (MONOCHROME2), found MONOCHROME1: the values may "
            "be inverted. Export the original image."
        )
