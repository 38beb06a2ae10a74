"""Names that a package exports without importing their modules before they are used."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def export_lazily(
    package: str, homes: Mapping[str, Sequence[str]]
) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a package (PEP 562): its commands' --help is quick.

    Args:
        package: its `__name__`.
        homes: for each of its modules the names that it exports from there.
    """
    modules = {name: module for module, names in homes.items() for name in names}

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return find
