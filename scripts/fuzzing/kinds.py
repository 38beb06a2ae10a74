"""The kinds of input: how one is spoilt, how it is read, and what must hold then."""

import dataclasses
import functools
import io
import json
import pathlib
import shutil
from typing import Any, Protocol

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
from spectjax.imaging.listed.image import read_listed_image
from spectjax.imaging.listed.table import find_image_table, read_image_table, read_words
from spectjax.imaging.scan import BoneScan
from spectjax.imaging.thorax import crop_thorax

FRAME_HW = (1024, 256)


class BrokenPromiseError(AssertionError):
    """An input was accepted, and what came of it is not what it says."""


class Kind(Protocol):
    """One kind of input."""

    def make_seeds(self, pool: pathlib.Path) -> Any:
        """Returns sound contents; what it writes goes below `pool`, or is there."""

    def mutate(
        self, rng: np.random.Generator, seeds: Any, folder: pathlib.Path
    ) -> pathlib.Path:
        """Writes a spoilt input into an empty folder."""

    def read(self, path: pathlib.Path) -> None:
        """Reads an input as users' commands do.

        Raises:
            UserError: if it is refused, as it should be if it cannot be used.
            BrokenPromiseError: if it is accepted and should not be.
        """


def _pick(rng: np.random.Generator, choices: list[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _write(folder: pathlib.Path, name: str, contents: bytes) -> pathlib.Path:
    path = folder / name
    path.write_bytes(contents)
    return path


class Dicom:
    """Whole-body NM files: their bytes, and their elements."""

    def make_seeds(self, pool: pathlib.Path) -> list[bytes]:
        """See `Kind`."""
        return seed_files.encode_dicom_files(
            seed_files.write_hospital(pool / "hospital")
        )

    def mutate(
        self, rng: np.random.Generator, seeds: list[bytes], folder: pathlib.Path
    ) -> pathlib.Path:
        """See `Kind`."""
        contents = _pick(rng, seeds)
        if rng.random() < 0.5:
            contents = _mutate_elements(rng, contents)
        else:
            contents = mutate_bytes(rng, contents, seeds)
        return _write(folder, "scan.dcm", contents)

    def read(self, path: pathlib.Path) -> None:
        """See `Kind`."""
        for scan in read_bone_scans(path):
            check_promise(scan)


def _mutate_elements(rng: np.random.Generator, contents: bytes) -> bytes:
    """Returns a file with some elements gone or of other values."""
    odd: list[Any] = [None, 0, 1, 2, 3, 255, 65535, -1, "", "x", "1\\2", [1, 1], [2]]
    numbers = ("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored")
    numbers += ("HighBit", "PixelRepresentation", "SamplesPerPixel")
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


class Labelme:
    """wkentaro's JSON."""

    def make_seeds(self, pool: pathlib.Path) -> list[str]:
        """See `Kind`."""
        return seed_files.read_labelme(seed_files.write_hospital(pool / "hospital"))

    def mutate(
        self, rng: np.random.Generator, seeds: list[str], folder: pathlib.Path
    ) -> pathlib.Path:
        """See `Kind`."""
        text = _pick(rng, seeds)
        if rng.random() < 0.7:
            contents = mutate_json(rng, text).encode()
        else:
            contents = mutate_bytes(rng, text.encode())
        # Named as the image that it still names, else nearly all would be refused.
        name = pathlib.Path(str(_image_path(text))).stem
        return _write(folder, f"{name}.json", contents)

    def read(self, path: pathlib.Path) -> None:
        """See `Kind`."""
        _read_annotation(path)


def _image_path(text: str) -> object:
    return json.loads(text)["imagePath"]


def _read_annotation(path: pathlib.Path) -> None:
    annotation = translate_words(read_annotation(path), {})
    hotspots = agree([annotation], FRAME_HW)
    if annotation.regions and not hotspots.labels:
        raise BrokenPromiseError(
            f"{len(annotation.regions)} outlines read, and nothing marked"
        )


class MitXml:
    """MIT's LabelMe XML."""

    def make_seeds(self, pool: pathlib.Path) -> list[tuple[str, bytes]]:
        """See `Kind`."""
        folder = seed_files.write_hospital(pool / "hospital") / "annotations"
        drawn = [(file.name, file.read_bytes()) for file in folder.rglob("*.xml")]
        own = "scan_anterior.xml", seed_files.make_mit_xml("scan_anterior")
        return [own, *sorted(drawn)]

    def mutate(
        self,
        rng: np.random.Generator,
        seeds: list[tuple[str, bytes]],
        folder: pathlib.Path,
    ) -> pathlib.Path:
        """See `Kind`."""
        name, contents = _pick(rng, seeds)
        if rng.random() < 0.6:
            return _write(folder, name, mutate_xml(rng, contents.decode()).encode())
        return _write(folder, name, mutate_bytes(rng, contents, head=len(contents)))

    def read(self, path: pathlib.Path) -> None:
        """See `Kind`."""
        _read_annotation(path)


class Pictures:
    """A table of pictures, with a mask and boxes: one of these files is spoilt."""

    def make_seeds(self, pool: pathlib.Path) -> pathlib.Path:
        """See `Kind`."""
        hospital = seed_files.write_hospital(pool / "hospital")
        return seed_files.write_pictures(pool / "pictures", hospital)

    def mutate(
        self, rng: np.random.Generator, seeds: pathlib.Path, folder: pathlib.Path
    ) -> pathlib.Path:
        """See `Kind`."""
        shutil.copytree(seeds, folder, dirs_exist_ok=True)
        file = _pick(rng, sorted(folder.iterdir()))
        if file.name == "images.csv" and rng.random() < 0.7:
            file.write_text(mutate_table(rng, file.read_text()))
        else:
            file.write_bytes(mutate_bytes(rng, file.read_bytes(), head=200))
        return folder

    def read(self, path: pathlib.Path) -> None:
        """See `Kind`."""
        words, table = read_words(path), find_image_table(path)
        if table is None:
            raise BrokenPromiseError("a table, and none found")
        rows, errors = read_image_table(table, words)
        for row in rows:
            listed = read_listed_image(row, words)
            if listed.scan.counts.ndim != 2 or listed.scan.counts.min() < 0:
                raise BrokenPromiseError("no counts")
        if errors:
            raise errors[0]


class Pth:
    """Weights: PyTorch's files and safetensors."""

    def make_seeds(self, pool: pathlib.Path) -> list[bytes]:
        """See `Kind`."""
        del pool
        return seed_files.encode_weights()

    def mutate(
        self, rng: np.random.Generator, seeds: list[bytes], folder: pathlib.Path
    ) -> pathlib.Path:
        """See `Kind`."""
        contents = mutate_bytes(rng, _pick(rng, seeds), seeds, head=500)
        return _write(folder, "weights.pth", contents)

    def read(self, path: pathlib.Path) -> None:
        """See `Kind`."""
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


class _Model:
    """An exported model; one that is accepted must answer as before."""

    suffix: str
    runtime: str

    def make_seeds(self, pool: pathlib.Path) -> _Original:
        """See `Kind`."""
        pool.mkdir(parents=True, exist_ok=True)
        run = seed_files.write_run(pool / "run")
        path = pool / f"model{self.suffix}"
        contents = seed_files.export_run(run, path)
        self._original = self._open(path, contents)
        return self._original

    def _open(self, path: pathlib.Path, contents: bytes) -> _Original:
        from spectjax.inference.runtimes import load_file

        model = load_file(path, self.runtime)
        counts = np.random.default_rng(0).poisson(3, (1, *model.input_hw, 1))
        counts = counts.astype(np.float32)
        return _Original(contents, counts, np.asarray(model.predict(counts)))

    def mutate(
        self, rng: np.random.Generator, seeds: _Original, folder: pathlib.Path
    ) -> pathlib.Path:
        """See `Kind`."""
        contents = seeds.contents
        while contents == seeds.contents:  # a sound one is slow, and proves nothing
            contents = mutate_bytes(rng, seeds.contents, head=len(seeds.contents))
        return _write(folder, f"model{self.suffix}", contents)

    def read(self, path: pathlib.Path) -> None:
        """See `Kind`."""
        from spectjax.inference.runtimes import load_file

        original = self._original
        answer = load_file(path, self.runtime).predict(original.counts)
        if not np.allclose(answer, original.answer, atol=1e-4):
            raise BrokenPromiseError("accepted, and answers something else")


class Onnx(_Model):
    """An exported `.onnx`, run by ONNX Runtime."""

    suffix, runtime = ".onnx", "onnxruntime"


class Stablehlo(_Model):
    """An exported `.stablehlo.zip`, run by JAX."""

    suffix, runtime = ".stablehlo.zip", "jax"


class Checkpoint:
    """A run's folder: one of the files of its checkpoint, or config.json, is spoilt."""

    def make_seeds(self, pool: pathlib.Path) -> pathlib.Path:
        """See `Kind`."""
        return seed_files.write_run(pool / "run")

    def mutate(
        self, rng: np.random.Generator, seeds: pathlib.Path, folder: pathlib.Path
    ) -> pathlib.Path:
        """See `Kind`."""
        shutil.copytree(seeds, folder, dirs_exist_ok=True)
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        file = _pick(rng, files)
        if rng.random() < 0.05:
            file.unlink()
        else:
            contents = file.read_bytes()
            file.write_bytes(mutate_bytes(rng, contents, head=len(contents)))
        return folder

    def read(self, path: pathlib.Path) -> None:
        """See `Kind`."""
        import jax

        from spectjax.config import load_config
        from spectjax.training.checkpoint import Checkpoints

        load_config(path / "config.json")
        # Not by restore_state, which traces the model anew each time.
        sound = _sound_state()
        with Checkpoints(path, read_only=True) as checkpoints:
            state, _ = checkpoints.restore(sound)
        for found, original in zip(
            jax.tree.leaves(state), jax.tree.leaves(sound), strict=True
        ):
            if not np.array_equal(np.asarray(found), np.asarray(original)):
                raise BrokenPromiseError("accepted, with other numbers")


@functools.cache
def _sound_state() -> Any:
    from spectjax.cross_validate import load_configs

    config = load_configs(["configs/unet.py"], arg="smoke")["unet"]
    return seed_files.make_state(config)


class Crop:
    """Counts of a view: cut, moved, covered, of any size."""

    def make_seeds(self, pool: pathlib.Path) -> list[BoneScan]:
        """See `Kind`."""
        hospital = seed_files.write_hospital(pool / "hospital")
        files = sorted((hospital / "dicom").glob("*.dcm"))
        self._scans = [scan for file in files for scan in read_bone_scans(file)]
        return self._scans

    def mutate(
        self, rng: np.random.Generator, seeds: list[BoneScan], folder: pathlib.Path
    ) -> pathlib.Path:
        """See `Kind`."""
        counts = spoil_counts(rng, _pick(rng, seeds).counts)
        np.save(folder / "counts.npy", counts, allow_pickle=False)
        return folder / "counts.npy"

    def read(self, path: pathlib.Path) -> None:
        """See `Kind`."""
        counts = np.load(path, allow_pickle=False)
        scan = dataclasses.replace(self._scans[0], counts=counts)
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


KINDS: dict[str, type[Kind]] = {
    "dicom": Dicom,
    "labelme": Labelme,
    "mit_xml": MitXml,
    "pictures": Pictures,
    "pth": Pth,
    "onnx": Onnx,
    "stablehlo": Stablehlo,
    "checkpoint": Checkpoint,
    "crop": Crop,
}
