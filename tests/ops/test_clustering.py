"""Tests of K-means: the operation, the model, the scan over K and the pictures."""

from functools import partial
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.text import Text

from spectjax.models import create_model
from spectjax.ops.clustering import (
    MAX_ITERATIONS,
    SAME_OBJECTIVE,
    SAME_POINTS,
    choose_centroids,
    find_clusters,
    refine_clusters,
    trace_centroids,
)
from spectjax.ops.sorted_values import sort_values
from spectjax.paper_figures.cluster_pictures import (
    ClusterCurve,
    draw_centroids,
    draw_cluster_curve,
)
from spectjax.paper_figures.cluster_scan import follow_centroids, scan_clusters
from spectjax.report.data_notes import Caption

find = jax.jit(
    find_clusters, static_argnames=("num_clusters", "restarts", "max_iterations")
)
refine = jax.jit(refine_clusters, static_argnames="max_iterations")

choose = jax.jit(choose_centroids, static_argnames=("num_clusters", "restarts"))

# By hand, from centroids 0, 2 and 100. The lower bounds 1, 3.5, 4.83 and 6.5 leave {0},
# {0, 2}, {0, 2, 4} and {0, 2, 4} on the dark side.
VALUES = [0, 2, 4, 10, 12, 100]
PATH = [(0, 2, 100), (0, 7, 100), (1, 26 / 3, 100), (2, 11, 100), (2, 11, 100)]


def refine_one(values, first, second=None, **options):
    """Refines one image of six values from one or two sets of three centroids."""
    initial = jnp.array([[first, second or first]], jnp.float32)  # one shape: compiled
    found = refine(jnp.array([values], jnp.float32), initial, **options)
    return jax.tree.map(lambda x: np.asarray(x[0]), found)


def test_clusters_follow_the_path_found_by_hand():
    found = refine_one(VALUES, (2, 100, 0))
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 2]
    assert found.centroids.tolist() == [2, 11, 100]
    assert found.sizes.tolist() == [3, 2, 1]
    assert found.objective == 4 + 0 + 4 + 1 + 1
    assert found.initial.tolist() == [0, 2, 100]
    assert (found.iterations, found.stop) == (4, SAME_POINTS)


def test_trace_gives_the_centroids_of_every_iteration_and_then_stays():
    trace = jax.jit(partial(trace_centroids, max_iterations=6))
    path = trace(jnp.array(VALUES), jnp.array(PATH[0]))
    expected = [*PATH, PATH[-1], PATH[-1]]
    np.testing.assert_allclose(path, expected, rtol=1e-6)


def test_search_that_may_not_end_gives_the_clusters_around_its_last_centroids():
    found = refine_one(VALUES, PATH[0], max_iterations=2)
    assert (found.iterations, found.stop) == (2, MAX_ITERATIONS)
    np.testing.assert_allclose(found.centroids, PATH[2], rtol=1e-6)
    # The bound between 1 and 26/3 is 4.83.
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 2]
    assert found.objective == pytest.approx(1 + 1 + 9 + 16 / 9 + 100 / 9)


def test_objective_that_float32_cannot_tell_from_the_last_one_ends_a_search():
    # From 0 and 1.03 the value p < 0.515 is dark; then the bound is 0.5 + 0.25 / 4000,
    # and p moves to the bright side. The objective falls by 1.6e-4 and 0.02; 2^-23 of
    # all squares about the mean is 2.4e-4.
    sides = np.repeat([0.0, 1.0], 4000)
    images = np.stack([[*sides, 0.50008], [*sides, 0.51]]).astype(np.float32)
    initial = jnp.broadcast_to(jnp.array([0.0, 1.03]), (2, 1, 2))
    found = refine(images, initial)
    assert found.stop.tolist() == [SAME_OBJECTIVE, SAME_POINTS]
    assert found.iterations.tolist() == [2, 3]
    assert found.labels[:, -1].tolist() == [1, 1]


def test_clusters_from_the_same_centroids_are_those_of_scikit_learn():
    cluster = pytest.importorskip("sklearn.cluster")
    rng = np.random.default_rng(0)
    images = rng.gamma(0.5, 20.0, size=(3, 1000)).astype(np.float32)
    initial = np.stack([rng.choice(image, 6, replace=False) for image in images])
    initial = np.sort(initial)
    found = refine(images, initial[:, None])
    for i, image in enumerate(images):
        peer = cluster.KMeans(6, init=initial[i][:, None], n_init=1, tol=0)
        peer.fit(image[:, None].astype(np.float64))
        centroids = peer.cluster_centers_[:, 0]
        assert (np.diff(centroids) > 0).all()
        np.testing.assert_allclose(found.centroids[i], centroids, rtol=2e-6)
        np.testing.assert_array_equal(found.labels[i], peer.labels_)
        assert found.objective[i] == pytest.approx(peer.inertia_, rel=1e-5)
        assert found.iterations[i] == peer.n_iter_ > 5


