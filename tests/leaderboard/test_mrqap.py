from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from leaderboard import resampling
from leaderboard.mrqap import mrqap

SEEDS = st.integers(0, 2**32 - 1)


def case(seed, n, missing=(0.0, 0.0, 0.0), targets_only=0, related=0.5, levels=None):
    """S, T and two controls; ``missing`` shares of S, T and the first control."""
    rng = np.random.default_rng(seed)
    family, sizes = rng.normal(size=(2, n, n))
    T = rng.normal(size=(n, n)) + family + rng.normal(size=n)[:, None]
    S = related * T + rng.normal(size=(n, n)) + family
    family = np.round(family)
    if levels:
        S, T = np.round(S * levels) / levels, np.round(T * levels) / levels
    for matrix, share in zip((S, T, family), missing, strict=True):
        matrix[rng.random((n, n)) < share] = np.nan
    if targets_only:
        T[-targets_only:] = np.nan
    return S, T, {"family": family, "sizes": sizes}


def used_cells(S, T, controls):
    known = ~np.eye(len(T), dtype=bool) & np.isfinite(T)
    for matrix in controls.values():
        known &= np.isfinite(matrix)
    return known, known & np.isfinite(S)


def standard(M, used):
    ranks = np.zeros_like(M)
    ranks[used] = rankdata(M[used])
    ranks[used] = (ranks[used] - ranks[used].mean()) / ranks[used].std()
    return ranks


def dummies(used):
    s, t = np.nonzero(used)
    design = np.hstack([np.eye(len(used))[s], np.eye(len(used))[t]])
    return design[:, design.any(axis=0)]


def ols(x, y, others):
    """Coefficient and t of x by statsmodels, with the column space of the others, which are collinear."""
    left, size, _ = np.linalg.svd(others, full_matrices=False)
    fit = sm.OLS(y, np.column_stack([x, left[:, size > 1e-10 * size[0]]])).fit()
    return fit.params[0], fit.tvalues[0]


@pytest.mark.parametrize("targets_only", [0, 2])
@pytest.mark.parametrize("missing", [(0, 0, 0), (0, 0.15, 0.1)])
@pytest.mark.parametrize("levels", [None, 2])
def test_coefficient_and_t_are_those_of_the_regression(targets_only, missing, levels):
    S, T, controls = case(3, 8, missing, targets_only, levels=levels)
    used, both = used_cells(S, T, controls)
    assert (used == both).all()
    others = np.column_stack([standard(C, used)[used] for C in controls.values()])
    expected = ols(standard(S, used)[used], standard(T, used)[used], np.column_stack([others, dummies(used)]))
    found = mrqap(S, T, controls, permutations=9)
    assert (found.coefficient, found.t) == pytest.approx(expected)
    assert found.controls == ("family", "sizes")
    assert found.dropped == {}


def test_a_cell_missing_only_in_s_leaves_the_coefficient_of_the_others():
    S, T, controls = case(4, 9, (0.2, 0, 0))
    used, both = used_cells(S, T, controls)
    assert both.sum() < used.sum()
    x, y = standard(S, both)[both], standard(T, used)[both]
    others = np.column_stack([standard(C, used)[both] for C in controls.values()])
    expected, _ = ols(x, y, np.column_stack([others, dummies(both)]))
    assert mrqap(S, T, controls, permutations=9).coefficient == pytest.approx(expected)


def literal_p(S, T, controls, targets_only):
    """Double semi-partialling spelled out: residual, every permutation, a regression each."""
    used, both = used_cells(S, T, controls)
    ranked = {name: standard(C, used) for name, C in controls.items()}
    x = standard(S, both)[both]
    others = np.column_stack([*(C[both] for C in ranked.values()), dummies(both)])
    residual = np.zeros_like(S)
    residual[both] = x - others @ np.linalg.lstsq(others, x)[0]
    y = standard(T, used)[used]
    others = np.column_stack([*(C[used] for C in ranked.values()), dummies(used)])
    n = len(T)
    t = []
    for p in permutations(range(n - targets_only)):
        order = [*p, *range(n - targets_only, n)]
        t.append(ols(residual[np.ix_(order, order)][used], y, others)[1])
    return np.mean(np.abs(t) >= abs(t[0]) - 1e-9)


@pytest.mark.parametrize(
    ("n", "targets_only", "missing"),
    [(5, 0, (0, 0, 0)), (6, 1, (0, 0, 0)), (6, 1, (0.1, 0, 0)), (5, 0, (0, 0.1, 0))],
)
def test_p_is_that_of_all_permutations(n, targets_only, missing):
    S, T, controls = case(12, n, missing, targets_only, related=0.3)
    del controls["sizes"]
    found = mrqap(S, T, controls)
    assert 2 / 120 < found.p < 0.98
    assert found.p == pytest.approx(literal_p(S, T, controls, targets_only))


