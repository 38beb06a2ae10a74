"""Chromium shows bones where they are, and an index or why there is none."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from spectjax.bones.regions import NAMES, REGIONS, THORAX
from spectjax.imaging.problems import Problems
from spectjax.imaging.thorax import CropTransform, ThoraxImage
from spectjax.inference import asking
from spectjax.inference.trained import TrainedModel
from spectjax.pages.folder import PageFolder
from spectjax.tasks.views import Finding
from tests.support.bone_maps import BonesByHand
from tests.support.judge_tools import BROWSER, need
from tests.support.tiny_scans import MODEL_INFO, ask, make_scan, read_json

pytestmark = pytest.mark.judge
HW, CROP = (512, 256), (200, 60, 360, 190)


def draw_bones():
    """The regions of the thorax as 8 strips of 20 rows that fill the crop."""
    regions = np.zeros(HW, np.uint8)
    names = [region.name for region in REGIONS if region.kind in THORAX]
    for i, name in enumerate(names):
        top = CROP[0] + 20 * i
        regions[top : top + 20, CROP[1] : CROP[3]] = NAMES.index(name) + 1
    return regions, names


def mark(counts):
    """A hotspot of 26 columns in all rows of the third strip, a fifth of it."""
    frame = np.zeros(HW, np.float32)
    frame[240:260, 60:86] = 1
    hot = CropTransform(CROP, HW).apply(frame)
    return np.stack([1 - hot, hot], axis=-1)[np.newaxis]


def crop(scan):
    transform = CropTransform(CROP, HW)
    return ThoraxImage(transform.apply(scan.counts), scan, transform, None, (), None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pages of a study with an index, and of one of a single view, which has none."""
    out = tmp_path_factory.mktemp("out")
    model = TrainedModel(mark, MODEL_INFO, "segmentation", (256, 256))
    counts = np.full(HW, 10, np.float32)
    views = [
        make_scan("a.dcm", counts=counts, view=view, image_key=view, spacing_mm=(2, 2))
        for view in ("anterior", "posterior")
    ]
    alone = [make_scan("b.dcm", counts=counts, spacing_mm=(2, 2))]
    pages = PageFolder(out / "pages", Problems(out), [])
    finder = BonesByHand(draw_bones()[0], {"left ribs": "methods disagree"})
    sure = BonesByHand(draw_bones()[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asking, "crop_thorax", crop)
        patch.setattr(Finding, "save_picture", lambda *_: None)
        ask(model, [views], out, products=[pages], skeleton=sure)
        ask(model, [alone], out, products=[pages], skeleton=finder)
    return out


@pytest.fixture
def show(folder):
    """Opens a page and, at the end, checks that it met no error."""
    need(*BROWSER)
    from playwright.sync_api import sync_playwright

    errors = []
    with sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )

        def open_page(name):
            page = chromium.new_page(viewport={"width": 1700, "height": 1200})
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda message: errors.append(message.text))
            page.goto((folder / "pages" / f"{name}.html").as_uri())
            page.wait_for_selector("body[data-ready=yes]")
            page.locator("#body").click()
            return page

        yield open_page
        chromium.close()
    assert errors == []


def read_canvas(page):
    """The pixels of the first canvas, (rows, columns, 3)."""
    page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
    )
    url = page.evaluate("document.querySelector('canvas').toDataURL()")
    png = io.BytesIO(base64.b64decode(url.partition(",")[2]))
    return np.asarray(Image.open(png).convert("RGB")).astype(int)


def test_regions_are_drawn_where_they_are_and_can_be_switched_off(show):
    page = show("a_anterior")
    shown = read_canvas(page)
    page.locator("#bones").uncheck()
    places = np.argwhere((shown != read_canvas(page)).any(axis=2))
    y0, x0, y1, x1 = page.evaluate(
        f"[...panes[0].place({CROP[1]}, {CROP[0]}).reverse(),"
        f" ...panes[0].place({CROP[3]}, {CROP[2]}).reverse()]"
    )
    found = (*places.min(axis=0), *(places.max(axis=0) + 1))
    np.testing.assert_allclose(found, (y0, x0, y1, x1), atol=1.5)


def test_the_pointer_and_the_list_name_the_bone(show):
    page, (_, names) = show("a_anterior"), draw_bones()
    for strip in (2, 7):
        x, y = page.evaluate(f"panes[0].place(150, {CROP[0] + 20 * strip + 10})")
        page.locator("canvas").first.hover(position={"x": x, "y": y})
        assert page.inner_text("#pointer").endswith(f", {names[strip]}")
    page.locator("canvas").first.hover(position={"x": 3, "y": 3})
    row = page.locator("#marks tbody tr").first.inner_text()
    assert names[2] in row and "20.0 % of it" in row


def test_the_index_is_that_of_the_document(show, folder):
    index = read_json(folder / "a_anterior.json")["index"]
    said = show("a_anterior").inner_text("#index")
    assert f"{index['percent']:.2f} % of the skeleton's mass" in said
    assert "Spiers 1968" in said and "No volume is known" in said


def test_a_withheld_index_shows_reasons_and_no_number(show):
    page = show("b_anterior")
    said = page.inner_text("#index")
    assert "Withheld" in said and "No posterior view was read." in said
    assert "left ribs in doubt: methods disagree" in said
    assert "%" not in said and not any(sign.isdigit() for sign in said)
