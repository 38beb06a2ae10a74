"""Storage Commitment (DICOM PS3.4, J): what is asked, and what is answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from spectjax.node.errands import Parcel

_ALL_KEPT, _SOME_LOST = 1, 2  # event types


@dataclass(frozen=True)
class Report:
    """What a destination says it keeps.

    Attributes:
        request: Transaction UID of the request.
        kept: SOP Instance UIDs.
        lost: likewise, of those that it does not keep.
    """

    request: str
    kept: Sequence[str]
    lost: Sequence[str]


def make_request(request: str, parcels: Sequence[Parcel]) -> Dataset:
    """Returns the action information that asks whether some objects are kept."""
    asked = Dataset()
    asked.TransactionUID = request
    asked.ReferencedSOPSequence = []
    for parcel in parcels:
        item = Dataset()
        item.ReferencedSOPClassUID = parcel.sop_class
        item.ReferencedSOPInstanceUID = parcel.uid
        asked.ReferencedSOPSequence.append(item)
    return asked


def read_report(event: Any) -> Report | None:
    """Returns what an N-EVENT-REPORT says; None if it is no report of this kind."""
    try:
        said = event.event_information
        request = str(said.TransactionUID)
        kept = _list_uids(said, "ReferencedSOPSequence")
        lost = _list_uids(said, "FailedSOPSequence")
    # Whatever a library makes of what cannot be read.
    except Exception:
        return None
    if event.event_type not in (_ALL_KEPT, _SOME_LOST):
        return None
    return Report(request, [uid for uid in kept if uid not in lost], lost)


def _list_uids(said: Dataset, keyword: str) -> list[str]:
    return [str(item.ReferencedSOPInstanceUID) for item in said.get(keyword) or ()]
