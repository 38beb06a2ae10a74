"""What docs/deploy.md has people copy, systemd, a container and the node take."""

import configparser
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("pynetdicom")

from spectjax.node.config import read_config

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs/deploy.md").read_text()
PYTHON = "/opt/spectjax/bin/python"


def find_blocks(language):
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def unit():
    (text,) = find_blocks("ini")
    return text


@pytest.fixture(scope="module")
def instructions():
    """The Dockerfile's instructions: name and arguments."""
    (text,) = find_blocks("dockerfile")
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line]


def check_command(words):
    """Whether the node has the flags that a command gives it."""
    assert words[:3] == [PYTHON, "-m", "spectjax.node"]
    source = (ROOT / "spectjax/node/__main__.py").read_text()
    known = set(re.findall(r"(?:DEFINE_\w+|define_path)\(\s*\"(\w+)\"", source))
    given = {word.lstrip("-").partition("=")[0] for word in words[3:]}
    assert given <= known


def test_the_unit_starts_the_node_as_nobody(unit):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(unit)
    service = parser["Service"]
    check_command(shlex.split(service["ExecStart"]))
    assert service["User"] == "spectjax"
    assert service["NoNewPrivileges"] == service["PrivateTmp"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert service["Restart"] == "always"


def test_systemd_finds_nothing_wrong_with_the_unit(unit, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    # A program and a user that are there.
    text = unit.replace(PYTHON, sys.executable).replace("=spectjax\n", "=root\n")
    path = tmp_path / "spectjax.service"
    path.write_text(text)
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path],
        capture_output=True,
        text=True,
    )
    about = [line for line in said.stderr.splitlines() if "spectjax" in line]
    assert (said.returncode, about) == (0, [])


def test_the_container_starts_the_node_as_nobody(instructions):
    named = dict(instructions)
    assert named["USER"] == "spectjax"
    assert named["STOPSIGNAL"] == "SIGTERM"
    start = json.loads(named["ENTRYPOINT"]) + json.loads(named["CMD"])
    check_command(start)
    options, _, health = named["HEALTHCHECK"].partition(" CMD ")
    check_command(json.loads(health))
    assert "--health" in json.loads(health)
    assert all(option.startswith("--") for option in options.split())


def test_the_container_has_all_that_the_package_is_made_of(instructions):
    copied = [words for name, words in instructions if name == "COPY"]
    sources = [source for words in copied for source in words.split()[:-1]]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    installed = (ROOT / "setup.cfg").read_text().split("find]")[1].split("[")[0]
    wanted = {name for name in packages if f"{name}*" in installed}
    assert wanted <= set(sources)
    assert {"pyproject.toml", "setup.cfg", "README.md", "LICENSE"} <= set(sources)


def test_extras_exist():
    extras = re.findall(r"^(\w+) =$", (ROOT / "setup.cfg").read_text(), re.M)
    assert set(re.findall(r"\[(\w+)\]'", PAGE)) <= set(extras)


def test_the_node_takes_the_configuration(tmp_path):
    least, tls = find_blocks("toml")
    path = tmp_path / "node.toml"
    path.write_text(least)
    config = read_config(path)
    assert config.node.folder == pathlib.Path("/var/lib/spectjax/queue")
    for name in re.findall(r"/etc/spectjax/([\w.]+)", tls):
        assert name in PAGE.partition("```toml\n[tls]")[0]  # said how it is made
    assert {line.partition(" = ")[0] for line in tls.splitlines()[1:]} == {
        *("certificate", "key", "authority"),
    }
