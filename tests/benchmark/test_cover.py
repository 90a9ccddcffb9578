from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from benchmark import cover as module
from benchmark.cover import Cover, cover, random_covers
from benchmark.grouping import affinity, objective, partition

SEEDS = st.integers(0, 2**32 - 1)


def similarity(seed, n, missing=0.0):
    rng = np.random.default_rng(seed)
    S = rng.normal(size=(n, n)) + rng.normal(size=n)[:, None]
    S[rng.random((n, n)) < missing] = np.nan
    return S


def score(C, i, group):
    others = [0.0 if np.isnan(C[j, i]) else C[j, i] for j in group if j != i]
    return sum(others) / len(others) if others else 0.0


def subsets(n):
    return [group for size in range(1, n + 1) for group in combinations(range(n), size)]


def scores(C):
    """[subset, language], -inf where the language is not in the subset."""
    return np.array([[score(C, i, g) if i in g else -np.inf for i in range(len(C))] for g in subsets(len(C))])


def assert_well_formed(C, found, k):
    n = len(C)
    assert 1 <= len(found.groups) <= k
    assert list(found.groups) == sorted({tuple(sorted(set(group))) for group in found.groups})
    assert {i for group in found.groups for i in group} == set(range(n))
    assert set(found.served) == set(range(len(found.groups)))  # no group serves nobody
    for i, place in enumerate(found.served):
        assert i in found.groups[place]
        best = max(score(C, i, group) for group in found.groups if i in group)
        assert score(C, i, found.groups[place]) == pytest.approx(best, abs=1e-8)


@given(SEEDS, st.integers(1, 5), st.sampled_from([0.0, 0.3]))
@settings(max_examples=15, deadline=None)
def test_cover_is_the_best_of_all_sets_of_k_groups(seed, n, missing):
    S = similarity(seed, n, missing)
    C = affinity(S)
    by_group = scores(C)
    for k in range(1, n + 1):
        sets = np.array(list(combinations(range(len(by_group)), k)))
        best = by_group[sets].max(axis=1).sum(axis=1).max()
        found = cover(S, k)
        assert found.exact
        assert_well_formed(C, found, k)
        plain = sum(score(C, i, found.groups[place]) for i, place in enumerate(found.served))
        assert found.objective(C) == pytest.approx(plain, abs=1e-9)
        assert plain == pytest.approx(best, abs=1e-8)


