from __future__ import annotations

from math import isclose

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from benchmark import grouping
from benchmark.grouping import (
    GROUPINGS,
    affinity,
    agglomerative,
    default_k,
    objective,
    partition,
    random_partitions,
)
from leaderboard.statistics import centre

SEEDS = st.integers(0, 2**32 - 1)


def similarity(seed, n, missing=0.0):
    rng = np.random.default_rng(seed)
    S = rng.normal(size=(n, n)) + rng.normal(size=n)[:, None]
    S[rng.random((n, n)) < missing] = np.nan
    return S


def all_partitions(items):
    if not items:
        yield []
        return
    first, *rest = items
    for groups in all_partitions(rest):
        yield [[first], *groups]
        for i, group in enumerate(groups):
            yield [*groups[:i], [first, *group], *groups[i + 1 :]]


def plain_objective(C, groups):
    total = 0.0
    for group in groups:
        for i in group:
            others = [0.0 if np.isnan(C[j, i]) else C[j, i] for j in group if j != i]
            total += sum(others) / len(others) if others else 0.0
    return total


def labels(groups, n):
    result = np.zeros(n, dtype=int)
    for g, group in enumerate(groups):
        result[list(group)] = g
    return result


def is_canonical(groups, n, k):
    return (
        len(groups) == k
        and list(groups) == sorted(tuple(sorted(g)) for g in groups)
        and sorted(i for g in groups for i in g) == list(range(n))
        and all(groups)
    )


@given(SEEDS, st.integers(1, 7), st.sampled_from([0.0, 0.3]))
@settings(max_examples=40, deadline=None)
def test_partition_is_the_best_of_all_partitions(seed, n, missing):
    S = similarity(seed, n, missing)
    C = centre(S)
    best = dict.fromkeys(range(1, n + 1), -np.inf)
    for groups in all_partitions(list(range(n))):
        best[len(groups)] = max(best[len(groups)], plain_objective(C, groups))
    for k in range(1, n + 1):
        found = partition(S, k)
        assert is_canonical(found, n, k)
        assert objective(C, found) == pytest.approx(plain_objective(C, found), abs=1e-9)
        assert objective(C, found) == pytest.approx(best[k], abs=1e-9)


def test_local_search_reaches_the_optimum(monkeypatch):
    reached = []
    for seed in range(60):
        n, k = 9 + seed % 4, 2 + seed % 4
        S = similarity(seed, n)
        C = centre(S)
        exact = objective(C, partition(S, k))
        with monkeypatch.context() as patch:
            patch.setattr(grouping, "EXACT_UP_TO", 0)
            found = partition(S, k)
        assert is_canonical(found, n, k)
        value = objective(C, found)
        assert value <= exact + 1e-9
        reached.append(isclose(value, exact, rel_tol=1e-9))
    assert np.mean(reached) >= 0.98


