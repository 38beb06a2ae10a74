"""A PACS for tests, in this process: keeps, lists and commits."""

import contextlib
import threading

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.transport import ThreadedAssociationServer

COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
# Captures, reports, segmentations, presentation states, PDFs.
STORED = [f"1.2.840.10008.5.1.4.1.1.{end}" for end in "7 88.34 66.4 11.1 104.1".split()]
FIND = "1.2.840.10008.5.1.4.1.2.2.1"


class FakePacs:
    """Listens on loopback.

    Attributes:
        kept: data sets by SOP Instance UID.
        stored: SOP Instance UIDs in the order of C-STORE requests, repeated ones too.
        refuse: status to answer C-STORE with, 0 to keep.
        forget: SOP Instance UIDs that it takes and does not keep.
        reports: "same", "other" or "never": on which association it reports.
    """

    def __init__(self, node_port=None, aet="PACS", port=0, context=None):
        """Starts to listen."""
        self.kept, self.stored, self.refuse, self.forget = {}, [], 0, set()
        self.reports, self.node_port, self.aet = "same", node_port, aet
        self.requests = []
        ae = AE(aet)
        for sop_class in STORED:
            ae.add_supported_context(sop_class)
        ae.add_supported_context("1.2.840.10008.1.1")
        ae.add_supported_context(FIND)
        ae.add_supported_context(COMMITMENT)
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_N_ACTION, self._commit),
        ]
        self.server = ae.make_server(
            ("127.0.0.1", port),
            evt_handlers=handlers,
            ssl_context=context,
            server_class=ThreadedAssociationServer,
        )
        ae._servers.append(self.server)  # as `start_server` does, which ends slowly
        serve = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        serve.start()
        self.port = self.server.server_address[1]

    def stop(self):
        """Listens no more."""
        self.server.shutdown()

    def _store(self, event):
        uid = str(event.request.AffectedSOPInstanceUID)
        self.stored.append(uid)
        if self.refuse:
            return self.refuse
        if uid in self.forget:
            self.forget.discard(uid)
        elif uid not in self.kept:
            self.kept[uid] = event.dataset
            self.kept[uid].file_meta = event.file_meta
        return 0x0000

    def _find(self, event):
        asked = event.identifier
        for uid, dataset in list(self.kept.items()):
            if dataset.SeriesInstanceUID == asked.SeriesInstanceUID:
                found = Dataset()
                found.QueryRetrieveLevel = "IMAGE"
                found.SOPInstanceUID = uid
                yield 0xFF00, found

    def _commit(self, event):
        asked = event.action_information
        self.requests.append(str(asked.TransactionUID))
        report = Dataset()
        report.TransactionUID = asked.TransactionUID
        items = list(asked.ReferencedSOPSequence)
        lost = [i for i in items if str(i.ReferencedSOPInstanceUID) not in self.kept]
        report.ReferencedSOPSequence = [i for i in items if i not in lost]
        if lost:
            report.FailedSOPSequence = lost
            for each in lost:
                each.FailureReason = 0x0112
        kind = 2 if lost else 1
        if self.reports == "same":
            later = threading.Timer(0.1, self._report, (event.assoc, report, kind))
            later.start()
        elif self.reports == "other":
            threading.Timer(0.1, self._call_back, (report, kind)).start()
        return 0x0000, None

    def _report(self, association, report, kind):
        with contextlib.suppress(RuntimeError, ValueError):
            association.send_n_event_report(
                report, kind, COMMITMENT, COMMITMENT_INSTANCE
            )

    def _call_back(self, report, kind):
        ae = AE(self.aet)
        ae.add_requested_context(COMMITMENT)
        roles = [build_role(COMMITMENT, scp_role=True)]
        association = ae.associate(
            "127.0.0.1", self.node_port, ae_title="SPECTJAX", ext_neg=roles
        )
        if association.is_established:
            self._report(association, report, kind)
            association.release()
