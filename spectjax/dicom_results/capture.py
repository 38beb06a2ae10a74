"""The picture of a study: what every viewer shows, with what it is burned in."""

import highdicom as hd
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from spectjax.dicom_results.stamp import PLACEHOLDER, RESEARCH, stamp
from spectjax.dicom_results.subject import Study, Subject
from spectjax.imaging.dicom.views import make_item
from spectjax.imaging.dicom.whole_body import MAKER
from spectjax.report.picture_parts import (
    CROP,
    TRUTH,
    outline,
    show_counts,
    wrap_warnings,
)
from spectjax.system.messages import SYNTHETIC

_DPI = 110
_SIDE_BY_SIDE = 4  # of more views there are more rows
_MOST_LABELS, _MOST_NOTES = 99, 20


def make_capture(study: Study, number: int) -> Dataset:
    """Returns a colour picture of all views as a Secondary Capture.

    Args:
        study: with at least one view.
        number: of the series.
    """
    figure = draw_study(study, _DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    first = study.first.header.dataset
    result = hd.sc.SCImage.from_ref_dataset(
        ref_dataset=study.place(first),
        pixel_array=np.asarray(canvas.buffer_rgba())[..., :3].copy(),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_instance_uid=PLACEHOLDER,
        series_number=number,
        sop_instance_uid=PLACEHOLDER,
        instance_number=1,
        manufacturer=MAKER,
        patient_orientation=("L", "F"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    # 2C: several views have none in common.
    result.add_new("PatientOrientation", "CS", None)
    result.BurnedInAnnotation = "YES"
    result.ImageType = ["DERIVED", "SECONDARY"]
    result.DerivationDescription = RESEARCH
    result.Modality = first.Modality  # hanging protocols for NM leave out OT
    result.SourceImageSequence = [
        make_item(
            ReferencedSOPClassUID=header.SOPClassUID,
            ReferencedSOPInstanceUID=header.SOPInstanceUID,
        )
        for header in study.files
    ]
    stamp(result, study, "Hotspots picture")
    return result


def draw_study(study: Study, dpi: int) -> Figure:
    """Draws the views of a study side by side, and below them what else to know."""
    n = len(study.subjects)
    columns = min(n, _SIDE_BY_SIDE)
    rows = -(-n // columns)
    width, height = max(3.4 * columns + 0.2, 5.0), 9.4 * rows
    notes = list_notes(study, int(14 * width), most=_MOST_NOTES)
    foot = 0.16 * len(notes) + 0.1
    figure = Figure(figsize=(width, height + foot), dpi=dpi)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in axes[n:]:
        panel.axis("off")
    for panel, subject in zip(axes[:n], study.subjects, strict=True):
        _draw_view(panel, subject)
    figure.text(
        0.02, 0.06 / (height + foot), "\n".join(notes), size=7.5, parse_math=False
    )
    figure.subplots_adjust(
        left=0.01,
        right=0.99,
        top=1 - 0.65 / (height + foot),
        bottom=foot / (height + foot),
        wspace=0.02,
    )
    return figure


def _draw_view(panel: Axes, subject: Subject) -> None:
    thorax = subject.seen.thorax
    show_counts(panel, subject.counts)
    y0, x0, y1, x1 = thorax.transform.box
    panel.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=CROP))
    for number, hotspot in enumerate(subject.hotspots, start=1):
        outline(panel, hotspot.mask, TRUTH, linewidth=1)
        if number <= _MOST_LABELS:
            y, x = np.argwhere(hotspot.mask).min(axis=0)
            panel.text(x, y - 2, str(number), color=TRUTH, size=8, ha="right")
    panel.set_title(subject.summary, size=9, parse_math=False)
    for x, side in zip((0.03, 0.97), subject.sides, strict=True):
        panel.text(
            x,
            0.99,
            side,
            transform=panel.transAxes,
            ha="center",
            va="top",
            size=11,
            weight="bold",
        )
    panel.text(
        0.5,
        0.5,
        RESEARCH.replace(" - ", "\n"),
        transform=panel.transAxes,
        rotation=60,
        ha="center",
        va="center",
        size=13,
        color=TRUTH,
        alpha=0.22,
    )


def _begin(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def list_notes(study: Study, width: int, *, most: int) -> list[str]:
    """Returns what else to know, in lines of `width` letters, and `most` of them."""
    sentences = [
        f"{RESEARCH}. {MAKER} {study.model.version}, {study.model.name}.",
        *([SYNTHETIC] * study.synthetic),
        "Only what lies in the blue boxes was read.",
        *study.unread,
        *([] if study.burden is None else [_begin(study.burden.sentence)]),
    ]
    for subject in study.subjects:
        sentences += [f"{subject.title}: {text}" for text in subject.comments]
    return wrap_warnings(sentences, width=width, most=most, rest="the report (SR)")
