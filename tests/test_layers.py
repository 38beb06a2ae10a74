"""Imports run downwards only: every module imports rooms below its own."""

import ast
import pathlib
import sys

import pytest

from tests.conftest import LONGEST

ROOT = pathlib.Path(__file__).parents[1]

# From the ground up. A module may import from rooms on lower floors and from its own
# room; a name stands for the module or the package and all that is in it.
FLOORS = (
    {"spectjax.system"},
    {"spectjax"},
    {"spectjax.imaging.hotspots"},
    {"spectjax.imaging", "spectjax.metrics", "spectjax.ops"},
    {"spectjax.imaging.dicom", "spectjax.imaging.thorax"},
    {"spectjax.imaging.annotations"},
    {"spectjax.imaging.listed"},
    {"spectjax.imaging.intake"},
    {"spectjax.bones"},
    {
        "spectjax.imaging.check_images",
        "spectjax.imaging.deidentify",
        "spectjax.imaging.export_views",
        "spectjax.imaging.thorax.__main__",
    },
    {"spectjax.models", "spectjax.phantom", "spectjax.report", "spectjax.weights"},
    {"tfds_spect"},
    {"spectjax.input_pipeline"},
    {"spectjax.evaluation"},
    {"spectjax.tasks"},
    {"spectjax.config"},
    {"spectjax.recipes", "spectjax.training"},
    {"configs", "spectjax.inference"},
    {
        "spectjax.dicom_results",
        "spectjax.explanation",
        "spectjax.pages",
        "spectjax.paper_figures",
        "spectjax.reporting",
    },
    {
        "spectjax.checklist",
        "spectjax.corrections",
        "spectjax.evaluate",
        "spectjax.explain",
        "spectjax.export",
        "spectjax.figures",
        "spectjax.follow_up",
        "spectjax.main",
        "spectjax.predict",
    },
    {"spectjax.cross_validate", "spectjax.node", "spectjax.ready"},
)
# What a room may import from inside, where that is limited: configs load in
# milliseconds.
INSIDE = {
    "configs": {"spectjax.config", "spectjax.recipes"},
    "spectjax.recipes": {"spectjax", "spectjax.config"},
}
# What a room may import from outside, where that is limited.
OUTSIDE = {
    "spectjax.bones": {"numpy", "scipy"},
    "spectjax.config": {"absl", "ml_collections"},
    "configs": {"ml_collections"},
    "spectjax.explanation": {"jax", "matplotlib", "numpy", "scipy"},
    "spectjax.imaging.hotspots": {"numpy", "scipy"},
    "spectjax.imaging": {
        "PIL",
        "absl",
        "matplotlib",
        "numpy",
        "pydicom",
        "scipy",
        "tqdm",
    },
    "spectjax.metrics": {"jax", "numpy", "scipy"},
    "spectjax.models": {"flax", "jax"},
    "spectjax.ops": {"flax", "jax", "numpy"},
    "spectjax.pages": {"numpy"},
    "spectjax.phantom": {"absl", "numpy", "pydicom", "scipy", "tqdm"},
    "spectjax.recipes": {"ml_collections"},
    "spectjax.report": {"matplotlib", "numpy"},
    "spectjax.system": {"absl", "jax"},
    "spectjax.tasks": {"flax", "jax", "matplotlib", "numpy", "optax", "scipy"},
    "spectjax.weights": {"ml_dtypes", "numpy", "safetensors"},
}
# Libraries with one home each.
HOMES = {
    "apache_beam": {"tfds_spect"},
    "highdicom": {"spectjax.dicom_results"},
    "pynetdicom": {"spectjax.node"},
    "grain": {"spectjax.training"},
    "jax2onnx": {"spectjax.inference"},
    "onnxruntime": {"spectjax.inference"},
    "openvino": {"spectjax.inference"},
    "optax": {"spectjax.tasks", "spectjax.training"},
    "orbax": {"spectjax.training"},
    "tensorflow_datasets": {"spectjax.input_pipeline", "tfds_spect"},
    "tensorboardX": {"spectjax.training"},
    "pydicom": {
        "spectjax.dicom_results",
        "spectjax.imaging",
        "spectjax.node",
        "spectjax.phantom",
    },
    "safetensors": {"spectjax.weights"},
}


