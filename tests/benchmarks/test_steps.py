"""The benchmark counts what can be counted by hand and measures what it must.

The peers are compared where PyTorch is installed.
"""

import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import arrays, jax_worker, steps, workloads
from benchmarks.flops import Flops, UncountableError, count_flops
from benchmarks.processes import (
    CHILD_ENVIRONMENT,
    Timed,
    Worker,
    WorkerError,
    closing,
    interleave,
    median_ratio,
    take_turns,
)
from benchmarks.table import Row
from spectjax.tasks import TASKS

ROOT = pathlib.Path(__file__).parents[2]
SMALL = {"features": (2, 4)}


def shaped(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


# Multiply-adds of a U-Net with 2 and 4 channels on 8x8 pixels of one channel.
DOWN0 = 64 * 9 * (1 * 2 + 2 * 2)
DOWN1 = 16 * 9 * (2 * 4 + 4 * 4)
GROW0 = 16 * 4 * 4 * 2
UP0 = 64 * 9 * (4 * 2 + 2 * 2)
HEAD = 64 * 2 * 2
PROJECT = 64 * 1 * 2 + 16 * 2 * 4 + 64 * 4 * 2


@pytest.mark.parametrize(
    ("name", "macs", "macs_on_image"),
    [
        ("unet", DOWN0 + DOWN1 + GROW0 + UP0 + HEAD, 64 * 9 * 2),
        (
            "unet_res",
            DOWN0 + DOWN1 + GROW0 + UP0 + HEAD + PROJECT,
            64 * 9 * 2 + 64 * 2,
        ),
    ],
)
def test_count_flops_of_a_unet_is_that_by_hand(name, macs, macs_on_image):
    workload = workloads.create(name, SMALL, "float32", (8, 8))
    forward = 2 * macs
    for batch_size in (1, 3):
        assert workload.count_flops(batch_size) == {
            "inference": batch_size * forward,
            "train": batch_size * (3 * forward - 2 * macs_on_image),
        }


def test_count_flops_of_the_papers_unet_is_96_giga():
    workload = workloads.create("unet", {}, "float32", (256, 256))
    assert workload.count_flops(1)["inference"] == pytest.approx(96e9, rel=0.01)


def test_count_flops_enters_what_wraps_a_product():
    @jax.custom_vjp
    def wrapped(x, w):
        return jax.checkpoint(jax.jit(jnp.matmul))(x, w)

    wrapped.defvjp(lambda x, w: (x @ w, w), lambda w, dy: (dy @ w.T, dy))
    product = 2 * 2 * 3 * 5
    assert count_flops(lambda w, x: wrapped(x, w), shaped(3, 5), shaped(2, 3)) == Flops(
        product, 2 * product
    )


def test_count_flops_multiplies_a_scan_by_its_length():
    def function(w, x):
        return jax.lax.scan(lambda carry, _: (carry @ w, None), x, length=7)[0]

    product = 2 * 2 * 3 * 3
    assert count_flops(function, shaped(3, 3), shaped(2, 3)) == Flops(
        7 * product, 7 * 3 * product
    )


def test_count_flops_takes_the_larger_branch():
    def function(w, x):
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ w, lambda: x @ w @ w)

    assert count_flops(function, shaped(3, 3), shaped(2, 3)).forward == 2 * 36


def test_count_flops_of_grouped_and_transposed_convolutions():
    numbers = ("NHWC", "HWIO", "NHWC")

    def grouped(w, x):
        return jax.lax.conv_general_dilated(
            x, w, (2, 2), "SAME", dimension_numbers=numbers, feature_group_count=4
        )

    def transposed(w, x):
        return jax.lax.conv_transpose(x, w, (2, 2), "SAME", dimension_numbers=numbers)

    # 4x4 outputs of 8 channels, each from 3x3 pixels of one channel.
    found = count_flops(grouped, shaped(3, 3, 1, 8), shaped(1, 8, 8, 4))
    assert found.forward == 2 * 16 * 8 * 9
    # Each of 8x8 input pixels of 4 channels makes 2x2 outputs of 6 channels.
    found = count_flops(transposed, shaped(2, 2, 4, 6), shaped(1, 8, 8, 4))
    assert found.forward == 2 * 64 * 4 * 4 * 6


