"""Subsamples keep the labels' shares and the order; seeds follow from what they are for."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.samples import stratified, unseen
from benchmark.seeds import canonical, derive, digest
from tasks.base import Example


def examples(labels):
    return [Example(f"text {place}", label) for place, label in enumerate(labels)]


def by_largest_remainder(counts, size, found):
    """Whether shares are rounded down, and up where the remainder is largest (ties either way)."""
    total = sum(counts.values())
    exact = {label: Fraction(count * size, total) for label, count in counts.items()}
    up = [share - int(share) for label, share in exact.items() if found[label] == int(share) + 1]
    down = [share - int(share) for label, share in exact.items() if found[label] == int(share)]
    assert len(up) + len(down) == len(exact)
    return min(up, default=1) >= max(down, default=0)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 70), st.integers(0, 2**63 - 1))
def test_stratified(labels, size, seed):
    rows = examples(labels)
    found = stratified(rows, size, seed)
    assert len(found) == min(size, len(rows))
    places = [int(row.text.split()[1]) for row in found]
    assert places == sorted(set(places))  # in their own order, none twice
    assert found == stratified(list(rows), size, seed)
    if size <= len(rows):
        assert by_largest_remainder(Counter(labels), size, Counter(row.label for row in found))


def test_shares_by_hand():
    rows = examples([0] * 50 + [1] * 30 + [2] * 20)
    assert Counter(row.label for row in stratified(rows, 7, 0)) == {0: 4, 1: 2, 2: 1}  # 3.5, 2.1, 1.4


def test_all_of_them_where_there_are_no_more():
    rows = examples([0, 1, 1])
    assert stratified(rows, None, 0) == tuple(rows)
    assert stratified(rows, 3, 0) == tuple(rows)
    assert stratified(rows, 99, 0) == tuple(rows)
    assert stratified([], 5, 0) == ()


def test_every_example_is_as_likely():
    rows = examples([0] * 30 + [1] * 10)
    counts = Counter(row.text for seed in range(2000) for row in stratified(rows, 8, seed))
    assert len(counts) == 40
    expected = 2000 * 8 / 40  # 6 of 30 and 2 of 10: one in five each
    assert max(abs(count - expected) for count in counts.values()) < 5 * np.sqrt(2000 * 0.2 * 0.8)


def test_another_seed_is_another_sample():
    rows = examples([0] * 100)
    assert stratified(rows, 10, 1) != stratified(rows, 10, 2)


def test_unseen():
    dev = [Example("a", 0), Example("b", 1), Example("c", 0), Example("b", 0), Example("d", 0, pair="x")]
    train = [Example("b", 0), Example("d", 0, pair="y"), Example("D", 0)]
    test = [Example("c", 1, item="other")]
    assert unseen(dev, train, test) == (dev[0], dev[4])
    assert unseen(dev, [Example("d", 1, pair="x")]) == tuple(dev[:4])
    assert unseen(dev) == tuple(dev)
    assert unseen([], train) == ()


def test_seeds():
    assert derive(0, "order", "deu") == derive(0, "order", "deu")
    different = {
        derive(seed, purpose, *about)
        for seed in (0, 1)
        for purpose in ("order", "dropout")
        for about in ((), ("deu",), ("nld",), ("deu", "nld"), ("deunld",))
    }
    assert len(different) == 20
    assert all(0 <= seed < 2**63 for seed in different)


def test_seeds_are_what_they_were():
    """Frozen: another seed is another result for everybody."""
    assert derive(0, "initialisation") == 5731504280543694906


def test_canonical_json():
    assert canonical({"b": [1, 2.5, None], "a": "ä"}) == '{"a":"ä","b":[1,2.5,null]}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest([1, 2]) != digest([2, 1])
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))
