"""Tests of `predict_examinations`: the next examination is read meanwhile."""

import threading
from types import SimpleNamespace

from spectjax.imaging.outputs import OutputNames
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import ScanError
from spectjax.inference.asking import predict_examinations
from spectjax.inference.trained import TrainedModel
from tests.support.tiny_scans import (
    MODEL_INFO,
    SMALL_CROP,
    ask,
    make_scan,
    predict_probs,
)

PATIENTS = [[make_scan(f"a/IM{i}.dcm", image_key=f"{i:016x}")] for i in range(4)]


def make_model(predict=predict_probs):
    return TrainedModel(predict, MODEL_INFO, "segmentation", (8, 8))


@SMALL_CROP
def test_while_a_model_looks_at_an_examination_the_next_one_is_read(tmp_path):
    was_read = [threading.Event() for _ in range(5)]
    was_read[4].set()
    looked, numbers = [], iter(range(4))

    def predict(counts):
        looked.append(was_read[next(numbers) + 1].wait(timeout=20))
        return predict_probs(counts)

    def read():
        for scans, event in zip(PATIENTS, was_read, strict=False):
            event.set()
            yield scans

    written = predict_examinations(
        read(),
        lambda: make_model(predict),
        names=OutputNames([], tmp_path, mark="rule"),
        output_dir=tmp_path,
        problems=Problems(tmp_path),
        pictures=False,
    )
    assert written == 4 and looked == [True] * 4


@SMALL_CROP
def test_an_examination_is_told_of_its_own_files_alone(tmp_path):
    problems, heard = Problems(tmp_path), []
    product = SimpleNamespace(
        begin=lambda task, info: heard.append(task),
        write=lambda reading, problems: heard.append(
            (
                [view.thorax.scan.path.name for view, _ in reading.views],
                list(reading.passed_over),
            )
        ),
        finish=lambda: heard.append("finished"),
    )

    def read():
        for number, scans in enumerate(PATIENTS):
            problems.recent.clear()
            if number % 2:
                problems.refuse(ScanError(f"{number}.dcm: no scan."))
            yield scans
        problems.recent.clear()
        problems.refuse(ScanError("9.dcm: no scan."))

    predict_examinations(
        read(),
        make_model,
        names=OutputNames([], tmp_path, mark="rule"),
        output_dir=tmp_path,
        problems=problems,
        products=[product],
        pictures=False,
    )
    assert heard == [
        "segmentation",
        (["IM0.dcm"], []),
        (["IM1.dcm"], ["1.dcm: no scan."]),
        (["IM2.dcm"], []),
        (["IM3.dcm"], ["3.dcm: no scan."]),
        "finished",
    ]


@SMALL_CROP
def test_without_pictures_none_is_drawn_and_none_is_left_of_another_answer(tmp_path):
    (tmp_path / "IM0_anterior.png").write_bytes(b"of another model")
    assert ask(make_model(), PATIENTS[:1], tmp_path, pictures=False) == (1, 0, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["IM0_anterior.json"]
