"""A node's configuration: what is refused, in one line each."""

import pathlib
import re

import pytest

from spectjax.node.config import read_config
from spectjax.system.messages import ConfigError

ROOT = pathlib.Path(__file__).parents[2]
GOOD = re.search(
    r"```toml\n(.*?)```", (ROOT / "docs/node.md").read_text(), re.DOTALL
).group(1)


def write(tmp_path, text):
    path = tmp_path / "node.toml"
    path.write_text(text)
    return path


def test_example_of_the_page_is_read(tmp_path):
    config = read_config(write(tmp_path, GOOD))
    assert config.node.folder == tmp_path / "node"
    assert config.senders[0].addresses == ("192.0.2.10", "192.0.2.32/28")
    assert config.destinations[0].commitment == "storage"
    assert config.receiving.quiet_s == 5.0
    assert config.tls is None


def test_every_key_is_on_the_page():
    text = (ROOT / "docs/node.md").read_text()
    config = pathlib.Path(ROOT / "spectjax/node/sections.py").read_text()
    keys = re.findall(r"^    (\w+): ", config.split("class Config:")[0], re.MULTILINE)
    assert len(keys) > 30
    for key in set(keys) - {"str", "bool", "float", "int"}:
        assert re.search(rf"[.\]]{key}`", text), key


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[node]", "[node]\nspeed = 9"), "node.speed: expected one of folder"),
        (("port = 11112", 'port = "11112"'), "node.port: expected a whole number"),
        (("port = 11112", "port = true"), "node.port: expected a whole number"),
        (("port = 11112", "port = 99999"), "node.port: expected 0 to 65535"),
        (("port = 4242", "port = 0"), "destinations[0].port: expected 1 to 65535"),
        (('aet = "SPECTJAX"', ""), "node.aet: expected a value, found none"),
        (('"SPECTJAX"', '"SEVENTEEN LETTERS"'), "node.aet: expected an AE title"),
        (('"SPECTJAX"', r'"A\\B"'), "node.aet: expected an AE title"),
        (("192.0.2.10", "camera"), "senders[0].addresses: expected an IP address"),
        (('["192.0.2.10", "192.0.2.32/28"]', "[]"), "expected an address, found none"),
        (('"storage"', '"mail"'), "commitment: expected storage or find or none"),
        (('name = "pacs"', 'name = "a b"'), "name: expected a name of letters"),
        (("[node]", "[nodes]"), "nodes: expected one of node, senders"),
        (("[node]", "[node"), "expected a TOML file"),
        (("[[senders]]", "[senders]"), "senders: expected a list"),
        (("[node]", "[model]\ncommand = 3\n[node]"), "model.command: expected a list"),
        (("[node]", "[model]\nfile = 'no'\n[node]"), "model.file: expected a file"),
        (
            ("[node]", "[model]\ncommand = ['/no/program']\n[node]"),
            "model.command: expected a program, found /no/program",
        ),
        (
            ("[node]", "[model]\nfile = 'no'\ncommand = ['a']\n[node]"),
            "expected command, workdirs or file, found command and file",
        ),
        (
            ("[node]", "[model]\npdf = true\ncommand = ['a']\n[node]"),
            "expected pdf, gsps and operating_point without a command",
        ),
        (
            ("[node]", "[receiving]\nquiet_s = -1\n[node]"),
            "receiving.quiet_s: expected 0 or more",
        ),
        (
            ("[node]", "[receiving]\ntimeout_s = nan\n[node]"),
            "receiving.timeout_s: expected a number",
        ),
        (("[node]", "[model]\ntries = 0\n[node]"), "model.tries: expected more than 0"),
        (("port = 4242", "port = 4242\ntls = true"), "expected a table [tls]"),
        (
            ("[node]", "[tls]\ncertificate='a'\nkey='b'\nauthority='c'\n[node]"),
            "tls.certificate: expected a PEM file",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, change, words):
    text = GOOD.replace(*change, 1)
    assert text != GOOD
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        read_config(write(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "node.toml"))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_certificates_are_refused(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text("no certificate")
    text = GOOD + "[tls]\ncertificate = 'a'\nkey = 'b'\nauthority = 'c'\n"
    with pytest.raises(ConfigError, match="tls: expected PEM files"):
        read_config(write(tmp_path, text))


def test_no_two_destinations_have_one_name(tmp_path):
    one = GOOD[GOOD.index("[[destinations]]") :]
    with pytest.raises(ConfigError, match="expected different names"):
        read_config(write(tmp_path, GOOD + one))


def test_nobody_to_send_to_or_from_is_refused(tmp_path):
    head = GOOD[: GOOD.index("[[senders]]")]
    for missing in ("senders = []\ndestinations = []\n", "senders = []\n"):
        with pytest.raises(ConfigError, match="expected"):
            read_config(write(tmp_path, missing + head))
