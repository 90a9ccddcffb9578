"""LangRank's features, by hand and by brute force."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measures.langrank import SizeRatio, TypeTokenRatio
from tasks.base import Example
from tasks.languages import language

CODES = ("deu", "nld", "eng", "rus", "tir")


def of(fake, train, dev=(), codes=CODES):
    rows = {("train", code): tuple(Example(text, 0) for text in texts) for code, texts in dict(train).items()}
    rows |= {("dev", code): tuple(Example(text, 0) for text in texts) for code, texts in dict(dev).items()}
    return fake(tuple(map(language, codes)), rows)


def test_type_token_ratio_by_hand(fake):
    """deu: 4 of 5 words differ (case and full stop do not count); nld 1 of 2; eng: the dev texts."""
    train = {"deu": ["Der Wind der See.", "kalt"], "nld": ["ja ja"]}
    dev = {"deu": ["x x x x"], "nld": ["a b"], "eng": ["one two", "three."]}
    found = TypeTokenRatio().similarity(of(fake, train, dev, CODES[:3])).values
    ratio = {"deu": 4 / 5, "nld": 1 / 2, "eng": 1.0}
    expected = [[-((1 - ratio[s] / ratio[t]) ** 2) for t in CODES[:3]] for s in CODES[:3]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert found[0, 1] == pytest.approx(-0.36)  # (1 − 1.6)²
    assert found[1, 0] == pytest.approx(-0.140625)  # (1 − .625)²
    assert not TypeTokenRatio.symmetric
    assert not np.signbit(np.diag(found)).any()


def test_both_texts_of_a_pair_count(fake):
    rows = {("train", "deu"): (Example("a b", 0, pair="a c"),), ("train", "nld"): (Example("a b c", 0),)}
    found = TypeTokenRatio().similarity(fake(tuple(map(language, ("deu", "nld"))), rows)).values
    assert found[0, 1] == pytest.approx(-(0.25**2))


def test_size_ratio(fake):
    train = {"deu": ["a"] * 6, "nld": ["a"] * 2, "eng": ["a"]}
    dev = {"tir": ["a"] * 3, "deu": ["a"]}
    found = SizeRatio().similarity(of(fake, train, dev, ("deu", "tir", "nld", "eng"))).values
    nan = math.nan
    expected = [[1, nan, 3, 6], [nan, nan, nan, nan], [1 / 3, nan, 1, 2], [1 / 6, nan, 1 / 2, 1]]
    np.testing.assert_allclose(found, expected)
    assert not SizeRatio.symmetric


WORDS = st.lists(st.sampled_from(["a", "b", "c", "a b", "b b", "…", "d e"]), max_size=5)


@pytest.mark.parametrize("measure", [TypeTokenRatio, SizeRatio])
@settings(max_examples=40, deadline=None)
@given(train=st.lists(WORDS, min_size=5, max_size=5), order=st.permutations(range(5)))
def test_properties(fake, measure, train, order):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure().similarity(of(fake, zip(CODES, train, strict=True))).values
    moved = (
        measure().similarity(of(fake, zip(CODES, train, strict=True), codes=[CODES[at] for at in order])).values
    )
    np.testing.assert_array_equal(moved, found[np.ix_(order, order)])
    assert not np.isinf(found).any()
    without = [
        not any(text != "…" for text in texts) if measure is TypeTokenRatio else not texts for texts in train
    ]
    silent = np.array(without)
    np.testing.assert_array_equal(np.isnan(found), silent[:, None] | silent[None, :])
    np.testing.assert_allclose(np.diag(found)[~silent], 0.0 if measure is TypeTokenRatio else 1.0)
    if measure is TypeTokenRatio:
        assert (found[~np.isnan(found)] <= 0).all()
