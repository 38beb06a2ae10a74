"""spectjax: bone scintigraphy in JAX, from NM DICOM files to hotspots."""

import sys

from spectjax.system.interruption import tell_interruption

__version__ = "0.1.0"

if sys.argv[:1] == ["-m"]:  # a command whose modules are about to be loaded
    sys.excepthook = tell_interruption
