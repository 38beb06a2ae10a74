"""spectjax: bone scintigraphy in JAX, from NM DICOM files to hotspots."""

__version__ = "0.1.0"
