"""What must hold before the first file is read: a secret key, and places apart."""

import os
from pathlib import Path

_KEY = "SPECTJAX_PSEUDONYM_KEY"
_MIN_KEY_CHARACTERS = 16


def find_faults(
    source: Path, target: Path, report: Path, mapping: Path | None
) -> list[str]:
    """Returns what stands in the way, one line each."""
    faults = []
    if len(os.environ.get(_KEY, "")) < _MIN_KEY_CHARACTERS:
        faults.append(
            f"Expected a secret key of at least {_MIN_KEY_CHARACTERS} characters in "
            f"{_KEY}, since anyone can compute pseudonyms without one. Make one with: "
            'python -c "import secrets; print(secrets.token_hex(32))"'
        )
    if not source.is_dir():
        faults.append(f"{source}: expected a folder, found none. Check the path.")
    real = source.resolve(), target.resolve(), report.resolve()
    if real[1].is_relative_to(real[0]) or real[0].is_relative_to(real[1]):
        faults.append(
            f"{target}: expected a folder apart from {source}, found one inside the "
            "other. Name another for the results."
        )
    if mapping is not None and any(mapping.resolve().is_relative_to(r) for r in real):
        faults.append(
            f"{mapping}: expected a place apart from the input, the results and their "
            "report, since it identifies patients. Name another folder."
        )
    return faults
