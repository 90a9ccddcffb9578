from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score

from leaderboard import ranking
from leaderboard.ranking import deviations, prepared, regret_at_k, weighted_per_target, weighted_per_targets
from leaderboard.statistics import (
    centre,
    correlations,
    matrix_pearson,
    matrix_spearman,
    ndcg_at_k,
    ndcg_chance,
    noise_ceiling,
    per_target_spearman,
    regret_at_1,
)

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(2, 8)


def random_case(seed, n, missing=0.0, targets_only=0, levels=None):
    rng = np.random.default_rng(seed)
    S, T = rng.normal(size=(2, n, n)) if levels is None else rng.integers(levels, size=(2, n, n)).astype(float)
    S[rng.random((n, n)) < missing] = np.nan
    T[rng.random((n, n)) < missing / 2] = np.nan
    if targets_only:
        T[-targets_only:] = np.nan
    return S, T


def fitted_by_lstsq(M):
    n = len(M)
    known = [(s, t) for s, t in product(range(n), repeat=2) if s != t and np.isfinite(M[s, t])]
    design = np.zeros((len(known), 1 + 2 * n))
    for row, (s, t) in enumerate(known):
        design[row, [0, 1 + s, 1 + n + t]] = 1
    y = np.array([M[cell] for cell in known])
    expected = np.full((n, n), np.nan)
    if known:
        residual = y - design @ np.linalg.lstsq(design, y)[0]
        for cell, value in zip(known, residual, strict=True):
            expected[cell] = value
    return expected


@given(SEEDS, SIZES, st.sampled_from([0.0, 0.2, 0.6]), st.sampled_from([1e-6, 1.0, 1e6]))
@settings(max_examples=80, deadline=None)
def test_centre_is_the_least_squares_residual(seed, n, missing, scale):
    M = random_case(seed, n, missing)[0] * scale + 3 * scale
    np.testing.assert_allclose(centre(M), fitted_by_lstsq(M), atol=1e-8 * scale)


def test_centre_leaves_exact_zeros_of_effects_alone():
    rng = np.random.default_rng(1)
    source, target = rng.normal(size=(2, 9))
    M = 1e4 + source[:, None] + target[None, :]
    M[2, 5] = np.nan
    off = ~np.eye(9, dtype=bool)
    off[2, 5] = False
    assert (centre(M)[off] == 0).all()
    assert np.isnan(centre(M)[~off]).all()


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 2)])
def test_centre_refuses_what_is_not_square(shape):
    with pytest.raises(ValueError, match="square"):
        centre(np.zeros(shape))


def by_hand_per_target(S, T, centred=False):
    """The definition, spelled out with scipy, for S and T without constant columns."""
    sources = [s for s in range(len(T)) if np.isfinite(np.delete(T[s], s)).any()]
    if centred:
        S = S.copy()
        S[[s for s in range(len(T)) if s not in sources]] = np.nan
        S, T = fitted_by_lstsq(S), fitted_by_lstsq(T)
    values = []
    for t in range(len(T)):
        use = [s for s in sources if s != t]
        values.append(spearmanr(S[use, t], T[use, t]).statistic)
    return np.mean(values)


@pytest.mark.parametrize("targets_only", [0, 2])
@pytest.mark.parametrize("centred", [False, True])
def test_per_target_is_the_mean_of_scipys_spearman(targets_only, centred):
    S, T = random_case(5, 9, targets_only=targets_only)
    expected = by_hand_per_target(S, T, centred)
    assert per_target_spearman(S, T, centred) == pytest.approx(expected, abs=1e-12)


def test_a_target_only_language_is_no_source():
    S, T = random_case(5, 6, targets_only=1)
    changed = S.copy()
    changed[-1] = 1e9
    for centred in (False, True):
        assert per_target_spearman(changed, T, centred) == per_target_spearman(S, T, centred)
    assert matrix_pearson(changed, T) == matrix_pearson(S, T)


