"""Tests of `spectjax.training.start` and `frozen`: weights of ours to begin with."""

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from spectjax.config import ConfigError, check_config
from spectjax.config.models import MODEL_RULES
from spectjax.training.assembly import create_task
from spectjax.training.frozen import is_frozen
from spectjax.training.loop import train
from spectjax.training.start import OwnWeights
from spectjax.weights import WeightsError
from tests.support.config_files import CONFIGS, load
from tests.support.examples import make_spots
from tests.support.tiny_runs import make_config, read_state

NAMES = [
    path.stem for path in CONFIGS if MODEL_RULES[load(path, "smoke").model.name].learns
]


def draw(config, seed):
    """Returns variables of a config's model, all numbers different."""
    shapes = jax.eval_shape(
        lambda: create_task(config).init(jax.random.key(0), config.data.train_hw)
    )
    rng = np.random.default_rng(seed)
    tree = {"params": shapes["params"], "batch_stats": shapes.get("batch_stats", {})}
    return jax.tree.map(lambda x: rng.random(x.shape, np.float32), tree)


def fill(ours, theirs):
    """Returns what was drawn, what was found, what came out, and the notes."""
    first, found = draw(ours, 0), draw(theirs, 1)
    filled, notes = OwnWeights("run", theirs, found).fill(ours, first)
    return *(flatten_dict(x, sep="/") for x in (first, found, filled)), " ".join(notes)


LONG = ("specs_d121", "mask_rcnn_att")  # of kinds that stand here anyway


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in NAMES],
)
def test_weights_of_the_same_model_are_taken_and_only_heads_are_drawn_anew(name):
    path = next(path for path in CONFIGS if path.stem == name)
    ours, theirs = load(path, "smoke"), load(path, "smoke")
    _, found, filled, notes = fill(ours, theirs)
    assert filled.keys() == found.keys() and "anew" not in notes
    assert all(np.array_equal(filled[path], found[path]) for path in found)

    ours.model.num_classes = 3
    first, found, filled, notes = fill(ours, theirs)
    anew = {path for path in filled if np.array_equal(filled[path], first[path])}
    shaped = {path for path in filled if first[path].shape != found[path].shape}
    assert shaped <= anew < filled.keys()
    assert all("head" in path or "logits" in path for path in anew)
    classes = theirs.model.num_classes
    assert f"{classes} classes apart, here are 3: the head is drawn anew" in notes


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.features", (4,)),
        ("model.batch_norm", False),
        ("model.name", "unet"),
        ("data.normalisation", "min_max"),
    ],
)
def test_weights_of_other_widths_or_inputs_are_refused_with_the_key(key, value):
    ours, theirs = make_config(), make_config(**{key: value})
    with pytest.raises(WeightsError) as error:
        fill(ours, theirs)
    wanted = dict(make_config().model) | {"normalisation": "square_root"}
    here = wanted[key.rpartition(".")[2]]
    assert f"--config.{key}={here} here and {value} there" in str(error.value)
    assert str(error.value).count("--config.") == 2  # and --config.pretrained


def test_coarse_heads_come_and_go_with_deep_supervision():
    deep = make_config(**{"model.features": (2, 2, 2)})
    flat = make_config(**{"model.features": (2, 2, 2), "model.deep_supervision": False})
    first, _, filled, notes = fill(deep, flat)
    assert "They have no head1: drawn anew." in notes
    key = "params/head1/kernel"
    np.testing.assert_array_equal(filled[key], first[key])
    _, _, filled, notes = fill(flat, deep)
    assert "Their head1 has no place here: left out." in notes and key not in filled


def test_weights_that_have_seen_the_held_out_patients_are_refused():
    def config(**data):
        changes = {f"data.{key}": value for key, value in data.items()}
        return make_config(**{"data.fingerprint": "same"} | changes)

    for data in ({"fold": 1}, {"validation_fold": 3}):
        with pytest.raises(WeightsError, match=r"Set --config\.data\.fold=0"):
            fill(config(**data), config())
    assert "not checked" not in fill(config(), config())[-1]
    notes = fill(config(fold=1), config(fingerprint="other"))[-1]
    assert "whether some of these are held out here was not checked" in notes


def test_damaged_weights_are_refused_with_their_arrays():
    config = make_config()
    found = draw(config, 1)
    del found["params"]["down0"]["conv1"]
    with pytest.raises(WeightsError, match="params/down0/conv1/kernel missing"):
        OwnWeights("file", config, found).fill(config, draw(config, 0))


def make_frozen(names):
    config = make_config(
        **{
            "model.features": (2, 2),
            "optimizer.average": 0.9,
            "optimizer.weight_decay": 0.1,
            "pretrained": "elsewhere",
        }
    )
    with config.unlocked():
        config.frozen = names
    return config


def test_the_bits_of_frozen_stages_do_not_move_and_have_no_optimizer_state(tmp_path):
    config = make_frozen(("down0", "down1"))
    start = OwnWeights("elsewhere", config, draw(config, 3))
    train(config, tmp_path, make_spots(), start=start)
    state = read_state(tmp_path)
    begun = flatten_dict(start.variables, sep="/")
    for tree in (
        {"params": state.params, "batch_stats": state.batch_stats},
        state.average,
    ):
        for path, array in flatten_dict(tree, sep="/").items():
            frozen = is_frozen(path.partition("/")[2], config.frozen)
            assert np.array_equal(array, begun[path]) == frozen, path
    learning = flatten_dict(state.params, sep="/")
    learning = [x for path, x in learning.items() if not is_frozen(path, config.frozen)]
    sizes = [x.size for x in jax.tree.leaves(state.opt_state) if x.size > 1]
    assert sorted(sizes) == sorted(2 * [x.size for x in learning if x.size > 1])


def test_frozen_statistics_are_used_while_the_rest_learns(tmp_path):
    # Else the network would learn on other features than it is asked with.
    losses = []
    for shift in (0.0, 100.0):
        config = make_frozen(("down0",))
        found = draw(config, 3)
        found["batch_stats"]["down0"]["norm1"]["mean"] += shift
        start = OwnWeights("elsewhere", config, found)
        train(config, tmp_path / str(shift), make_spots(), start=start)
        log = (tmp_path / str(shift) / "train.csv").read_text()
        losses.append(log.splitlines()[1].split(",")[1])
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("names", "fault"), [(("dwon0",), "dwon0; known are"), (("",), "text")]
)
def test_stages_that_are_not_there_are_named(tmp_path, names, fault):
    config = make_frozen(names)
    start = OwnWeights("elsewhere", config, draw(make_frozen(()), 3))
    with pytest.raises(ConfigError, match=fault):
        train(config, tmp_path / "run", make_spots(), start=start)
    assert not (tmp_path / "run").exists()


def test_nothing_is_frozen_at_random_and_something_has_to_learn(tmp_path):
    config = make_frozen(("down", "up", "grow", "head"))
    names = ("down0", "down1", "up0", "grow0", "head")
    with config.unlocked():
        config.frozen = names
    with pytest.raises(ConfigError, match="something is left to learn"):
        train(config, tmp_path, make_spots())
    with config.unlocked():
        config.pretrained = None
    with pytest.raises(ConfigError, match="what is drawn at random should learn"):
        check_config(config)


def test_a_name_stands_for_its_blocks_and_for_no_other_number():
    assert is_frozen("stage1_2/conv1/kernel", ("stage1",))
    assert is_frozen("backbone/stage1_1/norm1/scale", ("backbone/stage1",))
    assert not is_frozen("stage10/conv1/kernel", ("stage1",))
    assert not is_frozen("backbone/stage1/x", ("stage1",))
