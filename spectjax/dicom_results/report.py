"""The structured report of a study, TID 1500: what was read, and what was found there.

A measurement group for each view, whose region is the part that was read, and one for
each hotspot. Each has a region on the image: OHIF 3.13 shows nothing of a report in
which one group has none.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from spectjax.dicom_results import codes as ours
from spectjax.dicom_results.outline import draw_box, draw_outline
from spectjax.dicom_results.report_index import describe_index
from spectjax.dicom_results.report_parts import (
    Group,
    comment,
    draw_region,
    find_site,
    measure,
)
from spectjax.dicom_results.stamp import PLACEHOLDER, RESEARCH, stamp
from spectjax.dicom_results.subject import Study, Subject
from spectjax.imaging.canvas import WHOLE_FRAME
from spectjax.imaging.diagnosis import METASTASIS
from spectjax.imaging.dicom.views import make_item
from spectjax.imaging.dicom.whole_body import MAKER
from spectjax.system.messages import make_printable

if TYPE_CHECKING:
    from spectjax.bones.places import Place

_ROUGH = "The outline has too many corners: a box stands in, the segmentation is exact."


def make_report(study: Study, number: int) -> Dataset:
    """Returns the report, PRELIMINARY and UNVERIFIED: no person vouches for it.

    Args:
        study: with at least one view.
        number: of the series.
    """
    groups = [
        group for subject in study.subjects for group in _list_groups(study, subject)
    ]
    if study.burden is not None:
        groups.append(describe_index(study, study.burden, _identify(study.first)))
    files = [study.place(file) for file in study.files]
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(
            observer_device_context=hd.sr.ObserverContext(
                observer_type=codes.DCM.Device,
                observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
                    uid=study.model.uid,
                    name=MAKER,
                    manufacturer_name=MAKER,
                    model_name=study.model.name,
                ),
            )
        ),
        procedure_reported=_find_procedures(study),
        imaging_measurements=groups,
        language_of_content_item_and_descendants=(
            hd.sr.LanguageOfContentItemAndDescendants(
                hd.sr.CodedConcept("en", "RFC5646", "English")
            )
        ),
        referenced_images=files,
    )
    result = hd.sr.Comprehensive3DSR(
        evidence=files,
        content=content,
        series_instance_uid=PLACEHOLDER,
        series_number=number,
        sop_instance_uid=PLACEHOLDER,
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=study.model.name,
        is_complete=True,
        is_final=False,
        is_verified=False,
        performed_procedure_codes=[],
    )
    schemes = list(result.get("CodingSchemeIdentificationSequence") or ())
    result.CodingSchemeIdentificationSequence = [
        *schemes,
        make_item(
            CodingSchemeDesignator=ours.SCHEME,
            CodingSchemeName="spectjax local codes",
            CodingSchemeResponsibleOrganization=MAKER,
        ),
    ]
    stamp(result, study, "Hotspots SR")
    return result


def _find_procedures(study: Study) -> list[Code]:
    """Returns the procedure of the one template that knows one, and the hospital's."""
    found = [
        Code(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)
        for item in study.first.header.dataset.get("ProcedureCodeSequence") or ()
    ]
    return list(dict.fromkeys([ours.PROCEDURE, *found]))


def _list_groups(study: Study, subject: Subject) -> Iterator[Group]:
    algorithm = _identify(subject)
    yield _describe_view(study, subject, algorithm)
    for number in range(1, len(subject.hotspots) + 1):
        yield _describe_hotspot(subject, number, algorithm)


def _identify(subject: Subject) -> hd.sr.AlgorithmIdentification:
    """Returns which model spoke, and how it was asked."""
    return hd.sr.AlgorithmIdentification(
        name=subject.model.name,
        version=subject.model.version,
        parameters=list(_list_parameters(subject)),
        family=ours.ARTIFICIAL_INTELLIGENCE,
        manufacturer=MAKER,
    )


def _list_parameters(subject: Subject) -> Iterator[str]:
    """Yields what was asked of the model, and so what a mark and its score are."""
    document = subject.document
    yield make_printable(document["rule"])
    if operated := document.get("operation"):
        score, area = operated["score_above"], operated["min_area_mm2"]
        point = f"operating point {operated['point']}"
        yield f"{point}: score above {score:.6g}, {area:.6g} mm2 and more"


def _describe_view(study: Study, subject: Subject, algorithm: Any) -> Group:
    """Returns what was read of a view, and whether anything was found in it."""
    thorax = subject.seen.thorax
    is_marking = subject.finding.hotspots is not None
    is_whole = thorax.region == WHOLE_FRAME
    part = ours.WHOLE_BODY if is_whole else ours.THORAX
    name, uid = subject.track_view()
    group = Group(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=uid, identifier=name),
        referenced_region=draw_region(subject, draw_box(thorax.transform.box)),
        finding_type=part,
        finding_category=codes.SCT.AnatomicalStructure,
        finding_sites=[find_site(subject, part)],
        algorithm_id=algorithm,
        measurements=list(
            _count_lesions(subject) if is_marking else _list_probabilities(subject)
        )
        or None,
        qualitative_evaluations=[
            _judge_lesions(subject) if is_marking else _judge_class(subject),
            *([] if is_whole else [_judge_crop(subject)]),
            hd.sr.QualitativeEvaluation(
                ours.COMPLETENESS, ours.NOT_ALL_READ if study.unread else ours.ALL_READ
            ),
            hd.sr.QualitativeEvaluation(ours.USE, ours.RESEARCH_ONLY),
        ],
    )
    comment(group, [*subject.comments, *study.unread, RESEARCH])
    return group


