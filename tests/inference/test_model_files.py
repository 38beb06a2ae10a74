"""Tests of `spectjax.inference.model_files`: no bit of a model changes unnoticed."""

import io
import json
import pathlib
import random
import struct
import tracemalloc
import zipfile

import pytest

from spectjax.inference.metadata import ModelFileError
from spectjax.inference.model_files import (
    ONNX,
    STABLEHLO,
    find_format,
    pack_onnx,
    pack_stablehlo,
    parse_model_file,
    read_model_file,
)
from tests.support.model_files import make_metadata

PROGRAM = bytes(range(256)) * 8
MARKED = make_metadata(sha256="in this file, of all its other bytes")


def encode(number, content):
    """A field of a Protocol Buffers message."""
    size, length = len(content), b""
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def encode_onnx(metadata):
    """The outer fields of a ModelProto: version, producer, graph, metadata."""
    text = json.dumps(metadata).encode()
    entry = encode(1, b"spectjax") + encode(2, text)
    graph = encode(7, PROGRAM)
    return b"\x08\x08" + encode(2, b"somebody") + graph + encode(14, entry)


FILES = {
    "model.onnx": pack_onnx(encode_onnx(MARKED)),
    "model.stablehlo.zip": pack_stablehlo(MARKED, PROGRAM),
}


def refuse(name, content, message):
    with pytest.raises(ModelFileError, match=message) as error:
        parse_model_file(pathlib.Path(name), content)
    assert str(error.value).startswith(f"{name}: ")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", FILES)
def test_what_was_written_is_read(name, tmp_path):
    (tmp_path / name).write_bytes(FILES[name])
    found = read_model_file(tmp_path / name)
    assert (found.metadata, found.verified) == (MARKED, True)
    assert PROGRAM in found.program


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_a_digest_is_not_called_verified(name):
    metadata = make_metadata()
    content = {
        "model.onnx": encode_onnx(metadata),
        "model.stablehlo.zip": strip(pack_stablehlo(metadata, PROGRAM)),
    }[name]
    assert not parse_model_file(pathlib.Path(name), content).verified


def strip(content):
    """A zip file without its digest."""
    return rewrite(content, lambda name, data: None if name == "sha256" else data)


