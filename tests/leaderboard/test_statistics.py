from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from leaderboard.statistics import reliability


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
