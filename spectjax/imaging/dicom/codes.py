"""Coded concepts as DICOM stores them: value, scheme and meaning (PS3.3 8.8)."""

from pydicom.dataset import Dataset

from spectjax.imaging.scan import View

# PS3.16, context group 26: projections of nuclear medicine.
VIEW_CODES: dict[tuple[str, View], tuple[str, str, str]] = {
    ("sct", "anterior"): ("399321004", "SCT", "Anterior"),
    ("sct", "posterior"): ("399001007", "SCT", "Posterior"),
    ("srt", "anterior"): ("G-5215", "SRT", "Anterior"),
    ("srt", "posterior"): ("G-5216", "SRT", "Posterior"),
}


def make_code(value: str, scheme: str, meaning: str) -> Dataset:
    """Returns an item of a code sequence."""
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item
