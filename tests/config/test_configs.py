"""Tests of `spectjax.config` and of every file in configs/."""

import dataclasses
import json

import pytest
from ml_collections import ConfigDict

from spectjax.config import (
    ConfigError,
    base_config,
    describe_differences,
    load_config,
    parse_arg,
    save_config,
)
from spectjax.models import create_model
from spectjax.training.assembly import create_task
from spectjax.training.optimizer import create_optimizer
from tests.support.config_files import CONFIGS, KMEANS, MASK_RCNNS, SPECS, UNETS, load


@pytest.mark.parametrize("arg", [None, "quick", "smoke", "smoke,fold=3"])
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_builds_its_model_and_optimizer(path, arg):
    config = load(path, arg)
    assert create_task(config) is not None
    assert create_optimizer(config.optimizer, num_steps=20) is not None
    assert config.model.name == {"skeleton": "skeleton_unet"}.get(path.stem, path.stem)
    assert config.data.fold == (3 if arg == "smoke,fold=3" else 0)


@pytest.mark.parametrize("arg", [None, "quick", "smoke"])
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_adds_keys_under_model_only(path, arg):
    config = load(path, arg)
    del config.model
    base = base_config()
    del base.model
    assert keys_of(config) == keys_of(base)


def keys_of(config):
    return {
        (key, *rest)
        for key, value in config.items()
        for rest in (keys_of(value) if isinstance(value, ConfigDict) else [()])
    }


@pytest.mark.parametrize("path", UNETS, ids=lambda path: path.stem)
def test_config_without_argument_is_the_papers_setting(path):
    config = load(path)
    assert config.optimizer.name == "sgd"
    assert config.optimizer.learning_rate == 0.001
    assert config.optimizer.schedule == "constant"
    assert config.data.batch_size == 16
    assert config.num_epochs == 100
    assert config.loss == "cross_entropy"
    assert config.data.name == "segmentation"
    assert config.data.train_hw == (256, 256)
    assert config.model.features == (64, 128, 256, 512, 1024)


@pytest.mark.parametrize("path", MASK_RCNNS, ids=lambda path: path.stem)
def test_mask_rcnn_without_argument_is_the_papers_network_on_fine_maps(path):
    config = load(path)
    assert config.task == "instance_segmentation"
    assert config.optimizer.name == "sgd"
    assert config.data.name == "segmentation"
    assert config.model.stage_sizes == (3, 4, 6, 3)  # a "50-layer ResNet"
    model = create_task(config).model
    assert model.strides[0] == 2
    assert model.attention == ("block" if path.stem == "mask_rcnn_att" else "none")


@pytest.mark.parametrize("path", MASK_RCNNS, ids=lambda path: path.stem)
def test_the_torchvision_setting_is_that_of_its_documentation(path):
    # Signatures of torchvision's MaskRCNN, RegionProposalNetwork and RoIHeads.
    model = create_task(load(path, "torchvision")).model
    assert model.torchvision
    assert model.strides == (4, 8, 16, 32, 64)
    assert model.anchor_sizes == ((32,), (64,), (128,), (256,), (512,))
    assert model.anchor_ratios == (0.5, 1.0, 2.0)
    assert (model.rpn_foreground_iou, model.rpn_background_iou) == (0.7, 0.3)
    assert (model.rpn_samples, model.rpn_positive) == (256, 0.5)
    assert (model.pre_nms, model.proposals) == ((2000, 1000), (2000, 1000))
    assert (model.rpn_nms_iou, model.roi_iou) == (0.7, 0.5)
    assert (model.roi_samples, model.roi_positive) == (512, 0.25)
    assert (model.min_score, model.nms_iou, model.detections) == (0.05, 0.5, 100)


@pytest.mark.parametrize("path", MASK_RCNNS, ids=lambda path: path.stem)
def test_the_torchvision_setting_stands_alone(path):
    with pytest.raises(ConfigError, match="torchvision is a setting of its own"):
        load(path, "torchvision,quick")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_weights": (1.0, 2.0)}, "class_weights=.*leave it out"),
        ({"loss": "cross_entropy"}, "loss='cross_entropy': known are mask_rcnn"),
        (
            {"task": "segmentation", "loss": "cross_entropy"},
            "model.name='mask_rcnn': expected a model for --config.task=segmentation",
        ),
        ({"test_mirroring": True}, "torchvision's anchors are not symmetric"),
    ],
)
def test_instance_segmentation_refuses_what_it_cannot_follow(changes, message):
    config = load(MASK_RCNNS[0], "torchvision")
    with config.unlocked():
        config.update(changes)
    with pytest.raises(ConfigError, match=message):
        create_task(config)


@pytest.mark.parametrize("arg", [None, "modern", "quick", "smoke"])
def test_kmeans_trains_nothing_and_has_the_papers_best_k(arg):
    config = load(KMEANS, arg)
    assert {load(path, arg).data.name for path in UNETS} == {config.data.name}
    assert config.num_epochs == 0
    assert config.model.clusters == 9


