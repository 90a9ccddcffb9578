from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from leaderboard.comparison import borda, holm, paired_difference, shared_ranks
from leaderboard.ranking import per_target_spearman, prepared
from leaderboard.resampling import node_bootstrap_interval

SEEDS = st.integers(0, 2**32 - 1)


def case(seed, n, *noise, targets_only=0):
    """T and a similarity for each level of noise."""
    rng = np.random.default_rng(seed)
    T = rng.normal(size=(n, n))
    similarities = [T + level * rng.normal(size=(n, n)) for level in noise]
    if targets_only:
        T[-targets_only:] = np.nan
    return T, *similarities


def literal_copies(S, T, weights):
    """Copies of languages as languages of their own; two copies of one language are no pair."""
    who = np.repeat(np.arange(len(T)), weights)
    block = np.ix_(who, who)
    S, T = S[block].copy(), T[block].copy()
    T[who[:, None] == who[None, :]] = np.nan
    return per_target_spearman(S, T)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("targets_only", [0, 1])
def test_the_paired_bootstrap_is_that_of_literal_copies(centred, targets_only):
    T, a, b = case(3, 9, 0.8, 1.2, targets_only=targets_only)
    a[2, 4] = np.nan
    weights = np.random.default_rng(5).multinomial(9, np.full(9, 1 / 9), size=150)
    pairs = [prepared(S, T, centred) for S in (a, b)]
    drawn = [[literal_copies(*pair, w) for w in weights] for pair in pairs]
    differences = np.array([x - y for x, y in zip(*drawn, strict=True) if x is not None])
    assert differences.std() > 0.01
    b_ = min((differences <= 0).sum(), (differences >= 0).sum())
    found = paired_difference(a, b, T, centred, draws=150, seed=5)
    expected = per_target_spearman(a, T, centred) - per_target_spearman(b, T, centred)
    assert found.difference == pytest.approx(expected)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(differences, [2.5, 97.5])))
    assert found.p == pytest.approx(2 * (b_ + 1) / (len(differences) + 1))
    assert 0.02 < found.p < 0.9


def test_paired_difference_edges():
    T, good, bad = case(1, 14, 0.3, 5.0)
    found = paired_difference(good, bad, T, draws=300)
    assert 0 < found.low < found.difference < found.high
    assert found.p == 2 / 301
    assert paired_difference(good, good, T) == (0, 0, 0, 1)
    assert paired_difference(good, np.exp(good), T, centred=False) == (0, 0, 0, 1)
    assert paired_difference(good, bad, np.ones((14, 14))) is None
    unpaired = paired_difference(good, bad, T, draws=300, seed=1)
    assert unpaired != found
    assert paired_difference(good, bad, T, draws=300) == found


def test_pairing_narrows_the_interval():
    # Two measures with the same errors: their difference is surer than either.
    T, a = case(2, 12, 0.7)
    b = a + 0.05 * np.random.default_rng(1).normal(size=(12, 12))
    found = paired_difference(a, b, T, draws=300)
    low, high = node_bootstrap_interval(a, T, True, 300)
    assert found.high - found.low < (high - low) / 2


@given(SEEDS, st.integers(2, 7), st.sampled_from([0, 1]))
@settings(max_examples=30, deadline=None)
def test_swapping_the_measures_mirrors_the_difference(seed, n, targets_only):
    T, a, b = case(seed, n, 0.5, 2.0, targets_only=targets_only)
    one, other = (paired_difference(*pair, T, draws=60, seed=seed) for pair in ((a, b), (b, a)))
    if one is None:
        assert other is None
        return
    assert other == pytest.approx((-one.difference, -one.high, -one.low, one.p))
    assert np.isfinite(one).all()
    assert 0 < one.p <= 1


def test_p_holds_its_level_for_measures_that_are_equally_good():
    ps = [
        paired_difference(a, b, T, draws=200, seed=seed).p
        for seed in range(150)
        for T, a, b in [case(seed, 12, 1.0, 1.0)]
    ]
    assert np.mean(np.array(ps) <= 0.05) < 0.1
    assert 0.4 < np.mean(ps) < 0.7


