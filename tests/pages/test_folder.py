"""Tests of `spectjax.pages`: pages of `predict --html` and their index."""

import base64
import hashlib
import pathlib
import re
from urllib.parse import unquote

import numpy as np
import pytest

from spectjax.imaging.problems import Problems, drop_folders
from spectjax.inference import asking
from spectjax.inference.trained import TrainedModel
from spectjax.pages.folder import PageFolder
from spectjax.pages.index import rank, read_row
from spectjax.pages.study import Row
from spectjax.pages.writing import STATEMENT
from spectjax.tasks.views import Finding
from tests.support.page_files import Page, unpack
from tests.support.tiny_scans import (
    MODEL_INFO,
    SMALL_CROP,
    ask,
    crop_stub,
    make_scan,
    predict_probs,
    read_json,
)

pytestmark = SMALL_CROP
BAD = "<script>alert(1)<!--<img src=x onerror=alert(1)>${data}\u202e&\"'.dcm"


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch):
    """Pages need none, and each takes a fifth of a second."""
    monkeypatch.setattr(Finding, "save_picture", lambda *_: None)


def write_pages(examinations, output_dir, *, info=None, task="segmentation"):
    """Asks a model about examinations, with pages; returns what was passed over."""
    predict = predict_probs
    if task == "classification":
        predict = lambda counts: np.array([[0.25, 0.75]], np.float32)  # noqa: E731
    model = TrainedModel(predict, info or MODEL_INFO, task, (8, 8))
    files = [scan.path for scans in examinations for scan in scans]
    pages = PageFolder(output_dir / "pages", Problems(output_dir), files)
    return ask(model, examinations, output_dir, products=[pages])


def make_pair(path="a/IM1.dcm", key="ab"):
    anterior = make_scan(path, image_key=key * 8)
    return [
        make_scan(path, image_key=key[::-1] * 8, view="posterior", frame=2),
        anterior,
    ]


def test_a_page_holds_counts_and_documents_as_they_are(tmp_path):
    pair = make_pair()
    assert write_pages([pair], tmp_path) == (2, 0, 0)
    assert sorted(p.name for p in (tmp_path / "pages").iterdir()) == [
        "IM1_anterior.html",
        "index.html",
    ]
    views = Page(tmp_path / "pages" / "IM1_anterior.html").read_data()["views"]
    assert [view["view"] for view in views] == ["anterior", "posterior"]
    for view, scan in zip(views, pair[::-1], strict=True):
        np.testing.assert_array_equal(unpack(view["counts"]), scan.counts)
        assert view["document"] == read_json(tmp_path / f"{view['name']}.json")
        assert view["crop"] == [3, 1, 9, 5]


def test_counts_that_are_no_whole_numbers_are_not_rounded(tmp_path):
    counts = (np.random.default_rng(0).poisson(5, (12, 6)) * 0.37).astype(np.float32)
    write_pages([[make_scan(counts=counts)]], tmp_path)
    data = Page(tmp_path / "pages" / "IM1_anterior.html").read_data()
    np.testing.assert_array_equal(unpack(data["views"][0]["counts"]), counts)


def test_names_cannot_break_out_of_a_page(tmp_path):
    write_pages([[make_scan()]], tmp_path / "tame")
    info = MODEL_INFO | {"model": "</style><script>alert(2)</script>", "data": "<!--"}
    note = "</title></script><script>alert(3)</script>"
    scan = make_scan(f"a/{BAD}", notes=(note,))
    write_pages([[scan]], tmp_path / "wild", info=info)
    for name in ("*_anterior.html", "index.html"):
        (tame,), (wild,) = (
            list((tmp_path / each / "pages").glob(name)) for each in ("tame", "wild")
        )
        pages = Page(tame), Page(wild)
        # The policy names digests, a link its page: all else is the same.
        shapes = [
            [
                (tag, {**attrs, "content": "", "href": ""})
                for tag, attrs in page.elements
            ]
            for page in pages
        ]
        assert shapes[0] == shapes[1]
    page = Page(next((tmp_path / "wild" / "pages").glob("*_anterior.html")))
    assert page.list_texts("h1") == [BAD.replace("\u202e", "\\u202e")]
    (view,) = page.read_data()["views"]
    assert view["document"]["source"]["notes"] == [note]


