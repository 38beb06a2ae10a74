"""Folders with pictures and an images.csv, for tests."""

from spectjax.imaging.listed.image import read_listed_image
from spectjax.imaging.listed.table import read_image_table
from tests.support.picture_files import draw_body

HEADER = "file,patient,view,label"
BODY = draw_body()
HW = BODY.shape


ANT = "wholeBodyANT/1.jpg"
POST = "wholeBodyPOST/1.jpg"


def write_table(folder, *lines, header=HEADER, encoding="utf-8", end="\n"):
    text = end.join((header, *lines)) + end
    (folder / "images.csv").write_bytes(text.encode(encoding))
    return folder / "images.csv"


def read(folder, *lines, words=None, **options):
    return read_image_table(write_table(folder, *lines, **options), words or {})


def error_of(folder, line, words=None, **options):
    """The one line with which the only row of a table is refused."""
    rows, errors = read(folder, line, words=words, **options)
    assert (rows, len(errors)) == ([], 1)
    text = str(errors[0])
    assert text.startswith(f"{folder / 'images.csv'}: row 2: expected ")
    assert text.isprintable() and text.endswith(".") and ", found" in text
    return text


def listed(folder, line, words=None, crops=None, **options):
    rows, errors = read(folder, line, words=words, **options)
    assert errors == []
    return read_listed_image(rows[0], words or {}, crops)
