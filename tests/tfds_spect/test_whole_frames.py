"""A data set of whole bodies: nothing is cropped, and lesions anywhere count."""

import pathlib
import shutil

import numpy as np
import pydicom
import pytest

from spectjax.imaging.annotations.consensus import agree
from spectjax.imaging.annotations.image_names import fold_name
from spectjax.imaging.canvas import FRAME_HW
from spectjax.imaging.dicom.reading import find_bone_scans
from spectjax.input_pipeline import load_examples
from tfds_spect.opening import open_data_set
from tfds_spect.prepare import prepare
from tfds_spect.reading import open_split
from tfds_spect.source import read_again, read_source

NAME = "segmentation_whole_body"


def change(path, **attributes):
    dataset = pydicom.dcmread(path)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path.stem


def test_images_are_frames_and_masks_all_that_readers_agree_upon(hospital, tmp_path):
    asked = {"data_dir": tmp_path, "manual_dir": hospital}
    prepared = prepare(NAME, processes=1, **asked)
    assert prepared.regions == {
        "whole_frame": len(list((hospital / "annotations/reader1").iterdir()))
    }
    info = open_data_set(prepared.builder_dir).info
    assert info.features["image"].shape == (*FRAME_HW, 1)
    examples = {
        bytes(example["source"]).decode(): example
        for split in info.splits
        for example in open_split(prepared.builder_dir, split)
    }
    originals, _ = read_source(hospital, whole_frames=True)
    pixels = 0
    for original in originals:
        example, file = examples[original.source], original.place.file
        scans, _ = find_bone_scans([file.path])
        (scan,) = (each for each in scans if each.name == original.place.name)
        assert np.array_equal(example["image"][..., 0], scan.counts)
        assert example["crop_box"].tolist() == [0, 0, *FRAME_HW]
        wanted = agree(file.annotations[fold_name(scan.name)], scan.counts.shape)
        assert np.array_equal(example["mask"], wanted.numbers > 0)
        assert len(example["instance_masks"]) == len(wanted.labels)
        pixels += example["mask"].sum()
    # Of thoraxes it would be fewer.
    assert pixels > sum(np.sum(each.lesions > 0) for each in read_source(hospital)[0])
    (split, *_) = info.splits
    loaded = load_examples(prepared.builder_dir, split)
    assert (loaded.images.shape[1:3], loaded.regions) == (FRAME_HW, ("whole_frame",))


def test_what_was_kept_without_pixels_is_read_again_as_a_frame(hospital):
    without, _ = read_source(hospital, keep_pixels=False, whole_frames=True)
    assert read_again(without[0]).counts.shape == FRAME_HW


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"PixelSpacing": [4.6, 4.6]}, "pixels of 4.6x4.6 mm; expected 2 to 2.6 mm"),
        ({"PixelSpacing": [2.4, 2.1]}, "expected square pixels, found"),
        (
            {
                "Rows": 1152,
                "Columns": 288,
                "PixelData": bytes(2 * 1152 * 288 - 2) + b"1",
            },
            "a frame of 1152x288 pixels; expected at most 1024x256",
        ),
    ],
)
def test_other_frames_are_left_out_with_the_reason(
    hospital, tmp_path, attributes, reason
):
    copy = pathlib.Path(shutil.copytree(hospital, tmp_path / "copy"))
    stem = change(sorted((copy / "dicom").iterdir())[0], **attributes)
    originals, skips = read_source(copy, whole_frames=True)
    assert originals
    assert any(stem in s.name and reason in s.reason for s in skips), skips
