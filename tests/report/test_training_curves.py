"""Tests of `spectjax.report.training_curves`."""

import pytest
from matplotlib.text import Text

from spectjax.report.training_curves import draw_detection_training, draw_training


def texts_of(figure):
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_draw_training_plots_what_the_log_says(tmp_path):
    log = tmp_path / "train.csv"
    log.write_text("epoch,step,loss,PA\n1,7,0.5,0.9\n2,14,0.25,0.95\n")
    figure = draw_training(log, title="", synthetic=True)
    loss, accuracy = (axes.lines[0].get_xydata().tolist() for axes in figure.axes)
    assert loss == [[1, 0.5], [2, 0.25]]
    assert accuracy == [[1, 0.9], [2, 0.95]]
    assert "SYNTHETIC" in texts_of(figure)


def test_draw_training_plots_accuracy_and_the_fold_that_validates(tmp_path):
    log = tmp_path / "train.csv"
    log.write_text("epoch,loss,Acc,validation_loss,validation_Acc\n1,0.5,0.9,0.6,0.7\n")
    figure = draw_training(log, title="", synthetic=False, score="Acc")
    lines = [[line.get_ydata()[0] for line in axes.lines] for axes in figure.axes]
    assert lines == [[0.5, 0.6], [0.9, 0.7]]
    assert "validation" in texts_of(figure) and "Accuracy" in texts_of(figure)


def test_draw_training_names_the_columns_it_misses(tmp_path):
    log = tmp_path / "train.csv"
    log.write_text("epoch,loss\n1,0.5\n")
    with pytest.raises(ValueError, match="epoch, loss and PA, found epoch, loss"):
        draw_training(log, title="", synthetic=False)


DETECTION_LOG = """\
epoch,loss,loss_rpn_objectness,loss_rpn_box,loss_box_class,loss_box_delta,loss_mask,\
proposal_recall,left_out,validation_loss
1,1.5,0.1,0.2,0.3,0.4,0.5,0.25,2,1.75
2,0.75,0.05,0.1,0.15,0.2,0.25,0.5,1,1.25
"""


def test_draw_detection_training_plots_the_parts_of_the_loss(tmp_path):
    log = tmp_path / "train.csv"
    log.write_text(DETECTION_LOG)
    figure = draw_detection_training(log, title="Training", synthetic=True)
    lines = [
        {line.get_label(): list(line.get_ydata()) for line in axes.lines}
        for axes in figure.axes
    ]
    assert lines[0] == {"training": [1.5, 0.75], "validation": [1.75, 1.25]}
    assert list(lines[1].values()) == [[k / 10, k / 20] for k in range(1, 6)]
    assert list(lines[1]) == [
        "anchors: lesion or not",
        "anchors: box",
        "proposals: class",
        "proposals: box",
        "masks",
    ]
    assert lines[2] == {"training": [0.25, 0.5]}
    assert "3 lesions did not fit into max_instances" in texts_of(figure)


def test_draw_detection_training_is_silent_if_no_lesion_was_left_out(tmp_path):
    log = tmp_path / "train.csv"
    log.write_text(DETECTION_LOG.replace(",2,1.75", ",0,1").replace(",1,1.25", ",0,1"))
    figure = draw_detection_training(log, title="", synthetic=False)
    assert "max_instances" not in texts_of(figure)


def test_draw_detection_training_names_the_columns_it_misses(tmp_path):
    log = tmp_path / "train.csv"
    log.write_text("epoch,loss,PA\n1,0.5,0.9\n")
    with pytest.raises(ValueError, match="proposal_recall and left_out, found epoch"):
        draw_detection_training(log, title="", synthetic=False)