def test_constant_columns_and_missing_cells():
    _, T = random_case(2, 5)
    S = T.copy()
    assert per_target_spearman(S, T) == 1.0
    S[:, 0] = 7.0
    assert per_target_spearman(S, T) == pytest.approx(4 / 5)  # a constant column of S counts as 0
    flat = T.copy()
    flat[:, 0] = 0.3
    assert per_target_spearman(S, flat) == 1.0  # the column is dropped
    flat[:] = 0.3
    assert per_target_spearman(S, flat) is None
    assert per_target_spearman(np.full((5, 5), np.nan), T) == 0.0
    # Missing takes the mid-rank: values 1, 3 and missing, which is between them.
    S = np.full((4, 4), np.nan)
    T = np.full((4, 4), np.nan)
    S[:3, 3], T[:3, 3] = [1, np.nan, 3], [0.1, 0.2, 0.3]
    assert per_target_spearman(S, T) == 1.0
    T[:3, 3] = [0.2, 0.1, 0.3]  # rank deviations (-.5, 0, .5) and (0, -1, 1)
    assert per_target_spearman(S, T) == pytest.approx(0.5 / np.sqrt(0.5 * 2))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_pure_source_or_target_effects_score_zero_when_centred(axis, offset):
    rng = np.random.default_rng(3)
    effect = offset + rng.random(10)
    S = np.broadcast_to(np.expand_dims(effect, axis=axis), (10, 10)).copy()
    T = rng.random((10, 10))
    assert per_target_spearman(S, T, centred=True) == 0.0
    assert per_target_spearman(T, S, centred=True) is None


def test_centring_keeps_ties():
    # Two scripts of equal size: all languages have equal effects, so equal cells stay equal.
    script = np.arange(8) % 2
    S = (script[:, None] == script[None, :]) * 0.1
    C = centre(S)
    assert len(np.unique(C[~np.eye(8, dtype=bool)])) == 2


def test_matrix_correlations_agree_with_scipy():
    S, T = random_case(8, 7, missing=0.2, targets_only=1, levels=4)
    both = np.isfinite(S) & np.isfinite(T) & ~np.eye(7, dtype=bool)
    assert matrix_spearman(S, T) == pytest.approx(spearmanr(S[both], T[both]).statistic)
    assert matrix_pearson(S, T) == pytest.approx(np.corrcoef(S[both], T[both])[0, 1])
    assert matrix_spearman(np.full((7, 7), 0.1), T) == 0.0
    assert matrix_spearman(T, np.full((7, 7), 0.1)) is None
    assert matrix_spearman(np.full((7, 7), np.nan), T) is None


def brute_force_ndcg(S, T, k):
    """Every order of ties in S and in T, spelled out."""
    values = []
    n = len(S)
    for t in range(n):
        sources = [s for s in range(n) if s != t]
        s_col, t_col = S[sources, t], T[sources, t]
        if np.ptp(t_col) == 0:
            continue
        m = len(sources)
        gains = [2.0 ** max(k - i, 0) - 1 for i in range(m)]
        ideal = sum(g / np.log2(i + 2) for i, g in enumerate(gains[:k]))

        def orders(column, m=m):
            return [
                p for p in permutations(range(m)) if all(column[p[i]] >= column[p[i + 1]] for i in range(m - 1))
            ]

        found = []
        for truth, guess in product(orders(t_col), orders(s_col)):
            gain = dict(zip(truth, gains, strict=True))
            found.append(sum(gain[s] / np.log2(i + 2) for i, s in enumerate(guess[:k])) / ideal)
        values.append(np.mean(found))
    return np.mean(values) if values else None


@given(SEEDS, st.integers(2, 5), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_ndcg_is_the_mean_over_all_orders_of_ties(seed, n, k):
    S, T = random_case(seed, n, levels=3)
    expected = brute_force_ndcg(S, T, k)
    assert ndcg_at_k(S, T, k) == (None if expected is None else pytest.approx(expected))


def test_ndcg_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    T = rng.random((9, 9))
    S = rng.integers(3, size=(9, 9)).astype(float)
    values = []
    for t in range(9):
        use = [s for s in range(9) if s != t]
        gains = np.zeros(8)
        gains[np.argsort(-T[use, t])[:3]] = [7, 3, 1]
        values.append(ndcg_score([gains], [S[use, t]], k=3))
    assert ndcg_at_k(S, T) == pytest.approx(np.mean(values))
    assert ndcg_at_k(T, T) == pytest.approx(1.0)


@pytest.mark.parametrize("n", [2, 3, 4, 6, 7])
@pytest.mark.parametrize("k", [1, 3])
def test_ndcg_chance_is_the_mean_over_all_orders(n, k):
    m = n - 1
    gains = np.array([2.0 ** max(k - i, 0) - 1 for i in range(m)])
    discounts = np.array([1 / np.log2(i + 2) if i < k else 0 for i in range(m)])
    found = [gains[list(p)] @ discounts / (gains @ discounts) for p in permutations(range(m))]
    assert ndcg_chance(n, k) == pytest.approx(np.mean(found))


def test_ndcg_chance_for_three():
    assert ndcg_chance(20) == pytest.approx(11 / 19 * 2.131 / 9.393, rel=1e-3)
    with pytest.raises(ValueError, match="at least 2"):
        ndcg_chance(1)


def test_regret_by_hand():
    T_dev = np.array([[0, 0, 9], [9, 0, 1], [1, 5, 0.0]])
    T_test = np.array([[0, 0.2, 0.7], [0.6, 0, 0.4], [0.5, 0.3, 0.0]])
    S = np.array([[0, 1, 1], [1, 0, 2], [2, 1, 0.0]])
    # target 0: dev picks 1 (.6), S picks 2 (.5)
    # target 1: dev picks 2 (.3), S ties 0 and 2 (.25)
    # target 2: dev picks 0 (.7), S picks 1 (.4)
    assert regret_at_1(S, T_dev, T_test) == pytest.approx((0.1 + 0.05 + 0.3) / 3)
    assert regret_at_1(T_dev, T_dev, T_test) == pytest.approx(0.0)
    assert regret_at_1(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 2))) is None


