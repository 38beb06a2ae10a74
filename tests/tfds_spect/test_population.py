"""The data sets of simulated patients have the sizes of the papers' tables."""

import pytest
import tensorflow_datasets as tfds

from tfds_spect.prepare import prepare


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """One folder for all, so that each population is simulated once."""
    return tmp_path_factory.mktemp("data")


def count_examples(prepared, *splits):
    builder = tfds.builder_from_directory(prepared.builder_dir)
    names = splits or tuple(builder.info.splits)
    return sum(builder.info.splits[name].num_examples for name in names)


@pytest.mark.slow
def test_segmentation_has_the_images_of_the_segmentation_paper(data_dir):
    prepared = prepare("segmentation", data_dir=data_dir, manual_dir=None)
    assert prepared.n_patients == 76
    assert count_examples(prepared, *(f"fold{fold}" for fold in range(5))) == 112
    assert count_examples(prepared) == 2280
    assert prepared.diagnoses["normal"] == (0, 0)
    assert prepared.n_skipped == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("classification_d1", 346),
        ("classification_d2", 2390),
        ("classification_d3", 2390),
        ("classification_d3_leaking", 2390),
    ],
)
def test_classification_has_the_images_of_the_classification_paper(
    data_dir, name, total
):
    prepared = prepare(name, data_dir=data_dir, manual_dir=None)
    assert prepared.n_patients == 251
    assert count_examples(prepared) == total
    images = {d: images for d, (images, _) in prepared.diagnoses.items() if images}
    assert images == {
        "normal": 220,
        "multiple bone metastasis": 111,
        "spinal metastasis": 14,
        "metastasis outside spine": 1,
    }
    if total > 346:
        assert {d: sum(prepared.diagnoses[d]) for d in images} == {
            "normal": 1200,
            "multiple bone metastasis": 1043,
            "spinal metastasis": 133,
            "metastasis outside spine": 14,
        }
    assert prepared.leaking == name.endswith("leaking")
    assert (prepared.patients_on_both_sides > 100) == prepared.leaking
    if not prepared.leaking:
        sizes = [part.patients for part in prepared.parts.values()]
        assert sorted(sizes) == [50, 50, 50, 50, 51]
    else:
        assert count_examples(prepared, "train") == 1673
