"""What an image shows: the papers' classes, and the rule that readers' outlines decide.

An image is a thorax crop. [P2] labels it by its readers and counts three kinds of
metastasis (Table 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from spectjax.imaging.annotations.consensus import Annotation, Hotspots
from spectjax.imaging.annotations.words import NORMAL, clean_word
from spectjax.imaging.thorax.transform import CropTransform

MULTIPLE = "multiple bone metastasis"
SPINAL = "spinal metastasis"
OUTSIDE_SPINE = "metastasis outside spine"
METASTASIS = "metastasis"  # of unstated kind or site

LABELS = (NORMAL, METASTASIS)
DIAGNOSES = (NORMAL, MULTIPLE, SPINAL, OUTSIDE_SPINE, METASTASIS)
# A reader's words for an outline; the first leaves its site open.
SITE_WORDS = (METASTASIS, SPINAL, OUTSIDE_SPINE)


def label_diagnosis(diagnosis: str) -> str:
    """Returns the one of `LABELS` that a diagnosis belongs to.

    Raises:
        ValueError: if it is none of `DIAGNOSES`.
    """
    if diagnosis not in DIAGNOSES:
        raise ValueError(
            f"Expected a diagnosis, one of {', '.join(DIAGNOSES)}, got {diagnosis!r}."
        )
    return NORMAL if diagnosis == NORMAL else METASTASIS


def translate_words(annotation: Annotation, words: Mapping[str, str]) -> Annotation:
    """Returns an annotation in our words, without the outlines that are to be ignored.

    Args:
        annotation: with a hospital's words.
        words: our word for a clean word of the hospital's, empty for one to ignore;
            words that are not in it stay as they are.
    """
    ours = [
        (region, words.get(clean_word(region.label), clean_word(region.label)))
        for region in annotation.regions
    ]
    kept = tuple(replace(region, label=word) for region, word in ours if word)
    return replace(annotation, regions=kept)


def is_abnormal(annotation: Annotation, transform: CropTransform) -> bool:
    """Returns whether a reader calls the thorax abnormal: "at least one hot spot" [P2].

    An outline counts if it has a pixel in the crop.
    """
    return any(
        transform.apply(region.fill(transform.frame_hw)).any()
        for region in annotation.regions
    )


def name_kind(sites: Sequence[str]) -> str:
    """Returns the kind of metastasis of an image with hotspots at these sites.

    [P2] Table 1 counts "multiple", spinal and "outside the spine" without defining
    them. Read as: spinal if all hotspots are spinal; multiple if there are several and
    not all of them are; outside the spine if there is a single one and it is. Where
    unstated sites leave that open, or no hotspot is agreed upon, the kind is unstated.

    Args:
        sites: one of `SITE_WORDS` for each hotspot.
    """
    if len(sites) > 1 and OUTSIDE_SPINE in sites:
        return MULTIPLE
    if len(set(sites)) == 1:
        return sites[0]
    return METASTASIS


def diagnose(
    annotations: Sequence[Annotation], hotspots: Hotspots, transform: CropTransform
) -> str:
    """Returns the one of `DIAGNOSES` that the readers of an image agree upon.

    An image is abnormal if a strict majority of its readers call it so: "at least two
    doctors" of three [P2]. Its kind follows from the hotspots.

    Args:
        annotations: one for each reader, in our words (`translate_words`).
        hotspots: the readers' consensus in thorax pixels (`agree`, `crop_hotspots`).
        transform: from frame to thorax.

    Raises:
        ValueError: if there is no annotation.
    """
    if not annotations:
        raise ValueError("Expected the annotation of at least one reader, got none.")
    abnormal = sum(is_abnormal(annotation, transform) for annotation in annotations)
    return name_kind(hotspots.labels) if 2 * abnormal > len(annotations) else NORMAL
