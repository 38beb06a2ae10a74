"""A presentation state of a file: outlines over the scan itself, in inverse grey."""

from collections.abc import Iterator

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

import spectjax
from spectjax.dicom_results.outline import draw_outline
from spectjax.dicom_results.stamp import PLACEHOLDER, RESEARCH, stamp
from spectjax.dicom_results.subject import Study, Subject, say_score
from spectjax.imaging.dicom.whole_body import MAKER

_COLOUR = hd.color.CIELabColor(55.0, 70.0, 60.0)
_LAYER = "HOTSPOTS"
_BRIGHTEST = 99.5  # percentile of what counted that is shown black, as in pictures
_MOST_LETTERS = 1024  # of ST
_REST = "\r\n... and more: see the report (SR)"
_CORNER = (5.0, 15.0)  # of the words that stand in each frame


def make_state(study: Study, file: Dataset, number: int) -> Dataset:
    """Returns the presentation state of one file.

    Args:
        study: the file's.
        file: its header, one of `study.files`.
        number: of the series.
    """
    subjects = [each for each in study.subjects if each.header.dataset is file]
    layer = hd.pr.GraphicLayer(_LAYER, order=1, display_color=_COLOUR)
    counted = np.concatenate([each.counts[each.counts > 0] for each in subjects])
    width = max(float(np.percentile(counted, _BRIGHTEST)), 1.0)
    slope, intercept = subjects[0].header.rescale
    referenced = study.place(file)
    referenced.SamplesPerPixel = 1  # of colour pictures there are no scans
    result = hd.pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[referenced],
        series_instance_uid=PLACEHOLDER,
        series_number=number,
        sop_instance_uid=PLACEHOLDER,
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=study.model.name,
        software_versions=spectjax.__version__,
        device_serial_number="0",
        content_label=_LAYER,
        content_description="Hotspots, research only",
        graphic_annotations=[
            _annotate(study, subject, referenced, layer) for subject in subjects
        ],
        graphic_layers=[layer],
        # Given, since highdicom 0.28 looks for it where nuclear medicine has none.
        modality_lut_transformation=hd.ModalityLUTTransformation(
            rescale_intercept=intercept, rescale_slope=slope, rescale_type="US"
        ),
        voi_lut_transformations=[
            hd.pr.SoftcopyVOILUTTransformation(
                window_center=round(width / 2, 3), window_width=round(width, 3)
            )
        ],
        presentation_lut_transformation=hd.PresentationLUTTransformation(
            presentation_lut_shape="INVERSE"
        ),
    )
    stamp(result, study, "Hotspots GSPS")
    return result


def _annotate(
    study: Study, subject: Subject, file: Dataset, layer: hd.pr.GraphicLayer
) -> hd.pr.GraphicAnnotation:
    """Returns the outlines of a view, and the words that stand beside them."""
    frames = subject.frame_numbers
    return hd.pr.GraphicAnnotation(
        referenced_images=[file],
        graphic_layer=layer,
        referenced_frame_number=frames and frames[0],
        graphic_objects=list(_draw(subject)) or None,
        text_objects=[
            hd.pr.TextObject(text, "PIXEL", anchor_point=(x, y))
            for text, (x, y) in _write(study, subject)
        ],
    )


def _draw(subject: Subject) -> Iterator[hd.pr.GraphicObject]:
    for number, hotspot in enumerate(subject.hotspots, start=1):
        name, uid = subject.track(number)
        yield hd.pr.GraphicObject(
            "POLYLINE",
            draw_outline(hotspot.mask)[0],
            "PIXEL",
            tracking_id=name,
            tracking_uid=uid,
        )


def _write(study: Study, subject: Subject) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yields texts and the corners (x, y) where they stand."""
    lines = [RESEARCH, *subject.summary.splitlines(), *study.unread]
    text = "\r\n".join(lines)
    if len(text) > _MOST_LETTERS:
        text = text[: _MOST_LETTERS - len(_REST)] + _REST
    yield text, _CORNER
    height, width = subject.counts.shape
    left, right = subject.sides
    yield left, (_CORNER[0], height / 2)
    yield right, (width - _CORNER[1], height / 2)
    for number, hotspot in enumerate(subject.hotspots, start=1):
        y, x = np.argwhere(hotspot.mask).min(axis=0)
        yield f"{number}: {say_score(hotspot.entry['score'])}", (float(x), float(y))