@pytest.mark.parametrize("name", ["IM1_anterior.html", "index.html"])
def test_a_page_allows_what_it_holds_and_asks_for_nothing(tmp_path, name):
    write_pages([make_pair()], tmp_path)
    path = tmp_path / "pages" / name
    page = Page(path)
    tags = [tag for tag, _ in page.elements]
    (policy,) = [
        attrs["content"]
        for tag, attrs in page.elements
        if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    for kind, texts in (
        ("style", page.list_texts("style")),
        ("script", [page.list_texts("script")[-1]] if name != "index.html" else []),
    ):
        digests = [hashlib.sha256(text.encode()).digest() for text in texts]
        named = [f"'sha256-{base64.b64encode(each).decode()}'" for each in digests]
        assert rules.get(f"{kind}-src", "").split() == named
    assert tags.index("meta") < tags.index("style")
    text = path.read_text()
    assert "://" not in text
    assert not re.search(r"(src|href)=\"(?!data:,|\./)", text)
    assert STATEMENT in page.list_texts("p", role="note")


def test_a_page_says_what_was_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(asking, "crop_thorax", crop_stub(("no neck",)))
    write_pages([[make_scan()]], tmp_path)
    data = Page(tmp_path / "pages" / "IM1_anterior.html").read_data()
    assert data["limits"][0] == "No posterior view was read: nothing is said of it."
    assert "dashed frame" in data["limits"][1]
    assert data["views"][0]["in_doubt"]
    assert "this is no reading of the view" in data["views"][0]["document"]["statement"]
    assert "crop in doubt: no reading" in (tmp_path / "pages/index.html").read_text()


def test_what_was_passed_over_is_told_without_folders(tmp_path):
    folder = tmp_path / "Mr Smith: 1950"
    folder.mkdir()
    (folder / "x.dcm").write_text("")
    said = [
        f"{folder}/x.dcm: expected 64x32 or more, found 3 mm/px.",
        f"{folder}/gone.dcm: the same as in {folder}/x.dcm.",
        "old/Ms Doe/y.dcm: no body. See old/Ms Doe/y.dcm",
        "z.dcm: no body",
    ]
    assert drop_folders(said, [folder, pathlib.Path()]) == [
        "x.dcm: expected 64x32 or more, found 3 mm/px.",
        "gone.dcm: the same as in x.dcm.",
        "y.dcm: no body. See y.dcm",
        "z.dcm: no body",
    ]


def test_a_label_of_a_classifier_is_shown_as_it_is_worded(tmp_path):
    write_pages([[make_scan()]], tmp_path, task="classification")
    page = tmp_path / "pages" / "IM1_anterior.html"
    row = read_row(page)
    assert row.found == "metastasis, P(metastasis) 0.750"
    assert row.doubt == pytest.approx(0.25)
    document = Page(page).read_data()["views"][0]["document"]
    assert document["diagnosis"]["label"] == "metastasis"


def make_row(title, in_doubt, doubt):
    return Row(title, ["k"], ["anterior"], "", in_doubt, doubt, 0, 0, False, *"mcw")


def test_the_most_doubtful_stand_first():
    rows = {
        "a": make_row("a", False, 0.5),
        "b": make_row("b", True, 0.1),
        "c": make_row("c", False, 3.0),
        "d": make_row("d", True, 2.0),
        "e": make_row("e", False, None),
    }
    assert [name for name, _ in rank(rows)] == ["d", "b", "e", "c", "a"]


def list_links(output_dir):
    text = (output_dir / "pages" / "index.html").read_text()
    this, _, earlier = text.partition("Earlier runs")
    return [re.findall(r'href="\./([^"]*)"', part) for part in (this, earlier)]


def test_pages_of_earlier_runs_are_kept_apart(tmp_path):
    write_pages([make_pair("a/old one.dcm", "cd")], tmp_path)
    pages = tmp_path / "pages"
    (pages / "strange.html").write_text("<html>")
    (pages / "cut.html").write_bytes(
        (pages / "old one_anterior.html").read_bytes()[:99]
    )
    write_pages([make_pair()], tmp_path)
    assert list_links(tmp_path) == [["IM1_anterior.html"], ["old%20one_anterior.html"]]
    text = (pages / "index.html").read_text()
    assert "2 other HTML files in this folder" in text
    # Once read again, a page is of this run.
    write_pages([make_pair("a/old one.dcm", "cd")], tmp_path)
    links = list_links(tmp_path)
    assert links == [["old%20one_anterior.html"], ["IM1_anterior.html"]]
    assert all((pages / unquote(name)).is_file() for (name,) in links)


def test_an_earlier_page_of_images_that_were_read_again_says_so(tmp_path):
    posterior, anterior = make_pair()
    write_pages([[posterior]], tmp_path)
    write_pages([[posterior, anterior]], tmp_path)
    assert list_links(tmp_path) == [["IM1_anterior.html"], ["IM1_posterior.html"]]
    text = (tmp_path / "pages" / "index.html").read_text()
    assert text.count("its images were read again in this run") == 1


@pytest.mark.parametrize("content", ["notes of a reader", None])
def test_a_page_replaces_none_but_its_own(tmp_path, content, capsys):
    write_pages([[make_scan(image_key="ef" * 8)]], tmp_path)
    page = tmp_path / "pages" / "IM1_anterior.html"
    if content is not None:
        page.write_text(content)
    before = page.read_bytes()
    (tmp_path / "IM1_anterior.json").unlink()  # which else gives another name
    assert write_pages([[make_scan()]], tmp_path)[1] == 1
    assert page.read_bytes() == before
    assert "found" in capsys.readouterr().err


def test_the_index_names_what_this_run_could_not_use(tmp_path):
    problems = Problems(tmp_path)
    pages = PageFolder(tmp_path / "pages", problems, [])
    model = TrainedModel(predict_probs, MODEL_INFO, "segmentation", (8, 8))
    ask(model, [[make_scan()]], tmp_path, products=[pages])
    problems.told.append("ward 3/<b>.dcm: no body")
    pages.finish()
    text = (tmp_path / "pages" / "index.html").read_text()
    assert "<li>&lt;b&gt;.dcm: no body</li>" in text
    assert "1 file or view could not be used" in text


def test_a_row_with_foreign_values_is_no_row(tmp_path):
    write_pages([[make_scan()]], tmp_path)
    page = tmp_path / "pages" / "IM1_anterior.html"
    assert read_row(page) is not None
    page.write_text(page.read_text().replace('"doubt":', '"doubt":"x","doubts":', 1))
    assert read_row(page) is None
