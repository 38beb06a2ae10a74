"""What operations are compiled for, and which library convolves on CPUs.

That is XLA itself, or oneDNN.
"""

import contextlib
import contextvars
import functools
import os
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from spectjax.ops import onednn_library
from spectjax.system.messages import UserError

_VARIABLE = "SPECTJAX_CONVOLUTION"
_plain = contextvars.ContextVar("plain", default=False)


class BackendError(UserError):
    """A library that is asked for and cannot be used; one line for the user."""


def find_platform() -> str:
    """Returns the platform that what is traced now is compiled for: "cpu", "gpu", ...

    That of `jax.default_device`, which may be a device that this machine does not have
    (`jax.experimental.topologies`); without one, what jax runs on here. Functions are
    traced anew for each.
    """
    device = jax.config.jax_default_device  # type: ignore[attr-defined]
    if device is None:
        return jax.default_backend()
    return device if isinstance(device, str) else device.platform


@functools.cache
def _choose(platform: str) -> tuple[onednn_library.Handler | None, str]:
    """Returns the handler to use, if any, and the reason."""
    wanted = os.environ.get(_VARIABLE, "")
    if wanted not in ("", "lax", "onednn"):
        raise BackendError(f"{_VARIABLE} is {wanted!r}; set it to lax or onednn.")
    if wanted == "lax":
        return None, f"{_VARIABLE}=lax"
    if platform != "cpu":
        if wanted:
            raise BackendError(
                f"{_VARIABLE}=onednn, but jax runs on {platform}, and "
                "oneDNN on CPUs only; unset it."
            )
        return None, f"jax runs on {platform}"
    try:
        return onednn_library.load(), "its handler is installed"
    except onednn_library.UnavailableError as error:
        if wanted:
            raise BackendError(
                f"{_VARIABLE}=onednn, but it cannot be used: {error}."
            ) from error
        return None, str(error)


def choose_backend() -> str:
    """Returns what convolves, "lax" or "onednn"; raises as `describe_backend` does."""
    return "lax" if _choose(find_platform())[0] is None else "onednn"


def describe_backend() -> str:
    """Returns one line that says which library convolves, and why.

    Raises:
        BackendError: if SPECTJAX_CONVOLUTION names none, or one that cannot be used.
    """
    handler, reason = _choose(find_platform())
    if handler is None:
        return f"Convolutions by XLA (oneDNN not used: {reason})."
    return "Convolutions by oneDNN."


@contextlib.contextmanager
def plain_operations() -> Iterator[None]:
    """Makes what is traced in a `with` block use XLA's plainest operations alone.

    For programs that leave this machine, where a custom call means nothing, and for
    counting operations.
    """
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def is_plain() -> bool:
    """Whether what is traced now is to use XLA's operations in their plainest form."""
    return _plain.get()


def uses_onednn(*arrays: jax.Array) -> bool:
    """Whether oneDNN computes with arrays of these types and sizes."""
    if is_plain():
        return False
    handler, _ = _choose(find_platform())
    if handler is None or not all(x.size for x in arrays):
        return False
    types = {x.dtype for x in arrays}
    return types == {jnp.dtype("float32")} or (
        handler.bfloat16 and types == {jnp.dtype("bfloat16")}
    )


def is_for_gpu() -> bool:
    """Whether what is traced now is for a GPU, and not to be plain."""
    return find_platform() == "gpu" and not is_plain()
