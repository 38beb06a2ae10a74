"""oneDNN's convolutions as XLA custom calls, for CPUs; an optional extra.

The C++ files in `native` call the library that the packages of the extra `onednn`
bring. This module compiles them once for each jaxlib, with the system's C++ compiler,
and keeps the result in a cache folder. Whatever is missing, `load` says so in one line.
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
import numpy as np

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
# Stride and padding of the convolution whose gradient doubles an image's size.
_DOUBLING = ((2, 2), (0, 0, 0, 0))


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(
    x: jax.Array,
    kernel: jax.Array,
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> jax.Array:
    """Returns the convolution of x with a kernel, as `jax.lax` defines it.

    Needs `load` to have succeeded. It has a first derivative by reverse mode only.

    Args:
        x: (B, H, W, C), float32, or bfloat16 if `Handler.bfloat16`.
        kernel: (h, w, C, D), of the same type.
        stride: steps down and to the right, in pixels.
        padding: zeros above, below, left and right, in pixels.

    Returns:
        (B, H', W', D).
    """
    top, bottom, left, right = padding
    batch, height, width, _ = x.shape
    rows = (height + top + bottom - kernel.shape[0]) // stride[0] + 1
    columns = (width + left + right - kernel.shape[1]) // stride[1] + 1
    shape = (batch, rows, columns, kernel.shape[-1])
    return _call("forward", shape, x, kernel, stride, padding)


def gradient_by_data(
    dy: jax.Array,
    kernel: jax.Array,
    shape: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> jax.Array:
    """Returns dx, (B, H, W, C) = `shape`, of `convolve` for dy, (B, H', W', D)."""
    return _call("data", shape, dy, kernel, stride, padding)


def gradient_by_kernel(
    x: jax.Array,
    dy: jax.Array,
    shape: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> jax.Array:
    """Returns the gradient by the kernel, (h, w, C, D) = `shape`, of `convolve`."""
    return _call("kernel", shape, x, dy, stride, padding)


def _call(
    name: str,
    shape: tuple[int, ...],
    a: jax.Array,
    b: jax.Array,
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> jax.Array:
    call = jax.ffi.ffi_call(
        f"spectjax_convolution_{name}",
        jax.ShapeDtypeStruct(shape, a.dtype),
        vmap_method="sequential",
    )
    return call(a, b, stride=np.array(stride), padding=np.array(padding))


def _forward(
    x: jax.Array,
    kernel: jax.Array,
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolve(x, kernel, stride, padding), (x, kernel)


def _backward(
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    saved: tuple[jax.Array, jax.Array],
    dy: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    return (
        gradient_by_data(dy, kernel, x.shape, stride, padding),
        gradient_by_kernel(x, dy, kernel.shape, stride, padding),
    )


convolve.defvjp(_forward, _backward)


@jax.custom_vjp
def up_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the 2x2 up-convolution with stride 2: `convolve`'s gradient by data.

    Args:
        x: (B, H, W, C), of a type that `convolve` takes.
        kernel: (2, 2, D, C), of the same type.

    Returns:
        (B, 2H, 2W, D).
    """
    batch, height, width, _ = x.shape
    shape = (batch, 2 * height, 2 * width, kernel.shape[2])
    return gradient_by_data(x, kernel, shape, *_DOUBLING)


def _up_forward(
    x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return up_convolve(x, kernel), (x, kernel)


def _up_backward(
    saved: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    return (
        convolve(dy, kernel, *_DOUBLING),
        gradient_by_kernel(dy, x, kernel.shape, *_DOUBLING),
    )


up_convolve.defvjp(_up_forward, _up_backward)


def moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns mean and variance, each (C,), of x, (..., C), float32."""
    vector = jax.ShapeDtypeStruct(x.shape[-1:], x.dtype)
    call = jax.ffi.ffi_call(
        "spectjax_moments", (vector, vector), vmap_method="sequential"
    )
    mean, variance = call(x)
    return mean, variance


def gradient_sums(
    dy: jax.Array,
    x: jax.Array,
    mean: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    relu: bool,
) -> tuple[jax.Array, jax.Array]:
    """Returns the sums of dy and dy * (x - mean) over all axes but the last.

    Args:
        dy: (..., C), float32.
        x: (..., C), float32.
        mean: (C,), float32.
        scale: (C,), float32.
        bias: (C,), float32.
        relu: take only those for which (x - mean) * scale + bias > 0.

    Returns:
        Two sums, each (C,).
    """
    vector = jax.ShapeDtypeStruct(x.shape[-1:], x.dtype)
    call = jax.ffi.ffi_call(
        "spectjax_gradient_sums", (vector, vector), vmap_method="sequential"
    )
    first, second = call(dy, x, mean, scale, bias, relu=relu)
    return first, second


def normalise(
    x: jax.Array, scale: jax.Array, bias: jax.Array, *, relu: bool, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns x normalised by its moments, their mean and their variance.

    Args:
        x: (..., C), float32.
        scale: (C,), float32.
        bias: (C,), float32.
        relu: apply a ReLU afterwards.
        epsilon: what is added to the variance.

    Returns:
        (..., C), then two of (C,).
    """
    vector = jax.ShapeDtypeStruct(x.shape[-1:], x.dtype)
    call = jax.ffi.ffi_call(
        "spectjax_normalise",
        (jax.ShapeDtypeStruct(x.shape, x.dtype), vector, vector),
        vmap_method="sequential",
    )
    y, mean, variance = call(x, scale, bias, relu=relu, epsilon=np.float32(epsilon))
    return y, mean, variance


def normalise_gradient(
    dy: jax.Array,
    x: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    relu: bool,
    epsilon: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the gradients of `normalise` by x, (..., C), scale and bias, (C,).

    Args:
        dy: gradient by what it returned first, (..., C), float32.
        x: what it was given, (..., C), float32.
        mean: what it returned, (C,), float32.
        variance: likewise.
        scale: what it was given, (C,), float32.
        bias: likewise.
        relu: as given.
        epsilon: as given.
    """
    vector = jax.ShapeDtypeStruct(x.shape[-1:], x.dtype)
    call = jax.ffi.ffi_call(
        "spectjax_normalise_gradient",
        (jax.ShapeDtypeStruct(x.shape, x.dtype), vector, vector),
        vmap_method="sequential",
    )
    dx, dscale, dbias = call(
        dy, x, mean, variance, scale, bias, relu=relu, epsilon=np.float32(epsilon)
    )
    return dx, dscale, dbias


def multiply_transposed(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns a @ b.T, (m, n), of a, (m, k), and b, (n, k), float32."""
    call = jax.ffi.ffi_call(
        "spectjax_multiply_transposed",
        jax.ShapeDtypeStruct((a.shape[0], b.shape[0]), a.dtype),
        vmap_method="sequential",
    )
    return call(a, b)
