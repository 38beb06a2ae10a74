"""Nuclear-medicine DICOM files for tests, in the variations that vendors write."""

import zlib

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

# Two frames that nothing maps onto each other or onto themselves.
FRAMES = np.random.default_rng(0).poisson(3, (2, 64, 33)).astype(np.uint16)
FRAMES[:, 2, 1] = (17, 300)
ONE = FRAMES[:1]
VIEW_CODES = {
    ("anterior", "SCT"): "399321004",
    ("posterior", "SCT"): "399001007",
    ("anterior", "SRT"): "G-5215",
    ("posterior", "SRT"): "G-5216",
}


def item(**elements):
    """A dataset with these elements, by keyword."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def coded(value, scheme):
    """A sequence of one code without a meaning."""
    return [item(CodeValue=value, CodingSchemeDesignator=scheme)]


def view_code(view, scheme="SCT"):
    """A View Code Sequence."""
    code = item(
        CodeValue=VIEW_CODES[view, scheme],
        CodingSchemeDesignator=scheme,
        CodeMeaning=view.capitalize(),
    )
    return [code]


def detectors(*views, scheme="SCT"):
    """A Detector Information Sequence: one item with a view code for each view."""
    return [item(ViewCodeSequence=view_code(view, scheme)) for view in views]


def start_angles(*angles):
    """A Detector Information Sequence that holds nothing but start angles."""
    return [item(StartAngle=angle) for angle in angles]


def windows(*limits):
    """An Energy Window Information Sequence of ranges in keV."""
    return [
        item(
            EnergyWindowRangeSequence=[
                item(EnergyWindowLowerLimit=low, EnergyWindowUpperLimit=high)
            ]
        )
        for low, high in limits
    ]


BOTH = {"DetectorInformationSequence": detectors("anterior", "posterior")}


def write_nm(
    path,
    frames,
    *,
    syntax=ExplicitVRLittleEndian,
    compress=None,
    encoded=None,
    ge_labels=None,
    ge_offset=0x12,
    ge_vr="LO",
    other_creators=(),
    **elements,
):
    """Writes frames (F, H, W), integers, as an NM WHOLE BODY file without a view.

    Args:
        path: the file.
        frames: pixel values; their dtype decides on Bits Allocated and the sign.
        syntax: an uncompressed transfer syntax.
        compress: a transfer syntax that pydicom can write, applied last; or a pair of
            it and options of the encoder.
        encoded: encapsulated Pixel Data in `syntax`, instead of the frames.
        ge_labels: a name in GE's private block, one for each frame or for all.
        ge_offset: the name's element: 0x12 Dataset Name, 0x30 Picture Object Name.
        ge_vr: its type.
        other_creators: private creators that reserve the blocks before GE's.
        **elements: replace or add elements by keyword; None removes one.

    Returns:
        `path`.
    """
    frames = np.asarray(frames)
    count, rows, columns = frames.shape
    bits = 8 * frames.dtype.itemsize
    dataset = item(
        SOPClassUID=pydicom.uid.NuclearMedicineImageStorage,
        SOPInstanceUID=f"1.2.826.0.1.3680043.10.1.{zlib.crc32(str(path).encode())}",
        StudyInstanceUID="1.2.826.0.1.3680043.10.2",
        ImageType=["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"],
        Modality="NM",
        PatientName="Secret^Name",
        PatientID="ID-4711",
        Rows=rows,
        Columns=columns,
        NumberOfFrames=count,
        FrameIncrementPointer=[0x00540010, 0x00540020],
        EnergyWindowVector=[1] * count,
        NumberOfEnergyWindows=1,
        DetectorVector=list(range(1, count + 1)),
        NumberOfDetectors=count,
        PixelSpacing=[2.4, 2.2],
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=bits,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=int(frames.dtype.kind == "i"),
    )
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    dataset.PixelData = frames.astype(frames.dtype.newbyteorder(order)).tobytes()
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    for creator in other_creators:
        dataset.private_block(0x0011, creator, create=True).add_new(0x12, "LO", "_F")
    if ge_labels is not None:
        block = dataset.private_block(0x0011, "GEMS_GENIE_1", create=True)
        block.add_new(ge_offset, ge_vr, ge_labels)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    if encoded is not None:
        dataset.PixelData = encoded
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    if compress is not None:
        compress, options = compress if isinstance(compress, tuple) else (compress, {})
        dataset.compress(compress, **options)
    dataset.save_as(path, enforce_file_format=True)
    return path