def brute_force_regret(S, T_dev, T_test, k):
    """Every order of ties in S and in T_dev, spelled out."""
    values = []
    for t in range(len(T_test)):
        known = np.isfinite(T_test[:, t]) & np.isfinite(T_dev[:, t])
        sources = [s for s in np.flatnonzero(known) if s != t]
        if len(sources) < 2:
            continue
        by_measure = [deviations(S[sources, t])[i] for i in range(len(sources))]  # missing: the mid-rank
        dev, test = T_dev[sources, t], T_test[sources, t]

        def kept(tried, dev=dev, test=test):
            best = [i for i in tried if dev[i] == max(dev[j] for j in tried)]
            return np.mean([test[i] for i in best])

        orders = [
            p
            for p in permutations(range(len(sources)))
            if all(by_measure[p[i]] >= by_measure[p[i + 1]] for i in range(len(p) - 1))
        ]
        values.append(kept(range(len(sources))) - np.mean([kept(p[:k]) for p in orders]))
    return np.mean(values) if values else None


@given(SEEDS, st.integers(2, 6), st.integers(1, 5), st.sampled_from([2, 3, None]), st.sampled_from([0.0, 0.2]))
@settings(max_examples=60, deadline=None)
def test_regret_is_the_mean_over_all_orders_of_ties(seed, n, k, levels, missing):
    S, T = random_case(seed, n, missing, seed % 2, levels)
    T_dev = random_case(seed + 1, n, levels=levels)[0]
    S[~(np.isfinite(T) & ~np.eye(n, dtype=bool)).any(axis=1)] = np.nan  # no sources
    expected = brute_force_regret(S, T_dev, T, k)
    expected = None if expected is None else pytest.approx(expected, abs=1e-12)
    assert regret_at_k(S, T_dev, T, k) == expected
    if k == 1:
        assert regret_at_1(S, T_dev, T) == expected


def test_regret_of_several_tries_by_hand():
    # One target, four sources. Dev would choose the last of all; by S it is the third to be tried.
    S, T_dev, T_test = np.full((3, 5, 5), np.nan)
    S[:4, 4], T_dev[:4, 4], T_test[:4, 4] = [4, 3, 1, 2], [0.1, 0.2, 0.3, 0.4], [0.5, 0.7, 0.9, 0.6]
    assert regret_at_k(S, T_dev, T_test, 1) == pytest.approx(0.6 - 0.5)
    assert regret_at_k(S, T_dev, T_test, 2) == pytest.approx(0.6 - 0.7)  # below 0: dev misleads
    assert regret_at_k(S, T_dev, T_test, 3) == 0.0
    assert regret_at_k(S, T_dev, T_test, 9) == 0.0
    assert regret_at_k(np.full((5, 5), np.nan), T_dev, T_test, 4) == 0.0
    with pytest.raises(ValueError, match="at least 1, found 0"):
        regret_at_k(S, T_dev, T_test, 0)


def test_more_tries_lose_less_where_dev_is_test():
    S, T = random_case(3, 9)
    regrets = [regret_at_k(S, T, T, k) for k in range(1, 9)]
    assert regrets == sorted(regrets, reverse=True)
    assert regrets[0] > regrets[2] > regrets[-1] == 0


