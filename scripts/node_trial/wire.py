"""DICOM's upper layer by hand (PS3.8, PS3.7), for what no library would send.

A conversation is a list of PDUs, bytes that may be spoilt before they are sent.
"""

import dataclasses
import socket
import struct
from collections.abc import Sequence

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
VERIFICATION = "1.2.840.10008.1.1"
_APPLICATION = "1.2.840.10008.3.1.1.1"
_IMPLEMENTATION = "1.2.826.0.1.3680043.8.498.1.20210101"
RELEASE = struct.pack(">BBI4x", 5, 0, 4)
ABORT = struct.pack(">BBI4x", 7, 0, 4)
_ASSOCIATE_RQ, _ASSOCIATE_AC, _ASSOCIATE_RJ, _DATA, _RELEASED, _ABORT = 1, 2, 3, 4, 6, 7
_STORE, _ECHO = 0x0001, 0x0030
_MOST = 1 << 20  # bytes of an answer; what announces more is no answer


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a node listens, and the names that it wants to hear."""

    port: int
    called: str = "SPECTJAX"
    calling: str = "CAMERA"
    host: str = "127.0.0.1"


def ask_association(
    address: Address, contexts: Sequence[tuple[str, Sequence[str]]]
) -> bytes:
    """Returns an A-ASSOCIATE-RQ; the nth context, from 0, has the ID 2n+1."""
    items = _item(0x10, _APPLICATION.encode())
    for number, (sop_class, syntaxes) in enumerate(contexts):
        inside = _item(0x30, sop_class.encode())
        inside += b"".join(_item(0x40, syntax.encode()) for syntax in syntaxes)
        items += _item(0x20, bytes((2 * number + 1, 0, 0, 0)) + inside)
    items += _item(
        0x50,
        _item(0x51, struct.pack(">I", 16384)) + _item(0x52, _IMPLEMENTATION.encode()),
    )
    called, calling = (x.encode()[:16].ljust(16) for x in _titles(address))
    body = struct.pack(">H2x16s16s32x", 1, called, calling) + items
    return struct.pack(">BBI", _ASSOCIATE_RQ, 0, len(body)) + body


def _titles(address: Address) -> tuple[str, str]:
    return address.called, address.calling


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def put_data(
    content: bytes, *, command: bool, context: int = 1, most: int = 16000
) -> list[bytes]:
    """Returns P-DATA-TF PDUs that carry a command or a data set in fragments."""
    pdus = []
    for start in range(0, max(len(content), 1), most):
        part = content[start : start + most]
        header = command | (start + most >= len(content)) << 1
        value = struct.pack(">IBB", len(part) + 2, context, header) + part
        pdus.append(struct.pack(">BBI", _DATA, 0, len(value)) + value)
    return pdus


def encode_command(elements: dict[int, bytes]) -> bytes:
    """Returns a command set; keys are elements of group 0000."""
    body = b"".join(
        struct.pack("<HHI", 0, element, len(value)) + value
        for element, value in sorted(elements.items())
    )
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def ask_storage(sop_class: str, instance: str, message: int = 1) -> bytes:
    """Returns the command set of a C-STORE-RQ."""
    return encode_command(
        {
            0x0002: _pad(sop_class),
            0x0100: struct.pack("<H", _STORE),
            0x0110: struct.pack("<H", message),
            0x0700: struct.pack("<H", 0),
            0x0800: struct.pack("<H", 1),
            0x1000: _pad(instance),
        }
    )


def ask_echo() -> bytes:
    """Returns the command set of a C-ECHO-RQ."""
    return encode_command(
        {
            0x0002: _pad(VERIFICATION),
            0x0100: struct.pack("<H", _ECHO),
            0x0110: struct.pack("<H", 1),
            0x0800: struct.pack("<H", 0x0101),
        }
    )


def _pad(uid: str) -> bytes:
    encoded = uid.encode("latin-1", "replace")
    return encoded + b"\0" * (len(encoded) % 2)


def store(
    address: Address, sop_class: str, instance: str, data: bytes, syntax: str = EXPLICIT
) -> list[bytes]:
    """Returns the PDUs of an association that stores one data set."""
    return [
        ask_association(address, [(sop_class, [syntax])]),
        *put_data(ask_storage(sop_class, instance), command=True),
        *put_data(data, command=False),
        RELEASE,
    ]


def converse(
    address: Address,
    pdus: Sequence[bytes],
    *,
    seconds: float = 10.0,
    patient: bool = True,
) -> list[str]:
    """Sends PDUs and returns what came back: "accepted", "0x0000", "abort", "silence".

    Args:
        address: of the node.
        pdus: the first is sent, its answer awaited, then the others.
        seconds: how long an answer is awaited.
        patient: whether to wait for the answer to an association before going on.
    """
    answers: list[str] = []
    with socket.create_connection((address.host, address.port), seconds) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.settimeout(seconds)
        stream = link.makefile("rb")
        try:
            link.sendall(pdus[0] if patient else b"".join(pdus))
            if patient:
                answers.append(_read_answer(stream))
                if answers[-1] != "accepted":
                    return answers
                link.sendall(b"".join(pdus[1:]))
            while answers[-1:] not in (["closed"], ["abort"], ["released"]):
                answers.append(_read_answer(stream))
        except TimeoutError:
            answers.append("silence")
        except OSError:
            answers.append("closed")
    return answers


def _read_answer(stream: object) -> str:
    """Returns the next thing that a node says."""
    header = stream.read(6)  # type: ignore[attr-defined]
    if len(header) < 6:
        return "closed"
    kind, _, length = struct.unpack(">BBI", header)
    if length > _MOST:
        return f"a PDU of {length} bytes"
    body = stream.read(length)  # type: ignore[attr-defined]
    match kind:
        case 2:
            return "accepted" if _is_any_context_accepted(body) else "no context"
        case 3:
            return "rejected"
        case 4:
            return _read_status(body)
        case 6:
            return "released"
        case 7:
            return "abort"
    return f"PDU type {kind}"


def _is_any_context_accepted(body: bytes) -> bool:
    place = 68
    while place + 8 <= len(body):
        kind, _, length = struct.unpack_from(">BBH", body, place)
        if kind == 0x21 and body[place + 6] == 0:
            return True
        place += 4 + length
    return False


def _read_status(body: bytes) -> str:
    """Returns the status of a response that fits one fragment, as "0x0000"."""
    place = 6
    while place + 8 <= len(body):
        group, element, length = struct.unpack_from("<HHI", body, place)
        if (group, element) == (0, 0x0900):
            (status,) = struct.unpack_from("<H", body, place + 8)
            return f"{status:#06x}"
        place += 8 + length
    return "data"
