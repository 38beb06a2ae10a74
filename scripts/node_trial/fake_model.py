"""A model that costs nothing: of each file one result that tells what it was made of.

    python -m scripts.node_trial.fake_model --behaviour=FILE

What a file must lead to is a function of the file alone, so that whoever sent it can
say which results must lie in the PACS, and with which content.
"""

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pydicom
import pydicom.data
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from scripts.node_trial.loads import ROOT_UID, digest

_SLOW_SECONDS, _FOREVER_SECONDS = 1.5, 600.0
_MOST_HOARD_MB = 2048  # where no limit ends it


def make_result(source: pydicom.Dataset) -> pydicom.Dataset:
    """Returns a Secondary Capture whose UID and content follow from a file's."""
    result = pydicom.Dataset()
    result.file_meta = FileMetaDataset()
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    result.SOPClassUID = SecondaryCaptureImageStorage
    result.SOPInstanceUID = generate_uid(ROOT_UID, [source.SOPInstanceUID, "result"])
    result.file_meta.MediaStorageSOPClassUID = result.SOPClassUID
    result.file_meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    result.StudyInstanceUID = source.StudyInstanceUID
    result.SeriesInstanceUID = generate_uid(
        ROOT_UID, [source.SOPInstanceUID, "results"]
    )
    result.PatientID, result.PatientName = source.PatientID, source.PatientName
    result.Modality = "OT"
    result.ImageComments = digest(source)
    grey = hashlib.sha256(source.PixelData).digest()
    result.Rows = result.Columns = 4
    result.SamplesPerPixel, result.PhotometricInterpretation = 1, "MONOCHROME2"
    result.BitsAllocated = result.BitsStored = 16
    result.HighBit, result.PixelRepresentation = 15, 0
    result.PixelData = grey
    result["PixelData"].VR = "OW"
    return result


def read_stranger() -> pydicom.Dataset:
    """Returns a CT image of somebody whom nobody sent, which pydicom brings."""
    return pydicom.dcmread(str(pydicom.data.get_testdata_file("CT_small.dcm")))


def main() -> None:
    """Answers requests as docs/node.md asks it of a program, or misbehaves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--behaviour", type=pathlib.Path, required=True)
    args = parser.parse_args()
    _say({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        source, target = (pathlib.Path(request[name]) for name in ("in", "out"))
        _answer(args.behaviour.read_text().strip(), source, target)


def _say(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)


def _answer(behaviour: str, source: pathlib.Path, target: pathlib.Path) -> None:
    """Writes results and says so, or does what no model should."""
    match behaviour:
        case "well":
            _read(source, target)
            return
        case "slow":
            time.sleep(_SLOW_SECONDS)
            _read(source, target)
            return
        case "crash":
            os.abort()
        case "exit":
            sys.exit("a sentence about SYNTHETIC^T00000 that nobody may log")
        case "says":
            _say({"error": "no idea what SYNTHETIC^T00000 has, T00000, 1.2.826"})
            return
        case "hang":
            time.sleep(_FOREVER_SECONDS)
        case "memory":
            hoard = []
            for _ in range(_MOST_HOARD_MB // 64):
                hoard.append(np.ones(64 << 20, np.uint8))
                time.sleep(0.02)
            os.abort()
        case "garbage":
            (target / "result.dcm").write_bytes(bytes(range(256)) * 100)
        case "half":
            _write_results(source, target)
            for path in target.glob("*.dcm"):
                path.write_bytes(path.read_bytes()[:400])
        case "flood":
            for _ in range(20_000):
                print("x" * 5_000, file=sys.stderr, flush=True)
            print("x" * 1_000_000, flush=True)
        case "foreign":
            result = make_result(read_stranger())
            result.save_as(target / "foreign.dcm", enforce_file_format=True)
        case "link":
            (target / "link.dcm").symlink_to("/etc/passwd")
        case "pipe":
            os.mkfifo(target / "pipe.dcm")
        case "children":
            # What it started outlives it, and holds its output open.
            subprocess.Popen(["sleep", str(_FOREVER_SECONDS)])
            sys.exit(1)
    _say({"done": True})


def _read(source: pathlib.Path, target: pathlib.Path) -> None:
    try:
        _write_results(source, target)
    except Exception as error:  # whatever a mutant makes pydicom do
        _say({"error": type(error).__name__})
    else:
        _say({"done": True})


def _write_results(source: pathlib.Path, target: pathlib.Path) -> None:
    for path in sorted(source.glob("*")):
        result = make_result(pydicom.dcmread(path))
        name = hashlib.sha256(result.SOPInstanceUID.encode()).hexdigest()[:16]
        result.save_as(target / f"{name}.dcm", enforce_file_format=True)


if __name__ == "__main__":
    main()
