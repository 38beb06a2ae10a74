"""Pixels that are not what the header promises: cut off, left over, of another size."""

import io
import struct

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames

from spectjax.imaging.dicom import codestreams
from spectjax.imaging.dicom.codestreams import Shape, check_jpeg
from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.scan import UnreadableFileError
from tests.support.jpeg_lossless import encode_jpeg_lossless
from tests.support.nm_files import FRAMES, ONE, write_nm

END = b"\xff\xd9"
# A low image: the last rows of a real one are zero, and decoders fill up with zeros.
GREY = ONE[0].clip(0, 255).astype(np.uint8)


def jpeg(**options):
    stream = io.BytesIO()
    Image.fromarray(GREY).save(stream, "JPEG", quality=90, **options)
    return stream.getvalue()


def compressed(syntax):
    """One frame as pydicom's encoders write it."""
    stream = io.BytesIO()
    write_nm(stream, ONE, compress=syntax)
    stream.seek(0)
    return next(generate_frames(pydicom.dcmread(stream).PixelData, number_of_frames=1))


# Syntax, how the frame is encoded, and its pixels.
CODECS = {
    "JPEG": (uid.JPEGBaseline8Bit, jpeg, GREY),
    "JPEG with restart markers": (
        uid.JPEGBaseline8Bit,
        lambda: jpeg(restart_marker_rows=2),
        GREY,
    ),
    "JPEG lossless": (
        uid.JPEGLosslessSV1,
        lambda: encode_jpeg_lossless(ONE[0], 16),
        ONE[0],
    ),
    "JPEG-LS": (uid.JPEGLSLossless, lambda: compressed(uid.JPEGLSLossless), ONE[0]),
    "JPEG 2000": (
        uid.JPEG2000Lossless,
        lambda: compressed(uid.JPEG2000Lossless),
        ONE[0],
    ),
    "RLE": (uid.RLELossless, lambda: compressed(uid.RLELossless), ONE[0]),
}


@pytest.fixture(params=CODECS)
def codec(request, tmp_path):
    """What writes a stream as a file of its syntax, and a whole stream."""
    if request.param in ("JPEG lossless", "JPEG-LS"):
        pytest.importorskip("jpeg_ls", reason="the extra [codecs] reads it")
    syntax, encode, frame = CODECS[request.param]

    def write(*encoded, has_bot=True, **elements):
        path = tmp_path / "a.dcm"
        contents = encapsulate(list(encoded), has_bot=has_bot)
        elements |= {"syntax": syntax, "encoded": contents}
        return write_nm(path, frame[None], ge_labels="_E", **elements)

    return write, encode()


def assert_refused(path, text="cannot be decoded"):
    with pytest.raises(UnreadableFileError, match=text) as caught:
        read_bone_scans(path)
    assert str(caught.value).startswith(f"{path}: expected pixels, found")


def test_a_whole_stream_is_read(codec):
    write, encoded = codec
    (scan,) = read_bone_scans(write(encoded))
    assert abs(scan.counts.sum() / ONE[0].sum() - 1) < 0.1


def test_a_stream_is_refused_wherever_it_is_cut_off(codec):
    write, encoded = codec
    for share in (0.1, 0.5, 0.9, 0.99, 0.999):
        cut = encoded[: int((len(encoded) - 2) * share)]
        assert_refused(write(cut))
        assert_refused(write(cut + END))