def test_count_flops_refuses_what_hides_products():
    def custom_call(w, x):
        return jax.ffi.ffi_call("secret", shaped(2, 3))(x, w)

    def loop(w, x):
        return jax.lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x @ w, x)

    for function in (custom_call, loop):
        with pytest.raises(UncountableError):
            count_flops(function, shaped(3, 3), shaped(2, 3))


def test_workload_fields_survive_json_and_overrides_reach_their_model():
    workload = workloads.create("unet_res", SMALL, "bfloat16", (8, 8))
    assert workload.fields == {
        "num_classes": 2,
        "features": (2, 4),
        "residual": True,
        "batch_norm": True,
        "deep_supervision": False,
    }
    assert workload.task.model.dtype == jnp.bfloat16
    overrides = json.loads(json.dumps(SMALL))
    again = workloads.create("unet_res", overrides, "bfloat16", (8, 8))
    assert again.fields == workload.fields


CLASSIFIER_FIELDS = {
    "specs_v7": {"features": (2, 3, 2, 3, 2), "hidden": 4, "pool_hw": (2, 1)},
    "specs_r34": {},
    "specs_d121": {"stage_sizes": (2, 1), "growth": 4, "stem_features": 6},
}


def test_count_flops_of_a_classifier_is_that_by_hand():
    fields = {"stage_sizes": (1, 1), "features": (2, 3), "hidden": 5, "pool_hw": (2, 2)}
    workload = workloads.create("specs_v16", fields, "float32", (8, 8))
    # 8x8 and 4x4 pixels, then 2x2x3 features to 5, 5 and 2.
    forward = 2 * (64 * 9 * 2 + 16 * 9 * 2 * 3 + 12 * 5 + 5 * 5 + 5 * 2)
    assert workload.count_flops(2) == {
        "inference": 2 * forward,
        "train": 2 * (3 * forward - 2 * 64 * 9 * 2),
    }


@pytest.mark.parametrize(
    ("name", "task_name"),
    [
        ("unet", "segmentation"),
        ("specs_r34", "classification"),
        ("stage_64", None),
    ],
)
def test_a_workload_learns_what_its_model_is_for(name, task_name):
    workload = workloads.create(name, {}, "float32", (64, 64))
    assert workload.task_name == task_name
    if task_name:
        assert type(workload.task) is TASKS[task_name].learn()


def test_training_in_one_dispatch_runs_any_number_of_steps(capfd):
    workload = workloads.create("unet", {"features": (2,)}, "float32", (8, 8))
    measurement = jax_worker.build(
        "train",
        threads=1,
        name="unet",
        overrides={"features": (2,)},
        dtype="float32",
        image_hw=(8, 8),
        batch_size=2,
        parameters=workload.parameters,
    )
    measurement.run(1)
    measurement.run(5)
    assert measurement.facts["compile_s"] > 0
    assert measurement.peak_bytes() > 1e7


def test_a_worker_that_would_measure_another_model_refuses():
    with pytest.raises(ValueError, match="Expected 7 parameters"):
        jax_worker.build(
            "inference",
            threads=1,
            name="unet",
            overrides=SMALL,
            dtype="float32",
            image_hw=(8, 8),
            batch_size=2,
            parameters=7,
        )


