"""Tests of `spectjax.imaging.listed.pictures`."""

import re

import numpy as np
import pytest
from PIL import Image

from spectjax.imaging.listed.pictures import UnknownPolarityError, read_picture
from spectjax.imaging.scan import (
    BoneScan,
    EmptyImageError,
    NotWholeBodyError,
    ScanError,
    UnreadableFileError,
)
from spectjax.imaging.thorax import crop_thorax
from spectjax.phantom import simulate_patient
from tests.support.picture_files import draw_body, encode_png, save

BODY = draw_body()
SPOT = np.zeros(BODY.shape, bool)
SPOT[100, 30] = True


def refusal(path, kind, **options):
    """The one line with which a picture is refused."""
    with pytest.raises(kind) as caught:
        read_picture(path, **options)
    text = str(caught.value)
    assert type(caught.value) is kind
    assert text.startswith(f"{path}: expected ") and "\n" not in text
    assert ", found" in text and text.endswith(".")
    return text


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_read_picture_gives_the_grey_values_whatever_the_colour_model(tmp_path, mode):
    Image.fromarray(BODY).convert(mode).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.counts.dtype == np.float32
    np.testing.assert_array_equal(picture.counts, BODY)
    assert picture.notes == ("8-bit picture: grey values, not counts",)


def test_read_picture_takes_16_bits_as_they_are(tmp_path):
    counts = BODY.astype(np.uint16) * 257
    counts[100, 30:34] = 1, 255, 256, 40001
    # Big-endian, as the PNG specification says.
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in counts)
    (tmp_path / "a.png").write_bytes(encode_png(64, 256, 16, 0, rows))
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.counts, counts)
    assert picture.notes == ("16-bit picture: values taken as counts",)


def test_read_picture_says_that_a_jpeg_is_lossy_and_is_near_the_original(tmp_path):
    smooth = np.outer(np.hanning(256), np.hanning(64)) ** 2 * 255
    path = save(tmp_path / "a.jpg", smooth.astype(np.uint8), quality=90)
    picture = read_picture(path)
    assert np.abs(picture.counts - smooth).max() < 6
    assert "lossy compression" in picture.notes


def test_read_picture_of_a_grey_colour_jpeg_is_that_of_the_grey_one(tmp_path):
    grey = save(tmp_path / "grey.jpg", BODY, quality=90)
    colour = save(tmp_path / "rgb.jpg", np.dstack([BODY] * 3), quality=90)
    np.testing.assert_array_equal(
        read_picture(colour).counts, read_picture(grey).counts
    )


