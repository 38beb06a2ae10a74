"""A hospital's folder with a string of its own in every place, for tests."""

import json
from datetime import date, timedelta

import pydicom
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from spectjax.imaging.deidentify.kept_values import read_rows
from tests.support.deidentified import (
    FRAMES,
    OPPOSITE,
)
from tests.support.nm_files import item, write_nm


class Canaries:
    """Strings that occur nowhere else, one for each value that a file can hold."""

    def __init__(self):
        """Starts without any."""
        self.made = []

    def text(self):
        """A text that no output may hold."""
        self.made.append(f"CANARY{len(self.made):05d}")
        return self.made[-1]

    def value(self, vr):
        """A value for an element; None for types too short to be told apart."""
        number = len(self.made)
        if vr in ("DA", "TM", "DT", "UI", "DS", "IS"):
            day = (date(1801, 1, 1) + timedelta(number)).strftime("%Y%m%d")
            found = {
                "DA": day,
                "DT": f"{day}235958",
                "TM": f"235957.{number:06d}",
                "UI": f"1.2.840.99{number:05d}.3",
                "DS": f"777{number:05d}.25",
                "IS": f"888{number:05d}",
            }[vr]
            self.made.append(found)
            return found
        if vr in ("OB", "OW", "UN"):
            return (self.text() + "-").encode()
        if vr in ("LO", "SH", "PN", "LT", "ST", "UT", "UC", "AE", "CS", "UR"):
            return self.text()
        return {"AS": "077Y", "US": 7, "UL": 7, "FL": 7.0, "FD": 7.0, "SL": 7}.get(vr)

    def fill(self, dataset, rows, nested=True):
        """Puts a canary into every attribute of the profile's table."""
        for row in rows:
            digits = row["tag"].strip("()").replace(",", "")
            if "odd" in digits:
                continue
            element = digits[4:].replace("xxxx", "3000")
            tag = int(digits[:4].replace("x", "0") + element, 16)
            # Groups of messages, headers and media cannot be in a data set on disk.
            if tag >> 16 < 8 or tag in dataset:
                continue
            vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "LO"
            vr = {"OB or OW": "OB", "US or SS": "US"}.get(vr, vr)
            if vr == "SQ":
                value = [item(PatientComments=self.text())]
                if nested:
                    value += [self.fill(Dataset(), rows[::40], nested=False)]
            else:
                value = self.value(vr)
            if value is not None:
                dataset.add(DataElement(tag, vr, value))
        block = dataset.private_block(0x0013, self.text(), create=True)
        block.add_new(0x01, "LO", self.text())
        block.add_new(0x02, "UN", self.text().encode())
        block.add_new(0x03, "SQ", [item(PatientName=self.text())])
        return dataset

    def found_in(self, content):
        """The canaries in bytes or text, in any of the usual encodings."""
        if isinstance(content, str):
            content = content.encode()
        plain = content.replace(b"\0", b"")
        return [c for c in self.made if c.encode() in content or c.encode() in plain]


def write_ward(root):
    """Writes a folder of a hospital with a canary in every place; returns these."""
    canaries = Canaries()
    folder = root / canaries.text() / canaries.text()
    folder.mkdir(parents=True)
    stem = canaries.text()
    name = canaries.text()
    path = write_nm(
        folder / f"{stem}.dcm",
        FRAMES,
        PatientName=f"{name}^{canaries.text()}",
        PatientID=canaries.text(),
        SOPInstanceUID=canaries.value("UI"),
        StudyInstanceUID=canaries.value("UI"),
        DetectorInformationSequence=OPPOSITE,
        EnergyWindowInformationSequence=[item(EnergyWindowName=f"Tc {name}")],
        Manufacturer=f"maker of {name.lower()}",
    )
    dataset = pydicom.dcmread(path)
    rows = read_rows("basic_profile.csv")
    canaries.fill(dataset, rows)
    canaries.fill(dataset.DetectorInformationSequence[0], rows)
    canaries.fill(dataset.EnergyWindowInformationSequence[0], rows[::9])
    for tag, vr in (
        (0x60023000, "OW"),
        (0x60024000, "LT"),
        (0x60020022, "LO"),  # Overlay Description
        (0x50040030, "SH"),  # Axis Units
        (0x50043000, "OW"),
        (0x00189FFE, "LO"),  # in no dictionary
        (0x00189FFC, "UN"),
        (0x00200020, "LO"),  # Patient Orientation is a code (CS)
        (0x00181130, "LO"),  # Table Height is a number (DS)
    ):
        dataset.add(DataElement(tag, vr, canaries.value(vr)))
    dataset.preamble = canaries.text().encode().ljust(128, b"\0")
    meta = dataset.file_meta
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.SourceApplicationEntityTitle = canaries.text()
    meta.ImplementationVersionName = canaries.text()
    meta.PrivateInformationCreatorUID = canaries.value("UI")
    meta.PrivateInformation = canaries.text().encode() + b"."
    dataset.save_as(path, enforce_file_format=True)

    labelme = {
        "version": canaries.text(),
        "flags": {canaries.text(): False},
        "shapes": [
            {
                "label": " Metastasis",
                "points": [[2, 2], [9.5, 2], [9.5, 8]],
                "shape_type": "polygon",
                "description": canaries.text(),
                "flags": {canaries.text(): False},
            }
        ],
        "imagePath": f"C:\\{canaries.text()}\\{stem}_anterior.png",
        "imageData": None,
        "imageHeight": 40,
        "imageWidth": 20,
        canaries.text(): canaries.text(),
    }
    reader = folder / canaries.text()
    reader.mkdir()
    (reader / f"{stem}_anterior.json").write_text(json.dumps(labelme))
    other = folder / canaries.text()
    other.mkdir()
    (other / f"{stem}_anterior.xml").write_text(
        f"<annotation><filename>{stem}_anterior.jpg</filename>"
        f"<folder>{canaries.text()}</folder><object><name>metastasis</name>"
        f"<date>{canaries.text()}</date><polygon><username>{canaries.text()}</username>"
        "<pt><x>2</x><y>2</y></pt><pt><x>9</x><y>2</y></pt><pt><x>9</x><y>8</y></pt>"
        "</polygon></object><imagesize><nrows>40</nrows><ncols>20</ncols></imagesize>"
        "</annotation>"
    )
    (folder / f"{canaries.text()}.pdf").write_text(canaries.text())
    return canaries
