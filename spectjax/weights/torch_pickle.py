"""PyTorch's pickles read as data: nothing that they name is imported or called.

A pickle is a program for a small stack machine. Python's own reader runs it here, with
few of its instructions. It can do no harm, since

* a name gives a method of the reader below, or a dtype, or an error: nothing is looked
  up. Instructions that call or make objects in other ways (INST, OBJ, NEWOBJ, EXT1) are
  not known, and what BUILD would set on an object is dropped;
* bytes, instructions and copies are counted;
* only text and small numbers become keys. Elsewhere a tuple may be one, and a nested
  one of a few hundred bytes hashes for ever, or overflows the stack of C.

It is the reader in Python, which nothing outside the standard library promises: that in
C makes an array as long as the memo's largest index, 32 GiB for a pickle of 9 bytes,
and lets nobody see its keys. Of what a later Python may change, an instruction that is
not there is refused.
"""

import dataclasses
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO

import ml_dtypes  # noqa: F401  numpy knows bfloat16 from here
import numpy as np

from spectjax.system.limits import PICKLE_BYTES, PICKLE_OBJECTS
from spectjax.system.messages import UserError

_MAX_AXES = 32
_DTYPES = {
    "BFloat16Storage": np.dtype("bfloat16"),
    "BoolStorage": np.dtype("bool"),
    "ByteStorage": np.dtype("uint8"),
    "CharStorage": np.dtype("int8"),
    "DoubleStorage": np.dtype("float64"),
    "FloatStorage": np.dtype("float32"),
    "HalfStorage": np.dtype("float16"),
    "IntStorage": np.dtype("int32"),
    "LongStorage": np.dtype("int64"),
    "ShortStorage": np.dtype("int16"),
}


class PickleError(UserError):
    """A pickle that is damaged; the message is a few words for one line."""


class ForeignObjectError(PickleError):
    """A pickle that asks for more than tensors in dicts; the message says for what."""


@dataclasses.dataclass(frozen=True)
class Storage:
    """So many numbers in a row, which the file finds by their key."""

    key: str
    dtype: np.dtype
    size: int


