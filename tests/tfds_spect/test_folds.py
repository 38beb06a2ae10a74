"""Tests of `tfds_spect.folds`: stratified, disjoint, and without shared images."""

import random
from collections import Counter

import numpy as np
import pytest

from tfds_spect.errors import PrepareError
from tfds_spect.example import ThoraxExample
from tfds_spect.folds import check_acquisitions, check_folds, deal_folds

# From [P2]: patients by diagnosis, and how many of them have both views.
POPULATION = {
    "normal": (166, 54),
    "multiple bone metastasis": (74, 37),
    "spinal metastasis": (10, 4),
    "metastasis outside spine": (1, 0),
}


def make_example(patient, diagnosis="normal", view="anterior", seed=None):
    counts = np.zeros((256, 256), np.uint16)
    if seed is not None:
        body = np.random.default_rng(seed).poisson(30, (200, 180))
        counts[20:220, 30:210] = body
    return ThoraxExample(
        counts=counts,
        lesions=np.zeros((256, 256), np.uint16),
        labels=(),
        diagnosis=diagnosis,
        mask_evidence="outlines",
        patient=patient,
        view=view,
        spacing_mm=None,
        crop_box=(0, 0, 256, 256),
        frame_hw=(1024, 256),
        source=f"{patient}{view}",
        synthetic=True,
    )


def make_population():
    """The paper's images, of patients whose pseudonyms say nothing."""
    rng = random.Random(7)
    examples = []
    for diagnosis, (patients, both) in POPULATION.items():
        for number in range(patients):
            patient = f"{rng.getrandbits(64):016x}"
            views = ("anterior", "posterior")[: 2 if number < both else 1]
            examples += [make_example(patient, diagnosis, view) for view in views]
    return examples


def patients_by_diagnosis(examples):
    return Counter({e.patient: e.diagnosis for e in examples}.values())


def test_every_fold_has_its_share_of_every_diagnosis():
    examples = make_population()
    assert len(examples) == 346
    folds = deal_folds(examples)
    check_folds(folds)
    assert sum(map(len, folds)) == 346
    found = [patients_by_diagnosis(fold) for fold in folds]
    for diagnosis, (patients, _) in POPULATION.items():
        shares = [each[diagnosis] for each in found]
        assert sum(shares) == patients
        assert max(shares) - min(shares) <= 1
        images = [sum(e.diagnosis == diagnosis for e in fold) for fold in folds]
        # Patients with two views are shared out as well as those with one.
        assert max(images) - min(images) <= 2
    sizes = [sum(each.values()) for each in found]
    assert sorted(sizes) == [50, 50, 50, 50, 51]


@pytest.mark.parametrize("order", [1, -1])
def test_the_images_of_a_patient_stay_together_whatever_they_show(order):
    """One view shows a spinal metastasis, the other none: the patient is spinal."""
    examples = [make_example(f"n{i}") for i in range(9)]
    examples += [
        make_example("s", view="posterior"),
        make_example("s", "spinal metastasis"),
    ]
    folds = deal_folds(examples[::order])
    # Dealt first, for spinal metastases are rarer; the others follow by name.
    assert [sorted({e.patient for e in fold}) for fold in folds] == [
        ["n4", "s"],
        ["n0", "n5"],
        ["n1", "n6"],
        ["n2", "n7"],
        ["n3", "n8"],
    ]
    assert len(folds[0]) == 3


def test_folds_do_not_depend_on_the_order_of_images():
    examples = make_population()
    shuffled = random.Random(1).sample(examples, len(examples))
    for fold, other in zip(deal_folds(examples), deal_folds(shuffled), strict=True):
        assert {e.example_id for e in fold} == {e.example_id for e in other}


def test_check_folds_finds_a_patient_on_both_sides():
    folds = [[make_example("a")], [make_example("a", view="posterior")]]
    with pytest.raises(PrepareError, match="fold 0 and in fold 1"):
        check_folds(folds)


def test_check_folds_finds_an_image_that_is_there_twice():
    twice = [make_example("a"), make_example("a")]
    with pytest.raises(PrepareError, match="twice"):
        check_folds([twice])


def test_an_image_under_two_patients_is_an_error_that_names_both():
    own, copied = make_example("a", seed=1), make_example("b", seed=1)
    check_acquisitions([own, make_example("b", seed=2)])
    with pytest.raises(PrepareError, match="Patient ID") as error:
        check_acquisitions([own, make_example("c", seed=3), copied])
    text = str(error.value)
    assert own.example_id in text and copied.example_id in text
    assert "\n" not in text


def test_one_patient_may_have_the_same_image_twice_as_far_as_this_check_goes():
    check_acquisitions(
        [make_example("a", seed=1), make_example("a", view="posterior", seed=1)]
    )
