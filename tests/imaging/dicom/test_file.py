"""Tests of `spectjax.imaging.dicom.file`: read once, and bounded by construction."""

import os
import struct
import zlib

import numpy as np
import pydicom
import pytest
from pydicom import uid

from spectjax.imaging.dicom import file as dicom_file
from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.scan import ScanError, UnreadableFileError
from tests.support.nm_files import BOTH, FRAMES, ONE, item, write_nm

MIB = 1024 * 1024


def append(path, *elements):
    """Puts explicit little-endian elements (tag, type, value) behind the pixels."""
    with path.open("ab") as stream:
        for group, element, vr, value in elements:
            stream.write(struct.pack("<HH2sHL", group, element, vr, 0, len(value)))
            stream.write(value)


def peak_mib(function):
    """Runs a function; returns the most memory that Python objects took on the way."""
    import tracemalloc

    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / MIB


def refuse(path, text):
    with pytest.raises(UnreadableFileError, match=text) as caught:
        read_bone_scans(path)
    assert str(caught.value).startswith(f"{path}: expected")


@pytest.mark.parametrize("preamble", [b"\0" * 128, b"\x08\0\x05\0" + b"\0" * 124])
def test_a_deflated_file_is_not_inflated_whatever_its_preamble(tmp_path, preamble):
    """64 MiB of zeros in 64 KiB; the first four bytes look like a bare data set."""
    path = tmp_path / "a.dcm"
    write_nm(path, ONE, ge_labels="_E", syntax=uid.DeflatedExplicitVRLittleEndian)
    contents = path.read_bytes()
    header = contents.index(b"1.2.840.10008.1.2.1.99") + len("1.2.840.10008.1.2.1.99")
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflate.compress(bytes(64 * MIB)) + deflate.flush()
    path.write_bytes(preamble + contents[128:header] + bomb)
    used = peak_mib(lambda: refuse(path, "that is not deflated"))
    assert used < 5


def test_a_file_is_opened_once(tmp_path, monkeypatch):
    """Between two readings another image could take its place."""
    path = write_nm(tmp_path / "a.dcm", FRAMES, **BOTH)
    opened = []
    monkeypatch.setattr(
        os,
        "open",
        lambda *arguments, original=os.open: (
            opened.append(arguments[0]),
            original(*arguments),
        )[1],
    )
    read_bone_scans(path)
    assert opened == [path]


def test_what_replaces_a_file_meanwhile_is_not_mixed_with_it(tmp_path, monkeypatch):
    path = write_nm(tmp_path / "a.dcm", FRAMES, **BOTH)
    original = dicom_file.pydicom.dcmread

    def replace_and_read(*arguments, **options):
        write_nm(path, FRAMES + 1, **BOTH)
        return original(*arguments, **options)

    monkeypatch.setattr(dicom_file.pydicom, "dcmread", replace_and_read)
    for scan, frame in zip(read_bone_scans(path), FRAMES, strict=True):
        np.testing.assert_array_equal(scan.counts, frame)


def test_a_file_beyond_the_limit_is_not_read(tmp_path):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E")
    os.truncate(path, 1024 * MIB)  # sparse: takes no room on the disk
    assert peak_mib(lambda: refuse(path, "at most 128 MiB, found 1024 MiB")) < 5


def test_a_large_private_element_is_left_out_and_another_one_refused(tmp_path):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E")
    whole = path.read_bytes()
    append(
        path, (0x7FE1, 0x0010, b"OB", b"MAKER "), (0x7FE1, 0x1001, b"OB", bytes(MIB))
    )
    np.testing.assert_array_equal(read_bone_scans(path)[0].counts, ONE[0])
    path.write_bytes(whole)
    append(path, (0x7FFE, 0x0010, b"OB", bytes(MIB)))
    refuse(path, "at most 512 KiB beside the pixels, found .* of 1024 KiB")


def test_elements_are_counted_before_they_fill_the_memory(tmp_path):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E")
    tags = np.arange(0x80000000, 0x80000000 + 200_000, dtype=np.uint32)
    elements = np.zeros((len(tags), 2), "<u4")
    elements[:, 0] = tags >> 16 | tags << 16
    elements[:, 1] = int.from_bytes(b"LO\0\0", "little")
    with path.open("ab") as stream:
        stream.write(elements.tobytes())
    refuse(path, "found more than 33333")


@pytest.mark.parametrize("depth", [50, 20_000])
def test_deep_nesting_is_no_crash(tmp_path, depth):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E")
    sequence = struct.pack("<HH2sHL", 0x8001, 0x1001, b"SQ", 0, 0xFFFFFFFF)
    opening = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    with path.open("ab") as stream:
        stream.write((sequence + opening) * depth + closing * depth)
    if depth > 1000:
        refuse(path, "damaged contents|some hundred elements")
    else:
        assert len(read_bone_scans(path)) == 1


def test_sequences_of_a_known_length_are_bounded_too(tmp_path):
    items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 100_000
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E", ViewCodeSequence=[item()])
    contents = path.read_bytes()
    start = contents.index(struct.pack("<HH2s", 0x0054, 0x0220, b"SQ"))
    (length,) = struct.unpack_from("<L", contents, start + 8)
    path.write_bytes(
        contents[: start + 8]
        + struct.pack("<L", len(items))
        + items
        + contents[start + 12 + length :]
    )
    refuse(path, r"at most 512 KiB beside the pixels, found \(0054,0220\)")


def test_fragments_are_counted_before_they_are_joined(tmp_path):
    fragment = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    path = write_nm(
        tmp_path / "a.dcm",
        ONE,
        syntax=uid.RLELossless,
        encoded=fragment * 20_000,
        ge_labels="_E",
    )
    refuse(path, "at most 10000 fragments")


def test_a_description_without_end_is_no_evidence_and_takes_no_time(tmp_path):
    path = write_nm(
        tmp_path / "a.dcm",
        ONE,
        SpecificCharacterSet="ISO_IR 192",
        ImageComments="x",
        DetectorInformationSequence=[],
    )
    dataset = pydicom.dcmread(path)
    dataset.add_new(0x0008103E, "UT", "前" * 100_000)
    dataset.save_as(path)
    with pytest.raises(ScanError, match="evidence for the view"):
        read_bone_scans(path)


@pytest.mark.parametrize("kind", ["folder", "pipe", "missing"])
def test_what_is_no_file_is_one_line(tmp_path, kind):
    path = tmp_path / "a.dcm"
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    refuse(path, "expected a (file|readable file)")


def test_a_file_that_ends_within_an_element_is_cut_off_and_not_of_another_kind(
    tmp_path,
):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E")
    whole = path.read_bytes()
    middle = whole.index(b"WHOLE BODY") - 30
    path.write_bytes(whole[: middle + 1])
    refuse(path, "The file is cut off")
