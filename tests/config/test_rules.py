"""Tests of `spectjax.config.rules`: every value is judged, all faults at once."""

import dataclasses
import math
import subprocess
import sys

import jax
import pytest

from spectjax.config import ConfigError, base_config, check_config
from spectjax.config.models import MODEL_RULES
from spectjax.config.rules import collect_rules, find_faults, flatten
from spectjax.config.values import CANVAS
from spectjax.imaging.thorax.crop import CANVAS_HW
from spectjax.main import ROOM
from spectjax.models import MODELS
from spectjax.models.bottleneck import NORMS
from spectjax.models.mask_rcnn import ATTENTIONS
from spectjax.models.vgg import ACTIVATIONS
from spectjax.ops.normalisation import NORMALISATIONS
from spectjax.tasks import TASKS
from spectjax.tasks.losses import LOSSES
from spectjax.training.parallel import LAYOUTS
from tests.support.config_files import CONFIGS, load
from tfds_spect.configs import list_configs

BY_NAME = {path.stem: path for path in CONFIGS}
ALL_RULES = collect_rules() | {
    f"model.{field}": rule
    for rules in MODEL_RULES.values()
    for field, rule in rules.fields.items()
}
NEVER = [math.nan, math.inf, -math.inf, -1, -0.5, {}, [2, 2], ("",), b"x", 10**39]


def make(name="unet", arg="smoke", **changes):
    config = load(BY_NAME[name], arg)
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    return config.to_dict()


def test_every_key_has_a_row():
    keys = flatten(base_config().to_dict()).keys() | {"model.name"}
    assert keys == collect_rules().keys()


def test_every_field_of_every_model_has_a_row():
    assert MODEL_RULES.keys() == MODELS.keys()
    for name, build in MODELS.items():
        model = build(num_classes=2)
        fields = {field.name for field in dataclasses.fields(model)}
        # What a config cannot say: flax's own, what a name fixes, what a run gives.
        fields -= {"parent", "name", "residual", "dtype", "axis_name"}
        assert MODEL_RULES[name].fields.keys() == fields
        for field, rule in MODEL_RULES[name].fields.items():
            assert rule.accepts(getattr(model, field)), (name, field)


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("task", TASKS),
        ("data.name", [x.name for x in list_configs() if x.phantom is None]),
        ("loss", [*LOSSES, "mask_rcnn"]),
        ("data.normalisation", NORMALISATIONS),
        ("data.feed", ROOM),
        ("parallel", LAYOUTS),
        ("model.norm", NORMS),
        ("model.attention", ATTENTIONS),
        ("model.activation", ACTIVATIONS),
    ],
)
def test_the_names_that_are_known_are_those_that_there_are(key, names):
    known = ALL_RULES[key].expected.removeprefix("known are ").split(", ")
    assert sorted(known) == sorted(names)
    assert all(map(ALL_RULES[key].accepts, names))


def test_the_canvas_is_that_of_the_program():
    assert (CANVAS, CANVAS) == CANVAS_HW


@pytest.mark.parametrize("arg", [None, "modern", "quick", "smoke", "fold=4"])
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_no_config_file_has_a_fault(path, arg):
    if (path.stem, arg) == ("skeleton", "modern"):  # has one recipe, no paper's
        arg = None
    assert find_faults(load(path, arg).to_dict()) == []


@pytest.mark.parametrize("key", ALL_RULES)
def test_no_row_takes_what_no_value_can_be(key):
    assert [x for x in NEVER if ALL_RULES[key].accepts(x)] == []