def planted(seed, n, k):
    """Groups under hubs: some sources are good, and some targets easy, for everybody."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) % k)
    S = (truth[:, None] == truth[None, :]) * 1.0 + 0.15 * rng.normal(size=(n, n))
    return S + 3 * rng.normal(size=n)[:, None] + 3 * rng.normal(size=n)[None, :], truth


@pytest.mark.parametrize("n", [12, 20])
@pytest.mark.parametrize("seed", range(5))
def test_planted_groups_are_found_under_hubs(n, seed):
    k = default_k(n)
    S, truth = planted(seed, n, k)
    assert adjusted_rand_score(truth, labels(partition(S, k), n)) == 1.0


def test_without_centring_hubs_hide_the_groups(monkeypatch):
    monkeypatch.setattr(grouping, "centre", lambda S: S)
    S, truth = planted(0, 12, 3)
    assert adjusted_rand_score(truth, labels(partition(S, 3), 12)) < 0.9


@pytest.mark.parametrize("rule", GROUPINGS)
@pytest.mark.parametrize("n", [6, 18])
@given(seed=SEEDS, missing=st.sampled_from([0.0, 0.2]))
@settings(max_examples=12, deadline=None)
def test_renaming_languages_renames_the_groups(rule, n, seed, missing):
    S = similarity(seed, n, missing)
    p = np.random.default_rng(seed).permutation(n)
    before = GROUPINGS[rule](S, 4)
    after = GROUPINGS[rule](S[np.ix_(p, p)], 4)
    assert grouping.canonical([p[list(group)] for group in after]) == before
    assert GROUPINGS[rule](S, 4) == before


@pytest.mark.parametrize("rule", GROUPINGS)
@pytest.mark.parametrize("n", [1, 5, 16])
def test_the_ends_of_k(rule, n):
    S = similarity(0, n, 0.1)
    assert GROUPINGS[rule](S, 1) == (tuple(range(n)),)
    assert GROUPINGS[rule](S, n) == tuple((i,) for i in range(n))
    for k in (0, n + 1):
        with pytest.raises(ValueError, match=rf"expected 1 to {n} .* found {k}"):
            GROUPINGS[rule](S, k)


@pytest.mark.parametrize("n", [5, 16])
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_a_measure_that_says_nothing_still_gives_k_groups(n, value):
    for rule in GROUPINGS.values():
        assert is_canonical(rule(np.full((n, n), value), 3), n, 3)


def test_agglomerative_finds_clear_groups():
    truth = np.arange(12) % 3
    S = (truth[:, None] == truth[None, :]) + 0.1 * np.random.default_rng(0).normal(size=(12, 12))
    assert adjusted_rand_score(truth, labels(agglomerative(S, 3), 12)) == 1.0


def test_partition_does_not_touch_its_input():
    S = similarity(0, 6, 0.2)
    copy = S.copy()
    partition(S, 2)
    objective(S, [(0, 1)])
    np.testing.assert_array_equal(S, copy)


def test_default_k():
    assert [default_k(n) for n in (2, 6, 8, 12, 20, 100)] == [2, 2, 2, 3, 5, 25]


def test_random_partitions():
    drawn = random_partitions([5, 4, 3], 20, seed=1)
    assert len(set(drawn)) == len(drawn) == 20
    assert all(is_canonical(groups, 12, 3) for groups in drawn)
    assert all(sorted(map(len, groups)) == [3, 4, 5] for groups in drawn)
    assert random_partitions([5, 4, 3], 20, seed=1) == drawn
    assert random_partitions([5, 4, 3], 20, seed=2) != drawn


def test_random_partitions_repeat_only_after_all_have_come():
    drawn = random_partitions([2, 2], 7, seed=0)  # three are possible
    assert len(set(drawn[:3])) == len(set(drawn[3:6])) == 3
    assert random_partitions([4], 2, seed=0) == [((0, 1, 2, 3),)] * 2
    with pytest.raises(ValueError, match="at least 1"):
        random_partitions([2, 0], 1, seed=0)


def test_of_three_languages_the_most_alike_are_together() -> None:
    """Centring leaves nothing of three languages' pairs."""
    S = np.array([[1.0, 0.2, 0.3], [0.2, 1.0, 0.7], [0.3, 0.7, 1.0]])
    for rule in GROUPINGS.values():
        assert rule(S, 2) == ((0,), (1, 2))
    assert not affinity(np.full((3, 3), 0.4)).any()
    assert affinity(S)[1, 2] == pytest.approx(0.3)


def test_source_effects_alone_are_no_affinity() -> None:
    sizes = np.tile(np.log([10.0, 200.0, 3000.0, 50.0])[:, None], (1, 4))
    assert not affinity(sizes).any()


@pytest.mark.parametrize("linkage", ["average", "complete"])
@pytest.mark.parametrize("levels", [None, 2])
def test_linkages_are_scikit_learns_in_its_order(linkage, levels):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 25))
        k = int(rng.integers(1, n))
        pairs = rng.normal(size=(n, n)) if levels is None else rng.integers(-levels, levels, size=(n, n)) * 1.0
        pairs = pairs + pairs.T
        np.fill_diagonal(pairs, 0.0)
        distance = pairs.max() - pairs
        np.fill_diagonal(distance, 0.0)
        found = AgglomerativeClustering(n_clusters=k, metric="precomputed", linkage=linkage).fit_predict(distance)
        expected = [np.flatnonzero(found == group).tolist() for group in range(k)]
        assert grouping._linked(pairs, k, linkage) == expected


def test_searches_side_by_side_find_what_each_finds_alone(monkeypatch):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(15, 30))
        k = int(rng.integers(2, n // 2))
        pairs = rng.normal(size=(n, n)) if seed % 2 else rng.integers(-2, 3, (n, n)) * 1.0
        pairs = pairs + pairs.T
        np.fill_diagonal(pairs, 0.0)
        starts = np.array([grouping._uneven(rng, n, k) for _ in range(9)])
        before = starts.copy()
        values, reached = grouping.improved(pairs, starts, k)
        np.testing.assert_array_equal(starts, before)
        for place in range(9):
            (value,), (alone,) = grouping.improved(pairs, starts[place : place + 1], k)
            assert value == pytest.approx(values[place], abs=1e-12)
            np.testing.assert_array_equal(alone, reached[place])
            groups = [np.flatnonzero(alone == g) for g in range(k)]
            assert value == pytest.approx(objective(pairs / 2, groups))
        found = grouping._searched(pairs, k)
        with monkeypatch.context() as patched:
            patched.setattr(grouping, "_CELLS_AT_ONCE", 1)
            assert grouping._searched(pairs, k) == found
