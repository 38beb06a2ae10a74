"""Exported models as files: what is in them, and whether it is what was written.

A digest of all other bytes is the last entry of an ONNX file, and an entry of its own
in a `.stablehlo.zip`. Nothing is run here, and neither jax nor a runtime imported.
"""

import dataclasses
import hashlib
import io
import json
import pathlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from spectjax.inference.metadata import DIGEST, ModelFileError, parse_metadata
from spectjax.system.archives import open_archive
from spectjax.system.limits import METADATA_BYTES, MODEL_BYTES, read_limited

ONNX = ".onnx"
STABLEHLO = ".stablehlo.zip"
METADATA_KEY = "spectjax"  # of the ONNX model's metadata, whose value is JSON
_DIGEST_KEY = f"{METADATA_KEY}_{DIGEST}"
EXPORTED = "model.jax_export"  # in the zip file, beside METADATA
METADATA = "metadata.json"

# Of Protocol Buffers: kinds of fields, and of a ModelProto the number of that which
# holds the metadata, one key and one value each.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_METADATA_PROPS = 14
# How a tensor begins to tell the file that it lies in, which no digest here covers:
# field 1, 8 bytes; each number may be longer than it need be.
_ELSEWHERE = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")
_MOST_FIELDS = 10_000  # a model has some ten of its own


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """An exported model.

    Attributes:
        program: the ONNX file, or what `jax.export` serialised.
        metadata: what `spectjax.inference.metadata.make_metadata` returns.
        verified: whether these are the bytes that were written, by their digest; False
            of a file by an older version, which wrote none.
    """

    program: bytes
    metadata: dict[str, Any]
    verified: bool


def find_format(path: pathlib.Path) -> str:
    """Returns the format that a file's name tells, `ONNX` or `STABLEHLO`.

    Raises:
        ModelFileError: if the name ends in neither.
    """
    for suffix in (ONNX, STABLEHLO):
        if path.name.endswith(suffix):
            return suffix
    raise ModelFileError(
        f"{path}: expected a name that ends in {ONNX} or {STABLEHLO}, found "
        f"{path.name!r}. Choose the format by the name."
    )


def pack_onnx(model: bytes) -> bytes:
    """Returns an ONNX file with the digest of all before it as its last entry."""
    return model + _encode_entry(_DIGEST_KEY, hashlib.sha256(model).hexdigest())


def pack_stablehlo(metadata: Mapping[str, Any], program: bytes) -> bytes:
    """Returns a zip file of a serialised program, its metadata and their digest."""
    text = json.dumps(metadata, indent=2).encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as bundle:
        for name, content in (
            (METADATA, text),
            (EXPORTED, program),
            (DIGEST, _digest(text, program).encode()),
        ):
            # Without a date: a model always becomes the same file.
            bundle.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def read_model_file(path: pathlib.Path) -> ModelFile:
    """Returns what a file holds.

    Raises:
        ModelFileError: if it cannot be read, is not what was written, or not ours.
    """
    content = read_limited(path, MODEL_BYTES, error=ModelFileError)
    return parse_model_file(path, content)