@pytest.mark.parametrize("key", ALL_RULES)
def test_a_row_takes_values_of_its_type_alone(key):
    accepts, numbers = ALL_RULES[key].accepts, (1, 0, 0.5, 1.0)
    if accepts(True):
        assert not any(map(accepts, (1, 0, 1.0, "True", "", None)))
    else:
        assert not accepts(False)
    if any(accepts(x) for x in (1, 2, 9)):
        assert not any(map(accepts, (True, "1", "2", "9", (1,), (2, 2))))
    if accepts("x") or key in ("task", "loss"):
        assert not any(map(accepts, (*numbers, "", "  ", ("x",))))
    if accepts(()) or accepts((2, 2)) or accepts(((2, 2),)):
        words = () if key == "frozen" else (("2", "2"),)
        assert not any(map(accepts, (*numbers, "2, 2", *words, (True, True))))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.train_hw", (128,)),
        ("data.train_hw", ("128x128",)),
        ("data.train_hw", (128.0, 128)),
        ("data.train_hw", (0, 0)),
        ("data.train_hw", (64, 512)),
        ("data.train_hw", (64, 64, 1)),
        ("data.batch_size", 0),
        ("data.fold", 5),
        ("data.validation_fold", -1),
        ("checkpoint_every_epochs", 0),
        ("checkpoint_every_minutes", -1.0),
        ("optimizer.learning_rate", 0.0),
        ("optimizer.learning_rate", math.nan),
        ("optimizer.momentum", 1.0),
        ("model.features", (2, 0)),
        ("model.features", ()),
        ("model.num_classes", 1),
        ("seed", 2**32),
        ("pretrained", " "),
    ],
)
def test_a_value_out_of_range_is_named_with_its_flag_and_what_is_expected(key, value):
    config = make()
    *sections, name = key.split(".")
    for section in sections:
        config = config[section]
    whole, config[name] = make(), value
    for section in sections[:1]:
        whole[section] = config
    if not sections:
        whole = config
    (fault,) = find_faults(whole)
    assert fault.startswith(f"--config.{key}={value!r}: expected ")


def test_the_largest_seed_is_the_last_that_jax_tells_from_others():
    rule = ALL_RULES["seed"]
    bits = {
        seed: jax.random.key_data(jax.random.key(seed)).tolist()
        for seed in (0, 2**32 - 1, 2**32)
    }
    assert rule.accepts(2**32 - 1) and bits[2**32 - 1] != bits[0]
    assert not rule.accepts(2**32) and bits[2**32] == bits[0]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("unet", {"data.validation_fold": 0}, "another fold than --config.data.fold=0"),
        (
            "unet",
            {"data.name": "segmentation_leaking", "data.validation_fold": 1},
            "validation_fold=1: expected None, for segmentation_leaking has no folds",
        ),
        (
            "unet",
            {"data.name": "segmentation_leaking", "data.augmentation": "online"},
            "augmentation='online': expected copies, for segmentation_leaking has no",
        ),
        ("unet", {"data.contrast": 0.5}, "expected 0, or --config.data.augmentation="),
        *(
            (
                "specs_v16",
                {"data.name": name, "data.augmentation": "online", key: 0.5},
                f"--config.{key}=0.5: expected {still}, for the images of {name} are",
            )
            for key, still in (("data.count_level", 1), ("data.contrast", 0))
            for name in (each.name for each in list_configs() if each.normalised)
            if "_leaking" not in name
        ),
        ("unet", {"class_weights": (1.0,)}, "expected 2 numbers above 0"),
        ("unet", {"num_epochs": 0}, "expected 1 epoch or more"),
        ("unet", {"task": "classification", "data.name": "classification_d1"}, "loss="),
        ("unet", {"data.name": "classification_d1"}, "whose name begins with segment"),
        (
            "unet",
            {"loss": "mask_rcnn"},
            "known are cross_entropy, dice_cross_entropy f",
        ),
        ("unet", {"model.depth": 3}, "--config.model.depth: there is no such key"),
        ("unet", {"data.train_hw": (63, 64)}, "multiples of 2, since unet halves"),
        ("kmeans", {"num_epochs": 3}, "num_epochs=3: expected 0, for kmeans"),
        (
            "kmeans",
            {"model.hotspot_clusters": 9},
            "fewer than --config.model.clusters=9",
        ),
        (
            "specs_v16",
            {"model.stage_sizes": (1, 1)},
            "as many as stages, --config.model",
        ),
        ("specs_v16", {"data.train_hw": (31, 64)}, "at least 32x32 pixels"),
        ("specs_r34", {"data.train_hw": (31, 64)}, "at least 32x32 pixels"),
        ("specs_d121", {"data.train_hw": (31, 64)}, "at least 32x32 pixels"),
        (
            "specs_r34",
            {"task": "segmentation", "data.name": "segmentation"},
            "a model f",
        ),
        ("mask_rcnn", {"data.train_hw": (64, 72)}, "multiples of 16, since mask_rcnn"),
        ("mask_rcnn", {"model.scale": 2, "data.train_hw": (64, 68)}, "multiples of 8"),
        (
            "mask_rcnn",
            {"model.torchvision": True},
            "stem_pool=False: expected True with",
        ),
        (
            "mask_rcnn",
            {"model.anchor_sizes": ((4,), (8, 9), (16,), (32,))},
            "as many on each level",
        ),
        ("mask_rcnn", {"model.anchor_sizes": ((4,),)}, "as many levels as stages"),
        (
            "mask_rcnn",
            {"model.rpn_background_iou": 0.9, "model.rpn_foreground_iou": 0.5},
            "at most --config.model.rpn_foreground_iou=0.5",
        ),
        ("mask_rcnn", {"class_weights": (1.0, 2.0)}, "leave it out for --config.task="),
    ],
)
def test_a_value_that_does_not_fit_another_is_named(name, changes, message):
    values = make(name)
    for key, value in {"model.stem_pool": False, **changes}.items():
        section, _, field = key.rpartition(".")
        if key != "model.stem_pool" or "model.torchvision" in changes:
            (values[section] if section else values)[field] = value
    assert any(message in fault for fault in find_faults(values)), find_faults(values)


