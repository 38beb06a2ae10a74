"""Sound files of each kind, made from nothing: what the mutations begin with."""

import functools
import io
import json
import pathlib
import pickletools
import zipfile
from typing import Any

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from spectjax.imaging.annotations.drafts import CHECKED, KEY, Draft, DraftOutline
from spectjax.phantom import write_phantom

SHRINK = 4  # frames of 256x64 pixels are read faster, and hold as many elements
_REAL = ("JPEG2000.dcm", "JPGExtended.dcm", "JPEG-lossy.dcm")  # pydicom brings them


def write_hospital(folder: pathlib.Path) -> pathlib.Path:
    """Writes four simulated patients, unless they are there, and returns `folder`."""
    if not folder.exists():
        write_phantom(folder, patients=4, seed=11, processes=1)
    return folder


def encode_dicom_files(hospital: pathlib.Path) -> list[bytes]:
    """Returns whole-body files of several layouts, encodings and transfer syntaxes."""
    files = sorted((hospital / "dicom").glob("*.dcm"))
    whole = [file.read_bytes() for file in files[:2]]
    small = [_shrink(pydicom.dcmread(file)) for file in files[:3]]
    encoded = []
    for dataset in small:
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
            encoded.append(_encode(dataset, syntax))
        for syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
            encoded.append(_encode(dataset, syntax, compress=True))
    encoded.append(_encode(small[0], ExplicitVRBigEndian))
    encoded.append(_encode(small[0], DeflatedExplicitVRLittleEndian))
    bare = encoded[1]
    encoded.append(bare[bare.index(b"\x08\0\x08\0") :])  # without preamble and header
    real = [pathlib.Path(str(get_testdata_file(name))).read_bytes() for name in _REAL]
    return [*encoded, *encoded, *whole, *real]


