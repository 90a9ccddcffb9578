"""What is counted of a split, against counting by hand."""

from __future__ import annotations

from collections import Counter as Counts

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from benchmark.data_checks import Counter, half_width
from tasks.base import Example, tagged


@pytest.mark.parametrize("count", [1, 20, 25, 99, 100, 600])
def test_the_interval_is_the_binomial_one(count: int) -> None:
    assert half_width(count) == pytest.approx(100 * norm.ppf(0.975) * (0.25 / count) ** 0.5, rel=1e-4)


texts = st.sampled_from(["a", "b", "a b", "c", "é", "w " * 65, "字" * 171])
items = st.lists(
    st.builds(Example, texts, st.integers(0, 2), st.none() | texts)
    | st.lists(st.tuples(texts, st.integers(0, 2)), min_size=1, max_size=2).map(
        lambda of: tagged(*zip(*of, strict=True))
    ),
    max_size=8,
)


@given(items, items)
def test_figures_are_those_of_counting_by_hand(train: list[Example], test: list[Example]) -> None:
    first = Counter(3)
    second = Counter(3, first)
    for one in train:
        first.add(one)
    for one in test:
        second.add(one)
    for counter, of in ((first, train), (second, test)):
        figures = counter.figures()
        keys = [(one.text, one.pair) for one in of]
        assert figures.examples == len(of)
        assert figures.repeated == sum(key in keys[:place] for place, key in enumerate(keys))
        answers = {key: {one.targets for one in of if (one.text, one.pair) == key} for key in keys}
        assert figures.conflicting == sum(len(each) > 1 for each in answers.values())
        counts = Counts(target for one in of for target in one.targets)
        assert figures.labels == tuple(counts[at] for at in range(3))
        assert figures.majority == (max(counts.values()) / sum(counts.values()) if of else 0)
    figures = second.figures()
    there = [
        [other.targets for other in train if (other.text, other.pair) == (one.text, one.pair)] for one in test
    ]
    assert figures.in_train == sum(bool(same) for same in there)
    assert figures.otherwise == sum(
        bool(same) and one.targets not in same for one, same in zip(test, there, strict=True)
    )
    assert first.figures().in_train is None