def parse_model_file(path: pathlib.Path, content: bytes) -> ModelFile:
    """Returns what the bytes of a file hold; its name tells the format.

    Raises:
        ModelFileError: if they are not what was written, or not ours.
    """
    read = {ONNX: _read_onnx, STABLEHLO: _read_stablehlo}[find_format(path)]
    try:
        text, program, verified = read(content)
    except (
        EOFError,
        LookupError,
        MemoryError,
        NotImplementedError,
        OverflowError,
        RuntimeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise explain_damage(path, f"cannot be read ({error})") from error
    metadata = parse_metadata(path, text)
    # It says itself whether there was a digest, lest that get lost.
    if verified is False or (verified is None and DIGEST in metadata):
        raise explain_damage(
            path, "is not what was written: its digest is another, or lost"
        )
    return ModelFile(program, metadata, verified is True)


def explain_damage(path: pathlib.Path, found: str) -> ModelFileError:
    """Returns the error of a model file that cannot be used."""
    return ModelFileError(
        f"{path}: expected a model that spectjax exported, found one that {found}. "
        "Copy it again, or write it again: "
        f"python -m spectjax.export --workdir=RUN --output={path}"
    )


# The metadata if there is any, the program, and whether the digest is right; None: it
# has none.
_Read = tuple[str | None, bytes, bool | None]


def _read_stablehlo(content: bytes) -> _Read:
    bundle = open_archive(io.BytesIO(content), directory=0)
    names = [entry.filename for entry in bundle.infolist()]
    known = {METADATA, EXPORTED, DIGEST}
    if len(names) > len(known) or len({*names}) < len(names) or not {*names} <= known:
        raise ValueError(
            f"expected the entries {', '.join(sorted(known))}, found others"
        )
    # Deflate packs zeros to a thousandth; programs, which are numbers, hardly at all.
    most = min(MODEL_BYTES, 16 * len(content) + METADATA_BYTES)
    program = _read_entry(bundle, EXPORTED, most)
    if METADATA not in names:
        return None, program, None
    text = _read_entry(bundle, METADATA, METADATA_BYTES)
    verified = None
    if DIGEST in names:
        written = _read_entry(bundle, DIGEST, METADATA_BYTES)
        verified = written == _digest(text, program).encode()
    return text.decode(), program, verified


def _read_entry(bundle: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Returns an entry that is stored or deflated: other kinds inflate unbounded.

    It is asked for as many bytes as it claims: to be asked for all, Python's reader
    inflates whatever there is, and then cuts off what was not claimed.
    """
    entry = bundle.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in a way that is not expected")
    if entry.file_size > most:
        raise ValueError(f"{name} has {entry.file_size} bytes")
    with bundle.open(entry) as stream:
        content = stream.read(entry.file_size)
    if len(content) != entry.file_size:
        raise ValueError(f"{name} has {len(content)} bytes of {entry.file_size}")
    return content


def _digest(metadata: bytes, program: bytes) -> str:
    """Returns the SHA-256 of the length of the metadata, the metadata, the program."""
    digest = hashlib.sha256(f"{len(metadata)}\n".encode() + metadata)
    digest.update(program)
    return digest.hexdigest()


def _read_onnx(content: bytes) -> _Read:
    if _ELSEWHERE.search(content):
        raise ValueError("it keeps numbers in other files")
    entries: dict[str, str] = {}
    for number, value in _iterate_fields(memoryview(content)):
        if number == _METADATA_PROPS:
            if not isinstance(value, memoryview) or len(value) > METADATA_BYTES:
                raise ValueError("metadata that are no text, or too long")
            entry = {
                n: bytes(part).decode()
                for n, part in _iterate_fields(value)
                if isinstance(part, memoryview)
            }
            key = entry.get(1, "")
            if key in entries:
                raise ValueError(f"two entries {key[:40]!r} of metadata")
            entries[key] = entry.get(2, "")
    verified = None
    if _DIGEST_KEY in entries:
        last = _encode_entry(_DIGEST_KEY, entries[_DIGEST_KEY])
        body = memoryview(content)[: -len(last)]
        right = hashlib.sha256(body).hexdigest() == entries[_DIGEST_KEY]
        verified = right and content.endswith(last)
    return entries.get(METADATA_KEY), content, verified


def _encode_entry(key: str, value: str) -> bytes:
    """Returns an entry of a ModelProto's metadata; both texts are short."""
    texts = [text.encode()[:64] for text in (key, value)]
    entry = b"".join(
        bytes([number << 3 | _BYTES, len(text)]) + text
        for number, text in enumerate(texts, start=1)
    )
    return bytes([_METADATA_PROPS << 3 | _BYTES, len(entry)]) + entry


def _iterate_fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields the numbers and values of a Protocol Buffers message's own fields.

    Raises:
        ValueError: if it is none.
    """
    place = count = 0
    while place < len(message):
        count += 1
        if count > _MOST_FIELDS:
            raise ValueError(f"over {_MOST_FIELDS} fields")
        tag, place = _read_varint(message, place)
        kind = tag & 7
        if kind == _VARINT:
            value, place = _read_varint(message, place)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            size, place = _read_varint(message, place)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("no Protocol Buffers message")
        if size > len(message) - place or tag >> 3 == 0:
            raise ValueError("a Protocol Buffers message that ends too early")
        yield tag >> 3, message[place : place + size]
        place += size


def _read_varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number without an end")