@pytest.mark.parametrize("white", [255, 252, 65535, 4095])
def test_read_picture_inverts_what_is_dark_on_a_bright_background(tmp_path, white):
    dtype = np.uint8 if white < 256 else np.uint16
    negative = (white - BODY.astype(int) * (white // 250)).astype(dtype)
    picture = read_picture(save(tmp_path / "a.png", negative))
    expected = BODY.astype(float) * (white // 250)
    np.testing.assert_array_equal(picture.counts, expected)
    assert "dark was hot: inverted (the background is bright)" in picture.notes


def test_read_picture_tells_the_background_of_every_saved_scan(tmp_path):
    # A display that cuts the grey scale off makes the body nearly as bright as white.
    for gain in (0.5, 1, 2, 6):
        grey = np.minimum(BODY * gain, 255).astype(np.uint8)
        for name, values in (("hot", grey), ("cold", 255 - grey)):
            picture = read_picture(save(tmp_path / "a.jpg", values, quality=75))
            assert any("inverted" in n for n in picture.notes) == (name == "cold")
            assert picture.counts[:, :4].max() < 20 < picture.counts[128, 32]


def framed(value, body=BODY):
    values = body.copy()
    values[:3], values[-3:], values[:, :3], values[:, -3:] = [value] * 4
    return values


@pytest.mark.parametrize(
    "values",
    [
        framed(255),
        255 - framed(255),
        # White background between black bars, as of a letter box.
        np.pad(255 - draw_body(256, 40), ((0, 0), (12, 12))),
        np.where(BODY == 0, 120, BODY),
        np.where(SPOT, 0, framed(255, np.clip(BODY, 150, 180))),
        np.where(SPOT, 255, framed(0, np.clip(BODY, 150, 180))),
    ],
    ids=["white frame", "black frame", "bars", "amid the scale", "white", "black"],
)
def test_read_picture_refuses_to_guess_what_is_hot(tmp_path, values):
    path = save(tmp_path / "a.png", values.astype(np.uint8))
    text = refusal(path, UnknownPolarityError)
    assert "inverted" in text and "images.csv" in text


def test_inverted_overrides_what_the_background_says(tmp_path):
    path = save(tmp_path / "a.png", framed(255))
    kept = read_picture(path, inverted=False)
    np.testing.assert_array_equal(kept.counts, framed(255))
    assert kept.notes == ("8-bit picture: grey values, not counts",)

    path = save(tmp_path / "b.png", 255 - framed(255))
    turned = read_picture(path, inverted=True)
    np.testing.assert_array_equal(turned.counts, framed(255))
    assert "dark was hot: inverted (the user's word)" in turned.notes
    # A wrong word leaves the body as a hole in the middle.
    assert "'inverted'" in refusal(path, NotWholeBodyError, inverted=False)


def test_read_picture_takes_the_least_grey_value_as_no_counts(tmp_path):
    picture = read_picture(save(tmp_path / "a.png", BODY // 2 + 16))
    np.testing.assert_array_equal(picture.counts, BODY // 2)
    assert "grey value 16 taken as no counts" in picture.notes


def test_a_black_frame_is_no_reason_to_invert_a_bright_background(tmp_path):
    path = save(tmp_path / "a.png", 255 - framed(255))
    assert "rim at 0%" in refusal(path, UnknownPolarityError)


def test_content_is_that_of_the_pixels(tmp_path):
    png = read_picture(save(tmp_path / "a.png", BODY))
    again = read_picture(save(tmp_path / "b.png", np.dstack([BODY] * 3)))
    assert png.content == again.content
    negative = read_picture(save(tmp_path / "c.png", 255 - BODY), inverted=True)
    # 255 - BODY has no pixel of 0, so its negative is the same picture.
    assert negative.content == png.content
    other = BODY.copy()
    other[128, 20] += 1
    assert read_picture(save(tmp_path / "d.png", other)).content != png.content


def test_read_picture_finds_the_word_synthetic(tmp_path):
    save(tmp_path / "a.jpg", BODY, comment="SYNTHETIC, of a phantom")
    assert read_picture(tmp_path / "a.jpg").synthetic
    assert not read_picture(save(tmp_path / "b.jpg", BODY)).synthetic


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((64, 256), NotWholeBodyError),  # turned by a quarter
        ((256, 144), NotWholeBodyError),
        ((96, 32), UnreadableFileError),  # a thumbnail
    ],
)
def test_read_picture_refuses_other_shapes(tmp_path, shape, kind):
    path = save(tmp_path / "a.png", draw_body(*shape))
    assert f"found {shape[0]}x{shape[1]} " in refusal(path, kind)


def test_read_picture_refuses_two_views_side_by_side(tmp_path):
    values = np.hstack([draw_body(512, 128)] * 2)
    text = refusal(save(tmp_path / "a.png", values), NotWholeBodyError)
    assert "two views side by side" in text
    # One body in a frame that wide is one view.
    read_picture(
        save(tmp_path / "b.png", np.pad(draw_body(512, 128), ((0, 0), (64,) * 2)))
    )


def test_read_picture_refuses_colours_and_transparency(tmp_path):
    rgb = np.dstack([BODY] * 3)
    rgb[100, 30, 2] ^= 1
    path = save(tmp_path / "rgb.png", rgb)
    assert "colours" in refusal(path, NotWholeBodyError)

    alpha = np.full_like(BODY, 255)
    alpha[100, 30] = 254
    path = save(tmp_path / "la.png", np.dstack([BODY, alpha]))
    assert "transparent" in refusal(path, NotWholeBodyError)

    path = save(tmp_path / "trns.png", BODY, transparency=250)
    assert "transparent" in refusal(path, NotWholeBodyError)

    Image.fromarray(BODY).convert("CMYK").save(tmp_path / "cmyk.jpg")
    assert "CMYK" in refusal(tmp_path / "cmyk.jpg", NotWholeBodyError)


def test_read_picture_refuses_what_would_lose_bits(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(BODY > 0).save(path)
    assert "1 bits" in refusal(path, UnreadableFileError)
    path.write_bytes(encode_png(64, 256, 4, 0, bytes(33 * 256)))
    assert "4 bits" in refusal(path, UnreadableFileError)
    # Pillow keeps the upper byte of 16-bit colours alone.
    for colour_type, samples in ((2, 3), (4, 2)):
        rows = (bytes(1) + bytes([1, 2]) * 64 * samples) * 256
        path.write_bytes(encode_png(64, 256, 16, colour_type, rows))
        assert "16-bit PNG with colours" in refusal(path, UnreadableFileError)
    save(path, BODY.astype(np.uint16), transparency=250)
    assert "or transparency" in refusal(path, UnreadableFileError)


def test_read_picture_refuses_several_pictures_in_one_file(tmp_path):
    first, second = Image.fromarray(BODY), Image.fromarray(BODY // 2)
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])
    assert "2 pictures" in refusal(tmp_path / "a.png", UnreadableFileError)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", [2, 3])
def test_read_picture_refuses_an_exif_orientation(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{suffix}", BODY, exif=exif)
    assert f"orientation {orientation}" in refusal(path, UnreadableFileError)
    exif[0x0112] = 1
    read_picture(save(tmp_path / f"b.{suffix}", BODY, exif=exif))


@pytest.mark.parametrize("side", [5000, 8000, 60000])
def test_read_picture_compares_the_size_before_it_unpacks(tmp_path, side):
    # Pillow warns of the second and refuses the third by itself.
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(side, 2 * side, 8, 0, b"\0" * 100))
    assert "1024x256" in refusal(path, UnreadableFileError)


def test_read_picture_refuses_one_grey_value(tmp_path):
    path = save(tmp_path / "a.png", np.full((256, 64), 255, np.uint8))
    assert "found 255 in every pixel" in refusal(path, EmptyImageError)


def test_read_picture_refuses_damaged_files(tmp_path):
    png = save(tmp_path / "a.png", BODY).read_bytes()
    jpeg = save(tmp_path / "a.jpg", BODY).read_bytes()
    flipped = bytearray(png)
    flipped[-14] ^= 1  # in the checksum of the pixels
    save(tmp_path / "tiff.tif", BODY)
    path = tmp_path / "bad.png"
    for contents in (
        b"",
        b"GIF89a no",
        png[:-40],
        jpeg[: len(jpeg) // 2],
        bytes(flipped),
        (tmp_path / "tiff.tif").read_bytes(),
    ):
        path.write_bytes(contents)
        refusal(path, UnreadableFileError)
    refusal(tmp_path, UnreadableFileError)
    refusal(tmp_path / "missing.png", UnreadableFileError)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_read_picture_raises_nothing_but_scan_errors(tmp_path, suffix):
    rng = np.random.default_rng(0)
    original = save(tmp_path / f"a.{suffix}", BODY).read_bytes()
    path = tmp_path / f"b.{suffix}"
    refused = 0
    for _ in range(150):
        contents = bytearray(original)
        for place in rng.integers(0, min(len(contents), 700), 3):
            contents[place] = rng.integers(256)
        path.write_bytes(contents)
        try:
            read_picture(path)
        except ScanError as error:
            assert re.fullmatch(rf"{re.escape(str(path))}: expected .*\.", str(error))
            refused += 1
    assert refused > 50


def test_crop_of_a_jpeg_is_that_of_the_counts(tmp_path):
    # [P2]'s crop depends on shares of counts, so that a scale of 8 bits, which cuts off
    # the brightest thousandth, must not move it.
    patient = simulate_patient(5)
    for view, simulated in patient.views.items():
        counts = simulated.counts
        white = np.percentile(counts[counts > 0], 99.9)
        grey = np.minimum(255, counts * 255 / white).astype(np.uint8)
        for name, values in (("hot", grey), ("cold", 255 - grey)):
            path = save(tmp_path / f"{name}.jpg", values, quality=90)
            scan = BoneScan(
                counts=read_picture(path).counts,
                view=view,
                view_evidence="test",
                spacing_mm=None,
                path=path,
                frame=0,
                patient_key="",
                patient_evidence="Patient ID",
                image_key="",
                synthetic=True,
            )
            thorax = crop_thorax(scan, penalty_px=6)
            beyond = np.array(thorax.transform.box) - simulated.thorax_box
            assert thorax.flags == ()
            assert np.abs(beyond - [-6, -6, 6, 6]).max() <= 6
