"""Tests of `spectjax.ops.onednn` and of the choice between it and XLA."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.ops import backend, onednn, onednn_library
from spectjax.ops.backend import BackendError, describe_backend, uses_onednn
from spectjax.ops.convolution import convolve, up_convolve

try:
    onednn_library.load()
    MISSING = ""
except onednn_library.UnavailableError as error:
    MISSING = f"oneDNN: {error}"

needs_onednn = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture
def choice(monkeypatch):
    """Lets a test set the environment in which the library is chosen anew."""
    for function in (backend._choose, onednn_library.load):
        function.cache_clear()
    monkeypatch.delenv("SPECTJAX_CONVOLUTION", raising=False)
    yield monkeypatch
    for function in (backend._choose, onednn_library.load):
        function.cache_clear()


def random(seed, *shape):
    draw = np.random.default_rng(seed).standard_normal(shape)
    return jnp.asarray(draw, jnp.float32)


def lax_convolve(x, kernel, stride, padding):
    top, bottom, left, right = padding
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        stride,
        [(top, bottom), (left, right)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )


@needs_onednn
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding"),
    [
        ((2, 8, 6, 3), (3, 3, 3, 5), (1, 1), (1, 1, 1, 1)),
        ((1, 33, 17, 16), (3, 3, 16, 16), (1, 1), (1, 1, 1, 1)),
        ((3, 9, 10, 1), (3, 3, 1, 16), (1, 1), (1, 1, 1, 1)),
        ((5, 7, 7, 70), (3, 3, 70, 33), (1, 1), (1, 1, 1, 1)),
        ((4, 16, 15, 8), (3, 3, 8, 24), (2, 2), (1, 1, 1, 1)),
        ((2, 32, 31, 1), (7, 7, 1, 64), (2, 2), (3, 3, 3, 3)),
        ((4, 6, 6, 32), (1, 1, 32, 2), (1, 1), (0, 0, 0, 0)),
        ((2, 9, 8, 12), (1, 1, 12, 20), (2, 2), (0, 0, 0, 0)),
        ((1, 12, 11, 4), (3, 2, 4, 4), (2, 1), (0, 1, 1, 0)),
        ((1, 1, 1, 2), (3, 3, 2, 2), (1, 1), (1, 1, 1, 1)),
    ],
)
def test_convolve_equals_lax_in_value_and_gradients(shape, kernel, stride, padding):
    x, weights = random(0, *shape), random(1, *kernel)
    y, backward = jax.vjp(
        lambda x, k: onednn.convolve(x, k, stride, padding), x, weights
    )
    wanted, wanted_backward = jax.vjp(
        lambda x, k: lax_convolve(x, k, stride, padding), x, weights
    )
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
    dy = random(2, *y.shape)
    for ours, theirs in zip(backward(dy), wanted_backward(dy), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


@needs_onednn
def test_the_same_input_gives_the_same_bits():
    x, kernel = random(0, 4, 32, 32, 16), random(1, 3, 3, 16, 16)
    gradient = jax.jit(jax.grad(lambda k: jnp.square(convolve(x, k)).sum()))
    first = np.asarray(gradient(kernel))
    assert all((np.asarray(gradient(kernel)) == first).all() for _ in range(5))


@needs_onednn
def test_convolutions_that_run_at_the_same_time_do_not_disturb_each_other():
    xs = [random(i, 2, 24, 24, 8 + i) for i in range(12)]
    kernels = [random(i, 3, 3, 8 + i, 8) for i in range(12)]
    together = jax.jit(lambda xs, kernels: list(map(convolve, xs, kernels)))
    for _ in range(5):
        for y, x, kernel in zip(together(xs, kernels), xs, kernels, strict=True):
            wanted = lax_convolve(x, kernel, (1, 1), (1, 1, 1, 1))
            np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)


@needs_onednn
def test_gradients_inside_a_loop_equal_those_outside():
    x = random(0, 2, 8, 8, 4)

    def descend(_, kernel):
        return kernel - 0.01 * jax.grad(lambda k: jnp.square(convolve(x, k)).mean())(
            kernel
        )

    kernel = wanted = random(1, 3, 3, 4, 4)
    for i in range(3):
        wanted = descend(i, wanted)
    looped = jax.jit(lambda k, n: jax.lax.fori_loop(0, n, descend, k))(kernel, 3)
    np.testing.assert_allclose(looped, wanted, rtol=1e-5, atol=1e-6)


@needs_onednn
def test_vmap_convolves_one_after_the_other():
    x, kernel = random(0, 3, 1, 6, 6, 2), random(1, 3, 3, 2, 4)
    mapped = jax.vmap(convolve, (0, None))(x, kernel)
    np.testing.assert_allclose(mapped[:, 0], convolve(x[:, 0], kernel), rtol=1e-5)


@needs_onednn
def test_bfloat16_is_near_float32():
    if not onednn_library.load().bfloat16:
        pytest.skip("this CPU does not convolve bfloat16 by oneDNN")
    x, kernel = random(0, 4, 8, 8, 16), random(1, 3, 3, 16, 16)

    def loss(k, dtype):
        return jnp.square(convolve(x.astype(dtype), k.astype(dtype))).mean()

    ours = jax.grad(loss)(kernel, jnp.bfloat16)
    exact = jax.grad(loss)(kernel, jnp.float32)
    assert jnp.abs(ours - exact).max() < 0.02 * jnp.abs(exact).max()


@needs_onednn
def test_models_use_it_unless_told_otherwise(choice):
    x = jnp.ones((1, 4, 4, 2))
    assert uses_onednn(x)
    assert describe_backend() == "Convolutions by oneDNN."
    choice.setenv("SPECTJAX_CONVOLUTION", "lax")
    backend._choose.cache_clear()
    assert not uses_onednn(x)
    assert "SPECTJAX_CONVOLUTION=lax" in describe_backend()


@needs_onednn
def test_types_and_sizes_that_it_does_not_take_go_to_xla():
    assert not uses_onednn(jnp.ones((1, 2, 2, 1), jnp.float16))
    assert not uses_onednn(jnp.ones((0, 2, 2, 1)))
    y = convolve(jnp.zeros((0, 4, 4, 2)), jnp.ones((3, 3, 2, 5)))
    assert y.shape == (0, 4, 4, 5)


@needs_onednn
def test_without_a_compiler_xla_convolves(choice, tmp_path):
    choice.setenv("PATH", str(tmp_path))
    choice.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert not uses_onednn(jnp.ones((1, 4, 4, 2)))
    assert "there is no C++ compiler; install g++" in describe_backend()


@needs_onednn
def test_without_a_place_to_write_xla_convolves(choice, tmp_path):
    (tmp_path / "file").touch()
    choice.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert not uses_onednn(jnp.ones((1, 4, 4, 2)))
    assert "the compiled handler has no place" in describe_backend()


@needs_onednn
def test_a_compiler_that_fails_leaves_no_file_behind(choice, tmp_path):
    compiler = tmp_path / "g++"
    compiler.write_text(
        '#!/bin/sh\n[ "$1" = --version ] || { echo broken >&2; exit 1; }\n'
    )
    compiler.chmod(0o755)
    choice.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    choice.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert f"{compiler} does not compile it: broken" in describe_backend()
    assert list((tmp_path / "spectjax").iterdir()) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-3]),
        lambda path: path.write_bytes(b"\x7fELF of another library"),
        lambda path: path.unlink(),
    ],
)
def test_a_compiled_library_that_is_damaged_or_foreign_is_compiled_anew(
    spoil, choice, tmp_path
):
    compiled = []

    def run(command):
        if "-o" not in command:
            return "a compiler"
        compiled.append(command)
        pathlib.Path(command[-1]).write_bytes(b"library")
        return ""

    choice.setattr(onednn_library, "_run", run)
    choice.setattr(onednn_library.shutil, "which", lambda name: name)
    choice.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = onednn_library._compile(tmp_path / "libdnnl.so.3", tmp_path)
    assert onednn_library._compile(tmp_path / "libdnnl.so.3", tmp_path) == first
    assert len(compiled) == 1
    spoil(first)
    again = onednn_library._compile(tmp_path / "libdnnl.so.3", tmp_path)
    assert len(compiled) == 2
    assert again.read_bytes() == b"library"


def test_without_the_packages_xla_convolves_and_says_why(choice):
    choice.setattr(onednn_library, "_PACKAGE", "no-such-package")
    assert not uses_onednn(jnp.ones((1, 4, 4, 2)))
    assert describe_backend() == (
        "Convolutions by XLA (oneDNN not used: no-such-package is not installed; "
        "pip install 'spectjax[onednn]')."
    )
    x, kernel = random(0, 1, 4, 4, 2), random(1, 3, 3, 2, 3)
    wanted = lax_convolve(x, kernel, (1, 1), (1, 1, 1, 1))
    np.testing.assert_allclose(convolve(x, kernel), wanted, rtol=1e-5, atol=1e-5)


def test_forcing_what_is_missing_is_an_error(choice):
    choice.setattr(onednn_library, "_PACKAGE", "no-such-package")
    choice.setenv("SPECTJAX_CONVOLUTION", "onednn")
    with pytest.raises(BackendError, match="no-such-package is not installed"):
        describe_backend()


def test_an_unknown_choice_is_an_error(choice):
    choice.setenv("SPECTJAX_CONVOLUTION", "cudnn")
    with pytest.raises(ValueError, match="'cudnn'; set it to lax or onednn"):
        describe_backend()


def test_an_accelerator_convolves_by_xla(choice):
    choice.setattr(jax, "default_backend", lambda: "gpu")
    assert describe_backend().endswith("(oneDNN not used: jax runs on gpu).")
    choice.setenv("SPECTJAX_CONVOLUTION", "onednn")
    backend._choose.cache_clear()
    with pytest.raises(BackendError, match="oneDNN on CPUs only"):
        describe_backend()


@needs_onednn
def test_up_convolve_equals_xla(choice):
    x, kernel = random(0, 2, 5, 4, 6), random(1, 2, 2, 6, 3)
    y, backward = jax.vjp(up_convolve, x, kernel)
    choice.setenv("SPECTJAX_CONVOLUTION", "lax")
    backend._choose.cache_clear()
    wanted, wanted_backward = jax.vjp(up_convolve, x, kernel)
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(backward(y), wanted_backward(y), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)
