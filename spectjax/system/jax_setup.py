"""What the program sets and checks in jax before the first array.

No user has to set anything, and what a user did set is refused in one line where jax or
XLA would end in a traceback, abort the process, or compute other numbers.
"""

import functools
import hashlib
import logging
import os
import pathlib
import platform
import subprocess
import sys
import warnings
from typing import Any

from spectjax.system.messages import UserError, make_printable

# Settings that change what is computed: the only values of them that were tested. All
# others are the user's.
_SETTINGS = {
    "jax_enable_x64": False,
    "jax_disable_jit": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_numpy_dtype_promotion": "standard",
}
# XLA aborts the process that asks for a client with flags that it does not know.
_MAKE_CLIENT = "from jaxlib import xla_client; xla_client.make_cpu_client()"
_REASON = "] "  # ends what XLA writes before a message: level, time and place


class StartError(UserError):
    """A setting of the environment with which jax cannot be used."""


def start_jax(*, cached: bool = True) -> None:
    """Makes jax ready to compute, for a command of one process.

    Args:
        cached: see `load_jax`.

    Raises:
        StartError: if a setting of the environment keeps it from that.
    """
    load_jax(cached=cached)
    find_devices()


def load_jax(*, cached: bool = True) -> None:
    """Loads jax with the settings of this program; asks for no device yet.

    Args:
        cached: keep compiled programs, see `enable_compilation_cache`.

    Raises:
        StartError: if an environment variable has a value that jax or XLA does not
            know, or one with which it would compute other numbers.
        ImportError: if jax is not installed.
    """
    try:
        import jax
    except ValueError as error:  # of a variable whose value it does not know
        raise StartError(
            f"jax does not start: {error}. Correct or unset that JAX_ variable."
        ) from error
    _check_xla_flags()
    for name, wanted in _SETTINGS.items():
        found = getattr(jax.config, name, wanted)
        if found != wanted:
            raise StartError(
                f"{name.upper()}={found}: expected {wanted}, for results would differ "
                "from those that were tested. Unset it."
            )
    if cached:
        enable_compilation_cache()


def find_devices() -> None:
    """Makes jax find its devices.

    Raises:
        StartError: if there is none of the kind that is asked for.
    """
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        reason = str(error) or "no such device was found"
        wanted = os.environ.get("JAX_PLATFORMS", "")
        raise StartError(
            f"JAX_PLATFORMS={wanted}: jax has no device to compute on: {reason}. Unset "
            "JAX_PLATFORMS for what this computer has, or install jax for the device."
        ) from error


@functools.cache
def _check_xla_flags() -> None:
    """Has a child try the flags that the user gives to XLA, for it may be aborted."""
    flags = os.environ.get("XLA_FLAGS", "")
    if not flags.strip():
        return
    tried = subprocess.run(
        [sys.executable, "-c", _MAKE_CLIENT], capture_output=True, text=True
    )
    if tried.returncode:
        lines = tried.stderr.strip().splitlines() or ["XLA does not say why"]
        reason = lines[0].rpartition(_REASON)[2].rstrip(".")
        raise StartError(
            f"XLA_FLAGS={flags}: XLA does not start: {reason}. Correct or unset it."
        )


def enable_compilation_cache() -> None:
    """Makes jax keep compiled programs, so that the next start need not wait for them.

    They go to `xla-<processor>` in `find_cache_folder()`, because a program compiled
    for one processor may not run on another that shares the home folder. What the user
    says with JAX_COMPILATION_CACHE_DIR or JAX_ENABLE_COMPILATION_CACHE=false holds.
    Where they have no place or cannot be read, one line says so, and they are compiled
    every time.
    """
    import jax

    _shorten_warnings()
    if not jax.config.jax_enable_compilation_cache:  # type: ignore[attr-defined]
        return
    given = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if given is not None and "://" in given:
        return  # not a folder of this machine
    try:
        folder = pathlib.Path(
            given or find_cache_folder() / f"xla-{_describe_processor()}"
        )
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise OSError(f"{folder} cannot be written")
    # Without a home folder, expanduser raises a RuntimeError.
    except (OSError, RuntimeError) as error:
        remedy = "JAX_COMPILATION_CACHE_DIR" if given else "XDG_CACHE_HOME"
        _warn(
            f"Compiled programs have no place ({error}): each start takes longer. Set "
            f"{remedy} to a folder that can be written."
        )
        jax.config.update("jax_enable_compilation_cache", False)
        return
    if given is None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@functools.cache
def _shorten_warnings() -> None:
    """Makes one line of what jax and matplotlib say of caches that do not work."""
    # Of the place for its fonts; other loggers of matplotlib's still warn.
    logging.getLogger("matplotlib").addFilter(lambda x: x.levelno >= logging.ERROR)
    show = warnings.showwarning
    told: list[object] = []

    def show_once(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        if "persistent compilation cache entry" not in str(message):
            show(message, *args, **kwargs)
        elif not told:
            told.append(message)
            import jax

            folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
            _warn(
                f"{folder}: compiled programs there are damaged, and are compiled anew "
                f"({message}). If this comes again, remove that folder."
            )

    warnings.showwarning = show_once


def _warn(text: str) -> None:
    print(make_printable(f"warning: {text}"), file=sys.stderr, flush=True)


def find_cache_folder() -> pathlib.Path:
    """Returns $XDG_CACHE_HOME/spectjax, by default ~/.cache/spectjax.

    Raises:
        RuntimeError: if there is no home folder.
    """
    root = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    if not root.is_absolute():  # as with an empty HOME: a folder of anywhere
        raise RuntimeError(f"expected the path of a home folder, found {str(root)!r}")
    return root / "spectjax"


def _describe_processor() -> str:
    """Returns a short name that differs where machine code might."""
    text = platform.machine() + platform.processor()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        wanted = ("model name", "flags", "Features", "CPU part")
        lines = cpuinfo.read_text().splitlines()
        text += "".join(sorted({x for x in lines if x.startswith(wanted)}))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
