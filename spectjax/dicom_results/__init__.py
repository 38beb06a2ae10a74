"""Results as DICOM objects that an archive takes: segmentations, report, pictures.

What is written, how to read it and what it is not for: docs/dicom_results.md. The
package highdicom, of the extra `dicom`, is loaded by `DicomResults` alone.
"""

from spectjax.dicom_results.product import DicomResults

__all__ = ["DicomResults"]
