"""The fingerprint of a data set's content: which images, outlines and labels it holds.

It is of all that an example holds: pixels, masks, lesions one by one, label, diagnosis,
view, spacing, fold, names. It does not depend on where the data set lies, in which
order or how many files its examples stand, in which format, or how they are compressed.
It is written into the data set's metadata; of a data set that was prepared before there
was one, it is computed when it is asked for.
"""

import hashlib
import pathlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tensorflow_datasets.proto import tf_example_pb2

from tfds_spect.errors import PrepareError
from tfds_spect.features import COMPRESSED
from tfds_spect.records import find_records, read_record

KEY = "content"  # in the data set's metadata


@dataclass(frozen=True)
class Content:
    """What a data set holds, as hashes.

    Attributes:
        fingerprint: of everything.
        splits: of the examples of each split, by its name.
        files: SHA-256 of each record file, by its name; empty if the data set was
            prepared before there were fingerprints.
    """

    fingerprint: str
    splits: Mapping[str, str]
    files: Mapping[str, str]


def measure_content(
    tfrecords: Mapping[str, Sequence[pathlib.Path]], files: Iterable[pathlib.Path] = ()
) -> Content:
    """Reads the TFRecord files of each split, half a millisecond for an image.

    Hashes of `files` are part of the content.

    Raises:
        PrepareError: if a file is missing or damaged.
    """
    splits = {
        name: fingerprint_examples(
            digest for path in paths for digest in _digest_file(path)
        )
        for name, paths in sorted(tfrecords.items())
    }
    return Content(
        fingerprint=join_fingerprints(splits),
        splits=splits,
        files={path.name: hash_file(path) for path in sorted(files)},
    )


def fingerprint_examples(digests: Iterable[bytes]) -> str:
    """Returns the fingerprint of examples, in whatever order they come."""
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def join_fingerprints(parts: Mapping[str, str]) -> str:
    """Returns the fingerprint of several splits, given those of each by its name."""
    text = "".join(f"{name}\0{parts[name]}\0" for name in sorted(parts))
    return hashlib.sha256(text.encode()).hexdigest()


def digest_record(record: bytes) -> bytes:
    """Returns a hash of an example's features as they are before compression.

    Raises:
        ValueError: if it is no example of ours.
    """
    digest = hashlib.sha256()
    features = tf_example_pb2.Example.FromString(record).features.feature
    for name in sorted(features):
        kind = features[name].WhichOneof("kind") or ""
        values = getattr(features[name], kind).value if kind else ()
        digest.update(f"{name}\0{kind}\0{len(values)}\0".encode())
        for value in values:
            if kind == "bytes_list":
                value = zlib.decompress(value) if name in COMPRESSED else value
                digest.update(struct.pack("<q", len(value)) + value)
            else:
                form = "<q" if kind == "int64_list" else "<f"
                digest.update(struct.pack(form, value))
    return digest.digest()


def hash_file(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file.

    Raises:
        PrepareError: if it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise explain_damage(path, error.strerror or error) from error


def explain_damage(path: pathlib.Path, found: object) -> PrepareError:
    """Returns what is raised for a file of a data set that cannot be used."""
    return PrepareError(
        f"{path}: expected a file of a prepared data set, found: {found}. Copy the "
        f"data set again, or remove {path.parent} and prepare it anew."
    )


def _digest_file(path: pathlib.Path) -> Iterator[bytes]:
    """Yields the digest of each record of a TFRecord file."""
    try:
        for offset, length in find_records(str(path)):
            yield digest_record(read_record(str(path), offset, length))
    except PrepareError:
        raise
    # Of a damaged record protobuf and zlib have errors of their own.
    except Exception as error:
        found = getattr(error, "strerror", None) or error
        raise explain_damage(path, found) from error
