"""Studies for all judges, and what each judge took."""

import collections
import pathlib

import pytest

from tests.support.judged_studies import LAYOUTS, write_study


@pytest.fixture(scope="session")
def studies(tmp_path_factory):
    """The studies of all layouts by name; no test writes to them."""
    folder = tmp_path_factory.mktemp("studies")
    return {
        name: write_study(folder / name.replace(" ", "_").replace(",", ""), layout)
        for name, layout in LAYOUTS.items()
    }


def pytest_terminal_summary(terminalreporter):
    """Prints the seconds that each file of judges took."""
    if terminalreporter.config.option.markexpr != "judge":
        return
    seconds = collections.Counter()
    for report in sum(terminalreporter.stats.values(), []):
        if not isinstance(report, pytest.TestReport):
            continue
        path = pathlib.PurePath(report.nodeid.partition("::")[0])
        if path.parent.name == "judges":
            phase = "setup" if report.when == "setup" else "tests"
            seconds[path.stem.removeprefix("test_"), phase] += report.duration
    for judge in dict.fromkeys(name for name, _ in seconds):
        setup, tests = seconds[judge, "setup"], seconds[judge, "tests"]
        terminalreporter.write_line(
            f"{judge}: {setup + tests:.1f} s, {setup:.1f} s of them to set up"
        )
