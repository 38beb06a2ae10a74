"""Tests of what `pip install` brings: all that the program reads, and nothing else."""

import configparser
import fnmatch
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest
from pydicom.data import get_testdata_file

from spectjax.inference.ready import read_document

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("spectjax", "tfds_spect")
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def list_data():
    """What lies in our packages beside modules, by package and name there."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                if path.suffix != ".py" and not path.name.startswith("."):
                    yield path.relative_to(ROOT)


def list_patterns():
    """Patterns of what is taken along, relative to the root."""
    for package, names in SETUP["options.package_data"].items():
        for name in names.split():
            yield f"{package.replace('.', '/')}/{name}"


def test_all_that_lies_beside_modules_is_taken_along():
    patterns = list(list_patterns())
    missing = [
        path.as_posix()
        for path in list_data()
        if not any(fnmatch.fnmatch(path.as_posix(), pattern) for pattern in patterns)
    ]
    assert missing == []


def test_all_folders_with_modules_are_packages():
    folders = {path.parent for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_nothing_but_our_packages_is_taken_along():
    found = SETUP["options.packages.find"]["include"].split()
    assert found == [f"{name}*" for name in PACKAGES]
    # No folder at the root but these begins so.
    assert sorted(p.name for p in ROOT.iterdir() if p.name.startswith(PACKAGES)) in (
        sorted(PACKAGES),
        sorted([*PACKAGES, "spectjax.egg-info"]),
    )


@pytest.mark.slow
def test_a_wheel_in_a_fresh_environment_finds_hotspots(tmp_path):
    def run(*command):
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    clone = tmp_path / "clone"  # setuptools takes along what it finds in a build folder
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, clone / name, ignore=ignored)
    for name in ("LICENSE", "README.md", "pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / name, clone)
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps")
    run(*pip, f"--wheel-dir={tmp_path}", str(clone))
    shutil.rmtree(clone)
    (wheel,) = tmp_path.glob("spectjax-*.whl")
    assert wheel.stat().st_size < 10_000_000
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)

    run(sys.executable, "-m", "venv", str(tmp_path / "fresh"))
    python = str(tmp_path / "fresh" / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", str(wheel))
    scan = get_testdata_file("JPEG2000.dcm")
    said = run(python, "-I", "-m", "spectjax.predict", scan)
    assert f"Model {read_document()['name']}, trained on simulated" in said
    assert (tmp_path / "predictions" / "JPEG2000_anterior.png").exists()
    assert run(python, "-I", "-m", "spectjax.predict", "--about").startswith("# Model")
