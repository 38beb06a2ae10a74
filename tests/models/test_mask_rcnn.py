"""Mask R-CNN: parameters, parts, losses, and what it gives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.detector_sizes import SMOKE_MASK_RCNN, TORCHVISION
from spectjax.models import create_model
from spectjax.models.bottleneck import Bottleneck, BottleneckBody
from spectjax.models.mask_rcnn import ATTENTIONS, MaskRCNN
from spectjax.models.proposals import propose
from spectjax.models.pyramid import FeaturePyramid
from spectjax.ops.normalisation import normalise_by_root
from spectjax.tasks.hotspots.instance_segmentation import InstanceSegmentation
from tests.support.untrained_runs import draw_live

# Two levels of four: half of the programs to compile.
SMALL = {"num_classes": 2} | SMOKE_MASK_RCNN
SMALL |= {"stage_sizes": (1, 1), "features": (2, 4)}
SMALL |= {"anchor_sizes": ((4, 6), (8, 12))}
# One level, where what is stated is the same on each.
FLAT = SMALL | {"stage_sizes": (1,), "features": (2,), "anchor_sizes": ((4, 6),)}
HW = (32, 48)
KEY = jax.random.key(0)
# Less optimised machine code: each program runs a few times only.
compile_quickly = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)


def create_task(mirrored=False, size=SMALL, **fields):
    return InstanceSegmentation(
        MaskRCNN(**(size | fields)), normalise_by_root, mirrored=mirrored
    )


def draw_variables(task):
    return draw_live(jax.eval_shape(lambda: task.init(KEY, HW)))


@pytest.fixture(scope="module")
def variables():
    return draw_variables(create_task())


@pytest.fixture(scope="module")
def flat_variables():
    return draw_variables(create_task(size=FLAT))


@pytest.fixture(scope="module")
def train():
    """Loss, sums and gradients of parameters, statistics, batch and key."""
    return compile_quickly(jax.value_and_grad(create_task().compute_loss, has_aux=True))


@pytest.fixture(scope="module")
def predict():
    return compile_quickly(create_task().predict)


@pytest.fixture(scope="module")
def batch():
    """One image with two lesions, the others without."""
    rng = np.random.default_rng(0)
    masks = np.zeros((3, *HW), np.uint8)
    masks[0, 4:9, 6:10] = 1
    masks[0, 20:30, 30:34] = 1
    instances = masks.copy()
    instances[0, 20:30, 30:34] = 2
    images = rng.poisson(5 + 40 * masks)[..., None].astype(np.uint16)
    return {"images": images, "masks": masks, "instances": instances}


def count_params(model, channels, hw=(64, 64)):
    images = jnp.zeros((1, *hw, channels))
    shapes = jax.eval_shape(
        lambda key: model.init(key, images, train=False), jax.random.key(0)
    )
    flat = jax.tree_util.tree_flatten_with_path(shapes["params"])[0]
    norms = sum(x.size for path, x in flat if "norm" in jax.tree_util.keystr(path))
    return sum(x.size for _, x in flat), norms


def test_torchvisions_network_has_the_parameters_that_torchvision_states():
    # Its page of maskrcnn_resnet50_fpn: 44401393 for COCO's 91 classes, without the
    # numbers of its frozen normalisations, of which ResNet-50 has 53120.
    model = MaskRCNN(num_classes=91, norm="frozen", **TORCHVISION)
    assert count_params(model, 3) == (44401393 + 53120, 53120)


@pytest.mark.parametrize(
    ("attention", "modules"),
    [("none", 0), ("stage", 2), ("lateral", 2), ("pyramid", 2), ("block", 4)],
)
def test_attention_adds_99_parameters_in_each_place(attention, modules):
    fields = SMALL | {"stage_sizes": (1, 3)}
    plain = create_model("mask_rcnn", fields)
    model = create_model("mask_rcnn_att", fields | {"attention": attention})
    (more, _), (few, _) = count_params(model, 1), count_params(plain, 1)
    assert more - few == 99 * modules


def test_mask_rcnn_itself_has_no_attention():
    assert create_model("mask_rcnn", {"num_classes": 2}).attention == "none"


def test_five_finite_losses_with_and_without_lesions(train, variables, batch):
    empty = {name: np.zeros_like(x) for name, x in batch.items()}
    for each, lesions in ((batch, 2), (empty, 0)):
        (loss, (_, sums)), gradients = train(
            variables["params"], variables["batch_stats"], each, KEY
        )
        assert bool(jnp.isfinite(loss))
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradients))
        assert sums["lesions"] == lesions
        scores = create_task().summarise({name: float(x) for name, x in sums.items()})
        parts = [x for name, x in scores.items() if name.startswith("loss_")]
        assert len(parts) == 5
        assert scores["loss"] == pytest.approx(float(loss), rel=1e-5)
        assert sum(parts) == pytest.approx(scores["loss"], rel=1e-5)
        assert (scores["loss_mask"] > 0) == (lesions > 0)


def test_every_part_of_the_network_learns(train, variables, batch):
    _, gradients = train(variables["params"], variables["batch_stats"], batch, KEY)
    flat = jax.tree_util.tree_flatten_with_path(jax.device_get(gradients))[0]
    assert [jax.tree_util.keystr(path) for path, x in flat if not x.any()] == []


def test_what_is_sampled_depends_on_the_key_alone(train, variables, batch):
    parts = variables["params"], variables["batch_stats"], batch
    first, again, other = (
        train(*parts, jax.random.key(seed))[0][0] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_one_compilation_serves_all_batches_of_a_shape(
    train, predict, variables, batch
):
    parts = variables["params"], variables["batch_stats"]
    for seed, order in enumerate(([0, 1, 2], [2, 1, 0], [1, 1, 1])):
        each = {name: x[order] for name, x in batch.items()}
        predict(variables, each["images"])
        train(*parts, each, jax.random.key(seed))
    assert predict._cache_size() == 1
    assert train._cache_size() == 1


@pytest.mark.slow
def test_loss_and_gradients_do_not_depend_on_how_the_batch_is_spread(variables, batch):
    # Two devices, simulated by a mapped axis, with two images each.
    four = {name: x[[0, 1, 2, 0]] for name, x in batch.items()}
    parts = variables["params"], variables["batch_stats"]
    together = compile_quickly(
        jax.value_and_grad(create_task().compute_loss, has_aux=True)
    )
    (loss, (stats, sums)), gradients = together(*parts, four, KEY)
    split = create_task(axis_name="devices").compute_loss
    spread = compile_quickly(
        jax.vmap(
            jax.value_and_grad(split, has_aux=True),
            in_axes=(None, None, 0, None),
            axis_name="devices",
        )
    )
    halves = {name: x.reshape(2, 2, *x.shape[1:]) for name, x in four.items()}
    (losses, (both_stats, both_sums)), both = spread(*parts, halves, KEY)
    assert float(jnp.mean(losses)) == pytest.approx(float(loss), rel=1e-5)
    for name in sums:
        # Another last bit of the parameters moves the loss of classes by 2e-5 here.
        rel = 5e-5 if name == "loss_box_class" else 1e-5
        assert float(jnp.sum(both_sums[name])) == pytest.approx(
            float(sums[name]), rel=rel
        )
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x.mean(0), y, atol=1e-4, rtol=1e-3),
        both,
        gradients,
    )
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x[0], y, atol=1e-5, rtol=1e-4),
        both_stats,
        stats,
    )


def test_padding_images_do_not_count_and_lesions_beyond_the_most_do(
    flat_variables, batch
):
    task = create_task(size=FLAT, max_instances=1)
    compute = compile_quickly(task.compute_sums)
    valid = np.array([True, False, False])
    once = compute(flat_variables, batch | {"valid": valid})
    changed = batch["images"].copy()
    changed[1:] = 999
    again = compute(flat_variables, batch | {"valid": valid, "images": changed})
    assert once["images"] == 1
    for name in once:
        np.testing.assert_allclose(once[name], again[name], rtol=1e-5)
    assert task.summarise({k: float(x) for k, x in once.items()})["left_out"] == 1


def test_instances_are_sorted_clipped_and_inside_the_image(predict, variables, batch):
    found = predict(variables, batch["images"])
    boxes, scores, valid = (np.asarray(x) for x in (*found[:2], found.valid))
    assert found.masks.shape == (3, SMALL["detections"], *HW)
    assert found.masks.dtype == bool
    assert valid.any()
    assert (np.diff(np.where(valid, scores, 0), axis=1) <= 0).all()
    assert (scores[valid] > 0.01).all()
    assert (boxes[..., :2] >= 0).all()
    assert (boxes[..., 2] <= HW[0]).all()
    assert (boxes[..., 3] <= HW[1]).all()
    assert not np.asarray(found.masks)[~valid].any()


def test_an_image_is_judged_alone(predict, variables, batch):
    images = batch["images"]
    together = predict(variables, images)
    apart = predict(variables, images[[2, 0, 1]])
    for name, one, other in zip(together._fields, together, apart, strict=True):
        np.testing.assert_allclose(one[0], other[1], atol=1e-4, err_msg=name)


def test_mirrored_images_give_mirrored_instances(flat_variables, batch):
    # Enlarged as well: boxes are in pixels of the image all the same.
    task = create_task(mirrored=True, size=FLAT, scale=2)
    predict = compile_quickly(task.predict)
    images = batch["images"]
    found, other = (predict(flat_variables, x) for x in (images, images[:, :, ::-1]))
    assert found.valid.any()
    np.testing.assert_allclose(found.scores, other.scores, atol=1e-5)
    boxes, there = np.asarray(found.boxes), np.asarray(other.boxes)
    used = np.asarray(found.valid)
    np.testing.assert_allclose(
        boxes[used], there[used][:, [0, 3, 2, 1]] * [1, -1, 1, -1] + [0, 48, 0, 48],
        atol=1e-3,
    )  # fmt: skip
    differing = found.masks != other.masks[:, :, :, ::-1]
    assert float(differing.mean()) < 1e-3  # where a probability is 0.5 up to rounding
    assert boxes[..., 2].max() <= HW[0]


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_body_and_the_pyramid_have_the_strides_they_say(attention, key):
    body = BottleneckBody(
        (1, 1, 1, 1),
        (2, 2, 3, 4),
        stem_pool=attention == "none",
        norm="group",
        attention=attention,
        open_attention=False,
        dtype=jnp.float32,
    )
    pyramid = FeaturePyramid(5, 5, attention, False, jnp.float32)
    first = 4 if attention == "none" else 2

    def run(images):
        maps = body.init_with_output(key, images, train=False)[0]
        return maps, pyramid.init_with_output(key, maps)[0]

    maps, levels = jax.eval_shape(run, jnp.zeros((2, 64, 96, 1)))
    sizes = [
        (64 // stride, 96 // stride) for stride in (first * 2**i for i in range(4))
    ]
    assert [x.shape for x in maps] == [
        (2, *hw, 4 * c) for hw, c in zip(sizes, (2, 2, 3, 4), strict=True)
    ]
    coarsest = tuple(-(-size // 2) for size in sizes[-1])
    assert [x.shape for x in levels] == [(2, *hw, 5) for hw in (*sizes, coarsest)]


def test_the_pyramid_adds_each_coarse_pixel_to_four_fine_ones():
    fine = jnp.arange(16.0).reshape(1, 4, 4, 1)
    coarse = 100 * jnp.arange(1.0, 5.0).reshape(1, 2, 2, 1)
    centre = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)
    layers = {"kernel": jnp.ones((1, 1, 1, 1)), "bias": jnp.zeros(1)}
    outputs = {"kernel": centre, "bias": jnp.zeros(1)}
    params = {
        f"{name}{stage}": each
        for stage in (1, 2)
        for name, each in (("lateral", layers), ("output", outputs))
    }
    pyramid = FeaturePyramid(1, 2, "none", False, jnp.float32)
    found, _ = pyramid.apply({"params": params}, [fine, coarse])
    expected = fine[0, :, :, 0] + np.kron([[100, 200], [300, 400]], np.ones((2, 2)))
    np.testing.assert_array_equal(found[0, :, :, 0], expected)


def test_proposals_are_moved_anchors_that_survive_suppression():
    anchors = jnp.array([[0, 0, 8, 8], [0, 1, 8, 9], [10, 10, 14, 14.0]])
    deltas = jnp.zeros((3, 4)).at[2].set(jnp.array([0.5, 0.0, jnp.log(2), 0.0]))
    found = propose(
        [jnp.array([1.0, 2.0, 0.0])],
        [deltas],
        [anchors],
        (16, 16),
        pre_nms=3,
        count=4,
        nms_iou=0.7,
    )
    # The first anchor overlaps the second, surer one by 7/9. The third moves down by
    # half its height and doubles it: from 10 to 18, cut at 16.
    np.testing.assert_array_equal(found.valid, [True, True, False, False])
    np.testing.assert_allclose(found.boxes[0], [0, 1, 8, 9])
    np.testing.assert_allclose(found.boxes[1], [10, 10, 16, 14], rtol=1e-6)
    np.testing.assert_allclose(found.scores[:2], [2, 0])


def test_levels_with_different_numbers_of_anchors_leave_each_other_alone():
    same = jnp.array([[2, 2, 8, 8.0]])
    levels = [jnp.tile(same, (3, 1)), same, jnp.zeros((2, 4))]
    settings = {"hw": (16, 16), "pre_nms": 3, "count": 4, "nms_iou": 0.7}
    found = compile_quickly(functools.partial(propose, **settings))(
        [jnp.array([1.0, 3.0, 2.0]), jnp.array([2.5]), jnp.array([9.0, 8.0])],
        [jnp.zeros_like(level) for level in levels],
        levels,
    )
    # One of three equal boxes, the same box on the next level, and no empty one.
    np.testing.assert_array_equal(found.valid, [True, True, False, False])
    np.testing.assert_array_equal(found.scores[:2], [3, 2.5])


def test_frozen_normalisation_learns_nothing(key):
    block = Bottleneck(2, 1, "frozen", False, False, jnp.float32)
    maps = jnp.ones((1, 4, 4, 3))
    variables = compile_quickly(lambda key: block.init(key, maps, train=False))(key)

    def total(params):
        y, changed = block.apply(
            {**variables, "params": params}, maps, train=True, mutable=["batch_stats"]
        )
        return y.sum(), changed

    differentiate = compile_quickly(jax.grad(total, has_aux=True))
    gradients, changed = differentiate(variables["params"])
    norms = [gradients[name] for name in ("norm1", "norm2", "norm3", "project_norm")]
    assert not any(x.any() for x in jax.tree.leaves(norms))
    assert gradients["conv1"]["kernel"].any()
    before = variables["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, changed["batch_stats"], before)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attention": "everywhere"}, "Unknown attention 'everywhere'; known: none,"),
        ({"norm": "layer"}, "Unknown norm 'layer'; known: batch, frozen, group"),
        ({"torchvision": True}, "Expected stem_pool=True with torchvision=True"),
        ({"anchor_sizes": ((4,), (8, 9))}, "as many anchor sizes on each level"),
        ({"anchor_sizes": ((4,),)}, "Expected anchors for 2 or 3 levels, got 1"),
        ({"max_instances": 0}, "Expected max_instances of at least 1, got 0"),
        ({"proposals": (8, 0)}, r"Expected proposals of at least 1, got \(8, 0\)"),
        ({"stem_pool": True}, "multiples of 8 after enlarging it 1 times, got 44x48"),
    ],
)
def test_wrong_fields_say_what_is_known(fields, message):
    model = MaskRCNN(**(SMALL | fields))
    init = functools.partial(model.init, train=False)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 44, 48, 1)))
