"""The same counts out of every encoding of pixels, or a refusal with its remedy."""

import struct

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.encaps import (
    encapsulate,
    encapsulate_extended,
    generate_frames,
)
from pydicom.pixels import get_decoder

from spectjax.imaging.dicom.reading import find_bone_scans, read_bone_scans
from spectjax.imaging.scan import EmptyImageError, UnreadableFileError
from tests.support.jpeg_lossless import encode_jpeg_lossless
from tests.support.nm_files import BOTH, FRAMES, ONE, write_nm

VIEWS = ["anterior", "posterior"]
SYNTAXES = {
    "implicit types": uid.ImplicitVRLittleEndian,
    "explicit types": uid.ExplicitVRLittleEndian,
    "big-endian": uid.ExplicitVRBigEndian,
}
COMPRESSIONS = {
    "RLE": uid.RLELossless,
    "JPEG 2000": uid.JPEG2000Lossless,
    "JPEG-LS": uid.JPEGLSLossless,
}
PIXELS = {
    "8 bits": FRAMES.clip(0, 255).astype(np.uint8),
    "16 bits": FRAMES,
    "16 bits, to the last": FRAMES * np.uint16(218),
    "16 bits, signed": FRAMES.astype(np.int16) - 3,
}


def write_encoded(path, frames, encoding):
    """Writes both views in an encoding; skips the test if nothing here can write it."""
    if encoding in SYNTAXES:
        return write_nm(path, frames, syntax=SYNTAXES[encoding], **BOTH)
    if encoding == "JPEG-LS":
        pytest.importorskip("jpeg_ls", reason="pyjpegls writes JPEG-LS")
    if encoding == "JPEG lossless":
        pytest.importorskip("libjpeg", reason="pylibjpeg-libjpeg reads JPEG lossless")
        bits = 8 * frames.dtype.itemsize
        unsigned = frames.view(f"u{frames.dtype.itemsize}")
        encoded = encapsulate([encode_jpeg_lossless(f, bits) for f in unsigned])
        syntax = uid.JPEGLosslessSV1
        return write_nm(path, frames, syntax=syntax, encoded=encoded, **BOTH)
    return write_nm(path, frames, compress=COMPRESSIONS[encoding], **BOTH)


@pytest.mark.parametrize("encoding", [*SYNTAXES, *COMPRESSIONS, "JPEG lossless"])
@pytest.mark.parametrize("pixels", PIXELS)
def test_every_lossless_encoding_gives_the_same_counts(tmp_path, pixels, encoding):
    frames = PIXELS[pixels]
    scans = read_bone_scans(write_encoded(tmp_path / "a.dcm", frames, encoding))
    assert [scan.view for scan in scans] == VIEWS
    for scan, frame in zip(scans, frames, strict=True):
        assert scan.counts.dtype == np.float32
        np.testing.assert_array_equal(scan.counts, frame.clip(0))
        negative = int((frame < 0).sum())
        notes = (f"{negative} negative values set to 0",) if negative else ()
        assert scan.notes == notes


@pytest.mark.parametrize("encoding", SYNTAXES)
def test_counts_of_32_bits_are_read(tmp_path, encoding):
    frames = FRAMES * np.uint32(50_000)
    scans = read_bone_scans(write_encoded(tmp_path / "a.dcm", frames, encoding))
    for scan, frame in zip(scans, frames, strict=True):
        np.testing.assert_array_equal(scan.counts, frame)


def test_bytes_in_big_endian_words_are_swapped_back(tmp_path):
    path = tmp_path / "a.dcm"
    frames = PIXELS["8 bits"]
    pairs = frames.reshape(-1, 2)[:, ::-1].reshape(frames.shape)
    write_nm(path, pairs, syntax=uid.ExplicitVRBigEndian, **BOTH)
    path.write_bytes(
        path.read_bytes().replace(b"\x7f\xe0\0\x10OB", b"\x7f\xe0\0\x10OW")
    )
    for scan, frame in zip(read_bone_scans(path), frames, strict=True):
        np.testing.assert_array_equal(scan.counts, frame)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_bits_above_those_stored_are_no_counts(tmp_path, dtype):
    counts = ONE.astype(dtype)
    overlay = np.zeros_like(counts)
    overlay[0, 5:9, 4:20] = 0x7000
    path = write_nm(
        tmp_path / "a.dcm", counts | overlay, ge_labels="_E", BitsStored=12, HighBit=11
    )
    (scan,) = read_bone_scans(path)
    np.testing.assert_array_equal(scan.counts, counts[0])


def test_twelve_bits_hold_negative_values(tmp_path):
    values = ONE.astype(np.int16) - 5
    stored = values & 0x0FFF
    path = write_nm(
        tmp_path / "a.dcm", stored, ge_labels="_E", BitsStored=12, HighBit=11
    )
    (scan,) = read_bone_scans(path)
    np.testing.assert_array_equal(scan.counts, values[0].clip(0))