def room_of(name):
    """The longest room that `name` lies in, or None outside the project."""
    rooms = [room for floor in FLOORS for room in floor]
    inside = [r for r in rooms if name == r or name.startswith(r + ".")]
    return max(inside, key=len, default=None)


def limits_of(room, limits):
    """The limits of a room, else of the one that it lies in, else None."""
    while room and room not in limits:
        room = room.rpartition(".")[0]
    return limits.get(room)


def floor_of(room):
    return next(i for i, floor in enumerate(FLOORS) if room in floor)


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source):
    """Names that a module imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def faults_in(module, source):
    """Sentences that say which imports of `module` are not allowed."""
    room = room_of(module)
    for name in imports_of(source):
        target = room_of(name)
        top = name.partition(".")[0]
        if target is not None and floor_of(target) > floor_of(room):
            yield f"{module} imports {name}, which is above it"
        elif target is not None and target != room:
            if floor_of(target) == floor_of(room):
                yield f"{module} imports {name}, another room on its floor"
            elif room in INSIDE and target not in INSIDE[room]:
                yield f"{module} imports {name}; {room} does not use {target}"
        elif target is None:
            standard = top in sys.stdlib_module_names
            allowed = limits_of(room, OUTSIDE)
            if not standard and allowed is not None and top not in allowed:
                yield f"{module} imports {name}; {room} does not use {top}"
            if top in HOMES and not limits_of(room, dict.fromkeys(HOMES[top], True)):
                yield f"{module} imports {name}; only {HOMES[top]} may"


MODULES = sorted(
    path
    for folder in ("spectjax", "tfds_spect", "configs")
    for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_run_downwards(path):
    module = module_name(path)
    assert room_of(module) is not None
    assert list(faults_in(module, path.read_text())) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("spectjax.imaging.dicom", "from spectjax import predict"),
        ("spectjax.imaging.dicom.views", "from spectjax.imaging.listed import table"),
        ("spectjax.imaging.scan", "import spectjax.imaging.dicom.reading"),
        ("spectjax.imaging.thorax.crop", "from spectjax.imaging.dicom import views"),
        ("spectjax.imaging.thorax.stages", "import jax"),
        ("spectjax.ops.convolution", "from spectjax.models import unet"),
        ("spectjax.ops.nms", "def f():\n    import spectjax.metrics.pixel"),
        ("spectjax.explain", "import orbax.checkpoint as ocp"),
        ("configs.unet", "from spectjax.models import MODELS"),
    ],
)
def test_an_upward_or_foreign_import_is_a_fault(module, source):
    assert len(list(faults_in(module, source))) == 1


def test_no_module_has_a_name_that_says_nothing():
    empty = {"utils", "common", "helpers", "base", "misc"}
    assert not [path for path in MODULES if path.stem in empty]


TESTS = {path: path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))}
IMPORTED = {name for source in TESTS.values() for name in imports_of(source)}
SUPPORT = [path for path in TESTS if path.parent.name == "support"]


def test_no_test_file_imports_another():
    test_files = [name.rpartition(".")[0] for name in IMPORTED]
    assert not [name for name in test_files if ".test_" in name]


def test_the_files_that_begin_are_there():
    assert {ROOT / "tests" / name for name in LONGEST} <= TESTS.keys()


@pytest.mark.parametrize("path", SUPPORT, ids=module_name)
def test_what_tests_share_is_used(path):
    module, tree = module_name(path), ast.parse(TESTS[path])
    if not any(name.startswith(module + ".") for name in IMPORTED):
        # A program that tests start.
        assert [other for other in TESTS if path.stem in TESTS[other] and other != path]
        return
    # Functions and classes, and constants.
    defined = {node.name for node in tree.body if hasattr(node, "name")}
    targets = [t for node in tree.body for t in getattr(node, "targets", [])]
    defined |= {target.id for target in targets if isinstance(target, ast.Name)}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    assert {f"{module}.{name}" for name in defined - read} <= IMPORTED
