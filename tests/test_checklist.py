"""Checklists of runs of all kinds: what is told is true, what is not known is open."""

import csv
import json

import pytest

from spectjax.checklist import write_checklists
from spectjax.inference.card import write_card
from spectjax.reporting.document import AUTHORS, PART, RUN, Filled
from spectjax.reporting.facts import look_up
from spectjax.system.messages import UserError
from spectjax.training.sessions import note_session
from tests.support.checklist_runs import (
    CLASSIFICATION,
    write_data,
    write_evaluation,
    write_run,
)
from tests.support.typed_dicts import find_fault
from tfds_spect.errors import NotPreparedError

READERS = {"images_by_number": {"1": 1, "3": 4}, "n_compared": 4, "n_unanimous": 3}
READERS |= {"n_dice": 3, "dice": 0.8125}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "data"
    write_data(folder, readers=READERS, cameras={})
    write_data(folder, "segmentation_leaking", leaking=True)
    write_data(folder, "classification_d1")
    return folder


def fill(workdir, data_dir=None, **flags):
    """The document and the page of CLAIM."""
    out = workdir / "out"
    write_checklists(out, workdir=workdir, data_dir=data_dir, **flags)
    page = (out / "claim_2024.md").read_text()
    return json.loads((out / "checklist.json").read_text()), page


def states(filled, name="claim_2024"):
    return {x["item"]: x["state"] for x in filled["checklists"][name]["items"]}


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    """A finished run, scored here and elsewhere."""
    workdir = write_run(tmp_path_factory.mktemp("finished") / "run")
    note_session(workdir, epochs_done=0)
    evaluation = write_evaluation(workdir.parent / "elsewhere", workdir)
    filled, page = fill(workdir, data_dir, evaluations=[evaluation], watts=300)
    return workdir, filled, page


@pytest.mark.parametrize(
    "line",
    [
        # Folds 1 to 4: p0 with a copy, q1, and two who are normal.
        "4 patients, 4 images and 1 moved copies of images; 2 images of 2 patients "
        "show metastases, with 2 lesions outlined.",
        "Held out (fold0): 1 patients, 1 images; 1 images of 1 patients show "
        "metastases, with 2 lesions outlined.",
        "show metastases, with the stored copies 3 of 5.",
        "Patient: no patient who is scored trains or validates",
        "Views: anterior (4), posterior (1).",
        "Files and images that preparation left out: 2.",
        "Readers of an image, and of how many images: 1 (1), 3 (4).",
        "Of 4 images with several readers, all called 3 alike",
        "mean of 3 images in which either drew any: 0.812.",
        "Lesions found, at a probability of 0.5: 0.750 (0.500–1.000).",
        "Lesions found at 1 false region per image: undefined.",
        "1 of 4 lesions missed and 2 false regions",
        "Drawn at random with seed 0",
        "Epochs: 2 of 2.",
        "Training took 120 s",
        "0.01 kWh for the training: 120 s times 300 W",
        "Trained from epoch 1 on: 1 x cpu, 1 process(es)",
        "Evaluation 1: 40 images of 20 real patients, tfds_spect/segmentation_orig",
        "Evaluation 1, NOT checked: patients of the training.",
        "Evaluation 1, left out: learned from: 3.",
        "Evaluation 1, camera Maker B. 2: lesions found 0.500.",
        "was made on fold1, none of which was scored",
        "Evaluation 1, adjusted: at the point specific lesions found 0.625.",
        "> SYNTHETIC",
    ],
)
def test_what_files_say_is_told(finished, line):
    _, filled, page = finished
    told = [x for fact in filled["facts"].values() for x in fact["lines"]]
    assert line in page or any(line in each for each in told)


def test_the_document_follows_its_schema(finished):
    assert find_fault(finished[1], Filled) == ""


def test_every_number_stands_where_the_document_says(finished):
    workdir, filled, _ = finished
    sources = [x for fact in filled["facts"].values() for x in fact["sources"]]
    for file in ("config.json", "eval/metrics.json", "elsewhere/metrics.json"):
        root = workdir.parent if file.startswith("elsewhere") else workdir
        document = json.loads((root / file).read_text())
        keys = {x["key"] for x in sources if x["file"] == file and x["key"]}
        assert keys
        assert [k for k in keys if look_up(document, k, "absent") == "absent"] == []
    with (workdir / "train.csv").open(newline="") as stream:
        columns = csv.DictReader(stream).fieldnames
    logged = {x["key"] for x in sources if x["file"] == "train.csv"}
    assert logged == {"epoch", "seconds"} <= set(columns)


def test_items_are_answered_in_part_or_by_authors_alone(finished):
    found = states(finished[1])
    assert {found[number] for number in ("19", "20", "22", "23", "27", "32")} == {RUN}
    assert {found[number] for number in ("7", "9", "16", "18", "33", "36")} == {PART}
    assert {found[number] for number in ("2", "5", "15", "34", "41", "44")} == {AUTHORS}
    assert "- [ ] 44. " in finished[2] and "- [ ] 20. " not in finished[2]