@pytest.mark.parametrize("path", UNETS, ids=lambda path: path.stem)
def test_modern_unet_is_the_papers_network_with_heads_for_training_alone(path):
    paper, modern, quick = load(path), load(path, "modern"), load(path, "quick")
    changed = describe_differences(modern, paper)
    assert [line for line in changed if line.startswith("model.")] == [
        "model.deep_supervision: False -> True"
    ]
    assert modern.data.train_hw == (256, 256)
    # Narrower, on less of the image and for a shorter time; else the same recipe.
    keys = {line.partition(":")[0] for line in describe_differences(quick, modern)}
    assert keys == {
        *("data.train_hw", "model.features", "num_epochs"),
        "optimizer.learning_rate",
    }


def test_there_is_a_config_for_each_of_the_papers_seven_classifiers():
    assert {path.stem.removeprefix("specs_") for path in SPECS} == {
        *("v7", "v16", "v19", "v21", "v24"),
        *("r34", "d121"),
    }


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
@pytest.mark.parametrize("data_set", ["d1", "d2", "d3"])
def test_classifier_without_recipe_has_the_papers_setting(path, data_set):
    config = load(path, data_set)
    # [P2] Table 5.
    assert config.optimizer.name == "sgd"
    assert config.optimizer.momentum == 0
    assert config.optimizer.learning_rate == 0.001
    assert config.optimizer.schedule == "constant"
    assert config.data.batch_size == 32
    assert config.num_epochs == 500
    assert config.data.name == f"classification_{data_set}"
    assert config.data.train_hw == (256, 256)
    assert config.data.augmentation == "copies"
    normalisation = "none" if data_set == "d2" else "divide_by_255"
    assert config.data.normalisation == normalisation
    # Eq. 3 is for V7 alone; its gradient is 2 lambda w.
    assert config.optimizer.weight_decay == (0.02 if path.stem == "specs_v7" else 0)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_modern_recipe_keeps_the_papers_network(path):
    paper, modern = load(path, "d3"), load(path, "d3,modern")
    # The two that regularise change no convolution and no layer of products.
    changed = describe_differences(modern, paper)
    assert {line for line in changed if line.startswith("model.")} <= {
        "model.batch_norm: False -> True",
        "model.dropout: 0.5 -> 0.0",
    }
    assert modern.data.train_hw == (256, 256)
    assert modern.data.name == paper.data.name


@pytest.mark.parametrize("path", [*SPECS, KMEANS], ids=lambda path: path.stem)
def test_config_states_every_field_of_its_model(path):
    fields = load(path).model.to_dict()
    assert fields.pop("name") == path.stem
    named = create_model(path.stem, {"num_classes": 2})
    # A field that the config lacks could not be changed from the command line.
    assert fields.keys() >= {
        field.name
        for field in dataclasses.fields(named)
        if field.name not in ("dtype", "axis_name", "parent", "name")
    }
    assert create_model(path.stem, fields) == named


def test_two_data_sets_in_one_config_argument_are_refused():
    with pytest.raises(ConfigError, match="choose one of d1, d2 and d3"):
        load(SPECS[0], "d1,d3")


@pytest.mark.parametrize("arg", [None, "quick", "smoke"])
def test_unet_and_unet_res_differ_in_the_model_alone(arg):
    plain, residual = (load(path, arg) for path in UNETS)
    assert describe_differences(residual, plain) == ["model.name: unet -> unet_res"]


def test_parse_arg_reads_types_from_the_defaults():
    args = parse_arg("fold=3,smoke", fold=0, smoke=False, rate=0.1)
    assert (args.fold, args.smoke, args.rate) == (3, True, 0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("folds=3", "Unknown config argument 'folds'; known: fold, smoke."),
        ("fold=three", "Config argument 'fold': expected int, got 'three'."),
        ("smoke=yes", "Config argument 'smoke': expected bool, got 'yes'."),
    ],
)
def test_parse_arg_names_what_it_does_not_know(text, message):
    with pytest.raises(ConfigError) as error:
        parse_arg(text, fold=0, smoke=False)
    assert str(error.value) == message


def test_saved_config_comes_back_the_same(tmp_path):
    config = load(UNETS[0], "quick")
    save_config(config, tmp_path / "config.json")
    found = load_config(tmp_path / "config.json")
    assert found.to_dict() == config.to_dict()
    assert isinstance(found.model.features, tuple)


def test_describe_differences_names_each_key_with_both_values():
    old = ConfigDict({"seed": 1, "model": {"name": "unet", "depth": 2}})
    new = ConfigDict({"seed": 1, "model": {"name": "unet_res", "width": 3}})
    assert describe_differences(new, old) == [
        "model.depth: 2 -> absent",
        "model.name: unet -> unet_res",
        "model.width: absent -> 3",
    ]


@pytest.mark.parametrize("text", ["{", json.dumps([1, 2]), json.dumps({"seed": 1})])
def test_load_config_names_a_file_that_is_not_one(text, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="config.json: expected a run's config"):
        load_config(path)


def test_load_config_names_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.json: not found; .*--workdir"):
        load_config(tmp_path / "config.json")
