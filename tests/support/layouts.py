"""Processes that run a tiny model on several devices, alone or together."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import jax

WORKER = pathlib.Path(__file__).with_name("layout_worker.py")


def start(devices, runs, processes=(None, None, None)):
    """Starts a process that does `runs` one after the other."""
    orders = {"devices": devices, "runs": runs, "processes": processes}
    environment = os.environ | {"PYTHONPATH": str(WORKER.parents[2])}
    for name in ("COMPILATION_CACHE_DIR", "PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        value = getattr(jax.config, f"jax_{name.lower()}")
        if value is not None:  # which would be a folder of this name
            environment[f"JAX_{name}"] = str(value)
    return subprocess.Popen(
        [sys.executable, str(WORKER), json.dumps(orders)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def find_free_port():
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


def start_two(devices, runs):
    """Starts two processes that do `runs` together."""
    coordinator = f"localhost:{find_free_port()}"
    return [start(devices, runs(i), (coordinator, 2, i)) for i in (0, 1)]


def wait(process, seconds=300):
    """Returns what a process said, which must have gone well."""
    text, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, text
    return text