def test_random_permutations_approach_all_of_them(monkeypatch):
    S, T, controls = case(5, 7, related=0.1)
    exact = mrqap(S, T, controls).p
    assert 0.05 < exact < 0.95
    monkeypatch.setattr(resampling, "_ENUMERATED", 6)
    found = mrqap(S, T, controls, permutations=4000, seed=1)
    assert found.p == pytest.approx(exact, abs=0.03)
    assert found.p != exact
    assert found == mrqap(S, T, controls, permutations=4000, seed=1)
    assert found.p != mrqap(S, T, controls, permutations=4000, seed=2).p


def test_what_is_dropped_is_said():
    S, T, controls = case(6, 8)
    n = 8
    source = np.broadcast_to(np.arange(n, dtype=float)[:, None], (n, n))
    more = controls | {
        "again": np.exp(controls["sizes"]),
        "log size": source,
        "one": np.ones((n, n)),
        "nowhere": np.full((n, n), np.nan),
    }
    found, plain = mrqap(S, T, more, permutations=99), mrqap(S, T, controls, permutations=99)
    assert found.controls == ("family", "sizes")
    assert found.dropped == {
        "again": "given by the controls before it",
        "log size": "given by source and target effects",
        "one": "constant",
        "nowhere": "unknown",
    }
    assert (found.coefficient, found.t, found.p) == pytest.approx((plain.coefficient, plain.t, plain.p))


def test_nothing_is_said_of_what_controls_and_effects_give():
    S, T, controls = case(7, 8)
    nothing = (None, None, None)

    def told(*args):
        found = mrqap(*args, permutations=9)
        return found.coefficient, found.t, found.p

    assert told(controls["sizes"], T, controls) == nothing
    assert told(np.ones((8, 8)), T, controls) == nothing
    assert told(np.full((8, 8), np.nan), T, controls) == nothing
    assert told(S, np.ones((8, 8)), controls) == nothing
    assert told(np.broadcast_to(np.arange(8.0), (8, 8)), T, {}) == nothing
    for n in (1, 2, 3):
        assert told(*case(1, n)) == nothing
    with pytest.raises(ValueError, match=r"control short: expected the shape of T, \(8, 8\), found \(2, 2\)"):
        mrqap(S, T, {"short": np.ones((2, 2))})


def test_a_target_only_language_is_no_source():
    S, T, controls = case(8, 8, targets_only=1)
    changed = S.copy()
    changed[-1] = 1e9
    assert mrqap(changed, T, controls, permutations=50) == mrqap(S, T, controls, permutations=50)


def shared_control(seed, n=10):
    """S and T that have nothing in common but the family, and the quality of sources."""
    rng = np.random.default_rng(seed)
    family = rng.integers(3, size=n)
    same = (family[:, None] == family[None, :]).astype(float)
    quality = rng.normal(size=n)[:, None]
    S, T = 2 * same + quality + rng.normal(size=(2, n, n))
    return S, T, {"family": same}


def test_p_is_uniform_where_only_controls_and_effects_are_shared():
    given_family = np.array([mrqap(*shared_control(seed), permutations=99, seed=seed).p for seed in range(200)])
    assert abs(np.mean(given_family <= 0.1) - 0.1) < 0.07
    assert abs(np.mean(given_family) - 0.5) < 0.08
    without = [mrqap(*shared_control(seed)[:2], {}, permutations=99, seed=seed).p for seed in range(30)]
    assert np.mean(np.array(without) <= 0.05) > 0.8


def test_it_finds_what_is_beyond_the_controls():
    S, T, controls = shared_control(1, 12)
    found = mrqap(S + 0.5 * T, T, controls, permutations=199)
    assert found.p == 1 / 200
    assert found.coefficient > 0
    opposite = mrqap(S - 0.5 * T, T, controls, permutations=199)
    assert opposite.p == 1 / 200
    assert opposite.t < 0


@given(SEEDS, st.integers(4, 7), st.sampled_from([0.0, 0.2]), st.sampled_from([0, 1]), st.sampled_from([None, 1]))
@settings(max_examples=25, deadline=None)
def test_neither_names_nor_monotone_transforms_matter(seed, n, missing, targets_only, levels):
    S, T, controls = case(seed, n, (missing, missing / 2, missing / 2), targets_only, levels=levels)
    order = np.random.default_rng(seed).permutation(n)
    block = np.ix_(order, order)
    found = mrqap(S, T, controls)  # all permutations are tried
    for other in (
        mrqap(S[block], T[block], {name: C[block] for name, C in controls.items()}),
        mrqap(np.exp(S), T**3, {name: 2 * C - 1 for name, C in controls.items()}),
    ):
        assert (other.controls, other.dropped) == (found.controls, found.dropped)
        for name in ("coefficient", "t", "p"):
            value = getattr(found, name)
            assert value is None or np.isfinite(value)
            assert getattr(other, name) == (None if value is None else pytest.approx(value, rel=1e-6, abs=1e-6))
