"""Tests of `tfds_spect.beam`: the same data set, made by several processes."""

import importlib.util
import pathlib
import pickle
import shutil

import numpy as np
import pytest

from tfds_spect import source
from tfds_spect.errors import PrepareError
from tfds_spect.prepare import prepare

CONFIG = "segmentation_smoke"  # one copy of each image
needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None, reason="needs apache-beam"
)


def files_of(prepared):
    return {path.name: path.read_bytes() for path in prepared.builder_dir.iterdir()}


@needs_beam
# Beam's own: it looks for Google's clients and leaves files to the garbage collector.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "arguments",
    [
        "--runner=DirectRunner",
        pytest.param(
            "--runner=DirectRunner --direct_running_mode=multi_processing "
            "--direct_num_workers=2",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["one process", "two processes"],
)
def test_beam_writes_the_same_bytes(hospital, tmp_path, arguments):
    plain = prepare(CONFIG, data_dir=tmp_path / "plain", manual_dir=hospital)
    beam = prepare(
        CONFIG, data_dir=tmp_path / "beam", manual_dir=hospital, beam=arguments
    )
    assert files_of(beam) == files_of(plain)
    assert beam.parts == plain.parts
    assert not list(pathlib.Path(tmp_path).rglob("*incomplete*"))


@pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is not None, reason="needs no apache-beam"
)
def test_without_beam_its_flag_says_how_to_install_it(hospital, tmp_path):
    with pytest.raises(PrepareError, match=r"pip install '\.\[beam\]'"):
        prepare(CONFIG, data_dir=tmp_path, manual_dir=hospital, beam="")
    assert not (tmp_path / "tfds_spect" / CONFIG / "2.0.0").exists()


def test_read_again_brings_the_pixels_that_were_dropped(hospital):
    whole, skips = source.read_source(hospital)
    pixelless, same_skips = source.read_source(hospital, keep_pixels=False)
    assert skips == same_skips
    for expected, bare in zip(whole, pixelless, strict=True):
        assert bare.example_id == expected.example_id
        assert bare.counts.nbytes + bare.lesions.nbytes == 0
        assert len(pickle.dumps(bare)) < 50_000
        again = source.read_again(bare)
        np.testing.assert_array_equal(again.counts, expected.counts)
        np.testing.assert_array_equal(again.lesions, expected.lesions)
        assert again.labels == expected.labels
        assert again.crop_box == expected.crop_box
        assert again.diagnosis == expected.diagnosis


def test_read_again_refuses_another_pseudonym_key(hospital, monkeypatch):
    (first, *_), _ = source.read_source(hospital, keep_pixels=False)
    monkeypatch.setenv("SPECTJAX_PSEUDONYM_KEY", "another")
    with pytest.raises(PrepareError, match="SPECTJAX_PSEUDONYM_KEY is not the same"):
        source.read_again(first)


def test_read_again_refuses_a_file_that_changed(spoilt):
    originals, _ = source.read_source(spoilt)
    first, second = originals[0].place.file.path, originals[-1].place.file.path
    assert first != second
    shutil.copy(second, first)
    with pytest.raises(PrepareError, match=f"{first.name}: expected image"):
        source.read_again(originals[0])
