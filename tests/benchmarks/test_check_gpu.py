"""The check on a GPU: what it plans, ends, compares and writes, without a GPU."""

import argparse
import ast
import json
import os
import pathlib
import sys
import threading

import numpy as np
import pytest

from benchmarks import (
    check_gpu,
    gpu_parts,
    gpu_plan,
    gpu_table,
    gpu_trace,
    narrow_networks,
)
from spectjax.imaging.hotspots import Instances
from spectjax.models import MODELS
from tfds_spect import prepare

EXACT, BFLOAT16 = gpu_plan.EXACT, gpu_plan.BFLOAT16
ROOT = pathlib.Path(check_gpu.__file__).parents[1]
# What a computer with a GPU has that is no hospital's: the product wants more.
AT_HAND = {"jax", "flax", "optax", "orbax", "numpy", "torch"}
AT_HAND |= {"absl", "scipy"}  # which those need
WORKERS = ("jax_worker", "jax_detector_worker", "torch_worker", "narrow_networks")


def make_part(name="card", limit_s=60.0, **fields):
    return gpu_plan.Part("card", name, "card", {}, limit_s, **fields)


def test_every_registered_model_is_compared():
    # That of bones is a U-Net-Res on other images.
    assert sorted(gpu_plan.MODELS) == sorted(set(MODELS) - {"skeleton_unet"})


@pytest.mark.parametrize("rehearse", [True, False])
def test_every_part_can_be_begun_and_has_a_folder_of_its_own(
    rehearse, tmp_path, monkeypatch
):
    parts = gpu_plan.plan(gpu_plan.GROUPS, rehearse=rehearse, data_dir=tmp_path)
    assert {part.kind for part in parts} == set(gpu_parts.PARTS)
    folders = {gpu_table.locate(tmp_path, part.name) for part in parts}
    assert len(folders) == len(parts) and {f.parent for f in folders} == {tmp_path}
    for part in parts:
        assert json.loads(json.dumps(part.request)) == part.request
    timed = {part.kind for part in parts if part.alone}
    assert timed == {"card", "speed", "beside_torch", "product"}


def test_what_a_cpu_computes_is_not_computed_again(tmp_path):
    parts = gpu_plan.plan(["reference", "card"], reference=tmp_path)
    assert [part.name for part in parts] == ["card"]
    made = gpu_plan.plan(["reference"], rehearse=True)
    assert [part.environment["JAX_PLATFORMS"] for part in made] == ["cpu", "cpu"]


def test_what_matters_comes_first(tmp_path):
    parts = gpu_plan.plan(gpu_plan.GROUPS, reference=tmp_path, data_dir=tmp_path)
    names = [part.name for part in parts]
    early = names[: names.index("types unet")]
    assert [name for name in early if not name.startswith("outputs ")] == [
        "card",
        "speed unet_res train bfloat16 16",
        "torch unet_res train bfloat16 16",
        "speed mask_rcnn train bfloat16 16",
        "product configs/unet_res.py:quick",
        "torch specs_r34 train bfloat16 32",
        "speed unet_res inference bfloat16 16",
    ]
    assert early[2:14] == [f"outputs {name}" for name in gpu_plan.MODELS]


def test_what_is_left_out_is_named(tmp_path):
    every = gpu_plan.plan(gpu_plan.GROUPS, data_dir=tmp_path)
    assert gpu_plan.name_left_out(every, rehearse=False) == []
    some = gpu_plan.plan(["card", "speed", "product"], rehearse=True)
    assert gpu_plan.name_left_out(some, rehearse=True) == [
        *("outputs unet", "outputs mask_rcnn"),
        *("reference unet", "reference mask_rcnn"),
        "torch unet_res train float32 2",
        "product configs/unet_res.py:smoke",
        *("types unet", "types mask_rcnn", "types pmap"),
        "speed unet_res inference bfloat16 2",
    ]


