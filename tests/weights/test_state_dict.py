"""Files of weights: what they hold, and that hostile ones are refused."""

import hashlib
import json
import os
import pickle
import random
import struct
import tracemalloc
import zipfile

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from spectjax.weights import WeightsError, torch_file, torch_pickle
from spectjax.weights.state_dict import read_state_dict
from tests.support.torchvision_files import (
    STORAGES,
    Call,
    dump,
    stand_in,
    view,
    write_arrays,
    write_old,
    write_zip,
)

ROW = np.arange(24, dtype=np.float32)
ARRAYS = {
    "a.weight": ROW.reshape(2, 3, 4),
    "a.bias": np.array([0.5, -2], np.float16),
    "a.steps": np.array(3),
}
WRITERS = {
    "today.pth": write_arrays,
    "old.pth": lambda path, arrays: write_arrays(path, arrays, old=True),
    "any.safetensors": lambda path, arrays: safetensors.numpy.save_file(arrays, path),
}


def check(path, expected):
    arrays = read_state_dict(path)
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def refuse(path, message):
    with pytest.raises(WeightsError, match=message) as refused:
        read_state_dict(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", WRITERS)
def test_arrays_come_back_as_they_were(name, tmp_path):
    WRITERS[name](tmp_path / name, ARRAYS)
    check(tmp_path / name, ARRAYS)
    # The name says nothing.
    check((tmp_path / name).rename(tmp_path / "weights"), ARRAYS)


@pytest.mark.parametrize("name", WRITERS)
def test_the_prefix_of_parallel_models_goes(name, tmp_path):
    arrays = {f"module.{key}": x for key, x in ARRAYS.items()}
    WRITERS[name](tmp_path / name, arrays)
    check(tmp_path / name, ARRAYS)


def test_views_share_a_storage_by_offset_and_strides(tmp_path):
    content = {
        "rows": view("0", ROW, shape=(2, 12), strides=(12, 1)),
        "columns": view("0", ROW, shape=(4, 6), strides=(1, 4)),
        "every other": view("0", ROW, offset=3, shape=(7,), strides=(3,)),
        "last": view("0", ROW, offset=23, shape=(), strides=()),
        "one": view("0", ROW, shape=(1, 2), strides=(2**62, 1)),
    }
    expected = {
        "rows": ROW.reshape(2, 12),
        "columns": ROW.reshape(6, 4).T,
        "every other": ROW[3:24:3],
        "last": ROW[23],
        "one": ROW[None, :2],
    }
    check(write_zip(tmp_path / "w.pth", content, {"0": ROW.tobytes()}), expected)
    check(write_old(tmp_path / "o.pth", content, {"0": ROW}), expected)


def test_bfloat16_is_read(tmp_path):
    # 1.5 is 0x3FC0 and -2 is 0xC000: the upper halves of float32.
    data, expected = b"\xc0\x3f\x00\xc0", np.array([1.5, -2], ml_dtypes.bfloat16)
    kind = stand_in("torch", "BFloat16Storage")
    tensor = view("0", expected, dtype=kind)
    check(write_zip(tmp_path / "w.pth", {"x": tensor}, {"0": data}), {"x": expected})
    header = {"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    path = write_safetensors(tmp_path / "w.safetensors", header, data)
    check(path, {"x": expected})


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_weights_wrapped_in_a_checkpoint_are_found(key, tmp_path):
    rest = {"epoch": 3, "optimizer": {"state": {0: view("1", ROW)}, "lr": [0.1, None]}}
    parameter = Call(
        stand_in("torch._utils", "_rebuild_parameter"), view("0", ROW), True, {}
    )
    path = write_zip(
        tmp_path / "w.pth", rest | {key: {"x": parameter}}, {"0": ROW.tobytes()}
    )
    check(path, {"x": ROW})


def test_pickles_of_python_2_are_read(tmp_path):
    # There an OrderedDict is called with a list of lists, and text is of bytes.
    tensor = dump(view("0", ROW)).removeprefix(b"\x80\x02").removesuffix(b".")
    data = b"\x80\x02ccollections\nOrderedDict\n(](](U\x01x" + tensor + b"eetR."
    check(write_pickle(tmp_path / "w.pth", data, {"0": ROW.tobytes()}), {"x": ROW})


def test_what_a_pickle_would_set_on_a_tensor_is_dropped(tmp_path):
    tensor = dump(view("0", ROW)).removeprefix(b"\x80\x02").removesuffix(b".")
    data = b"\x80\x02}U\x01x" + tensor + b"}U\x05shapeK\x02\x85sbs."
    check(write_pickle(tmp_path / "w.pth", data, {"0": ROW.tobytes()}), {"x": ROW})


def write_pickle(path, data, storages):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data.pkl", data)
        for key, content in storages.items():
            archive.writestr(f"w/data/{key}", content)
    return path


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_a_file_cut_anywhere_is_refused(tmp_path):
    for name, write in WRITERS.items():
        path = tmp_path / name
        write(path, ARRAYS)
        whole = path.read_bytes()
        for size in range(0, len(whole), 7):
            path.write_bytes(whole[:size])
            refuse(path, "expected .*found ")


def test_a_spoilt_file_is_refused_or_read_but_never_worse(tmp_path):
    rng = random.Random(0)
    for name, write in WRITERS.items():
        path = tmp_path / name
        write(path, ARRAYS)
        whole = path.read_bytes()
        for _ in range(300):
            spoilt = bytearray(whole)
            for _ in range(rng.choice((1, 4))):
                spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
            path.write_bytes(spoilt)
            try:
                read_state_dict(path)
            except WeightsError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file. Download it again"),
        (b"\n<!DOCTYPE html><html>", "found a web page. Download the file itself"),
        (b"version https://git-lfs", r"begins with b'version https"),
        (struct.pack("<Q", 2**60) + b'{"x":', "damaged one .*header too large"),
        (dump({"x": 3}), "another pickle. Load it with PyTorch"),
    ],
)
def test_what_holds_no_weights_is_named(content, message, tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    refuse(path, message)


def test_a_folder_and_an_absent_file_are_refused(tmp_path):
    refuse(tmp_path, "expected a file of weights, found a directory or a device")
    refuse(tmp_path / "absent.pth", "found none .*No such file.*Correct the path")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "found list alone"),
        ({}, "found none"),
        (view("0", ROW), "found tensor alone"),
        ({"x": 3}, "found int named 'x'"),
        ({3: view("0", ROW)}, "found tensor named 3"),
        ({"x": view("1", ROW)}, "no 'archive/data/1' in the archive"),
        ({"x": view("0", ROW, size=23)}, "96 bytes for 23 numbers of float32"),
        ({"x": view("0", ROW, size=2**62)}, "96 bytes for 4611686018427387904"),
        ({"x": view("0", ROW, dtype=STORAGES["float64"])}, "96 bytes for 24 .*float64"),
        ({"x": view("0", ROW, offset=1)}, "'x', which reaches beyond its storage"),
        ({"x": view("0", ROW, offset=-1)}, "a damaged pickle .*size"),
        ({"x": view("0", ROW, strides=(2,))}, "reaches beyond"),
        ({"x": view("0", ROW, strides=(-1,))}, "a damaged pickle .*size"),
        ({"x": view("0", ROW, strides=(1, 1))}, "reaches beyond"),
        ({"x": view("0", ROW, shape=(2**40,), strides=(0,))}, "reaches beyond"),
        ({"x": view("0", ROW, shape=("2",))}, "a damaged pickle"),
    ],
)
def test_tensors_that_their_storage_does_not_hold_are_refused(
    content, message, tmp_path
):
    refuse(write_zip(tmp_path / "w.pth", content, {"0": ROW.tobytes()}), message)


