from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from leaderboard.ranking import centre, per_target_spearman
from leaderboard.statistics import noise_ceiling, objective_gain, of_ceiling, reliability

LEVELS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=12)


def matrix(rng, n=8):
    return rng.normal(size=(n, n))


def test_reliability_is_the_stepped_up_correlation_of_halves():
    rng = np.random.default_rng(0)
    truth = matrix(rng, 12)
    one, other = truth + 0.8 * matrix(rng, 12), truth + 0.8 * matrix(rng, 12)
    pairs = ~np.eye(12, dtype=bool)
    r = spearmanr(one[pairs], other[pairs]).statistic
    assert reliability(one, other) == pytest.approx(2 * r / (1 + r))
    assert reliability(one, other) == reliability(other, one)
    assert reliability(one, one) == pytest.approx(1.0)


def test_reliability_of_what_does_not_agree():
    one = matrix(np.random.default_rng(1))
    assert reliability(one, -one) == 0.0
    assert reliability(one, np.ones_like(one)) == reliability(np.ones_like(one), one) == 0.0
    assert reliability(np.ones_like(one), np.ones_like(one)) is None
    unknown = np.full_like(one, np.nan)
    assert reliability(one, unknown) is None
    partly = one.copy()
    partly[0] = np.nan
    assert reliability(partly, one) == pytest.approx(1.0)


def test_the_ceiling_of_the_centred_statistic_leaves_out_what_seeds_agree_on_most():
    rng = np.random.default_rng(3)
    hubs, pairs = 3 * rng.normal(size=(9, 1)), ~np.eye(9, dtype=bool)
    truth = matrix(rng, 9)
    seeds = [hubs + truth + matrix(rng, 9) for _ in range(3)]
    bare = [centre(T)[pairs] for T in seeds]
    r = np.mean([pearsonr(bare[a], bare[b]).statistic for a, b in ((0, 1), (0, 2), (1, 2))])
    assert noise_ceiling(seeds, centred=True) == pytest.approx(np.sqrt(3 * r / (1 + 2 * r)))
    assert noise_ceiling(seeds, centred=True) < noise_ceiling(seeds) - 0.05
    # Source and target effects alone: nothing is left to agree on.
    assert noise_ceiling([hubs + np.zeros((9, 9))] * 2, centred=True) is None
    assert noise_ceiling(seeds[:1], centred=True) is None


def test_a_share_of_the_ceiling():
    assert of_ceiling(0.3, 0.6) == 0.5
    assert of_ceiling(-0.3, 0.6) == -0.5  # the reverse order is no success
    assert of_ceiling(0.9, 0.6) == 1.5  # not cut: the ceiling is an estimate
    assert of_ceiling(0.0, 0.6) == 0.0
    for correlation, ceiling in ((0.3, None), (None, 0.6), (0.3, 0.0)):
        assert of_ceiling(correlation, ceiling) is None


@given(LEVELS)
def test_the_objective_against_what_came_of_it_agrees_with_scipy(levels):
    objectives, scores = [0.1 * x for x, _ in levels], [0.5 + 0.01 * y for _, y in levels]
    found = objective_gain(objectives, scores)
    if len(levels) < 4 or len(set(objectives)) == 1 or len(set(scores)) == 1:
        assert found is None
        return
    assert found.spearman == pytest.approx(spearmanr(objectives, scores).statistic)
    assert (found.draws, found.objectives, found.scores) == (len(levels), objectives, scores)
    gains = [score - 0.52 for score in scores]
    assert objective_gain(objectives, gains).spearman == pytest.approx(found.spearman)


def test_objectives_that_differ_by_float_noise_are_equal():
    scores = [0.1, 0.2, 0.3, 0.4, 0.5]
    even = [0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2, 0.3]
    assert objective_gain(even, scores) is None
    one_higher = [*even[:4], 0.4]
    assert objective_gain(one_higher, scores).spearman == pytest.approx(
        spearmanr([1, 1, 1, 1, 2], scores).statistic
    )
    assert objective_gain(scores, even) is None
    assert objective_gain([float("nan"), *scores[1:]], scores) is None
    assert objective_gain(scores[:3], scores[:3]) is None
    with pytest.raises(ValueError, match="expected one per objective, 5, found 4"):
        objective_gain(scores, scores[:4])


def test_the_centred_ceiling_is_near_what_the_truth_reaches_and_the_other_is_not():
    reached, centred, raw = [], [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = matrix(rng, 12) + 2 * rng.normal(size=(12, 1)) + 2 * rng.normal(size=(1, 12))
        seeds = [truth + matrix(rng, 12) for _ in range(3)]
        reached.append(per_target_spearman(truth, np.mean(seeds, axis=0), centred=True))
        centred.append(noise_ceiling(seeds, centred=True))
        raw.append(noise_ceiling(seeds))
    assert 0.02 < np.mean(centred) - np.mean(reached) < 0.09
    assert np.mean(raw) > np.mean(reached) + 0.13
