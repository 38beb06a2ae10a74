"""Tests of `spectjax.system.jax_setup`: what keeps jax from computing is one line."""

import logging
import os
import pathlib
import subprocess
import sys
import warnings

import jax
import pytest

from spectjax.system import jax_setup as startup
from spectjax.system.jax_setup import (
    StartError,
    find_cache_folder,
    find_devices,
    load_jax,
)

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def settings():
    """Lets a test change settings of jax."""
    names = (*startup._SETTINGS, "jax_compilation_cache_dir")
    names += ("jax_enable_compilation_cache",)
    before = {name: getattr(jax.config, name) for name in names}
    yield jax.config.update
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jax_enable_x64", True),
        ("jax_disable_jit", True),
        ("jax_default_prng_impl", "rbg"),
        ("jax_threefry_partitionable", False),
        ("jax_numpy_dtype_promotion", "strict"),
    ],
)
def test_what_changes_the_numbers_is_refused(name, value, settings):
    load_jax()
    settings(name, value)
    with pytest.raises(
        StartError, match=f"{name.upper()}={value}: expected .*Unset it"
    ):
        load_jax()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--xla_no_such_flag=1", "Unknown flag in XLA_FLAGS: --xla_no_such_flag=1"),
        (
            "--xla_force_host_platform_device_count=abc",
            "Couldn't interpret value abc for flag xla_force_host_platform_device_",
        ),
        ("no_file", 'Could not open file "no_file"'),
    ],
)
def test_flags_that_xla_would_die_of_are_refused(flags, reason, monkeypatch):
    startup._check_xla_flags.cache_clear()
    monkeypatch.setenv("XLA_FLAGS", flags)
    with pytest.raises(StartError) as error:
        load_jax()
    assert str(error.value).startswith(
        f"XLA_FLAGS={flags}: XLA does not start: {reason}"
    )
    assert str(error.value).endswith("Correct or unset it.")


def test_flags_that_xla_knows_are_taken(monkeypatch):
    startup._check_xla_flags.cache_clear()
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
    load_jax()


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("Unknown backend")])
def test_a_device_that_there_is_not_is_one_line(error, monkeypatch):
    def fail():
        raise error

    monkeypatch.setattr(jax, "devices", fail)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    reason = str(error) or "no such device was found"
    with pytest.raises(StartError, match=f"JAX_PLATFORMS=cuda: .*{reason}. Unset"):
        find_devices()


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("JAX_PLATFORMS=cuda", "error: JAX_PLATFORMS=cuda: jax has no device"),
        ("JAX_ENABLE_X64=maybe", "error: jax does not start: invalid truth value"),
    ],
)
def test_a_command_that_cannot_compute_ends_in_one_line(variable, message, tmp_path):
    command = [sys.executable, "-m", "spectjax.main"]
    command += [f"--config={ROOT}/configs/unet.py:smoke", f"--workdir={tmp_path}/run"]
    name, _, value = variable.partition("=")
    environment = os.environ | {name: value, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_cache_without_a_place_is_said_once_and_not_used(settings, tmp_path, capsys):
    (tmp_path / "file").touch()
    settings("jax_compilation_cache_dir", str(tmp_path / "file" / "cache"))
    load_jax()
    load_jax()
    said = capsys.readouterr().err
    assert said.startswith("warning: Compiled programs have no place (")
    assert said.count("\n") == 1
    assert not jax.config.jax_enable_compilation_cache


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"XDG_CACHE_HOME": "/some/cache"}, "/some/cache/spectjax"),
        ({"XDG_CACHE_HOME": "", "HOME": "/some"}, "/some/.cache/spectjax"),
        ({"XDG_CACHE_HOME": "~/c", "HOME": "/some"}, "/some/c/spectjax"),
    ],
)
def test_the_cache_lies_below_the_home_folder(variables, folder, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert find_cache_folder() == pathlib.Path(folder)


def test_a_cache_is_never_a_folder_of_anywhere(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    with pytest.raises(RuntimeError, match="expected the path of a home folder, found"):
        find_cache_folder()


def test_damaged_programs_of_the_cache_are_one_line(capsys):
    startup._shorten_warnings.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        startup._shorten_warnings()
        for name in ("jit_a", "jit_b"):
            warnings.warn(
                f"Error reading persistent compilation cache entry for {name!r}: -5",
                stacklevel=1,
            )
        logging.getLogger("matplotlib").warning("mkdir -p failed for path")
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("warning: ")
    assert "jit_a" in said and "remove that folder" in said
    startup._shorten_warnings.cache_clear()
