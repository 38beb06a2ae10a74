"""The command of a node: how it begins and ends, and what it says of itself."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from spectjax.node.__main__ import choose_command, run
from spectjax.node.sections import ModelSection
from spectjax.system.messages import UserError
from tests.support.fake_pacs import FakePacs
from tests.support.nodes import READER, make_instance, send, wait_for

CONFIG = """
[node]
folder = "node"
aet = "SPECTJAX"
port = {port}
stop_s = 5
[[senders]]
aet = "CAMERA"
addresses = ["127.0.0.1"]
[[destinations]]
name = "pacs"
aet = "PACS"
host = "127.0.0.1"
port = {pacs}
commitment = "find"
[receiving]
quiet_s = 0.2
min_free_mb = 0
[retrying]
pause_s = 0.2
[model]
command = ["{python}", "{reader}", "{folder}"]
"""


def write_config(tmp_path, port, pacs):
    path = tmp_path / "node.toml"
    path.write_text(
        CONFIG.format(
            port=port, pacs=pacs, python=sys.executable, reader=READER, folder=tmp_path
        )
    )
    return path


def find_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def running(config):
    """A node in a process of its own, which is at work."""
    log = config.with_suffix(".log")
    command = [sys.executable, "-m", "spectjax.node", f"--config={config}"]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stderr=stream)
    try:
        wait_for(lambda: "listening" in log.read_text(), 60)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def ask(config, *flags):
    command = [sys.executable, "-m", "spectjax.node", f"--config={config}", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def is_alive(process):
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


def test_config_is_asked_for():
    with pytest.raises(UserError, match="Expected --config=node.toml"):
        run(None, {})


def test_one_thing_at_a_time(tmp_path):
    config = write_config(tmp_path, 1, 1)
    with pytest.raises(UserError, match="--status and --retry, found all"):
        run(config, {"status": True, "retry": "x"})


def test_folder_without_a_node_is_told(tmp_path):
    config = write_config(tmp_path, 1, 1)
    with pytest.raises(UserError, match="found no queue in it"):
        run(config, {"status": True})
    assert not (tmp_path / "node").exists()


def test_program_is_ours_unless_another_is_named():
    assert choose_command(ModelSection(command=("a", "b"))) == ("a", "b")
    *command, options = choose_command(ModelSection(pdf=True))
    assert command[1:] == ["-m", "spectjax.node.model"]
    assert json.loads(options)["pdf"] is True


@pytest.mark.slow
def test_node_begins_tells_and_ends(tmp_path):
    pacs, port = FakePacs(), find_port()
    config = write_config(tmp_path, port, pacs.port)
    with running(config) as process:
        reader = tmp_path / "pid"
        wait_for(reader.exists)
        health = ask(config, "--health")
        assert (health.stdout, health.returncode) == ("well\n", 0)
        second = ask(config)
        assert second.returncode == 1
        assert "in use by process" in second.stderr
        assert len(second.stderr.splitlines()) == 2  # what it is, and that it is not
        (tmp_path / "do").write_text("error")
        assert send(port, make_instance(tmp_path)) == [0x0000]
        wait_for(lambda: "1 failed" in ask(config, "--status").stdout)
        (tmp_path / "do").unlink()
        (study,) = json.loads(ask(config, "--status", "--json").stdout)["studies"]
        assert study["uid"] == "1.2.3"
        again = ask(config, f"--retry={study['study']}")
        assert again.stdout == f"{study['study']}: waiting\n"
        wait_for(lambda: "1 done" in ask(config, "--status").stdout)
        assert (
            "expected a study that has failed" in ask(config, "--discard=1.2.3").stderr
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        wait_for(lambda: not is_alive(int(reader.read_text())))
    health = ask(config, "--health")
    assert health.returncode == 1
    assert health.stdout.startswith("not well: ")
    assert health.stdout.count("\n") == 1
    pacs.stop()


@pytest.mark.slow
def test_killed_node_takes_up_what_it_had(tmp_path):
    pacs, port = FakePacs(), find_port()
    config = write_config(tmp_path, port, pacs.port)
    (tmp_path / "do").write_text("slow30")
    with running(config) as process:
        assert send(port, make_instance(tmp_path)) == [0x0000]
        wait_for(lambda: '"1.2.3"' in ask(config, "--status", "--json").stdout)
        wait_for(lambda: "1 running" in ask(config, "--status").stdout)
        reader = int((tmp_path / "pid").read_text())
        process.kill()
        process.wait()
        wait_for(lambda: not is_alive(reader))
    (tmp_path / "do").unlink()
    with running(config) as process:
        wait_for(lambda: "1 done" in ask(config, "--status").stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert len(pacs.stored) == 2
    pacs.stop()