@pytest.mark.parametrize(("n", "k"), [(7, 2), (8, 3)])
def test_cover_agrees_with_integer_programming(n, k):
    """x[g, i]: group g serves i, at most as much as y[g], that it is there."""
    S = similarity(n, n)
    C = affinity(S)
    value = scores(C)
    groups, can = len(value), np.argwhere(np.isfinite(value))
    pairs = len(can)
    once, there = np.zeros((n, pairs + groups)), np.zeros((pairs, pairs + groups))
    for at, (g, i) in enumerate(can):
        once[i, at] = there[at, at] = 1
        there[at, pairs + g] = -1
    few = np.concatenate([np.zeros(pairs), np.ones(groups)])
    solved = milp(
        np.concatenate([-value[can[:, 0], can[:, 1]], np.zeros(groups)]),
        constraints=[
            LinearConstraint(once, 1, 1),
            LinearConstraint(there, -np.inf, 0),
            LinearConstraint(few, 0, k),
        ],
        integrality=np.concatenate([np.zeros(pairs), np.ones(groups)]),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    assert solved.success
    assert cover(S, k).objective(C) == pytest.approx(-solved.fun, abs=1e-6)


@pytest.mark.parametrize("n", [7, 10, 18])
@given(seed=SEEDS, k=st.integers(1, 7), missing=st.sampled_from([0.0, 0.3]))
@settings(max_examples=6, deadline=None)
def test_cover_is_well_formed_and_no_worse_than_the_partition(n, seed, k, missing):
    S = similarity(seed, n, missing)
    C = affinity(S)
    found = cover(S, k)
    assert found.exact == (n <= 14)
    assert_well_formed(C, found, k)
    assert found.objective(C) >= objective(C, partition(S, k)) - 1e-8


def test_more_groups_never_harm():
    S = similarity(5, 8)
    C = affinity(S)
    values = [cover(S, k).objective(C) for k in range(1, 9)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(np.where(np.eye(8), -np.inf, C).max(axis=0).sum())  # each its best source


def test_local_search_reaches_the_optimum(monkeypatch):
    gaps = []
    for seed in range(20):
        n, k = 8 + seed % 3, 2 + seed % 4
        S = similarity(seed, n)
        C = affinity(S)
        exact = cover(S, k).objective(C)
        with monkeypatch.context() as patch:
            patch.setattr(module, "EXACT_UP_TO", 0)
            found = cover(S, k)
        assert not found.exact
        assert_well_formed(C, found, k)
        gaps.append((exact - found.objective(C)) / exact)
    assert min(gaps) > -1e-8
    assert max(gaps) < 0.02
    assert np.mean(np.array(gaps) < 1e-8) >= 0.95


@pytest.mark.parametrize("n", [6, 10, 16])
@given(seed=SEEDS, k=st.integers(1, 5), missing=st.sampled_from([0.0, 0.2]))
@settings(max_examples=6, deadline=None)
def test_renaming_languages_renames_the_cover(n, seed, k, missing):
    S = similarity(seed, n, missing)
    p = np.random.default_rng(seed).permutation(n)
    before, after = cover(S, k), cover(S[np.ix_(p, p)], k)
    assert {tuple(sorted(p[list(group)].tolist())) for group in after.groups} == set(before.groups)
    for i, place in enumerate(after.served):
        assert tuple(sorted(p[list(after.groups[place])].tolist())) == before.groups[before.served[p[i]]]
    assert cover(S, k) == before


def test_renaming_languages_where_values_tie():
    tried = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        n, k = 4 + seed % 5, 2 + seed % 3
        S = np.round(rng.random((n, n)), 1)
        S = (S + S.T) / 2
        C = affinity(S)
        if np.diff(np.sort(((C + C.T) ** 2).sum(axis=1))).min() < 1e-6:
            continue  # languages that values alone do not tell apart
        tried += 1
        p = rng.permutation(n)
        renamed = [p[list(group)] for group in cover(S[np.ix_(p, p)], k).groups]
        assert {tuple(sorted(group.tolist())) for group in renamed} == set(cover(S, k).groups)
    assert tried > 40


def test_groups_overlap_where_a_language_helps_two_others():
    """0 and 1 help each other; 1 helps 2 as well, and 2 helps nobody."""
    S = np.zeros((5, 5))
    S[0, 1] = S[1, 0] = S[3, 4] = S[4, 3] = 2.0
    S[1, 2] = 1.0
    found = cover(S, 3)
    assert found == Cover(((0, 1), (1, 2), (3, 4)), (0, 0, 1, 2, 2), exact=True)


def test_a_group_that_would_serve_nobody_is_left_out():
    S = np.zeros((4, 4))
    S[0, 1] = S[1, 0] = S[2, 3] = S[3, 2] = 1.0
    for k in (2, 3, 4):
        assert cover(S, k) == Cover(((0, 1), (2, 3)), (0, 0, 1, 1), exact=True)


def plain(monkeypatch):
    """Grouping by S as it is, so that ties can be set up."""
    monkeypatch.setattr(module, "affinity", module.filled)


def test_the_smallest_of_equal_groups_serves(monkeypatch):
    plain(monkeypatch)
    S = np.full((4, 4), -9.0)
    S[3, 0] = S[0, 3] = S[1, 0] = S[2, 0] = 2.0
    S[0, 1] = S[0, 2] = 10.0
    S[1, 2] = S[2, 1] = 8.0
    assert cover(S, 2) == Cover(((0, 1, 2), (0, 3)), (1, 0, 0, 1), exact=True)


def test_of_equal_covers_one_with_few_groups(monkeypatch):
    plain(monkeypatch)
    S = np.zeros((3, 3))
    S[0, 1] = S[1, 0] = S[2, 0] = S[1, 2] = 5.0  # (0, 2) would do for 0 as well
    assert cover(S, 3) == Cover(((0, 1), (1, 2)), (0, 0, 1), exact=True)


def test_a_group_that_serves_nobody_goes():
    C = np.zeros((3, 3))
    C[0, 1] = C[1, 0] = C[1, 2] = 1.0
    groups = {(0, 1), (0, 2), (1, 2)}
    assert module._served(C, groups, np.arange(3)).groups == ((0, 1), (1, 2))


@pytest.mark.parametrize("exact_up_to", [0, 14])
def test_covers_among_ties(monkeypatch, exact_up_to):
    plain(monkeypatch)
    monkeypatch.setattr(module, "EXACT_UP_TO", exact_up_to)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        n, k = 5, 2 + seed % 3
        S = rng.integers(0, 2, size=(n, n)).astype(float)
        C = module.filled(S)
        sets = np.array(list(combinations(range(2**n - 1), k)))
        found = cover(S, k)
        assert_well_formed(C, found, k)
        assert found.objective(C) == pytest.approx(scores(C)[sets].max(axis=1).sum(axis=1).max(), abs=1e-8)


@pytest.mark.parametrize("n", [1, 5, 16])
def test_the_ends_of_k(n):
    S = similarity(0, n, 0.1)
    assert cover(S, 1).groups == (tuple(range(n)),)
    for k in (0, n + 1):
        with pytest.raises(ValueError, match=rf"expected 1 to {n} .* found {k}"):
            cover(S, k)


@pytest.mark.parametrize("n", [1, 3, 5, 16])
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_a_measure_that_says_nothing_gives_a_cover(n, value):
    S = np.full((n, n), value)
    assert_well_formed(affinity(S), cover(S, min(n, 3)), 3)


def test_cover_does_not_touch_its_input():
    S = similarity(0, 6, 0.2)
    copy = S.copy()
    cover(S, 2).objective(S)
    np.testing.assert_array_equal(S, copy)


def structure(one):
    """The same for all renamings: who is with whom, and who is served with whom, told without names."""
    n = len(one.served)
    kinds = Counter((place, tuple(i in group for group in one.groups)) for i, place in enumerate(one.served))
    sizes = sorted((len(group), one.served.count(g)) for g, group in enumerate(one.groups))
    overlaps = sorted(len(set(a) & set(b)) for a, b in combinations(one.groups, 2))
    return n, sorted(kinds.values()), sizes, overlaps


def test_random_covers_keep_the_structure():
    found = cover(similarity(2, 9), 4)
    assert sum(map(len, found.groups)) > 9  # they overlap
    drawn = random_covers(found, 20, seed=1)
    assert len(set(drawn)) == len(drawn) == 20
    for one in drawn:
        assert structure(one) == structure(found)
        assert list(one.groups) == sorted(tuple(sorted(group)) for group in one.groups)
        assert all(i in one.groups[place] for i, place in enumerate(one.served))
        assert not one.exact
    assert len({one.served for one in drawn}) > 1
    assert random_covers(found, 20, seed=1) == drawn
    assert random_covers(found, 20, seed=2) != drawn


def test_random_covers_repeat_only_after_all_have_come():
    three = Cover(((0, 1), (2, 3)), (0, 0, 1, 1), exact=True)
    drawn = random_covers(three, 7, seed=0)
    assert len(set(drawn[:3])) == len(set(drawn[3:6])) == 3
    six = Cover(((0, 1), (1, 2)), (0, 0, 1), exact=True)  # 1 is served by either
    assert len(set(random_covers(six, 6, seed=0))) == 6
    one = Cover(((0, 1),), (0, 0), exact=True)
    assert len(random_covers(one, 2, seed=0)) == 2
