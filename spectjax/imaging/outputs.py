"""Under which names what was found in bone scans is written."""

import hashlib
import itertools
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from spectjax.imaging.scan import BoneScan, find_stem
from spectjax.system.limits import RESULT_BYTES, read_limited

_MOST_BYTES = 200  # of 255 that file systems take: a suffix and more are to follow


class OutputNames:
    """Gives every view a file name, without suffix, that no other image has.

    Usually `<file stem>_<view>`. But many exports call every file `IM0001`: where
    several files share a stem, or the folder holds another image's result or another
    command's under the name, the image key is appended. Names that differ in capitals
    or Unicode form alone count as shared, since some file systems do not tell them
    apart. Of a name too long for a disk the end is a hash of it. The names are the same
    in every run with the same files.
    """

    def __init__(self, files: Iterable[Path], output_dir: Path, *, mark: str) -> None:
        """Takes what is about to be read and written.

        `mark` is a key that the command's own JSON files have, and no other's.
        """
        self._shared = Counter(fold_file_name(find_stem(file)) for file in set(files))
        self._output_dir = output_dir
        self._mark = mark
        self._taken: dict[str, str] = {}

    def choose(self, scan: BoneScan) -> str:
        """Returns the name of a view; of the same view always the same."""
        for name in map(shorten, self._list_candidates(scan)):
            if self._is_free(name, scan):
                self._taken[fold_file_name(name)] = scan.image_key
                return name
        raise AssertionError("there is no end to candidates")

    def _list_candidates(self, scan: BoneScan) -> Iterator[str]:
        if self._shared[fold_file_name(find_stem(scan.path))] < 2:
            yield scan.name
        yield f"{scan.name}_{scan.image_key}"
        for number in itertools.count(2):
            yield f"{scan.name}_{scan.image_key}_{number}"

    def _is_free(self, name: str, scan: BoneScan) -> bool:
        """Whether a name is nobody's, or of an earlier result of the same image."""
        if self._taken.get(fold_file_name(name), scan.image_key) != scan.image_key:
            return False
        path = self._output_dir / f"{name}.json"
        if not os.path.lexists(path):
            return True
        try:
            document = json.loads(read_limited(path, RESULT_BYTES))
            source = document.get("source", document)
            return self._mark in document and source["image_key"] == scan.image_key
        # What cannot be read, and pipes, are UserErrors, which are ValueErrors.
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return False  # not ours: keep it


def fold_file_name(name: str) -> str:
    """Returns a form that is equal where a file system may take names for the same."""
    folded = unicodedata.normalize("NFC", name).casefold()
    return unicodedata.normalize("NFC", folded)


def shorten(name: str) -> str:
    """Returns a name of at most 200 bytes; a longer one ends in a hash of the whole."""
    data = os.fsencode(name)
    if len(data) <= _MOST_BYTES:
        return name
    end = f"_{hashlib.blake2b(data, digest_size=8).hexdigest()}"
    while len(os.fsencode(name + end)) > _MOST_BYTES:
        name = name[:-1]
    return name + end
