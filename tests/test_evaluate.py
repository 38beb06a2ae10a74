"""Models on patients that they were not prepared with: scored, refused, compared."""

import csv
import json
import shutil

import numpy as np
import pytest

from spectjax.config import save_config
from spectjax.evaluate import evaluate
from spectjax.inference.external import choose_parts
from spectjax.system.messages import UserError
from spectjax.tasks.hotspots.metrics_sections import SegmentationRun
from tests.support.data_sets import make_image, write_data_set
from tests.support.page_files import Page
from tests.support.typed_dicts import find_fault
from tests.support.untrained_runs import make_config
from tfds_spect.opening import open_data_set, read_content
from tfds_spect.overlap import describe_key
from tfds_spect.prepare import locate

pytestmark = pytest.mark.usefixtures("few_resamples")
SPOT = (100, 90, 112, 104)


def make_counts(seed, spot=None):
    """A body of Poisson noise, as no second acquisition has it, and perhaps a spot."""
    counts = np.zeros((256, 256), np.uint16)
    counts[60:190, 70:180] = np.random.default_rng(seed).poisson(20, (130, 110))
    if spot:
        y0, x0, y1, x1 = spot
        counts[y0:y1, x0:x1] = 200
    return counts


def make_hot(patient, seed, **fields):
    return make_image(patient, counts=make_counts(seed, SPOT), masks=[SPOT], **fields)