def test_old_storages_of_another_size_are_refused(tmp_path):
    content = {"x": view("0", ROW)}
    refuse(write_old(tmp_path / "w.pth", content, {"0": ROW[:20]}), "16 bytes too few")
    refuse(write_old(tmp_path / "w.pth", content, {}), "no storage '0'")
    refuse(
        write_old(tmp_path / "w.pth", content, {"0": ROW, "1": ROW}),
        "a storage of something else",
    )


def test_an_archive_that_unpacks_to_more_is_refused(tmp_path):
    zeros = {"0": bytes(2**20)}
    content = {"x": view("0", ROW, size=2**18)}
    path = write_zip(
        tmp_path / "w.pth", content, zeros, compression=zipfile.ZIP_DEFLATED
    )
    refuse(path, "stored as torch.save does, found .*data.pkl' is compressed")
    # Twice the same entry in the directory: one place in the file, counted twice.
    whole = write_zip(path, content, zeros).read_bytes()
    start = whole.index(b"PK\x01\x02")
    end = whole.index(b"PK\x05\x06")
    entries, tail = whole[start:end], bytearray(whole[end:])
    struct.pack_into("<HHI", tail, 8, 8, 8, 2 * len(entries))
    path.write_bytes(whole[:start] + 2 * entries + tail)
    refuse(path, "209.... bytes of entries in a file of 104....\\). Download")


