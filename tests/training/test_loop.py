"""Tests of `spectjax.training.loop`: whole runs on tiny examples in memory."""

import os
import shutil
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from spectjax.config import ConfigError
from spectjax.inference.metadata import hash_parameters
from spectjax.inference.trained import load_run
from spectjax.input_pipeline import draw_batches
from spectjax.ops import host
from spectjax.ops.host import compute_on_cpu
from spectjax.system.interruption import StopRequest
from spectjax.training import loop as train_module
from spectjax.training import recorder as bookkeeping
from spectjax.training.checkpoint import CheckpointError, Checkpoints
from spectjax.training.loop import Stopped, train
from spectjax.training.optimizer import create_optimizer
from spectjax.training.recorder import EpochSums
from spectjax.training.run import (
    create_task,
)
from spectjax.training.sessions import read_sessions
from spectjax.training.step import TrainState, train_step
from tests.support.examples import make_spots
from tests.support.tiny_runs import assert_equal, make_config, read_log, read_state

# Of the head, drawn with key 0 by jax 0.10.2 on x86-64.
FIRST_WEIGHTS = [1.426691, 0.4310235, -0.3102047, -0.3527314]


def run(config, workdir, examples=None):
    train(config, workdir, examples or make_spots())
    return read_state(workdir)