@dataclasses.dataclass(frozen=True)
class TensorRecord:
    """A tensor as a view of a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_pickle(stream: BinaryIO) -> Any:
    """Returns what the pickle at the stream's position says, and stops behind it.

    Returns:
        Numbers, text, None, lists, tuples, dicts and `TensorRecord`s.

    Raises:
        ForeignObjectError: if it names anything else, or uses instructions that no
            state dict needs.
        PickleError: if it is damaged, or larger than any state dict.
    """
    try:
        return _Reader(stream).load()
    except (PickleError, OSError):
        raise
    except Exception as error:  # damage may make Python's reader raise anything
        raise PickleError(f"a damaged pickle ({error})") from error


class _Bounded:
    """A stream of which no more than a pickle's bytes are read, none of them short."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._left = stream, PICKLE_BYTES

    def read(self, size: int) -> bytes:
        content = self._spend(self._stream.read(min(size, self._left + 1)))
        if len(content) < size:
            raise EOFError(f"{size} bytes expected, {len(content)} found")
        return content

    def readline(self) -> bytes:
        line = self._spend(self._stream.readline(self._left + 1))
        if not line.endswith(b"\n"):
            raise EOFError("no end of a line")
        return line

    def _spend(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise PickleError(f"a pickle of over {PICKLE_BYTES} bytes")
        return content


class _Entries(dict[Any, Any]):
    """A dict whose keys are text or, in the states of optimisers, small numbers."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        # Any number of large ones have the same hash, and each is compared with all.
        if type(key) is not str and (type(key) is not int or key.bit_length() > 32):
            raise TypeError(f"str expected as a key, {type(key).__name__} found")
        super().__setitem__(key, value)


class _Instructions(dict[int, Callable[[Any], None]]):
    """What the reader does at each instruction that it knows, and how many it may."""

    left: int

    def __getitem__(self, code: int) -> Callable[[Any], None]:
        self.count(1)
        if code not in self:
            names = {opcode.code: opcode.name for opcode in pickletools.opcodes}
            raise ForeignObjectError(f"the pickle instruction {names[chr(code)]}")
        return super().__getitem__(code)

    def count(self, made: int) -> None:
        self.left -= made
        if self.left < 0:
            raise PickleError(f"a pickle of over {PICKLE_OBJECTS} objects")


class _Reader(pickle._Unpickler):
    """Python's reader of pickles with few instructions and fewer names."""

    dispatch: _Instructions  # type: ignore[misc]  # of each reader its own

    def __init__(self, stream: BinaryIO) -> None:
        # Text of Python 2 is of bytes, and all of them are letters in latin-1.
        super().__init__(_Bounded(stream), encoding="latin-1")
        self.dispatch = _Instructions(_KNOWN)
        self.dispatch.left = PICKLE_OBJECTS

    def find_class(self, module: str, name: str) -> Any:
        """Returns what stands for `module.name`, if it may occur."""
        full = f"{module}.{name}"
        if full in _CALLS:
            return getattr(self, _CALLS[full])
        if module in ("torch", "torch.cuda") and name in _DTYPES:
            return _DTYPES[name]
        raise ForeignObjectError(ascii(full)[1:81].rstrip("'"))

    def persistent_load(self, reference: Any) -> Storage:
        """Returns the storage that lies elsewhere in the file."""
        # Nothing that may be a nested tuple is printed: that can take for ever.
        kind, dtype, key, _location, size, *view = _check_type(reference, tuple)
        if kind != "storage" or view not in ([], [None]):
            raise ForeignObjectError("a part of a storage, or none")
        if not isinstance(dtype, np.dtype):
            raise TypeError("no type of a storage")
        return Storage(_check_type(key, str), dtype, _check_count(size))

    def make_dict(self, pairs: Any = ()) -> _Entries:
        """Returns an OrderedDict's content; Python 2 gives it as pairs."""
        self.dispatch.count(len(pairs))  # a list may be given many times
        made = _Entries()
        for key, value in pairs:
            made[key] = value
        return made

    # These two take as many arguments as PyTorch may give, and not any number: they
    # would be copied. What gradients need is left out.
    def make_tensor(
        self,
        storage: Any,
        offset: Any,
        shape: Any,
        strides: Any,
        _learns: Any = None,
        _hooks: Any = None,
        _metadata: Any = None,
    ) -> TensorRecord:
        """Returns the record of a tensor."""
        if max(len(shape), len(strides)) > _MAX_AXES:
            raise ValueError(f"a tensor of over {_MAX_AXES} axes")
        return TensorRecord(
            _check_type(storage, Storage),
            _check_count(offset),
            tuple(_check_count(n) for n in shape),
            tuple(_check_count(n) for n in strides),
        )

    def take_tensor(
        self, tensor: Any, _learns: Any = None, _hooks: Any = None
    ) -> TensorRecord:
        """Returns the record of the tensor that a trainable parameter holds."""
        return _check_type(tensor, TensorRecord)


def _check_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, {type(value).__name__} found")
    return value


def _check_count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a size that is no whole number from 0")
    return value


def _push_dict(reader: Any) -> None:
    reader.append(_Entries())


# The method of the reader that stands for a function.
_CALLS = {
    "collections.OrderedDict": "make_dict",
    "torch._utils._rebuild_parameter": "take_tensor",
    "torch._utils._rebuild_tensor": "make_tensor",
    "torch._utils._rebuild_tensor_v2": "make_tensor",
}
_UNCHANGED = (
    "APPEND APPENDS BINFLOAT BINGET BININT BININT1 BININT2 BINPERSID BINPUT BINSTRING "
    "BINUNICODE EMPTY_LIST EMPTY_TUPLE FRAME GLOBAL LONG1 LONG_BINGET LONG_BINPUT MARK "
    "MEMOIZE NEWFALSE NEWTRUE NONE PROTO REDUCE SETITEM SETITEMS SHORT_BINSTRING "
    "SHORT_BINUNICODE STACK_GLOBAL STOP TUPLE TUPLE1 TUPLE2 TUPLE3"
)
_KNOWN: dict[int, Callable[[Any], None]] = {
    code: pickle._Unpickler.dispatch[code]
    for code in (getattr(pickle, name)[0] for name in _UNCHANGED.split())
}
_KNOWN[pickle.EMPTY_DICT[0]] = _push_dict
# Attributes of an object go: PyTorch keeps layers' version numbers there.
_KNOWN[pickle.BUILD[0]] = pickle._Unpickler.dispatch[pickle.POP[0]]
