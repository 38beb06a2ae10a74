"""Puts simulated hotspots into the thorax of a real whole-body scan.

    python scripts/insert_hotspots.py --output=OUT.dcm SCAN.dcm

A real scan without an annotation cannot say whether a model finds anything. This one
can: three round hotspots with a full width at half maximum of 19 mm, on a rib of each
side and on the spine, Poisson counts with a peak of `--contrast` times the thorax's
median on top of what was measured. The places are printed in whole-body pixels, and the
new file says SYNTHETIC.
"""

from pathlib import Path
from typing import cast

import numpy as np
import pydicom
from absl import flags

from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.thorax import crop_thorax
from spectjax.system.commands import define_path, read_paths, run_command
from spectjax.system.locks import hold
from spectjax.system.messages import UserError

_OUTPUT = define_path("output", "DICOM file to write.", required=True)
_CONTRAST = flags.DEFINE_float("contrast", 2.0, "Peak, in medians of the thorax.")

# Row and column in the crop's box, as shares of its height and width.
_PLACES = ((0.55, 0.16), (0.78, 0.88), (0.86, 0.5))
_FWHM_MM = 19.0


def main(arguments: list[str]) -> None:
    """Writes the scan with its hotspots and prints where they are."""
    if len(arguments) != 2:
        raise UserError("Expected one DICOM file after the flags.")
    (path,) = read_paths(arguments)
    scan = read_bone_scans(path)[0]
    thorax = crop_thorax(scan)
    y0, x0, y1, x1 = thorax.transform.box
    rows, columns = np.indices(scan.counts.shape)
    sigma_px = _FWHM_MM / 2.355 / (scan.spacing_mm[0] if scan.spacing_mm else 2.3)
    median = np.median(thorax.counts[thorax.counts > 0])
    expected = np.zeros(scan.counts.shape)
    for row_share, column_share in _PLACES:
        row = round(y0 + row_share * (y1 - y0))
        column = round(x0 + column_share * (x1 - x0))
        distance = (rows - row) ** 2 + (columns - column) ** 2
        expected += np.exp(-distance / (2 * sigma_px**2))
        print(f"hotspot at row {row}, column {column}")
    inserted = np.random.default_rng(0).poisson(_CONTRAST.value * median * expected)

    dataset = pydicom.dcmread(path)
    counts = np.minimum(np.rint(scan.counts) + inserted, 65535).astype(np.uint16)
    dataset.set_pixel_data(counts, "MONOCHROME2", bits_stored=16)  # and a new UID
    dataset.ImageComments = "SYNTHETIC hotspots in a real scan"
    output = cast(Path, _OUTPUT.value)
    with hold(output.parent, name=f".{output.name}.lock"):
        dataset.save_as(output)


if __name__ == "__main__":
    run_command(main)
