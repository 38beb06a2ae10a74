"""Tests of `spectjax.imaging.deidentify`: no disguise of a name gets through."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from tests.support.canaries import (
    BIRTH_DATE,
    NAMES,
    NUMBERS,
    OTHERS,
    make_canaries,
    spell,
    without_pseudonyms,
)
from tests.support.deidentified import KEY
from tests.support.nm_files import detectors, item, windows, write_nm

FRAMES = np.zeros((2, 40, 20), np.uint16)
FRAMES[0, 3, 5], FRAMES[1, 38, 19] = 9, 7

# Attributes that stay in a file, by the type under which they hold text.
WORDS = {
    "LO": """Manufacturer ManufacturerModelName SoftwareVersions RescaleType
        PositionReferenceIndicator Radiopharmaceutical RadiopharmaceuticalRoute""",
    "SH": "CollimatorGridName EnergyWindowName",
    "CS": """BodyPartExamined AcquisitionTerminationCondition CollimatorType Laterality
        ConversionType CorrectedImage FieldOfViewShape PatientOrientation
        PatientPosition QualityControlImage WholeBodyTechnique
        LossyImageCompressionMethod""",
}
WORDS = {keyword: vr for vr, words in WORDS.items() for keyword in words.split()}
NUMERIC = """AcquisitionNumber ActualFrameDuration CenterOfRotationOffset CountRate
    CountsAccumulated DistanceSourceToDetector DistanceSourceToPatient
    EnergyWindowLowerLimit EnergyWindowUpperLimit FieldOfViewDimensions FocalDistance
    GantryDetectorTilt ImagesInAcquisition InstanceNumber LossyImageCompressionRatio
    RadialPosition RadionuclideTotalDose RadiopharmaceuticalVolume ScanLength
    ScanVelocity SeriesNumber SpacingBetweenSlices StartAngle TableHeight TableTraverse
    WindowCenter WindowWidth XFocusCenter YFocusCenter""".split()
CODED = """AdministrationRouteCodeSequence PatientGantryRelationshipCodeSequence
    PatientOrientationCodeSequence RadionuclideCodeSequence
    RadiopharmaceuticalCodeSequence ViewModifierCodeSequence""".split()
CODES = ("CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning")
# Attributes and places that do not stay: the profile's, private ones, the header's.
REMOVED = {
    "ImageComments": "LT",
    "PatientComments": "LT",
    "SeriesDescription": "LO",
    "ProtocolName": "LO",
    "PerformedProcedureStepDescription": "LO",
    "ImageID": "SH",
    "EthnicGroup": "SH",
    "ContentLabel": "CS",
}


def element(keyword, vr, text):
    """An element of any text; code strings hold its bytes as UTF-8."""
    if vr == "CS":
        text = text.encode().decode("latin-1")
    tag = pydicom.datadict.tag_for_keyword(keyword)
    return DataElement(tag, vr, text, validation_mode=pydicom.config.IGNORE)


class Hiding:
    """Hides canaries in turn, so that each place gets each disguise once.

    Attributes:
        disguise: of the present round.
        placed: pairs of place and disguise.
    """

    def __init__(self):
        """Starts without any."""
        self.canaries = make_canaries()
        self.numbers = ["1941", "7654321", "765.4321", "-7654321", "19410317", "554433"]
        self.numbers += [
            "170341",
            "410317",
            "998877",
            "31337",
            "0031337",
            "1.9410317e7",
        ]
        self.disguise, self.turn, self.placed = "", 0, []

    def text(self, place):
        """A canary of this round's disguise, of one secret after the other."""
        known = self.canaries[self.disguise]
        self.turn += 1
        self.placed.append((place, self.disguise))
        return known[self.turn % len(known)].text

    def number(self, place, vr):
        """A number that identifies."""
        self.turn += 1
        number = self.numbers[self.turn % len(self.numbers)]
        number = re.sub("[.].*", "", number) if vr == "IS" else number
        self.placed.append((place, f"number {number}"))
        return number