def test_a_file_is_refused_wherever_it_is_cut_off(codec):
    write, encoded = codec
    path = write(encoded)
    whole = path.read_bytes()
    for length in (len(whole) * 9 // 10, len(whole) - 12, len(whole) - 3):
        path.write_bytes(whole[:length])
        with pytest.raises(UnreadableFileError):
            read_bone_scans(path)


def test_a_stream_with_a_second_one_behind_is_refused(codec):
    write, encoded = codec
    assert_refused(write(encoded + encoded))


def test_a_stream_of_other_rows_than_the_header_is_refused(codec):
    write, encoded = codec
    assert_refused(write(encoded, Rows=63))


def test_a_frame_less_or_more_than_the_header_says_is_refused(codec):
    write, encoded = codec
    assert_refused(write(encoded, encoded), "expected 1 frames, found 2")
    assert_refused(write(encoded, encoded, has_bot=False))
    two = {"NumberOfFrames": 2, "DetectorVector": [1, 2], "EnergyWindowVector": [1, 1]}
    path = write(encoded, **two)
    with pytest.raises(UnreadableFileError, match="expected 2 frames, found 1"):
        read_bone_scans(path, view="anterior")


@pytest.mark.parametrize("name", ["JPEG lossless", "JPEG-LS"])
def test_rows_that_frame_and_header_conceal_are_noticed(tmp_path, name):
    """Both say 60 of the 64 rows that are coded: the stream is not used up."""
    pytest.importorskip("jpeg_ls", reason="the extra [codecs] reads it")
    syntax, encode, frame = CODECS[name]
    size = struct.pack(">HH", *frame.shape)
    encoded = encode().replace(size, struct.pack(">HH", 60, frame.shape[1]), 1)
    path = tmp_path / "a.dcm"
    write_nm(
        path,
        frame[None],
        syntax=syntax,
        encoded=encapsulate([encoded]),
        ge_labels="_E",
        Rows=60,
    )
    assert_refused(path)


@pytest.mark.parametrize("name", ["JPEG lossless", "JPEG-LS", "JPEG 2000"])
def test_another_precision_than_bits_stored_is_refused(tmp_path, name):
    pytest.importorskip("jpeg_ls", reason="the extra [codecs] reads it")
    syntax, encode, frame = CODECS[name]
    path = write_nm(
        tmp_path / "a.dcm",
        frame[None],
        syntax=syntax,
        encoded=encapsulate([encode()]),
        ge_labels="_E",
        BitsStored=12,
        HighBit=11,
    )
    assert_refused(path, "12 bits, found 64x33 pixels of 1 sample, 16 bits")


@pytest.mark.parametrize("interval", [5, 9])
def test_restart_markers_are_counted(interval):
    """Eight rows of five blocks, one marker before each two rows but the first."""
    whole = jpeg(restart_marker_rows=2)
    shape = Shape(64, 33, 1, 8)
    assert check_jpeg(whole, shape).scan.count(b"\xff\xd0") == 1
    stated = b"\xff\xdd\0\4" + struct.pack(">H", interval)
    with pytest.raises(Exception, match="restart markers, found 3"):
        check_jpeg(whole.replace(b"\xff\xdd\0\4\0\n", stated), shape)


def test_without_charls_jpeg_ls_is_held_to_its_last_byte(tmp_path, monkeypatch):
    pytest.importorskip("libjpeg", reason="pylibjpeg-libjpeg reads JPEG-LS as well")
    syntax, encode, frame = CODECS["JPEG-LS"]
    decoder = pydicom.pixels.get_decoder(syntax)
    kept = {k: v for k, v in decoder._available.items() if k != "pyjpegls"}
    monkeypatch.setattr(decoder, "_available", kept)
    path, encoded = tmp_path / "a.dcm", encode()
    for share in (1, 0.999, 0.9, 0.5):
        cut = encoded[: int((len(encoded) - 2) * share)] + END
        write_nm(
            path,
            frame[None],
            syntax=syntax,
            encoded=encapsulate([cut]),
            ge_labels="_E",
        )
        if share == 1:
            np.testing.assert_array_equal(read_bone_scans(path)[0].counts, frame)
        else:
            assert_refused(path, "found some of them missing")


# Uncompressed pixels.
@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("surplus", [-4, 4, 64 * 33])
def test_uncompressed_pixels_are_as_many_as_promised(tmp_path, bits, surplus):
    frames = FRAMES.clip(0, 255).astype(f"u{bits // 8}")
    pixels = frames.tobytes()
    contents = pixels[:surplus] if surplus < 0 else pixels + bytes(surplus)
    path = write_nm(
        tmp_path / "a.dcm", frames, ge_labels=["_E", "_F"], PixelData=contents
    )
    assert_refused(path, f"expected {len(pixels)} bytes, 2 frames of 64x33 pixels")


def test_a_second_frame_is_not_read_off_its_place(tmp_path):
    path = write_nm(tmp_path / "a.dcm", FRAMES, ge_labels=["_E", "_F"], Rows=60)
    assert_refused(path, "2 frames of 60x33 pixels of 16 bits, found 8448")


def test_a_second_frame_without_number_of_frames_is_refused(tmp_path):
    path = write_nm(
        tmp_path / "a.dcm",
        FRAMES,
        ge_labels="_E",
        NumberOfFrames=None,
        DetectorVector=None,
        EnergyWindowVector=None,
        NumberOfDetectors=1,
    )
    assert_refused(path, "1 frames of 64x33 pixels of 16 bits, found 8448")


def test_one_byte_may_make_the_length_even(tmp_path):
    frame = np.ones((1, 35, 17), np.uint8)
    path = write_nm(
        tmp_path / "a.dcm",
        frame,
        ge_labels="_E",
        PixelData=frame.tobytes() + b"\0",
    )
    assert read_bone_scans(path)[0].counts.sum() == 35 * 17


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_zeros_in_place_of_the_rest_are_no_pixels(codec, share):
    """A part of a file that got lost is filled with zeros by file systems."""
    write, encoded = codec
    kept = encoded[: int((len(encoded) - 2) * share)]
    zeros = bytes(len(encoded) - 2 - len(kept))
    assert_refused(write(kept + zeros + encoded[-2:]))


def test_zeros_are_noticed_before_a_decoder_of_jpeg_2000_takes_them_for_pixels():
    rows, columns = ONE[0].shape
    shape = codestreams.Shape(rows, columns, 1, 16)
    encoded = compressed(uid.JPEG2000Lossless)
    codestreams.check_jpeg2000(encoded, shape)
    body = encoded.rstrip(b"\0")[:-2]
    with pytest.raises(codestreams.DamagedStreamError, match="found zeros"):
        codestreams.check_jpeg2000(body[:-30] + bytes(30) + END, shape)
