"""Whole-body files without their patients: DICOM PS3.15 Annex E, Basic Profile."""
