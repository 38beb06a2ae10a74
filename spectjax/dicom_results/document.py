"""The report that a person reads: a PDF of the picture and a list."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
)

import spectjax
from spectjax.dicom_results.capture import draw_study, list_notes
from spectjax.dicom_results.stamp import PLACEHOLDER, RESEARCH, stamp
from spectjax.dicom_results.subject import Study, say_score
from spectjax.imaging.dicom.whole_body import MAKER

if TYPE_CHECKING:
    from spectjax.bones.places import Place

_DPI = 150
_LINES, _LETTERS = 64, 96  # of a page
_PAGE_INCHES = (8.27, 11.69)  # A4


def make_document(study: Study, number: int) -> Dataset:
    """Returns an Encapsulated PDF; highdicom has none.

    Args:
        study: with at least one view.
        number: of the series.
    """
    content = _draw_pages(study)
    result = Dataset()
    result.file_meta = FileMetaDataset()
    result.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    result.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    result.preamble = bytes(128)
    result.update(study.place(study.files[0]))
    for keyword in ("Rows", "Columns", "NumberOfFrames"):
        if keyword in result:
            del result[keyword]
    result.SOPClassUID = EncapsulatedPDFStorage
    result.SOPInstanceUID = result.SeriesInstanceUID = PLACEHOLDER
    result.SeriesNumber, result.InstanceNumber = number, 1
    result.Modality = "DOC"
    result.Manufacturer = MAKER
    result.ManufacturerModelName = study.model.name
    result.SoftwareVersions = spectjax.__version__
    result.ConversionType = "WSD"
    result.ContentDate = result.InstanceCreationDate = ""
    result.ContentTime = result.InstanceCreationTime = ""
    result.AcquisitionDateTime = None
    result.BurnedInAnnotation = "YES"
    result.DocumentTitle = f"Hotspots. {RESEARCH}"
    result.ConceptNameCodeSequence = []
    result.MIMETypeOfEncapsulatedDocument = "application/pdf"
    result.EncapsulatedDocumentLength = len(content)
    result.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    stamp(result, study, "Hotspots report PDF")
    return result


def _draw_pages(study: Study) -> bytes:
    """Returns the PDF, the same bytes whenever it is drawn."""
    stream = io.BytesIO()
    metadata = {"Title": RESEARCH, "Creator": MAKER, "CreationDate": None}
    with PdfPages(stream, metadata=metadata) as pages:
        pages.savefig(draw_study(study, _DPI))
        lines = list(_list_lines(study))
        for start in range(0, len(lines), _LINES):
            page = Figure(figsize=_PAGE_INCHES)
            page.text(
                0.06,
                0.96,
                "\n".join(lines[start : start + _LINES]),
                va="top",
                size=8,
                family="monospace",
                parse_math=False,
            )
            pages.savefig(page)
    return stream.getvalue()


def _list_lines(study: Study) -> Iterator[str]:
    """Yields what the structured report says, as lines."""
    yield from list_notes(study, _LETTERS, most=_LINES)
    for subject in study.subjects:
        yield ""
        yield from subject.summary.splitlines()
        if subject.hotspots:
            yield f"{'':>5}{'area':>14}{'most counts':>14}{'score':>12}"
        for number, hotspot in enumerate(subject.hotspots, start=1):
            entry = hotspot.entry
            area = f"{entry['area_px']} pixels"
            if entry["area_mm2"] is not None:
                area = f"{entry['area_mm2']:.0f} mm2"
            yield (
                f"{number:>5}{area:>14}{entry['max_counts']:>14.0f}"
                f"{say_score(entry['score']):>12}{_say_bone(hotspot.place)}"
            )


def _say_bone(place: "Place | None") -> str:
    """Returns the bone that a hotspot lies in; nothing where nobody looked."""
    if place is None:
        return ""
    beside = "beside " * bool(place.region and not place.on_bone)
    doubt = " (in doubt)" * bool(place.in_doubt)
    return f"  {beside}{place.region or 'no bone'}{doubt}"