@pytest.mark.parametrize("tests", [1, 2, 5, 12])
def test_holm_agrees_with_statsmodels(tests):
    rng = np.random.default_rng(tests)
    for p in (rng.random(tests), rng.random(tests) ** 4, np.round(rng.random(tests) / 5, 1)):
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([]) == []


def test_holm_by_hand():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_what_cannot_be_told_apart_shares_a_rank():
    T, best, near, far, blind = case(4, 20, 0.5, 0.5, 2.0, 50.0)
    measures = {"blind": blind, "far": far, "near": near, "best": best, "flat": np.ones((20, 20))}
    values = {name: per_target_spearman(S, T, True) for name, S in measures.items()}
    assert shared_ranks(measures, T, draws=400) == {"best": 1, "near": 1, "far": 3, "blind": 4, "flat": 4}
    assert values["far"] > 0.2 > values["blind"] > 0
    # With fewer languages less can be told.
    few = {name: S[:6, :6] for name, S in measures.items()}
    assert len(set(shared_ranks(few, T[:6, :6], draws=400).values())) < 3
    assert shared_ranks(measures, np.ones((20, 20))) == dict.fromkeys(measures)
    assert shared_ranks({}, T) == {}
    assert shared_ranks({"one": best}, T) == {"one": 1}


def test_a_rank_ends_at_the_first_measure_that_differs():
    """One that is too uncertain to differ from the best does not pass one above it that differs."""
    best, second = case(1, 10, 0.6)
    T, uncertain = best.copy(), best.copy()
    uncertain[:, 8:] *= -1  # right for most targets, wrong for the others
    measures = {"uncertain": uncertain, "second": second, "best": best}
    values = {name: per_target_spearman(S, T) for name, S in measures.items()}
    assert values["best"] > values["second"] > values["uncertain"]
    p = [paired_difference(best, measures[name], T, False, 400).p for name in ("second", "uncertain")]
    assert [value <= 0.05 for value in holm(p)] == [True, False]
    assert shared_ranks(measures, T, centred=False, draws=400) == {"best": 1, "second": 2, "uncertain": 2}


@pytest.mark.parametrize("seed", range(8))
def test_shared_ranks_are_those_of_literal_comparisons(seed):
    T, *S = case(seed, 8, *np.random.default_rng(seed).uniform(0.2, 3, size=5))
    measures = {str(place): one for place, one in enumerate(S)}
    order = sorted(measures, key=lambda name: -per_target_spearman(measures[name], T, True))
    expected, left = {}, list(order)
    while left:
        rank = len(expected) + 1
        p = [paired_difference(measures[left[0]], measures[name], T, True, 100, seed).p for name in left[1:]]
        together = left[:1]
        for name, value in zip(left[1:], holm(p), strict=True):
            if value <= 0.05:
                break
            together.append(name)
        expected |= dict.fromkeys(together, rank)
        left = left[len(together) :]
    assert shared_ranks(measures, T, draws=100, seed=seed) == expected


def test_borda_is_the_mean_rank_over_complete_rows():
    scores = {
        "one": {"a": 0.9, "b": 0.5, "c": 0.5, "partial": 1.0, "nan": 0.1},
        "two": {"a": 0.2, "b": 0.3, "c": 0.1, "partial": None, "nan": float("nan")},
        "three": {"a": 0.2, "b": 0.1, "c": 0.3, "late": 0.5, "partial": 0.9, "nan": 0.1},
    }
    found = borda(scores)
    assert found.mean_rank == pytest.approx({"a": 5 / 3, "b": 6.5 / 3, "c": 6.5 / 3})
    assert list(found.mean_rank) == ["a", "b", "c"]
    assert found.incomplete == {"late": ("one", "two"), "nan": ("two",), "partial": ("two",)}
    assert borda({}) == ({}, {})
    assert borda({"one": {"a": None}}) == ({}, {"a": ("one",)})
    assert borda({"one": {"b": 1.0, "a": 2.0}}).mean_rank == {"a": 1.0, "b": 2.0}
