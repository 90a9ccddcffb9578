from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from leaderboard import resampling
from leaderboard.ranking import prepared, weighted_per_target
from leaderboard.resampling import permuted_statistics
from leaderboard.statistics import (
    centre,
    matrix_spearman,
    node_bootstrap_interval,
    per_target_spearman,
    qap_p,
    seed_interval,
)

STATISTICS = {"spearman": matrix_spearman, "per-target": per_target_spearman}


def case(seed, n, missing=0.0, targets_only=0, related=1.0, levels=None):
    rng = np.random.default_rng(seed)
    T = rng.normal(size=(n, n))
    S = related * T + rng.normal(size=(n, n))
    if levels:
        S, T = np.round(S * levels) / levels, np.round(T * levels) / levels
    S[rng.random((n, n)) < missing] = np.nan
    if targets_only:
        T[-targets_only:] = np.nan
    return S, T


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("targets_only", [0, 2])
def test_fast_permutations_agree_with_permuting_the_matrix(statistic, missing, holes, targets_only):
    S, T = case(7, 7, missing, targets_only, levels=2)
    if holes:
        T[0, 3] = np.nan
    if statistic == "per-target":
        T[:5, 6] = 0.5  # a column to be dropped
        S[:, 2] = 0.5  # one that counts as 0
    rng = np.random.default_rng(0)
    trainable = 7 - targets_only
    orders = np.array([[*rng.permutation(trainable), *range(trainable, 7)] for _ in range(30)])
    expected = [STATISTICS[statistic](S[np.ix_(p, p)], T) or 0.0 for p in orders]
    found = permuted_statistics(*prepared(S, T), orders, statistic)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("targets_only", [0, 1])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_qap_p_is_the_enumerated_p(statistic, targets_only, centred, missing, monkeypatch):
    S, T = case(4, 6, missing, targets_only, related=0.3, levels=3)
    if missing:
        T[0, 3] = np.nan
    trainable = 6 - targets_only
    orders = [[*p, *range(trainable, 6)] for p in permutations(range(trainable))]
    pairs = [prepared(S[np.ix_(p, p)], T, centred) for p in orders]
    null = np.array([STATISTICS[statistic](*pair) or 0.0 for pair in pairs])
    exact = np.mean(np.abs(null) >= abs(null[0]) - 1e-12)
    assert 0.01 < exact < 0.95
    assert qap_p(S, T, statistic=statistic, centred=centred) == pytest.approx(exact)
    monkeypatch.setattr(resampling, "_ENUMERATED", 0)
    m = 3_000
    found = qap_p(S, T, m, seed=1, statistic=statistic, centred=centred)
    assert found != exact
    assert abs(found - exact) < 4 * np.sqrt(exact * (1 - exact) / m) + 1 / m


def test_up_to_seven_sources_every_permutation_is_tried_once():
    for n, m in ((2, 1), (3, 5), (7, 5039), (8, 30)):
        T = np.random.default_rng(0).normal(size=(n + 1, n + 1))
        T[1] = np.nan  # a target only
        orders = resampling.source_orders(T, 30, 0)
        assert orders.shape == (m, n + 1)
        assert (orders[:, 1] == 1).all()
        assert (np.sort(orders, axis=1) == np.arange(n + 1)).all()
        assert n == 8 or len(np.unique(orders, axis=0)) == m
        assert n == 8 or (orders != np.arange(n + 1)).any(axis=1).all()


def test_qap_p_agrees_with_scikit_bios_mantel():
    distance = pytest.importorskip("skbio.stats.distance")
    S, T = case(3, 9, related=0.0)
    S, T = S + S.T, T + T.T
    np.fill_diagonal(S, 0)
    np.fill_diagonal(T, 0)
    expected = distance.mantel(
        distance.DistanceMatrix(S), distance.DistanceMatrix(T), method="spearman", permutations=9999, seed=1
    )
    assert matrix_spearman(S, T) == pytest.approx(expected[0])
    assert 0.005 < expected[1] < 0.9
    assert qap_p(S, T, 9999, seed=2) == pytest.approx(expected[1], abs=0.03)


def test_qap_p_edges():
    S, T = case(1, 6)
    assert qap_p(S, np.ones((6, 6))) is None
    assert qap_p(np.ones((6, 6)), T, 99) == 1.0
    S, T = case(1, 12, related=5)
    assert qap_p(S, T, 199) == 1 / 200
    assert qap_p(S, T, 199, seed=4) == qap_p(S, T, 199, seed=4)


@pytest.mark.parametrize(
    ("statistic", "centred"), [("spearman", False), ("per-target", False), ("per-target", True)]
)
def test_qap_p_is_uniform_without_relation(statistic, centred):
    ps = [qap_p(*case(seed, 8, related=0.0), 99, seed, statistic, centred) for seed in range(300)]
    assert abs(np.mean(np.array(ps) <= 0.1) - 0.1) < 0.06
    assert abs(np.mean(ps) - 0.5) < 0.07


def literal_copies(S, T, weights):
    """Copies of languages as languages of their own; two copies of one language are no pair."""
    who = np.repeat(np.arange(len(T)), weights)
    block = np.ix_(who, who)
    S, T = S[block].copy(), T[block].copy()
    T[who[:, None] == who[None, :]] = np.nan
    return per_target_spearman(S, T) if len(who) else None


@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.sampled_from([0.0, 0.3]), st.sampled_from([None, 1]))
@settings(max_examples=80, deadline=None)
def test_weights_are_literal_copies(seed, n, missing, levels):
    S, T = case(seed, n, missing, levels=levels, targets_only=seed % 2)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=4)
    found = weighted_per_target(*prepared(S, T), weights.astype(float))
    for w, value in zip(weights, found, strict=True):
        # A target-only language's row stays empty, so sources are the same ones in the copy.
        expected = literal_copies(*prepared(S, T), w)
        if expected is None:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(expected, abs=1e-12)


def test_the_interval_is_the_percentiles_of_the_draws():
    S, T = case(5, 10, targets_only=1)
    draws = np.random.default_rng(3).multinomial(10, np.full(10, 0.1), size=200)
    for centred, pair in ((False, (S, T)), (True, prepared(S, T, centred=True))):
        values = [literal_copies(*pair, w) for w in draws]
        expected = np.percentile([v for v in values if v is not None], [2.5, 97.5])
        assert node_bootstrap_interval(S, T, centred, 200, 3) == pytest.approx(expected)
    off = ~np.eye(10, dtype=bool)
    whole = case(5, 10)[1]
    np.testing.assert_allclose(prepared(S, whole, centred=True)[1][off], centre(whole)[off])


def test_the_interval_holds_the_truth_and_narrows_with_more_languages():
    widths = []
    for n in (8, 40):
        S, T = case(2, n)
        low, high = node_bootstrap_interval(S, T, draws=400)
        assert low < per_target_spearman(S, T) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    assert node_bootstrap_interval(S, np.ones_like(T)) is None


def test_seed_interval_is_the_t_interval():
    gains = [0.02, 0.05, 0.01, 0.03]
    expected = ttest_1samp(gains, 0).confidence_interval(0.95)
    assert seed_interval(gains) == pytest.approx((expected.low, expected.high))
    assert seed_interval([0.1]) is None
    assert seed_interval([0.1, 0.1]) == pytest.approx((0.1, 0.1))
