"""PixelMed's validator of structured reports, the one of IHE's test bench.

    python -m tests.support.pixelmed FILE...     prints one line of JSON

In a process of its own, since a Java machine cannot be ended; in one for all reports,
since it compiles its rules for seconds.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.support.judge_tools import JARS, PIXELMED, need


def validate_reports(paths: Iterable[Path]) -> list[list[str]]:
    """The lines that the validator says of each report."""
    need(*PIXELMED)
    command = [sys.executable, "-m", "tests.support.pixelmed", *map(str, paths)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def _main(paths: list[str]) -> None:
    import jpype

    jpype.startJVM("-Xmx1g", "-XX:TieredStopAtLevel=1", classpath=[*map(str, JARS)])
    validator = jpype.JClass("com.pixelmed.validate.DicomSRValidator")()
    print(json.dumps([str(validator.validate(path)).splitlines() for path in paths]))


if __name__ == "__main__":
    _main(sys.argv[1:])
