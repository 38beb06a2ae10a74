"""PyTorch's files, `.pth` and `.pt`: where the numbers of their tensors lie.

Since PyTorch 1.6 they are zip archives with a pickle and one entry for each storage.
Before, as the VGG files on torchvision's page still are, they are five pickles in a
row with the storages behind them.
"""

import io
import math
import os
import pathlib
import struct
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from spectjax.system.archives import check_stored, open_archive
from spectjax.system.limits import PICKLE_BYTES, WEIGHTS_LIST_BYTES
from spectjax.weights import WeightsError
from spectjax.weights.torch_pickle import (
    ForeignObjectError,
    PickleError,
    Storage,
    TensorRecord,
    read_pickle,
)

# The first number of a file from before PyTorch 1.6.
_OLD_MAGIC = 0x1950A86A20F9469CFC6C
# Where training scripts put the weights beside other things.
_WRAPPINGS = ("state_dict", "model_state_dict", "model")
_AGAIN = "Download or save it again."
_SAVE_WEIGHTS = (
    "Load it with PyTorch, if you trust it, and save the weights alone: "
    "torch.save(model.state_dict(), FILE)."
)


def read_zip(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Returns the state dict in a file that PyTorch 1.6 or later wrote.

    Returns:
        Read-only arrays by name, in the dtypes of the file.

    Raises:
        WeightsError: if it is damaged, or holds anything but tensors.
    """
    try:
        with (
            path.open("rb") as stream,
            open_archive(stream, directory=WEIGHTS_LIST_BYTES) as archive,
        ):
            check_stored(archive.infolist(), os.fstat(stream.fileno()).st_size)
            return _read_archive(path, archive)
    except WeightsError:
        raise
    except (
        zipfile.BadZipFile,
        EOFError,
        MemoryError,
        OverflowError,
        RuntimeError,
        ValueError,
        struct.error,
    ) as error:
        # zipfile reports encryption as RuntimeError.
        raise WeightsError(
            f"{path}: expected a whole zip archive, stored as torch.save does, found "
            f"one that is damaged or packed ({error}). {_AGAIN}"
        ) from error


def _read_archive(path: pathlib.Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    entries = {entry.filename: entry for entry in archive.infolist()}
    pickles = [name for name in entries if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise WeightsError(
            f"{path}: expected PyTorch's data.pkl in the archive, found "
            f"{len(pickles)} of it. Give a file that torch.save wrote."
        )
    folder = pickles[0].removesuffix("data.pkl")
    order = f"{folder}byteorder"
    if order in entries and archive.read(order) != b"little":
        raise WeightsError(
            f"{path}: expected little-endian numbers, found others. Save it again on "
            "a PC, or as safetensors."
        )
    if entries[f"{folder}data.pkl"].file_size > PICKLE_BYTES:
        raise _damaged(path, f"a data.pkl of over {PICKLE_BYTES} bytes")
    content = _parse(path, io.BytesIO(archive.read(f"{folder}data.pkl")))

    def read_storage(storage: Storage) -> bytes:
        name = f"{folder}data/{storage.key}"
        if name not in entries:
            raise _damaged(path, f"no {name!r:.60} in the archive")
        return archive.read(name)

    return _load_tensors(path, _select_tensors(path, content), read_storage)


def read_old(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Returns the state dict in a file from before PyTorch 1.6.

    Returns and raises what `read_zip` does.
    """
    with path.open("rb") as stream:
        if _parse(path, stream) != _OLD_MAGIC:
            raise WeightsError(
                f"{path}: expected weights by PyTorch, found another pickle. "
                f"{_SAVE_WEIGHTS}"
            )
        _version, system = (_parse(path, stream) for _ in range(2))
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise _damaged(path, "no word that its numbers are little-endian")
        content, keys = (_parse(path, stream) for _ in range(2))
        records = _select_tensors(path, content)
        sizes = {r.storage.key: _count_bytes(r.storage) for r in records.values()}
        storages = _read_old_storages(path, stream, keys, sizes)

    def find_storage(storage: Storage) -> bytes:
        if storage.key not in storages:
            raise _damaged(path, f"no storage {storage.key!r:.60}")
        return storages[storage.key]

    return _load_tensors(path, records, find_storage)


def _read_old_storages(
    path: pathlib.Path, stream: BinaryIO, keys: Any, sizes: dict[str, int]
) -> dict[str, bytes]:
    """Returns the bytes of all storages, each behind the number of its elements."""
    storages = {}
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or key not in sizes:
            raise WeightsError(
                f"{path}: expected weights alone, found a storage of something else. "
                f"{_SAVE_WEIGHTS}"
            )
        header = stream.read(8)
        left = os.fstat(stream.fileno()).st_size - stream.tell()
        if len(header) < 8 or sizes[key] > left:
            raise _damaged(path, f"{sizes[key] - left} bytes too few")
        storages[key] = stream.read(sizes[key])
    return storages


def _parse(path: pathlib.Path, stream: BinaryIO) -> Any:
    try:
        return read_pickle(stream)
    except ForeignObjectError as error:
        raise WeightsError(
            f"{path}: expected tensors alone, found {error}, which was not run. "
            f"{_SAVE_WEIGHTS}"
        ) from error
    except PickleError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: pathlib.Path, found: str) -> WeightsError:
    return WeightsError(f"{path}: expected a state dict, found {found}. {_AGAIN}")


