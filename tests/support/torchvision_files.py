"""Names and shapes of torchvision's networks, and files as PyTorch writes them.

All by hand, so that the tests need no PyTorch; an optional test holds them to it.
"""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile

import numpy as np

CFGS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


def norm_layout(name, channels):
    return {
        f"{name}.weight": (channels,),
        f"{name}.bias": (channels,),
        f"{name}.running_mean": (channels,),
        f"{name}.running_var": (channels,),
        f"{name}.num_batches_tracked": (),
    }


def vgg_layout(name, features, hidden, classes):
    layout, place, channels = {}, 0, 3
    for size, width in zip(CFGS[name.removesuffix("_bn")], features, strict=True):
        for _ in range(size):
            layout[f"features.{place}.weight"] = (width, channels, 3, 3)
            layout[f"features.{place}.bias"] = (width,)
            if name.endswith("_bn"):
                layout |= norm_layout(f"features.{place + 1}", width)
                place += 1
            place, channels = place + 2, width
        place += 1
    for place, shape in zip(
        (0, 3, 6),
        ((hidden, 49 * channels), (hidden, hidden), (classes, hidden)),
        strict=True,
    ):
        layout[f"classifier.{place}.weight"] = shape
        layout[f"classifier.{place}.bias"] = shape[:1]
    return layout


def resnet34_layout(classes):
    layout = {"conv1.weight": (64, 3, 7, 7)} | norm_layout("bn1", 64)
    channels = 64
    for stage, size in enumerate((3, 4, 6, 3), start=1):
        width = 32 * 2**stage
        for i in range(size):
            block = f"layer{stage}.{i}"
            layout[f"{block}.conv1.weight"] = (width, channels, 3, 3)
            layout |= norm_layout(f"{block}.bn1", width)
            layout[f"{block}.conv2.weight"] = (width, width, 3, 3)
            layout |= norm_layout(f"{block}.bn2", width)
            if channels != width:
                layout[f"{block}.downsample.0.weight"] = (width, channels, 1, 1)
                layout |= norm_layout(f"{block}.downsample.1", width)
            channels = width
    return layout | {"fc.weight": (classes, 512), "fc.bias": (classes,)}


def densenet_layout(classes, sizes=(6, 12, 24, 16)):
    layout = {"features.conv0.weight": (64, 3, 7, 7)}
    layout |= norm_layout("features.norm0", 64)
    channels = 64
    for stage, size in enumerate(sizes, start=1):
        for i in range(1, size + 1):
            layer = f"features.denseblock{stage}.denselayer{i}"
            layout |= norm_layout(f"{layer}.norm1", channels)
            layout[f"{layer}.conv1.weight"] = (128, channels, 1, 1)
            layout |= norm_layout(f"{layer}.norm2", 128)
            layout[f"{layer}.conv2.weight"] = (32, 128, 3, 3)
            channels += 32
        if stage < 4:
            layout |= norm_layout(f"features.transition{stage}.norm", channels)
            channels //= 2
            layout[f"features.transition{stage}.conv.weight"] = (
                channels,
                2 * channels,
                1,
                1,
            )
    layout |= norm_layout("features.norm5", channels)
    return layout | {
        "classifier.weight": (classes, channels),
        "classifier.bias": (classes,),
    }


def resnet50_layout(classes=1000, sizes=(3, 4, 6, 3), stem=64):
    layout = {"conv1.weight": (stem, 3, 7, 7)} | norm_layout("bn1", stem)
    channels = stem
    for stage, size in enumerate(sizes):
        width = stem * 2**stage
        for i in range(size):
            block = f"layer{stage + 1}.{i}"
            shapes = ((width, channels, 1, 1), (width, width, 3, 3))
            for j, shape in enumerate((*shapes, (4 * width, width, 1, 1)), start=1):
                layout[f"{block}.conv{j}.weight"] = shape
                layout |= norm_layout(f"{block}.bn{j}", shape[0])
            if i == 0:
                layout[f"{block}.downsample.0.weight"] = (4 * width, channels, 1, 1)
                layout |= norm_layout(f"{block}.downsample.1", 4 * width)
            channels = 4 * width
    return layout | {"fc.weight": (classes, channels), "fc.bias": (classes,)}