def rewrite(content, change, **options):
    """A zip file whose entries are changed; None takes one out."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(stream, "w", **options) as new,
    ):
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return stream.getvalue()


def test_a_lost_digest_is_noticed():
    refuse("a.onnx", encode_onnx(MARKED), "its digest is another, or lost")
    refuse("a.stablehlo.zip", strip(FILES["model.stablehlo.zip"]), "another, or lost")


def test_what_is_added_behind_the_digest_is_noticed():
    content = FILES["model.onnx"] + encode(7, b"another graph")
    refuse("a.onnx", content, "its digest is another")


@pytest.mark.parametrize("name", FILES)
def test_no_flipped_bit_of_a_file_is_read_as_right(name):
    rng = random.Random(0)
    for _ in range(200):
        content = bytearray(FILES[name])
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        try:
            found = parse_model_file(pathlib.Path(name), bytes(content))
        except ModelFileError as error:
            assert len(str(error).splitlines()) == 1
        else:  # a date, or a flag of the zip file that nobody reads
            assert name.endswith(".zip") and found.verified
            assert (found.metadata, found.program) == (MARKED, PROGRAM)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_refused(name):
    content = FILES[name]
    for length in range(0, len(content), 37):
        refuse(name, content[:length], "export --workdir=RUN|without its metadata")


def pack(**changes):
    return pack_stablehlo(MARKED | changes, PROGRAM)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pack(input={"shape": ["B", 4, 6, 3]}), r"input.shape.: not \(B, height"),
        (pack(input={"shape": ["B", 4, 2**40, 1]}), "input.shape"),
        (pack(input={"shape": ["B", 4, 6.5, 1]}), "input.shape"),
        (pack(input={"shape": ["B", True, 6, 1]}), "input.shape"),
        (pack(input={"shape": 3}), "input.shape"),
        (pack(input={}), "no 'input.shape'"),
        (pack(input=None), "spectjax's metadata"),
        (pack(model=[]), "'model' instead of an object"),
        (pack(model={"a": {"b": []}}), "'model.a' instead of text"),
        (pack(parameters_sha256=7), "7 as 'parameters_sha256' instead of text"),
        (pack(task=["segmentation"]), "'task' instead of text"),
        (pack(class_names="background"), "'class_names' instead of a list"),
        (pack(format=[]), "metadata of format 1, found \\[\\]"),
    ],
)
def test_metadata_of_another_shape_are_refused(content, message):
    refuse("a.stablehlo.zip", content, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b"\xff\xfe", "cannot be read"),
        (b" " * 2**21, "metadata.json has 2097152 bytes"),
        (b"3", "expected spectjax's metadata"),
    ],
)
def test_metadata_that_are_no_json_object_are_refused(text, message):
    content = rewrite(
        FILES["model.stablehlo.zip"],
        lambda name, data: text if name == "metadata.json" else data,
    )
    refuse("a.stablehlo.zip", content, message)


def test_entries_of_something_else_are_refused():
    content = FILES["model.stablehlo.zip"]
    without = rewrite(content, lambda n, d: None if n == "model.jax_export" else d)
    refuse("a.stablehlo.zip", without, "no item named 'model.jax_export'")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as bundle:
        bundle.writestr("word/document.xml", "<xml/>")
    refuse("a.stablehlo.zip", stream.getvalue(), "found others")


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_bomb_is_refused_before_it_is_inflated(method):
    content = rewrite(
        FILES["model.stablehlo.zip"],
        lambda name, data: bytes(2**25) if name == "model.jax_export" else data,
        compression=method,
    )
    assert len(content) < 2**17
    refuse("a.stablehlo.zip", content, "has 33554432 bytes|compressed in a way")


@pytest.mark.parametrize("name", ["model.jax_export", "metadata.json"])
@pytest.mark.parametrize("claims", [(1000, None), (2**25, 2**22)])
def test_a_bomb_that_lies_about_its_size_is_not_inflated(name, claims):
    content = bytearray(
        rewrite(
            FILES["model.stablehlo.zip"],
            lambda known, data: bytes(2**25) if known == name else data,
            compression=zipfile.ZIP_DEFLATED,
        )
    )
    place = content.rindex(name.encode()) - 46  # the list's record of the entry
    inflated, packed = claims
    struct.pack_into("<I", content, place + 24, inflated)
    if packed:
        struct.pack_into("<I", content, place + 20, packed)
    tracemalloc.start()
    refuse("a.stablehlo.zip", bytes(content), "bytes|CRC")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


@pytest.mark.parametrize("tag", [b"\x0a", b"\x8a\x00"])
@pytest.mark.parametrize("size", [b"\x08", b"\x88\x00", b"\x88\x80\x00"])
def test_numbers_in_other_files_are_refused_however_that_is_written(tag, size):
    elsewhere = encode(5, encode(13, tag + size + b"location" + encode(2, b"/a")))
    content = FILES["model.onnx"] + encode(7, elsewhere)
    refuse("a.onnx", content, "keeps numbers in other files")


def test_a_zip_file_packed_again_is_read():
    content = rewrite(
        FILES["model.stablehlo.zip"],
        lambda _, data: data,
        compression=zipfile.ZIP_DEFLATED,
    )
    assert parse_model_file(pathlib.Path("a.stablehlo.zip"), content).verified


def test_an_encrypted_entry_is_refused():
    content = bytearray(FILES["model.stablehlo.zip"])
    place = content.index(b"PK\x01\x02")
    struct.pack_into("<H", content, place + 8, 1)
    refuse("a.stablehlo.zip", bytes(content), "cannot be read .*encrypted")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x08\x08" * 20_000, "over 10000 fields"),
        (
            encode(7, encode(5, encode(13, encode(1, b"location") + encode(2, b"w")))),
            "it keeps numbers in other files",
        ),
        (b"\x08" + b"\xff" * 11, "a number without an end"),
        (encode(14, encode(1, b"spectjax")) * 2, "two entries 'spectjax'"),
        (encode(14, bytes(2**20 + 1)), "metadata that are no text, or too long"),
        (b"\x70\x01", "metadata that are no text, or too long"),
        (b"\x73abc", "no Protocol Buffers message"),
        (b"\x00", "ends too early|without an end"),
        (b"", "without its metadata"),
    ],
)
def test_what_is_no_onnx_file_is_refused(content, message):
    refuse("a.onnx", content, message)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.onnx", ONNX),
        ("v1.2.onnx", ONNX),
        ("a.stablehlo.zip", STABLEHLO),
    ],
)
def test_find_format_goes_by_the_end_of_the_name(name, expected):
    assert find_format(pathlib.Path("some.dir") / name) == expected


@pytest.mark.parametrize("name", ["model", "model.zip", "model.pt", "model.onnx.gz"])
def test_find_format_names_what_it_knows(name):
    with pytest.raises(ModelFileError, match=r"\.onnx or \.stablehlo\.zip, found"):
        find_format(pathlib.Path(name))
