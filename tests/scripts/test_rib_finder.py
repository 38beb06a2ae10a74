"""The training of the network that finds the rib cage, at its smallest."""

import jax
import numpy as np
import pytest

from scripts.rib_finder.examples import make_example
from scripts.rib_finder.network import RibFinder
from scripts.rib_finder.patients import View, simulate_views
from scripts.train_rib_finder import _vary, draw_examples, train
from spectjax.imaging.thorax.network import CANVAS_HW, read_weights, run_network
from spectjax.weights.tensors import pack_tensors


@pytest.fixture(scope="module")
def views():
    return simulate_views(18, 3)


def test_boxes_of_examples_hold_the_chest(views):
    front, back = views
    np.testing.assert_allclose(
        back.box, [front.box[0], 128 - front.box[3], front.box[2], 128 - front.box[1]]
    )
    # Where the rib cage alone is bright, whatever is done to the view.
    image = np.full_like(front.image, 3)
    top, left, bottom, right = front.box.astype(int)
    image[top:bottom, left:right] = 30
    for seed in range(12):
        canvas, box = make_example(
            View(image, front.box), np.random.default_rng([2, seed])
        )
        assert canvas.shape == CANVAS_HW and 0 <= canvas.min() <= canvas.max() <= 1
        top, left, bottom, right = np.clip(box.round(), 0, 192).astype(int)
        inside = np.zeros(CANVAS_HW, bool)
        inside[top:bottom, left:right] = True
        assert np.median(canvas[inside]) > 1.5 * np.median(canvas[~inside])


def test_numpy_computes_what_flax_does():
    network = RibFinder()
    canvas = np.random.default_rng(4).random(CANVAS_HW, np.float32)
    params = network.init(jax.random.key(1), canvas[None])
    weights = read_weights(pack_tensors(params["params"]))
    np.testing.assert_allclose(
        run_network(weights, canvas), network.apply(params, canvas[None])[0], atol=1e-3
    )


def test_training_gives_the_same_file_each_time(views, capsys):
    canvases, boxes = draw_examples(views, 2, np.random.default_rng(5))
    first, second = (train(canvases, boxes, steps=2, seed=5) for _ in range(2))
    assert first == second
    assert first != train(canvases, boxes, steps=2, seed=6)
    assert capsys.readouterr().out.startswith("Step 2: edges off by ")


@pytest.mark.parametrize("mirror", [False, True])
def test_a_moved_or_mirrored_canvas_takes_its_box_along(mirror):
    height, width = CANVAS_HW
    canvas = np.zeros((1, height, width), np.uint8)
    canvas[0, 60:100, 20:45] = 1
    box = np.array([[60, 20, 100, 45]], np.float32)
    moved, (found,) = _vary(canvas, box, mirror, np.random.default_rng(3))
    rows, columns = (np.flatnonzero(moved[0].any(axis=axis)) for axis in (1, 0))
    assert found.tolist() == [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