def _count_lesions(subject: Subject) -> Iterator[hd.sr.Measurement]:
    """Yields how many there are; of a crop in doubt no number says that there is none.

    "No hotspot" of a crop that may show something else is no reading.
    """
    count = len(subject.hotspots)
    if count or not subject.seen.in_doubt:
        yield hd.sr.Measurement(codes.SCT.NumberOfLesions, count, ours.LESIONS_UNIT)


def _judge_lesions(subject: Subject) -> hd.sr.QualitativeEvaluation:
    value = ours.INDETERMINATE if subject.seen.in_doubt else ours.ABSENT
    return hd.sr.QualitativeEvaluation(
        ours.FINDING, ours.PRESENT if subject.hotspots else value
    )


def _judge_crop(subject: Subject) -> hd.sr.QualitativeEvaluation:
    by_hand = subject.seen.thorax.by_hand
    value = ours.CROP_BY_HAND if by_hand else ours.CROP_SURE
    return hd.sr.QualitativeEvaluation(
        ours.CROP, ours.CROP_DOUBT if subject.seen.in_doubt else value
    )


def _judge_class(subject: Subject) -> hd.sr.QualitativeEvaluation:
    if subject.seen.in_doubt:
        return hd.sr.QualitativeEvaluation(ours.MODEL_CLASS, ours.INDETERMINATE)
    is_metastasis = subject.document["diagnosis"]["label"].startswith(METASTASIS)
    return hd.sr.QualitativeEvaluation(
        ours.MODEL_CLASS, ours.MODEL_METASTASIS if is_metastasis else ours.MODEL_NORMAL
    )


def _list_probabilities(subject: Subject) -> Iterator[hd.sr.Measurement]:
    """Yields a classifier's probability, of the view and of all views of the study.

    Not of what may not be the thorax.
    """
    document = subject.document
    for name, said in (
        (ours.PROBABILITY, document["diagnosis"]),
        (ours.STUDY_PROBABILITY, document["examination"]),
    ):
        if not said["in_doubt"]:
            yield measure(name, 100 * said["probability"], codes.UCUM.Percent, 2)


def _describe_hotspot(subject: Subject, number: int, algorithm: Any) -> Group:
    hotspot = subject.hotspots[number - 1]
    name, uid = subject.track(number)
    polygon, is_exact = draw_outline(hotspot.mask)
    bone, laterality = _find_bone(hotspot.place)
    group = Group(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=uid, identifier=name),
        referenced_region=draw_region(subject, polygon),
        finding_type=ours.FINDING,
        finding_category=ours.FINDING_CATEGORY,
        finding_sites=[find_site(subject, bone, laterality)],
        algorithm_id=algorithm,
        measurements=[*_measure_hotspot(hotspot.entry), *_measure_place(hotspot.place)],
    )
    comment(group, [_ROUGH] * (not is_exact))
    comment(group, _describe_place(hotspot.place))
    return group


def _find_bone(place: "Place | None") -> tuple[Code, Code | None]:
    """Returns the code of a bone and its side; in doubt, or beside it: some bone."""
    if place is None or place.in_doubt or not place.on_bone:
        return codes.SCT.Bone, None
    kind = place.region.removeprefix(f"{place.side} ")
    return ours.BONES[kind], ours.SIDES[place.side] if place.side else None


def _measure_place(place: "Place | None") -> Iterator[hd.sr.Measurement]:
    """Yields how much of its bone a hotspot is; nothing in doubt, or beside it."""
    if place is None or place.in_doubt or not place.on_bone:
        return
    if place.share is not None:
        yield measure(ours.BONE_SHARE, 100 * place.share, codes.UCUM.Percent, 2)
    if place.mirror_ratio is not None:
        yield measure(ours.MIRROR_RATIO, place.mirror_ratio, ours.RATIO_UNIT, 2)


def _describe_place(place: "Place | None") -> Iterator[str]:
    if place is not None:
        doubt = f", in doubt: {place.in_doubt}" if place.in_doubt else ""
        yield f"Region of the skeleton: {place.words}{doubt}."


def _measure_hotspot(entry: Any) -> Iterator[hd.sr.Measurement]:
    """Yields what the view's JSON says of a hotspot; no area without a pixel's size."""
    if entry["area_mm2"] is not None:
        yield measure(codes.SCT.Area, entry["area_mm2"], codes.UCUM.SquareMillimeter, 1)
    for derivation, value in (
        (codes.SCT.Maximum, entry["max_counts"]),
        (codes.SCT.Mean, entry["counts"] / entry["area_px"]),
        (codes.SCT.Total, entry["counts"]),
    ):
        yield measure(ours.COUNTS, value, ours.COUNTS_UNIT, 2, derivation=derivation)
    # Rounding makes nothing certain.
    percent = min(100 * entry["score"], 99.9)
    yield measure(codes.DCM.CertaintyOfFinding, percent, codes.UCUM.Percent, 1)
