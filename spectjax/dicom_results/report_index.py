"""How much of the skeleton is marked, as a group of a report; or why it is not told."""

from collections.abc import Iterator

import highdicom as hd
from pydicom.sr.codedict import codes

from spectjax.bones.burden import METHOD, Burden
from spectjax.dicom_results import codes as ours
from spectjax.dicom_results.outline import draw_box
from spectjax.dicom_results.report_parts import Group, comment, draw_region, measure
from spectjax.dicom_results.stamp import RESEARCH
from spectjax.dicom_results.subject import Study


def describe_index(
    study: Study, burden: Burden, algorithm: hd.sr.AlgorithmIdentification
) -> Group:
    """Returns the group of a study's index; its region is what was read of one view.

    An index that is withheld leaves no number.
    """
    name = ours.INDICES[burden.extent]
    box = study.first.seen.thorax.transform.box
    title, uid = study.track_index(burden.title)
    told = ours.INDEX_WITHHELD if burden.index is None else ours.INDEX_TOLD
    group = Group(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=uid, identifier=title),
        referenced_region=draw_region(study.first, draw_box(box)),
        finding_type=name,
        finding_category=codes.SCT.AnatomicalStructure,
        finding_sites=[hd.sr.FindingSite(ours.EXTENTS[burden.extent])],
        algorithm_id=algorithm,
        measurements=list(_list_numbers(burden)) or None,
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(ours.INDEX_STATE, told),
            hd.sr.QualitativeEvaluation(ours.USE, ours.RESEARCH_ONLY),
        ],
    )
    method = f"Index: {METHOD}. No volume is known."
    note = [burden.interval_note] * (burden.interval is not None)
    comment(group, [burden.sentence, *note, method, RESEARCH])
    return group


def _list_numbers(burden: Burden) -> Iterator[hd.sr.Measurement]:
    """Yields the index, of both views and of each, and its interval."""
    if burden.index is None:
        return
    name, percent = ours.INDICES[burden.extent], codes.UCUM.Percent
    value = round(burden.index.percent, 3)
    yield hd.sr.Measurement(name, value, percent, method=ours.INDEX_METHOD)
    for view, value in burden.index.views.items():
        site = hd.sr.FindingSite(
            ours.EXTENTS[burden.extent], topographical_modifier=ours.VIEWS[view]
        )
        yield hd.sr.Measurement(
            ours.INDEX_OF_VIEW,
            round(value, 3),
            percent,
            method=ours.INDEX_METHOD,
            finding_sites=[site],
        )
    yield measure(ours.INDEX_MASS, burden.index.mass_percent, percent, 1)
    if burden.interval:
        low, high = burden.interval
        yield measure(ours.INTERVAL_LOW, low, percent, 3)
        yield measure(ours.INTERVAL_HIGH, high, percent, 3)
