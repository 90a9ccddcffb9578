"""Distances between clouds against scipy, scikit-learn, closed forms and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.spatial.distance import cosine
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from measures.clouds import (
    centred_cosines,
    classifier_error,
    frechet,
    gram,
    linear_cka,
    median_distance,
    mmd,
)

SIZES = (12, 20, 15, 31)


@pytest.fixture
def some():
    return draw(0)


def draw(seed, width=5, sizes=SIZES):
    """Clouds that differ in place, shape and size, far from the origin."""
    source = np.random.default_rng(seed)
    return [
        source.normal(size=(size, width)) @ source.normal(size=(width, width)) + source.normal(size=width) + 7
        for size in sizes
    ]


# Centroids


def test_cosines_from_the_mean_of_means(some):
    means = [np.mean(cloud, axis=0) for cloud in some]
    middle = sum(means) / len(means)  # every cloud counts the same, whatever its size
    found = centred_cosines(some)
    for i, a in enumerate(means):
        for j, b in enumerate(means):
            assert found[i, j] == pytest.approx(1 - cosine(a - middle, b - middle), abs=1e-12)
    assert found[0, 1] < 0.99  # raw ones are near 1
    assert 1 - cosine(means[0], means[1]) > 0.9


def test_a_cloud_in_the_middle_has_no_direction():
    square = np.array([[0.0, 0], [1, 1], [0, 1], [1, 0]])
    aside = np.array([3, 0.1])
    found = centred_cosines([square, square + aside, square - aside])
    np.testing.assert_array_equal(np.isnan(found), [[1, 1, 1], [1, 0, 0], [1, 0, 0]])
    assert found[1, 2] == pytest.approx(-1)
    assert np.isnan(centred_cosines([square])).all()


# MMD


def slow_mmd(x, y, bandwidth):
    def k(a, b):
        return math.exp(-sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / (2 * bandwidth**2))

    def within(rows):
        pairs = [k(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
        return sum(pairs) / len(pairs)

    return within(x) + within(y) - 2 * sum(k(a, b) for a in x for b in y) / (len(x) * len(y))


@pytest.mark.parametrize("bandwidth", [0.7, 4.0])
def test_mmd_against_loops(some, bandwidth):
    found = mmd(some, bandwidth)
    for i, x in enumerate(some):
        assert found[i, i] == 0
        for j, y in enumerate(some[:i]):
            assert found[i, j] == pytest.approx(slow_mmd(x, y, bandwidth), abs=1e-12)


def test_mmd_is_unbiased():
    """Two halves of one distribution: 0 on average, as often below as above."""
    source = np.random.default_rng(0)
    found = np.array([mmd(list(source.normal(size=(2, 20, 3))), 1.5)[0, 1] for _ in range(200)])
    assert abs(found.mean()) < 3 * found.std() / math.sqrt(200)
    assert 0.3 < (found < 0).mean() < 0.8


def test_median_of_the_distances_between_different_vectors():
    assert median_distance(np.array([[0.0], [0], [0], [1], [4]])) == pytest.approx(3)  # 1 1 1 3 4 4 4
    assert median_distance(np.array([[0.0, 0], [3, 4]])) == pytest.approx(5)
    assert median_distance(np.ones((4, 3))) == 1


# Fréchet


@given(st.floats(-5, 5), st.floats(0.1, 5), st.floats(-5, 5), st.floats(0.1, 5))
def test_frechet_of_gaussians_on_a_line(mean_x, sd_x, mean_y, sd_y):
    """(μ_x − μ_y)² + (σ_x − σ_y)²: nothing to shrink with one column."""
    shape = np.array([-1.5, -0.5, 0.5, 1.5])[:, None]
    shape = shape / shape.std()
    found = frechet([mean_x + sd_x * shape, mean_y + sd_y * shape])
    assert found[0, 1] == pytest.approx((mean_x - mean_y) ** 2 + (sd_x - sd_y) ** 2, abs=1e-9)
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize("width", [3, 25])  # more rows than columns, and fewer
def test_frechet_against_scipy_s_root(width):
    some = draw(1, width)
    found = frechet(some)
    for i, x in enumerate(some):
        for j, y in enumerate(some):
            a, b = ledoit_wolf(x)[0], ledoit_wolf(y)[0]
            half = sqrtm(a)
            spread = np.trace(a + b - 2 * np.real(sqrtm(half @ b @ half)))
            expected = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + spread
            assert found[i, j] == pytest.approx(0 if i == j else expected, rel=1e-6, abs=1e-6)


def test_shrinkage_keeps_samples_of_one_distribution_near():
    """The plain estimate grows with the width: two small samples of one cloud would seem far apart."""
    source = np.random.default_rng(0)
    x, y, far = source.normal(size=(3, 20, 60))
    found = frechet([x, y, 2 * far])
    assert found[0, 1] < 10 < 45 < found[0, 2]
    a, b = np.cov(x.T), np.cov(y.T)
    assert np.trace(a) + np.trace(b) - 2 * np.linalg.norm(sqrtm(a) @ sqrtm(b), "nuc").real > 60


# CKA


def slow_cka(x, y):
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return np.linalg.norm(y.T @ x) ** 2 / norms


@pytest.mark.parametrize("width", [4, 30])
def test_cka_against_the_formula(width):
    x, y = draw(2, width, (18, 18))
    found = linear_cka(gram(x), gram(y))
    assert found == pytest.approx(slow_cka(x, y), rel=1e-10)
    assert found < 0.95
    rows = [3, 5, 6, 11, 17]  # of a part of the rows, centred anew
    part = linear_cka(gram(x)[np.ix_(rows, rows)], gram(y)[np.ix_(rows, rows)])
    assert part == pytest.approx(slow_cka(x[rows], y[rows]), rel=1e-10)


def test_cka_knows_a_rotated_and_a_scaled_copy():
    x, y = draw(3, 6, (18, 18))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    assert linear_cka(gram(x), gram(x @ turn * 5 + 2)) == pytest.approx(1, abs=1e-12)
    assert linear_cka(gram(x @ turn), gram(0.01 * y - 3)) == pytest.approx(linear_cka(gram(x), gram(y)))
    assert linear_cka(gram(x), gram(y)) == linear_cka(gram(y), gram(x))


def test_cka_of_rows_that_are_all_the_same():
    """Also where the rest of the cloud is not, and centring leaves some rounding."""
    x, y = gram(draw(4, 3, (9,))[0]), gram(np.ones((9, 3)))
    level = np.full((9, 9), 0.1) + np.random.default_rng(0).normal(size=(9, 9)) * 1e-16
    for flat in (y, level):
        assert math.isnan(linear_cka(x, flat))
        assert math.isnan(linear_cka(flat, x))


# Classifier


def slow_error(x, y, folds_x, folds_y, make):
    rows, folds = np.concatenate([x, y]), np.concatenate([folds_x, folds_y])
    sides = np.array([1] * len(x) + [-1] * len(y))
    wrong = 0
    for fold in set(folds.tolist()):
        seen = folds != fold
        fitted = make_pipeline(StandardScaler(), make(int(seen.sum()))).fit(rows[seen], sides[seen])
        wrong += (fitted.predict(rows[~seen]) != sides[~seen]).sum()
    return wrong / len(rows)


@pytest.mark.parametrize("width", [3, 80])
@pytest.mark.parametrize("apart", [0.0, 0.3, 1.0])
def test_error_against_scikit_learn_s_ridge(width, apart):
    source = np.random.default_rng(5)
    scales = 10 ** source.normal(size=width)
    for _ in range(4):
        x = source.normal(size=(40, width)) * scales
        y = (source.normal(size=(33, width)) + apart) * scales
        x[:, 0] = y[:, 0] = 2  # a column without spread
        folds = source.integers(0, 5, 40), source.integers(0, 5, 33)
        found = classifier_error(x, y, *folds)
        assert found == pytest.approx(slow_error(x, y, *folds, lambda n: RidgeClassifier(alpha=n)))


def test_error_is_near_a_logistic_regression_s():
    source = np.random.default_rng(6)
    folds = np.arange(100) % 5
    for apart in (0.05, 0.1, 0.2, 0.4):
        x, y = source.normal(size=(100, 40)), source.normal(size=(100, 40)) + apart
        logistic = slow_error(x, y, folds, folds, lambda n: LogisticRegression(C=0.01))
        assert classifier_error(x, y, folds, folds) == pytest.approx(logistic, abs=0.06)


def test_error_of_separated_and_of_mixed_clouds():
    source = np.random.default_rng(7)
    folds = np.arange(100) % 5
    x = source.normal(size=(100, 10))
    assert classifier_error(x, x + 20, folds, folds) == 0
    found = [classifier_error(*source.normal(size=(2, 100, 10)), folds, folds) for _ in range(20)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.04)


def test_the_same_cloud_twice_is_half_wrong():
    """With a row and its copy in one fold; in different ones the copy is learned, and told wrong."""
    x = np.random.default_rng(8).normal(size=(60, 40))
    folds = np.arange(60) % 5
    assert classifier_error(x, x, folds, folds) == 0.5
    assert classifier_error(x, x, folds, np.roll(folds, 1)) > 0.6


def test_nothing_to_learn_from_is_a_guess():
    x, y = np.random.default_rng(9).normal(size=(2, 12, 3))
    y = y + 50
    one, two = np.zeros(12, dtype=int), np.ones(12, dtype=int)
    assert classifier_error(x, y, one, one) == 0.5
    assert classifier_error(x, y, one, two) == 0.5
    assert classifier_error(np.ones((12, 3)), np.ones((12, 3)), np.arange(12) % 2, np.arange(12) % 2) == 0.5


# All of them


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 6), st.lists(st.integers(2, 9), min_size=2, max_size=5), st.data())
def test_matrices_are_symmetric_finite_and_follow_the_clouds(seed, width, sizes, data):
    some = draw(seed, width, sizes)
    order = data.draw(st.permutations(range(len(some))))
    for distance in (centred_cosines, frechet, lambda clouds: mmd(clouds, 2.0)):
        found = distance(some)
        np.testing.assert_array_equal(found, found.T)
        assert np.isfinite(found).all()
        moved = distance([some[place] for place in order])
        np.testing.assert_allclose(moved, found[np.ix_(order, order)], rtol=1e-7, atol=1e-7)
    assert (frechet(some) >= 0).all()
    assert (np.abs(centred_cosines(some)) <= 1).all()
