"""The files in configs/, and how a test loads one."""

import importlib.util
import pathlib

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.py"))
SPECS = [path for path in CONFIGS if path.stem.startswith("specs")]
KMEANS = next(path for path in CONFIGS if path.stem == "kmeans")
MASK_RCNNS = [path for path in CONFIGS if path.stem.startswith("mask_rcnn")]
UNETS = [path for path in CONFIGS if path.stem.startswith("unet")]


def load(path, arg=None):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(arg)
