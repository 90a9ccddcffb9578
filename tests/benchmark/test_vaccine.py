"""PCGrad and Gradient Vaccine on Gram matrices, against the literal algorithm on vectors and against torchjd."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.training.vaccine import NEAREST, cosines, vaccinate


def gram(vectors):
    return vectors @ vectors.T


def draw_orders(random, n):
    return np.array([random.permutation([j for j in range(n) if j != i]) for i in range(n)]).reshape(n, n - 1)


def literal(vectors, targets, beta, orders):
    """The papers' algorithm, one pair of vectors after the other; moves the targets."""
    corrected = vectors.copy()
    for i, others in enumerate(orders):
        for j in others:
            size = np.linalg.norm(corrected[i]) * np.linalg.norm(vectors[j])
            cosine, target = corrected[i] @ vectors[j] / size, targets[i, j]
            if cosine < target:
                rise = target * math.sqrt(1 - cosine**2) - cosine * math.sqrt(1 - target**2)
                slope = np.linalg.norm(vectors[j]) * math.sqrt(1 - target**2)
                corrected[i] += np.linalg.norm(corrected[i]) * rise / slope * vectors[j]
            targets[i, j] = (1 - beta) * target + beta * cosine
    return corrected


def related(random, n, size, common):
    """Random vectors with a common part: from conflict to agreement."""
    return random.normal(size=(n, size)) * random.uniform(0.1, 3, (n, 1)) + common * random.normal(size=size)


@pytest.mark.parametrize("n", range(2, 21))
@pytest.mark.parametrize("beta", [0.0, 0.01, 0.5, 1.0])
def test_against_the_literal_algorithm(n, beta):
    random = np.random.default_rng(n)
    found, expected = np.zeros((2, n, n)), np.zeros((2, n, n))
    for step in range(4):  # targets move along
        orders = draw_orders(random, n)
        vectors = np.stack([related(random, n, 30, 0.3 * step), related(random, n, 30, -0.1)])
        grams = np.stack([gram(one) for one in vectors])
        combined = vaccinate(grams, found, beta, orders)
        for block in range(2):
            corrected = literal(vectors[block], expected[block], beta, orders)
            np.testing.assert_allclose(combined[block] @ vectors[block], corrected, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
    assert n == 2 or (combined != np.eye(n)).any()


@pytest.mark.parametrize("n", [2, 3, 7, 20])
def test_pcgrad_against_torchjd(n, monkeypatch):
    torch = pytest.importorskip("torch")
    torchjd = pytest.importorskip("torchjd.aggregation")
    random = np.random.default_rng(n)
    vectors = related(random, n, 25, 0.1)
    vectors[0] -= vectors[1]
    orders = draw_orders(random, n)
    drawn = iter([torch.tensor([*order, place]) for place, order in enumerate(orders)])
    monkeypatch.setattr(torch, "randperm", lambda count: next(drawn))
    expected = torchjd.PCGradWeighting()(torch.from_numpy(gram(vectors))).numpy()
    found = vaccinate(gram(vectors)[None], np.zeros((1, n, n)), 0.0, orders)[0].sum(0)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert not np.allclose(found, 1)


@pytest.mark.parametrize("n", [2, 3, 7, 20])
@pytest.mark.parametrize("beta", [0.01, 0.5])
def test_gradvac_against_torchjd(n, beta, monkeypatch):
    torch = pytest.importorskip("torch")
    torchjd = pytest.importorskip("torchjd.aggregation")
    theirs = torchjd.GradVacWeighting(beta=beta, eps=0.0)
    random = np.random.default_rng(n)
    targets = np.zeros((1, n, n))
    for step in range(5):
        vectors = related(random, n, 25, 0.3 * step)
        orders = draw_orders(random, n)
        # Theirs are places among the others.
        drawn = iter([torch.from_numpy(order - (order > place)) for place, order in enumerate(orders)])
        monkeypatch.setattr(torch, "randperm", lambda count, drawn=drawn: next(drawn))
        expected = theirs(torch.from_numpy(gram(vectors))).numpy()
        found = vaccinate(gram(vectors)[None], targets, beta, orders)[0].sum(0)
        np.testing.assert_allclose(found, expected, rtol=1e-8)
        np.testing.assert_allclose(targets[0], theirs._phi_t.numpy(), rtol=1e-8, atol=1e-12)


def test_pcgrad_is_a_projection():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(2, 9))
    vectors[1] -= vectors[0]
    combined = vaccinate(gram(vectors)[None], np.zeros((1, 2, 2)), 0.0, np.array([[1], [0]]))[0] @ vectors
    for i, j in ((0, 1), (1, 0)):
        along = vectors[j] / np.linalg.norm(vectors[j])
        np.testing.assert_allclose(combined[i], vectors[i] - vectors[i] @ along * along)


def test_no_conflict_no_correction():
    vectors = np.abs(np.random.default_rng(0).normal(size=(5, 9)))
    targets = np.zeros((1, 5, 5))
    orders = draw_orders(np.random.default_rng(1), 5)
    assert (vaccinate(gram(vectors)[None], targets, 0.25, orders) == np.eye(5)).all()
    expected = 0.25 * cosines(gram(vectors)[None])[0]
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(targets[0], expected)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_two_identical_languages_are_left_alone(beta):
    random = np.random.default_rng(0)
    targets = np.zeros((1, 2, 2))
    for dtype in (np.float64, np.float32):
        for _ in range(20):
            vector = random.normal(size=300).astype(dtype)
            grams = gram(np.stack([vector, vector])).astype(np.float64)[None]
            grams[0, 0, 1] *= 1 + random.normal() * np.finfo(dtype).eps  # rounding
            assert (vaccinate(grams, targets, beta, np.array([[1], [0]])) == np.eye(2)).all()


