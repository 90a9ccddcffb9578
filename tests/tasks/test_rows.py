"""Lazy examples behave as the list of them would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import Example
from tasks.rows import Rows

EXAMPLES = [Example(str(i), i % 3) for i in range(7)]


class Listed(Rows):
    def __init__(self, examples: list[Example]) -> None:
        self._examples = examples
        self.labels = np.array([each.label for each in examples], dtype=np.int64)

    def take(self, places: Sequence[int]) -> list[Example]:
        assert list(places) == sorted(places)
        return [self._examples[place] for place in places]

    def __iter__(self) -> Iterator[Example]:
        return iter(self._examples)


bounds = st.none() | st.integers(-9, 9)


@given(st.builds(slice, bounds, bounds, st.none() | st.integers(-3, 3).filter(bool)))
def test_slices(wanted: slice) -> None:
    assert Listed(EXAMPLES)[wanted] == EXAMPLES[wanted]


@given(st.integers(-9, 9))
def test_places(place: int) -> None:
    rows = Listed(EXAMPLES)
    try:
        expected = EXAMPLES[place]
    except IndexError:
        expected = None
    try:
        found = rows[place]
    except IndexError:
        found = None
    assert found == expected
    assert rows[np.int64(3)] == EXAMPLES[3]


@given(st.lists(st.sampled_from(EXAMPLES), max_size=2), st.lists(st.sampled_from(EXAMPLES), max_size=2))
def test_equal_as_lists_are(a: list[Example], b: list[Example]) -> None:
    assert (Listed(a) == Listed(b)) == (Listed(a) == b) == (a == Listed(b)) == (a == b)
    assert Listed(a) != set(a)