def mask_rcnn_layout(
    classes=91,
    sizes=(3, 4, 6, 3),
    stem=64,
    channels=256,
    box_features=1024,
    mask_features=256,
    frozen=False,
):
    body = {
        f"backbone.body.{name}": shape
        for name, shape in resnet50_layout(sizes=sizes, stem=stem).items()
        if not name.startswith("fc.")
        and not (frozen and name.endswith("num_batches_tracked"))
    }
    kernels = {
        f"backbone.fpn.{kind}_blocks.{i}.0": shape
        for kind in ("inner", "layer")
        for i, shape in enumerate(
            (channels, 4 * stem * 2**stage, 1, 1)
            if kind == "inner"
            else (channels, channels, 3, 3)
            for stage in range(4)
        )
    }
    kernels |= {
        "rpn.head.conv.0.0": (channels, channels, 3, 3),
        "rpn.head.cls_logits": (3, channels, 1, 1),
        "rpn.head.bbox_pred": (12, channels, 1, 1),
        "roi_heads.box_head.fc6": (box_features, channels * 49),
        "roi_heads.box_head.fc7": (box_features, box_features),
        "roi_heads.box_predictor.cls_score": (classes, box_features),
        "roi_heads.box_predictor.bbox_pred": (4 * classes, box_features),
    }
    width = channels
    for i in range(4):
        kernels[f"roi_heads.mask_head.{i}.0"] = (mask_features, width, 3, 3)
        width = mask_features
    kernels["roi_heads.mask_predictor.mask_fcn_logits"] = (classes, width, 1, 1)
    weights = {f"{name}.weight": shape for name, shape in kernels.items()}
    biases = {f"{name}.bias": shape[:1] for name, shape in kernels.items()}
    # Of an up-convolution the inputs stand first.
    up = "roi_heads.mask_predictor.conv5_mask"
    weights[f"{up}.weight"] = (mask_features, mask_features, 2, 2)
    return body | weights | biases | {f"{up}.bias": (mask_features,)}


class Persistent:
    """What a pickle leaves to the file around it: a storage."""

    def __init__(self, storage_type, key, size):
        """Describes a storage of `size` numbers."""
        self.id = ("storage", storage_type, key, "cpu", size)


class _Pickler(pickle._Pickler):  # the one in C looks every global up
    old = False

    def persistent_id(self, item):
        if isinstance(item, Persistent):
            return (*item.id, None) if self.old else item.id
        return None

    def save_global(self, item, name=None):
        """Names stand-ins as if their modules could be imported."""
        if getattr(item, "stands_in", False):
            text = f"c{item.__module__}\n{item.__qualname__}\n"
            self.write(text.encode())
            self.memoize(item)
        else:
            super().save_global(item, name)

    dispatch = pickle._Pickler.dispatch | {
        type: save_global,
        types.FunctionType: save_global,
    }


def dump(content, *, old=False):
    stream = io.BytesIO()
    pickler = _Pickler(stream, protocol=2)
    pickler.old = old
    pickler.dump(content)
    return stream.getvalue()


def stand_in(module, name):
    """A thing that a pickle names `module.name`, which need not exist."""
    return type(
        name, (), {"__module__": module, "__qualname__": name, "stands_in": True}
    )


class Call:
    """Pickled as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        """Describes a call."""
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        """Returns what pickle asks for."""
        return self.function, self.arguments


REBUILD = stand_in("torch._utils", "_rebuild_tensor_v2")
OLD_REBUILD = stand_in("torch._utils", "_rebuild_tensor")
STORAGES = {
    "float16": stand_in("torch", "HalfStorage"),
    "float32": stand_in("torch", "FloatStorage"),
    "float64": stand_in("torch", "DoubleStorage"),
    "int64": stand_in("torch", "LongStorage"),
}


def view(key, array, *, offset=0, shape=None, strides=None, size=None, dtype=None):
    """A tensor on the storage `key`, which holds `array` in C order."""
    dtype = dtype or STORAGES[array.dtype.name]
    size = array.size if size is None else size
    shape = array.shape if shape is None else shape
    strides = (
        tuple(n // array.itemsize for n in array.strides)
        if strides is None
        else strides
    )
    return Call(
        REBUILD,
        Persistent(dtype, key, size),
        offset,
        shape,
        strides,
        False,
        collections.OrderedDict(),
    )


def write_zip(path, content, storages, *, compression=zipfile.ZIP_STORED, **entries):
    """A file of today's PyTorch: `storages` maps keys to bytes."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", dump(content))
        archive.writestr("archive/byteorder", entries.get("byteorder", "little"))
        archive.writestr("archive/version", "3\n")
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
    return path


def write_old(path, content, storages, *, magic=0x1950A86A20F9469CFC6C):
    """A file from before PyTorch 1.6: `storages` maps keys to arrays."""
    system = {"protocol_version": 1001, "little_endian": sys.byteorder == "little"}
    parts = [
        dump(magic),
        dump(1001),
        dump(system),
        dump(content, old=True),
        dump(list(storages)),
        *(struct.pack("<q", x.size) + x.tobytes() for x in storages.values()),
    ]
    path.write_bytes(b"".join(parts))
    return path


def write_arrays(path, arrays, *, old=False):
    """A file with one storage for each array."""
    arrays = {name: np.ascontiguousarray(x) for name, x in arrays.items()}
    content = collections.OrderedDict(
        (name, view(str(i), x)) for i, (name, x) in enumerate(arrays.items())
    )
    if old:
        for call in content.values():
            call.function, call.arguments = OLD_REBUILD, call.arguments[:4]
        return write_old(
            path, content, {str(i): x for i, x in enumerate(arrays.values())}
        )
    return write_zip(
        path, content, {str(i): x.tobytes() for i, x in enumerate(arrays.values())}
    )
