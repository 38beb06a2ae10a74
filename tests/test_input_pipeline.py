"""Tests of `spectjax.input_pipeline`."""

import numpy as np
import pytest

from spectjax.input_pipeline import draw_batches, load_examples
from tests.support.examples import make_examples
from tfds_spect.prepare import prepare


def test_draw_batches_takes_whole_batches_without_repetition():
    batches = draw_batches(11, 3, seed=0, epoch=0)
    assert batches.shape == (3, 3)
    assert len(set(batches.ravel().tolist()) & set(range(11))) == 9


def test_draw_batches_depends_on_seed_and_epoch_alone():
    def draw(seed, epoch):
        return draw_batches(12, 3, seed=seed, epoch=epoch).tolist()

    assert draw(1, 2) == draw(1, 2)
    assert draw(1, 2) != draw(1, 3)
    assert draw(1, 2) != draw(2, 2)
    assert draw(1, 2) != draw(2, 1)


def test_read_keeps_images_and_masks_together():
    batch = make_examples(7).read([5, 2])
    np.testing.assert_array_equal(batch["images"][..., 0], batch["masks"])
    assert batch["images"][:, 0, 0, 0].tolist() == [5, 2]


def test_crop_centre_keeps_the_middle_of_images_and_masks():
    examples = make_examples(1)
    examples.images[0, 1:3, 2:4, 0] = examples.masks[0, 1:3, 2:4] = 9
    cropped = examples.crop_centre((2, 4))
    np.testing.assert_array_equal(cropped.masks[0], [[0, 9, 9, 0], [0, 9, 9, 0]])
    np.testing.assert_array_equal(cropped.images[..., 0], cropped.masks)


def test_crop_centre_names_a_size_that_exceeds_the_images():
    with pytest.raises(ValueError, match=r"train_hw=\(2, 8\) exceeds .* 4x6 pixels"):
        make_examples(1).crop_centre((2, 8))


def test_load_examples_keeps_images_that_are_scaled_to_one(hospital, tmp_path):
    name = "classification_d2"
    prepared = prepare(name, data_dir=str(tmp_path), manual_dir=str(hospital))
    examples = load_examples(prepared.builder_dir, "fold0+fold0_augmented")
    assert examples.images.dtype == np.float32
    assert (examples.images.min(axis=(1, 2, 3)) == 0).all()
    assert (examples.images.max(axis=(1, 2, 3)) == 1).all()
    assert len(np.unique(examples.images[0])) > 10
    assert not examples.leaking


def test_a_data_set_without_copies_names_the_way_to_do_without(hospital, tmp_path):
    name = "segmentation_originals"
    prepared = prepare(name, data_dir=str(tmp_path), manual_dir=str(hospital))
    with pytest.raises(ValueError, match="no split fold1_augmented; .*=online"):
        load_examples(prepared.builder_dir, "fold1+fold1_augmented")
    with pytest.raises(ValueError, match=r"no split fold9; it has [a-z0-9, ]*\.$"):
        load_examples(prepared.builder_dir, "fold9")