WORKER = """
from benchmarks.processes import Measurement, peak_rss_bytes, serve

def build(threads, megabytes):
    print("a library talks")
    ballast = bytearray(megabytes * 10**6)
    if not megabytes:
        raise ValueError("no memory\\nand more")
    facts = {"size": len(ballast)}
    return Measurement(lambda steps: None, facts, peak_rss_bytes)

serve(build)
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    (tmp_path / "measuring.py").write_text(WORKER)
    path = os.pathsep.join([str(tmp_path), CHILD_ENVIRONMENT["PYTHONPATH"]])
    monkeypatch.setitem(CHILD_ENVIRONMENT, "PYTHONPATH", path)
    workers = {}

    def start_worker(name):
        workers[name] = Worker("measuring")
        return workers[name]

    with closing(workers):
        yield start_worker


def test_peak_memory_is_that_of_the_worker_alone(start):
    ballast = np.ones(50_000_000)  # 400 MB here
    large, small = start("large"), start("small")
    assert large.ask(threads=1, megabytes=300) == {"size": 300_000_000}
    small.ask(threads=1, megabytes=1)
    assert large.seconds(2) < 1
    assert 3e8 < large.ask()["peak_bytes"] < 4e8
    assert small.ask()["peak_bytes"] < 1e8
    assert ballast[-1] == 1


def test_a_failing_worker_gives_one_line(start):
    with pytest.raises(WorkerError, match="^ValueError: no memory$"):
        start("failing").ask(threads=1, megabytes=0)


class _FakeWorker:
    """Takes a fixed time for a step and says when it ran."""

    def __init__(self, name, step_s, log):
        self.name, self.step_s, self.log = name, step_s, log

    def seconds(self, steps):
        self.log.append((self.name, steps))
        return self.step_s


def test_interleave_takes_turns_of_equal_time():
    log = []
    workers = {"a": _FakeWorker("a", 0.01, log), "b": _FakeWorker("b", 0.1, log)}
    times = interleave(workers, seconds=1.2, repetitions=(2, 4))
    # 0.3 s a turn: 30 steps of a, 3 of b, after two single steps each.
    assert log[4:] == [("a", 30), ("b", 3)] * 4
    assert times == {"a": [0.01] * 4, "b": [0.1] * 4}


def test_interleave_runs_slow_steps_the_smallest_number_of_turns():
    log = []
    interleave({"a": _FakeWorker("a", 100.0, log)}, seconds=1, repetitions=(2, 4))
    assert log == [("a", 1)] * 4


def test_median_ratio_pairs_what_ran_side_by_side():
    # Ratios 2, 1 and 4; that of the medians is 1, that of the sums 45 / 14.
    assert median_ratio([2.0, 3.0, 40.0], [1.0, 3.0, 10.0]) == 2


def test_those_that_fail_are_noted_and_the_others_compared_with_the_peer(start):
    del start  # only makes the module known
    spec = {"threads": 1, "megabytes": 1}
    contenders = {
        "ours": ("measuring", spec),
        "peer one": ("measuring", spec),
        "peer two": ("measuring", spec | {"megabytes": 0}),
    }
    notes = []
    timed = take_turns("title", contenders, 0.01, notes, peer="peer")
    assert list(timed) == ["ours", "peer one"]
    assert timed["peer one"].times_peer == 1
    assert timed["ours"].times_peer > 0
    assert len(timed["ours"].seconds) >= 3
    assert notes == ["title, peer two: ValueError: no memory."]


def test_the_cells_of_a_row_give_the_share_of_the_peak():
    timed = Timed([1.0, 0.25, 0.5], {"compile_s": 1.26}, 5_000_000, None)
    row = Row(("unet", "train", "spectjax"), 1, timed, flops=1_500_000_000)
    assert steps.format_cells(row, 12e9) == (
        *("unet", "train", "spectjax", "2", "1–4 (3)", "–", "3", "25%", "1.3", "5"),
    )


MODEL = """

class Tiny(nn.Module):
    num_classes: int
    width: int = 3

    @nn.compact
    def __call__(self, images, *, train):
        hidden = nn.Dense(self.width)(images.reshape(images.shape[0], -1))
        return nn.Dense(self.num_classes)(nn.relu(hidden))


MODELS["tiny"] = Tiny
"""
# What flax and optax do not bring along.
BLOCKER = """
import sys

