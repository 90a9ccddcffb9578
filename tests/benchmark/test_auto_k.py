from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from benchmark import auto_k as module
from benchmark.auto_k import SHUFFLES, auto_k, best_by_k, dyad_shuffles
from benchmark.grouping import affinity, partition

SEEDS = st.integers(0, 2**32 - 1)


def noise(seed, n):
    return np.random.default_rng(seed).normal(size=(n, n))


def planted(seed, sizes, spread=0.15):
    """Groups under hubs: some sources are good, and some targets easy, for everybody."""
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    S = (truth[:, None] == truth[None, :]) * 1.0 + spread * rng.normal(size=(n, n))
    return S + 3 * rng.normal(size=n)[:, None] + 3 * rng.normal(size=n)[None, :], truth


def all_partitions(items):
    if not items:
        yield []
        return
    first, *rest = items
    for groups in all_partitions(rest):
        yield [[first], *groups]
        for i, group in enumerate(groups):
            yield [*groups[:i], [first, *group], *groups[i + 1 :]]


def brute_by_k(matrices):
    """{K: the best value of each matrix over all partitions into K groups}."""
    n = len(matrices[0])
    best = {k: np.full(len(matrices), -np.inf) for k in range(1, n + 1)}
    for groups in all_partitions(list(range(n))):
        weight = np.zeros((n, n))  # of C[j, i]: one over the other members
        for group in groups:
            weight[np.ix_(group, group)] = 1 / max(len(group) - 1, 1)
        np.fill_diagonal(weight, 0.0)
        values = np.array([(weight * M).sum() / 2 for M in matrices])  # C[j, i] + C[i, j] stands twice
        best[len(groups)] = np.maximum(best[len(groups)], values)
    return best


def brute_auto_k(S, seed):
    C = affinity(S)
    n = len(C)
    pairs = C + C.T
    best = brute_by_k([pairs, *dyad_shuffles(pairs, SHUFFLES, seed)])
    excess = {k: best[k][0] - best[k][1:].mean() for k in range(2, n)}
    k = max(excess, key=lambda k: excess[k])
    return k if excess[k] > 1e-9 and excess[k] > 3 * best[k][1:].std(ddof=1) else 1


def test_auto_k_against_brute_force():
    answers = []
    for n, sizes in [(4, [2, 2]), (5, [3, 2]), (6, [3, 3]), (6, [2, 2, 2]), (7, [4, 3]), (7, [3, 2, 2])]:
        for seed in range(5 if n < 7 else 2):
            S, _ = planted(seed, sizes)
            answers.append(auto_k(S, seed))
            assert answers[-1] == brute_auto_k(S, seed)
    assert {1, 2, 3} <= set(answers)


@given(SEEDS, st.integers(4, 6))
@settings(max_examples=8, deadline=None)
def test_the_best_sums_of_all_k_at_once(seed, n):
    matrices = np.stack([affinity(noise(seed, n) + s) for s in range(2)])
    matrices = matrices + matrices.transpose(0, 2, 1)
    best = brute_by_k(list(matrices))
    found = best_by_k(matrices)
    for k in range(1, n):
        np.testing.assert_allclose(found[:, k], best[k], atol=1e-9)


def test_the_search_for_many_languages_comes_near_the_optimum(monkeypatch):
    gaps = []
    for seed in range(15):
        C = affinity(noise(seed, 11))
        pairs = (C + C.T)[None]
        exact = best_by_k(pairs)[0, 2:10]
        with monkeypatch.context() as patch:
            patch.setattr(module, "EXACT_UP_TO", 0)
            found = best_by_k(pairs)[0, 2:10]
        assert (found <= exact + 1e-9).all()
        gaps.append((exact - found) / exact)
    assert np.mean(gaps) < 0.05
    assert np.max(gaps) < 0.3


@pytest.mark.parametrize("sizes", [[4, 4], [3, 3, 3], [6, 3], [4, 4, 3], [7, 6, 4], [4] * 5, [2] * 10, [10] * 4])
def test_planted_groups_are_found_under_hubs(sizes):
    for seed in range(2):
        S, truth = planted(seed, sizes)
        k = auto_k(S, seed)
        assert k == len(sizes)
        labels = np.zeros(len(truth), dtype=int)
        for g, group in enumerate(partition(S, k)):
            labels[list(group)] = g
        assert adjusted_rand_score(truth, labels) == 1.0


