"""Tests of `spectjax.tasks.losses`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.tasks.losses import LOSSES, cross_entropy, dice_cross_entropy, soft_dice

LABELS = jnp.array([[[0, 0], [0, 1]]])  # (1, 2, 2): one foreground pixel of four
# Logits whose softmax is (3/4, 1/4) in the first row and (1/4, 3/4) in the second.
LOGITS = jnp.log(jnp.array([[[[3.0, 1], [3, 1]], [[1, 3], [1, 3]]]]))


def certain(labels, num_classes=2):
    """Logits (..., K) that leave no doubt of `labels`."""
    return 100.0 * jax.nn.one_hot(labels, num_classes)


def test_cross_entropy_matches_hand_computation():
    # The label has probability 3/4 in three pixels and 1/4 in one.
    expected = -(3 * np.log(3 / 4) + np.log(1 / 4)) / 4
    np.testing.assert_allclose(cross_entropy(LOGITS, LABELS), [expected], rtol=1e-6)


def test_soft_dice_matches_hand_computation():
    # Foreground: overlap 3/4, total (1/4 + 1/4 + 3/4 + 3/4) + 1 = 3.
    loss = soft_dice(LOGITS, LABELS, smooth=1.0)
    np.testing.assert_allclose(loss, [1 - (2 * 0.75 + 1) / (3 + 1)], rtol=1e-6)


def test_soft_dice_averages_over_foreground_classes():
    labels = jnp.array([[[0, 1], [2, 2]]])
    logits = certain(jnp.array([[[0, 1], [1, 2]]]), num_classes=3)
    # Class 1: overlap 1, total 2 + 1. Class 2: overlap 1, total 1 + 2.
    np.testing.assert_allclose(soft_dice(logits, labels), [1 - 3 / 4], rtol=1e-6)


def test_dice_cross_entropy_is_the_sum():
    expected = cross_entropy(LOGITS, LABELS) + soft_dice(LOGITS, LABELS)
    np.testing.assert_allclose(dice_cross_entropy(LOGITS, LABELS), expected)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_of_a_certain_truth_are_zero(name):
    np.testing.assert_allclose(LOSSES[name](certain(LABELS), LABELS), [0], atol=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_of_one_image_ignore_the_rest_of_the_batch(name):
    logits = jax.random.normal(jax.random.key(0), (3, 2, 2, 2))
    labels = jnp.concatenate([LABELS, 1 - LABELS, jnp.zeros_like(LABELS)])
    alone = [LOSSES[name](logits[i : i + 1], labels[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(LOSSES[name](logits, labels), alone, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_have_finite_gradients_without_foreground(name):
    empty = jnp.zeros_like(LABELS)
    for logits in (certain(empty), certain(1 - empty), jnp.zeros((1, 2, 2, 2))):
        gradient = jax.grad(lambda x: LOSSES[name](x, empty).sum())(logits)
        assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_are_float32_for_bfloat16_logits(name):
    assert LOSSES[name](LOGITS.astype(jnp.bfloat16), LABELS).dtype == jnp.float32


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_reject_one_hot_labels(name):
    with pytest.raises(ValueError, match=r"labels \(B, ...\)"):
        LOSSES[name](LOGITS, jax.nn.one_hot(LABELS, 2))


def test_soft_dice_does_not_ask_for_a_class_that_is_not_there():
    empty = jnp.zeros_like(LABELS)
    np.testing.assert_array_equal(soft_dice(LOGITS, empty), [0])
    # Cross-entropy does: the first row has probability 3/4, the second 1/4.
    expected = -(np.log(3 / 4) + np.log(1 / 4)) / 2
    np.testing.assert_allclose(dice_cross_entropy(LOGITS, empty), [expected], rtol=1e-6)
    # Of three classes the second is there, overlap 1 of 2 + 1; the third is not.
    logits = certain(jnp.array([[[0, 1], [1, 2]]]), num_classes=3)
    found = soft_dice(logits, jnp.array([[[0, 1], [0, 0]]]))
    np.testing.assert_allclose(found, [1 - 3 / 4], rtol=1e-6)


@pytest.mark.parametrize("loss", [cross_entropy, dice_cross_entropy])
def test_class_weights_weigh_pixels_by_their_label(loss):
    weighted = loss(LOGITS, LABELS, class_weights=(1, 5))
    # Two background pixels of probability 3/4, one of 1/4; the lesion's 3/4 five times.
    expected = -(2 * np.log(3 / 4) + np.log(1 / 4) + 5 * np.log(3 / 4)) / 8
    if loss is dice_cross_entropy:
        expected += 1 - (2 * 0.75 + 1) / (3 + 1)
    np.testing.assert_allclose(weighted, [expected], rtol=1e-6)
    equal = loss(LOGITS, LABELS, class_weights=(2, 2))
    np.testing.assert_allclose(equal, loss(LOGITS, LABELS), rtol=1e-6)


def test_class_weights_weigh_whole_images_as_they_are():
    logits = jnp.log(jnp.array([[3.0, 1], [1, 3]]))
    found = cross_entropy(logits, jnp.array([0, 0]), class_weights=(3, 1))
    np.testing.assert_allclose(found, [3 * np.log(4 / 3), 3 * np.log(4)], rtol=1e-6)


@pytest.mark.parametrize("weights", [(1,), (1, 2, 3), (1, 0)])
def test_class_weights_that_do_not_fit_the_classes_are_refused(weights):
    with pytest.raises(ValueError, match="2 class weights above 0"):
        cross_entropy(LOGITS, LABELS, class_weights=weights)
