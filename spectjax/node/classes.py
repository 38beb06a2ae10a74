"""SOP classes of services, DICOM PS3.6, Table A-1."""

from pydicom.uid import UID

VERIFICATION = UID("1.2.840.10008.1.1")
COMMITMENT = UID("1.2.840.10008.1.20.1")  # Storage Commitment Push Model
COMMITMENT_INSTANCE = UID("1.2.840.10008.1.20.1.1")
FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")  # Study Root Query/Retrieve
