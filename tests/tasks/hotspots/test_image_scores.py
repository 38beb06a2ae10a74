"""Tests of `spectjax.tasks.hotspots.image_scores`: labels that teach pixels."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy import ndimage

from spectjax.config import ConfigError, check_config
from spectjax.system.messages import UserError
from spectjax.tasks.hotspots.evaluate import evaluate
from spectjax.tasks.hotspots.image_scores import pool_logits, pool_probabilities
from spectjax.tasks.hotspots.metrics_sections import SegmentationRun
from spectjax.tasks.hotspots.segmentation import Segmentation
from spectjax.training.assembly import create_task
from spectjax.training.loop import train
from tests.support.examples import make_spots, store
from tests.support.finished_runs import make_run
from tests.support.tiny_runs import make_config, read_log, read_state
from tests.support.typed_dicts import find_fault

HOW = ("log_sum_exp", "top_k")


def test_pooling_gives_the_numbers_of_a_calculation_by_hand():
    # Odds of 1 and 19 make 20, two small lesions' worth; their mean is 10 by logs.
    odds = np.log(np.array([1.0, 19.0], np.float32)).reshape(1, 1, 2)
    logits = jnp.stack([jnp.zeros_like(odds), odds], axis=-1) + 3
    np.testing.assert_allclose(pool_logits(logits, HOW[0]), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(pool_logits(logits, HOW[1]), np.log(19) / 2, rtol=1e-6)
    # Ten of twenty pixels count, whatever the order.
    odds = np.random.default_rng(0).permutation(20).astype(np.float32)
    logits = jnp.stack([jnp.zeros(20), odds], axis=-1).reshape(1, 4, 5, 2)
    np.testing.assert_allclose(pool_logits(logits, HOW[1]), 14.5)


@pytest.mark.parametrize("how", HOW)
def test_probabilities_pool_as_logits_do(how):
    logits = jnp.array(np.random.default_rng(1).normal(size=(3, 4, 5, 3)) * 4)
    probs = np.asarray(jax.nn.softmax(logits))
    pooled = pool_probabilities(probs, how)
    np.testing.assert_allclose(pooled, pool_logits(logits, how), rtol=1e-4)


class Says(nn.Module):
    """Its logits are its parameters."""

    @nn.compact
    def __call__(self, images, train):
        """Returns them."""
        return self.param("logits", nn.initializers.zeros, (2, 4, 5, 2))


def judge(image_score, outlined):
    """Returns the loss, its gradient and the sums of two images, an abnormal one first.

    The readers marked one pixel of each.
    """
    masks = jnp.zeros((2, 4, 5), jnp.int32).at[:, 1, 2].set(1)
    batch = {
        "images": jnp.ones((2, 4, 5, 1)),
        "masks": masks,
        "labels": jnp.array([1, 0]),
        "outlined": jnp.array(outlined),
    }
    task = Segmentation.create(
        loss="cross_entropy",
        class_weights=(1.0, 3.0),
        model=Says(),
        normalise=lambda x: x,
        image_score=image_score,
    )
    logits = jax.random.normal(jax.random.key(2), (2, 4, 5, 2))
    compute = jax.jit(jax.value_and_grad(task.compute_loss, has_aux=True))
    (loss, (_, sums)), gradient = compute(
        {"logits": logits}, {}, batch, jax.random.key(0)
    )
    return float(loss), np.asarray(gradient["logits"]), sums, logits, task


@pytest.mark.parametrize("how", HOW)
def test_an_image_learns_from_its_outline_or_else_from_its_label(how):
    _, by_pixels, _, logits, _ = judge("none", [True, True])
    _, mixed, sums, _, task = judge(how, [True, False])
    np.testing.assert_array_equal(mixed[0], by_pixels[0])
    # d/ds of log(1 + exp(s)) for a normal image, half of it in a batch of two.
    slope = jax.nn.sigmoid(pool_logits(logits[1:], how))[0] / 2
    np.testing.assert_allclose(mixed[1, ..., 1].sum(), slope, rtol=1e-5)
    np.testing.assert_allclose(mixed[1].sum(axis=-1), 0, atol=1e-7)
    assert sums["pixels"] == 20 and np.isfinite(mixed).all()

    _, alone, sums, _, _ = judge(how, [False, False])
    assert alone[0, ..., 1].max() <= 0 and sums["pixels"] == 0
    said = task.summarise({name: float(x) for name, x in sums.items()})
    assert np.isnan(said["PA"]) and np.isnan(said["IoU"]) and said["loss"] > 0


def say(outlined):
    return [("none", "outlines")[bool(each)] for each in outlined]


def make_labelled(n):
    """Spots as labels alone; every second image is normal and shows none."""
    examples = make_spots(n)
    normal = np.arange(n) % 2 == 0
    images = examples.images.copy()
    images[normal] = np.minimum(images[normal], 8)
    masks = np.zeros_like(examples.masks)
    return dataclasses.replace(
        examples, images=images, masks=masks, mask_evidence=["none"] * n
    ), examples.masks


@pytest.mark.parametrize("how", HOW)
def test_labels_alone_teach_where_the_spots_are(tmp_path, how):
    examples, spots = make_labelled(16)
    config = make_config(
        **{
            "image_score": how,
            "data.name": "segmentation_labels_phantom",
            # Others would tell by the background whether there is a spot.
            "data.normalisation": "divide_by_255",
            "data.train_hw": (10, 12),
            "data.batch_size": 4,
            "model.features": (4,),
            "num_epochs": 12,
            "optimizer.learning_rate": 0.03,
        }
    )
    train(config, tmp_path, examples)
    log = read_log(tmp_path)
    assert log[0]["PA"] == "nan" and float(log[-1]["loss"]) < float(log[0]["loss"]) / 2
    probs = np.asarray(
        create_task(config).predict(read_state(tmp_path).variables, examples.images)
    )
    pooled = pool_probabilities(probs, how)
    assert pooled[examples.labels == 1].min() > pooled[examples.labels == 0].max()
    for row in np.flatnonzero(examples.labels):
        # The network sees five pixels at once: it may point beside a spot.
        near = ndimage.binary_dilation(spots[row], np.ones((3, 3)))
        assert near.flat[probs[row, ..., 1].argmax()]


def predict_probs(images):
    """The odds of a pixel are its counts over 20."""
    odds = images[..., 0] / 20
    return np.stack([1 / (1 + odds), odds / (1 + odds)], axis=-1)


def test_a_run_is_scored_on_labels_where_nobody_outlined(tmp_path):
    examples, spots = make_labelled(8)
    rows = np.array([1, 3])  # abnormal ones that were outlined
    masks, outlined = examples.masks.copy(), examples.outlined.copy()
    masks[rows], outlined[rows] = spots[rows], True
    examples = dataclasses.replace(
        examples,
        masks=masks,
        mask_evidence=say(outlined),
        views=["anterior", "posterior"] * 4,
    )
    run = make_run(predict_probs, examples, tmp_path, image_score="log_sum_exp")
    metrics = evaluate(run)
    assert find_fault(metrics, SegmentationRun) == ""
    # Four normal ones and two with outlines; those with a label alone say nothing here.
    assert (metrics["n_images"], metrics["n_images_without_lesion"]) == (6, 4)
    assert metrics["lesion"]["n"] == 2
    images = metrics["images"]
    assert (images["score"], images["n_without_outlines"]) == ("log_sum_exp", 6)
    everything = images["by_view"]["all"]
    assert (everything["n"], everything["n_metastasis"]) == (8, 4)
    assert everything["auc"] == 1
    assert images["by_view"]["posterior"]["auc"] is None  # abnormal ones alone
    table = (tmp_path / "table.md").read_text()
    assert "2 images have a label and no outlines" in table
    assert "on 2 that somebody outlined and 4 that are normal by their label" in table
    assert "| anterior | 4 | 0 |" in " ".join(table.split())

    alone = examples.select((examples.labels == 1) & ~outlined)
    with pytest.raises(UserError, match="outlined or normal, found none among 2"):
        evaluate(make_run(predict_probs, alone, tmp_path, image_score="top_k"))


def test_examples_on_disk_tell_as_those_in_memory_do():
    examples, _ = make_labelled(4)
    examples = dataclasses.replace(
        examples, mask_evidence=say([True, False, True, False]), told=True
    )
    for found in (examples, dataclasses.replace(store(examples), told=True)):
        np.testing.assert_array_equal(found.read([1, 2])["outlined"], [False, True])
        silent = dataclasses.replace(found, told=False)
        assert "outlined" not in silent.read([1, 2])


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"data.name": "segmentation_labels"}, "would teach that they show nothing"),
        (
            {"task": "instance_segmentation", "image_score": "top_k"},
            "none for --config.task=instance_segmentation",
        ),
        ({"image_score": "mean"}, "known are none, log_sum_exp, top_k"),
    ],
)
def test_what_cannot_be_learned_is_refused(changes, fault):
    with pytest.raises(ConfigError, match=fault):
        check_config(make_config(**changes))