def _shrink(dataset: pydicom.Dataset) -> pydicom.Dataset:
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    n, rows, columns = frames.shape
    blocks = frames.reshape(n, rows // SHRINK, SHRINK, columns // SHRINK, SHRINK)
    small = blocks.sum(axis=(2, 4), dtype=np.uint16)
    dataset.Rows, dataset.Columns = small.shape[1:]
    dataset.PixelSpacing = [float(x) * SHRINK for x in dataset.PixelSpacing or (1, 1)]
    dataset.PixelData = small.tobytes()
    return dataset


def _encode(dataset: pydicom.Dataset, syntax: str, *, compress: bool = False) -> bytes:
    copy = pydicom.dcmread(io.BytesIO(_write(dataset)))
    if compress:
        copy.compress(syntax, generate_instance_uid=False)
        return _write(copy)
    copy.file_meta.TransferSyntaxUID = UID(syntax)
    if syntax != ExplicitVRBigEndian:
        return _write(copy)
    copy.PixelData = np.frombuffer(copy.PixelData, "<u2").byteswap().tobytes()
    stream = io.BytesIO()
    pydicom.dcmwrite(
        stream, copy, implicit_vr=False, little_endian=False, force_encoding=True
    )
    return stream.getvalue()


def _write(dataset: pydicom.Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def encode_weights() -> list[bytes]:
    """Returns two arrays as PyTorch's and as safetensors' files.

    The former are put together by hand from pickle's operations: it takes no PyTorch.
    """
    from safetensors.numpy import save

    arrays = {
        "conv.weight": np.arange(36, dtype="<f4").reshape(4, 1, 3, 3),
        "conv.bias": np.arange(4, dtype="<f4"),
    }
    return [_encode_torch(arrays), _encode_torch(arrays), save(arrays)]


def _encode_torch(arrays: dict[str, np.ndarray]) -> bytes:
    items = b""
    for key, (name, array) in enumerate(arrays.items()):
        storage = (
            b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text(str(key))
        ) + (_text("cpu") + _integer(array.size) + b"tQ")
        strides = tuple(n // array.itemsize for n in array.strides)
        items += (
            _text(name)
            + b"ctorch._utils\n_rebuild_tensor_v2\n"
            + (b"(" + storage + _integer(0) + _tuple(array.shape) + _tuple(strides))
            + b"\x89ccollections\nOrderedDict\n)RtR"
        )
    pickle = b"\x80\x02}(" + items + b"u."
    pickletools.dis(pickle, out=io.StringIO())  # complains of a mistake made here
    path = io.BytesIO()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{key}", array.tobytes())
    return path.getvalue()


def _text(text: str) -> bytes:
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


def _integer(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little")


def _tuple(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"


def write_run(workdir: pathlib.Path) -> pathlib.Path:
    """Writes a run's folder as a few steps of a tiny U-Net leave it, untrained."""
    from spectjax.config import save_config
    from spectjax.training.checkpoint import Checkpoints, Progress

    if not workdir.exists():
        save_config(_load_config(), workdir / "config.json")
        with Checkpoints(workdir) as checkpoints:
            checkpoints.save(3, make_state(), Progress(data="made up"))
    return workdir


@functools.cache
def make_state() -> Any:
    """Returns the state of such a run before its first step, with numpy arrays."""
    import jax

    from spectjax.training.assembly import create_task
    from spectjax.training.optimizer import create_optimizer
    from spectjax.training.step import create_train_state

    config = _load_config()
    return jax.device_get(
        create_train_state(
            create_task(config),
            create_optimizer(config.optimizer, num_steps=10),
            jax.random.key(0),
            tuple(config.data.train_hw),
        )
    )


def _load_config() -> Any:
    from configs.unet import get_config

    return get_config("smoke")


def write_pictures(folder: pathlib.Path, hospital: pathlib.Path) -> pathlib.Path:
    """Writes four pictures with a table, a mask and boxes, and returns the folder.

    Somebody decided about the crops of three, of one in a table of its own.
    """
    from PIL import Image

    files = sorted((hospital / "dicom").glob("*.dcm"))
    rows = ["file,patient,view,label,mask,boxes,crop_box,accept_crop,found_box"]
    decisions = (",yes,150 60 300 200", "150 60 300 200,,", ",,", ",,")
    folder.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(files[:4]):
        frame = pydicom.dcmread(file).pixel_array.reshape(-1, 1024, 256)[0]
        picture = Image.fromarray(np.minimum(frame * 4, 255).astype(np.uint8))
        name = f"p{number}.{'jpg' if number == 1 else 'png'}"
        picture.save(folder / name)
        mask, boxes = "", ""
        if number == 2:
            marked = np.zeros((1024, 256), np.uint8)
            marked[300:310, 100:110] = 255
            Image.fromarray(marked).save(folder / "mask.png")
            mask = "mask.png"
        if number == 3:
            boxes = "boxes.xml"
            (folder / boxes).write_text(
                "<annotation><size><width>256</width><height>1024</height></size>"
                "<object><name>metastasis</name><bndbox><xmin>100</xmin><ymin>300"
                "</ymin><xmax>110</xmax><ymax>310</ymax></bndbox></object></annotation>"
            )
        label = "metastasis" if mask or boxes else "normal"
        crop = decisions[number]
        rows.append(f"{name},patient{number},anterior,{label},{mask},{boxes},{crop}")
    crops = "file,view,crop_box,accept_crop,flags\np2.png,,150 60 300 200,,a flag\n"
    (folder / "crops.csv").write_text(crops)
    (folder / "images.csv").write_text("\n".join(rows) + "\n")
    return folder


def read_labelme(hospital: pathlib.Path) -> list[str]:
    """Returns wkentaro's JSON files of all readers, one of them also as other kinds.

    With a mask and a circle, and as what a reader made of a model's draft.
    """
    texts = [f.read_text() for f in sorted((hospital / "annotations").rglob("*.json"))]
    document = json.loads(max(texts, key=len))
    shape: dict[str, Any] = {"label": "metastasis", "group_id": None, "flags": {}}
    document["shapes"] += [
        shape | {"shape_type": "circle", "points": [[100, 300], [104, 300]]},
        shape | {"shape_type": "rectangle", "points": [[90, 280], [99, 290]]},
    ]
    corrected = _make_corrected(json.loads(max(texts, key=len)))
    return [*texts, json.dumps(document), json.dumps(corrected)]


def _make_corrected(document: dict[str, Any]) -> dict[str, Any]:
    """Returns an annotation as one that began as a draft of its own polygons."""
    draft = Draft(
        model="unet_res step 7",
        image_key="ab" * 8,
        patient_key="cd" * 8,
        synthetic=True,
        crop_box=(150, 40, 350, 216),
        spacing_mm=(2.3, 2.3),
        score_above=0.5,
        outlines=tuple(
            DraftOutline("metastasis", 0.9, np.array(shape["points"], np.float64))
            for shape in document["shapes"]
            if shape["shape_type"] == "polygon"
        ),
    )
    flags = document["flags"] | {CHECKED: True}
    shapes = [*document["shapes"], *draft.make_shapes()[:1]]
    record = {KEY: draft.to_json(), "flags": flags, "shapes": shapes}
    return document | record


def make_mit_xml(name: str) -> bytes:
    """Returns MIT's LabelMe XML with a polygon and a deleted one."""
    thing = (
        "<object><name>metastasis</name><deleted>{}</deleted><id>{}</id><polygon>"
        "<username>r</username><pt><x>100</x><y>300</y></pt><pt><x>110</x><y>300</y>"
        "</pt><pt><x>105.5</x><y>312</y></pt></polygon></object>"
    )
    return (
        f"<annotation><filename>{name}.png</filename><folder>f</folder>"
        f"{thing.format(0, 0)}{thing.format(1, 1)}"
        "<imagesize><nrows>1024</nrows><ncols>256</ncols></imagesize></annotation>"
    ).encode()
