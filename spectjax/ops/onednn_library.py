"""The library that brings oneDNN to XLA on CPUs: compiled, kept and registered.

The C++ files in `native` call the library that the packages of the extra `onednn`
bring. They are compiled once for each jaxlib, with the system's C++ compiler, and kept
in a cache folder. Whatever is missing, `load` says so in one line.
"""

import ctypes
import dataclasses
import functools
import hashlib
import importlib.metadata
import pathlib
import platform
import shutil
import subprocess
import tempfile

import jax

from spectjax.system.jax_setup import find_cache_folder

_SOURCES = pathlib.Path(__file__).with_name("native")
_PACKAGE = "onednn-cpu-gomp"
_HEADER_PACKAGE = "onednn-devel-cpu-gomp"
_HANDLERS = (
    "convolution_forward",
    "convolution_data",
    "convolution_kernel",
    "moments",
    "gradient_sums",
    "normalise",
    "normalise_gradient",
    "multiply_transposed",
)


class UnavailableError(Exception):
    """Says in one line why oneDNN cannot be used here."""


@dataclasses.dataclass(frozen=True)
class Handler:
    """The compiled handler, registered with XLA.

    Attributes:
        path: its shared library.
        bfloat16: whether this CPU convolves bfloat16 through it.
    """

    path: pathlib.Path
    bfloat16: bool


@functools.cache
def load() -> Handler:
    """Compiles the handler where that was not done before, and registers it.

    Raises:
        UnavailableError: if a package, a compiler or a writable folder is missing, or
            what was compiled does not load.
    """
    if platform.system() != "Linux":
        raise UnavailableError(f"it is for Linux only, not {platform.system()}")
    library = _find_file(_PACKAGE, "libdnnl.so.3")
    headers = _find_file(_HEADER_PACKAGE, "dnnl.hpp").parent
    path = _compile(library, headers)
    try:
        handler = ctypes.CDLL(str(path))
        functions = {name: getattr(handler, f"spectjax_{name}") for name in _HANDLERS}
    except (OSError, AttributeError) as error:
        raise UnavailableError(f"{path} does not load: {error}") from error
    for name, function in functions.items():
        jax.ffi.register_ffi_target(
            f"spectjax_{name}", jax.ffi.pycapsule(function), platform="cpu"
        )
    return Handler(path, bool(handler.spectjax_convolution_has_bfloat16()))


def _find_file(package: str, name: str) -> pathlib.Path:
    """Returns the file of that name which an installed package brought."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise UnavailableError(
            f"{package} is not installed; pip install 'spectjax[onednn]'"
        ) from error
    paths = [pathlib.Path(str(f.locate())).resolve() for f in files if f.name == name]
    # The header lies in a folder for old programs and, deeper, in one for new ones.
    paths = sorted((p for p in paths if p.exists()), key=lambda p: len(p.parts))
    if not paths:
        raise UnavailableError(f"{package} is installed without {name}; reinstall it")
    return paths[0]


def _compile(library: pathlib.Path, headers: pathlib.Path) -> pathlib.Path:
    """Returns the compiled handler, from the cache folder if it is there.

    Its name ends with the digest of its contents: what is damaged or not ours could end
    the process that loads it, and is compiled anew instead.
    """
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        raise UnavailableError("there is no C++ compiler; install g++")
    sources = sorted(_SOURCES.iterdir())
    # The warnings that -w silences are those of jaxlib's headers.
    command = [compiler, "-std=c++17", "-O3", "-fPIC", "-shared", "-w"]
    command += [f"-I{jax.ffi.include_dir()}", f"-I{headers}"]
    command += [str(source) for source in sources if source.suffix == ".cc"]
    command += [str(library), f"-Wl,-rpath,{library.parent}"]
    try:
        version = _run([compiler, "--version"])
        ingredients = [version, importlib.metadata.version("jaxlib"), str(command)]
        ingredients += [source.read_text() for source in sources]
        key = hashlib.sha256("\0".join(ingredients).encode()).hexdigest()[:16]
        folder = find_cache_folder()
        for path in sorted(folder.glob(f"onednn-{key}-*.so")):
            if path.name == _name(key, path):
                return path
        folder.mkdir(parents=True, exist_ok=True)
        # Compiled beside its place and renamed: another process may do the same at this
        # moment, and must never load half a file.
        with tempfile.TemporaryDirectory(dir=folder) as workplace:
            built = pathlib.Path(workplace) / "onednn.so"
            _run([*command, "-o", str(built)])
            path = folder / _name(key, built)
            built.rename(path)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["it says nothing"]
        raise UnavailableError(f"{compiler} does not compile it: {lines[0]}") from error
    # Without a home folder, expanduser raises a RuntimeError.
    except (OSError, RuntimeError) as error:
        raise UnavailableError(f"the compiled handler has no place: {error}") from error
    return path


def _name(key: str, path: pathlib.Path) -> str:
    """Returns how a handler of these contents is called; "" if it is no file."""
    if not path.is_file():
        return ""
    return f"onednn-{key}-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.so"


def _run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