@pytest.mark.parametrize(
    ("name", "least"), [("unet", 2), ("specs_v16", 32), ("specs_r34", 32)]
)
def test_the_smallest_size_that_is_accepted_is_one_that_the_model_takes(name, least):
    from spectjax.models import create_model

    def run(hw):
        values = make(name, **{"data.train_hw": hw})
        fields = values["model"]
        fields.pop("name")
        model = create_model(name, fields)
        images = jax.ShapeDtypeStruct((1, *hw, 1), "float32")
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)

    assert find_faults(make(name, **{"data.train_hw": (least, least)})) == []
    run((least, least))
    too_small = (least - 1, least)
    assert find_faults(make(name, **{"data.train_hw": too_small})) != []
    with pytest.raises(ValueError, match="Expected"):
        run(too_small)


def test_all_faults_are_told_at_once_in_one_line():
    config = load(BY_NAME["unet"], "smoke")
    config.data.batch_size, config.data.fold, config.seed = 0, 7, -1
    config.optimizer.learning_rate = math.nan
    config.model.features = (4, 0)
    with pytest.raises(ConfigError) as error:
        check_config(config, "mine")
    text = str(error.value)
    for part in (
        "mine: ",
        "seed=-1",
        "data.fold=7",
        "batch_size=0",
        "rate=nan",
        "(4, 0)",
    ):
        assert part in text
    assert "\n" not in text


def test_main_refuses_values_before_anything_is_made(tmp_path):
    flags = ["data.train_hw=128", "data.batch_size=0", "checkpoint_every_epochs=0"]
    flags += ["data.validation_fold=None", "pretrained=None", "seed=None"]
    command = [sys.executable, "-m", "spectjax.main"]
    command += [f"--config={BY_NAME['unet']}:smoke", f"--workdir={tmp_path / 'run'}"]
    done = subprocess.run(
        [*command, *(f"--config.{flag}" for flag in flags)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: --config.")
    assert done.stderr.count("\n") == 1
    for flag in ("data.train_hw=(128,)", *flags[1:3], "seed=None"):
        assert f"--config.{flag}: expected" in done.stderr
    assert "validation_fold" not in done.stderr and "pretrained" not in done.stderr
    assert not list(tmp_path.iterdir())
