from __future__ import annotations

import random

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from leaderboard.comparison import paired_difference, shared_ranks
from leaderboard.names import name
from leaderboard.standing import LEAST, REFERENCE, standings


def case(seed, n, **noise):
    """T and a similarity for each name, T with so much noise."""
    rng = np.random.default_rng(seed)
    T = rng.normal(size=(n, n))
    return T, {called: T + level * rng.normal(size=(n, n)) for called, level in noise.items()}


def standing(measured, T, similarities, **changes):
    renamed = {REFERENCE if called == "reference" else called: S for called, S in similarities.items()}
    records = [measured(called, S, T, **changes) for called, S in renamed.items()]
    random.Random(len(records)).shuffle(records)
    return standings({name(one): one for one in records})


def test_differences_are_those_of_the_paired_bootstrap_adjusted_by_holm(measured):
    T, S = case(1, 20, reference=1.0, good=0.2, alike=1.0, bad=20.0)
    found = standing(measured, T, S).by_name
    assert set(found) == {REFERENCE, "good", "alike", "bad"}
    assert found[REFERENCE].against is None
    others = ["good", "alike", "bad"]
    expected = [paired_difference(S[called], S["reference"], T, draws=2000) for called in others]
    assert [found[called].against.difference for called in others] == expected
    adjusted = multipletests([one.p for one in expected], method="holm")[1]
    assert [found[called].against.adjusted for called in others] == pytest.approx(list(adjusted))
    assert found["good"].against.difference.low > 0 > found["bad"].against.difference.high
    assert found["good"].against.adjusted > found["good"].against.difference.p


def test_ranks_are_shared_by_what_cannot_be_told_apart_and_come_best_first(measured):
    T, S = case(4, 20, best=0.5, near=0.5, far=2.0, blind=50.0)
    found = standing(measured, T, S).by_name
    assert list(found) == ["best", "near", "far", "blind"]
    assert {called: one.rank for called, one in found.items()} == shared_ranks(S, T, draws=2000)
    assert [(one.rank, one.sharing) for one in found.values()] == [(1, 2), (1, 2), (3, 1), (4, 1)]


def test_without_the_reference_nobody_is_compared_and_it_is_said(measured):
    T, S = case(1, 10, good=0.2, bad=4.0)
    for more in ({}, {"skipped": "no package"}, {"correlation": None}):
        records = {called: measured(called, S[called], T) for called in S}
        if more:
            records[REFERENCE] = measured(REFERENCE, S["good"], T, **{"correlation": None} | more)
        found = standings(records)
        assert [one.against for one in found.by_name.values()] == [None, None]
        assert found.by_name["good"].rank == 1
        assert f"Nothing is bold: {REFERENCE}" in found.said
        assert "Holm" not in found.said
    alone = standing(measured, T, {"reference": S["good"]})
    assert alone.by_name[REFERENCE].rank == 1
    assert "no other measure to compare" in alone.said
    several = standing(measured, T, S | {"reference": S["good"]})
    assert "adjusted for 2 comparisons" in several.said
    assert "Bold: better than the reference, and the interval excludes zero" in several.said


def test_samples_carry_none(measured):
    T, S = case(1, 10, reference=0.3, good=0.2)
    found = standing(measured, T, S, correlation=None)
    assert (found.by_name, found.said) == ({}, "")
    assert standings({}).by_name == {}


def test_too_few_languages_are_not_compared(measured):
    T, S = case(1, LEAST - 1, reference=1.0, good=0.1)
    found = standing(measured, T, S)
    assert found.by_name == {}
    assert f"{LEAST} languages are the fewest" in found.said
    T, S = case(1, LEAST, reference=1.0, good=0.1)
    assert standing(measured, T, S).by_name["good"].against is not None


def test_few_languages_rarely_tell_equal_measures_apart(measured):
    wrong = 0
    for seed in range(60):
        T, S = case(seed, LEAST, reference=1.0, other=1.0)
        found = standing(measured, T, S).by_name["other"].against.difference
        wrong += found.low > 0 or found.high < 0
    assert wrong <= 6  # 10 %


def test_a_constant_transfer_has_no_standing(measured):
    _, S = case(1, 8, reference=0.3, good=0.2)
    assert standing(measured, np.ones((8, 8)), S).by_name == {}


def test_among_many_measures_the_correction_can_still_reject(measured):
    T, S = case(2, 12, reference=30.0, **{f"m{place}": 0.1 for place in range(60)})
    found = standing(measured, T, S).by_name
    assert all(found[called].against.adjusted <= 0.05 for called in S if called != "reference")


def test_each_measure_meets_its_own_transfer_in_whatever_order_of_languages(measured):
    T, S = case(3, 9, reference=1.0, good=0.3, other=0.5)
    expected = standing(measured, T, S)
    records = {REFERENCE if c == "reference" else c: S[c] for c in S}
    turned = np.random.default_rng(0).permutation(9)
    made = {}
    for called, one in records.items():
        record = measured(called, one, T)
        if called == "other":
            codes = [record.languages[place] for place in turned]
            block = np.ix_(turned, turned)
            record = measured(called, one[block], T[block], languages=codes)
        made[called] = record
    assert standings(made) == expected
    # Trained elsewhere, so the transfer is a little other: the difference is of the two correlations.
    elsewhere = T + 0.3 * np.random.default_rng(1).normal(size=T.shape)
    made["other"] = measured("other", S["other"], elsewhere)
    own, reference = (made[called].correlation.centred_per_target_spearman for called in ("other", REFERENCE))
    found = standings(made).by_name["other"].against.difference
    assert found.difference == pytest.approx(own - reference)
    assert found != expected.by_name["other"].against.difference
    # Other languages altogether: not compared.
    made["other"] = measured("other", S["other"], T, languages=[f"r{code}" for code in made["good"].languages])
    assert "other" not in standings(made).by_name
