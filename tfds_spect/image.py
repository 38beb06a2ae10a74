"""From one scan and its readers' outlines to a thorax image with lesions and labels."""

from collections.abc import Sequence

import numpy as np

from spectjax.imaging.annotations.consensus import (
    Hotspots,
    agree,
    compare_readers,
    crop_hotspots,
    diagnose,
)
from spectjax.imaging.annotations.labelme import Annotation
from spectjax.imaging.canvas import FRAME_HW
from spectjax.imaging.diagnosis import METASTASIS, NORMAL, SITE_WORDS, label_diagnosis
from spectjax.imaging.scan import BoneScan
from spectjax.imaging.thorax import ThoraxImage, crop_thorax
from spectjax.imaging.thorax.frame import keep_frame
from spectjax.system.messages import UserError
from tfds_spect.example import LESION_CLASSES, NO_EVIDENCE, OUTLINES, ThoraxExample

UNCERTAIN_CROP = "uncertain crop"  # begins the reason
# Of whole bodies: nothing is resampled, so that one size is learned from.
_BODY_PIXEL_MM = (2.0, 2.6)
_MAX_COUNT = np.iinfo(np.uint16).max


class UnusableImageError(UserError):
    """An image that is left out; the message says why."""


class UncertainCropError(UnusableImageError):
    """An image whose crop is flagged.

    Attributes:
        thorax: the crop.
    """

    def __init__(self, thorax: ThoraxImage) -> None:
        """Takes the crop."""
        super().__init__(f"{UNCERTAIN_CROP}: {', '.join(thorax.flags)}")
        self.thorax = thorax


def make_example(
    scan: BoneScan,
    annotations: Sequence[Annotation],
    *,
    evidence: str = OUTLINES,
    stated: str | None = None,
    whole_frame: bool = False,
) -> ThoraxExample:
    """Crops a scan to the thorax, finds its lesions and names its diagnosis.

    Args:
        scan: the whole-body view.
        annotations: what each reader outlined, in our words; none if nobody did.
        evidence: where the outlines come from, one of `MASK_EVIDENCE`.
        stated: the diagnosis that comes with the whole image; without one, the outlines
            decide.
        whole_frame: nothing is cropped: lesions anywhere in the frame count.

    Raises:
        UnusableImageError: if there are neither outlines nor a diagnosis or the two
            contradict each other, the patient is not known, the crop is uncertain, or
            counts, words or the sizes of a whole frame do not fit the data set.
        ScanError: if no thorax is found, or a whole frame is none.
        AnnotationError: if the annotations do not fit the scan.
    """
    if not annotations and stated is None:
        raise UnusableImageError("no annotation")
    if scan.patient_evidence == "study":
        raise UnusableImageError(
            "no Patient ID, nor name and birth date: two studies of one patient could "
            "end on both sides of a split; expected at least a pseudonym as Patient ID"
        )
    check_words(annotations)
    if whole_frame:
        check_frame(scan)
    thorax = keep_frame(scan) if whole_frame else crop_thorax(scan)
    if thorax.flags:
        raise UncertainCropError(thorax)
    nothing = np.zeros(thorax.transform.canvas_hw, np.int32)
    hotspots, diagnosis = Hotspots(nothing, ()), stated
    readings = None
    if annotations:
        everywhere = agree(annotations, thorax.transform.frame_hw)
        hotspots = crop_hotspots(everywhere, thorax.transform)
        outlined = diagnose(annotations, hotspots, thorax.transform)
        if evidence == OUTLINES:
            readings = compare_readers(annotations, thorax.transform)
        diagnosis = reconcile(outlined, stated, elsewhere=bool(everywhere.labels))
    return ThoraxExample(
        counts=store_counts(thorax.counts),
        lesions=hotspots.numbers.astype(np.uint16),
        labels=LESION_CLASSES * len(hotspots.labels),
        diagnosis=diagnosis or METASTASIS,
        mask_evidence=evidence if annotations else NO_EVIDENCE,
        patient=scan.patient_key,
        view=scan.view,
        spacing_mm=scan.spacing_mm,
        crop_box=thorax.transform.box,
        frame_hw=thorax.transform.frame_hw,
        source=scan.image_key,
        synthetic=scan.synthetic,
        warnings=(*scan.warnings, *filter(None, [thorax.decision])),
        weak_view=scan.has_weak_view,
        identity=scan.identity,
        crop_by_hand=thorax.by_hand,
        camera=scan.camera,
        region=thorax.region,
        readings=readings,
    )


def check_frame(scan: BoneScan) -> None:
    """Checks that a whole body is about as large as all others, and so its pixels.

    Raises:
        UnusableImageError: if they are not; pixels of unknown size are taken.
    """
    rows, columns = scan.counts.shape
    if rows > FRAME_HW[0] or columns > FRAME_HW[1]:
        raise UnusableImageError(
            f"a frame of {rows}x{columns} pixels; expected at most "
            f"{FRAME_HW[0]}x{FRAME_HW[1]} of a whole body"
        )
    low, high = _BODY_PIXEL_MM
    if scan.spacing_mm and not all(low <= side <= high for side in scan.spacing_mm):
        height, width = scan.spacing_mm
        raise UnusableImageError(
            f"pixels of {height:g}x{width:g} mm; expected {low:g} to {high:g} mm: "
            "whole bodies are not resampled"
        )


def check_words(annotations: Sequence[Annotation]) -> None:
    """Checks that readers outlined nothing but known lesions.

    Raises:
        UnusableImageError: if a word is none of `SITE_WORDS`. To take "benign" for a
            metastasis, or to pass over it, would both be silent mistakes.
    """
    words = {region.label for each in annotations for region in each.regions}
    unknown = sorted(words - set(SITE_WORDS))
    if unknown:
        raise UnusableImageError(
            f"outlines labelled {', '.join(map(repr, unknown))}; expected "
            f"{' or '.join(map(repr, SITE_WORDS))}, or a line for it in words.csv"
        )


def reconcile(outlined: str, stated: str | None, *, elsewhere: bool) -> str:
    """Returns the diagnosis of a thorax that has outlines and perhaps a stated one.

    The stated one is of the whole image. It counts, but one of unstated kind takes its
    kind from the outlines, and where all hotspots lie outside of the thorax the thorax
    is normal.

    Args:
        outlined: what the outlines in the thorax say.
        stated: what comes with the image.
        elsewhere: whether the readers agree on a hotspot anywhere in the image.

    Raises:
        UnusableImageError: if one says normal and the other does not.
    """
    if stated is None:
        return outlined
    if outlined == NORMAL and elsewhere and stated != NORMAL:
        return NORMAL
    if label_diagnosis(stated) != label_diagnosis(outlined):
        raise UnusableImageError(
            f"labelled {stated!r}, but its outlines in the thorax say "
            f"{label_diagnosis(outlined)!r}"
        )
    return outlined if stated == METASTASIS else stated


def store_counts(counts: np.ndarray) -> np.ndarray:
    """Returns counts (H, W) as uint16, unchanged in value.

    Raises:
        UnusableImageError: if they are not whole numbers from 0 to 65535.
    """
    if counts.min() < 0 or counts.max() > _MAX_COUNT or (counts % 1).any():
        raise UnusableImageError(
            f"counts from {counts.min():g} to {counts.max():g}; expected whole numbers "
            f"from 0 to {_MAX_COUNT}"
        )
    return counts.astype(np.uint16)