def find_imports(module):
    """Names of the modules that one imports at its top; of ours, those in it too."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in names if is_ours(name))


def is_ours(name):
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def test_no_part_but_the_product_wants_more_than_is_at_hand():
    begin = ("check_gpu", "gpu_parts", "steps", *WORKERS)
    wanted, seen = [f"benchmarks.{name}" for name in begin], set()
    while wanted:
        module = wanted.pop()
        if module not in seen:
            seen.add(module)
            parent = module.rpartition(".")[0]
            wanted += [parent] * bool(parent)
            wanted += find_imports(module) if is_ours(module) else ()
    others = {name.partition(".")[0] for name in seen if not is_ours(name)}
    assert others - sys.stdlib_module_names <= AT_HAND
    assert {"jax", "torch"} < others


def test_parts_share_what_is_compiled_and_keep_what_the_user_sets(
    tmp_path, monkeypatch
):
    program = "import os; print(dict(os.environ)); raise SystemExit(1)"
    monkeypatch.setattr(check_gpu, "_PROGRAM", (sys.executable, "-c", program))
    monkeypatch.setenv("XLA_FLAGS", "--theirs=1")
    (tmp_path / "part").mkdir()
    part = make_part(environment={"XLA_FLAGS": "--ours=2"})
    _, said = check_gpu.run_part(part, tmp_path / "part", limit_s=60)
    environment = ast.literal_eval(said)
    assert environment["XLA_FLAGS"] == "--theirs=1 --ours=2"
    assert environment["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "compiled")


@pytest.mark.parametrize(
    ("program", "status", "said"),
    [
        ("print('so far'); import os; os.abort()", "aborted by SIGABRT", ""),
        ("import time; print('slow', flush=True); time.sleep(60)", "over its", "slow"),
        ("raise ValueError('no such card')", "failed", "ValueError: no such card"),
        ("", "done", ""),
    ],
)
def test_a_part_that_ends_early_or_late_costs_only_itself(
    program, status, said, tmp_path, monkeypatch
):
    monkeypatch.setattr(check_gpu, "_PROGRAM", (sys.executable, "-c", program))
    found = check_gpu.run_part(make_part(), tmp_path, limit_s=1)
    assert found[0].startswith(status)
    assert found[1].endswith(said)


def run_with(results, tmp_path, monkeypatch, parts, minutes=1.0, left_out=()):
    """Runs parts, of which `results` has status and facts; returns the document."""

    def run_part(part, folder, limit_s):
        status, facts = results[part.name]
        (folder / "facts.json").write_text(json.dumps(facts))
        return status, "" if status == "done" else "what it said"

    monkeypatch.setattr(check_gpu, "run_part", run_part)
    told = {"commit": "abc", "left_out": left_out}
    run = check_gpu.Run(tmp_path, minutes=minutes, reference=tmp_path, **told)
    run.take(parts)
    return json.loads((tmp_path / "gpu.json").read_text())


CARD = {
    "device": "NVIDIA H0",
    "driver": "1.2",
    "versions": {"jax": "0.0"},
    "products": {"bfloat16": 100.0},
    "copy": 4000.0,
}
SPEED = {
    "seconds": [0.01, 0.02, 0.04],
    "batch_size": 16,
    "flops": 10**12,
    "compile_s": 3.0,
    "peak_bytes": 5 * 10**6,
    "trace": {
        "kernels": 7.0,
        "busy_ms": 5.0,
        "wall_ms": 20.0,
        "longest": [{"name": "gemm", "count": 2.0, "ms": 1.5}],
    },
}


TURN = {
    "by": "spectjax",
    "batch_size": 4,
    "seconds": [0.02],
    "times_torch": 1.5,
    "flops": 10**9,
    "compile_s": 0.0,
    "peak_bytes": 7 * 10**6,
}
TURNS = {"rows": [TURN], "notes": ["it was warm"]}


def test_what_is_found_is_written_with_what_failed(tmp_path, monkeypatch):
    request = {"request": {"dtype": "bfloat16"}}
    speed = gpu_plan.Part("speed", "speed unet", "speed", request, 9)
    beside = gpu_plan.Part(
        "torch", "torch unet", "beside_torch", {"dtype": "float32"}, 9
    )
    parts = [make_part(), speed, beside, make_part("torch")]
    results = {
        "card": ("done", CARD),
        "speed unet": ("done", SPEED),
        "torch unet": ("done", TURNS),
        "torch": ("aborted by SIGABRT", {}),
    }
    document = run_with(results, tmp_path, monkeypatch, parts, left_out=["types unet"])
    assert [part["status"] for part in document["parts"]] == [
        *("done", "done", "done", "aborted by SIGABRT")
    ]
    assert document["parts"][3]["facts"] is None
    table = (tmp_path / "gpu.md").read_text()
    assert "- device: NVIDIA H0\n" in table and "- commit: abc\n" in table
    # 16 images in 20 ms; 10^12 operations in 20 ms are half of 100 TFLOP/s.
    row = "| unet | 20.00 | 800 | 400–1600 (3) | 50% | 3 | 5 | 7 | 5.00 | 25% |"
    assert row in table
    assert "| `gemm` | 2 | 1.500 |" in table
    # 4 images in 20 ms; no product of float32 was measured.
    row = "| unet | spectjax | 1.50 | 20.00 | 200 | 200–200 (1) | – | 0 | 7 |"
    assert row in table and "- unet: it was warm\n" in table
    assert "- not run: types unet\n" in table
    assert "- outputs that are not a CPU's: none was compared\n" in table
    assert "## torch\n\n```\nwhat it said\n```" in table


def test_without_a_gpu_no_kernel_is_told_of(tmp_path, monkeypatch):
    request = {"request": {"dtype": "bfloat16"}}
    speed = gpu_plan.Part("speed", "speed unet", "speed", request, 9)
    facts = SPEED | {"trace": gpu_trace.summarise([], steps=2)}
    run_with({"speed unet": ("done", facts)}, tmp_path, monkeypatch, [speed])
    assert "| – | 3 | 5 | – | – | – |" in (tmp_path / "gpu.md").read_text()


def test_the_product_is_told_in_numbers(tmp_path, monkeypatch):
    facts = {"seconds": 61.26, "seconds_again": 5.0}
    facts |= {
        "last_epoch": {"images_per_s": 812.5},
        "scores": {"iou": 0.625, "p": None},
    }
    product = gpu_plan.Part("product", "product quick", "product", {}, 9)
    run_with({"product quick": ("done", facts)}, tmp_path, monkeypatch, [product])
    table = (tmp_path / "gpu.md").read_text()
    assert "- seconds: 61.3\n- seconds_again: 5.0\n" in table
    assert "| images_per_s | 812.5 |\n| iou | 0.625 |\n| p | – |" in table


def test_what_is_timed_runs_alone_and_in_its_place(tmp_path, monkeypatch):
    together, begun = threading.Barrier(2, timeout=10), []

    def run_part(part, folder, limit_s):
        begun.append(part.name)
        if not part.alone:
            together.wait()
        return "failed", ""

    monkeypatch.setattr(check_gpu, "run_part", run_part)
    monkeypatch.setattr(check_gpu, "count_cores", lambda: 2)
    run = check_gpu.Run(tmp_path, minutes=1, reference=tmp_path, commit="abc")
    names = ("first", True), ("b", False), ("c", False), ("last", True)
    run.take([make_part(name, alone=alone) for name, alone in names])
    assert begun[0] == "first" and begun[-1] == "last"
    assert sorted(begun[1:3]) == ["b", "c"]


def test_nothing_begins_when_the_time_is_over(tmp_path, monkeypatch):
    document = run_with({}, tmp_path, monkeypatch, [make_part()], minutes=0)
    assert document["parts"][0]["status"] == "no time"


def test_what_cannot_end_is_not_begun_and_what_can_is(tmp_path, monkeypatch):
    parts = [make_part("long", limit_s=300), make_part("short", limit_s=200)]
    results = {"short": ("done", {})}
    document = run_with(results, tmp_path, monkeypatch, parts, minutes=1)
    assert [part["status"] for part in document["parts"]] == ["no time", "done"]


def write_outputs(folder, name, **changes):
    arrays = {
        "prediction": np.array([1.0, -4.0]),
        "losses": np.array([2.0, 1.0]),
        "gradient": np.array([3.0, 4.0]),
    }
    folder.mkdir(exist_ok=True)
    np.savez(folder / f"{name}.npz", **(arrays | changes))


def compare(tmp_path):
    return gpu_table.compare_outputs(tmp_path, tmp_path)


def test_outputs_are_compared_with_those_of_a_cpu(tmp_path):
    write_outputs(tmp_path / "reference_unet", EXACT)
    for folder, way, gradient in (
        ("outputs_unet", EXACT, [3.0, 4.0]),
        ("types_unet", "float32", [3.0, 4.5]),
    ):
        write_outputs(
            tmp_path / folder,
            way,
            prediction=np.array([1.0, -3.0]),
            losses=np.array([2.0, 1.5]),
            gradient=np.array(gradient),
        )
    exact, tf32 = compare(tmp_path)
    assert exact["prediction"] == 1 / 4 and exact["losses"] == 0.5 / 2
    assert exact["first loss"] == exact["gradient"] == 0
    assert tf32["gradient"] == 0.5 / 5
    # Only exact products are held to the limits.
    assert gpu_table.find_faults([exact, tf32]) == [
        f"unet, {EXACT}: prediction differs by 2.5e-01"
    ]


def test_scores_near_a_half_are_told_apart():
    scores = np.array([0.75, 0.5, 0.0], np.float32)
    valid = np.array([True, True, False])
    found = narrow_networks._find_log_odds(Instances(None, scores, None, valid, None))
    np.testing.assert_allclose(found, [np.log(3), 0, 0], rtol=1e-6)


def test_no_level_that_k_means_sees_is_halfway_between_two_others():
    def find_margin(images):
        levels = np.unique(images).astype(float)
        pairs = np.triu_indices(len(levels), 1)
        halfway = (levels[pairs[0]] + levels[pairs[1]]) / 2
        margin = np.abs(levels[:, None] - halfway).min() / np.ptp(levels)
        return margin

    assert find_margin(narrow_networks.synthesise("unet")["images"]) == 0
    assert find_margin(narrow_networks.synthesise("kmeans")["images"]) > 1e-6


@pytest.mark.parametrize(("gradient", "is_fault"), [(4.4, False), (4.6, True)])
def test_bfloat16_may_differ_ten_times_as_much_as_a_cpu_s(gradient, is_fault, tmp_path):
    write_outputs(tmp_path / "reference_unet", EXACT)
    # A hundredth of the norm, which is 5.
    there = {"gradient": np.array([3.0, 4.05])}
    write_outputs(tmp_path / "reference_unet", BFLOAT16, **there)
    here = {"gradient": np.array([3.0, gradient])}
    write_outputs(tmp_path / "types_unet", BFLOAT16, **here)
    faults = gpu_table.find_faults(compare(tmp_path))
    said = ["unet, bfloat16: gradient differs by 1.2e-01"]
    assert faults == (said if is_fault else [])


def test_what_is_not_finite_is_a_fault(tmp_path):
    write_outputs(tmp_path / "reference_unet", EXACT)
    write_outputs(tmp_path / "outputs_unet", EXACT, gradient=np.array([np.nan, 4.0]))
    assert gpu_table.find_faults(compare(tmp_path)) == [
        f"unet, {EXACT}: not finite",
        f"unet, {EXACT}: gradient differs by nan",
    ]


def kernel(name, start, length, thread=1, process=1):
    place = {"pid": process, "tid": thread}
    return {"ph": "X", "name": name, "ts": start, "dur": length, **place}


def named(kind, name, thread=0, process=1):
    place = {"pid": process, "tid": thread}
    return {"ph": "M", "name": kind, "args": {"name": name}, **place}


def test_a_trace_tells_how_long_kernels_ran():
    events = [
        named("process_name", "/device:GPU:0"),
        named("process_name", "/host:CPU", process=2),
        named("thread_name", "Stream #1(Compute)", thread=1),
        named("thread_name", "Stream #2(Memcpy)", thread=2),
        named("thread_name", "XLA Modules", thread=3),
        named("thread_name", "Stream of another kind", thread=1, process=2),
        kernel("a", 0, 1000),
        kernel("a", 3000, 1000),
        kernel("copy", 500, 1500, thread=2),  # half a millisecond beside a kernel
        kernel("whole step", 0, 9000, thread=3),
        kernel("host", 0, 9000, process=2),
    ]
    found = gpu_trace.summarise(events, steps=2)
    assert found == {
        "kernels": 1.5,
        "busy_ms": 1.5,
        "span_ms": 2.0,
        "longest": [
            {"name": "a", "count": 1.0, "ms": 1.0},
            {"name": "copy", "count": 0.5, "ms": 0.75},
        ],
    }
    assert gpu_trace.summarise([], steps=2)["busy_ms"] == 0


def test_an_unknown_part_is_refused(monkeypatch, capsys):
    command = ["check_gpu", "--output_dir=out", "--parts=cards"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        check_gpu.main()
    assert "--parts: 'cards' is none of card, " in capsys.readouterr().err


# Hides all that need not be at hand, in the processes of the parts as well.
HIDE = f"""
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name in {sorted({"ml_collections", "grain", "tensorflow_datasets"})}:
            raise ModuleNotFoundError("hidden: " + name, name=name)
