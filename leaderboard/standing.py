"""How the measures of one table stand: against the reference named beforehand, and among themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from leaderboard.comparison import Difference, Resampled, difference, holm, ranks, resampled
from leaderboard.ranking import Matrix
from leaderboard.records import Record, Rows

REFERENCE = "overlap[unit=subwords]"
"""Named before any result was seen: what costs nothing and is in everybody's reach."""

LEAST = 4  # languages: with 3 the interval of two equally good measures excludes zero one time in three


@dataclass(frozen=True)
class Against:
    """The headline of a measure less that of the reference; ``adjusted``: its p by Holm's method."""

    difference: Difference
    adjusted: float


@dataclass(frozen=True)
class Standing:
    """``rank`` by the headline, 1 is best; ``sharing``: how many measures have it; None for the reference itself
    and where there is no reference."""

    rank: int
    sharing: int
    against: Against | None


@dataclass(frozen=True)
class Standings:
    """Of each measure, best first, and what a reader must be told of them."""

    by_name: dict[str, Standing]
    said: str


def standings(records: Mapping[str, Record]) -> Standings:
    """Of the measures of one table by name, controls and skipped ones left out.

    The same languages are drawn for all. Enough draws that Holm's method can reject among so many measures.
    """
    known = {name: record for name, record in records.items() if record.correlation is not None}
    if not known:
        return Standings({}, "")
    first = next(iter(known.values()))
    if len(first.languages) < LEAST:
        return Standings(
            {}, f"No ranks and no differences: {LEAST} languages are the fewest that can be compared."
        )
    found = _resampled(known, max(2000, 100 * len(known)))
    if not found.observed:
        return Standings({}, "")
    given = ranks(found)
    against = _against(found)
    sharing = {rank: list(given.values()).count(rank) for rank in given.values()}
    by_name = {name: Standing(rank, sharing[rank], against.get(name)) for name, rank in given.items()}
    return Standings(by_name, _said(by_name.values(), REFERENCE in found.observed))


def _resampled(known: Mapping[str, Record], draws: int) -> Resampled:
    """Each measure against its record's own transfer; nearly always there is one."""
    languages = next(iter(known.values())).languages
    same = {name: record for name, record in known.items() if sorted(record.languages) == sorted(languages)}
    together = Resampled({}, {})
    while same:
        one = next(iter(same.values()))
        transfer = _placed(one.transfer.test, one, languages)
        alike = [name for name, record in same.items() if _same_transfer(record, one)]
        matrices = {name: _placed(known[name].similarity.matrix, known[name], languages) for name in alike}
        found = resampled(matrices, transfer, centred=True, draws=draws, seed=0)
        together.observed.update(found.observed)
        together.drawn.update(found.drawn)
        same = {name: record for name, record in same.items() if name not in alike}
    return together


def _same_transfer(a: Record, b: Record) -> bool:
    return a.transfer.test is b.transfer.test or (
        a.languages == b.languages and a.transfer.test == b.transfer.test
    )


def _placed(rows: Rows, record: Record, languages: list[str]) -> Matrix:
    at = [record.languages.index(code) for code in languages]
    placed: Matrix = np.array(rows, dtype=np.float64)[np.ix_(at, at)]
    return placed


def _against(found: Resampled) -> dict[str, Against]:
    if REFERENCE not in found.observed:
        return {}
    others = [name for name in found.observed if name != REFERENCE]
    compared = {name: one for name in others if (one := difference(found, name, REFERENCE)) is not None}
    adjusted = holm([one.p for one in compared.values()])
    return {name: Against(one, p) for (name, one), p in zip(compared.items(), adjusted, strict=True)}


def _said(found: Iterable[Standing], reference: bool) -> str:
    compared = sum(one.against is not None for one in found)
    ranked = "Ranks are by ρ centred; measures that share one (=) are not told apart from the first of that rank."
    if not reference:
        return (
            f"{ranked} Nothing is bold: {REFERENCE}, the one reference named beforehand, has no correlation in "
            "this table, so no measure is compared with it."
        )
    if not compared:
        return f"{ranked} Nothing is bold: there is no other measure to compare with the reference {REFERENCE}."
    tests = "one comparison" if compared == 1 else f"{compared} comparisons"
    return (
        f"{ranked} Over reference: ρ centred less that of {REFERENCE}, the one reference named beforehand, with "
        f"the 95 % interval of this one difference over languages, and p adjusted for {tests} (Holm). "
        "Bold: better than the reference, and the interval excludes zero."
    )