def test_noise_ceiling():
    rng = np.random.default_rng(4)
    T = rng.normal(size=(8, 8))
    seeds = [T + 0.5 * rng.normal(size=T.shape) for _ in range(3)]
    off = ~np.eye(8, dtype=bool)
    r = np.mean([np.corrcoef(seeds[i][off], seeds[j][off])[0, 1] for i, j in ((0, 1), (0, 2), (1, 2))])
    assert noise_ceiling(seeds) == pytest.approx(np.sqrt(3 * r / (1 + 2 * r)))
    assert noise_ceiling([T]) is None
    assert noise_ceiling([T, np.full((8, 8), 0.5)]) is None
    assert noise_ceiling([T, -T]) == 0.0
    assert noise_ceiling([T, T]) == pytest.approx(1.0)


POINT = [
    per_target_spearman,
    lambda S, T: per_target_spearman(S, T, centred=True),
    matrix_spearman,
    matrix_pearson,
    ndcg_at_k,
    lambda S, T: regret_at_1(S, T, np.where(np.isnan(T), T, np.sin(T))),
    lambda S, T: noise_ceiling([S, T]),
    lambda S, T: regret_at_k(S, T, np.where(np.isnan(T), T, np.sin(T)), 3),
]


@given(SEEDS, SIZES, st.sampled_from([0.0, 0.3]), st.sampled_from([0, 1]), st.sampled_from([None, 2]))
@settings(max_examples=60, deadline=None)
def test_renaming_languages_changes_no_statistic(seed, n, missing, targets_only, levels):
    S, T = random_case(seed, n, missing, targets_only, levels)
    p = np.random.default_rng(seed).permutation(n)
    block = np.ix_(p, p)
    for statistic in POINT:
        before, after = statistic(S, T), statistic(S[block], T[block])
        assert after == (None if before is None else pytest.approx(before, abs=1e-9))


@given(SEEDS, SIZES, st.sampled_from([0.0, 0.3]), st.sampled_from([None, 3]))
@settings(max_examples=40, deadline=None)
def test_monotone_transforms_of_s_change_no_rank_statistic(seed, n, missing, levels):
    S, T = random_case(seed, n, missing, levels=levels)
    for statistic in (POINT[0], POINT[2], POINT[4], POINT[5], POINT[7]):
        assert statistic(np.exp(S) * 5 - 2, T) == statistic(S, T)


@given(SEEDS, st.integers(1, 6), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([None, 1, 2]))
@settings(max_examples=40, deadline=None)
def test_correlations_are_finite_or_none_and_deterministic(seed, n, missing, levels):
    S, T = random_case(seed, n, missing, levels=levels)
    S[0] = np.inf

    def once():
        return correlations(S, T, T, [T, S], seed=seed, draws=50, permutations=20)

    assert once() == once()
    for name, value in once():  # the model refuses what is not finite
        if name == "mrqap":
            assert value.p is None or 0 < value.p <= 1
            continue
        low, high = (-1, 1) if not name.startswith("regret") else (-np.inf, np.inf)
        for number in value if isinstance(value, tuple) else [value]:
            assert number is None or low <= number <= high


@pytest.mark.parametrize("at_once", [1, 20, 10_000])
def test_several_measures_at_once_are_each_alone_in_whatever_parts(monkeypatch, at_once):
    rng = np.random.default_rng(5)
    T = np.round(rng.normal(size=(7, 7)), 1)
    T[6] = np.nan
    T[2, 4] = np.nan
    T[:, 3] = 0.5
    S = [np.round(rng.normal(size=(7, 7)), 1), np.ones((7, 7)), T]
    S[0][1, 2] = np.nan
    weights = rng.multinomial(7, np.full(7, 1 / 7), size=60).astype(float)
    weights[0] = np.eye(7)[0] * 7  # one language alone: no target is left
    pairs = [prepared(one, T) for one in S]
    alone = np.array([weighted_per_target(*pair, weights) for pair in pairs])
    monkeypatch.setattr(ranking, "_WEIGHTS_AT_ONCE", at_once)
    together = weighted_per_targets([similarity for similarity, _ in pairs], pairs[0][1], weights)
    np.testing.assert_array_equal(together, alone)
    assert np.isnan(together[:, 0]).all()
    known = np.isfinite(together[2])
    assert known.sum() > 50
    np.testing.assert_allclose(together[2, known], 1.0)
    assert np.all(together[1, known] == 0.0)
