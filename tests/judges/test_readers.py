"""highdicom and dcmqi, on which 3D Slicer builds, read the masks back, each pixel."""

import gzip
import json
import pathlib
import subprocess
import sys

import numpy as np
import pydicom
import pytest

from tests.support.judge_tools import need
from tests.support.judged_studies import LAYOUTS

pytestmark = pytest.mark.judge
MARKED = [name for name, layout in LAYOUTS.items() if layout.masks]


def pairs_of(study):
    """Each view of a study, its masks, and the file of its segmentation."""
    for view, finding in study.reading.views:
        scan = view.thorax.scan
        masks = [hotspot.mask for hotspot in finding.hotspots]
        yield scan, masks, study.results[f"seg_{scan.view}.dcm"]


@pytest.mark.parametrize("layout", MARKED)
def test_highdicom_reads_the_masks_back(studies, layout):
    import highdicom as hd

    for scan, masks, path in pairs_of(studies[layout]):
        seg = hd.seg.segread(path)
        source = pydicom.dcmread(scan.path)
        uid, frames = source.SOPInstanceUID, source.get("NumberOfFrames", 1)
        if frames > 1:
            (pixels,) = seg.get_pixels_by_source_frame(uid, [scan.frame + 1])
        else:
            (pixels,) = seg.get_pixels_by_source_instance([uid])
        assert np.array_equal(np.moveaxis(pixels, -1, 0), masks)


@pytest.mark.parametrize("layout", MARKED)
def test_dcmqi_reads_the_masks_back(studies, layout, tmp_path):
    for scan, masks, path in pairs_of(studies[layout]):
        assert np.array_equal(read_with_dcmqi(path, tmp_path / scan.view), masks)


def read_with_dcmqi(path, folder):
    """The masks of a segmentation, (n, H, W): dcmqi makes a file of each group."""
    need("dcmqi")
    folder.mkdir()
    program = pathlib.Path(sys.executable).parent / "segimage2itkimage"
    place = ["--outputDirectory", folder, "--prefix", "a", "--outputType", "nrrd"]
    subprocess.run(
        [program, "--inputDICOM", path, *place], check=True, capture_output=True
    )
    groups = json.loads((folder / "a-meta.json").read_text())["segmentAttributes"]
    masks = {}
    for number, group in enumerate(groups, 1):
        labels = read_nrrd(folder / f"a-{number}.nrrd")
        for segment in group:
            masks[segment["TrackingIdentifier"]] = labels == segment["labelID"]
    return [masks[name] for name in sorted(masks)]


def read_nrrd(path):
    """The labels of a compressed NRRD file of one slice, (H, W)."""
    header, _, content = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines()[3:])
    assert (fields["type"], fields["encoding"]) == ("short", "gzip")
    columns, rows, slices = map(int, fields["sizes"].split())
    assert slices == 1
    return np.frombuffer(gzip.decompress(content), "<i2").reshape(rows, columns)
