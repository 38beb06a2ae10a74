"""Commands that define flags, run within a test as in a process of their own."""

import importlib
import sys
import warnings

from absl import flags

_OURS = ("spectjax", "tfds_spect", "scripts", "benchmarks", "configs")


def run_in_process(module, *arguments, **changes):
    """Imports a command anew, changes some of its names, and runs its `main`.

    Flags are global to a process: those of other commands are out of the way meanwhile,
    and none are left behind.
    """
    others = {name: flags.FLAGS[name] for name in _find_flags()}
    for name in others:
        delattr(flags.FLAGS, name)
    sys.modules.pop(module, None)
    own, sys.argv = sys.argv, [module, *map(str, arguments)]  # of config flags
    try:
        with warnings.catch_warnings():
            # So ml_collections loads a config file.
            warnings.filterwarnings("ignore", message=".*load_module")
            command = importlib.import_module(module)
            vars(command).update(changes)
            arguments = flags.FLAGS(sys.argv)
        command.main(arguments)
    finally:
        sys.argv = own
        for name in _find_flags():
            delattr(flags.FLAGS, name)
        for name, flag in others.items():
            flags.FLAGS[name] = flag


def _find_flags():
    """The names of the project's flags, and of those that were put back."""
    return [
        name
        for name in flags.FLAGS
        if (flags.FLAGS.find_module_defining_flag(name) or _OURS[0]).startswith(_OURS)
        or name.startswith("config")
    ]
