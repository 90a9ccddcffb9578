"""The adjusted Rand index, against its definition by pairs."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.recovery import adjusted_rand

FAMILIES = [["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"]]


def by_pairs(one: dict[str, int], other: dict[str, int]) -> float | None:
    """Hubert & Arabie's index from the four kinds of pairs; None where it is 0/0."""
    neither = both = first = second = 0
    for a, b in combinations(sorted(one), 2):
        together, related = one[a] == one[b], other[a] == other[b]
        both += together and related
        first += together and not related
        second += related and not together
        neither += not together and not related
    bottom = (both + first) * (first + neither) + (both + second) * (second + neither)
    return 2 * (both * neither - first * second) / bottom if bottom else None


def sets(of: dict[str, int]) -> list[list[str]]:
    return [[code for code in of if of[code] == place] for place in sorted(set(of.values()))]


@st.composite
def two(draw: st.DrawFn) -> tuple[dict[str, int], dict[str, int]]:
    codes = [f"q{place:02}" for place in range(draw(st.integers(2, 10)))]
    places = st.integers(0, len(codes) - 1)
    one, other = ({code: draw(places) for code in codes} for _ in range(2))
    return one, other


@given(two())
def test_is_the_index_by_pairs(pair: tuple[dict[str, int], dict[str, int]]) -> None:
    one, other = pair
    expected = by_pairs(one, other)
    for found in (adjusted_rand(sets(one), sets(other)), adjusted_rand(sets(other), sets(one))):
        assert found == (None if expected is None else pytest.approx(expected, abs=1e-12))


@given(two(), st.randoms(use_true_random=False))
def test_order_means_nothing(pair: tuple[dict[str, int], dict[str, int]], random: object) -> None:
    one, other = map(sets, pair)
    expected = adjusted_rand(one, other)
    for groups in (one, other):
        for group in (*groups, groups):
            random.shuffle(group)  # type: ignore[attr-defined]
    assert adjusted_rand(one, other) == expected


def test_known_values() -> None:
    assert adjusted_rand(FAMILIES[::-1], FAMILIES) == 1
    assert adjusted_rand([list("abcdefghi")], FAMILIES) == 0
    assert adjusted_rand([["a"], ["b"], ["c"]], [["a", "b", "c"]]) == 0
    crossed = adjusted_rand([["a", "d", "g"], ["b", "e", "h"], ["c", "f", "i"]], FAMILIES)
    assert crossed is not None
    assert crossed < 0


def test_only_languages_in_both_count() -> None:
    assert adjusted_rand([["a", "b", "x", "d"], ["y", "e"]], FAMILIES) == adjusted_rand(
        [["a", "b", "d"], ["e"]], [["a", "b"], ["d", "e"]]
    )


@pytest.mark.parametrize(
    ("groups", "families"),
    [
        ([], FAMILIES),
        (FAMILIES, ()),
        ([["a"]], FAMILIES),
        ([["x", "y"]], FAMILIES),
        ([["a", "b"]], FAMILIES),  # one group, one family
        ([["a"], ["d"]], FAMILIES),  # each alone in both
    ],
)
def test_where_nothing_can_be_said(groups: list[list[str]], families: list[list[str]]) -> None:
    assert adjusted_rand(groups, families) is None
