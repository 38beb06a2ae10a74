"""An Orthanc of one's own on the loopback, which checks who calls whom for what."""

import contextlib
import dataclasses
import json
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

from tests.support.judge_tools import PACS, PLUGINS, need

HOST, TITLE, CALLER = "127.0.0.1", "PACS", "SPECTJAX"
_SECONDS_TO_START = 30


@dataclasses.dataclass(frozen=True)
class Pacs:
    """Where it listens.

    Attributes:
        process: the server's.
        dicom_port: for associations.
        web: address of its own REST interface; DICOMweb is below it.
        caller_port: where it sends what `CALLER` asks it to move.
    """

    process: subprocess.Popen
    dicom_port: int
    web: str
    caller_port: int

    def ask(self, path: str, content: bytes | None = None):
        """Returns the answer to a GET, or to a POST of `content`."""
        with urllib.request.urlopen(self.web + path, content, timeout=60) as answer:
            body = answer.read()
        return json.loads(body) if "json" in answer.headers.get_content_type() else body

    def take(self, path: pathlib.Path) -> str:
        """Takes a file over REST; returns its name there."""
        return self.ask("/instances", path.read_bytes())["ID"]

    def count(self) -> int:
        """Returns the number of instances."""
        return self.ask("/statistics")["CountInstances"]


def find_ports(number: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def run_pacs(folder: pathlib.Path):
    """Runs a PACS in the `with` block; what it keeps lies in `folder`."""
    need(*PACS)
    dicom_port, web_port, caller_port = find_ports(3)
    config = _configure(folder, dicom_port, web_port, caller_port)
    (folder / "orthanc.json").write_text(json.dumps(config))
    with (folder / "orthanc.log").open("wb") as log:
        command = ["Orthanc", folder / "orthanc.json"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    pacs = Pacs(process, dicom_port, f"http://{HOST}:{web_port}", caller_port)
    try:
        _wait_for(pacs)
        yield pacs
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(pacs: Pacs) -> None:
    for _ in range(10 * _SECONDS_TO_START):
        assert pacs.process.poll() is None, "Orthanc ended: see orthanc.log"
        with contextlib.suppress(urllib.error.URLError):
            pacs.ask("/system")
            return
        time.sleep(0.1)
    raise AssertionError("Orthanc does not answer: see orthanc.log")


def _configure(
    folder: pathlib.Path, dicom_port: int, web_port: int, caller_port: int
) -> dict:
    refused = ("Echo", "Store", "Find", "Get", "Move")
    return {
        "Name": "PACS for tests",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(plugin) for plugin in PLUGINS],
        "HttpPort": web_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": TITLE,
        "DicomPort": dicom_port,
        "DicomCheckCalledAet": True,
        "DicomCheckModalityHost": True,
        **{f"DicomAlwaysAllow{service}": False for service in refused},
        "UnknownSopClassAccepted": False,
        "OverwriteInstances": False,
        "DefaultEncoding": "Utf8",
        "DicomModalities": {
            "caller": {"AET": CALLER, "Host": HOST, "Port": caller_port}
        },
        "DicomWeb": {
            "Enable": True,
            "Root": "/dicom-web/",
            # With its port: addresses in its answers, of PDFs for one, begin with it.
            "Host": f"{HOST}:{web_port}",
            "EnableWado": True,
            "WadoRoot": "/wado",
            "StudiesMetadata": "Full",
            "SeriesMetadata": "Full",
        },
    }
