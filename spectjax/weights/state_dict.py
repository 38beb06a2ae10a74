"""State dicts of PyTorch models from files: arrays by name."""

import hashlib
import pathlib
import re
import stat

import numpy as np
import safetensors.numpy

from spectjax.system.limits import GIB, WEIGHTS_BYTES, WEIGHTS_LIST_BYTES
from spectjax.weights import WeightsError
from spectjax.weights.torch_file import read_old, read_zip

# The names of torchvision's files end with the first digits of their SHA-256. Its old
# ones have no other checksum.
_DIGEST_IN_NAME = re.compile(
    r"(?:vgg|resnet|densenet|maskrcnn_resnet)[0-9a-z_]*-([0-9a-f]{8})\.pth"
)
# Names begin with it where the model was spread over several GPUs.
_PARALLEL = "module."


def read_state_dict(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a `.safetensors`, `.pth` or `.pt` file by name.

    What a file is follows from its first bytes, not from its name. No code in it is
    run: a pickle that needs more than tensors in dicts is refused. A checkpoint with
    the weights under "state_dict", "model_state_dict" or "model" gives these, and a
    "module." before every name goes.

    Args:
        path: the file, as torch.save or safetensors wrote it.

    Returns:
        Arrays in PyTorch's shapes and the file's dtypes, bfloat16 included; they may
        be read-only.

    Raises:
        WeightsError: if the file cannot be read, is damaged or holds anything else.
    """
    path = pathlib.Path(path)
    try:
        _check_size(path)
        _check_digest(path)
        with path.open("rb") as stream:
            head = stream.read(16)
        if head.startswith(b"PK"):
            arrays = read_zip(path)
        elif head.startswith(b"\x80"):
            arrays = read_old(path)
        elif head[8:9] == b"{":
            arrays = _read_safetensors(path, int.from_bytes(head[:8], "little"))
        else:
            raise WeightsError(_explain_kind(path, head))
    except OSError as error:
        raise WeightsError(
            f"{path}: expected a file of weights that can be read, found none "
            f"({error.strerror or error}). Correct the path."
        ) from error
    if not arrays:
        raise WeightsError(
            f"{path}: expected tensors by name, found none. Save a model's "
            "state_dict() into it."
        )
    if all(name.startswith(_PARALLEL) for name in arrays):
        return {name.removeprefix(_PARALLEL): x for name, x in arrays.items()}
    return arrays


def _check_size(path: pathlib.Path) -> None:
    """Raises WeightsError for what is no regular file, or too large for weights."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise WeightsError(
            f"{path}: expected a file of weights, found a directory or a device. "
            "Correct the path."
        )
    if status.st_size > WEIGHTS_BYTES:
        raise WeightsError(
            f"{path}: expected weights of at most {WEIGHTS_BYTES // GIB} GiB, found "
            f"{status.st_size / GIB:.1f} GiB. Give those of a torchvision model."
        )


def _check_digest(path: pathlib.Path) -> None:
    """Raises WeightsError if a file of torchvision's is not what its name says."""
    named = _DIGEST_IN_NAME.fullmatch(path.name)
    if named is None:
        return
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if not digest.startswith(named[1]):
        raise WeightsError(
            f"{path}: expected the file of torchvision with this name, whose SHA-256 "
            f"begins with {named[1]}; found {digest[:8]}. Download it again; if it is "
            "another file, rename it."
        )


def _read_safetensors(path: pathlib.Path, header: int) -> dict[str, np.ndarray]:
    damaged = f"{path}: expected a whole safetensors file, found a damaged one"
    again = "Download or save it again."
    if header > WEIGHTS_LIST_BYTES:
        raise WeightsError(f"{damaged} (header too large: {header} bytes). {again}")
    try:
        return safetensors.numpy.load_file(path)
    except (AttributeError, TypeError) as error:
        # The names of dtypes that numpy does not have.
        raise WeightsError(
            f"{path}: expected numbers of 16 bits or more, found others ({error}). "
            "Save it again as float32."
        ) from error
    except (
        safetensors.SafetensorError,
        LookupError,
        MemoryError,
        OverflowError,
        ValueError,
    ) as error:
        raise WeightsError(f"{damaged} ({error}). {again}") from error


def _explain_kind(path: pathlib.Path, head: bytes) -> str:
    expected = f"{path}: expected safetensors or a file by torch.save"
    if not head:
        return f"{expected}, found an empty file. Download it again."
    if head.lstrip().startswith(b"<"):
        return (
            f"{expected}, found a web page. Download the file itself, not the page "
            "that offers it."
        )
    return (
        f"{expected}, found a file that begins with {head!r}. Give the weights of a "
        "torchvision model."
    )
