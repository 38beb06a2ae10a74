"""Who is not known, what comes twice, and what is forged."""

import pathlib
import ssl
import subprocess
from dataclasses import replace

from scripts.node_trial.bench import Bench, compare, wait_for
from scripts.node_trial.fake_model import read_stranger
from scripts.node_trial.loads import forge
from scripts.node_trial.rows import Row
from scripts.node_trial.senders import Outbox, send


def strangers(bench: Bench) -> list[Row]:
    """Other AE titles and addresses, and objects that were not asked for."""
    rows = []
    with bench.set_up("strangers") as (node, pacs):
        node.start()
        study = bench.make_studies(1, "strangers")[0]
        for name, address in {
            "an unknown calling AE title": replace(node.address, calling="STRANGER"),
            "a wrong called AE title": replace(node.address, called="OTHER"),
            "a title in lower case": replace(node.address, calling="camera"),
            "the node's own title": replace(node.address, calling="SPECTJAX"),
        }.items():
            statuses = send(address, study)
            rows.append(_expect_none(name, statuses))
        ct_answers = send(node.address, [read_stranger()])
        rows.append(_expect_none("a CT image", ct_answers))
        states = node.count_states()
        rows.append(Row("afterwards", f"{states}", bool(states)))
    with bench.set_up("elsewhere", sender={"addresses": ["192.0.2.7"]}) as (node, pacs):
        node.start(wait=False)
        wait_for(lambda: node.has_said("listen"), 60)
        statuses = send(node.address, bench.make_studies(1, "elsewhere")[0])
        rows.append(_expect_none("a known title at another address", statuses))
    return rows


def _expect_none(name: str, statuses: list[int | None]) -> Row:
    shown = [None if s is None else f"{s:#06x}" for s in statuses]
    taken = any(s is not None and (s == 0 or s >> 12 == 0xB) for s in statuses)
    return Row(name, f"answers {shown}", taken)


def duplicates(bench: Bench) -> list[Row]:
    """The same file again, at any time, and another under its UID."""
    rows, outbox = [], Outbox()
    with bench.set_up("duplicates") as (node, pacs):
        node.start()
        study = bench.make_studies(1, "duplicates")[0]

        def try_both(when: str) -> None:
            same, other = (
                send(node.address, files)
                for files in (study, [forge(file) for file in study])
            )
            rows.append(
                Row(
                    f"the same file and a forged one {when}",
                    f"{same} and {[s and hex(s) for s in other]}",
                    any(same) or None in same or 0 in other or None in other,
                )
            )

        outbox.note(study, send(node.address, study))
        try_both("at once")
        wait_for(node.is_idle, 60)
        try_both("when it is done")
        node.kill()
        node.start()
        try_both("after a restart")
        wait_for(node.is_idle, 60)
        rows.append(compare(outbox, pacs))
    return rows


def tls(bench: Bench) -> list[Row]:
    """In plain, without a certificate, with a stranger's, an expired and a good one."""
    folder = bench.folder / "certificates"
    make_certificates(folder)
    keys = {
        "certificate": str(folder / "node.pem"),
        "key": str(folder / "node.key"),
        "authority": str(folder / "authority.pem"),
    }
    rows = []
    with bench.set_up("tls", tls=keys, destination={"tls": False}) as (node, pacs):
        node.start(wait=False)
        wait_for(lambda: node.has_said("listen"), 60)
        outbox = Outbox()
        for name, certificate in {
            "in plain": "",
            "TLS without a certificate": "none",
            "a certificate of another authority": "stranger",
            "an expired certificate": "expired",
            "a good certificate": "camera",
        }.items():
            study = bench.make_studies(1, name)[0]
            link = (_make_context(folder, certificate), "localhost")
            statuses = send(
                node.address, study, tls=link if certificate else None, seconds=10
            )
            outbox.note(study, statuses)
            if certificate != "camera":
                rows.append(_expect_none(name, statuses))
        taken = len(outbox.acknowledged) == 1
        rows.append(Row("a good certificate", f"taken: {taken}", not taken))
        wait_for(node.is_idle, 60)
        rows.append(compare(outbox, pacs))
    return rows


def _make_context(folder: pathlib.Path, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "authority.pem")
    if name not in ("", "none"):
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def make_certificates(folder: pathlib.Path) -> None:
    """Writes two authorities and certificates that openssl makes, as docs/deploy.md."""
    folder.mkdir(parents=True)

    def run(*arguments: str) -> None:
        command = ["openssl", *arguments]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
    for name in ("authority", "foreign"):
        run(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}"),
        )
    for name in ("node", "camera", "stranger", "expired"):
        authority = "foreign" if name == "stranger" else "authority"
        days = ("-days", "-1") if name == "expired" else ("-days", "2")
        run(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        run(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem"),
            *("-CAkey", f"{authority}.key", "-CAcreateserial", "-out", f"{name}.pem"),
            *days,
            *("-extfile", "names"),
        )
