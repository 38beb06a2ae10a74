"""The tables of a node's configuration.

Every table is a class: its fields are the keys, their annotations the types, and their
defaults what holds where a key is missing.
"""

import pathlib
from dataclasses import dataclass
from typing import Literal

from spectjax.system.limits import MIB

Commitment = Literal["storage", "find", "none"]


@dataclass(frozen=True)
class NodeSection:
    """[node]: the folder of the queue, the address, how it ends.

    Attributes:
        folder: queue and files; of this node alone, on a local disk.
        aet: own AE title, which callers have to call.
        host: address to listen on.
        port: likewise; 0 lets the system choose.
        workers: models that run side by side.
        stop_s: seconds that SIGTERM leaves for what is under way.
    """

    folder: pathlib.Path
    aet: str
    host: str = "127.0.0.1"
    port: int = 11112
    workers: int = 1
    stop_s: float = 20.0


@dataclass(frozen=True)
class Sender:
    """[[senders]]: who may send studies, and from where."""

    aet: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Destination:
    """[[destinations]]: where results go.

    Attributes:
        name: in the status and the audit log.
        aet: AE title to call.
        host: its address.
        port: likewise.
        commitment: how it is known that results are kept: `storage`, it is asked for
            Storage Commitment; `find`, every instance is asked for by C-FIND; `none`,
            it is not known, and the study ends as sent, not as done.
        tls: whether to talk TLS; default: if there is a [tls].
    """

    name: str
    aet: str
    host: str
    port: int
    commitment: Commitment = "storage"
    tls: bool | None = None


@dataclass(frozen=True)
class ReceivingSection:
    """[receiving]: limits on what comes in.

    Attributes:
        associations: at a time.
        max_object_mb: an instance of more is refused.
        max_association_mb: after so much an association has nothing more accepted.
        min_free_mb: with less disk than this nothing is accepted.
        timeout_s: for silence, for a part of a message, and for a handshake.
        object_s: for one instance, however slowly it comes.
        quiet_s: a study is whole when nothing has come for so long.
        incomplete_s: how long to wait for an instance that was broken off or refused.
    """

    associations: int = 8
    max_object_mb: float = 64.0
    max_association_mb: float = 2048.0
    min_free_mb: float = 1024.0
    timeout_s: float = 30.0
    object_s: float = 120.0
    quiet_s: float = 5.0
    incomplete_s: float = 900.0

    @property
    def max_object_bytes(self) -> int:
        """Bytes that an instance may have."""
        return int(self.max_object_mb * MIB)

    @property
    def min_free_bytes(self) -> int:
        """Bytes of disk that are left alone."""
        return int(self.min_free_mb * MIB)


@dataclass(frozen=True)
class ModelSection:
    """[model]: what reads studies, and its limits.

    Attributes:
        workdirs: training runs; none, and no `file`: the model that ships.
        file: an exported model.
        operating_point: as of `predict`.
        pdf: whether results have a PDF.
        gsps: whether they have a presentation state.
        command: another program instead of all that, see docs/node.md.
        start_s: time for it to start.
        study_s: time for a study.
        memory_mb: of its process.
        tries: of a study, until it is failed.
    """

    workdirs: tuple[pathlib.Path, ...] = ()
    file: pathlib.Path | None = None
    operating_point: str | None = None
    pdf: bool = False
    gsps: bool = False
    command: tuple[str, ...] = ()
    start_s: float = 300.0
    study_s: float = 300.0
    memory_mb: float = 6144.0
    tries: int = 4


@dataclass(frozen=True)
class SendingSection:
    """[sending]: what is done until results are where they belong.

    Attributes:
        timeout_s: for a connection, an answer, a part of a message.
        confirm_s: for an answer to a request for Storage Commitment.
        tries: refusals of a destination until a study is failed; one that is away is
            waited for without end.
    """

    timeout_s: float = 30.0
    confirm_s: float = 300.0
    tries: int = 8


@dataclass(frozen=True)
class RetryingSection:
    """[retrying]: pauses, which double from the first to the longest."""

    pause_s: float = 5.0
    longest_s: float = 600.0

    def pause_after(self, tries: int) -> float:
        """Returns the seconds to wait after so many tries, one or more."""
        return min(self.pause_s * 2.0 ** min(tries - 1, 40), self.longest_s)


@dataclass(frozen=True)
class KeepingSection:
    """[keeping]: how long files of what is done stay, in hours."""

    hours: float = 24.0


@dataclass(frozen=True)
class TlsSection:
    """[tls]: PEM files; both sides show a certificate of the authority's."""

    certificate: pathlib.Path
    key: pathlib.Path
    authority: pathlib.Path


@dataclass(frozen=True)
class Config:
    """A node's configuration."""

    node: NodeSection
    senders: tuple[Sender, ...]
    destinations: tuple[Destination, ...]
    receiving: ReceivingSection = ReceivingSection()
    model: ModelSection = ModelSection()
    sending: SendingSection = SendingSection()
    retrying: RetryingSection = RetryingSection()
    keeping: KeepingSection = KeepingSection()
    tls: TlsSection | None = None

    def uses_tls(self, destination: Destination) -> bool:
        """Tells whether a destination is to be talked to by TLS."""
        return self.tls is not None if destination.tls is None else destination.tls
