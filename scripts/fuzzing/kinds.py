"""The kinds of input: how one is spoilt, how it is read, and what must hold then."""

import dataclasses
import functools
import io
import json
import pathlib
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from scripts.fuzzing import seeds as seed_files
from scripts.fuzzing.mutations import (
    mutate_bytes,
    mutate_json,
    mutate_table,
    mutate_xml,
)
from spectjax.imaging.annotations.consensus import agree, translate_words
from spectjax.imaging.annotations.labelme import read_annotation
from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.listed.crops import find_crop_table, read_crops
from spectjax.imaging.listed.image import read_listed_image
from spectjax.imaging.listed.table import find_image_table, read_image_table, read_words
from spectjax.imaging.scan import BoneScan
from spectjax.imaging.thorax import crop_thorax

FRAME_HW = (1024, 256)
_EVERYWHERE = 1 << 62  # bytes: no part of a file is spoilt rather than another


class BrokenPromiseError(AssertionError):
    """An input was accepted, and what came of it is not what it says."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        make_seeds: returns sound contents; what it writes goes below a folder, or is
            there.
        mutate: writes a spoilt input into an empty folder and returns its path.
        read: reads an input as users' commands do, beside the sound contents. Raises
            UserError if it is refused, as it should be if it cannot be used, and
            BrokenPromiseError if it is accepted and should not be.
    """

    make_seeds: Callable[[pathlib.Path], Any]
    mutate: Callable[[np.random.Generator, Any, pathlib.Path], pathlib.Path]
    read: Callable[[pathlib.Path, Any], None]


