"""The rules of docs/claims.md against scipy."""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from leaderboard.resampling import seed_interval


@pytest.fixture(scope="module")
def rules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "docs"))
        yield importlib.import_module("claims_rules")


def symmetric(rng, n):
    M = rng.normal(size=(n, n))
    return (M + M.T) / 2


def samples():
    rng = np.random.default_rng(0)
    return [(rng.normal(size=5) + shift, rng.normal(size=5)) for shift in np.linspace(-3, 3, 60)]


def test_the_rule_of_the_difference_is_that_of_a_paired_t_test(rules):
    words = set()
    for a, b in samples():
        found = rules.Difference(a - b)
        test = stats.ttest_rel(a, b)
        for level in (0.95, 0.975, 0.99):
            expected = stats.t.interval(level, 4, loc=(a - b).mean(), scale=stats.sem(a - b))
            assert found.interval(level) == pytest.approx(expected)
        assert found.interval() == pytest.approx(seed_interval(a - b))
        word = found.verdict()
        assert (word == "confirmed") == (test.pvalue < 0.05 and test.statistic > 0)
        less = stats.ttest_1samp(a - b, 0.5).confidence_interval(0.95).high < 0.5
        assert (word == "refuted") == (less and word != "confirmed")
        words.add(word)
    assert words == {"confirmed", "refuted", "undecided"}
    assert rules.Difference(np.array([8.0, 8.1, 7.9, 8.0, 8.2])).verdict(10.0) == "confirmed"
    assert rules.Difference(np.array([8.0, -8.1, 7.9, -8.0, 8.2])).verdict(100.0) == "refuted"


def test_the_smallest_gain_that_would_have_been_found(rules):
    values = np.array([1.0, -2.0, 0.5, 3.0, 0.0])
    constant = stats.t.ppf(0.975, 4) + stats.t.ppf(0.80, 4)
    assert constant == pytest.approx(2.7764 + 0.9410, abs=1e-4)
    assert rules.Difference(values).detectable == pytest.approx(constant * np.std(values, ddof=1) / np.sqrt(5))


def test_over_tasks_is_of_each_seed_s_mean(rules):
    rng = np.random.default_rng(1)
    each = rng.normal(size=(3, 5)) + 0.8
    found = rules.over_tasks(each)
    expected = stats.t.interval(0.95, 4, loc=each.mean(), scale=stats.sem(each.mean(axis=0)))
    assert found.interval() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("words", "verdict"),
    [("cc", "confirmed"), ("cu", "undecided"), ("cr", "refuted"), ("ur", "refuted"), ("uu", "undecided")],
)
def test_two_conditions_at_once(rules, words, verdict):
    names = {"c": "confirmed", "u": "undecided", "r": "refuted"}
    assert rules.both([names[word] for word in words]) == verdict


def test_two_of_three_tasks(rules):
    assert rules.on_two([True, False, True], [False, True, False]) == "confirmed"
    assert rules.on_two([True, False, False], [False, True, True]) == "refuted"
    assert rules.on_two([True, False, False], [False, True, False]) == "undecided"


def test_correlation_over_languages_against_scipy(rules):
    rng = np.random.default_rng(2)
    x = rng.normal(size=8)
    y = x + rng.normal(size=8)
    found, p = rules.correlated(x, y)
    assert found == pytest.approx(stats.spearmanr(x, y).statistic)
    exact = stats.permutation_test(
        (y,), lambda one: stats.spearmanr(x, one).statistic, permutation_type="pairings", n_resamples=2000
    ).pvalue
    assert p == pytest.approx(exact, abs=0.04)


@pytest.mark.parametrize("languages", [8, 20])
def test_the_smallest_correlation_is_found_four_times_in_five(rules, languages):
    rng = np.random.default_rng(3)
    r = 2 * np.sin(np.pi * rules.smallest_correlation(languages) / 6)  # of normal values with that Spearman
    x, noise = rng.normal(size=(2, 1000, languages))
    y = r * x + np.sqrt(1 - r * r) * noise
    found = [stats.spearmanr(*pair).pvalue < 0.05 for pair in zip(x, y, strict=True)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.07)


def test_resampled_languages_are_copies_that_are_not_paired_with_each_other(rules):
    rng = np.random.default_rng(4)
    S, T = symmetric(rng, 6), symmetric(rng, 6)
    places = np.array([0, 0, 2, 5, 3, 2])
    pairs = [(i, j) for i, j in itertools.permutations(range(6), 2) if places[i] != places[j]]
    x, y = ([M[places[i], places[j]] for i, j in pairs] for M in (S, T))
    assert rules.pairs_spearman(S, T, places) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert rules.pairs_spearman(S, T, np.zeros(6, dtype=int)) is None
    drawn = rules.resampled(lambda places: float(np.mean(places)), 6)
    assert np.mean(drawn) == pytest.approx(2.5, abs=0.15)
    assert np.array_equal(drawn, rules.resampled(lambda places: float(np.mean(places)), 6))
