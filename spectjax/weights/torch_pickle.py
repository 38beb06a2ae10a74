"""PyTorch's pickles read as data: nothing that they name is imported or called.

A pickle is a program for a small stack machine. The instructions that build numbers,
text, lists, tuples and dicts are followed here, with Python's own reader of single
instructions. Of the objects that it may name, the few that hold tensors become records
of where their numbers lie. All else is refused. Python's `Unpickler` would do with such
a list of names, but a file of a few bytes makes it fill the memory or hash for ever.
"""

import dataclasses
import functools
import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO

from spectjax.system.limits import PICKLE_BYTES, PICKLE_OBJECTS
from spectjax.system.messages import UserError

_COPIED = 4  # so many arguments of what may be called are taken, the rest left out
_STORAGES = {
    "BFloat16Storage": "bfloat16",
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "ShortStorage": "int16",
}


class PickleError(UserError):
    """A pickle that is damaged; the message is a few words for one line."""


class ForeignObjectError(PickleError):
    """A pickle that asks for more than tensors in dicts; the message says for what."""


@dataclasses.dataclass(frozen=True)
class Storage:
    """Numbers in a row, somewhere in the file.

    Attributes:
        key: by which the file finds them.
        dtype: name of their numpy dtype.
        size: how many they are.
    """

    key: str
    dtype: str
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
        return _Machine().run(_Bounded(stream))
    except PickleError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise PickleError(f"a damaged pickle ({error})") from error


class _Bounded:
    """A stream of which no more than a pickle's bytes are read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._left = stream, PICKLE_BYTES

    def read(self, size: int) -> bytes:
        return self._spend(self._stream.read(min(size, self._left + 1)))

    def readline(self) -> bytes:
        return self._spend(self._stream.readline(self._left + 1))

    def _spend(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise PickleError(f"a pickle of over {PICKLE_BYTES} bytes")
        return content


@dataclasses.dataclass(frozen=True)
class _Named:
    """What stands for an object that a pickle names."""

    name: str


class _Machine:
    """The stack machine: its stack, the stacks below marks, and its memo.

    An instruction of a few bytes may copy a long list or dict: what is made is counted.
    """

    def __init__(self) -> None:
        self.left = PICKLE_OBJECTS
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: _Bounded) -> Any:
        for opcode, argument, _ in pickletools.genops(stream):  # type: ignore[arg-type]
            self.count(1)
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name in _LITERALS:
                self.stack.append(argument)
            elif opcode.name in _INSTRUCTIONS:
                _INSTRUCTIONS[opcode.name](self, argument)
            else:
                raise ForeignObjectError(f"the pickle instruction {opcode.name}")

    def count(self, made: int) -> None:
        self.left -= made
        if self.left < 0:
            raise PickleError(f"a pickle of over {PICKLE_OBJECTS} objects")

    def skip(self, _: Any) -> None:
        """Framing and protocol numbers say nothing about the content."""

    def push(self, argument: Any, make: Callable[[], Any]) -> None:
        self.stack.append(make())

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def make_tuple(self, _: Any) -> None:
        items = self.pop_mark()
        self.stack.append(tuple(items))

    def make_short_tuple(self, _: Any, size: int) -> None:
        items = [self.stack.pop() for _ in range(size)]
        self.stack.append(tuple(reversed(items)))

    def append(self, _: Any) -> None:
        item = self.stack.pop()
        _check_type(self.stack[-1], list).append(item)

    def extend(self, _: Any) -> None:
        items = self.pop_mark()
        _check_type(self.stack[-1], list).extend(items)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _fill(self.stack[-1], [(key, value)])

    def set_items(self, _: Any) -> None:
        items = self.pop_mark()
        _fill(self.stack[-1], zip(items[::2], items[1::2], strict=True))

    def remember(self, argument: int | None) -> None:
        self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]

    def recall(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    def name(self, argument: str) -> None:
        self.stack.append(_name(*argument.split(" ", 1)))

    # Nothing that may be a nested tuple is hashed or printed: both can take for ever.
    def name_from_stack(self, _: Any) -> None:
        name, module = (_check_type(self.stack.pop(), str) for _ in range(2))
        self.stack.append(_name(module, name))

    def call(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        for copied in (arguments, *_check_type(arguments, tuple)[:_COPIED]):
            self.count(len(copied) if isinstance(copied, tuple | list | dict) else 1)
        self.stack.append(_CALLS[_check_type(function, _Named).name](*arguments))

    def find_storage(self, _: Any) -> None:
        reference = _check_type(self.stack.pop(), tuple)
        self.count(len(reference))
        kind, named, key, _location, size, *view = reference
        dtype = _STORAGES[_check_type(named, _Named).name.rpartition(".")[2]]
        if kind != "storage" or view not in ([], [None]):
            raise ForeignObjectError("a part of a storage, or none")
        self.stack.append(Storage(_check_type(key, str), dtype, _check_count(size)))

    def drop_state(self, _: Any) -> None:
        """Attributes of an object: PyTorch keeps layers' version numbers there."""
        self.stack.pop()


