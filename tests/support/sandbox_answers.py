"""What a process of `spectjax.inference.sandbox` does in the tests of it."""

import mmap
import os
import signal
import sys
import time

from spectjax.system.messages import UserError


def answer(header, parts):
    """Does what the header asks for."""
    return globals()[header["do"]](parts, *header.get("with", ()))


def reverse(parts):
    print("libraries print what they like", flush=True)
    return {"pid": os.getpid()}, [part[::-1] for part in parts]


def wait(parts, seconds):
    time.sleep(seconds)
    return {}, []


def spin(parts):
    while True:
        pass


def kill(parts, name):
    os.kill(os.getpid(), signal.Signals[name])
    time.sleep(60)


def fill(parts, megabytes, shared):
    held = []
    while len(held) < megabytes:
        held.append(mmap.mmap(-1, 2**20) if shared else bytearray(2**20))
        held[-1][:] = b"\1" * 2**20
        time.sleep(0.001)
    return {"held": len(held)}, []


def leave(parts):
    print("this is why", file=sys.stderr, flush=True)
    os._exit(3)


def refuse(parts):
    raise UserError("no such thing")


def fail(parts):
    raise LookupError("a bug of ours")


def send(parts, content):
    # Past the protocol, as a library could that writes to any descriptor.
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, bytes.fromhex(content))
        except OSError:
            continue
    time.sleep(60)


def write(parts, path, megabytes):
    try:
        with open(path, "wb") as stream:
            for _ in range(megabytes):
                stream.write(bytes(2**20))
    except OSError as error:
        return {"found": error.strerror}, []
    return {"found": "nothing in the way"}, []


def say(parts, text, times):
    for _ in range(times):
        sys.stderr.write(text)
    sys.stderr.flush()
    os._exit(3)
