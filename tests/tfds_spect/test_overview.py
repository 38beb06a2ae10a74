"""The overview of a data set, against numbers counted by hand."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from tests.support.data_sets import MOVED, make_image, write_data_set
from tfds_spect.contact_sheet import IMAGES_PER_PAGE, choose_images, draw_page
from tfds_spect.duplicates import find_near_duplicates
from tfds_spect.errors import PrepareError
from tfds_spect.overview import write_overview
from tfds_spect.summary import draw_summary, find_faults, write_summary
from tfds_spect.survey import measure_lesions, survey_data_set


def draw_counts(seed):
    """Poisson counts around 10, so that no two images are alike."""
    counts = np.zeros((256, 256), np.uint16)
    counts[60:190, 70:180] = np.random.default_rng(seed).poisson(10, (130, 110))
    return counts


def write(folder, examples, **options):
    """Writes (split, example) pairs."""
    content = {}
    for split, example in examples:
        content.setdefault(split, []).append(example)
    return write_data_set(folder, content, **options)


EXAMPLES = [
    ("fold0", make_image("aaaa", counts=draw_counts(1), masks=[(80, 85, 84, 90)])),
    (
        "fold0",
        make_image(
            "aaaa",
            view="posterior",
            counts=draw_counts(2),
            masks=[(90, 90, 92, 92), (100, 100, 110, 110)],
        ),
    ),
    ("fold0_augmented", make_image("aaaa", copy=MOVED)),
    ("fold1", make_image("bbbb", fold=1, diagnosis="normal", counts=draw_counts(3))),
    (
        "fold1",
        make_image(
            "cccc",
            fold=1,
            counts=draw_counts(4),
            masks=[(70, 70, 170, 170)],
            evidence="boxes",
            spacing_mm=(np.nan, np.nan),
        ),
    ),
]


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data"), EXAMPLES)


@pytest.fixture(scope="module")
def survey(data_set):
    return survey_data_set(data_set)


def row_of(page, name):
    """Cells of the first row of a table with this name."""
    line = next(x for x in page.splitlines() if x.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def texts_of(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def test_a_lesion_is_measured_in_pixels_and_millimetres_and_against_the_body():
    counts = np.zeros((9, 9), np.uint16)
    counts[:, :5] = 4  # 45 pixels
    counts[2, 1:4] = 6, 9, 15
    mask = np.zeros((1, 9, 9), np.uint8)
    mask[0, 2, 1:4] = 1
    (lesion,) = measure_lesions(counts, mask, (2.0, 2.5))
    assert (lesion.area_px, lesion.area_mm2, lesion.contrast) == (3, 15.0, 2.5)
    (lesion,) = measure_lesions(counts, mask, None)
    assert lesion.area_mm2 is None


def test_patients_images_copies_and_classes_are_counted(survey):
    page = write_summary(survey, [])
    header = row_of(page, "")  # the first table's
    assert header == [
        *("patients", "originals", "normal", "multiple bone metastasis"),
        *("abnormal", "copies"),
    ]
    assert row_of(page, "fold0") == ["1", "2", "0 + 0", "1 + 1", "100%", "1"]
    assert row_of(page, "fold1") == ["2", "2", "1 + 0", "1 + 0", "50%", "0"]
    assert row_of(page, "all") == ["3", "4", "1 + 0", "2 + 1", "75%", "1"]
    assert "outlines (3), boxes (1)" in page
    assert "None of the 3 patients is in more than one fold." in page


def test_values_are_of_originals_and_not_of_filled_boxes(survey):
    page = write_summary(survey, [])
    # Areas 20, 4 and 100 px; 2.0 x 2.5 mm each.
    assert row_of(page, "area of a lesion, px")[:4] == ["3", "4", "5.6", "20"]
    assert row_of(page, "area of a lesion, mm2")[3::2] == ["100", "500"]
    assert row_of(page, "lesions of an abnormal image") == [
        *("2", "1", "1.05", "1.5", "1.95", "2")
    ]
    assert row_of(page, "spacing of columns, mm")[:2] == ["3", "2.5"]
    assert row_of(page, "rows of the crop, px")[:2] == ["4", "130"]


def test_the_page_says_what_the_data_are(survey):
    page = write_summary(survey, [])
    assert "SYNTHETIC" in page
    assert "not a medical device" in page
    assert "LEAKING" not in page and "FAULT" not in page
    figure = draw_summary(survey)
    assert isinstance(figure, Figure)
    assert any("SYNTHETIC" in text for text in texts_of(figure))


def test_an_acquisition_under_two_patients_in_two_folds_fails_loudly(tmp_path):
    twin = make_image("dddd", fold=1, counts=draw_counts(1)[:, ::-1])
    data_set = write(tmp_path / "data", [*EXAMPLES, ("fold1", twin)])
    command = [sys.executable, "-m", "tfds_spect.overview", f"--dataset={data_set}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("FAULT: ")]
    assert "1 pair of duplicate images across folds" in line
    assert "aaaa_anterior" in line and "dddd_anterior" in line
    output_dir = data_set.with_name("2.0.0_overview")
    page = (output_dir / "overview.md").read_text()
    assert page in done.stdout
    assert f"**{line}**" in page
    assert "| 1.00 | same counts |" in page


def test_a_duplicate_within_a_fold_is_listed_and_no_fault(tmp_path):
    twin = make_image("dddd", counts=np.roll(draw_counts(1), (9, 4), axis=(0, 1)))
    data_set = write(tmp_path / "data", [*EXAMPLES, ("fold0", twin)])
    survey = survey_data_set(data_set)
    (pair,) = duplicates = find_near_duplicates(survey.images)
    assert pair.second.startswith("dddd")
    assert find_faults(survey, duplicates) == []
    assert "same counts" in write_summary(survey, duplicates)


def test_a_patient_in_two_folds_is_a_fault_even_by_a_copy(tmp_path):
    stray = make_image("bbbb", view="posterior", copy=MOVED)
    data_set = write(tmp_path / "data", [*EXAMPLES, ("fold0_augmented", stray)])
    (fault,) = find_faults(survey_data_set(data_set), [])
    assert "1 patient in more than one fold, such as bbbb" in fault


def test_a_leaking_data_set_is_marked_with_its_patients_on_both_sides(tmp_path):
    folds = {"fold0": "train", "fold0_augmented": "test", "fold1": "test"}
    scaled = [
        (folds[split], {**x, "image": (x["image"] / 65535).astype(np.float32)})
        for split, x in EXAMPLES
    ]
    data_set = write(tmp_path / "data", scaled, leaking=True)
    survey = survey_data_set(data_set)
    assert find_faults(survey, []) == []
    page = write_summary(survey, [])
    assert "LEAKING" in page
    assert "1 of 3 patients stand on both sides" in page
    assert row_of(page, "test") == ["3", "2", "1 + 0", "1 + 0", "50%", "1"]
    assert row_of(page, "counts in the crop")[0] == "0"
    sheet = draw_page(survey.images[:1], data_set="x", page="page 1", leaking=True)
    for figure in (sheet, draw_summary(survey)):
        assert any("LEAKING" in text for text in texts_of(figure))


def test_a_page_shows_each_image_with_its_outlines_boxes_and_labels(survey):
    figure = draw_page(survey.images, data_set="x", page="page 1", leaking=False)
    assert len(figure.axes) == 4
    texts = texts_of(figure)
    assert sum("SYNTHETIC" in text for text in texts) == 5  # images and page
    for image, axes in zip(survey.images, figure.axes, strict=True):
        title = axes.get_title(loc="left")
        assert image.patient in title and image.diagnosis in title
        assert image.view in title and image.part in title
        assert len(axes.collections) == len(image.lesions)
        assert len(axes.patches) == len(image.lesions)
    assert "mask: boxes" in "".join(texts)
    # The box of a lesion on rows 80 to 83, columns 85 to 89.
    (box,) = figure.axes[0].patches
    assert box.get_bbox().bounds == (84.5, 79.5, 5, 4)


def test_few_pages_show_images_from_everywhere():
    images = list(range(1000))
    pages = choose_images(images, 2)
    assert [len(page) for page in pages] == [IMAGES_PER_PAGE] * 2
    shown = [image for page in pages for image in page]
    gaps = np.diff([*shown, 1000])
    assert set(gaps.tolist()) <= {13, 14} and shown[0] == 0
    assert [len(page) for page in choose_images(images[:40], 9)] == [36, 4]


def test_files_are_written_and_old_pages_removed(data_set, tmp_path):
    (tmp_path / "contact_sheet_07.png").write_bytes(b"of another data set")
    assert write_overview(data_set, tmp_path, max_pages=3) == []
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["contact_sheet_01.png", "overview.md", "overview.png"]
    with Image.open(tmp_path / "contact_sheet_01.png") as sheet:
        assert min(sheet.size) > 1000


def test_a_data_set_without_diagnoses_is_refused(data_set, tmp_path):
    for path in data_set.iterdir():
        text = path.read_bytes().replace(b"diagnosis", b"dIagnosis")
        (tmp_path / path.name).write_bytes(text)
    with pytest.raises(PrepareError, match=r"expected version 2\.0\.0 or later"):
        survey_data_set(tmp_path)
