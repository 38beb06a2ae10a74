"""The words for what an image shows: the papers' classes, and a hospital's words.

An image is a thorax crop. [P2] labels it by its readers and counts three kinds of
metastasis (Table 1); `annotations.consensus` has the rule.
"""

NORMAL = "normal"
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


def clean_word(word: str) -> str:
    """Returns a word without capitals, and with single blanks inside only."""
    return " ".join(word.lower().split())
