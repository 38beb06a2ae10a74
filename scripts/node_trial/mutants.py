"""Hostile and damaged conversations, each a function of seed and number."""

import dataclasses
import struct
from collections.abc import Callable, Sequence

import numpy as np
import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.uid import generate_uid

from scripts.fuzzing.mutations import mutate_bytes
from scripts.node_trial import wire
from scripts.node_trial.loads import ROOT_UID, encode, make_study
from scripts.node_trial.wire import Address

_ODD_UIDS = (
    "",
    ".",
    "..",
    "../../../../tmp/node_trial_escape",
    "/tmp/node_trial_escape",
    "..\\..\\node_trial_escape",
    "1.2.3/../../node_trial_escape",
    "1.2.3\0.4",
    "1.2.3\\4.5.6",
    "1." + "2" * 61,
    "1." + "2" * 62,
    "1." + "2" * 5000,
    "9" * 300,
    "01.02.03",
    "1..2",
    "-1.2",
    "é.\u202e",
    "$(touch /tmp/node_trial_escape)",
    "'; DROP TABLE study; --",
    "%s%n%x",
    "\x1b[2J",
    "NaN",
    "CON",
    "a" * 64,
    " 1.2.3 ",
)
_ODD_TEXTS = (
    "",
    "x" * 70000,
    "\x1b[31m\x07",
    "\n\nerror: all is well",
    "</script><script>alert(1)</script>",
    "Müller^\u202eÄ",
    "^" * 200,
    "\\" * 500,
    "\0\0",
)
_KEYWORDS = (
    *("PatientID", "PatientName", "PatientSex", "StudyDate", "StudyTime"),
    *("Modality", "ImageType", "AccessionNumber", "SeriesDescription"),
    *("SpecificCharacterSet", "PixelSpacing", "Rows", "Columns", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("SamplesPerPixel", "PhotometricInterpretation", "DetectorVector"),
    *("EnergyWindowVector", "FrameIncrementPointer", "PatientOrientation"),
)
_ODD_NUMBERS = ("0", "-1", "65535", "1e99", "nan", "1\\2\\3", "2147483647")
_LENGTHS = (0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x80000000, 1 << 24, 65535, 1)
_VRS = (b"SQ", b"UN", b"OB", b"UI", b"US", b"DS", b"IS", b"PN", b"AT", b"FD", b"ZZ")
_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.20",  # NM
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
    "1.2.840.10008.5.1.4.1.1.2",  # CT
    "1.2.840.10008.5.1.4.1.1.88.34",  # SR
    "1.2.840.10008.1.3.10",  # DICOMDIR
    "1.2.3.4",
    "",
)
_SYNTAXES = (
    wire.EXPLICIT,
    wire.IMPLICIT,
    "1.2.840.10008.1.2.2",  # big endian
    "1.2.840.10008.1.2.1.99",  # deflated
    "1.2.840.10008.1.2.4.70",  # JPEG lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000
    "1.2.840.10008.1.2.5",  # RLE
)


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A conversation.

    Attributes:
        kind: what is wrong with it.
        pdus: what is sent; see `wire.converse`.
        patient: whether the association's answer is awaited.
        seconds: how long an answer is awaited.
    """

    kind: str
    pdus: list[bytes]
    patient: bool = True
    seconds: float = 10.0


@dataclasses.dataclass(frozen=True)
class Source:
    """What a mutant is made of.

    Attributes:
        rng: decides everything.
        dataset: a sound file of its own UIDs.
        address: of the node.
    """

    rng: np.random.Generator
    dataset: pydicom.Dataset
    address: Address

    def pick(self, choices: Sequence[object]) -> object:
        """Returns one of them."""
        return choices[int(self.rng.integers(len(choices)))]

    def store(self, data: bytes, **changes: str) -> list[bytes]:
        """Returns the PDUs that store bytes as this file, or as another."""
        sop_class = changes.get("sop_class", str(self.dataset.SOPClassUID))
        instance = changes.get("instance", str(self.dataset.SOPInstanceUID))
        syntax = changes.get("syntax", wire.EXPLICIT)
        return wire.store(self.address, sop_class, instance, data, syntax)


CUT = "cut data set"  # of this kind all end within an element, or nearly all
Elements = dict[int, tuple[bytes, bytes]]
_LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"OD", b"UC", b"UR")


def split(data: bytes) -> Elements:
    """Returns VR and value by tag of a sound data set, explicit little endian."""
    elements, place = {}, 0
    while place < len(data):
        group, element, vr = struct.unpack_from("<HH2s", data, place)
        if vr in _LONG:
            start = place + 12
            (length,) = struct.unpack_from("<I", data, place + 8)
        else:
            start = place + 8
            (length,) = struct.unpack_from("<H", data, place + 6)
        elements[group << 16 | element] = vr, data[start : start + length]
        place = start + length
    return elements


def join(elements: Elements) -> bytes:
    """Returns a data set of whatever elements, too long ones with a wrong length."""
    return b"".join(
        pack(tag, vr, value) for tag, (vr, value) in sorted(elements.items())
    )


def pack(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """Returns an element that announces its length or another."""
    value += b"\0" * (len(value) % 2)
    length = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    if vr in _LONG:
        return head + struct.pack("<HI", 0, length) + value
    return head + struct.pack("<H", length & 0xFFFF) + value


def _spoil_bytes(source: Source) -> Mutant:
    data = mutate_bytes(source.rng, encode(source.dataset), head=1500)
    return Mutant("bytes of the data set", source.store(data))


def _cut(source: Source) -> Mutant:
    data = encode(source.dataset)
    return Mutant(CUT, source.store(data[: source.rng.integers(len(data))]))


def _change_elements(source: Source) -> Mutant:
    """Values that a header may not have, elements that are gone."""
    elements = split(encode(source.dataset))
    for _ in range(int(source.rng.integers(1, 4))):
        tag = int(source.pick([tag_for_keyword(k) for k in _KEYWORDS]))  # type: ignore[call-overload]
        value = str(source.pick((*_ODD_TEXTS, *_ODD_NUMBERS)))
        if source.rng.random() < 0.3:
            elements.pop(tag, None)
        elif tag in elements:
            elements[tag] = elements[tag][0], value.encode()
    return Mutant("odd elements", source.store(join(elements)))


def _lie_about_pixels(source: Source) -> Mutant:
    """As many pixels as no memory holds, or fewer than are there."""
    elements = split(encode(source.dataset))
    for keyword, values in {
        "Rows": (0, 1, 64, 30000, 65535),
        "Columns": (0, 1, 64, 30000, 65535),
        "BitsAllocated": (0, 1, 7, 8, 16, 32, 64, 65535),
    }.items():
        value = struct.pack("<H", int(source.rng.choice(values)))
        elements[int(tag_for_keyword(keyword) or 0)] = b"US", value
    frames = str(source.rng.choice((0, 1, 2, 2**31 - 1, 10**12))).encode()
    elements[0x00280008] = b"IS", frames
    syntax = str(source.pick(_SYNTAXES[:1] * 3 + _SYNTAXES[4:]))
    return Mutant(
        "pixels that are not there", source.store(join(elements), syntax=syntax)
    )


def _odd_uids(source: Source) -> Mutant:
    elements = split(encode(source.dataset))
    odd = str(source.pick(_ODD_UIDS))
    tag = int(source.rng.choice((0x0020000D, 0x00080018, 0x0020000E, 0x00080016)))
    elements[tag] = b"UI", odd.encode("utf-8")[:65534]
    instance = odd if tag == 0x00080018 else str(source.dataset.SOPInstanceUID)
    return Mutant("hostile UIDs", source.store(join(elements), instance=instance))


def _other_command(source: Source) -> Mutant:
    """A command that speaks of another instance or class than the data set."""
    changes = {"instance": str(source.pick((*_ODD_UIDS, "1.2.3.4.5")))}
    if source.rng.random() < 0.5:
        changes = {"sop_class": str(source.pick(_CLASSES))}
    return Mutant(
        "command of another instance", source.store(encode(source.dataset), **changes)
    )


def _wrong_class(source: Source) -> Mutant:
    elements = split(encode(source.dataset))
    elements[0x00080016] = b"UI", str(source.pick(_CLASSES)).encode()
    sop_class = str(source.pick(_CLASSES))
    return Mutant("wrong SOP class", source.store(join(elements), sop_class=sop_class))


def _wrong_syntax(source: Source) -> Mutant:
    syntax = str(source.pick(_SYNTAXES[1:]))
    return Mutant(
        "another transfer syntax", source.store(encode(source.dataset), syntax=syntax)
    )


def _other_patient(source: Source) -> Mutant:
    """A study that many patients claim."""
    source.dataset.StudyInstanceUID = generate_uid(ROOT_UID, ["everybody's study"])
    source.dataset.PatientID = f"X{int(source.rng.integers(1 << 30))}"
    source.dataset.PatientSex = str(source.pick(("M", "F", "O", "")))
    return Mutant("contradictory patients", source.store(encode(source.dataset)))


def _announce_length(source: Source) -> Mutant:
    """An element that announces more than follows."""
    data = encode(source.dataset)
    head = data[: int(source.rng.integers(len(data) - 100))]
    element = pack(0x00091001, b"OB", data[:200], int(source.rng.choice(_LENGTHS)))
    return Mutant("announced lengths", source.store(head + element))


def _change_vr(source: Source) -> Mutant:
    elements = split(encode(source.dataset))
    for _ in range(int(source.rng.integers(1, 5))):
        tag = int(source.pick(list(elements)))  # type: ignore[call-overload]
        vr = bytes(source.pick(_VRS))  # type: ignore[call-overload]
        elements[tag] = vr, elements[tag][1]
    return Mutant("wrong VRs", source.store(join(elements)))


def _nest(source: Source) -> Mutant:
    """Sequences within sequences, of undefined length, closed or not."""
    depth = int(source.rng.choice((10, 500, 5000, 30000)))
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    nested = (pack(0x0040A730, b"SQ", b"", 0xFFFFFFFF) + item) * depth
    if source.rng.random() < 0.7:
        nested += struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0) * depth
    elements = split(encode(source.dataset))
    before = {tag: x for tag, x in elements.items() if tag < 0x0040A730}
    after = {tag: x for tag, x in elements.items() if tag >= 0x0040A730}
    data = join(before) + nested + join(after)
    return Mutant(
        "deep nesting", source.store(data if source.rng.random() < 0.8 else nested)
    )


def _repeat_elements(source: Source) -> Mutant:
    """Tens of thousands of small elements, or the same one again and again."""
    count = int(source.rng.choice((1000, 50000)))
    elements = split(encode(source.dataset))
    if source.rng.random() < 0.5:
        elements |= {0x00091001 + n: (b"LO", b"ab") for n in range(count)}
        return Mutant("many elements", source.store(join(elements)))
    uid = pack(0x00080018, *elements[0x00080018])
    return Mutant(
        "many elements", source.store(join(elements).replace(uid, uid * count))
    )


def _empty(source: Source) -> Mutant:
    return Mutant(
        "empty data set", source.store(b"" if source.rng.random() < 0.5 else b"\0" * 8)
    )


def _spoil_pdus(source: Source) -> Mutant:
    pdus = source.store(encode(source.dataset))
    if source.rng.random() < 0.6:
        head = int(source.rng.integers(3))
        pdus[head] = mutate_bytes(source.rng, pdus[head], head=200)
        return Mutant("bytes of PDUs", pdus, seconds=1)
    stream = mutate_bytes(source.rng, b"".join(pdus), head=600)
    return Mutant("bytes of PDUs", [stream], patient=False, seconds=1)


def _announce_pdu(source: Source) -> Mutant:
    """A PDU that announces gigabytes and brings little."""
    pdus = source.store(encode(source.dataset)[:3000])
    number = int(source.rng.integers(len(pdus)))
    length = struct.pack(">I", int(source.rng.choice(_LENGTHS)))
    pdus[number] = pdus[number][:2] + length + pdus[number][6:]
    return Mutant("announced PDU lengths", pdus, seconds=1)


def _fragment(source: Source) -> Mutant:
    """A command or a data set in fragments of some bytes, or of none."""
    most = int(source.rng.choice((1, 3, 64)))
    sop_class, uid = str(source.dataset.SOPClassUID), str(source.dataset.SOPInstanceUID)
    data = encode(source.dataset)[:2000]
    empty = [struct.pack(">BBIIBB", 4, 0, 6, 2, 1, 0)] * int(
        source.rng.choice((0, 300))
    )
    return Mutant(
        "small fragments",
        [
            wire.ask_association(source.address, [(sop_class, [wire.EXPLICIT])]),
            *wire.put_data(wire.ask_storage(sop_class, uid), command=True, most=most),
            *empty,
            *wire.put_data(data, command=False, most=most),
            wire.RELEASE,
        ],
    )


def _disorder(source: Source) -> Mutant:
    """Sound PDUs, in an order that no standard has, some of them twice or gone."""
    pdus = source.store(encode(source.dataset)[:6000])
    pdus.append(wire.ABORT)
    chosen = [pdus[int(source.rng.integers(len(pdus)))] for _ in range(6)]
    return Mutant("disorder", chosen, patient=False, seconds=1)


def _other_requests(source: Source) -> Mutant:
    """Commands that no storage provider knows, with numbers that do not exist."""
    sop_class = str(source.dataset.SOPClassUID)
    fields = {
        0x0002: sop_class.encode() + b"\0" * (len(sop_class) % 2),
        0x0100: struct.pack("<H", int(source.rng.integers(65536))),
        0x0110: struct.pack("<H", int(source.rng.integers(65536))),
        0x0800: struct.pack("<H", int(source.pick((0, 1, 0x0101)))),  # type: ignore[call-overload]
    }
    for element in list(fields):
        if source.rng.random() < 0.2:
            fields[element] = source.rng.bytes(int(source.rng.integers(9)))
    return Mutant(
        "other commands",
        [
            wire.ask_association(source.address, [(sop_class, [wire.EXPLICIT])]),
            *wire.put_data(wire.encode_command(fields), command=True),
            wire.RELEASE,
        ],
        seconds=1,
    )


def _odd_association(source: Source) -> Mutant:
    """Hundreds of contexts, titles of any bytes."""
    address = source.address
    if source.rng.random() < 0.5:
        title = source.rng.bytes(16).decode("latin-1")
        if source.rng.random() < 0.5:
            address = dataclasses.replace(address, called=title)
        else:
            address = dataclasses.replace(address, calling=title)
    contexts = [(str(source.pick(_CLASSES)), _SYNTAXES)] * int(
        source.rng.choice((0, 1, 127))
    )
    request = wire.ask_association(address, contexts)
    return Mutant("odd associations", [request, wire.RELEASE], seconds=1)


def _garbage(source: Source) -> Mutant:
    greetings = (
        b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        source.rng.bytes(int(source.rng.integers(1, 3000))),
        bytes(int(source.rng.integers(1, 3000))),
        b"\x01",
    )
    greeting = bytes(source.pick(greetings))  # type: ignore[call-overload]
    return Mutant("garbage", [greeting], patient=False, seconds=1)


_MAKERS: dict[Callable[[Source], Mutant], int] = {
    _spoil_bytes: 20,
    _cut: 6,
    _change_elements: 12,
    _lie_about_pixels: 5,
    _odd_uids: 8,
    _other_command: 4,
    _wrong_class: 4,
    _wrong_syntax: 4,
    _other_patient: 4,
    _announce_length: 5,
    _change_vr: 6,
    _nest: 2,
    _repeat_elements: 2,
    _empty: 1,
    _spoil_pdus: 8,
    _announce_pdu: 2,
    _fragment: 2,
    _disorder: 3,
    _other_requests: 3,
    _odd_association: 2,
    _garbage: 2,
}  # and how often in about a hundred


def make_mutant(
    patients: Sequence[Sequence[pydicom.Dataset]],
    address: Address,
    seed: int,
    number: int,
) -> Mutant:
    """Returns a conversation; the same arguments make the same."""
    rng = np.random.default_rng((seed, number))
    study = make_study(patients, f"mutant {seed}", number)
    weights = np.array(list(_MAKERS.values()), float)
    maker = list(_MAKERS)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    return maker(Source(rng, study[0], address))
