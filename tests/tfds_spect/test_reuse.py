"""Tests of the data card's recipes: a data set that others read without our code."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from spectjax.phantom import write_phantom
from tfds_spect.prepare import prepare

CARD = pathlib.Path(__file__).parents[2] / "tfds_spect" / "README.md"
CONFIG = "segmentation_smoke"  # one copy of each image
COPIES = "fold1+fold1_augmented"
TRAIN = f"{COPIES}+fold2+fold2_augmented"
# Before a recipe: our packages cannot be imported, as if they were not installed.
FORBID = """
import sys
sys.modules["spectjax"] = sys.modules["tfds_spect"] = None
"""
# After one: every image and mask that it reads, by its content; or all its features.
SAVE_BATCHES = """
images, masks = zip(*[(b["image"], b["mask"]) for b in batches])
"""
SAVE_PYTORCH = """
images, masks = zip(*[(i.permute(0, 2, 3, 1).numpy(), m.numpy()) for i, m in loader])
"""
SAVE_PIXELS = """
import numpy as np
np.savez(sys.argv[1], image=np.concatenate(images), mask=np.concatenate(masks))
"""
SAVE_FEATURES = """
import numpy as np
def flatten(example):
    copy = {f"copy.{name}": value for name, value in example.pop("copy").items()}
    return example | copy
arrays = {}
for example in EXAMPLES:
    example = flatten(dict(example))
    key = example["example_id"].decode()
    arrays |= {f"{key}/{name}": value for name, value in example.items()}
np.savez(sys.argv[1], **arrays)
"""


def needs(package):
    return pytest.mark.skipif(
        importlib.util.find_spec(package) is None,
        reason=f"needs {package}, which spectjax does not: pip install {package}",
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with `data`, as somebody else prepared it."""
    folder = tmp_path_factory.mktemp("reuse")
    hospital = write_phantom(folder / "hospital", patients=8, seed=5, processes=1)
    prepare(CONFIG, data_dir=str(folder / "data"), manual_dir=str(hospital))
    return folder


def find_recipe(word):
    """The data card's block of Python that holds a word."""
    blocks = re.findall(r"```python\n(.*?)```", CARD.read_text(), re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    return block.replace("segmentation_quick_phantom", CONFIG)


def run_recipe(folder, recipe, epilogue, out):
    """Runs a recipe in `folder` and returns the arrays that the epilogue saves."""
    subprocess.run(
        [sys.executable, "-I", "-c", FORBID + recipe + epilogue, str(out)],
        check=True,
        cwd=folder,
        capture_output=True,
    )
    with np.load(out) as arrays:
        return dict(arrays)


def read_all(folder, split):
    (builder_dir,) = (folder / "data" / "tfds_spect" / CONFIG).glob("*.*.*[0-9]")
    return list(tfds.builder_from_directory(builder_dir).as_data_source(split))


def sort_pixels(images, masks):
    """Images with their masks, in an order of their own."""
    pairs = [np.append(i, m) for i, m in zip(images, masks, strict=True)]
    return np.array(sorted(pairs, key=lambda pair: pair.tobytes()))


def assert_same_pixels(found, examples):
    wanted = [e["image"] for e in examples], [e["mask"] for e in examples]
    np.testing.assert_array_equal(
        sort_pixels(found["image"].astype(np.uint16), found["mask"]),
        sort_pixels(*wanted),
    )


def assert_same_features(found, examples):
    """Every feature of every example has the same values, arrays the same dtype."""
    count = 0
    for example in examples:
        key = example["example_id"].decode()
        copy = {f"copy.{name}": value for name, value in example.pop("copy").items()}
        for name, value in (example | copy).items():
            other = found[f"{key}/{name}"]
            np.testing.assert_array_equal(other, value, strict=np.ndim(value) > 0)
            count += 1
    assert count == len(found)


def test_random_access_needs_neither_tensorflow_nor_our_code(data, tmp_path):
    recipe = find_recipe("held_out = builder.as_data_source")
    epilogue = SAVE_FEATURES.replace("EXAMPLES", "train")
    found = run_recipe(data, recipe, epilogue, tmp_path / "out.npz")
    assert_same_features(found, read_all(data, TRAIN))


def test_data_source_finds_a_data_set_by_name_without_our_code(data, tmp_path):
    recipe = (
        "import tensorflow_datasets as tfds\n"
        f"train = tfds.data_source('tfds_spect/{CONFIG}', split='{COPIES}',"
        " data_dir='data', try_gcs=False)\n"
    )
    epilogue = SAVE_FEATURES.replace("EXAMPLES", "train")
    found = run_recipe(data, recipe, epilogue, tmp_path / "out.npz")
    assert_same_features(found, read_all(data, COPIES))


def test_grain_reads_every_example_once(data, tmp_path):
    epilogue = SAVE_BATCHES + SAVE_PIXELS
    found = run_recipe(data, find_recipe("grain"), epilogue, tmp_path / "out.npz")
    assert_same_pixels(found, read_all(data, COPIES))


@needs("torch")
def test_pytorch_reads_every_example_once(data, tmp_path):
    epilogue = SAVE_PYTORCH + SAVE_PIXELS
    found = run_recipe(data, find_recipe("torch"), epilogue, tmp_path / "out.npz")
    assert_same_pixels(found, read_all(data, COPIES))


@needs("tensorflow")
def test_tensorflow_reads_the_same_values(data, tmp_path):
    epilogue = SAVE_FEATURES.replace("EXAMPLES", "tfds.as_numpy(train)")
    found = run_recipe(data, find_recipe("tfds.load"), epilogue, tmp_path / "out.npz")
    assert_same_features(found, read_all(data, TRAIN))