def make_normal(patient, seed, **fields):
    fields |= {"diagnosis": "normal", "evidence": "none"}
    return make_image(patient, counts=make_counts(seed), **fields)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Another hospital: three patients with a spot, one normal, one not outlined."""
    return write_data_set(
        tmp_path_factory.mktemp("elsewhere"),
        {
            "fold0": [make_hot("p0", 0), make_hot("p1", 1, view="posterior")],
            "fold1": [
                make_hot("p2", 2),
                make_normal("p3", 3),
                make_image("p4", counts=make_counts(4, SPOT), evidence="none"),
            ],
        },
        synthetic=True,
        pseudonym_key=describe_key(),
        cameras={make_hot("p0", 0)["example_id"]: "Maker A"},
    )


def write_training(data_dir, name="segmentation_smoke", **metadata):
    """A data set of which folds 1 to 4 trained; p2 was held out of it.

    It has p0 on another day, and the acquisition of p1, mirrored, under another name.
    """
    mirrored = make_counts(1, SPOT)[:, ::-1].copy()
    written = write_data_set(
        data_dir.parent / "written",
        {
            "fold0": [make_hot("p2", 12)],
            "fold1": [make_hot("p0", 10)],
            "fold2": [make_image("q1", counts=mirrored, masks=[(100, 76, 112, 90)])],
            "fold3": [make_normal("q3", 13)],
            "fold4": [make_normal("q4", 14)],
        },
        synthetic=True,
        **metadata,
    )
    folder = locate(name, data_dir)
    shutil.copytree(written, folder)
    return read_content(open_data_set(folder)).fingerprint


def write_kmeans(workdir, **changes):
    """A run that needs no checkpoint: the brightest cluster of counts is a hotspot."""
    changes = {"data.name": "segmentation_smoke", "model.restarts": 2} | changes
    save_config(make_config("kmeans", **changes), workdir / "config.json")
    return workdir


@pytest.fixture(scope="module")
def scored(elsewhere, tmp_path_factory):
    """What a run that knows no operating point gives where its training is missing."""
    folder = tmp_path_factory.mktemp("scored")
    run = write_kmeans(folder / "run")
    metrics = evaluate(
        workdirs=[run],
        dataset=elsewhere,
        data_dir=folder / "nowhere",
        output_dir=folder / "out",
        html=True,
    )
    return folder / "out", metrics


def test_the_document_follows_the_schema_of_held_out_scores(scored):
    out, metrics = scored
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert find_fault(metrics, SegmentationRun) == ""
    assert (out / "figures/worst.png").is_file()
    assert "held_out_fold" in metrics["data"] and metrics["data"]["external"]


def test_spots_are_found_whole(scored):
    _, metrics = scored
    # Three spots of 12x14 pixels, each the brightest cluster of its image.
    assert metrics["lesion"]["found"] == metrics["lesion"]["n"] == 3
    hot = metrics["subgroups"]["diagnosis"]["multiple bone metastasis"]
    assert (hot["IoU"], hot["sensitivity"], hot["n_lesions"]) == (1, 1, 3)
    assert hot["intervals"]["sensitivity"] == [1, 1]


def test_pages_say_what_the_scores_count(scored):
    out, metrics = scored
    pages = sorted((out / "pages").glob("p*.html"))
    views = [view for page in pages for view in Page(page).read_data()["views"]]
    assert len(views) == 5
    lesions = [each["said"] for view in views for each in view["truth"]["lesions"]]
    assert lesions == ["found"] * metrics["lesion"]["found"]
    marks = [said for view in views for said in view["truth"]["meets"]]
    assert marks.count("FALSE") == metrics["lesion"]["false_per_image"] * 4
    # Nobody outlined p4.
    assert "not known" in marks


def test_groups_say_what_is_known_of_camera_and_matrix(scored):
    groups = scored[1]["subgroups"]
    images = {
        kind: {name: each["n_images"] for name, each in found.items()}
        for kind, found in groups.items()
    }
    assert images["view"] == {"anterior": 3, "posterior": 1}
    assert images["camera"] == {"Maker A": 1, "unknown": 3}
    assert images["matrix"] == {"1024x256": 4}


def test_a_metastasis_that_nobody_outlined_is_scored_by_its_label_alone(scored):
    out, metrics = scored
    assert metrics["n_images"] == 4 and metrics["external"]["left_out"] == {}
    images = metrics["images"]
    counts = {name: images[f"n_{name}"] for name in ("outlined", "normal_by_label")}
    assert counts == {"outlined": 3, "normal_by_label": 1}
    assert images["n_labels_alone"] == 1
    with (out / "labels.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    said = {0: [], 1: []}
    for row in rows:
        said[int(row["label"])].append(float(row["log_odds"]))
    (alone,) = (row for row in rows if row["label"] == "1" and row["outlined"] == "0")
    assert alone["marked"] == "1"
    (normal,) = said[0]
    won = [(x > normal) + (x == normal) / 2 for x in said[1]]
    found = images["by_view"]["all"]
    assert len(won) == found["n_metastasis"] == 4
    assert found["auc"] == pytest.approx(sum(won) / 4)
    assert found["marked"]["abnormal"] == 1
    table = (out / "table.md").read_text()
    assert "1 images have a label and no outlines: they are scored here alone." in table


def test_a_training_that_is_not_there_is_not_taken_for_another(scored):
    out, metrics = scored
    external = metrics["external"]
    assert external["checked"] == []
    region, missing, never = external["not_checked"]
    assert "the part of the body" in region
    assert "segmentation_smoke" in missing and "expected the run's data set" in missing
    assert "under two names" in never
    assert missing in (out / "table.md").read_text()


def test_patients_and_acquisitions_of_the_training_are_refused(elsewhere, tmp_path):
    fingerprint = write_training(tmp_path / "data", pseudonym_key=describe_key())
    run = write_kmeans(tmp_path / "run", **{"data.fingerprint": fingerprint})
    given = {"workdirs": [run], "dataset": elsewhere, "data_dir": tmp_path / "data"}
    out = tmp_path / "out"
    with pytest.raises(
        UserError, match=r"2 that share .*\(patient: 1, same counts: 1\)"
    ):
        evaluate(**given, output_dir=out)
    assert not (out / "metrics.json").exists()
    metrics = evaluate(**given, output_dir=out, leave_out_seen=True)
    assert metrics["external"]["left_out"]["learned from"] == 2
    # p2, whom the run held out, and p3.
    assert metrics["n_images"] == 2
    (checked,) = metrics["external"]["checked"]
    assert "4 images" in checked
    region, never = metrics["external"]["not_checked"]
    assert "the part of the body" in region and "under two names" in never
    # A model of which these patients were not held out refuses them all.
    other = write_kmeans(
        tmp_path / "other", **{"data.fingerprint": fingerprint, "data.fold": 3}
    )
    with pytest.raises(UserError, match="other did not learn from, found 3 that"):
        evaluate(**(given | {"workdirs": [other]}), output_dir=out)


def test_pictures_that_do_not_say_that_they_are_simulated_are_known_again(tmp_path):
    name = "segmentation_smoke_phantom"
    images = [make_normal(f"r{seed}", seed, synthetic=False) for seed in (13, 20)]
    pictures = write_data_set(tmp_path / "pictures", {"fold0": images}, synthetic=False)
    fingerprint = write_training(tmp_path / "data", name)
    changes = {"data.name": name, "data.fingerprint": fingerprint}
    given = {
        "workdirs": [write_kmeans(tmp_path / "run", **changes)],
        "dataset": pictures,
        "output_dir": tmp_path / "out",
    }
    with pytest.raises(UserError, match=r"found 1 that share .*\(same counts: 1\)"):
        evaluate(**given, data_dir=tmp_path / "data")
    metrics = evaluate(**given, data_dir=tmp_path / "nowhere")
    (checked,) = metrics["external"]["checked"]
    assert "simulated patients alone; no image says that it is of one" in checked


def test_images_that_are_neither_outlined_nor_normal_are_refused(tmp_path):
    hot = make_image("p4", counts=make_counts(4, SPOT), evidence="none")
    written = write_data_set(tmp_path / "hot", {"fold0": [hot]}, synthetic=True)
    with pytest.raises(UserError, match=f"{written}: .* found neither among 1"):
        evaluate(
            workdirs=[write_kmeans(tmp_path / "run")],
            dataset=written,
            data_dir=tmp_path / "nowhere",
            output_dir=tmp_path / "out",
        )


@pytest.mark.parametrize(
    ("metadata", "fingerprint", "line"),
    [
        ({}, None, "older than the note"),
        ({"pseudonym_key": "another"}, None, "another SPECTJAX_PSEUDONYM_KEY"),
        ({"pseudonym_key": "another"}, "0" * 64, "another content"),
    ],
)
def test_what_could_not_be_compared_is_said(
    elsewhere, tmp_path, metadata, fingerprint, line
):
    found = write_training(tmp_path / "data", **metadata)
    changes = {"data.fingerprint": fingerprint or found}
    metrics = evaluate(
        workdirs=[write_kmeans(tmp_path / "run", **changes)],
        dataset=elsewhere,
        data_dir=tmp_path / "data",
        output_dir=tmp_path / "out",
        leave_out_seen=True,
    )
    assert any(line in each for each in metrics["external"]["not_checked"])


def test_images_of_another_part_of_the_body_are_told(tmp_path, capsys):
    """The run learned from simulated patients: whole bodies, whatever its age."""
    halves = write_data_set(
        tmp_path / "halves", {"fold0": [make_hot("p0", 0)]}, regions={"chest_half": 1}
    )
    metrics = evaluate(
        workdirs=[
            write_kmeans(tmp_path / "run", **{"data.name": "segmentation_phantom"})
        ],
        dataset=halves,
        data_dir=tmp_path / "nowhere",
        output_dir=tmp_path / "out",
    )
    line = "the model learned from thoraxes alone, this is a chest half"
    (warning,) = metrics["external"]["warnings"]
    assert warning.startswith(line)
    assert f"WARNING: run: {line}" in capsys.readouterr().err
    assert f"**WARNING: {line}" in (tmp_path / "out/table.md").read_text()
    assert metrics["data"]["regions"] == ["chest_half"]


def test_several_runs_stand_in_one_table_with_paired_differences(elsewhere, tmp_path):
    runs = [
        write_kmeans(tmp_path / "bright"),
        write_kmeans(tmp_path / "all_hot", **{"model.hotspot_clusters": 8}),
    ]
    metrics = evaluate(
        workdirs=runs,
        dataset=elsewhere,
        data_dir=tmp_path / "nowhere",
        output_dir=tmp_path / "out",
    )
    assert list(metrics["models"]) == ["bright", "all_hot"]
    (pair,) = metrics["comparisons"]
    assert pair["models"] == ["bright", "all_hot"]
    first, second = (m["pixel"]["pooled"]["IoU"] for m in metrics["models"].values())
    assert pair["differences"]["pooled_IoU"] == pytest.approx(first - second)
    (told,) = metrics["label_comparisons"]
    auc = [m["images"]["by_view"]["all"]["auc"] for m in metrics["models"].values()]
    assert told["differences"]["auc"] == pytest.approx(auc[0] - auc[1])
    low, high = pair["intervals"]["pooled_IoU"]
    assert 0 < low <= first - second <= high
    assert (tmp_path / "out/models/all_hot/metrics.json").is_file()
    (marked,) = metrics["marked_comparisons"]
    # One finds the three spots, and noise in the normal image. The other marks whole
    # bodies, whose overlap with a spot is too small to count: one false region each.
    false = metrics["models"]["bright"]["lesion"]["false_per_image"]
    assert marked["differences"] == {"sensitivity": 1, "false_per_image": false - 1}
    table = (tmp_path / "out/table.md").read_text()
    assert "bright − all_hot" in table and "cross-validated" not in table


def test_points_are_adjusted_on_a_part_that_is_not_scored(elsewhere, tmp_path):
    # The brightest clusters hold noise too, so that there is something false.
    metrics = evaluate(
        workdirs=[write_kmeans(tmp_path / "run", **{"model.hotspot_clusters": 4})],
        dataset=elsewhere,
        data_dir=tmp_path / "nowhere",
        output_dir=tmp_path / "out",
        calibrate_on=["fold0"],
    )
    assert metrics["data"]["split"] == "fold1" and metrics["n_images"] == 2
    measured = metrics["adjusted"]["measured_on"]
    assert (measured["split"], measured["n_images"]) == ("fold0", 2)
    assert find_fault(metrics, SegmentationRun) == ""


def test_a_part_is_scored_or_adjusted_on_never_both():
    known = ["fold0", "fold0_augmented", "fold1"]
    assert choose_parts(known, [], []).scored == ("fold0", "fold1")
    assert choose_parts(known, [], ["fold1"]).scored == ("fold0",)
    with pytest.raises(UserError, match="found fold0 in --split as well"):
        choose_parts(known, ["fold0", "fold1"], ["fold0"])
    with pytest.raises(UserError, match="left to be scored"):
        choose_parts(known, [], ["fold0", "fold1"])
    with pytest.raises(UserError, match="found fold0_augmented"):
        choose_parts(known, ["fold0_augmented"], [])


def test_a_hospital_folder_is_not_called_a_data_set_to_be_removed(tmp_path):
    (tmp_path / "scan.dcm").touch()
    with pytest.raises(UserError, match=r"found no dataset_info.json. Give the folder"):
        evaluate(
            workdirs=[write_kmeans(tmp_path / "run")],
            dataset=tmp_path,
            output_dir=tmp_path / "out",
        )


@pytest.mark.parametrize("given", [{}, {"dataset": "a", "manual_dir": "b"}])
def test_one_place_of_images_is_asked_for(given, tmp_path):
    with pytest.raises(UserError, match="Give one of them"):
        evaluate(**given, output_dir=tmp_path)