def test_sums_of_a_whole_image_keep_all_the_digits_of_float32():
    rng = np.random.default_rng(0)
    values = 2**23 + rng.integers(0, 2**22, size=65536)
    image = jax.jit(sort_values)(values.astype(np.float32))
    assert (image.low, image.step) == (values.min(), 1)
    edges = jnp.array([100, 101, 40_000])
    levels = np.sort(values - values.min())
    exact = np.add.reduceat(levels, [0, *edges])
    np.testing.assert_allclose(image.sum_between(edges), exact, rtol=2e-7)
    assert image.sum_between(edges)[1] == levels[100]
    np.testing.assert_array_equal(image.count_between(edges), [100, 1, 39_899, 25_536])
    np.testing.assert_allclose(image.mean(), levels.mean(), rtol=2e-7)


def test_values_in_the_middle_between_centroids_belong_to_the_darker_one():
    # Counts are exact: scaled by a third, the middle would be rounded up or down.
    found = refine_one([0, 0, 3, 6, 6, 100], (0, 6, 100))
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 2]


def test_cluster_that_lost_its_values_keeps_its_centroid_and_may_get_some_again():
    # Bounds 7 and 20 leave 26 without values; 9, 9, 10, 10 and 20 then have the mean
    # 11.6, and the bound between 11.6 and 26 is 18.8.
    found = refine_one([0, 9, 9, 10, 10, 20], (0, 14, 26))
    assert found.centroids.tolist() == [0, 9.5, 20]


def test_empty_clusters_stand_above_the_darkest():
    found = refine_one([0, 0, 1, 2, 2, 60], (0, 100, 101))
    assert found.labels.tolist() == [0, 0, 0, 0, 0, 2]
    np.testing.assert_array_equal(found.centroids, [1, np.nan, 60])
    assert found.sizes.tolist() == [5, 0, 1]
    assert found.objective == 4


def test_best_of_several_beginnings_is_kept():
    # {0} {1} {10, 11, 20, 21} is an end as well, with 2 (5.5^2 + 4.5^2) = 101.
    values = [0, 1, 10, 11, 20, 21]
    poor, good = (0, 1, 15), (0, 10, 20)
    assert refine_one(values, poor).objective == 101
    found = refine_one(values, poor, good)
    assert found.objective == 1.5
    assert found.initial.tolist() == list(good)


def test_image_with_fewer_values_than_clusters_has_a_cluster_for_each(key):
    images = np.full((3, 100), 2.0, np.float32)
    images[1, 60:] = 5
    images[2, 97:] = 9, 4, 9
    found = find(images, key, num_clusters=4, restarts=2)
    expected = np.zeros((3, 100))
    expected[1, 60:] = 3
    expected[2, 97:] = 3, 2, 3
    np.testing.assert_array_equal(found.labels, expected)
    assert found.objective.tolist() == [0, 0, 0]
    np.testing.assert_array_equal(
        found.centroids,
        [[2, *[np.nan] * 3], [2, np.nan, np.nan, 5], [2, np.nan, 4, 9]],
    )
    assert found.sizes.tolist() == [[100, 0, 0, 0], [60, 0, 0, 40], [97, 0, 1, 2]]


def test_first_centroids_are_different_values_each_as_likely_as_the_other(key):
    # 60 of 64 pixels are empty.
    values = jnp.array([[0.0] * 60 + [1.0, 2.0, 3.0, 5.0]])
    drawn = choose(values, key, num_clusters=2, restarts=3000)[0]
    pairs, counts = np.unique(np.asarray(drawn), axis=0, return_counts=True)
    assert [tuple(pair) for pair in pairs] == list(combinations([0, 1, 2, 3, 5], 2))
    # Each of 10 pairs 300 times on average, with a standard deviation of 16.4.
    assert np.abs(counts - 300).max() < 4 * 16.4


def test_clusters_depend_on_image_and_key_and_not_on_the_batch(key):
    rng = np.random.default_rng(0)
    images = rng.gamma(0.5, 20.0, size=(3, 100)).astype(np.float32)
    search = partial(find, num_clusters=4, restarts=2)
    first = search(images, key)
    images[1] = 0
    moved = search(images[[2, 1, 0]], key)
    for i, j in ((0, 2), (2, 0)):
        same = jax.tree.map(lambda x, y, i=i, j=j: (x[i] == y[j]).all(), first, moved)
        assert jax.tree.all(same)
    other = search(images, jax.random.key(1))
    assert not (other.initial[0] == first.initial[0]).all()


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((5,), {"num_clusters": 2}, r"values \(B, N\)"),
        ((1, 1 << 20), {"num_clusters": 2}, "N < 1048576"),
        ((1, 5), {"num_clusters": 1}, "2 clusters or more, got 1"),
        ((1, 5), {"num_clusters": 2, "restarts": 0}, "restarts of 1 or more, got 0"),
        ((1, 5), {"num_clusters": 2, "max_iterations": 0}, "max_iterations of 1"),
    ],
)
def test_find_clusters_refuses_what_it_cannot_use(shape, options, message, key):
    values = jax.ShapeDtypeStruct(shape, jnp.float32)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(partial(find_clusters, **options), values, key)


