"""Cameras that send studies, and again where they were not told that all is well."""

import dataclasses
import ssl
import threading
import time
from collections.abc import Sequence

import pydicom
from pynetdicom import AE

from scripts.node_trial.wire import Address

_PATIENCE_SECONDS = 20.0


def send(
    address: Address,
    files: Sequence[pydicom.Dataset],
    *,
    tls: tuple[ssl.SSLContext, str] | None = None,
    pause: float = 0.0,
    seconds: float = _PATIENCE_SECONDS,
) -> list[int | None]:
    """Stores files over one association.

    Args:
        address: of the node.
        files: with file meta.
        tls: context, and the name that the node's certificate should have.
        pause: seconds between two of them.
        seconds: how long an answer is awaited.

    Returns:
        The status of each; None: no answer. All None: no association.
    """
    entity = AE(address.calling)
    for sop_class, syntax in {
        (str(f.SOPClassUID), str(f.file_meta.TransferSyntaxUID)) for f in files
    }:
        entity.add_requested_context(sop_class, syntax)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = seconds
    entity.connection_timeout = seconds
    statuses: list[int | None] = [None] * len(files)
    association = entity.associate(
        address.host, address.port, ae_title=address.called, tls_args=tls
    )
    if not association.is_established:
        return statuses
    for number, dataset in enumerate(files):
        try:
            answer = association.send_c_store(dataset)
        except (RuntimeError, ValueError):  # no longer established; no such context
            break
        if "Status" not in answer:
            break
        statuses[number] = answer.Status
        time.sleep(pause)
    association.release()
    return statuses


@dataclasses.dataclass
class Outbox:
    """What cameras still have to send, and what the node took.

    Attributes:
        acknowledged: files that were answered with success, by SOP Instance UID.
        refusals: how often which other status came.
        unanswered: how often none came.
        gave_up: whether the cameras are to stop, or were.
    """

    acknowledged: dict[str, pydicom.Dataset] = dataclasses.field(default_factory=dict)
    refusals: dict[int, int] = dataclasses.field(default_factory=dict)
    unanswered: int = 0
    gave_up: bool = False
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def send_all(
        self,
        address: Address,
        studies: Sequence[Sequence[pydicom.Dataset]],
        *,
        cameras: int = 3,
        pause: float = 0.1,
        every: float = 0.0,
    ) -> list[threading.Thread]:
        """Starts cameras that send studies until each file is acknowledged.

        Args:
            address: of the node.
            studies: dealt out to the cameras.
            cameras: how many send at once.
            pause: seconds after a failure.
            every: seconds between the studies of a camera.

        Returns:
            Their threads.
        """

        def run(mine: Sequence[Sequence[pydicom.Dataset]]) -> None:
            for study in mine:
                left = list(study)
                while left and not self.gave_up:
                    statuses = send(address, left)
                    self.note(left, statuses)
                    left = [f for f in left if f.SOPInstanceUID not in self]
                    time.sleep(pause if left else every)

        threads = [
            threading.Thread(target=run, args=(studies[n::cameras],), daemon=True)
            for n in range(cameras)
        ]
        for thread in threads:
            thread.start()
        return threads

    def join(self, cameras: Sequence[threading.Thread], seconds: float) -> bool:
        """Waits for cameras, and lets them give up after so long.

        Returns:
            Whether each file was acknowledged.
        """
        end = time.monotonic() + seconds
        for camera in cameras:
            camera.join(max(0.0, end - time.monotonic()))
        self.gave_up = any(camera.is_alive() for camera in cameras)
        return not self.gave_up

    def note(
        self, files: Sequence[pydicom.Dataset], statuses: Sequence[int | None]
    ) -> None:
        """Remembers what the node answered."""
        with self._lock:
            for dataset, status in zip(files, statuses, strict=True):
                if status == 0:
                    self.acknowledged[str(dataset.SOPInstanceUID)] = dataset
                elif status is None:
                    self.unanswered += 1
                else:
                    self.refusals[status] = self.refusals.get(status, 0) + 1

    def __contains__(self, uid: object) -> bool:
        """Tells whether a file was acknowledged."""
        return str(uid) in self.acknowledged