def fill(dataset, hiding, with_numbers):
    """Puts a canary into each text, number and code of a data set, and beside them."""
    for keyword, vr in (WORDS | REMOVED).items():
        dataset.add(element(keyword, vr, hiding.text(keyword)))
    for keyword in NUMERIC if with_numbers else ():
        vr = pydicom.datadict.dictionary_VR(pydicom.datadict.tag_for_keyword(keyword))
        dataset.add(element(keyword, vr, hiding.number(keyword, vr)))
    known = item(CodeValue="40199007", CodingSchemeDesignator="SCT")
    known.add(element("CodeMeaning", "LO", hiding.text("meaning of a known code")))
    known.add(element("Manufacturer", "LO", hiding.text("item of a known code")))
    setattr(dataset, CODED[hiding.turn % len(CODED)], [known])
    codes = []
    for name in CODES:
        code = item(CodeValue="1", CodingSchemeDesignator="SCT", CodeMeaning="x")
        vr = "LO" if name == "CodeMeaning" else "SH"
        code.add(element(name, vr, hiding.text(name)))
        codes.append(code)
    setattr(dataset, CODED[hiding.turn % len(CODED)], codes)
    block = dataset.private_block(0x0013, hiding.text("creator")[:60], create=True)
    block.add_new(0x01, "LO", hiding.text("private text"))
    block.add_new(0x02, "UN", hiding.text("private bytes").encode())
    block.add_new(0x03, "SQ", [item(PatientName=hiding.text("private sequence"))])
    for place, tag, vr in (
        ("trailing padding", 0xFFFCFFFC, "OB"),
        ("overlay", 0x60003000, "OW"),
        ("curve", 0x50003000, "OW"),
        ("attribute of no dictionary", 0x00189FFC, "OB"),
    ):
        dataset.add(DataElement(tag, vr, hiding.text(place).encode().ljust(200)))
    dataset.add(DataElement(0x60024000, "LT", hiding.text("overlay comments")))
    icon = item(BitsAllocated=8, PixelData=hiding.text("icon").encode().ljust(200))
    dataset.IconImageSequence = [icon]
    dataset.AcquisitionContextSequence = [
        item(TextValue=hiding.text("context"), Radiopharmaceutical="MDP")
    ]


def write_image(path, number, hiding, disguises):
    """Writes a whole-body file that holds canaries wherever it can hold one."""
    hiding.disguise = disguises[0]
    write_nm(
        path,
        FRAMES,
        SpecificCharacterSet="ISO_IR 192",
        SOPInstanceUID=f"1.2.3.7654321.{number}",
        StudyInstanceUID="1.2.3.19410317",
        DetectorInformationSequence=detectors("anterior", "posterior"),
        EnergyWindowInformationSequence=windows((126, 154)),
        RadiopharmaceuticalInformationSequence=[Dataset()],
        ge_labels=[f"{hiding.text('GE label')} {view}" for view in ("ANT", "POS")],
        BurnedInAnnotation="NO",
        PatientName=NAMES[number % len(NAMES)],
        PatientBirthDate=BIRTH_DATE,
        **NUMBERS,
        **OTHERS,
    )
    dataset = pydicom.dcmread(path)
    holders = (
        dataset,
        dataset.DetectorInformationSequence[0],
        dataset.EnergyWindowInformationSequence[0],
        dataset.RadiopharmaceuticalInformationSequence[0],
    )
    for holder, hiding.disguise in zip(holders, disguises, strict=False):
        fill(holder, hiding, with_numbers=holder is holders[number % 4])
        value = hiding.text("ImageType").encode().decode("latin-1")
        dataset.ImageType.append(value)
        preamble = hiding.text("preamble").encode()[:128]
        header = hiding.text("header").encode()
    dataset.preamble = preamble.ljust(128, b"\0")
    dataset.file_meta.PrivateInformationCreatorUID = "1.2.3.7654321"
    dataset.file_meta.PrivateInformation = header + b"." * (len(header) % 2)
    dataset.save_as(path, enforce_file_format=True)


