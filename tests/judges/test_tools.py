"""Tests, of the default suite, that no judge is left out in silence."""

import pathlib

import pytest

from tests.support import judge_tools
from tests.support.judge_tools import Tool, need


@pytest.fixture
def without_dciodvfy(monkeypatch):
    lost = Tool("/nowhere/dciodvfy", ("dicom3tools",))
    monkeypatch.setitem(judge_tools.TOOLS, "dciodvfy", lost)


REASON = "dciodvfy not found: apt-get install dicom3tools"


@pytest.mark.usefixtures("without_dciodvfy")
def test_a_missing_tool_is_a_skip_that_says_what_brings_it(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=REASON):
        need("dciodvfy")


@pytest.mark.usefixtures("without_dciodvfy")
def test_a_missing_tool_is_a_failure_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=REASON):
        need("dciodvfy")


def test_all_judges_have_the_mark_that_keeps_them_out_of_the_default_suite():
    for file in pathlib.Path(__file__).parent.glob("test_*.py"):
        marked = "\npytestmark = pytest.mark.judge\n" in file.read_text()
        assert marked or file.name == "test_tools.py", file
