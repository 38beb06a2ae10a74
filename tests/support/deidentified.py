"""Running the room of de-identification on small folders, for tests."""

import os
import subprocess
import sys

import numpy as np
import pydicom

from spectjax.imaging.deidentify.folder import (
    deidentify_folder,
    open_target,
    write_report,
)
from spectjax.imaging.deidentify.profile import read_profile
from spectjax.imaging.diagnosis import SITE_WORDS
from tests.support.nm_files import detectors

KEY = "a key for tests, of enough characters"
FRAMES = np.zeros((2, 40, 20), np.uint16)
FRAMES[0, 3, 5], FRAMES[0, 30, 12], FRAMES[1, 7, 2], FRAMES[1, 38, 19] = 9, 300, 41, 7
OPPOSITE = detectors("anterior", "posterior")


def deidentify(source, target, **options):
    """Runs the room on a folder; returns the entries by kind and original path."""
    options = {"view": None, "allow_burned_in": False, "words": frozenset()} | options
    options["words"] |= frozenset(SITE_WORDS)
    table = options.pop("table", None) or read_profile()
    open_target(target)
    entries = deidentify_folder(source, target, table, **options)
    write_report(target.with_name(f"{target.name}-report"), entries)
    kinds = ("image", "annotation", "other")
    return sorted(entries, key=lambda e: (kinds.index(e.kind), e.original))


def run(*arguments, key=KEY):
    command = [sys.executable, "-m", "spectjax.imaging.deidentify", *arguments]
    environment = os.environ | {"SPECTJAX_PSEUDONYM_KEY": key}
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environment
    )


def files_in(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def only_output(target):
    (path,) = (target / "dicom").iterdir()
    return path, pydicom.dcmread(path)
