"""Tests of `tfds_spect.beam`: the same data set, made by several processes."""

import importlib.util
import pickle
import shutil
import sys
import types

import numpy as np
import pytest

from tfds_spect import source
from tfds_spect.beam import explain_server, parse_options
from tfds_spect.errors import PrepareError
from tfds_spect.prepare import prepare

CONFIG = "segmentation_quick_leaking"  # two splits, four copies of each image


def files_of(prepared):
    return {path.name: path.read_bytes() for path in prepared.builder_dir.iterdir()}


@pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None, reason="needs apache-beam"
)
# Beam's own: it looks for Google's clients and leaves files to the garbage collector.
@pytest.mark.filterwarnings("default")
def test_two_processes_of_beam_write_the_same_bytes(hospital, tmp_path):
    plain = prepare(CONFIG, data_dir=tmp_path / "plain", manual_dir=hospital)
    beam = prepare(
        CONFIG,
        data_dir=tmp_path / "beam",
        manual_dir=hospital,
        beam="--runner=DirectRunner --direct_running_mode=multi_processing "
        "--direct_num_workers=2",
    )
    assert files_of(beam) == files_of(plain)
    assert beam.parts == plain.parts
    assert not list(tmp_path.rglob("*incomplete*"))


def test_beam_is_given_its_arguments_as_a_command_line_has_them(monkeypatch):
    options = types.ModuleType("apache_beam.options.pipeline_options")
    options.PipelineOptions = list
    monkeypatch.setitem(sys.modules, options.__name__, options)
    for package in ("apache_beam.options", "apache_beam"):
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    arguments = """--runner=FlinkRunner --environment_config='{"command": "boot"}'"""
    assert parse_options(arguments) == [
        "--runner=FlinkRunner",
        '--environment_config={"command": "boot"}',
    ]


def test_without_beam_its_flag_says_how_to_install_it(hospital, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
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


def fail_in(module, error):
    """Raises an error from a function of a module of that name, as Beam would."""
    code = "def start(error):\n    raise error"
    scope = {"__name__": module}
    exec(code, scope)
    scope["start"](error)


@pytest.mark.parametrize(
    ("arguments", "module", "said"),
    [
        (
            "--runner=FlinkRunner --flink_version=1.20",
            "apache_beam.utils.subprocess_server",
            r"job server for FlinkRunner, found none \(no jar\)\. Install Java.*"
            r"--flink_job_server_jar=FILE; docs/scaling\.md",
        ),
        (
            "--runner PortableRunner --job_endpoint=NOWHERE:1",
            "apache_beam.runners.portability.job_server",
            r"job server for PortableRunner.*--job_endpoint=HOST:PORT",
        ),
    ],
)
def test_a_job_server_that_is_not_there_is_one_line_with_a_remedy(
    arguments, module, said
):
    with pytest.raises(PrepareError, match=said), explain_server(arguments):
        try:
            fail_in(module, RuntimeError("no jar"))
        except RuntimeError as error:  # as TFDS passes it on
            raise RuntimeError("while writing") from error


def test_an_error_of_our_own_on_a_worker_stays_what_it_is():
    arguments = "--runner=FlinkRunner"
    with pytest.raises(KeyError), explain_server(arguments):
        fail_in("apache_beam.runners.worker.sdk_worker", KeyError("bug"))