def _name(module: str, name: str) -> _Named:
    """Returns what stands for `module.name`, if it may occur."""
    full = f"{module}.{name}"
    if full in _CALLS or (module in ("torch", "torch.cuda") and name in _STORAGES):
        return _Named(full)
    raise ForeignObjectError(ascii(full)[1:81].rstrip("'"))


def _check_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, {type(value).__name__} found")
    return value


def _check_count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a size that is no whole number from 0")
    return value


def _fill(target: Any, items: Any) -> None:
    _check_type(target, dict)
    for key, value in items:
        # Numbers are keys in the states of optimisers.
        if type(key) not in (str, int):
            raise TypeError(f"str expected as a key, {type(key).__name__} found")
        target[key] = value


def _make_dict(items: Any = ()) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    _fill(made, items)
    return made


def _make_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *_: Any
) -> TensorRecord:
    """Returns the record of a tensor; gradients and hooks are left out."""
    return TensorRecord(
        _check_type(storage, Storage),
        _check_count(offset),
        tuple(_check_count(n) for n in shape),
        tuple(_check_count(n) for n in strides),
    )


def _take_tensor(tensor: Any, *_: Any) -> TensorRecord:
    """Returns the record of the tensor that a trainable parameter holds."""
    return _check_type(tensor, TensorRecord)


_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _make_dict,
    "torch._utils._rebuild_parameter": _take_tensor,
    "torch._utils._rebuild_tensor": _make_tensor,
    "torch._utils._rebuild_tensor_v2": _make_tensor,
}

# Instructions that push what stands behind them.
_LITERALS = {
    "BINFLOAT",
    "BININT",
    "BININT1",
    "BININT2",
    "BINSTRING",
    "BINUNICODE",
    "LONG1",
    "SHORT_BINSTRING",
    "SHORT_BINUNICODE",
}
_INSTRUCTIONS: dict[str, Callable[..., None]] = {
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "BINGET": _Machine.recall,
    "BINPERSID": _Machine.find_storage,
    "BINPUT": _Machine.remember,
    "BUILD": _Machine.drop_state,
    "EMPTY_DICT": functools.partial(_Machine.push, make=dict),
    "EMPTY_LIST": functools.partial(_Machine.push, make=list),
    "EMPTY_TUPLE": functools.partial(_Machine.push, make=tuple),
    "FRAME": _Machine.skip,
    "GLOBAL": _Machine.name,
    "LONG_BINGET": _Machine.recall,
    "LONG_BINPUT": _Machine.remember,
    "MARK": _Machine.mark,
    "MEMOIZE": _Machine.remember,
    "NEWFALSE": functools.partial(_Machine.push, make=lambda: False),
    "NEWTRUE": functools.partial(_Machine.push, make=lambda: True),
    "NONE": functools.partial(_Machine.push, make=lambda: None),
    "PROTO": _Machine.skip,
    "REDUCE": _Machine.call,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "TUPLE": _Machine.make_tuple,
    "TUPLE1": functools.partial(_Machine.make_short_tuple, size=1),
    "TUPLE2": functools.partial(_Machine.make_short_tuple, size=2),
    "TUPLE3": functools.partial(_Machine.make_short_tuple, size=3),
}
