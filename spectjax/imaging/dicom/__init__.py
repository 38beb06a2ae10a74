"""NM DICOM files in, bone scans out."""

from spectjax.imaging.dicom.reading import find_bone_scans, read_bone_scans

__all__ = ["find_bone_scans", "read_bone_scans"]
