"""The groups of a run: what follows from each measure's matrix, and the random ones beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmark.auto_k import auto_k
from benchmark.cover import cover, random_covers
from benchmark.grouping import GROUPINGS, affinity, objective, random_partitions
from benchmark.progress import say
from benchmark.rows import Row
from benchmark.seeds import derive
from benchmark.setup import Setup
from benchmark.systems import Grouping
from leaderboard.recovery import adjusted_rand

COVER = "cover"
RULES = (*GROUPINGS, COVER)
Draws = Mapping[str, Sequence[Grouping]]  # by structure


def group(measures: Iterable[Row], setup: Setup) -> None:
    """Give every measure that has a matrix its groups and their objective."""
    rule = str(setup.config.grouping)
    for row in measures:
        if row.matrix is None:
            continue
        values = _between_sources(row, setup)
        pairs = affinity(values)
        if not pairs.any():
            if row.asked:
                say(f"{row.name}: no pair of languages stands out, so no groups follow")
            continue
        k = auto_k(values, derive(setup.seeds[0].seed, "auto")) if setup.k is None else setup.k
        if rule == COVER:
            found = cover(values, k)
            row.grouping = _named(setup.sources, found.groups, found.served)
            row.objective = float(found.objective(pairs))
            if row.asked and not found.exact:
                say(f"{row.name}: with {len(pairs)} languages the cover is approximate, not proven best")
        else:
            groups = GROUPINGS[rule](values, k)
            row.grouping = _named(setup.sources, groups)
            row.objective = float(objective(pairs, groups))


def objectives(row: Row, setup: Setup, partitions: Iterable[Grouping]) -> list[float]:
    """What a measure's objective says of some partitions."""
    pairs = affinity(_between_sources(row, setup))
    places = {code: place for place, code in enumerate(setup.sources)}
    return [float(objective(pairs, [[places[c] for c in group] for group in one.groups])) for one in partitions]


def recover(measures: Iterable[Row], setup: Setup) -> None:
    """How well a partition into as many groups as there are families finds them, where they are known."""
    families = [[code for code in family if code in setup.sources] for family in setup.spec.families]
    families = [family for family in families if family]
    if len(families) < 2:
        return
    for row in measures:
        if row.matrix is None:
            continue
        values = _between_sources(row, setup)
        if affinity(values).any():
            found = GROUPINGS["partition"](values, len(families))
            row.recovery = adjusted_rand(_named(setup.sources, found).groups, families)


def draw(measures: Iterable[Row], setup: Setup) -> Draws:
    """Random groupings of the same structure as each that was asked for."""
    wanted = {row.grouping.structure: row.grouping for row in measures if row.grouping and row.asked}
    seed = derive(setup.seeds[0].seed, "random partitions")
    drawn: dict[str, list[Grouping]] = {}
    for structure, one in sorted(wanted.items()):
        if one.overlaps:
            drawn[structure] = _random_covers(one, setup, seed)
        else:
            sizes = sorted(map(len, one.groups), reverse=True)
            drawn[structure] = [
                _named(setup.sources, groups) for groups in random_partitions(sizes, setup.draws, seed)
            ]
    return drawn


def every_group(measures: Iterable[Row], draws: Draws) -> list[tuple[str, ...]]:
    """All groups that any grouping of a run is made of."""
    groupings = [row.grouping for row in measures if row.grouping]
    groupings += [one for some in draws.values() for one in some]
    return [each for one in groupings for each in one.groups]


def asked_groups(measures: Iterable[Row]) -> list[tuple[str, ...]]:
    """Groups of the measures that somebody named: what is trained under every strategy."""
    return [each for row in measures if row.grouping and row.asked for each in row.grouping.groups]


def _random_covers(one: Grouping, setup: Setup, seed: int) -> list[Grouping]:
    from benchmark.cover import Cover

    places = {code: place for place, code in enumerate(setup.sources)}
    groups = tuple(tuple(places[code] for code in each) for each in one.groups)
    served = tuple(one.served[code] for code in setup.sources)
    structure = Cover(groups, served, exact=True)
    return [
        _named(setup.sources, each.groups, each.served) for each in random_covers(structure, setup.draws, seed)
    ]


def _between_sources(row: Row, setup: Setup) -> NDArray[np.float64]:
    assert row.matrix is not None
    places = [setup.codes.index(code) for code in setup.sources]
    return row.matrix.values[np.ix_(places, places)]


def _named(
    sources: Sequence[str], groups: Iterable[Sequence[int]], served: Sequence[int] | None = None
) -> Grouping:
    named = [tuple(sorted(sources[place] for place in one)) for one in groups]
    if served is None:
        return Grouping.partition(named)
    return Grouping(tuple(named), {code: int(served[place]) for place, code in enumerate(sources)})