def test_an_archive_of_something_else_is_refused(tmp_path):
    path = tmp_path / "w.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    refuse(path, "data.pkl in the archive, found 0 of it")


def test_big_endian_numbers_are_refused(tmp_path):
    content = {"x": view("0", ROW)}
    storages = {"0": ROW.tobytes()}
    path = write_zip(tmp_path / "w.pth", content, storages, byteorder="big")
    refuse(path, "little-endian")


def test_an_archive_with_a_longer_list_than_any_state_dict_is_refused(tmp_path):
    path = write_zip(tmp_path / "w.pth", {"x": view("0", ROW)}, {"0": ROW.tobytes()})
    whole = path.read_bytes()
    start, end = whole.index(b"PK\x01\x02"), whole.index(b"PK\x05\x06")
    listed = whole[start:end] * 20_000
    tail = bytearray(whole[end:])
    struct.pack_into("<I", tail, 12, len(listed))
    path.write_bytes(whole[:start] + listed + tail)
    refuse(path, "a list of entries of over 4194304 bytes")


def test_one_storage_read_as_two_kinds_of_numbers_is_refused(tmp_path):
    content = {
        "x": view("0", ROW),
        "y": view("0", ROW, dtype=STORAGES["float64"], size=12),
    }
    path = write_zip(tmp_path / "w.pth", content, {"0": ROW.tobytes()})
    refuse(path, "a storage of two kinds of numbers")