@pytest.mark.parametrize(("n", "draws"), [(6, 60), (9, 60), (16, 24), (24, 10)])
def test_noise_makes_one_group(n, draws):
    answers = [auto_k(noise(seed, n), seed) for seed in range(draws)]
    assert np.mean(np.array(answers) == 1) >= 0.95


def test_shuffles_as_they_fall_see_groups_in_noise_more_often(monkeypatch):
    """Why shuffles are centred again: the excess of noise over them should be 0 on average."""

    def excess(seed):
        C = affinity(noise(seed, 9))
        pairs = C + C.T
        sums = best_by_k(np.stack([pairs, *dyad_shuffles(pairs, 20, seed)]))[:, 2:8]
        return ((sums[0] - sums[1:].mean(axis=0)) / sums[1:].std(axis=0)).mean()

    assert abs(np.mean([excess(seed) for seed in range(60)])) < 0.3
    monkeypatch.setattr(module, "affinity", lambda S: S)
    assert np.mean([excess(seed) for seed in range(60)]) > 0.6


@pytest.mark.parametrize("n", [2, 3, 5, 8, 12, 18])
def test_hubs_alone_make_one_group(n):
    rng = np.random.default_rng(n)
    assert auto_k(5 * rng.normal(size=n)[:, None] + 5 * rng.normal(size=n)[None, :], 0) == 1
    assert auto_k(np.tile(rng.normal(size=n)[:, None], (1, n)), 0) == 1


def test_three_languages_make_one_group():
    """The best of three pairs is the same wherever it goes."""
    assert {auto_k(noise(seed, 3), seed) for seed in range(20)} == {1}


@pytest.mark.parametrize("n", [5, 8, 16])
def test_what_one_gives_and_the_other_loses_makes_one_group(n):
    """Every dyad adds up to 0, but for rounding."""
    M = noise(n, n)
    assert auto_k(M - M.T + 0.1, 0) == 1


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6, 16])
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_a_measure_that_says_nothing_makes_one_group(n, value):
    assert auto_k(np.full((n, n), value), 0) == 1


@pytest.mark.parametrize("sizes", [[3, 3, 2], [6, 6, 5]])
@given(seed=SEEDS, missing=st.sampled_from([0.0, 0.1]))
@settings(max_examples=6, deadline=None)
def test_the_order_of_the_languages_is_of_no_account(sizes, seed, missing):
    S, _ = planted(seed, sizes, spread=0.4)
    rng = np.random.default_rng(seed)
    S[rng.random(S.shape) < missing] = np.nan
    p = rng.permutation(len(S))
    before = auto_k(S, seed % 1000)
    assert auto_k(S[np.ix_(p, p)], seed % 1000) == before
    assert auto_k(10 * S + 3, seed % 1000) == before


def test_dyad_shuffles(monkeypatch):
    C = affinity(noise(0, 6))
    pairs = C + C.T
    drawn = dyad_shuffles(pairs, 4, seed=1)
    for one in drawn:
        np.testing.assert_array_equal(one, one.T)
        np.testing.assert_allclose(one.sum(axis=0), 0.0, atol=1e-12)
        assert np.linalg.norm(one) == pytest.approx(np.linalg.norm(pairs))
    assert not np.allclose(drawn[0], drawn[1])
    np.testing.assert_array_equal(dyad_shuffles(pairs, 4, seed=1), drawn)
    assert not np.allclose(dyad_shuffles(pairs, 4, seed=2), drawn)
    p = np.random.default_rng(0).permutation(6)
    np.testing.assert_allclose(dyad_shuffles(pairs[np.ix_(p, p)], 4, seed=1), drawn)
    monkeypatch.setattr(module, "affinity", lambda S: S)
    upper = np.triu_indices(6, 1)
    for one in dyad_shuffles(pairs, 4, seed=1):
        np.testing.assert_allclose(np.sort(one[upper]), np.sort(pairs[upper]))