sys.meta_path.insert(0, Hide())
"""


def rehearse(folder, parts, monkeypatch, data_dir=None):
    """Rehearses parts to the end and returns what is written of them."""
    arguments = argparse.Namespace(
        output_dir=folder,
        reference=None,
        data_dir=data_dir,
        parts=parts,
        minutes=30,
        commit=None,
        rehearse=True,
    )
    monkeypatch.setattr(check_gpu, "_parse_arguments", lambda: arguments)
    check_gpu.main()
    document = json.loads((folder / "gpu.json").read_text())
    assert {part["status"] for part in document["parts"]} == {"done"}
    return document


@pytest.mark.slow
def test_the_product_is_rehearsed(tmp_path, monkeypatch):
    data_dir = tmp_path / "data"
    prepare.prepare("segmentation_smoke_phantom", data_dir=data_dir, manual_dir=None)
    document = rehearse(tmp_path, ["card", "product"], monkeypatch, data_dir)
    scores = document["parts"][-1]["facts"]["scores"]
    assert 0 < scores["PA"] <= 1
    assert f"| PA | {scores['PA']:.4g} |" in (tmp_path / "gpu.md").read_text()


@pytest.mark.slow
def test_all_but_pytorch_and_the_product_are_rehearsed(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    parts = ["card", "outputs", "reference", "speed", "types", "more"]
    document = rehearse(tmp_path, parts, monkeypatch)
    assert gpu_table.find_faults(document["outputs"]) == []
    assert len(document["outputs"]) == 2 * 4 + 1
    assert list((tmp_path / "compiled").iterdir())