def _select_tensors(path: pathlib.Path, content: Any) -> dict[str, TensorRecord]:
    """Returns the tensors of a state dict, or of the one that a checkpoint wraps."""
    for key in _WRAPPINGS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise WeightsError(
            f"{path}: expected tensors by name, found {_name_kind(content)} alone. "
            f"{_SAVE_WEIGHTS}"
        )
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, TensorRecord):
            raise WeightsError(
                f"{path}: expected tensors by name, found "
                f"{_name_kind(value)} named {name!r:.60}. {_SAVE_WEIGHTS}"
            )
    return content


def _name_kind(value: Any) -> str:
    return "tensor" if isinstance(value, TensorRecord) else type(value).__name__


def _load_tensors(
    path: pathlib.Path,
    records: dict[str, TensorRecord],
    read: Callable[[Storage], bytes],
) -> dict[str, np.ndarray]:
    """Returns the arrays of records; tensors of one storage share its memory."""
    rows: dict[Storage, np.ndarray] = {}
    storages = dict.fromkeys(r.storage for r in records.values())
    if len({storage.key for storage in storages}) < len(storages):
        # Each would be read on its own, and fill the memory.
        raise _damaged(path, "a storage of two kinds of numbers")
    for storage in storages:
        data = read(storage)
        if len(data) != _count_bytes(storage):
            raise _damaged(
                path, f"{len(data)} bytes for {storage.size} numbers of {storage.dtype}"
            )
        rows[storage] = np.frombuffer(data, storage.dtype)
    tensors = {}
    for name, record in records.items():
        if not _fits(record):
            raise _damaged(path, f"{name!r:.60}, which reaches beyond its storage")
        row = rows[record.storage][record.offset :]
        # The stride of an axis of one says nothing and may be any number.
        steps = zip(record.shape, record.strides, strict=True)
        strides = [row.itemsize * stride if n > 1 else 0 for n, stride in steps]
        tensors[name] = np.lib.stride_tricks.as_strided(
            row, record.shape, strides, writeable=False
        )
    return tensors


def _count_bytes(storage: Storage) -> int:
    return storage.size * storage.dtype.itemsize


def _fits(record: TensorRecord) -> bool:
    """Returns whether a tensor has numbers, all in its storage, none too often."""
    shape, size = record.shape, record.storage.size
    if len(shape) != len(record.strides):
        return False
    steps = zip(shape, record.strides, strict=True)
    last = record.offset + sum((n - 1) * stride for n, stride in steps)
    return 0 < math.prod(shape) <= size and last < size
