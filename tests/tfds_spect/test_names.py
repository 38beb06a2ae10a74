"""Tests of `tfds_spect.names`: what trains, what is held out, and who has to wait."""

import subprocess
import sys

import pytest

from spectjax.system.messages import ConfigError
from tfds_spect.names import Splits, choose_splits, find_canvas


def test_choose_splits_trains_on_copies_of_all_folds_but_the_held_out_one():
    splits = choose_splits("segmentation", 3)
    assert splits.train == (
        "fold0+fold0_augmented+fold1+fold1_augmented"
        "+fold2+fold2_augmented+fold4+fold4_augmented"
    )


def test_what_calibrates_is_never_scored():
    assert choose_splits("classification_d3", 3).calibration == (
        "fold0+fold1+fold2+fold4"
    )
    assert choose_splits("classification_d3", 3, 1).calibration == "fold1"
    assert choose_splits("classification_d3_leaking", 0).calibration == "train"


@pytest.mark.parametrize("fold", [-1, 5])
def test_choose_splits_refuses_a_fold_that_there_is_not(fold):
    with pytest.raises(ConfigError, match=f"data.fold={fold}: expected one of 0 to 4"):
        choose_splits("segmentation", fold)
    with pytest.raises(ConfigError, match=f"data.validation_fold={fold}: expected"):
        choose_splits("segmentation", 0, fold)


def test_choose_splits_scores_no_copies():
    assert choose_splits("segmentation", 3).held_out == "fold3"


def test_choose_splits_of_originals_has_no_copies():
    splits = choose_splits("segmentation", 0, 2, copies=False)
    assert splits == Splits("fold1+fold3+fold4", "fold0", "fold2")


def test_choose_splits_leaves_out_the_fold_that_validates():
    assert choose_splits("segmentation", 3, 0).train == (
        "fold1+fold1_augmented+fold2+fold2_augmented+fold4+fold4_augmented"
    )
    with pytest.raises(ConfigError, match="validation_fold=3 is held out already"):
        choose_splits("segmentation", 3, 3)


def test_choose_splits_of_a_leaking_data_set_is_the_papers_random_split():
    name = "segmentation_leaking_phantom"
    assert choose_splits(name, 3) == Splits("train", "test", None)
    with pytest.raises(ConfigError, match="take a data set of folds"):
        choose_splits(name, 3, 2)
    with pytest.raises(ConfigError, match="take a data set of folds"):
        choose_splits(name, 3, copies=False)


def test_names_wait_for_no_library_and_the_builder_is_there_when_asked_for():
    program = """
import sys
import spectjax.config, tfds_spect.names
print({"numpy", "tensorflow_datasets"} & set(sys.modules))
from tfds_spect import Builder
import tensorflow_datasets as tfds
print(tfds.builder_cls("tfds_spect") is Builder, hasattr(tfds_spect, "Other"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.split("\n")[:2] == ["set()", "True False"]


def test_images_of_whole_bodies_are_frames():
    assert find_canvas("segmentation_whole_body_phantom") == (1024, 256)
    assert find_canvas("segmentation_screening_phantom") == (256, 256)
