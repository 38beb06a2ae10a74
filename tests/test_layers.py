"""Imports run downwards only: every module imports rooms below its own."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# From the ground up. A module may import from rooms on lower floors and from its own
# room; a name stands for the module or the package and all that is in it.
FLOORS = (
    {"spectjax.interruption"},
    {"spectjax"},
    {"spectjax.config_rules", "spectjax.messages"},
    {
        "spectjax.archives",
        "spectjax.files",
        "spectjax.limits",
        "spectjax.paths",
        "spectjax.links",
        "spectjax.sandbox",
        "spectjax.process_watch",
        "spectjax.startup",
        "spectjax.workers",
    },
    {"spectjax.commands", "spectjax.locks", "spectjax.schema"},
    {
        "spectjax.config",
        "spectjax.hotspots",
        "spectjax.imaging",
        "spectjax.instances",
        "spectjax.ops",
        "spectjax.state_digest",
    },
    {"spectjax.answers", "spectjax.recipes"},
    {
        "configs",
        "spectjax.augment",
        "spectjax.losses",
        "spectjax.metrics",
        "spectjax.models",
        "spectjax.normalisation",
        "spectjax.weights",
        "tfds_spect",
    },
    {"spectjax.detection_losses"},
    {"spectjax.tasks"},
    {
        "spectjax.checkpoint",
        "spectjax.input_pipeline",
        "spectjax.parallel",
        "spectjax.run_data",
    },
    {"spectjax.feed", "spectjax.report", "spectjax.step"},
    {
        "spectjax.bookkeeping",
        "spectjax.prediction",
        "spectjax.provenance",
        "spectjax.runs",
    },
    {"spectjax.engines", "spectjax.model_files", "spectjax.train"},
    {"spectjax.runtimes"},
    {"spectjax.ensembles"},
    {
        "spectjax.evaluation",
        "spectjax.explanation",
        "spectjax.export",
        "spectjax.predict",
    },
    {"spectjax.explain", "spectjax.figures", "spectjax.main"},
    {"spectjax.cross_validate"},
)
# What a room may import from outside, where that is limited.
OUTSIDE = {
    "spectjax.commands": {"absl"},
    "spectjax.config": {"ml_collections"},
    "spectjax.locks": set(),
    "spectjax.messages": set(),
    "spectjax.paths": set(),
    "configs": {"ml_collections"},
    "spectjax.answers": {"numpy"},
    "spectjax.imaging": {
        "PIL",
        "absl",
        "matplotlib",
        "numpy",
        "pydicom",
        "scipy",
        "tqdm",
    },
    "spectjax.ops": {"flax", "jax", "numpy"},
    "spectjax.augment": {"jax", "numpy"},
    "spectjax.detection_losses": {"jax"},
    "spectjax.explanation": {"jax", "numpy", "scipy"},
    "spectjax.instances": set(),
    "spectjax.losses": {"jax"},
    "spectjax.models": {"flax", "jax"},
    "spectjax.metrics": {"jax", "numpy", "scipy"},
    "spectjax.normalisation": {"jax"},
    "spectjax.recipes": {"ml_collections"},
    "spectjax.state_digest": {"jax", "numpy"},
    "spectjax.step": {"flax", "jax", "optax"},
    "spectjax.tasks": {"flax", "jax"},
    "spectjax.weights": {"ml_dtypes", "numpy", "safetensors"},
}
# Libraries with one home each.
HOMES = {
    "apache_beam": {"tfds_spect"},
    "grain": {"spectjax.feed"},
    "jax2onnx": {"spectjax.export"},
    "onnxruntime": {"spectjax.engines"},
    "openvino": {"spectjax.engines"},
    "orbax": {"spectjax.checkpoint"},
    "tensorflow_datasets": {"spectjax.input_pipeline", "tfds_spect"},
    "tensorboardX": {"spectjax.report"},
    "pydicom": {"spectjax.imaging"},
    "safetensors": {"spectjax.weights"},
}


def room_of(name):
    """The longest room that `name` lies in, or None outside the project."""
    rooms = [room for floor in FLOORS for room in floor]
    inside = [r for r in rooms if name == r or name.startswith(r + ".")]
    return max(inside, key=len, default=None)


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
        elif target is None:
            standard = top in sys.stdlib_module_names
            if not standard and room in OUTSIDE and top not in OUTSIDE[room]:
                yield f"{module} imports {name}; {room} does not use {top}"
            if top in HOMES and room not in HOMES[top]:
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
        ("spectjax.imaging.thorax.stages", "import jax"),
        ("spectjax.ops.convolution", "from spectjax.models import unet"),
        ("spectjax.losses", "def f():\n    import spectjax.metrics.pixel"),
        ("spectjax.train", "import orbax.checkpoint as ocp"),
        ("configs.unet", "from spectjax.models import MODELS"),
    ],
)
def test_an_upward_or_foreign_import_is_a_fault(module, source):
    assert len(list(faults_in(module, source))) == 1


def test_no_module_has_a_name_that_says_nothing():
    empty = {"utils", "common", "helpers", "base", "misc"}
    assert not [path for path in MODULES if path.stem in empty]
