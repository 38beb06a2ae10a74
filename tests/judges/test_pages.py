"""Chromium opens pages: nothing is asked for, and what is drawn lies where it is."""

import base64
import functools
import http.server
import io
import pathlib
import subprocess
import threading
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from spectjax.imaging.problems import Problems
from spectjax.imaging.thorax import CropTransform, ThoraxImage
from spectjax.inference import asking
from spectjax.inference.trained import TrainedModel
from spectjax.pages.explained import show_explained_scan
from spectjax.pages.folder import PageFolder
from spectjax.pages.writing import STATEMENT
from spectjax.tasks.views import Finding
from tests.support.judge_tools import BROWSER, need
from tests.support.tiny_scans import ask, make_scan

pytestmark = pytest.mark.judge
HW = (1024, 256)
CROP = (200, 60, 360, 190)
DIGEST = "0123456789abcdef" * 4
INFO = {
    "model": "unet_res",
    "parameters_sha256": DIGEST,
    "trained_on_regions": "whole_body",
}
# Rows and columns of the frame: at the left of the image, and a smaller one below.
LEFT, BELOW = (slice(230, 250), slice(70, 82)), (slice(300, 306), slice(120, 130))
# The middles of squares of 5 pixels, which tell where a canvas shows the frame.
POINTS = ((100, 20), (900, 230))
ASPECT = 2.0 / 2.5  # width of a pixel over its height
NAME = "50% #1?<i>&.dcm"
NOTE = "</script><img src=x onerror=alert(1)>"


def make_counts(view):
    counts = np.zeros(HW, np.float32)
    counts[150:800, 40:216] = 2
    counts[0, 0] = 1000
    for row, column in POINTS:
        counts[row - 2 : row + 3, column - 2 : column + 3] = 1000
    # As seen from the front, the same place in both views.
    column = 90 if view == "anterior" else HW[1] - 1 - 90
    counts[500:503, column - 1 : column + 2] = 1000
    return counts


def crop(scan):
    flags = ("no neck",) * (scan.path.name == "doubt.dcm")
    transform = CropTransform(CROP, HW)
    return ThoraxImage(transform.apply(scan.counts), scan, transform, None, flags, None)


def mark(counts):
    probs = np.zeros((1, 256, 256, 2), np.float32)
    frame = np.zeros(HW, np.float32)
    if counts.max() > 1:
        frame[LEFT], frame[BELOW] = 0.75, 0.6875
    probs[0, :, :, 1] = CropTransform(CROP, HW).apply(frame)
    probs[..., 0] = 1 - probs[..., 1]
    return probs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pages of a study of two views, whose file has an awkward name, and of another."""
    out = tmp_path_factory.mktemp("out")
    patch = pytest.MonkeyPatch()
    patch.setattr(asking, "crop_thorax", crop)
    patch.setattr(Finding, "save_picture", lambda *_: None)
    model = TrainedModel(mark, INFO, "segmentation", (256, 256))
    views = ("anterior", "posterior")
    study = [
        make_scan(
            f"a/{NAME}", counts=make_counts(v), view=v, image_key=v, notes=(NOTE,)
        )
        for v in views
    ]
    other = [make_scan("b.dcm", counts=make_counts("anterior"))]
    doubted = [make_scan("doubt.dcm", counts=make_counts("anterior") / 2)]
    pages = PageFolder(out / "pages", Problems(out), [])
    examinations = [study, other, doubted]
    assert ask(model, examinations, out, products=[pages]) == (4, 0, 0)
    patch.undo()
    document = {
        "source": doubted[0].to_json(),
        "category": "metastasis",
        "probability": 0.75,
        "method": "Grad-CAM",
        "map": {
            "hw": [2, 2],
            "cell_px": [128, 128],
            "thorax": [0, 0, 256, 256],
            "values": [[0.0, 1.0], [0.0, 0.0]],
        },
        "warnings": [],
    }
    explained = PageFolder(out / "explained", Problems(out), [])
    explained.begin("classification", INFO)
    view = show_explained_scan(crop(doubted[0]), "map", document)
    explained.add("map", [view], (), "explain", pathlib.Path("map"))
    return out


@pytest.fixture(scope="module")
def browser():
    need(*BROWSER)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser):
    """Opens a page and, at the end, checks that it met no error and asked nobody."""
    asked, errors, contexts = [], [], []

    def open_page(path, script=None, **options):
        size = {"width": 1700, "height": 1900}  # pixels of more than one on the screen
        context = browser.new_context(viewport=size, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        if script:
            page.add_init_script(script)
        page.goto(path.as_uri())
        if options.get("java_script_enabled", True) and path.stem != "index":
            page.wait_for_selector("body[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.fixture
def study(show, folder):
    (path,) = (folder / "pages").glob("50*.html")
    page = show(path)
    assert page.evaluate("document.body.dataset.ready") == "yes"
    return page


def read_canvas(page, number):
    """The pixels of a view's canvas, (rows, columns, 3), drawn to the last change."""
    page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
    )
    url = page.evaluate(
        "(i) => document.querySelectorAll('canvas')[i].toDataURL()", number
    )
    png = io.BytesIO(base64.b64decode(url.partition(",")[2]))
    return np.asarray(Image.open(png).convert("RGB")).astype(int)


