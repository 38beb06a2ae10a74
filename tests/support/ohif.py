"""OHIF, a viewer of the market, before a PACS: pages and data have one origin."""

import contextlib
import http.server
import json
import mimetypes
import threading
import urllib.error
import urllib.request

from tests.support.judge_tools import OHIF, need
from tests.support.pacs import HOST, Pacs

_CONFIG = {
    "routerBasename": "/",
    "showStudyList": False,
    "extensions": [],
    "modes": [],
    "showLoadingIndicator": True,
    "investigationalUseDialog": {"option": "never"},
    "useSharedArrayBuffer": "FALSE",
    "defaultDataSourceName": "pacs",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "pacs",
            "configuration": {
                "friendlyName": "PACS",
                "name": "pacs",
                "wadoUriRoot": "/wado",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "supportsWildcard": True,
                "omitQuotationForMultipartRequest": True,
                "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
            },
        }
    ],
}


@contextlib.contextmanager
def serve_ohif(pacs: Pacs):
    """Serves OHIF before a PACS in the `with` block; yields the address."""
    need("OHIF")

    class Handler(_Handler):
        upstream = pacs.web

    with http.server.ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: str

    def log_message(self, *_: object) -> None:
        """Stays silent."""

    def do_GET(self) -> None:
        """Answers with a file of OHIF, its configuration, or what the PACS says."""
        path = self.path.partition("?")[0]
        if path.startswith(("/dicom-web", "/wado")):
            self._pass_on()
        elif path == "/app-config.js":
            config = f"window.config = {json.dumps(_CONFIG)};"
            self._answer(200, config.encode(), "text/javascript")
        else:
            file = (OHIF / path.lstrip("/")).resolve()
            if not file.is_file() or OHIF.resolve() not in file.parents:
                file = OHIF / "index.html"
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            self._answer(200, file.read_bytes(), kind)

    def _pass_on(self) -> None:
        request = urllib.request.Request(self.upstream + self.path)
        if "Accept" in self.headers:
            request.add_header("Accept", self.headers["Accept"])
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            kind = answer.headers.get("Content-Type", "application/octet-stream")
            # Addresses in answers become those of this origin, as a browser wants it.
            here = f"http://{self.headers['Host']}"
            body = answer.read().replace(self.upstream.encode(), here.encode())
            self._answer(answer.status, body, kind)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