FRAMINGS = {
    "with an offset table": lambda frames: {"encoded": encapsulate(frames)},
    "without an offset table": lambda frames: {
        "encoded": encapsulate(frames, has_bot=False)
    },
    "in fragments": lambda frames: {
        "encoded": encapsulate(frames, fragments_per_frame=3)
    },
    "in fragments without an offset table": lambda frames: {
        "encoded": encapsulate(frames, fragments_per_frame=2, has_bot=False)
    },
    "with an extended offset table": lambda frames: dict(
        zip(
            ("encoded", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
            encapsulate_extended(frames),
            strict=True,
        )
    ),
}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_compressed_frames_are_found_however_they_are_cut(tmp_path, framing):
    path = tmp_path / "a.dcm"
    write_nm(path, FRAMES, compress=uid.JPEG2000Lossless)
    contents = pydicom.dcmread(path).PixelData
    frames = list(generate_frames(contents, number_of_frames=2))
    write_nm(
        path, FRAMES, syntax=uid.JPEG2000Lossless, **FRAMINGS[framing](frames), **BOTH
    )
    for scan, frame in zip(read_bone_scans(path), FRAMES, strict=True):
        np.testing.assert_array_equal(scan.counts, frame)


def test_near_lossless_counts_keep_within_their_bound_and_say_so(tmp_path):
    pytest.importorskip("jpeg_ls", reason="pyjpegls writes JPEG-LS")
    compress = (uid.JPEGLSNearLossless, {"jls_error": 2})
    path = write_nm(tmp_path / "a.dcm", FRAMES, compress=compress, **BOTH)
    for scan, frame in zip(read_bone_scans(path), FRAMES, strict=True):
        assert 0 < np.abs(scan.counts - frame).max() <= 2
        assert scan.notes == ("lossy compression",)


@pytest.mark.parametrize(
    ("stated", "note"),
    [
        ("01", ("lossy compression",)),
        (None, ("possibly lossy compression (JPEG 2000 Image Compression)",)),
        ("00", ()),
    ],
)
def test_jpeg_2000_says_whether_it_lost_anything(tmp_path, stated, note):
    path = tmp_path / "a.dcm"
    compress = (uid.JPEG2000, {"j2k_cr": [4]})
    write_nm(path, ONE, compress=compress, ge_labels="_E")
    dataset = pydicom.dcmread(path)
    dataset.LossyImageCompression = stated
    if stated is None:
        del dataset.LossyImageCompression
    dataset.save_as(path)
    (scan,) = read_bone_scans(path)
    assert scan.notes == note
    # A fourth of the bytes cannot hold this noise: close, and not the same.
    assert 0 < np.abs(scan.counts - ONE[0]).mean() < 1


@pytest.mark.parametrize("encoding", SYNTAXES)
def test_a_header_that_names_no_encoding_is_read(tmp_path, encoding):
    syntax = SYNTAXES[encoding]
    path = write_nm(tmp_path / "a.dcm", FRAMES, syntax=syntax, **BOTH)
    dataset = pydicom.dcmread(path)
    little, implicit = syntax.is_little_endian, syntax.is_implicit_VR
    del dataset.file_meta.TransferSyntaxUID
    dataset.save_as(path, implicit_vr=implicit, little_endian=little)
    for scan, frame in zip(read_bone_scans(path), FRAMES, strict=True):
        np.testing.assert_array_equal(scan.counts, frame)
        assert scan.notes == (f"no encoding stated, read as {syntax.name}",)


@pytest.mark.parametrize("encoding", ["implicit types", "explicit types"])
def test_a_data_set_without_a_header_is_found_and_read(tmp_path, encoding):
    """Some archives store what came over the network, without preamble and header."""
    syntax, path = SYNTAXES[encoding], tmp_path / "1.2.840.7"
    dataset = pydicom.dcmread(write_nm(path, FRAMES, syntax=syntax, **BOTH))
    del dataset.file_meta
    dataset.preamble = None
    implicit = syntax.is_implicit_VR
    dataset.save_as(path, implicit_vr=implicit, little_endian=True)
    assert path.read_bytes()[:2] == b"\x08\0"

    scans, errors = find_bone_scans([tmp_path])
    assert errors == []
    assert [scan.name for scan in scans] == [f"{path.name}_{v}" for v in VIEWS]
    for scan, frame in zip(scans, FRAMES, strict=True):
        np.testing.assert_array_equal(scan.counts, frame)
        assert scan.notes == (f"no encoding stated, read as {syntax.name}",)


@pytest.mark.parametrize("shape", [(1024, 512), (512, 128), (1024, 256)])
def test_cameras_matrices_are_read(tmp_path, shape):
    frames = np.arange(np.prod(shape), dtype=np.uint32).reshape(1, *shape)
    (scan,) = read_bone_scans(write_nm(tmp_path / "a.dcm", frames, ge_labels="_E"))
    np.testing.assert_array_equal(scan.counts, frames[0])


def test_rescale_tags_apply_before_negative_values_are_cut(tmp_path):
    signed = ONE.astype(np.int16) - 2
    path = write_nm(
        tmp_path / "a.dcm",
        signed,
        ge_labels="_E",
        RescaleSlope=0.5,
        RescaleIntercept=0.25,
    )
    (scan,) = read_bone_scans(path)
    np.testing.assert_array_equal(scan.counts, np.maximum(0.5 * signed[0] + 0.25, 0))
    assert f"{int((signed < 0).sum())} negative values set to 0" in scan.notes


def test_what_is_shown_does_not_change_what_was_counted(tmp_path):
    mapping = pydicom.Dataset()
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 7.0, 100.0
    path = write_nm(
        tmp_path / "a.dcm",
        ONE,
        ge_labels="_E",
        RealWorldValueMappingSequence=[mapping],
        WindowCenter=3,
        WindowWidth=2,
    )
    np.testing.assert_array_equal(read_bone_scans(path)[0].counts, ONE[0])


@pytest.mark.parametrize(
    ("elements", "expected", "found", "remedy"),
    [
        (
            {"RescaleSlope": 0, "RescaleIntercept": 3},
            "expected finite counts",
            "found rescale slope 0 and intercept 3.",
            "Export the original image.",
        ),
        (
            {"RescaleSlope": -1, "RescaleIntercept": 300},
            "expected finite counts",
            "found rescale slope -1 and intercept 300.",
            "Export the original image.",
        ),
        (
            {"BitsStored": 12, "HighBit": 15},
            "expected the highest of 12 bits to be bit 11",
            "found High Bit 15.",
            "Export the file again.",
        ),
        (
            {"syntax": uid.DeflatedExplicitVRLittleEndian},
            "expected a file that is not deflated",
            "since a small one can unpack to fill the memory.",
            "Export it uncompressed.",
        ),
    ],
)
def test_pixels_that_are_no_counts_are_refused(
    tmp_path, elements, expected, found, remedy
):
    path = write_nm(tmp_path / "a.dcm", ONE, ge_labels="_E", **elements)
    with pytest.raises(UnreadableFileError) as caught:
        read_bone_scans(path)
    assert [p for p in (expected, found, remedy) if p not in str(caught.value)] == []


def test_an_image_without_counts_is_refused(tmp_path):
    path = write_nm(tmp_path / "a.dcm", np.stack([FRAMES[0], FRAMES[1] * 0]), **BOTH)
    with pytest.raises(EmptyImageError, match="frame 2"):
        read_bone_scans(path)


@pytest.mark.parametrize("encoding", ["JPEG lossless", "JPEG 2000"])
def test_without_its_decoder_the_refusal_names_the_extra(
    tmp_path, encoding, monkeypatch
):
    path = write_encoded(tmp_path / "a.dcm", FRAMES, encoding)
    syntax = pydicom.dcmread(path).file_meta.TransferSyntaxUID
    monkeypatch.setattr(get_decoder(syntax), "_available", {})
    with pytest.raises(UnreadableFileError) as caught:
        read_bone_scans(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: expected pixels, found pixel data ({syntax.name}")
    assert "pip install 'spectjax[codecs]'" in text
    assert "requires" in text and text.isprintable()


# pydicom brings copies of one real scan along, a sample image of NEMA's. The original
# holds 3 596 452 counts, 278 at most.
@pytest.mark.parametrize("name", ["JPEG2000.dcm", "JPGExtended.dcm"])
def test_lossy_copies_of_a_real_scan_are_close(name):
    if name == "JPGExtended.dcm":
        pytest.importorskip("libjpeg", reason="pylibjpeg-libjpeg reads JPEG extended")
    (scan,) = read_bone_scans(get_testdata_file(name))
    assert scan.view_evidence == "GEMS_GENIE_1 Dataset Name says anterior (_E)"
    assert scan.counts.shape == (1024, 256)
    assert scan.spacing_mm == (2.26, 2.26)
    assert not scan.synthetic
    assert "lossy compression" in scan.notes
    assert scan.counts.min() == 0
    assert abs(scan.counts.max() / 278 - 1) < 0.15
    assert abs(scan.counts.sum() / 3_596_452 - 1) < 0.05


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("JPEG-lossy.dcm", r"JPEG .*spectjax\[codecs\]"),
        ("JPEG2000-embedded-sequence-delimiter.dcm", r"JPEG .*export it again"),
    ],
)
def test_damaged_copies_of_a_real_scan_are_refused_in_one_line(name, text, caplog):
    path = get_testdata_file(name)
    with pytest.raises(UnreadableFileError, match=text) as caught:
        read_bone_scans(path)
    assert str(caught.value).startswith(path) and str(caught.value).isprintable()
    assert caplog.text == ""  # decoders log tracebacks


def test_sizes_are_compared_before_anything_is_decoded(tmp_path):
    path = write_nm(
        tmp_path / "a.dcm", ONE, ge_labels="_E", compress=uid.JPEG2000Lossless
    )
    contents = bytearray(path.read_bytes())
    size = contents.index(b"\xff\x4f\xff\x51") + 8
    assert contents[size : size + 8] == struct.pack(">2I", 33, 64)
    contents[size : size + 8] = struct.pack(">2I", 3000, 3000)
    path.write_bytes(contents)
    with pytest.raises(UnreadableFileError, match="64x33 .*found 3000x3000 pixels"):
        read_bone_scans(path)
