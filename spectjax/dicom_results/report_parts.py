"""What the groups of a report are made of."""

from collections.abc import Iterable

import highdicom as hd
import numpy as np
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import NuclearMedicineImageStorage

from spectjax.dicom_results import codes as ours
from spectjax.dicom_results.subject import Subject
from spectjax.system.messages import make_printable

Group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations


def measure(
    name: Code, value: float, unit: Code, digits: int, *, derivation: Code | None = None
) -> hd.sr.Measurement:
    """Returns a number with so many digits after the point."""
    return hd.sr.Measurement(name, round(value, digits), unit, derivation=derivation)


def find_site(
    subject: Subject, site: Code, laterality: Code | None = None
) -> hd.sr.FindingSite:
    """Returns a place in the body, and from where it was seen."""
    view = ours.VIEWS[subject.seen.thorax.scan.view]
    return hd.sr.FindingSite(site, laterality, topographical_modifier=view)


def draw_region(subject: Subject, polygon: np.ndarray) -> hd.sr.ImageRegion:
    """Returns a polygon (N, 2) on the frame of a view."""
    source = hd.sr.SourceImageForRegion(
        NuclearMedicineImageStorage,  # `stamp` puts the file's own
        subject.header.dataset.SOPInstanceUID,
        subject.frame_numbers,
    )
    return hd.sr.ImageRegion("POLYLINE", polygon, source)


def comment(group: Group, sentences: Iterable[str]) -> None:
    """Adds sentences to a measurement group as comments."""
    for sentence in sentences:
        group[0].ContentSequence.append(
            hd.sr.TextContentItem(
                name=codes.DCM.Comment,
                value=make_printable(sentence),
                relationship_type="CONTAINS",
            )
        )
