"""Tests of a data set of pictures that show half a chest each."""

import numpy as np
import pytest

from tests.support.listed_tables import write_table
from tests.support.picture_files import save
from tests.support.thorax_pictures import draw_half
from tfds_spect.opening import open_data_set
from tfds_spect.prepare import prepare
from tfds_spect.reading import open_split

HEADER = "file,patient,view,label,region,spacing_mm"


@pytest.fixture
def halves(tmp_path):
    """A picture of each of six patients, two of them abnormal by their label."""
    folder = tmp_path / "halves"
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 99, (160 + number, 70))
        picture = np.where(draw_half(160 + number, 70) > 0, 9 + noise, 0)
        save(folder / f"{number}.png", picture.astype(np.uint8))
    write_table(
        folder,
        *(
            f"{number}.png,P{number},ANT,{('metastasis', 'normal')[number > 1]},"
            "chest_half,unknown"
            for number in range(6)
        ),
        header=HEADER,
    )
    return folder


def test_halves_of_chests_make_a_data_set_of_labels(halves, tmp_path):
    asked = {"data_dir": tmp_path / "data", "manual_dir": halves}
    prepared = prepare("classification_d1", processes=1, **asked)
    assert prepared.regions == {"chest_half": 6}
    line = "Images that are no whole body and are not cropped, chest_half: 6"
    assert line in prepared.summarise().splitlines()
    info = open_data_set(prepared.builder_dir).info
    assert info.metadata["regions"] == {"chest_half": 6}
    examples = [
        example
        for split in info.splits
        for example in open_split(prepared.builder_dir, split)
    ]
    assert sorted(int(example["label"]) for example in examples) == [0, 0, 0, 0, 1, 1]
    for example in examples:
        rows, columns = example["frame_hw"].tolist()
        assert example["crop_box"].tolist() == [0, 0, rows, columns]
        assert np.isnan(example["spacing_mm"]).all()
        top = (256 - rows) // 2
        image = example["image"][..., 0]
        inside = image[top : top + rows, 93 : 93 + columns]
        assert inside.sum() == image.sum() > 0
        # The picture's own values: of the first one that is so high.
        assert inside.max() <= 107 and not inside[:, :24].any()


def test_what_is_decided_about_a_region_makes_another_data_set(halves, tmp_path):
    """The picture alone does not tell: the table counts in the fingerprint."""
    from tfds_spect.listing import fingerprint_folder

    before = fingerprint_folder(halves)
    table = halves / "images.csv"
    table.write_text(table.read_text().replace("chest_half", "thorax"))
    assert fingerprint_folder(halves) != before
