"""The most that a reader takes of what others hand over: one table, one way to read.

A limit is checked before memory is asked for. Each lies far above what is met in
practice, and what it costs to reach it is seconds and some hundred MiB.
"""

import os
import stat
from pathlib import Path

from spectjax.system.messages import UserError

KIB, MIB, GIB = 1024, 1024**2, 1024**3

# Bytes of a file.
DICOM_BYTES = 128 * MIB  # twice the pixels below, of 32 bits
PICTURE_BYTES = 64 * MIB
LABELME_BYTES = 64 * MIB  # with the picture that wkentaro's LabelMe embeds
BOXES_BYTES = 1 * MIB  # some five thousand boxes
TABLE_BYTES = 64 * MIB
CONFIG_BYTES = 1 * MIB
SCORES_BYTES = 256 * MIB  # curves and, of detections, all outlines
RESULT_BYTES = 64 * MIB  # what a command said of one view
DATA_SET_INFO_BYTES = 64 * MIB  # a hundred bytes for each of its files
MASK_BYTES = 4 * MIB  # a PNG that an annotation names
WEIGHTS_BYTES = 4 * GIB  # eight times a VGG-16
READY_BYTES = 8_000_000  # all weights that ship with the package
MODEL_BYTES = 2 * GIB - 1  # an exported model; Protocol Buffers, and so ONNX, end here

# Of a file of weights: the list of an archive's entries, a safetensors header, each
# some hundred bytes an array; a pickle, and what it makes one by one. A state dict of
# a thousand arrays, with an optimizer's, takes a tenth.
WEIGHTS_LIST_BYTES = 4 * MIB
PICKLE_BYTES = 16 * MIB
PICKLE_OBJECTS = 300_000

# Of an exported model: what it tells about itself, and what it answers about an image
# (a Mask R-CNN's hundred masks of 256x256 pixels are 7 MiB).
METADATA_BYTES = 1 * MIB
ANSWER_BYTES = 64 * MIB

# Counts in a file that people write: rows of a table, values of a JSON document, tags,
# attributes and references of an XML document.
TABLE_ROWS = 200_000
JSON_VALUES = 1_000_000
XML_PARTS = 300_000

# Of one annotation: its outlines and the corners of all of them; the pixels of the
# masks that it holds or names; and the pixels of the boxes around the outlines of all
# readers of one image, which are all filled.
OUTLINES = 2_000
CORNERS = 20_000
MASK_PIXELS = 64 * MIB
FILLED_PIXELS = 64 * MIB
HOTSPOTS = 1_000  # of one image; a mask of dots has 65 536

# Time for opening an exported model and for its first answer about a batch of a size,
# for which JAX compiles; and for any other. On two busy cores a VGG-16 takes a minute
# for the first, a Mask R-CNN 3 s for any other.
OPEN_SECONDS = 600.0
ANSWER_SECONDS = 120.0
# Its memory: so much, some for each core (threads have stacks), and so many times the
# size of its file. A VGG-16 takes 3.1 GiB, six times its file.
MODEL_MEMORY_BYTES = 4 * GIB
MODEL_MEMORY_BYTES_A_CORE = 32 * MIB
MODEL_MEMORY_FACTOR = 8

# Pixels of all frames of a whole-body file: 1024x256, two detectors, a few energy
# windows are a tenth of it. A damaged header can claim terabytes.
WHOLE_BODY_PIXELS = 4096 * 4096
WHOLE_BODY_FRAMES = 256

# Of a DICOM file: bytes of an element beside the pixels (a palette has 128 KiB), pieces
# in which elements are read (whole-body files have a thousand), fragments of encoded
# pixels (64 KiB each, where they are cut at all).
DICOM_ELEMENT_BYTES = 512 * KIB
DICOM_PIECES = 100_000
DICOM_FRAGMENTS = 10_000

# Distance of pixels in mm. Gamma cameras have 1 to 5; another number is of another
# unit, or damage, and would be resampled to gigabytes.
SPACING_MM = (0.5, 20.0)


def read_limited(path: Path, most: int, *, error: type[UserError] = UserError) -> bytes:
    """Returns the contents of a regular file of at most `most` bytes.

    The file is opened once, and what is read is what was measured: one that grows
    meanwhile is refused.

    Raises:
        UserError: of the kind `error`: the file is larger, no regular file, or cannot
            be opened or read.
    """
    try:
        # A pipe would block whoever opens it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise error(f"{path}: expected a file, found a folder or a device.")
            size = found.st_size
            # As many as there are: to ask for `most` would take its memory.
            contents = stream.read(size + 1) if size <= most else b""
    except OSError as problem:
        raise error(
            f"{path}: expected a readable file, found: "
            f"{problem.strerror or problem}. Check the path and its permissions."
        ) from None
    except UserError:
        raise
    except ValueError as problem:  # a NUL byte in the path
        raise error(f"{path}: expected a path, found: {problem}.") from None
    if size > most:
        raise error(
            f"{path}: expected a file of at most {_format_bytes(most)}, found "
            f"{_format_bytes(size)}."
        )
    if len(contents) != size:
        raise error(f"{path}: expected a file at rest, found one that is written.")
    return contents


def _format_bytes(count: int) -> str:
    return f"{count / MIB:.4g} MiB" if count >= MIB else f"{count / KIB:.4g} KiB"