ABSENT = {"PIL", "array_record", "matplotlib", "ml_collections", "pydicom"}
ABSENT |= {"tensorboardX", "tensorflow_datasets", "torch", "tqdm"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""


@pytest.mark.slow
def test_a_model_added_later_is_measured_on_a_bare_machine(tmp_path):
    clone = tmp_path / "clone"
    for folder in ("spectjax", "benchmarks"):
        shutil.copytree(ROOT / folder, clone / folder)
    with (clone / "spectjax/models/__init__.py").open("a") as file:
        file.write(textwrap.dedent(MODEL))
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    table = tmp_path / "table.md"
    command = [sys.executable, "-m", "benchmarks.steps", "--models=tiny"]
    command += ["--size=16", "--batch=2", "--seconds=0.1", "--threads=1"]
    command += ["--torch=", "--runtimes="]
    result = subprocess.run(
        [*command, f"--output={table}"],
        cwd=clone,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    text = table.read_text()
    assert "| tiny | train | spectjax |" in text
    assert "| tiny | inference | spectjax |" in text
    assert "- commit: unknown\n" in text


def load_into(peer, variables):
    """Carries flax's parameters and statistics over to the peer of the same names."""
    torch = pytest.importorskip("torch")
    names = {"scale": "weight", "mean": "running_mean", "var": "running_var"}
    state = {}
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    for path, leaf in leaves:
        *module, leaf_name = (entry.key for entry in path[1:])
        array = np.asarray(leaf)
        if leaf_name == "kernel":
            up = module[-1].startswith("grow")
            array = array.transpose((2, 3, 0, 1) if up else (3, 2, 0, 1))
            leaf_name = "weight"
        state[".".join([*module, names.get(leaf_name, leaf_name)])] = torch.tensor(
            np.ascontiguousarray(array)
        )
    missing, unexpected = peer.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)


@pytest.mark.parametrize("name", ["unet", "unet_res", "stage_64", "stage_512"])
def test_a_peer_computes_what_the_model_computes(name, key):
    torch = pytest.importorskip("torch")
    from benchmarks.torch_peers import create_peer

    workload = workloads.create(name, {"features": (4, 6, 8)}, "float32", (16, 16))
    peer = create_peer(
        name, workload.fields, workload.image_hwc[-1], workload.parameters
    )
    leaves, tree = jax.tree.flatten(workload.variables())
    keys = jax.random.split(key, len(leaves))
    variables = jax.tree.unflatten(
        tree,
        [
            0.1 + 0.2 * jax.random.uniform(k, leaf.shape)
            for k, leaf in zip(keys, leaves, strict=True)
        ],
    )
    load_into(peer, variables)
    images = np.float32(arrays.synthesise(workload.image_hwc, 1)["images"]) / 20
    apply = jax.jit(functools.partial(workload.task.model.apply, train=False))
    expected = apply(variables, images)
    with torch.inference_mode():
        found = peer.eval()(torch.from_numpy(images).permute(0, 3, 1, 2))
    np.testing.assert_allclose(
        found.permute(0, 2, 3, 1).numpy(), expected, rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("name", sorted(CLASSIFIER_FIELDS))
def test_a_classifiers_peer_is_torchvisions_network_of_the_same_size(name):
    torch = pytest.importorskip("torch")
    from benchmarks.torch_peers import create_peer
    from benchmarks.torchvision_operators import import_torchvision

    try:
        import_torchvision()
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"no torchvision, or neither its operators nor a compiler: {error}")
    # create_peer compares the numbers of parameters.
    fields = CLASSIFIER_FIELDS[name]
    workload = workloads.create(name, fields, "float32", (32, 32))
    peer = create_peer(name, workload.fields, 1, workload.parameters)
    assert type(peer).__module__.startswith("torchvision.")
    with torch.inference_mode():
        assert peer.eval()(torch.zeros(3, 1, 32, 32)).shape == (3, 2)
    kinds = {type(module).__name__ for module in peer.modules()}
    assert ("ELU" in kinds, "ReLU" in kinds) == (name == "specs_v7", name != "specs_v7")


@pytest.mark.parametrize("task_name", ["segmentation", "classification", None])
def test_a_peer_trains_and_predicts_for_each_kind_of_task(task_name, monkeypatch):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_worker

    classifies = task_name == "classification"
    network = torch.nn.Conv2d(1, 2, 1)
    if classifies:
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    monkeypatch.setattr(torch_worker, "create_peer", lambda *_: network)
    spec = {
        "device": torch.device("cpu"),
        "name": "any",
        "fields": {},
        "parameters": 0,
        "image_hwc": (8, 8, 1),
        "task_name": task_name,
        "batch_size": 2,
        "dtype": "float32",
        "compile_mode": None,
    }
    before = next(network.parameters()).detach().clone()
    torch_worker._build_model_step(mode="train", **spec)()
    assert not torch.equal(next(network.parameters()), before)
    predict = torch_worker._build_model_step(mode="inference", **spec)
    probs = predict()
    assert probs.shape == ((2, 2) if classifies else (2, 2, 8, 8))
    ones = torch.allclose(probs.sum(dim=1), torch.ones(()))
    assert ones == (task_name is not None)


def test_a_peer_of_another_size_is_refused():
    pytest.importorskip("torch")
    from benchmarks.torch_peers import create_peer

    fields = {
        "num_classes": 2,
        "features": (2, 4),
        "residual": False,
        "batch_norm": True,
    }
    with pytest.raises(LookupError, match="spectjax's 7"):
        create_peer("unet", fields, 1, 7)
    with pytest.raises(LookupError, match="no peer"):
        create_peer("a_new_idea", fields, 1, 7)
