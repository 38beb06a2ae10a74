"""The benchmark of Mask R-CNN measures on both sides what it says.

torchvision, and the stand-ins for its compiled operators, are checked where they are
installed.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from benchmarks import arrays, detector_settings, jax_detector_worker
from benchmarks.options import MODES
from benchmarks.table import lay_out
from spectjax.models import create_model
from spectjax.ops.normalisation import normalise_by_range
from spectjax.tasks.hotspots.instance_segmentation import InstanceSegmentation

TINY = {
    "stage_sizes": (1, 1),
    "features": (2, 2),
    "pyramid_features": 4,
    "box_features": 4,
    "mask_features": 2,
    "anchor_sizes": ((4,), (8,)),
    "pre_nms": (8, 8),
    "proposals": (8, 8),
    "rpn_samples": 8,
    "roi_samples": 8,
    "detections": 4,
    "max_instances": 8,
}


def test_synthesised_lesions_are_apart_and_of_the_sizes_asked_for():
    batch = arrays.synthesise_lesions(48, 3, 8, (4.0, 12.0))
    assert batch["images"].shape == (3, 48, 48, 1)
    np.testing.assert_array_equal(batch["masks"], batch["instances"] > 0)
    for instances in batch["instances"]:
        _, count = ndimage.label(instances > 0, np.ones((3, 3)))
        assert count == 8
        boxes = ndimage.find_objects(instances)
        assert len(boxes) == 8
        sizes = [side.stop - side.start for box in boxes for side in box]
        # A pixel belongs to a lesion if its centre does.
        assert min(sizes) >= 3
        assert max(sizes) <= 12
        assert len(set(sizes)) > 3


def test_synthesised_lesions_that_would_touch_are_refused():
    with pytest.raises(ValueError, match="below 16 px, got 16"):
        arrays.synthesise_lesions(48, 1, 8, (4.0, 16.0))


@pytest.mark.parametrize("name", detector_settings.SETTINGS)
def test_lesions_of_every_setting_fit_its_images(name):
    setting = detector_settings.SETTINGS[name]
    for mode in MODES:
        for batch_size, side in setting.list_cases(mode):
            arrays.synthesise_lesions(side, batch_size, 8, setting.lesion_px)


def test_translate_gives_torchvisions_own_defaults_for_its_setting():
    # As in torchvision 0.28, `MaskRCNN.__init__` of models/detection/mask_rcnn.py.
    assert detector_settings.translate(detector_settings.SETTINGS["torchvision"]) == {
        "rpn_pre_nms_top_n_train": 2000,
        "rpn_pre_nms_top_n_test": 1000,
        "rpn_post_nms_top_n_train": 2000,
        "rpn_post_nms_top_n_test": 1000,
        "rpn_nms_thresh": 0.7,
        "rpn_fg_iou_thresh": 0.7,
        "rpn_bg_iou_thresh": 0.3,
        "rpn_batch_size_per_image": 256,
        "rpn_positive_fraction": 0.5,
        "box_score_thresh": 0.05,
        "box_nms_thresh": 0.5,
        "box_detections_per_img": 100,
        "box_fg_iou_thresh": 0.5,
        "box_bg_iou_thresh": 0.5,
        "box_batch_size_per_image": 512,
        "box_positive_fraction": 0.25,
    }


@pytest.fixture
def tiny(monkeypatch):
    """A setting whose steps take no time."""
    setting = detector_settings.Setting(TINY, (1, 32), ((1, 32),), (3, 8))
    monkeypatch.setitem(detector_settings.SETTINGS, "tiny", setting)
    return setting


def test_drawn_variables_have_the_networks_shapes_and_keep_features_in_size():
    # Blocks whose results were not small would double the variance ten times.
    fields = TINY | {"stage_sizes": (5, 5), "features": (8, 8), "num_classes": 2}
    model = create_model("mask_rcnn", fields)
    task = InstanceSegmentation(model, normalise_by_range)
    variables = jax_detector_worker.draw_variables(task, 32)
    shapes = jax.eval_shape(lambda: task.init(jax.random.key(0), (32, 32)))
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, shapes)
    images = jax.random.uniform(jax.random.key(1), (1, 32, 32, 1))
    run_body = jax.jit(
        lambda variables, images: model.apply(
            variables, images, method=lambda m, x: m.backbone(x, train=False)
        )
    )
    maps = run_body(variables, images)
    assert all(0.1 < float(jnp.sqrt(jnp.mean(x**2))) < 5 for x in maps)


@pytest.mark.parametrize(
    "mode", ["inference", pytest.param("train", marks=pytest.mark.slow)]
)
def test_our_side_is_measured(tiny, mode):
    measurement = jax_detector_worker.build(
        mode,
        threads=1,
        setting="tiny",
        num_classes=3,
        batch_size=1,
        side=32,
        dtype="float32",
    )
    measurement.run(2)
    assert measurement.facts["compile_s"] > 0
    assert measurement.peak_bytes() > 1e7
    body = 49 * 2 + 2 * 2  # stem and its norm
    for width in (2, 8):
        # 1x1, 3x3, 1x1 and the projection, with their norms.
        body += width * 2 + 2 * 2 + 9 * 4 + 2 * 2 + 2 * 8 + 2 * 8 + width * 8 + 2 * 8
    pyramid = 2 * ((8 * 4 + 4) + (9 * 16 + 4))
    anchors = 9 * 16 + 4 + (4 + 1) * 3 + (4 + 1) * 12
    box_head = (49 * 4 + 1) * 4 + (4 + 1) * 4 + (4 + 1) * 3 + (4 + 1) * 12
    mask_head = 9 * 4 * 2 + 2 + 3 * (9 * 4 + 2) + 4 * 4 + 2 + (2 + 1) * 3
    expected = body + pyramid + anchors + box_head + mask_head
    assert measurement.facts["parameters"] == expected


def test_lay_out_writes_a_section_with_words_left_and_numbers_right():
    text = lay_out("Title", {"a": "b"}, ("x", "y"), [("u", "1")], ["note"], words=1)
    assert text == (
        "## Title\n\n- a: b\n\n| x | y |\n| --- | --: |\n| u | 1 |\n\n- note\n"
    )


@pytest.fixture(scope="module")
def peer():
    """Torchvision with operators that run, and the worker's module."""
    pytest.importorskip("torch")
    from benchmarks import torchvision_detector_worker as worker

    try:
        torchvision, _ = worker.import_torchvision()
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"neither torchvision's operators nor a compiler: {error}")
    return torchvision, worker


