"""A DICOM file in memory: read once, and bounded, whatever it says of itself."""

import io
import warnings
from pathlib import Path

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from spectjax.imaging.scan import DICOM_SUFFIXES, UnreadableFileError
from spectjax.system.limits import (
    DICOM_BYTES,
    DICOM_ELEMENT_BYTES,
    DICOM_PIECES,
    KIB,
    read_limited,
)

_MARK = slice(128, 132)
# Tags that open a data set, little-endian: group length, length to end, character set,
# image type, SOP class.
_FIRST_ELEMENTS = {
    b"\x08\0" + element
    for element in (b"\0\0", b"\x01\0", b"\x05\0", b"\x08\0", b"\x16\0")
}
_PIXEL_DATA = 0x7FE00010
_HEADER_BYTES = 12  # the longest header of an element
_FIRST_BYTES = (1, 8)  # pydicom asks for where an element may begin, or the file end


def read_dicom(path: Path) -> Dataset:
    """Reads a file; one without a header, or whose header names no encoding, as well.

    Such a file is not compressed, and pydicom finds out how its elements are written;
    a warning says so. The file is opened once: what is checked is what is used, should
    it be replaced meanwhile. Private elements that are larger than any label are left
    out. Nothing else of the file is checked.

    Returns:
        The data set; its header states a transfer syntax.

    Raises:
        UnreadableFileError: it cannot be opened, is of another format, deflated, too
            large in whole or in a part, or cut off within an element's header.
    """
    return parse_dicom(read_limited(path, DICOM_BYTES, error=UnreadableFileError), path)


def parse_dicom(contents: bytes, path: Path) -> Dataset:
    """Returns the data set in the contents of a file, see `read_dicom`.

    `path` is for messages.

    Raises:
        UnreadableFileError: as of `read_dicom`.
    """
    if contents[_MARK] != b"DICM" and not _is_bare(contents):
        raise UnreadableFileError(
            f"{path}: expected a DICOM file, found "
            f"{'another format' if contents else 'an empty file'}. Remove it, or "
            "export it again."
        )
    stream = _BoundedStream(path, contents)
    dataset = pydicom.dcmread(stream, force=True)
    if stream.is_cut and "PixelData" not in dataset:
        raise stream.make_error()
    dataset.buffer = None  # or the contents would stay in memory
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        syntax = ImplicitVRLittleEndian if implicit else explicit
        dataset.file_meta.TransferSyntaxUID = syntax
        warnings.warn(f"no encoding stated, read as {syntax.name}", stacklevel=2)
    _bound_elements(path, dataset)
    return dataset


def looks_like_dicom(file: Path) -> bool:
    """Tells whether a file in a folder is to be read, by its name or its first bytes.

    It is if it has the DICOM mark or the suffix `.dcm`, or begins with an element that
    opens data sets.
    """
    if file.name.upper() == "DICOMDIR":
        return False
    if file.suffix.lower() in DICOM_SUFFIXES:
        return True
    try:
        with file.open("rb") as stream:
            start = stream.read(_MARK.stop)
        return start[_MARK] == b"DICM" or _is_bare(start)
    except OSError:
        return True  # reading it will say why it cannot be opened


def _is_bare(contents: bytes) -> bool:
    """Tells whether a file begins with a data set, without preamble and header.

    A preamble may hold anything, so the mark behind it counts first.
    """
    return contents[_MARK] != b"DICM" and contents[:4] in _FIRST_ELEMENTS


class _BoundedStream(io.BytesIO):
    """A file's contents that pydicom reads in no more pieces than a file of ours has.

    An element, an item of a sequence and a delimiter are two or three pieces each, and
    an element of eight bytes takes a hundred times as many in memory.
    """

    def __init__(self, path: Path, contents: bytes) -> None:
        """Takes the contents, and the path for messages."""
        super().__init__(contents)
        self._path = path
        self._pieces = 0
        self.is_cut = False  # or the end of a value was searched for

    def read(self, size: int | None = -1) -> bytes:
        """Returns the next piece."""
        self._pieces += 1
        if self._pieces > DICOM_PIECES:
            raise UnreadableFileError(
                f"{self._path}: expected a file of some hundred elements, found more "
                f"than {DICOM_PIECES // 3}. Choose the whole-body series."
            )
        if size is None or size < 0:
            raise UnreadableFileError(
                f"{self._path}: expected a file that is not deflated, since a small "
                "one can unpack to fill the memory. Export it uncompressed."
            )
        piece = super().read(size)
        if len(piece) < size:
            is_header = size <= _HEADER_BYTES
            is_end = not piece and size in _FIRST_BYTES
            if is_header and not is_end or not is_header and not piece:
                raise self.make_error()
            self.is_cut |= not is_header
        return piece

    def make_error(self) -> UnreadableFileError:
        """Returns what to raise for a file that ends within an element."""
        return UnreadableFileError(
            f"{self._path}: expected whole elements, found the beginning of one at the "
            "end. The file is cut off: export it again."
        )


def _bound_elements(path: Path, dataset: Dataset) -> None:
    """Refuses elements that no whole-body file has so large; drops private ones."""
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        is_raw = isinstance(element, RawDataElement)
        size = len(element.value or b"") if is_raw else 0
        if tag == _PIXEL_DATA or size <= DICOM_ELEMENT_BYTES:
            continue
        if not tag.is_private:
            raise UnreadableFileError(
                f"{path}: expected elements of at most {DICOM_ELEMENT_BYTES // KIB} "
                f"KiB beside the pixels, found {tag} of {size // KIB} KiB. Export the "
                "original image."
            )
        del dataset[tag]