def find_colour(canvas, colour, near=60):
    """Rows and columns of a canvas that have a colour, (N, 2)."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return np.argwhere(np.abs(canvas - rgb).max(axis=2) < near)


def locate_frame(page, number):
    """Scale and start of the frame on a canvas, by its squares: rows, columns."""
    page.locator("#outlines").uncheck()
    dark = read_canvas(page, number)[:, :, 0] < 128
    page.locator("#outlines").check()
    height, width = dark.shape
    places = []
    for row, column in POINTS:
        # A few screen pixels around where a whole image must have it.
        scale = 0.96 * min(height / HW[0], width / HW[1] / ASPECT)
        y = height / 2 + (row + 0.5 - HW[0] / 2) * scale
        x = width / 2 + (column + 0.5 - HW[1] / 2) * scale * ASPECT
        top, left = int(y) - 6, int(x) - 6
        spot = np.argwhere(dark[top : top + 13, left : left + 13])
        assert len(spot), "the square is not where a whole image has it"
        places.append(spot.mean(axis=0) + (top + 0.5, left + 0.5))
    scale = (places[1] - places[0]) / np.subtract(POINTS[1], POINTS[0])
    return scale, places[0] - scale * (np.array(POINTS[0]) + 0.5)


def test_the_list_has_a_row_for_each_outline(study):
    rows = [text.split() for text in study.locator("#marks tbody tr").all_inner_texts()]
    area = [20 * 12 * 2.5 * 2, 6 * 10 * 2.5 * 2]
    assert [(row[0], row[1], row[2], float(row[3])) for row in rows] == [
        (f"{letter}{n + 1}", view, ("0.75", "0.69")[n], area[n])
        for letter, view in (("A", "anterior"), ("P", "posterior"))
        for n in range(2)
    ]


def test_rows_are_reached_by_tab_and_chosen_by_enter(study):
    before = [read_canvas(study, i) for i in range(2)]
    for _ in range(30):
        study.keyboard.press("Tab")
        if study.evaluate("document.activeElement.tagName") == "TR":
            break
    study.keyboard.press("Enter")
    rows = study.locator("#marks tbody tr")
    assert rows.first.get_attribute("aria-selected") == "true"
    style = "getComputedStyle(document.activeElement).outlineWidth"
    assert study.evaluate(style) == "3px"
    after = [read_canvas(study, i) for i in range(2)]
    assert (before[0] != after[0]).any() and (before[1] == after[1]).all()
    study.keyboard.press("ArrowDown")
    study.keyboard.press("Enter")
    chosen = rows.evaluate_all("rows => rows.map(r => r.ariaSelected)")
    assert chosen == ["false", "true", "false", "false"]
    study.keyboard.press("Escape")
    assert rows.nth(1).get_attribute("aria-selected") == "false"


@pytest.mark.parametrize("number", [0, 1])
def test_a_click_on_an_outline_chooses_its_row(study, number):
    scale, start = locate_frame(study, number)
    y, x = start + scale * (303, 125)
    study.locator("canvas").nth(number).click(position={"x": x, "y": y})
    row = study.locator("#marks tbody tr").nth(2 * number + 1)
    assert row.get_attribute("aria-selected") == "true"


@pytest.mark.parametrize("number", [0, 1])
def test_a_one_sided_mask_is_drawn_where_it_is(study, number):
    scale, start = locate_frame(study, number)
    places = find_colour(read_canvas(study, number), "#b34700")
    y0, x0 = start + scale * (LEFT[0].start - 5, LEFT[1].start - 5)
    y1, x1 = start + scale * (LEFT[0].stop + 5, LEFT[1].stop + 3)
    inside = (places > (y0, x0)).all(axis=1) & (places < (y1, x1)).all(axis=1)
    (top, left), (bottom, right) = (
        (places[inside].min(axis=0) - start) / scale,
        (places[inside].max(axis=0) + 1 - start) / scale,
    )
    expected = (LEFT[0].start, LEFT[1].start, LEFT[0].stop, LEFT[1].stop)
    # Half of the line's width, 1.5 screen pixels, lies outside.
    high, wide = 0.75 / scale
    found = np.array((top + high, left + wide, bottom - high, right - wide))
    np.testing.assert_allclose(found, expected, atol=1)
    # Nothing of it at the other side of the patient.
    mirrored = (places[:, 1] - start[1]) / scale[1] > HW[1] - LEFT[1].stop
    assert not mirrored.any()


def test_controls_change_what_is_drawn(study):
    seen = [read_canvas(study, 0)]
    for act in (
        lambda: study.locator("#white").fill("60"),
        lambda: study.keyboard.press("["),
        lambda: study.locator("#inverse").uncheck(),
        lambda: study.locator("#outlines").uncheck(),
        lambda: study.locator("#in").click(),
        lambda: study.locator("#crop").click(),
        lambda: study.locator("#body").click(),
    ):
        act()
        seen.append(read_canvas(study, 0))
    assert all((a != b).any() for a, b in zip(seen, seen[1:], strict=False))
    inverse, plain = (seen[i][:, :, 0] for i in (2, 3))
    middle = (slice(900, 1000), slice(200, 300))
    assert abs((inverse + plain)[middle] - 255).max() <= 1


def find_dark(canvas, y, x):
    """The middle of what is dark on a canvas within 40 pixels, from (y, x)."""
    top, left = int(y) - 40, int(x) - 40
    dark = np.argwhere(canvas[top : top + 80, left : left + 80, 0] < 128)
    assert 0 < len(dark) < 1000
    return dark.mean(axis=0) + (top + 0.5 - y, left + 0.5 - x)


def test_views_are_linked_by_rows_and_mirrored_columns(study):
    scale, start = locate_frame(study, 0)
    study.locator("#white").fill("500")  # or all of the body is black
    y, x = start + scale * (501.5, 90.5)
    canvas = study.locator("canvas").first
    canvas.hover(position={"x": x, "y": y})
    for _ in range(4):
        study.mouse.wheel(0, -100)
    # What the wheel turned over stays where it is, and so in the other view.
    height, width = read_canvas(study, 0).shape[:2]
    places = ((y, x), (y, width - x))
    for number, place in enumerate(places):
        found = find_dark(read_canvas(study, number), *place)
        # A pointer is at a whole pixel, and half a pixel was enlarged 2.7 times.
        np.testing.assert_allclose(found, 0, atol=2)
    # Dragged in one, both move; apart, one.
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for linked in (True, False):
        study.locator("#link").set_checked(linked)
        before = [find_dark(read_canvas(study, i), *places[i]) for i in range(2)]
        study.mouse.move(x, y)
        study.mouse.down()
        study.mouse.move(x + 10, y + 6, steps=4)
        study.mouse.up()
        after = [find_dark(read_canvas(study, i), *places[i]) for i in range(2)]
        other = (6, -10) if linked else (0, 0)
        moved = np.subtract(after, before)
        np.testing.assert_allclose(moved, [(6, 10), other], atol=1)


def test_keys_zoom_and_move_and_go_back(study):
    looks = [study.evaluate("JSON.stringify(state.looks)")]
    study.locator("canvas").nth(1).focus()
    for key in ("+", "ArrowRight", "ArrowDown", "-", "f", "0"):
        study.keyboard.press(key)
        looks.append(study.evaluate("JSON.stringify(state.looks)"))
    assert all(a != b for a, b in zip(looks, looks[1:], strict=False))
    assert looks[0] == looks[-1]


def test_sides_are_those_of_the_view(study):
    said = study.evaluate(
        """() => panes.map((pane) => {
          const texts = [], c = pane.canvas.getContext("2d"), fill = c.fillText;
          c.fillText = (text, x) => texts.push([text, x < pane.canvas.width / 2]);
          pane.draw(state);
          c.fillText = fill;
          return texts.filter(([text]) => "LR".includes(text));
        })"""
    )
    assert said == [[["R", True], ["L", False]], [["L", True], ["R", False]]]
    captions = study.locator("figcaption").all_inner_texts()
    assert "as recorded; patient's right side at the left" in captions[0]
    assert "as recorded; patient's left side at the left" in captions[1]


def test_names_are_shown_as_they_are(study):
    assert study.locator("h1").inner_text() == NAME
    assert study.locator("i").count() == 0
    assert study.locator("img").count() == 0
    assert NOTE in study.locator("#doubts").inner_text()
    labels = study.evaluate(
        """[...document.querySelectorAll("input, button, canvas, tbody tr")].map(
          (e) => (e.labels && e.labels[0] || e).textContent.trim() || e.ariaLabel)"""
    )
    assert all(labels)


def test_paper_has_statement_and_digest_on_each_sheet(study, tmp_path):
    need("pdfinfo")
    study.locator("#inverse").uncheck()
    study.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True, format="A4")
    command = ["pdftotext", "-layout", str(tmp_path / "page.pdf"), "-"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    sheets = text.split("\f")[:-1]
    assert sheets
    for sheet in sheets:
        flat = "".join(sheet.split())
        assert "".join(STATEMENT.split()) in flat and DIGEST in flat
    # Black on white, whatever the screen had, and so again afterwards.
    command = ["pdftoppm", "-r", "40", "-gray", "-png", "-singlefile"]
    subprocess.run([*command, tmp_path / "page.pdf", tmp_path / "sheet"], check=True)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert np.mean(sheet > 200) > 0.8
    assert not study.evaluate("state.inverse")
    assert read_canvas(study, 0)[0, 0, 0] == 0


def test_without_decompression_the_page_says_so(show, folder):
    (path,) = (folder / "pages").glob("50*.html")
    page = show(path, script="delete window.DecompressionStream")
    assert "this browser cannot unpack" in page.locator("#status").inner_text()
    assert page.locator("#marks tbody tr").count() == 4
    assert page.locator("canvas").count() == 0


def test_without_scripts_the_page_says_so(show, folder):
    (path,) = (folder / "pages").glob("50*.html")
    page = show(path, java_script_enabled=False)
    said = page.locator("body").inner_text()
    assert "That is no reading" in said and STATEMENT in said


def test_the_index_leads_to_each_study(show, folder):
    page = show(folder / "pages" / "index.html")
    assert STATEMENT in page.locator("body").inner_text()
    links = page.locator("tbody a")
    assert links.all_inner_texts()[0] == "doubt.dcm"
    assert sorted(links.all_inner_texts()[1:]) == [NAME, "b.dcm"]
    page.get_by_text(NAME).first.click()
    page.wait_for_selector("body[data-ready=yes]")
    assert NAME.removesuffix(".dcm") in unquote(page.url)


def test_nothing_marked_in_a_crop_in_doubt_is_no_reading(show, folder):
    page = show(folder / "pages" / "doubt_anterior.html")
    said = page.locator("#result").inner_text()
    assert "THE CROP IS IN DOUBT. This is no reading of the view." in said
    assert "No region marked" in said and page.locator("#marks").count() == 0
    assert "Crop flagged: no neck" in page.locator("#doubts").inner_text()
    assert "No posterior view was read" in page.locator("#read").inner_text()
    assert page.locator("#badges").inner_text() == "CROP IN DOUBT"


def test_a_map_is_a_layer_in_its_place(show, folder):
    page = show(folder / "explained" / "map.html")
    assert page.locator("#badges").inner_text() == "CROP IN DOUBT"
    scale, start = locate_frame(page, 0)
    with_map = read_canvas(page, 0)
    page.locator("#map").uncheck()
    changed = np.argwhere((with_map != read_canvas(page, 0)).any(axis=2))
    # The crop lies in the middle of the canvas: row 280, column 125 of the frame.
    (top, left), (bottom, right) = (
        (changed.min(axis=0) - start) / scale,
        (changed.max(axis=0) + 1 - start) / scale,
    )
    np.testing.assert_allclose((top, left, bottom), (152, 125, 280), atol=1)
    assert right == pytest.approx(253, abs=1)


def test_a_server_is_asked_for_the_page_alone(browser, folder):
    asked = []

    class Recorder(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    handler = functools.partial(Recorder, directory=folder / "pages")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/b_anterior.html")
        page.wait_for_selector("body[data-ready=yes]")
        context.close()
        server.shutdown()
        thread.join()
    assert asked == ["/b_anterior.html"]