def pool_by_hand(image, roi, bins, ratio, aligned):
    """ROIAlign of one channel as in He et al. 2017, sample by sample."""
    shift = 0.5 if aligned else 0.0
    low = [roi[i] - shift for i in (1, 0)]
    size = [roi[i + 2] - roi[i] for i in (1, 0)]
    if not aligned:
        size = [max(s, 1.0) for s in size]
    pooled = np.zeros((bins, bins))
    for i, j in np.ndindex(bins, bins):
        samples = []
        for a, b in np.ndindex(ratio, ratio):
            place = [
                low[axis] + (k * ratio + n + 0.5) * size[axis] / (bins * ratio)
                for axis, (k, n) in enumerate(((i, a), (j, b)))
            ]
            outside = any(
                p < -1 or p > n for p, n in zip(place, image.shape, strict=True)
            )
            clipped = np.clip(place, 0, np.array(image.shape) - 1)
            value = ndimage.map_coordinates(image, clipped[:, None], order=1)[0]
            samples.append(0.0 if outside else value)
        pooled[i, j] = np.mean(samples)
    return pooled


@pytest.mark.parametrize("aligned", [False, True])
def test_torchvisions_roi_align_is_that_by_hand_and_so_is_its_gradient(peer, aligned):
    torch = pytest.importorskip("torch")
    torchvision, _ = peer
    generator = np.random.default_rng(0)
    images = generator.standard_normal((2, 3, 9, 12)).astype(np.float32)
    # x0, y0, x1, y1: inside, less than a cell large, and beyond the image.
    rois = [[1.3, 0.4, 7.9, 6.2], [4.2, 3.1, 4.6, 3.3], [8.0, 5.0, 16.0, 12.5]]
    boxes = torch.tensor([[n % 2, *roi] for n, roi in enumerate(rois)])
    features = torch.tensor(images, requires_grad=True)
    pooled = torchvision.ops.roi_align(features, boxes, (2, 2), 1.0, 2, aligned)
    expected = [
        [pool_by_hand(channel, roi, 2, 2, aligned) for channel in images[n % 2]]
        for n, roi in enumerate(rois)
    ]
    np.testing.assert_allclose(pooled.detach(), expected, atol=1e-6)
    weights = torch.tensor(generator.standard_normal(pooled.shape), dtype=torch.float32)
    (pooled * weights).sum().backward()
    # The pooling is linear, so its gradient is its transpose.
    other = torch.tensor(generator.standard_normal(images.shape), dtype=torch.float32)
    moved = torchvision.ops.roi_align(other, boxes, (2, 2), 1.0, 2, aligned)
    assert float((moved * weights).sum()) == pytest.approx(
        float((features.grad * other).sum()), rel=1e-4
    )


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_torchvisions_nms_is_greedy_suppression(peer, threshold):
    torch = pytest.importorskip("torch")
    torchvision, _ = peer
    generator = np.random.default_rng(1)
    # Four boxes that are nearly the same, and others that overlap them.
    low = np.repeat(generator.uniform(0, 20, (20, 2)), 4, axis=0)
    boxes = np.concatenate([low, low + 15], axis=1) + generator.uniform(0, 1, (80, 4))
    scores = generator.permutation(80)
    kept = []
    for i in np.argsort(-scores):
        for j in kept:
            width, height = np.minimum(boxes[i, 2:], boxes[j, 2:]) - np.maximum(
                boxes[i, :2], boxes[j, :2]
            )
            shared = max(width, 0) * max(height, 0)
            areas = [np.prod(boxes[k, 2:] - boxes[k, :2]) for k in (i, j)]
            if shared / (sum(areas) - shared) > threshold:
                break
        else:
            kept.append(i)
    found = torchvision.ops.nms(
        torch.tensor(boxes, dtype=torch.float32),
        torch.tensor(scores, dtype=torch.float32),
        threshold,
    )
    assert found.tolist() == kept
    assert 1 < len(kept) < 80


@pytest.mark.parametrize("mode", MODES)
def test_torchvisions_side_is_measured(peer, mode, monkeypatch):
    _, worker = peer
    small = {"pre_nms": (8, 8), "proposals": (8, 8), "roi_samples": 8, "detections": 4}
    setting = dataclasses.replace(
        detector_settings.SETTINGS["torchvision"],
        fields=detector_settings.SETTINGS["torchvision"].fields | small,
        lesion_px=(8, 20),
    )
    monkeypatch.setitem(detector_settings.SETTINGS, "small", setting)
    spec = {
        "device": "cpu",
        "setting": "small",
        "num_classes": 2,
        "batch_size": 1,
        "side": 64,
        "dtype": "float32",
    }
    measurement = worker.build(mode, threads=1, **spec)
    # Two in four regions at most are lesions, of which there are eight.
    assert 1 <= measurement.facts["regions"] <= 4
    # Of maskrcnn_resnet50_fpn with two classes, less two channels of the stem's 64
    # kernels of 7x7.
    assert measurement.facts["parameters"] == 43_975_515 - 2 * 64 * 49
    assert measurement.facts["operators"] in ("its own", "stand-ins")
    measurement.run(1)
