"""Studies of small files and what a model says of them, for DICOM results."""

import highdicom as hd
import numpy as np
import pydicom
from pydicom.sr.codedict import codes

from spectjax.dicom_results import DicomResults
from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.hotspots import Instances
from spectjax.imaging.problems import Problems
from spectjax.imaging.thorax import CropTransform, ThoraxImage
from spectjax.tasks.classification.findings import describe_diagnoses
from spectjax.tasks.hotspots.findings import describe_hotspots
from spectjax.tasks.hotspots.instance_findings import describe_instances
from spectjax.tasks.views import Reading, SeenView
from tests.support.nm_files import BOTH, FRAMES, write_nm

WEIGHTS = {"model": "unet_res", "step": 7, "parameters_sha256": "ab" * 32}
BOX = (10, 4, 50, 29)  # of the crop, y0, x0, y1, x1
CANVAS = (48, 48)
# On the whole frame; the first has a hole, and a pixel that hangs on a corner.
RING = np.zeros((64, 33), bool)
RING[20:25, 10:15] = True
RING[22, 12], RING[25, 15] = False, True
BLOCK = np.zeros((64, 33), bool)
BLOCK[30:33, 6:10] = True


def write_study_file(path, frames=FRAMES, **elements):
    """A whole-body file whose header has what results take over; None: it has not."""
    stated = {
        "SeriesInstanceUID": "1.2.826.0.1.3680043.10.3",
        "AccessionNumber": "A-1",
        "StudyDate": "20240229",
        "StudyTime": "101112.5",
        **({} if "DetectorInformationSequence" in elements else BOTH),
        **elements,
    }
    absent = [keyword for keyword, value in stated.items() if value is None]
    with pydicom.config.disable_value_validation():
        write_nm(path, frames, **{k: v for k, v in stated.items() if v is not None})
        dataset = pydicom.dcmread(path)
        for keyword in absent:
            dataset.pop(keyword, None)
        dataset.save_as(path)
    return path


def see(scan, masks, *, kind="regions", flags=(), box=BOX, canvas=CANVAS):
    """A view of a scan in which a model of a kind sees masks on the frame.

    They have the probabilities 0.9, 0.8, ...; a classifier's is 0.9 of metastasis.
    """
    transform = CropTransform(box, scan.counts.shape, canvas)
    thorax = ThoraxImage(
        transform.apply(scan.counts), scan, transform, None, tuple(flags), None
    )
    scores = [0.9 - 0.1 * i for i in range(len(masks))]
    cut = np.array([transform.apply(mask) for mask in masks]).reshape(-1, *canvas)
    if kind == "class":
        answer = np.array([0.1, 0.9], np.float32)
    elif kind == "instances":
        boxes = np.tile(np.float32([1, 1, 40, 40]), (len(masks), 1))
        answer = Instances(
            boxes,
            np.float32(scores),
            np.ones(len(masks), np.int32),
            np.ones(len(masks), bool),
            cut.astype(bool),
        )
    else:
        hot = np.zeros(canvas, np.float32)
        for mask, score in zip(cut.astype(bool), scores, strict=True):
            hot[mask] = score
        answer = np.stack([1 - hot, hot], axis=-1)
    return SeenView(scan.path.stem + scan.view, thorax, canvas, answer)


DESCRIBE = {
    "regions": describe_hotspots,
    "instances": describe_instances,
    "class": describe_diagnoses,
}


def read_study(files, masks, *, kind="regions", flags=(), info=WEIGHTS, passed=(), **o):
    """What a model says of the views of files, in which it sees the same masks each."""
    scans = [scan for file in files for scan in read_bone_scans(file)]
    views = [see(scan, masks, kind=kind, flags=flags) for scan in scans]
    findings = DESCRIBE[kind](views, info, **o)
    return Reading(list(zip(views, findings, strict=True)), tuple(passed))


def write_results(product, reading, tmp_path, info=WEIGHTS):
    """Lets a product write a reading; returns the problems."""
    problems = Problems(tmp_path / "problems")
    product.begin("segmentation", info)
    product.write(reading, problems)
    product.finish()
    return problems


def write_objects(tmp_path, files, masks, *, also=(), name="dicom", **options):
    """A reading, and its objects by file name; `also` are the optional ones."""
    reading = read_study(files, masks, **options)
    product = DicomResults(tmp_path / name, **dict.fromkeys(also, True))
    problems = write_results(product, reading, tmp_path)
    assert problems.unexpected == 0, problems.log.read_text()
    (folder,) = (tmp_path / name).iterdir()
    return reading, {path.name: path for path in folder.iterdir()}


def groups_of(path):
    return hd.sr.srread(path).content.get_planar_roi_measurement_groups()


def area_of(points):
    x, y = np.asarray(points).T
    return (np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2


def evaluations_of(group):
    found = group.get_qualitative_evaluations()
    return {each.name.meaning: each.value.meaning for each in found}


def comments_of(group):
    items = hd.sr.utils.find_content_items(group[0], name=codes.DCM.Comment)
    return [each.value for each in items]