def _pick(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _write(folder: pathlib.Path, name: str, contents: bytes) -> pathlib.Path:
    path = folder / name
    path.write_bytes(contents)
    return path


def _spoil_file(rng: np.random.Generator, file: pathlib.Path, head: int) -> None:
    file.write_bytes(mutate_bytes(rng, file.read_bytes(), head=head))


def _make_dicom(pool: pathlib.Path) -> list[bytes]:
    return seed_files.encode_dicom_files(seed_files.write_hospital(pool / "hospital"))


def _mutate_dicom(
    rng: np.random.Generator, seeds: list[bytes], folder: pathlib.Path
) -> pathlib.Path:
    contents = _pick(rng, seeds)
    if rng.random() < 0.5:
        contents = _mutate_elements(rng, contents)
    else:
        contents = mutate_bytes(rng, contents, seeds)
    return _write(folder, "scan.dcm", contents)


def _read_dicom(path: pathlib.Path, _: object) -> None:
    for scan in read_bone_scans(path):
        check_promise(scan)


def _mutate_elements(rng: np.random.Generator, contents: bytes) -> bytes:
    """Returns a file with some elements gone or of other values."""
    odd: list[Any] = [None, 0, 1, 2, 3, 255, 65535, -1, "", "x", "1\\2", [1, 1], [2]]
    numbers = (
        *("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored"),
        *("HighBit", "PixelRepresentation", "SamplesPerPixel"),
    )
    try:
        dataset = pydicom.dcmread(io.BytesIO(contents), force=True)
        for _ in range(int(rng.integers(1, 4))):
            if rng.random() < 0.5:
                name = str(rng.choice(numbers))
                value = int(dataset.get(name) or 0) + int(rng.choice((-1, 1, 7, 24)))
                setattr(dataset, name, max(value, 0))
                continue
            element = dataset[_pick(rng, list(dataset.keys()))]
            if rng.random() < 0.4:
                del dataset[element.tag]
            elif element.VR not in ("OW", "OB", "SQ"):
                element.value = _pick(rng, odd)
        stream = io.BytesIO()
        dataset.save_as(stream)
        return stream.getvalue()
    except Exception:  # what pydicom cannot write is spoilt in its bytes instead
        return mutate_bytes(rng, contents)


def check_promise(scan: BoneScan) -> None:
    """Holds a view that was accepted against the header of its file.

    Its shape must be Rows x Columns. Where pixels are not compressed, there must be as
    many as the header says, and the counts must be those, taken from the bytes anew.

    Raises:
        BrokenPromiseError: if that is not so.
    """
    dataset = pydicom.dcmread(scan.path, force=True)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if scan.counts.shape != (rows, columns):
        raise BrokenPromiseError(f"{rows}x{columns} read as {scan.counts.shape}")
    stated = dataset.file_meta.get("TransferSyntaxUID") or "1.2.840.10008.1.2"
    syntax = UID(stated)
    if not syntax.is_private and syntax.is_compressed:
        if syntax == DeflatedExplicitVRLittleEndian:
            raise BrokenPromiseError("deflated, and read")
        return
    size = dataset.BitsAllocated // 8
    wanted = rows * columns * int(dataset.get("NumberOfFrames") or 1) * size
    if len(dataset.PixelData) != wanted + wanted % 2:
        found = len(dataset.PixelData)
        raise BrokenPromiseError(f"{wanted} bytes of pixels stated, {found} found")
    order = ">" if syntax.is_little_endian is False else "<"
    kind = "i" if dataset.PixelRepresentation else "u"
    pixels = np.frombuffer(dataset.PixelData[:wanted], f"{order}{kind}{size}")
    frame = pixels.reshape(-1, rows, columns)[scan.frame].astype(float)
    if dataset.BitsStored != dataset.BitsAllocated:
        return  # which of the other bits count is another question
    slope = float(dataset.get("RescaleSlope") or 1)
    counts = np.maximum(frame * slope + float(dataset.get("RescaleIntercept") or 0), 0)
    if not np.allclose(counts, scan.counts, rtol=1e-6):
        raise BrokenPromiseError("counts are not those of the pixels")


def _make_labelme(pool: pathlib.Path) -> list[str]:
    return seed_files.read_labelme(seed_files.write_hospital(pool / "hospital"))


def _mutate_labelme(
    rng: np.random.Generator, seeds: list[str], folder: pathlib.Path
) -> pathlib.Path:
    text = _pick(rng, seeds)
    if rng.random() < 0.7:
        contents = mutate_json(rng, text).encode()
    else:
        contents = mutate_bytes(rng, text.encode())
    # Named as the image that it still names, else nearly all would be refused.
    name = pathlib.Path(str(json.loads(text)["imagePath"])).stem
    return _write(folder, f"{name}.json", contents)


def _read_annotation(path: pathlib.Path, _: object) -> None:
    annotation = translate_words(read_annotation(path), {})
    hotspots = agree([annotation], FRAME_HW)
    if annotation.regions and not hotspots.labels:
        raise BrokenPromiseError(
            f"{len(annotation.regions)} outlines read, and nothing marked"
        )
    if annotation.draft is not None:
        # Here, since it takes a second.
        from spectjax.tasks.hotspots.corrections import measure_correction

        measure_correction(annotation, annotation.draft)


def _make_mit_xml(pool: pathlib.Path) -> list[tuple[str, bytes]]:
    folder = seed_files.write_hospital(pool / "hospital") / "annotations"
    drawn = [(file.name, file.read_bytes()) for file in folder.rglob("*.xml")]
    own = "scan_anterior.xml", seed_files.make_mit_xml("scan_anterior")
    return [own, *sorted(drawn)]


def _mutate_mit_xml(
    rng: np.random.Generator, seeds: list[tuple[str, bytes]], folder: pathlib.Path
) -> pathlib.Path:
    name, contents = _pick(rng, seeds)
    if rng.random() < 0.6:
        return _write(folder, name, mutate_xml(rng, contents.decode()).encode())
    return _write(folder, name, mutate_bytes(rng, contents, head=_EVERYWHERE))


def _make_pictures(pool: pathlib.Path) -> pathlib.Path:
    hospital = seed_files.write_hospital(pool / "hospital")
    return seed_files.write_pictures(pool / "pictures", hospital)


def _mutate_pictures(
    rng: np.random.Generator, seeds: pathlib.Path, folder: pathlib.Path
) -> pathlib.Path:
    """Spoils a table, a picture, a mask or boxes."""
    shutil.copytree(seeds, folder, dirs_exist_ok=True)
    file = _pick(rng, sorted(folder.iterdir()))
    if file.suffix == ".csv" and rng.random() < 0.7:
        file.write_text(mutate_table(rng, file.read_text()))
    else:
        _spoil_file(rng, file, head=200)
    return folder


def _read_pictures(path: pathlib.Path, _: object) -> None:
    words, table = read_words(path), find_image_table(path)
    if table is None:
        raise BrokenPromiseError("a table, and none found")
    rows, errors = read_image_table(table, words)
    crops = read_crops(find_crop_table(path))
    for row in rows:
        listed = read_listed_image(row, words, crops.get(row.file.resolve()))
        if listed.scan.crop_decision and crop_thorax(listed.scan).counts.max() <= 0:
            raise BrokenPromiseError("a crop by hand without a count")
        if listed.scan.counts.ndim != 2 or listed.scan.counts.min() < 0:
            raise BrokenPromiseError("no counts")
    if errors:
        raise errors[0]


def _mutate_weights(
    rng: np.random.Generator, seeds: list[bytes], folder: pathlib.Path
) -> pathlib.Path:
    contents = mutate_bytes(rng, _pick(rng, seeds), seeds, head=500)
    return _write(folder, "weights.pth", contents)


def _read_weights(path: pathlib.Path, _: object) -> None:
    from spectjax.weights.state_dict import read_state_dict

    for name, array in read_state_dict(path).items():
        if not isinstance(name, str) or array.size > 10_000:
            raise BrokenPromiseError("arrays that the file does not hold")


@dataclasses.dataclass
class _Original:
    """A sound model: its file, what it answers to `counts`, and those."""

    contents: bytes
    counts: np.ndarray
    answer: np.ndarray


def _make_model(pool: pathlib.Path, *, suffix: str) -> _Original:
    from spectjax import export

    path = pool / f"model{suffix}"
    export.run(seed_files.write_run(pool / "run"), path)
    model = _load(path)
    counts = np.random.default_rng(0).poisson(3, (1, *model.input_hw, 1))
    counts = counts.astype(np.float32)
    return _Original(path.read_bytes(), counts, np.asarray(model.predict(counts)))


def _mutate_model(
    rng: np.random.Generator, seeds: _Original, folder: pathlib.Path, *, suffix: str
) -> pathlib.Path:
    contents = seeds.contents
    while contents == seeds.contents:  # a sound one is slow, and proves nothing
        contents = mutate_bytes(rng, seeds.contents, head=_EVERYWHERE)
    return _write(folder, f"model{suffix}", contents)


def _read_model(path: pathlib.Path, seeds: _Original) -> None:
    """Reads an exported model; one that is accepted must answer as before."""
    answer = np.asarray(_load(path).predict(seeds.counts))
    if not np.allclose(answer, seeds.answer, atol=1e-4):
        raise BrokenPromiseError("accepted, and answers something else")


def _load(path: pathlib.Path) -> Any:
    from spectjax.inference.runtimes import choose_runtime, load_file

    return load_file(path, choose_runtime(path, None))


def _mutate_run(
    rng: np.random.Generator, seeds: pathlib.Path, folder: pathlib.Path
) -> pathlib.Path:
    """Spoils a file of a run's checkpoint, or its config.json."""
    shutil.copytree(seeds, folder, dirs_exist_ok=True)
    file = _pick(rng, sorted(file for file in folder.rglob("*") if file.is_file()))
    if rng.random() < 0.05:
        file.unlink()
    else:
        _spoil_file(rng, file, head=_EVERYWHERE)
    return folder


def _read_run(path: pathlib.Path, _: object) -> None:
    import jax

    from spectjax.config import load_config
    from spectjax.training.checkpoint import Checkpoints

    load_config(path / "config.json")
    # Not by restore_state, which traces the model anew each time.
    sound = seed_files.make_state()
    with Checkpoints(path, read_only=True) as checkpoints:
        state, _ = checkpoints.restore(sound)
    same = jax.tree.map(np.array_equal, jax.device_get(state), sound)
    if not all(jax.tree.leaves(same)):
        raise BrokenPromiseError("accepted, with other numbers")


def _make_scans(pool: pathlib.Path) -> list[BoneScan]:
    hospital = seed_files.write_hospital(pool / "hospital")
    files = sorted((hospital / "dicom").glob("*.dcm"))
    return [scan for file in files for scan in read_bone_scans(file)]


def _mutate_scan(
    rng: np.random.Generator, seeds: list[BoneScan], folder: pathlib.Path
) -> pathlib.Path:
    """Writes counts of a view: cut, moved, covered, of any size."""
    counts = spoil_counts(rng, _pick(rng, seeds).counts)
    np.save(folder / "counts.npy", counts, allow_pickle=False)
    return folder / "counts.npy"


def _read_scan(path: pathlib.Path, seeds: list[BoneScan]) -> None:
    counts = np.load(path, allow_pickle=False)
    scan = dataclasses.replace(seeds[0], counts=counts)
    if crop_thorax(scan).counts.shape != (256, 256):
        raise BrokenPromiseError("a crop of another size")


def spoil_counts(rng: np.random.Generator, counts: np.ndarray) -> np.ndarray:
    """Returns counts (H, W) with one to three changes that cameras and people make."""
    for _ in range(int(rng.integers(1, 4))):
        height, width = counts.shape
        y, x = int(rng.integers(height)), int(rng.integers(width))
        match int(rng.integers(10)):
            case 0:
                counts = np.roll(counts, int(rng.integers(-width, width)), axis=1)
            case 1:
                counts = np.roll(counts, int(rng.integers(-height, height)), axis=0)
            case 2:
                counts = np.where(np.arange(width) < x, counts, 0)
            case 3:
                counts = np.where(np.arange(height)[:, None] < y, counts, 0)
            case 4:
                counts = counts.copy()
                counts[y : y + height // 8, x : x + width // 4] *= rng.choice((0, 50))
            case 5:
                counts = counts[: max(y, 1)]
            case 6:
                counts = counts[:, : max(x, 1)]
            case 7:
                counts = rng.poisson(counts * rng.choice((0.001, 0.1)))
            case 8:
                counts = counts[::-1] if rng.random() < 0.5 else counts.T
            case _:
                counts = counts[:: int(rng.integers(1, 9)), :: int(rng.integers(1, 9))]
        counts = np.ascontiguousarray(counts, dtype=np.float32)
    return counts


def _model_kind(suffix: str) -> Kind:
    return Kind(
        functools.partial(_make_model, suffix=suffix),
        functools.partial(_mutate_model, suffix=suffix),
        _read_model,
    )


KINDS = {
    "dicom": Kind(_make_dicom, _mutate_dicom, _read_dicom),
    "labelme": Kind(_make_labelme, _mutate_labelme, _read_annotation),
    "mit_xml": Kind(_make_mit_xml, _mutate_mit_xml, _read_annotation),
    "pictures": Kind(_make_pictures, _mutate_pictures, _read_pictures),
    "pth": Kind(lambda _: seed_files.encode_weights(), _mutate_weights, _read_weights),
    "onnx": _model_kind(".onnx"),
    "stablehlo": _model_kind(".stablehlo.zip"),
    "checkpoint": Kind(
        lambda pool: seed_files.write_run(pool / "run"), _mutate_run, _read_run
    ),
    "crop": Kind(_make_scans, _mutate_scan, _read_scan),
}