def read_scores(workdir):
    return [(row["epoch"], row["loss"], row["PA"]) for row in read_log(workdir)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs, never stopped."""
    workdir = tmp_path_factory.mktemp("finished")
    run(make_config(), workdir)
    return workdir


def test_train_leaves_checkpoints_curves_and_events(finished):
    # 5 examples give 2 batches of 2 an epoch.
    folders = {path.name for path in (finished / "checkpoints").iterdir()}
    assert folders == {"2", "4"}
    rows = read_log(finished)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert 0 <= float(rows[0]["PA"]) <= 1
    assert list((finished / "tensorboard").iterdir())
    assert [each["epochs_done"] for each in read_sessions(finished)] == [0]


def test_train_says_what_it_is_fed_and_early_that_it_is_long_on_a_cpu(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(bookkeeping, "LONG_HOURS", 0)
    run(make_config(), tmp_path)
    text = capsys.readouterr().out
    assert "1 x cpu (jit, float32): 5 examples, kept in memory, up to " in text
    assert text.count("With :quick after the config") == 1


def test_a_resumed_run_equals_one_that_was_never_stopped(
    finished, tmp_path, monkeypatch
):
    class Killed(Exception):
        pass

    def kill(self, step, *args):
        if step == 4:
            raise Killed
        save(self, step, *args)

    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", kill)
    with pytest.raises(Killed):  # in the second epoch, after its row was written
        run(make_config(), tmp_path)
    assert len(read_log(tmp_path)) == 2
    monkeypatch.undo()

    assert_equal(run(make_config(), tmp_path), read_state(finished))
    assert [row["epoch"] for row in read_log(tmp_path)] == ["1", "2"]
    assert read_scores(tmp_path) == read_scores(finished)
    assert [each["epochs_done"] for each in read_sessions(tmp_path)] == [0, 1]


def test_a_finished_run_is_not_trained_again(finished):
    before = read_log(finished)
    train(make_config(), finished, make_spots())
    assert read_log(finished) == before


def test_another_seed_gives_other_parameters(finished, tmp_path):
    ours = run(make_config(seed=1), tmp_path).params["head"]["kernel"]
    assert not np.allclose(ours, read_state(finished).params["head"]["kernel"])


def test_one_memorised_batch_is_segmented(tmp_path):
    examples = make_spots(2)
    config = make_config(
        **{
            "num_epochs": 60,
            "checkpoint_every_epochs": 60,
            "optimizer.learning_rate": 0.02,
            "model.features": (4,),
        }
    )
    run(config, tmp_path, examples)
    cropped = examples.crop_centre((8, 8))
    probs = load_run(tmp_path).predict(cropped.images)
    found, true = probs[..., 1] > 0.5, cropped.masks > 0
    assert (found & true).sum() / (found | true).sum() > 0.95


def test_load_run_predicts_probabilities_for_any_size_and_count_type(finished):
    model = load_run(finished)
    counts = make_spots(3).images[:, :8, :12]
    probs = model.predict(counts)
    assert probs.shape == (3, 8, 12, 2)
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.predict(counts.astype(np.float32)), probs)
    assert model.config.model.name == "unet_res"
    assert model.info["step"] == 4


def test_load_run_does_not_mix_the_images_of_a_batch(finished):
    predict_probs = load_run(finished).predict
    counts = make_spots(2).images[:, :8, :8]
    together = predict_probs(counts)
    alone = np.concatenate([predict_probs(counts[i : i + 1]) for i in range(2)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_train_without_batch_norm_in_bfloat16(tmp_path):
    config = make_config(**{"dtype": "bfloat16", "model.batch_norm": False})
    assert not run(config, tmp_path).batch_stats
    assert np.isfinite(float(read_log(tmp_path)[-1]["loss"]))
    assert load_run(tmp_path).predict(make_spots(1).images[:, :8, :8]).any()


def test_train_stops_when_the_loss_is_not_finite(tmp_path):
    config = make_config(
        **{
            "optimizer.name": "sgd",
            "optimizer.schedule": "constant",
            "optimizer.learning_rate": 1e30,
            "steps_per_dispatch": 4,
        }
    )
    examples = make_spots()
    with pytest.raises(FloatingPointError, match=r"At step 2 the loss was .*lower"):
        run(config, tmp_path, examples)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() is None
    # The batch of the second step of the first epoch, as it was fed.
    rows = draw_batches(5, 2, seed=0, epoch=0)[1]
    with np.load(tmp_path / "not_finite" / "step_2.npz") as saved:
        np.testing.assert_array_equal(saved["examples"], rows)
        np.testing.assert_array_equal(
            saved["images"], examples.crop_centre((8, 8)).images[rows]
        )
        assert saved["example_ids"].tolist() == [f"image{row}" for row in rows]
        assert saved["masks"].shape == (2, 8, 8)


def test_a_gradient_that_is_not_finite_stops_its_own_step():
    """Its loss is still finite: the next step would be blamed."""

    class Root:
        def compute_loss(self, params, batch_stats, batch, key):
            return jnp.sqrt(params["x"]), ({}, {"loss": jnp.sqrt(params["x"])})

    optimizer = optax.sgd(0.1)
    params = {"x": jnp.zeros(())}
    state = TrainState(jnp.int32(0), params, {}, optimizer.init(params), {})
    _, sums = train_step(state, {}, jax.random.key(0), task=Root(), optimizer=optimizer)
    assert (sums["loss"], sums["not_finite"]) == (0, 1)


@pytest.fixture
def handler():
    """What handles signals unless training does, whoever started the tests."""

    def fail(number, frame):
        raise AssertionError(f"signal {number} came through")

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, fail) for number in numbers]
    yield fail
    for number, old in zip(numbers, before, strict=True):
        signal.signal(number, old)


def test_a_signal_that_is_switched_off_stays_so(handler):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert stop.signal == 0


def test_a_second_interrupt_ends_at_once(handler):
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_after_a_checkpoint_and_nothing_is_lost(
    number, finished, tmp_path, monkeypatch, handler
):
    """It comes within the first epoch, whose row must be whole in the end."""

    def add_and_signal(self, *args):
        os.kill(os.getpid(), number)
        return add(self, *args)

    add = EpochSums.add
    monkeypatch.setattr(EpochSums, "add", add_and_signal)
    with pytest.raises(Stopped, match=f"{number.name} after step 1.*goes on") as error:
        run(make_config(), tmp_path)
    assert error.value.signal == number
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["1"]
    monkeypatch.undo()
    assert signal.getsignal(number) is handler

    assert_equal(run(make_config(), tmp_path), read_state(finished))
    assert read_scores(tmp_path) == read_scores(finished)


def test_checkpoints_within_an_epoch_follow_the_clock(finished, tmp_path, monkeypatch):
    saved = []
    save = Checkpoints.save
    monkeypatch.setattr(
        Checkpoints, "save", lambda *args: (saved.append(args[1]), save(*args))
    )
    monkeypatch.setattr(train_module, "SHORT_SECONDS", 0.0)  # one step a dispatch
    assert_equal(
        run(make_config(checkpoint_every_minutes=0.0), tmp_path), read_state(finished)
    )
    # One that comes while another is written may be left out, but not the last.
    assert saved == sorted(set(saved)) and (saved[0], saved[-1]) == (1, 4)


def test_checkpoints_of_epochs_come_every_so_many_and_at_the_end(tmp_path):
    run(make_config(num_epochs=3, checkpoint_every_epochs=2), tmp_path)
    folders = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert folders == {"4", "6"}


def test_training_goes_on_while_a_checkpoint_is_written(
    finished, tmp_path, monkeypatch
):
    """That of the first epoch is written when the second has ended, not before."""
    logged = threading.Event()
    written = []

    def save_late(self, step, *args):
        if step == 2:
            assert logged.wait(60)
        written.append(step)
        save(self, step, *args)

    def log_and_tell(self, epoch, scores):
        log(self, epoch, scores)
        if epoch == 2:
            logged.set()

    save, log = Checkpoints.save, bookkeeping.Recorder.log
    monkeypatch.setattr(Checkpoints, "save", save_late)
    monkeypatch.setattr(bookkeeping.Recorder, "log", log_and_tell)
    assert_equal(run(make_config(), tmp_path), read_state(finished))
    assert written == [2, 4]


def test_first_weights_are_the_same_everywhere():
    """Numbers drawn on one computer are those drawn on any other, and for any GPU."""
    config = make_config()
    task = create_task(config)
    params = compute_on_cpu(lambda key: task.init(key, (8, 8)))(jax.random.key(0))
    kernel = params["params"]["head"]["kernel"]
    assert isinstance(kernel, np.ndarray)
    np.testing.assert_allclose(kernel.ravel(), FIRST_WEIGHTS, rtol=1e-5)


def test_weights_that_a_cpu_could_not_draw_are_told_of(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(host, "find_cpu", lambda: None)
    monkeypatch.setattr(train_module, "find_cpu", lambda: None)
    run(make_config(num_epochs=1), tmp_path)
    told = "The first weights were drawn on cpu, for JAX_PLATFORMS leaves the CPU out"
    assert told in capsys.readouterr().out
    assert told in str(read_sessions(tmp_path)[0])


def test_the_best_checkpoint_stays_and_is_the_one_of_patients_who_pick_it(
    tmp_path, monkeypatch
):
    """The middle of five epochs validates best, and its state is the one restored."""
    losses = iter([3.0, 2.0, 1.0, 4.0, 5.0])
    monkeypatch.setattr(
        train_module._Validation, "__call__", lambda *_: {"loss": next(losses)}
    )
    config = make_config(**{"num_epochs": 5, "data.validation_fold": 1})
    train(config, tmp_path, make_spots(), validation=make_spots(3, seed=1))
    folders = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    # The one before the last may have been left out while another was written.
    assert folders | {"8"} == {"6", "8", "10"}
    assert int(read_state(tmp_path).step) == 6
    model = load_run(tmp_path)
    assert model.info["step"] == 6
    assert model.info["parameters_sha256"] == hash_parameters(model.variables)
    assert [row["validation_loss"] for row in read_log(tmp_path)] == list("32145")


def test_online_augmentation_trains_on_moved_images(finished, tmp_path):
    """And draws the same for each image, however many steps a dispatch takes."""
    config = make_config(**{"data.augmentation": "online"})
    online = run(config, tmp_path / "one")
    kernel = online.params["head"]["kernel"]
    assert not np.allclose(kernel, read_state(finished).params["head"]["kernel"])
    config.steps_per_dispatch = 2
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=1e-4),
        run(config, tmp_path / "two").params,
        online.params,
    )


def test_a_run_with_averages_is_used_with_them(tmp_path):
    changes = {
        "optimizer.average": 0.9,
        "data.augmentation": "online",
        "data.count_level": 0.5,
        "data.contrast": 0.2,
        "class_weights": (1.0, 3.0),
    }
    state = run(make_config(num_epochs=1, **changes), tmp_path)
    variables = load_run(tmp_path).variables
    assert_equal(variables["params"], state.average["params"])
    kernel = variables["params"]["head"]["kernel"]
    assert np.isfinite(kernel).all()
    assert not np.allclose(kernel, state.params["head"]["kernel"], rtol=1e-3)


def test_validation_scores_every_image_once(tmp_path):
    """Five images in batches of two: the last batch has one."""
    config = make_config(**{"num_epochs": 1, "data.validation_fold": 1})
    validation = make_spots(5, seed=1)
    train(config, tmp_path, make_spots(), validation)
    model = load_run(tmp_path)
    cropped = validation.crop_centre((8, 8))
    probs = np.concatenate([model.predict(image[None]) for image in cropped.images])
    picked = np.take_along_axis(probs, cropped.masks[..., None].astype(int), axis=-1)
    entropy = -np.log(picked).mean()
    overlap = (probs[..., 1:] * cropped.masks[..., None]).sum(axis=(1, 2, 3))
    total = (probs[..., 1:] + cropped.masks[..., None]).sum(axis=(1, 2, 3))
    dice_loss = 1 - ((2 * overlap + 1) / (total + 1)).mean()
    row = read_log(tmp_path)[0]
    np.testing.assert_allclose(
        float(row["validation_loss"]), entropy + dice_loss, rtol=1e-4
    )
    right = (probs.argmax(axis=-1) == cropped.masks).mean()
    np.testing.assert_allclose(float(row["validation_PA"]), right, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.batch_size": 6}, "5 training examples do not fill a batch"),
        ({"data.train_hw": (16, 16)}, "exceeds the images"),
        (
            {"data.train_hw": (8, 9), "model.features": (2, 4)},
            r"train_hw=\(8, 9\): expected multiples of 2",
        ),
        ({"data.augmentation": "none"}, "known are copies, online"),
        (
            {"data.count_level": 0.5},
            "count_level=0.5: expected 1, or --config.data.augm",
        ),
        ({"data.count_level": 0.0}, "count_level=0.0: expected a number above 0"),
        ({"data.contrast": -0.1}, "contrast=-0.1: expected a number of at least 0"),
        ({"optimizer.average": 1.0}, "average=1.0: expected a number .* below 1"),
        ({"class_weights": (1.0, 0.0)}, "expected .* each a number above 0"),
        ({"class_weights": (1.0,)}, "expected 2 numbers above 0"),
        ({"parallel": "mpi"}, "--config.parallel='mpi': known are jit, pmap"),
        ({"loss": "hinge"}, "--config.loss='hinge': known are cross_entropy, dice"),
        ({"dtype": "float16"}, "--config.dtype='float16': known are float32"),
        (
            {"data.normalisation": "log"},
            "known are min_max, square_root, divide_by_255",
        ),
        ({"optimizer.name": "lion"}, "--config.optimizer.name='lion': known are sgd"),
        ({"optimizer.schedule": "step"}, "--config.optimizer.schedule='step'"),
        ({"model.name": "vgg"}, "--config.model.name='vgg': known are unet"),
    ],
)
def test_train_names_the_value_that_it_cannot_use(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(make_config(**changes), tmp_path)
    assert not (tmp_path / "config.json").exists()  # the folder is still free


def test_train_refuses_a_checkpoint_of_other_data(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    with pytest.raises(CheckpointError, match="made with other training data than"):
        train(make_config(), tmp_path, make_spots(20))


def test_sgd_takes_the_step_worked_out_by_hand():
    config = make_config().optimizer.copy_and_resolve_references()
    config.update(
        name="sgd",
        schedule="constant",
        learning_rate=0.1,
        momentum=0.5,
        weight_decay=0.01,
    )
    optimizer = create_optimizer(config, num_steps=10)
    params = {"kernel": jnp.full((1, 1), 2.0), "bias": jnp.array([2.0])}
    gradients = jax.tree.map(jnp.ones_like, params)
    state = optimizer.init(params)
    for _ in range(2):
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    # Bias, not decayed: velocities 1 and 1.5, steps 0.1 and 0.15.
    np.testing.assert_allclose(params["bias"], [1.75], rtol=1e-6)
    # Kernel: gradient 1.02, value 1.898; then 1.01898 + 0.51, value 1.745102.
    np.testing.assert_allclose(params["kernel"], [[1.745102]], rtol=1e-6)


def test_cosine_schedule_rises_to_the_learning_rate_and_ends_at_zero():
    config = make_config().optimizer.copy_and_resolve_references()
    config.update(name="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.0)
    optimizer = create_optimizer(config, num_steps=40)  # two of them warm up
    params = {"bias": jnp.zeros(1)}
    state = optimizer.init(params)
    sizes = []
    for _ in range(41):
        updates, state = optimizer.update({"bias": jnp.ones(1)}, state, params)
        sizes.append(-float(updates["bias"][0]))
    np.testing.assert_allclose(sizes[:3], [0, 0.05, 0.1], atol=1e-7)
    np.testing.assert_allclose(sizes[21], 0.05, rtol=1e-5)  # half way down
    np.testing.assert_allclose(sizes[40], 0, atol=1e-7)


def test_training_scores_are_sums_divided_once():
    sums = {
        "images": 4,
        "loss": 6.0,
        "pixels": 100,
        "correct_pixels": 90,
        "overlap_pixels": 2,
        "union_pixels": 8,
    }
    task = create_task(make_config())
    assert task.summarise(sums) == {"loss": 1.5, "PA": 0.9, "IoU": 0.25}
    assert task.summarise(sums | {"union_pixels": 0})["IoU"] == 1.0


def test_a_batch_that_does_not_split_evenly_is_refused():
    from spectjax.training.parallel import check_batch_size

    check_batch_size(4, 2)
    with pytest.raises(
        ValueError, match=r"batch_size=3 .* 2 devices; .* multiple of 2"
    ):
        check_batch_size(3, 2)


def test_config_errors_are_value_errors():
    assert issubclass(ConfigError, ValueError)
