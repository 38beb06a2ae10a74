"""TLS: both sides show a certificate, and nobody's handshake holds others up."""

import dataclasses
import socket
import ssl
import subprocess

import pytest

from spectjax.node.config import make_contexts
from spectjax.node.sections import TlsSection
from spectjax.system.messages import ConfigError
from tests.support.fake_pacs import FakePacs
from tests.support.nodes import (
    make_config,
    make_instance,
    running,
    send,
    states,
    wait_for,
)

EXTENSIONS = "subjectAltName=IP:127.0.0.1,DNS:localhost"


def run_openssl(folder, *words):
    subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """PEM files: an authority `ca`, and `node`, which it has signed."""
    folder = tmp_path_factory.mktemp("pem")
    (folder / "extensions").write_text(EXTENSIONS)
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name, more in (("ca", ("-x509", "-days", "2")), ("node", ())):
        out = f"{name}.pem" if more else f"{name}.csr"
        names = ("-keyout", f"{name}.key", "-out", out, "-subj", f"/CN={name}")
        run_openssl(folder, "req", *curve, *more, *names)
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    names = ("-in", "node.csr", "-out", "node.pem", "-extfile", "extensions")
    run_openssl(folder, "x509", "-req", *names, *signed)
    return folder


@pytest.fixture
def tls(certificates):
    return TlsSection(
        certificates / "node.pem", certificates / "node.key", certificates / "ca.pem"
    )


def test_who_has_no_certificate_is_refused(tmp_path, tls):
    config = dataclasses.replace(make_config(tmp_path, timeout_s=5.0), tls=tls)
    scan = make_instance(tmp_path)
    stranger = ssl.create_default_context(cafile=tls.authority)
    with running(config) as node:
        # Somebody who connects and says nothing.
        silent = socket.create_connection(("127.0.0.1", node.port))
        ours = make_contexts(tls).outward
        assert send(node.port, scan, tls=(ours, "localhost")) == [0x0000]
        assert send(node.port, scan, tls=(stranger, "localhost")) is None
        assert send(node.port, scan) is None
        old = make_contexts(tls).outward
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert send(node.port, scan, tls=(old, "localhost")) == [0x0000]
        silent.close()


def test_key_of_another_certificate_is_refused(tls, certificates):
    other = dataclasses.replace(tls, key=certificates / "ca.key")
    with pytest.raises(ConfigError, match="expected PEM files of a certificate"):
        make_contexts(other)


@pytest.mark.slow
def test_results_go_out_by_tls(tmp_path, tls):
    contexts = make_contexts(tls)
    pacs = FakePacs(context=contexts.inward)
    config = make_config(tmp_path, pacs.port, commitment="find")
    with running(dataclasses.replace(config, tls=tls)) as node:
        tls_args = (contexts.outward, "localhost")
        assert send(node.port, make_instance(tmp_path), tls=tls_args) == [0x0000]
        wait_for(lambda: states(node) == ["done"])
    pacs.stop()
