"""The pages about DICOM results name codes and tests that there are."""

import pathlib
import re

from pydicom.sr.coding import Code

from spectjax.dicom_results import codes

ROOT = pathlib.Path(__file__).parents[2]


def test_each_row_of_the_checklist_names_tests_that_there_are():
    page = (ROOT / "docs" / "ihe_ai_results.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    texts = [file.read_text() for file in ROOT.glob("tests/**/test_*.py")]
    there = {
        name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.M)
    }
    assert len(named) > 12 and named <= there


def test_a_row_without_a_test_says_why():
    page = (ROOT / "docs" / "ihe_ai_results.md").read_text()
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line[:2] == "| "]
    for requirement, _, here, held in rows[1:]:
        told = re.match(r" (no\b|not here|\*\*unknown|any run|yes, by hand)", here)
        assert "`test_" in held or told, requirement


def test_the_page_lists_the_local_codes_and_their_meanings():
    page = (ROOT / "docs" / "dicom_results.md").read_text()
    local = [each for each in vars(codes).values() if isinstance(each, Code)]
    local = [each for each in local if each.scheme_designator == codes.SCHEME]
    assert len(local) == len({each.value for each in local}) == 27
    for code in local:
        assert re.search(rf"[|;] {re.escape(code.meaning)} ?[|;]", page), code
        assert code.value in page or f"-{code.value[3:]}" in page
        assert len(code.meaning) <= 64
