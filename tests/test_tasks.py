"""Tests of `spectjax.tasks`: classification; segmentation is tested as it trains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from spectjax.losses import cross_entropy
from spectjax.normalisation import keep_images
from spectjax.tasks import Classification


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


TASK = Classification(Brightness(), cross_entropy, keep_images)
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
