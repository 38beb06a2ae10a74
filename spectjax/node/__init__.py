"""A DICOM node: studies come in by C-STORE, results go back. See docs/node.md."""
