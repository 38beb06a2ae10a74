"""Tests of `spectjax.tasks.task`; segmentation is tested as it trains, too."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from spectjax.ops.normalisation import keep_images
from spectjax.tasks import TASKS, Elsewhere
from spectjax.tasks.classification.task import Classification
from spectjax.tasks.hotspots.segmentation import (
    Segmentation,
    choose_classes,
    coarsen,
)
from spectjax.tasks.losses import cross_entropy


class Brightness(nn.Module):
    """Log-odds of metastasis: the image's mean count, less a threshold."""

    @nn.compact
    def __call__(self, images, *, train):
        """Maps (B, H, W, 1) to (B, 2); in training drops every second image's."""
        threshold = self.param("threshold", nn.initializers.constant(3.0), ())
        log_odds = images.mean((1, 2, 3)) - threshold
        if train:
            log_odds *= jax.random.bernoulli(self.make_rng("dropout"), shape=())
        return jnp.stack([jnp.zeros_like(log_odds), log_odds], axis=-1)


TASK = Classification(Brightness(), keep_images, loss=cross_entropy)
# Log-odds 2, 1, -1 and -3: right, wrong, wrong, right.
IMAGES = np.array([5, 4, 2, 0], np.uint16)[:, None, None, None] * np.ones(
    (4, 2, 2, 1), np.uint16
)
LABELS = np.array([1, 0, 1, 0], np.int32)


@pytest.fixture
def variables(key):
    return TASK.init(key, (2, 2))


def test_classification_sums_valid_images_alone(variables):
    batch = {
        "images": IMAGES,
        "labels": LABELS,
        "valid": np.array([True, True, True, False]),
    }
    sums = TASK.compute_sums(variables, batch)
    assert int(sums["images"]) == 3
    assert int(sums["correct"]) == 1
    # -log sigmoid(2) - log sigmoid(-1) - log sigmoid(-1)
    np.testing.assert_allclose(sums["loss"], 0.126928 + 2 * 1.313262, rtol=1e-5)


def test_classification_summarises_as_the_papers_accuracy():
    scores = TASK.summarise({"images": 4.0, "loss": 6.0, "correct": 3.0})
    assert scores == {"loss": 1.5, "Acc": 0.75}


def test_predict_gives_the_probabilities_of_the_logits(variables):
    np.testing.assert_allclose(
        TASK.predict_logits(variables, IMAGES)[:, 1], [2, 1, -1, -3]
    )
    # 1 / (1 + e^-2), 1 / (1 + e^-1), ...
    np.testing.assert_allclose(
        TASK.predict(variables, IMAGES)[:, 1],
        [0.880797, 0.731059, 0.268941, 0.047426],
        rtol=1e-5,
    )


def test_compute_loss_is_the_mean_and_hands_its_key_to_dropout(variables):
    batch = {"images": IMAGES, "labels": LABELS}
    found = {
        float(TASK.compute_loss(variables["params"], {}, batch, jax.random.key(i))[0])
        for i in range(8)
    }
    # Kept: (0.126928 + 2 * 1.313262 + 0.048587) / 4; dropped: log 2.
    np.testing.assert_allclose(sorted(found), [0.693147, 0.70051], atol=1e-5)


class Leftmost(nn.Module):
    """Log-odds: the first column's count of each row, at the first column alone."""

    @nn.compact
    def __call__(self, images, *, train):
        """Maps (B, H, W, 1) to (B, H, W, 2); in training it says coarse logits too."""
        first = jnp.arange(images.shape[2]) == 0
        log_odds = images[..., 0] * first[None, None]
        if train:
            self.sow("auxiliary", "logits1", jnp.zeros((1, 1, 1, 2)))
            self.sow("auxiliary", "logits2", jnp.array([[[[0.0, 4.0]]]]))
        return jnp.stack([jnp.zeros_like(log_odds), log_odds], axis=-1)


ROW = np.array([[[[1], [2], [3], [6]]]], np.uint16)  # (1, 1, 4, 1)


def test_a_mirrored_task_averages_the_logits_of_image_and_mirror_image():
    task = Segmentation(Leftmost(), keep_images, loss=cross_entropy, mirrored=True)
    # The mirror image begins with 6, which is the last column of the image.
    np.testing.assert_array_equal(
        task.predict_logits({}, ROW)[0, 0, :, 1], [0.5, 0, 0, 3]
    )


def test_a_mirrored_classifier_averages_what_it_says_of_the_image(variables):
    class FirstColumn(Brightness):
        @nn.compact
        def __call__(self, images, *, train):
            return Brightness(name="whole")(images[:, :, :1], train=train)

    task = Classification(FirstColumn(), keep_images, loss=cross_entropy, mirrored=True)
    wrapped = {"params": {"whole": variables["params"]}}
    # First columns of image and mirror image: 1 and 6; less 3, halved.
    np.testing.assert_allclose(task.predict_logits(wrapped, ROW)[:, 1], [0.5])


def test_coarse_logits_count_half_and_a_quarter():
    def loss(logits, labels):
        return logits[..., 1].sum((1, 2)) + 10.0 * labels.sum((1, 2))

    task = Segmentation(Leftmost(), keep_images, loss=loss)
    batch = {
        "images": np.ones((1, 2, 2, 1), np.uint16),
        "masks": np.array([[[0, 1], [0, 1]]], np.uint8),
    }
    # Fine: 1 + 1 and two lesion pixels, 22; coarse: a lesion pixel, 10, then 14.
    expected = (22 + 10 / 2 + 14 / 4) / (1 + 1 / 2 + 1 / 4)
    found = task.compute_loss({}, {}, batch, jax.random.key(0))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_coarsen_takes_the_commonest_class_and_the_lesion_in_a_tie():
    labels = jnp.array([[[0, 1, 0, 2], [0, 1, 0, 0], [2, 2, 1, 0], [0, 2, 0, 1]]])
    assert coarsen(labels, (1, 2, 2, 3)).tolist() == [[[1, 0], [2, 1]]]
    assert coarsen(labels, (1, 1, 1, 3)).tolist() == [[[0]]]


def list_places(row):
    """All `Elsewhere` of a row."""
    values = [getattr(row, field.name) for field in dataclasses.fields(row)]
    parts = [
        x for value in values for x in (value if type(value) is tuple else [value])
    ]
    return [part for part in parts if isinstance(part, Elsewhere)]


@pytest.mark.parametrize("task", TASKS)
def test_whatever_a_row_names_elsewhere_is_there(task):
    places = list_places(TASKS[task])
    assert len(places) >= 6
    assert all(callable(place()) or type(place()) is tuple for place in places)


def test_a_pixel_has_its_most_probable_class_and_the_first_of_equal_ones(key):
    logits = jax.random.randint(key, (2, 5, 7, 4), 0, 3).astype(float)  # many tie
    np.testing.assert_array_equal(choose_classes(logits), jnp.argmax(logits, axis=-1))
