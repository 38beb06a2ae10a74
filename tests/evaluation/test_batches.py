"""Batches of one size, asked about ahead of whoever looks at the answers."""

import numpy as np
import pytest

from spectjax.evaluation.batches import predict_in_batches

IMAGES = np.arange(7.0).reshape(7, 1, 1, 1)


def make_model(*, fails_at=None):
    """A model that doubles what it sees, and the shapes of what it saw."""
    shapes = []

    def predict(images):
        if images.max() == fails_at:
            raise ValueError("not finite")
        shapes.append(images.shape)
        return 2 * images

    return predict, shapes


def test_answers_come_in_order_and_the_last_batch_is_filled_up():
    model, shapes = make_model()
    found = list(predict_in_batches(model, IMAGES, batch_size=3))
    assert [(rows.start, rows.stop) for rows, _ in found] == [(0, 3), (3, 6), (6, 7)]
    answers = [answer.ravel().tolist() for _, answer in found]
    assert answers == [[0, 2, 4], [6, 8, 10], [12, 12, 12]]
    assert shapes == [(3, 1, 1, 1)] * 3


def test_what_a_model_cannot_answer_is_raised_where_its_turn_comes():
    batches = predict_in_batches(make_model(fails_at=4)[0], IMAGES, batch_size=1)
    with pytest.raises(ValueError, match="not finite"):
        for rows, _ in batches:
            last = rows.start
    assert last == 3


def test_whoever_has_had_enough_is_not_computed_for():
    model, shapes = make_model()
    batches = predict_in_batches(model, IMAGES, batch_size=1)
    next(batches)
    batches.close()
    assert len(shapes) <= 3  # the first and two ahead
