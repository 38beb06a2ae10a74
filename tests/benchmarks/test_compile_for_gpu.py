"""What is compiled for a GPU, and what is wrong with a program, without compiling."""

import importlib
import re
import subprocess
import sys

import pytest

from benchmarks import compile_for_gpu, gpu_settings
from benchmarks.gpu_cards import CARDS
from spectjax.models import MODELS

GOOD = {
    "bytes": 28e9,
    "flops": 4.9e12,
    "kernels": 491,
    "collectives": {"all-reduce": 43},
    "waits": [],
    "floors_s": [0.0068, 0.0064],
    "memory": 3.6e9,
    "images": 16,
    "kept": 4000,
    "state_bytes": 4000,
    "calls": ["__cudnn$convForward", "__cublas$lt$matmul"],
    "f64": False,
    "host_ops": [],
    "transposed": [],
    "compile_s": 34.0,
}


def find_names(settings):
    modules = {each.config.partition(":")[0] for each in settings}
    return {
        importlib.import_module(f"configs.{name}").get_config("smoke").model.name
        for name in modules
    }


def test_every_registered_model_predicts_and_trains_and_each_way_has_its_turn():
    settings = gpu_settings.plan(gpu_settings.CONFIGS, gpu_settings.MODES)
    assert {each.config.partition(":")[2] for each in settings} == {"smoke"}
    predicted = [each for each in settings if each.mode == "predict"]
    trained = [each for each in settings if each.mode == "train"]
    assert find_names(predicted) == set(MODELS)
    assert find_names(trained) == set(MODELS) - {"kmeans"}
    ways = {("float32", "h100"), ("bfloat16", "h200")}
    assert {(each.dtype, each.card) for each in predicted} == ways
    assert {(each.dtype, each.card) for each in trained} == ways
    assert {each.devices for each in trained} == {1, 8}


def test_full_sizes_are_those_of_the_configs_in_all_ways():
    ways = [(a, b, c) for a in gpu_settings.DTYPES for b in "18" for c in CARDS]
    settings = gpu_settings.plan(
        ["unet", "kmeans"], ("train", "predict"), full=True, ways=ways
    )
    assert {each.config for each in settings} == {"unet", "kmeans"}
    # 8 of training, 4 of predicting on one device; K-means learns nothing.
    assert len(settings) == len(set(settings)) == 8 + 4 + 4
    assert {
        each.title for each in settings if each.devices > 1 and each.mode == "predict"
    } == set()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"calls": ["spectjax_convolution"]}, "calls spectjax_convolution"),
        ({"calls": ["xla_ffi_python_gpu_callback"]}, "none of CUDA's libraries"),
        ({"host_ops": ["outfeed"]}, "asks the host: outfeed"),
        ({"f64": True}, "float64"),
        ({"transposed": ["conv.3"]}, "rearranges images in memory .*: conv.3"),
        ({"kept": 3996}, "of its 4000 bytes 3996 are used again"),
        ({"memory": 4.1e9}, r"takes 4\.1 GB; allowed are 4 \(--memory_gb\)"),
    ],
)
def test_each_fault_of_a_program_is_found(change, fault):
    faults = compile_for_gpu.find_faults(GOOD | change, memory_gb=4)
    if fault is None:
        assert faults == []
    else:
        (found,) = faults
        assert re.search(fault, found)


FAKE = """
import json, os, sys
for each in json.loads(sys.argv[1]):
    if each["config"] == "aborts:smoke" and each["mode"] == "predict":
        sys.stderr.write("F1 x.cc:3] Check failed: stride == 1\\nstack\\n")
        sys.stderr.flush()
        os.abort()
    print(json.dumps({"mode": each["mode"]}), flush=True)
"""


def test_an_abort_costs_one_program_and_is_told(monkeypatch, tmp_path):
    run = subprocess.run

    def run_fake(command, **options):
        return run([sys.executable, "-c", FAKE, command[-1]], **options)

    monkeypatch.setattr(subprocess, "run", run_fake)
    settings = gpu_settings.plan(["aborts", "fine"], gpu_settings.MODES)
    results = compile_for_gpu.compile_all(settings)
    assert list(results) == settings
    for each, facts in results.items():
        if each.config == "aborts:smoke" and each.mode == "predict":
            assert facts == (
                "XLA ended the process by SIGABRT: F1 x.cc:3] Check failed: stride == 1"
            )
        else:
            assert facts == {"mode": each.mode}


def test_the_table_says_that_nothing_was_run_and_what_failed(monkeypatch):
    monkeypatch.setattr(compile_for_gpu, "_list_versions", lambda: [("jax", "1")])
    one, other = gpu_settings.plan(["unet"], ["train"], ways=gpu_settings.FEW)
    text = compile_for_gpu.format_results({one: GOOD, other: "XLA ended it"}, 16)
    assert text.startswith("## Compiled for a GPU, not run on one")
    assert (
        "| unet:smoke train float32, h100 | 28 | 4.9 | 491 | 0 | 43 all-reduce | 3.6 "
        "| 6.8, 6.4 | 1212–2353 | 34 |" in text
    )
    assert "| unet:smoke train bfloat16, 8 x h200 | not compiled | –" in text
    looped = GOOD | {"waits": ["while"]}
    assert "| 6.8, 6.4 | – | 34 |" in compile_for_gpu.format_results({one: looped}, 16)
    assert "- faults: unet:smoke train bfloat16, 8 x h200: XLA ended it" in text


def test_without_the_compiler_for_cuda_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["compile_for_gpu", "--configs=unet"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install '\.\[gpu-compile\]'"):
        compile_for_gpu.main()


def test_a_word_that_is_unknown_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compile_for_gpu", "--cards=h300"])
    with pytest.raises(SystemExit):
        compile_for_gpu.main()
    assert "--cards: 'h300' is none of h100, h200" in capsys.readouterr().err