# Four brightnesses in an image of 4x4 pixels, and a constant one.
STEPS = np.array([0, 0, 0, 0, 0, 0, 0, 0, 10, 10, 10, 10, 30, 30, 60, 60])
IMAGES = np.stack([STEPS, np.full(16, 3)]).reshape(2, 4, 4, 1).astype(np.float32)


def test_model_gives_the_log_odds_of_the_rank_of_brightness():
    model = create_model(
        "kmeans", {"clusters": 4, "hotspot_clusters": 2, "restarts": 2}
    )
    logits = jax.jit(partial(model.apply, train=False))({}, IMAGES)
    assert logits.shape == (2, 4, 4, 2)
    assert logits.dtype == jnp.float32
    assert not logits[..., 0].any()
    ranks = np.array([0] * 8 + [1] * 4 + [2] * 2 + [3] * 2).reshape(4, 4)
    # The two brightest of four lie above 0.
    np.testing.assert_array_equal(logits[0, ..., 1], ranks - 4 + 2 + 0.5)
    np.testing.assert_array_equal(logits[1, ..., 1], -1.5)
    key = jax.random.key(0)
    assert jax.eval_shape(partial(model.init, train=False), key, IMAGES) == {}


@pytest.mark.parametrize(
    ("fields", "shape", "message"),
    [
        ({"num_classes": 3}, (1, 4, 4, 1), "num_classes 2, got 3"),
        ({"hotspot_clusters": 0}, (1, 4, 4, 1), "got 0 of 9"),
        ({"hotspot_clusters": 9}, (1, 4, 4, 1), "from 1 to clusters - 1, got 9 of 9"),
        ({}, (1, 4, 4, 3), r"images \(B, H, W, 1\), got \(1, 4, 4, 3\)"),
    ],
)
def test_model_refuses_what_it_cannot_use(fields, shape, message):
    model = create_model("kmeans", fields)
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda x: model.apply({}, x, train=False), images)


def test_scan_scores_the_brightest_clusters_for_each_k():
    # Truth is what is brighter than 20: 4 pixels of the first image. In the second
    # image nothing is marked: a constant image has no hotspot, so IoU 1.
    masks = (IMAGES[..., 0] > 20).astype(np.uint8)
    curves = scan_clusters(
        IMAGES, masks, (3, 4), hotspot_clusters=(1, 2, 3), batch_size=2, restarts=9
    )
    # K = 4 finds 2, 4 and 8 pixels. K = 3 unites the two darkest brightnesses: squares
    # 8 x 3.3^2 + 4 x 6.7^2 = 267, and 10 with 30 would be 4 x 6.7^2 + 2 x 13.3^2 = 533.
    assert curves[1].clusters == (3, 4)
    assert curves[1].pooled == (0.5, 0.5)
    assert curves[1].per_image == (0.75, 0.75)
    assert curves[2].pooled == (1, 1)
    np.testing.assert_array_equal(curves[3].pooled, [np.nan, 0.5])


def test_the_way_of_the_centroids_ends_at_the_means_of_the_clusters():
    counts = np.array([[0, 1, 10], [11, 20, 21]], np.uint16)
    labels, path = follow_centroids(counts, clusters=3)
    assert labels.tolist() == [[0, 0, 1], [1, 2, 2]]
    assert set(path[0]) <= set(counts.ravel())
    assert path[-1].tolist() == [0.5, 10.5, 20.5]


def texts_of(figure):
    return "\n".join(text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize("synthetic", [True, False])
def test_cluster_curve_names_the_printed_figure_as_such(synthetic):
    curves = {
        1: ClusterCurve((2, 3), (0.1, 0.2), (0.3, np.nan)),
        2: ClusterCurve((2, 3), (np.nan, 0.4), (np.nan, 0.5)),
    }
    figure = draw_cluster_curve(
        curves, caption=Caption("K-means", "3 images", synthetic)
    )
    (axes,) = figure.axes
    lines = [line.get_xydata().tolist() for line in axes.lines]
    assert lines[0] == [[2, 0.1], [3, 0.2]]
    assert lines[-1] == [[9, 0.7421]]
    text = texts_of(figure)
    assert "printed in Lin 2020: 0.7421 at K = 9" in text
    assert "2 brightest clusters, pooled" in text
    assert ("SYNTHETIC" in text) == synthetic


def test_centroid_picture_shows_each_centroid_on_its_way():
    counts = IMAGES[0, ..., 0]
    figure = draw_centroids(
        counts,
        np.searchsorted([5, 20, 40], counts),
        np.array([[0, 10, 30, 50.0], [0, 10, 30, 60]]),
        truth=counts > 20,
        caption=Caption("An image", "K = 4", True),
    )
    _, clusters, path = figure.axes
    assert [line.get_ydata().tolist() for line in path.lines] == [
        *([0, 0], [10, 10], [30, 30], [50, 60])
    ]
    (shown,) = clusters.images
    np.testing.assert_array_equal(np.unique(shown.get_array()), [0, 1, 2, 3])
    assert "SYNTHETIC" in texts_of(figure)
