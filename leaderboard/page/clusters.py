"""Which languages the groupings of a table put together: an order for them, and one colour for a group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leaderboard.linkage import linked, seriated

Groups = Sequence[Sequence[int]]  # places of languages


def together(groupings: Sequence[Groups], n: int) -> list[int]:
    """An order of n languages in which those are near that many groupings put together."""
    if n < 2:
        return list(range(n))
    shared = np.zeros((n, n))
    for groups in groupings:
        for group in groups:
            shared[np.ix_(group, group)] += 1
    distance = shared.max() - shared
    return seriated(distance, linked(distance))


def colours(groupings: Sequence[Groups]) -> list[list[int]]:
    """A colour (0, 1, …) for each group, so that groups which share languages look alike across groupings.

    The first grouping takes the colours in order. Each later one gives its groups, the largest overlap first,
    the colour that their languages wore most often before; what is left takes free ones. No two groups of one
    grouping have the same.
    """
    seen: dict[int, dict[int, int]] = {}  # colour → language → how often
    result = []
    for groups in groupings:
        overlaps = sorted(
            (-sum(worn.get(place, 0) for place in group), number, colour)
            for number, group in enumerate(groups)
            for colour, worn in seen.items()
        )
        given: dict[int, int] = {}
        for _, number, colour in overlaps:
            if number not in given and colour not in given.values():
                given[number] = colour
        taken = {*given.values()}
        free = (colour for colour in range(len(groups) + len(taken)) if colour not in taken)
        chosen = [given[number] if number in given else next(free) for number in range(len(groups))]
        for colour, group in zip(chosen, groups, strict=True):
            worn = seen.setdefault(colour, {})
            for place in group:
                worn[place] = worn.get(place, 0) + 1
        result.append(chosen)
    return result