@given(st.floats(-1 + 1e-6, 1), st.floats(-1, 1), st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0, 1))
def test_after_one_correction_the_cosine_is_the_target(cosine, target, first, second, beta):
    vectors = np.array([[first * cosine, first * math.sqrt(1 - cosine**2)], [second, 0.0]])
    targets = np.array([[[0.0, target], [-1.0, 0.0]]])
    combined = vaccinate(gram(vectors)[None], targets, beta, np.array([[1], [0]]))[0]
    corrected = combined @ vectors
    assert np.isfinite(combined).all()
    found = corrected[0] @ vectors[1] / (np.linalg.norm(corrected[0]) * second)
    aim = min(max(target, -NEAREST), NEAREST)
    assert found == pytest.approx(max(cosine, aim), abs=1e-6)
    assert targets[0, 0, 1] == pytest.approx((1 - beta) * target + beta * cosine, abs=1e-9)
    # The part of it that is no part of the other stays.
    assert corrected[0, 1] == pytest.approx(vectors[0, 1])
    assert np.abs(combined).max() <= 200 * max(1, first / second)


def test_a_gradient_of_zero_takes_no_part():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(4, 9))
    vectors[2] = 0
    start = random.uniform(-0.5, 0.5, (1, 4, 4))
    targets, others = start.copy(), start[:, [0, 1, 3]][:, :, [0, 1, 3]].copy()
    orders = np.array([[2, 1, 3], [0, 3, 2], [0, 1, 3], [1, 2, 0]])
    without = np.array([[1, 2], [0, 2], [1, 0]])
    found = vaccinate(gram(vectors)[None], targets, 0.3, orders)[0]
    assert (found[2] == np.eye(4)[2]).all()
    assert (found[:, 2] == np.eye(4)[2]).all()
    assert (targets[0, 2] == start[0, 2]).all()
    assert (targets[0, :, 2] == start[0, :, 2]).all()
    kept = vectors[[0, 1, 3]]
    np.testing.assert_allclose(
        found[[0, 1, 3]][:, [0, 1, 3]], vaccinate(gram(kept)[None], others, 0.3, without)[0], rtol=1e-12
    )
    np.testing.assert_allclose(targets[0][np.ix_([0, 1, 3], [0, 1, 3])], others[0])
    assert (vaccinate(np.zeros((1, 4, 4)), start, 0.3, orders) == np.eye(4)).all()


def test_what_is_left_of_an_opposite_is_nothing():
    """Rounding has a direction, but no meaning: it is not corrected further and moves no target."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(3, 9))
    vectors[1] = -1.7 * vectors[0]
    targets = np.zeros((1, 3, 3))
    found = vaccinate(gram(vectors)[None], targets, 0.5, np.array([[1, 2], [0, 2], [0, 1]]))[0]
    np.testing.assert_allclose((found @ vectors)[:2], 0, atol=1e-12)
    np.testing.assert_allclose([targets[0, 0, 1], targets[0, 1, 0]], -0.5)
    assert targets[0, 0, 2] == targets[0, 1, 2] == 0


def test_a_training_that_diverges_ends_by_its_loss():
    random = np.random.default_rng(0)
    for value in (np.nan, np.inf):
        grams = gram(random.normal(size=(3, 9)))[None]
        grams[0, 1, :] = grams[0, :, 1] = value
        targets = np.zeros((1, 3, 3))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            vaccinate(grams, targets, 0.5, np.array([[1, 2], [0, 2], [1, 0]]))
            cosines(grams)


@given(st.integers(2, 8), st.integers(0, 2**32), st.sampled_from([0.0, 0.01, 0.5, 1.0]))
def test_permuting_the_languages_permutes_nothing_but_rounding(n, seed, beta):
    random = np.random.default_rng(seed)
    vectors, start = random.normal(size=(n, 6)), random.uniform(-0.9, 0.9, (1, n, n))
    orders, places = draw_orders(random, n), random.permutation(n)
    back = np.argsort(places)
    targets, moved = start.copy(), start[:, places][:, :, places].copy()
    found = vaccinate(gram(vectors)[None], targets, beta, orders)[0]
    permuted = vaccinate(gram(vectors[places])[None], moved, beta, back[orders[places]])[0]
    np.testing.assert_allclose(permuted, found[np.ix_(places, places)], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(moved[0], targets[0][np.ix_(places, places)], rtol=1e-6, atol=1e-8)


@given(st.integers(2, 6), st.integers(0, 2**32), st.floats(0, 1))
def test_always_finite(n, seed, beta):
    """Also with few dimensions, where gradients are parallel, opposite or zero; and however often it is called."""
    random = np.random.default_rng(seed)
    targets = np.zeros((2, n, n))
    for _ in range(5):
        grams = np.stack(
            [gram(random.integers(-1, 2, (n, size)) * 10.0 ** random.integers(-9, 9)) for size in (1, 2)]
        )
        combined = vaccinate(grams, targets, beta, draw_orders(random, n))
        assert np.isfinite(combined).all()
        assert (np.abs(targets) <= 1 + 1e-12).all()
        assert (np.diagonal(combined, axis1=1, axis2=2) == 1).all()


def test_cosines():
    vectors = np.array([[3.0, 0.0], [0.0, 0.0], [-1.0, 1.0]])
    found = cosines(gram(vectors)[None])[0]
    np.testing.assert_allclose(found[np.ix_([0, 2], [0, 2])], [[1, -math.sqrt(0.5)], [-math.sqrt(0.5), 1]])
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1]).all()