CASES = {
    "leaking": (
        {"data.name": "segmentation_leaking"},
        ["LEAKING", "NOT disjoint: 1 of the patients", "LEAKING, SYNTHETIC: 1 images"],
        {"20": RUN},
    ),
    "not scored": (
        {"scores": None},
        ["NOT SCORED", "**Not known:** scores: the run is not scored"],
        {"29": AUTHORS, "32": PART, "37": AUTHORS, "39": AUTHORS},
    ),
    "stopped": (
        {"scores": None, "epochs": 1},
        ["NOT FINISHED: 1 of 2 epochs.", "STOPPED: 1 of 2 epochs", "took 90 s"],
        {"26": AUTHORS},
    ),
    "nothing trained": (
        {"model": "kmeans", "num_epochs": 0, "epochs": 0},
        ["No learning: a fixed method (`kmeans`", "Nothing is trained"],
        {"24": RUN, "26": PART},
    ),
    "instances": (
        {"model": "mask_rcnn"},
        ["hotspots one by one, each with score, box and mask"],
        {"22": RUN},
    ),
    "classifier": (
        {"model": "specs_v7", "data.name": "classification_d1"}
        | {"scores": CLASSIFICATION},
        [
            "the probability that an image shows a metastasis",
            "Area under the ROC curve, images: 0.875 (0.625–1.000).",
            "1 images with metastases called normal, 0 normal ones",
            "reached at log-odds of −0.500, chosen on the held-out images themselves",
        ],
        {"32": RUN},
    ),
    "the model that ships begins it": (
        {"pretrained": "shipped"},
        ["Weights of the model that ships with spectjax, which learned from simulated"],
        {"24": RUN},
    ),
    "weights of elsewhere begin it": (
        {"pretrained": "/home/meier/resnet.pth"},
        ["Weights from `resnet.pth`.", "**Not known:** what the weights from `resnet"],
        {"24": PART},
    ),
    "a fold validates": (
        {"data.validation_fold": 1},
        ["The checkpoint with the lowest loss on fold 1", "Validation (fold1): 1 pat"],
        {"26": PART},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_runs_of_all_kinds_come_out_true(case, data_dir, tmp_path):
    changes, lines, expected = CASES[case]
    filled, page = fill(write_run(tmp_path / "run", **changes), data_dir)
    assert [line for line in lines if line not in page] == []
    found = states(filled)
    assert {number: found[number] for number in expected} == expected
    assert ("No fold validates" in page) is (
        case not in ("a fold validates", "nothing trained")
    )
    assert "meier" not in page + json.dumps(filled)
    assert "not measured" in page or case == "nothing trained"


def test_what_was_noted_of_weights_is_told_without_their_path(data_dir, tmp_path):
    run = write_run(tmp_path / "run", pretrained="/home/meier/old")
    note = "Weights of unet_res from /home/meier/old."
    note_session(run, epochs_done=0, weights=[note])
    note_session(run, epochs_done=1)
    _, page = fill(run, data_dir)
    assert "- Weights of unet_res from `old`." in page and "meier" not in page


def test_sessions_that_no_file_tells_of_are_open(data_dir, tmp_path):
    run = write_run(tmp_path / "run")
    note_session(run, epochs_done=1)
    filled, page = fill(run, data_dir)
    assert "machine of the first 1 epochs: they are older than run.json" in page
    assert states(filled)["23"] == PART


def test_a_data_set_that_is_not_there_is_not_described(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path / "nowhere")
    )
    filled, page = fill(write_run(tmp_path / "run"))
    assert "NOT read: " in capsys.readouterr().err
    assert "> The data set was NOT READ" in page
    found = states(filled)
    assert {found[number] for number in ("8", "11", "13", "18", "20", "36")} == {
        AUTHORS
    }
    assert str(tmp_path) not in page


def test_a_data_set_that_is_named_has_to_be_there(tmp_path):
    run = write_run(tmp_path / "run")
    with pytest.raises(NotPreparedError, match="expected the run's data set"):
        write_checklists(tmp_path / "out", workdir=run, data_dir=tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()


def test_scores_of_another_model_are_refused(data_dir, tmp_path):
    run = write_run(tmp_path / "run")
    other = write_evaluation(tmp_path / "other", run, held_out_fold=3)
    with pytest.raises(UserError, match="expected scores of .*run, found those of run"):
        fill(run, data_dir, evaluations=[other])
    with pytest.raises(UserError, match="found no 'external'"):
        fill(run, data_dir, evaluations=[run / "eval"])
    own = write_evaluation(tmp_path / "own", run)
    with pytest.raises(UserError, match="found one twice"):
        fill(run, data_dir, evaluations=[own, own])


def test_the_model_that_ships_has_its_one_card(tmp_path):
    write_checklists(tmp_path)
    assert (tmp_path / "model_card.md").read_text() == write_card() + "\n"
    filled = json.loads((tmp_path / "checklist.json").read_text())
    assert set(filled["checklists"]) == {"claim_2024", "tripod_ai"}
    page = (tmp_path / "claim_2024.md").read_text()
    assert "`member1.safetensors` differs in " in page
    assert "of 1798 simulated patients" in page and "how many patients it" not in page
    assert states(filled)["33"] == AUTHORS
    with pytest.raises(UserError, match="Expected --workdir=RUN with"):
        write_checklists(tmp_path, watts=300)
