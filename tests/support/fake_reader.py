"""A program that a node asks in a model's stead: `fake_reader.py [FOLDER]`.

What it does with a study is a word in the file `do` of FOLDER; without one it writes
results: a Secondary Capture and a report for each study, whose UIDs are made of the
sources'.
"""

import hashlib
import json
import os
import pathlib
import sys
import time


def make_results(sources):
    """Two results of a study, of few bytes each."""
    # Here, since most of what this program does needs none of it, and starts quickly.
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import (
        Comprehensive3DSRStorage,
        ExplicitVRLittleEndian,
        SecondaryCaptureImageStorage,
    )

    first = pydicom.dcmread(sources[0], stop_before_pixels=True)
    uids = sorted(
        str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        for path in sources
    )
    for sop_class in (SecondaryCaptureImageStorage, Comprehensive3DSRStorage):
        result = Dataset()
        result.SOPClassUID = sop_class
        result.SOPInstanceUID = make_uid(*uids, sop_class)
        result.StudyInstanceUID = first.StudyInstanceUID
        result.SeriesInstanceUID = make_uid("series", *uids, sop_class)
        result.PatientID = first.get("PatientID", "")
        result.PatientName = first.get("PatientName", "")
        result.ContentDate = time.strftime("%Y%m%d")
        result.ContentTime = time.strftime("%H%M%S")
        result.InstanceNumber = len(uids)
        result.file_meta = FileMetaDataset()
        result.file_meta.MediaStorageSOPClassUID = sop_class
        result.file_meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
        result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        yield result


def make_uid(*parts):
    """A UID that is made of others."""
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"2.25.{int(digest[:30], 16)}"


def read_name(source):
    """Whose a file is."""
    import pydicom

    return pydicom.dcmread(source, stop_before_pixels=True).PatientName


def answer(word, source, target):
    """Does what a word says, and returns the answer."""
    sources = sorted(source.glob("*.dcm"))
    if word == "crash":
        os.abort()
    if word == "hang":
        time.sleep(600)
    if word == "eat":
        kept = []
        while True:
            kept.append(bytes(range(256)) * 2**16)  # 16 MiB, touched
            time.sleep(0.01)
    if word == "leave":
        sys.exit(7)
    if word == "babble":
        return "no JSON at all"
    if word.startswith("say "):
        _, name, said = word.split(maxsplit=2)
        return {name: said}
    if word == "empty":
        return {"done": True}
    if word == "error":
        name = read_name(sources[0])
        return {"error": f"cannot read the scan of {name}"}
    if word == "nothing":
        name = read_name(sources[0])
        return {"nothing": f"no whole-body frame of {name} in it"}
    if word == "garbage":
        (target / "result.dcm").write_bytes(b"garbage")
        return {"done": True}
    if word.startswith("slow"):
        time.sleep(float(word[4:] or 1))
    for number, result in enumerate(make_results(sources)):
        if word == "foreign":
            result.StudyInstanceUID = "1.2.99"
        result.save_as(target / f"{number}.dcm", enforce_file_format=True)
    return {"done": True}


def main():
    """Answers requests until there are no more."""
    folder = pathlib.Path(sys.argv[1]) if sys.argv[1:] else pathlib.Path()
    (folder / "pid").write_text(str(os.getpid()))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        told = folder / "do"
        word = told.read_text().strip() if told.exists() else ""
        said = answer(word, pathlib.Path(request["in"]), pathlib.Path(request["out"]))
        print(said if isinstance(said, str) else json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