def test_a_file_of_torchvisions_is_held_against_the_digest_in_its_name(tmp_path):
    path = write_old(tmp_path / "old.pth", {"x": view("0", ROW)}, {"0": ROW})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    check(path.rename(tmp_path / f"vgg16-{digest}.pth"), {"x": ROW})
    path = tmp_path / f"vgg16-{digest}.pth"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # of a number: nothing else could notice
    path.write_bytes(content)
    refuse(path, f"SHA-256 begins with {digest}; found .*Download it again")
    # Not every name that ends in digits is torchvision's.
    assert read_state_dict(path.rename(tmp_path / "mine-20240101.pth"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe is asked for")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "w.pth")
    refuse(tmp_path / "w.pth", "found a directory or a device")


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        ({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(4)),
        ({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(12)),
        ({"x": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, bytes(8)),
        (
            {
                name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
                for name in "xy"
            },
            bytes(8),
        ),
        ({"x": {"dtype": "F32", "shape": [2**40] * 9, "data_offsets": [0, 8]}}, b""),
        ({"x": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}}, b""),
        ({"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
        ({"x": 3}, b""),
    ],
)
def test_safetensors_whose_parts_do_not_fit_are_refused(header, data, tmp_path):
    path = write_safetensors(tmp_path / "w.safetensors", header, data)
    refuse(path, "expected a whole safetensors file, found a damaged one")


class Payload:
    """Unpickled, it would run `function`."""

    def __init__(self, function, *arguments):
        """Describes a call."""
        self.call = function, arguments

    def __reduce__(self):
        """Returns what pickle asks for."""
        return self.call


TOUCH = Payload(os.system, "touch canary")
OPEN = "open('canary', 'w')"
DOUBLED = b"K\x01" + b"q\x00h\x00\x86" * 200  # a tuple of 2**200 numbers
PAIRS = b"\x80\x02](" + b"(K\x01K\x02t" * 2000 + b"eq\x00"
ORDERED = b"ccollections\nOrderedDict\nq\x01"
REBUILT = b"ctorch._utils\n_rebuild_tensor_v2\nq\x01"
# Multiples of a prime of which Python says that all have the hash 0.
EQUAL = b"".join(
    b"\x8a\x0b" + ((2**61 - 1) * i).to_bytes(11, "little") + b"N"
    for i in range(1, 9000)
)
TOO_MANY = "a pickle of over 20000 objects"
HOSTILE = {
    "a call, protocol 0": (pickle.dumps(TOUCH, 0), "posix.system"),
    "a call, protocol 2": (pickle.dumps(TOUCH, 2), "posix.system"),
    "a call, protocol 4": (pickle.dumps(TOUCH, 4), "posix.system"),
    "a call, protocol 5": (pickle.dumps({"x": Payload(eval, OPEN)}, 5), "eval"),
    "INST": (f"(U\x13{OPEN}ibuiltins\neval\n.".encode(), "instruction INST"),
    "OBJ": (f"(cbuiltins\neval\nU\x13{OPEN}o.".encode(), "builtins.eval"),
    "OBJ of what is allowed": (b"(" + ORDERED + b"o.", "instruction OBJ"),
    "NEWOBJ": (b"\x80\x02" + ORDERED + b")\x81.", "instruction NEWOBJ"),
    "EXT1": (b"\x80\x02\x82\x01.", "instruction EXT1"),
    "BUILD": (b"\x80\x02}cos\nsystem\nb.", "os.system"),
    "BUILD of what is allowed": (REBUILT + b"}U\x08__code__Nsb.", "found method alone"),
    # What is allowed, reached into.
    "dots": (REBUILT.replace(b"v2", b"v2.__globals__") + b".", "__globals__"),
    "dots, protocol 4": (
        b"\x80\x04\x8c\x05torch\x8c\x12serialization.load\x93.",
        "serialization.load",
    ),
    "torch.load": (b"ctorch\nload\n.", "torch.load"),
    "a buffer from outside": (b"\x80\x05\x97.", "instruction NEXT_BUFFER"),
    # Python's reader in C makes a memo of 2**32 places for this one, and hashes the
    # next ones for ever or until its stack is full.
    "a far place": (b"\x80\x02Nr\xff\xff\xff\xff.", "found NoneType alone"),
    "a key of keys": (b"\x80\x02}" + DOUBLED + b"Ns.", "as a key, tuple found"),
    "a deep key": (b"}K\x01" + b"\x85" * 9000 + b"Ns.", "as a key, tuple found"),
    "keys of one hash": (b"\x80\x02}(" + EQUAL + b"u.", "as a key, int found"),
    "a name of numbers": (b"\x80\x04" + DOUBLED + b"U\x01x\x93.", "damaged pickle"),
    "a call of numbers": (b"\x80\x02" + DOUBLED + b")R.", "damaged pickle"),
    "a storage of numbers": (b"\x80\x02" + DOUBLED + b"Q.", "damaged pickle"),
    "deep lists": (b"\x80\x02" + b"]" * 30_000 + b"a" * 29_999 + b".", TOO_MANY),
    "dicts in dicts": (b"\x80\x02" + b"}K\x01" * 50_000, TOO_MANY),
    "many empty dicts": (b"\x80\x02(" + b"}" * 100_000 + b".", TOO_MANY),
    "dicts copied from a list": (PAIRS + ORDERED + b"h\x01h\x00\x85R" * 900, TOO_MANY),
    "arguments that no call takes": (
        PAIRS + REBUILT + b"(" + b"h\x00" * 9 + b"tq\x02" + b"h\x01h\x02R" * 900,
        "damaged pickle .*9 were given|damaged pickle .*10 were given",
    ),
    "more axes than arrays have": (
        PAIRS + REBUILT + b"(NK\x00h\x00h\x00tR.",
        "a tensor of over 32 axes",
    ),
    "a longer line than a pickle": (b"c" + b"a" * 2**21, "a (pickle|data.pkl) of over"),
    "a longer text than the file": (b"\x80\x02X\xff\xff\xff\x7fabc.", "damaged pickle"),
    "a text of 2**62": (
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
        "instruction BINUNICODE8",
    ),
    "a frame of 2**62": (
        b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
        "damaged pickle",
    ),
    "no instruction": (b"\x80\x02\xff.", "damaged pickle"),
    "nothing on the stack": (b"\x80\x02\x86.", "damaged pickle"),
}


def test_control_a_hostile_pickle_does_run_in_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(HOSTILE["a call, protocol 4"][0])
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused_runs_nothing_and_fills_nothing(
    name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    # A fraction of what is allowed, which takes less time.
    monkeypatch.setattr(torch_pickle, "PICKLE_OBJECTS", 20_000)
    monkeypatch.setattr(torch_pickle, "PICKLE_BYTES", 2**20)
    monkeypatch.setattr(torch_file, "PICKLE_BYTES", 2**20)
    (data, message), path = HOSTILE[name], tmp_path / "w.pth"
    tracemalloc.start()
    try:
        refuse(write_pickle(path, data, {}), message)
        path.write_bytes(dump(0x1950A86A20F9469CFC6C) + data)
        refuse(path, "expected" if message.endswith(" alone") else message)
        path.write_bytes(data)
        refuse(path, "expected")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**25
    assert not (tmp_path / "canary").exists()


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle here")


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
@pytest.mark.parametrize("protocol", [2, 4])
def test_files_that_pytorch_wrote_are_read(options, protocol, torch, tmp_path):
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    row = torch.arange(24.0)
    tensors = layers.state_dict() | {
        "parameter": layers[0].weight,
        "transposed": row.reshape(4, 6).T,
        "part": row.reshape(2, 3, 4)[:, 1, ::2],
        "bfloat16": row.bfloat16(),
        "half": row.half(),
        "bool": row > 3,
    }
    path = tmp_path / "w.pth"
    torch.save(tensors, path, pickle_protocol=protocol, **options)
    arrays = read_state_dict(path)
    assert arrays.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert str(tensor.dtype) == f"torch.{arrays[name].dtype}"
        np.testing.assert_array_equal(
            arrays[name].astype(float), tensor.detach().double().numpy()
        )


@pytest.mark.parametrize("name", ["today.pth", "old.pth"])
def test_control_pytorch_reads_the_files_written_here(name, torch, tmp_path):
    WRITERS[name](tmp_path / name, ARRAYS)
    tensors = torch.load(tmp_path / name, weights_only=True)
    assert tensors.keys() == ARRAYS.keys()
    for key, array in ARRAYS.items():
        np.testing.assert_array_equal(tensors[key].numpy(), array)


def test_a_whole_model_is_refused_by_its_name(torch, tmp_path):
    torch.save(torch.nn.Linear(2, 3), tmp_path / "w.pth")
    refuse(
        tmp_path / "w.pth",
        "found torch.nn.modules.linear.Linear, which was not run. Load it with PyTorch",
    )
