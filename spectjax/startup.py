"""What the program sets in jax before the first array, so that no user has to."""

import hashlib
import os
import pathlib
import platform

import jax


def enable_compilation_cache() -> None:
    """Makes jax keep compiled programs, so that the next start need not wait for them.

    They go to `xla-<processor>` in `find_cache_folder()`, because a program compiled
    for one processor may not run on another that shares the home folder. What the user
    says with JAX_COMPILATION_CACHE_DIR or JAX_ENABLE_COMPILATION_CACHE=false holds.
    """
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    try:
        folder = find_cache_folder() / f"xla-{_describe_processor()}"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return  # no home or a read-only one: compile every time
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def find_cache_folder() -> pathlib.Path:
    """Returns $XDG_CACHE_HOME/spectjax, by default ~/.cache/spectjax.

    Raises:
        RuntimeError: if there is no home folder.
    """
    root = os.environ.get("XDG_CACHE_HOME")
    return (pathlib.Path(root) if root else pathlib.Path("~/.cache").expanduser()) / (
        "spectjax"
    )


def _describe_processor() -> str:
    """Returns a short name that differs where machine code might."""
    text = platform.machine() + platform.processor()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        wanted = ("model name", "flags", "Features", "CPU part")
        lines = cpuinfo.read_text().splitlines()
        text += "".join(sorted({x for x in lines if x.startswith(wanted)}))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
