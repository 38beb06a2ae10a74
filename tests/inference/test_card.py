"""Tests of the model card: one text, and no number of another model."""

import json
import pathlib
import shutil

import pytest

from spectjax.inference.card import (
    MEASURED,
    TEMPLATE,
    UNKNOWN,
    read_measured,
    write_card,
)
from spectjax.inference.metadata import ModelFileError
from spectjax.inference.ready import DOCUMENT, FOLDER, WHOLE_BODY, read_document
from spectjax.system.files import write_json
from tests.support.operations import OPERATION

DOCS = pathlib.Path(__file__).parents[2] / "docs"


@pytest.fixture
def folder(tmp_path):
    return pathlib.Path(shutil.copytree(FOLDER, tmp_path / "ready"))


def measure(folder, model):
    facts = [
        {"what": "what was asked", "of": "7 simulated patients", "found": "0.97"},
        {"what": "what is open", "of": "nobody", "found": None},
    ]
    document = {"model": model, "facts": facts, "failures": ["Necks are marked."]}
    (folder / MEASURED).write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("folder", "page", "flag"),
    [
        (FOLDER, "model_card.md", ""),
        (WHOLE_BODY, "model_card_whole_body.md", " --whole_body"),
    ],
)
def test_the_page_in_the_docs_is_the_card(folder, page, flag):
    assert (DOCS / page).read_text() == write_card(folder) + "\n", (
        f"python -m spectjax.predict --about{flag} > docs/{page}"
    )
    assert read_measured(folder, read_document(folder)["name"])["facts"][0]["found"]


def test_the_card_says_what_the_model_is(folder):
    document, card = read_document(folder), write_card(folder)
    assert card.startswith(f"# Model card: {document['name']}\n")
    for member in document["members"]:
        data = member["trained_on"]
        assert f"{data['images']} images of {data['patients']} simulated" in card
    assert "not a medical device" in card


def test_what_was_measured_on_the_model_is_shown(folder):
    measure(folder, read_document(folder)["name"])
    card = write_card(folder)
    assert "| what was asked | 0.97 | 7 simulated patients |" in card
    assert f"| what is open | {UNKNOWN} | nobody |" in card
    assert "- Necks are marked." in card


@pytest.mark.parametrize("model", [None, "unet_res-00000000"])
def test_what_was_measured_on_another_model_is_not_shown(folder, model):
    measure(folder, model)
    card = write_card(folder)
    assert "0.97" not in card and "Necks" not in card
    assert f"| what was asked | {UNKNOWN} | 7 simulated patients |" in card


def test_operating_points_are_shown_where_they_are_known(folder):
    path = folder / DOCUMENT
    for operation, shown in (
        (OPERATION.to_json(), "| balanced | 0.40 | 0.25 | 0.75 | 0.12 |"),
        (None, f"Operating points: {UNKNOWN}"),
    ):
        write_json(path, json.loads(path.read_text()) | {"operation": operation})
        assert shown in write_card(folder)


@pytest.mark.parametrize("learnt_from", [True, False])
def test_operating_points_of_patients_who_trained_it_are_no_promise(
    folder, learnt_from
):
    operation = OPERATION.to_json()
    operation["measured_on"]["learnt_from"] = learnt_from
    document = json.loads((folder / DOCUMENT).read_text())
    write_json(folder / DOCUMENT, document | {"operation": operation})
    assert ("WHO TRAINED IT TOO" in write_card(folder)) is learnt_from


def test_a_damaged_card_is_one_line(folder):
    (folder / TEMPLATE).write_text("# $nothing")
    with pytest.raises(ModelFileError, match="card.md: .*'nothing'.*Install"):
        write_card(folder)
    (folder / TEMPLATE).unlink()
    with pytest.raises(ModelFileError, match="card.md: .* found none. Install"):
        write_card(folder)
    shutil.copy(FOLDER / TEMPLATE, folder / TEMPLATE)
    (folder / MEASURED).write_text("[]")
    with pytest.raises(ModelFileError, match="measured.json: expected what was"):
        write_card(folder)