def name_file(text):
    """A file name of a canary."""
    return re.sub(r"[/\\]", "_", text)


def write_outlines(folder, stem, hiding):
    """Writes a reader's outlines: the reader and each free text is a canary."""
    reader = folder / f"reader {name_file(hiding.text('reader'))}"
    reader.mkdir(exist_ok=True)
    for view, label in (
        ("anterior", "metastasis"),
        ("posterior", hiding.text("label")),
    ):
        shape = {
            "label": label,
            "points": [[2, 2], [9.7654321, 2], [9.7654321, 8]],
            "shape_type": "polygon",
            "description": hiding.text("description"),
            "group_id": hiding.text("group"),
            "flags": {},
        }
        document = {
            "version": hiding.text("version"),
            "flags": {},
            "shapes": [shape],
            "imagePath": f"C:\\{hiding.text('image path')}\\{stem}_{view}.png",
            "imageData": None,
            "imageHeight": 40,
            "imageWidth": 20,
            "otherData": {hiding.text("other key"): hiding.text("other data")},
        }
        (reader / f"{stem}_{view}.json").write_text(json.dumps(document))


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """A folder with each disguise in each place, and what was placed."""
    folder = tmp_path_factory.mktemp("hospital") / "Quastenflößer"
    folder.mkdir()
    hiding = Hiding()
    disguises = list(hiding.canaries)
    for number, start in enumerate(range(0, len(disguises), 4)):
        hiding.disguise = disguises[start]
        stem = name_file(f"{number:03d} {hiding.text('file name')}")
        path = folder / f"{stem}.dcm"
        write_image(path, number, hiding, disguises[start : start + 4])
        write_outlines(folder, stem, hiding)
    return folder, hiding.placed


@pytest.fixture(scope="module")
def outputs(hospital, tmp_path_factory):
    """Everything that comes out: files by name, and what the terminal shows."""
    folder = tmp_path_factory.mktemp("results")
    command = [sys.executable, "-m", "spectjax.imaging.deidentify"]
    done = subprocess.run(
        [*command, hospital[0], folder / "out"],
        capture_output=True,
        env=os.environ | {"SPECTJAX_PSEUDONYM_KEY": KEY},
    )
    assert done.returncode == 0, done.stderr.decode()
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return found | {"stdout": done.stdout, "stderr": done.stderr}


def find_survivors(outputs):
    """Returns pairs of canary and output for each canary in a name or in bytes."""
    canaries = [c for known in make_canaries().values() for c in known]
    plain = {
        name: without_pseudonyms(name.encode() + b"\n" + content)
        for name, content in outputs.items()
    }
    everything = b"\n".join(plain.values())
    return [
        (canary, name)
        for canary in canaries
        for form in spell(canary.text)
        if form in everything
        for name, content in plain.items()
        if form in content
    ]


def test_each_disguise_was_in_each_place(hospital):
    folder, placed = hospital
    assert len(set(placed)) > 3000
    places = {place for place, disguise in placed if "number " not in disguise}
    assert len(places) > 50
    for disguise in make_canaries():
        assert {*WORDS, *CODES} <= {place for place, how in placed if how == disguise}
    inside = b"".join(path.read_bytes() for path in folder.glob("*.dcm"))
    for known in make_canaries().values():
        assert any(canary.text.encode() in inside for canary in known)


def test_no_canary_survives_in_a_file_a_report_a_name_or_on_the_terminal(outputs):
    assert sum(name.endswith(".dcm") for name in outputs) >= 19
    assert sum(name.endswith(".json") for name in outputs) >= 19
    assert find_survivors(outputs) == []
    said = re.search(rb"\n([0-9]+) texts, codes and numbers are on", outputs["stdout"])
    assert int(said[1]) > 2000
