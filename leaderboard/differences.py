"""What differs: between two measures of one table, or between two results folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaderboard.comparison import paired_difference
from leaderboard.merge import Merged, content
from leaderboard.ranking import (
    Matrix,
    Vector,
    cells,
    deviations,
    matrix_spearman,
    ndcg_at_k,
    per_target_spearman,
    prepared,
    regret_at_1,
    square,
)
from leaderboard.records import Record, Rows, Score

DRAWS = 2000  # resamples of the languages behind an interval


@dataclass(frozen=True)
class Number:
    """A statistic of two measures, in points where ``points`` says so. ``interval`` (95 %) and ``p`` of the
    difference, where languages can be resampled."""

    what: str
    first: float | None
    second: float | None
    difference: float | None
    interval: tuple[float, float] | None = None
    p: float | None = None
    points: bool = False


@dataclass(frozen=True)
class Choice:
    """The sources that two measures choose for a target, and the transfer from each; the mean over ties."""

    target: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    transfer_first: float
    transfer_second: float


def numbers(a: Record, b: Record) -> list[Number]:
    """Statistics of ``a`` and ``b``, two measures of one table, and their difference (a less b).

    Of a sample the scores alone; of measures without groups (--no-groups) no scores.
    """
    found = []
    if a.correlation is not None and b.correlation is not None:
        S_a, S_b = _matrix(a.similarity.matrix), _matrix(b.similarity.matrix)
        T, dev = _matrix(a.transfer.test), _matrix(a.transfer.dev)
        for centred in (False, True):
            what = "ρ per target, centred" if centred else "ρ per target"
            found.append(_resampled(what, S_a, S_b, T, centred))
        found.append(_number("ρ matrix", matrix_spearman(S_a, T), matrix_spearman(S_b, T)))
        found.append(_number("NDCG@3", ndcg_at_k(S_a, T, k=3), ndcg_at_k(S_b, T, k=3)))
        regret = _number(
            "regret@1, lower is better", regret_at_1(S_a, dev, T), regret_at_1(S_b, dev, T), points=True
        )
        found.append(regret)
    first, second = (record.scores.grouped.mean if record.scores.grouped else None for record in (a, b))
    if first is not None or second is not None:
        found.append(_number("score of the groups", first, second, points=True))
    return found


def choices(a: Record, b: Record) -> list[Choice]:
    """Targets for which the measures choose other sources, those first where transfer differs most."""
    T = _matrix(a.transfer.test)
    known = cells(T)
    S_a, S_b = (prepared(_matrix(record.similarity.matrix), T)[0] for record in (a, b))
    found = []
    for t, target in enumerate(a.languages):
        sources = np.flatnonzero(known[:, t])
        if len(sources) < 2:
            continue
        best = [sources[_highest(S[sources, t])] for S in (S_a, S_b)]
        if set(best[0]) != set(best[1]):
            codes = [tuple(a.languages[s] for s in places) for places in best]
            means = [float(T[places, t].mean()) for places in best]
            found.append(Choice(target, codes[0], codes[1], means[0], means[1]))
    return sorted(found, key=lambda one: (-abs(one.transfer_first - one.transfer_second), one.target))


def better(a: Record, b: Record) -> tuple[int, int, int] | None:
    """Of how many languages the score is higher in the groups of ``a``, higher in those of ``b``, and of all."""
    first, second = a.scores.grouped, b.scores.grouped
    if first is None or second is None:
        return None
    pairs = _paired(first, second)
    return sum(x > y for x, y in pairs), sum(x < y for x, y in pairs), len(pairs)


def _paired(first: Score, second: Score) -> list[tuple[float, float]]:
    both = sorted(first.per_language.keys() & second.per_language.keys())
    return [(first.per_language[code], second.per_language[code]) for code in both]


def folders(a: Merged, b: Merged) -> list[str]:
    """Lines: tables and rows that only one of two folders has, and in what the shared ones differ.

    Empty where all is equal but cost and provenance.
    """
    lines = []
    for key in sorted(a.tables.keys() | b.tables.keys()):
        task, protocol = key
        if key not in b.tables or key not in a.tables:
            where, there = ("first", a) if key in a.tables else ("second", b)
            lines.append(f"{task}, protocol {protocol}: only in the {where}, {_rows(len(there.tables[key]))}")
            continue
        first, second = a.tables[key], b.tables[key]
        told = [f"only in the first: {one}" for one in sorted(first.keys() - second.keys())]
        told += [f"only in the second: {one}" for one in sorted(second.keys() - first.keys())]
        for shared in sorted(first.keys() & second.keys()):
            told += [f"{shared}: {line}" for line in _unlike(content(first[shared]), content(second[shared]), "")]
        lines += [f"{task}, protocol {protocol}: {line}" for line in told]
    return [*_protocols(a, b), *lines]


def _protocols(a: Merged, b: Merged) -> Iterator[str]:
    """In what two protocols differ, where each folder has one of a task that the other lacks."""
    for task in sorted({task for task, _ in a.tables} & {task for task, _ in b.tables}):
        first = sorted(key for key in a.tables.keys() - b.tables.keys() if key[0] == task)
        second = sorted(key for key in b.tables.keys() - a.tables.keys() if key[0] == task)
        if len(first) == len(second) == 1:
            (one, *_), (other, *_) = a.tables[first[0]].values(), b.tables[second[0]].values()
            unlike = "; ".join(_unlike(one.protocol, other.protocol, ""))
            yield f"{task}: protocols {first[0][1]} and {second[0][1]} differ: {unlike}"


def _unlike(a: Any, b: Any, path: str) -> Iterator[str]:
    """A line for each number or text that differs, and one for each list or table of numbers."""
    if a == b:
        return
    if isinstance(a, dict) and isinstance(b, dict) and not (_numeric(a) and _numeric(b)):
        for key in sorted(a.keys() | b.keys()):
            yield from _unlike(a.get(key), b.get(key), f"{path}.{key}" if path else str(key))
    elif (
        isinstance(a, dict | list)
        and isinstance(b, dict | list)
        and _numeric(a)
        and _numeric(b)
        and not _few(a, b)
    ):
        yield f"{path}: {_cells_differ(dict(_leaves(a, ())), dict(_leaves(b, ())))}"
    elif _is_number(a) and _is_number(b):
        yield f"{path}: {a:.6g} and {b:.6g} ({b - a:+.3g})"
    else:
        yield f"{path}: {_shown(a)} and {_shown(b)}"


def _cells_differ(a: dict[tuple[Any, ...], float | None], b: dict[tuple[Any, ...], float | None]) -> str:
    both = a.keys() & b.keys()
    unlike = [key for key in both if a[key] != b[key]]
    known = [abs(x - y) for key in unlike if (x := a[key]) is not None and (y := b[key]) is not None]
    only = len(a.keys() ^ b.keys()) + len(unlike) - len(known)
    parts = [f"{len(known)} of {len(both)} values differ, by up to {max(known):.3g}"] if known else []
    parts += [f"{only} known in one only"] if only else []
    return ", ".join(parts)


def _leaves(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], float | None]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
    else:
        for key, part in items:
            yield from _leaves(part, (*path, key))


def _numeric(value: Any) -> bool:
    """Numbers and nulls alone, at least one, by language or in rows; no object of named parts."""
    if isinstance(value, list):
        return bool(value) and all(part is None or _is_number(part) or _numeric(part) for part in value)
    return isinstance(value, dict) and bool(value) and all(map(_is_number, value.values()))


def _few(a: Any, b: Any) -> bool:
    """Lists to be shown as they are, as seeds or an interval."""
    return all(isinstance(one, list) and len(one) <= 6 and all(map(_is_number, one)) for one in (a, b))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"


def _matrix(rows: Rows) -> Matrix:
    return square(np.array(rows, dtype=np.float64))


def _highest(similarity: Vector) -> NDArray[np.int64]:
    """Places of the highest; a missing value has the mid-rank, as in regret@1."""
    rank = deviations(similarity)
    return np.flatnonzero(rank == rank.max())


def _number(what: str, first: float | None, second: float | None, points: bool = False) -> Number:
    difference = None if first is None or second is None else first - second
    return Number(what, first, second, difference, points=points)


def _resampled(what: str, S_a: Matrix, S_b: Matrix, T: Matrix, centred: bool) -> Number:
    first, second = per_target_spearman(S_a, T, centred), per_target_spearman(S_b, T, centred)
    found = paired_difference(S_a, S_b, T, centred, DRAWS, seed=0)
    if found is None:
        return Number(what, first, second, None)
    return Number(what, first, second, found.difference, (found.low, found.high), found.p)
