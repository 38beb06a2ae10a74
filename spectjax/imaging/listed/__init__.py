"""Pictures and DICOM files that a table names, with what it says of them."""
