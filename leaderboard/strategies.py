"""Rows of what strategies of training are worth, next to ``plain``, and of what they told of it.

Kind ``strategy``: a measure's groups, or one model of all languages (``joint``), under a strategy. ``unseen``:
that one model, fine-tuned on ``shots`` examples of a language it was not trained on, or the mean over such
languages. ``training``: what a strategy told of the training of that one model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from leaderboard.names import name
from leaderboard.records import JOINT, PLAIN, Interval, Record, Score
from leaderboard.resampling import seed_interval
from leaderboard.rows import Row, new_row, put

MEAN = "mean"  # over the languages that were kept out


def of_measures(records: Sequence[Record]) -> list[Record]:
    """What the tables of measures show: the records under ``plain``; where there are none, those under the first
    of the other strategies by name."""
    known = [record for record in records if record.measure != JOINT]
    first = min((_place(record) for record in known), default=None)
    return [record for record in known if _place(record) == first]


def strategy_rows(records: Sequence[Record], measures: Sequence[Record]) -> list[Row]:
    """Of the records of one table, whose ``measures`` are in the order of their rows."""
    order = {name(record): place for place, record in enumerate(measures, 1)}
    ordered = sorted(records, key=lambda one: (_rank(one, order), name(one), _place(one)))
    joint = [record for record in ordered if record.measure == JOINT]
    return [*_trained(ordered), *_unseen(joint), *_told(joint)]


def _place(record: Record) -> tuple[bool, str]:
    """``plain`` first, then by name."""
    return record.strategy != PLAIN, record.strategy


def _rank(record: Record, order: Mapping[str, int]) -> int:
    """One model of all languages first, then measures in their order."""
    return 0 if record.measure == JOINT else order.get(name(record), len(order) + 1)


def _trained(ordered: Sequence[Record]) -> list[Row]:
    """Only of what was trained under some other strategy than ``plain``."""
    others = [record for record in ordered if record.strategy != PLAIN and record.scores.grouped is not None]
    rows = []
    for called in dict.fromkeys(map(name, others)):
        same = [record for record in ordered if name(record) == called and record.scores.grouped is not None]
        if all(record.strategy != PLAIN for record in same):  # it was not kept, but each tells of it
            rows += [_plain_row(record, record.scores.plain) for record in same if record.scores.plain][:1]
        rows += [_trained_row(record) for record in same]
    return rows


def _plain_row(record: Record, score: Score | None) -> Row:
    return new_row(record, "strategy", name(record), score) | {"strategy": PLAIN}


def _trained_row(record: Record) -> Row:
    grouped, plain = record.scores.grouped, record.scores.plain
    row = new_row(record, "strategy", name(record), grouped)
    if record.measure != JOINT:
        row |= {"access": record.access, "groups": record.groups, "served": record.served}
    row |= {"trainings": record.cost.trainings, "seconds": record.cost.seconds}
    if grouped is not None and plain is not None and record.data.source != "sample":
        row["gain_over_plain"] = grouped.mean - plain.mean
        put(row, "gain_over_plain_seeds", record.intervals.over_plain.seeds)
        put(row, "gain_over_plain_items", record.intervals.over_plain.items)
    return row


def _unseen(joint: Sequence[Record]) -> list[Row]:
    """The mean over languages first, where there are several."""
    adapted = {record.strategy: _by_seed(record) for record in joint if record.shots}
    places = {place for known in adapted.values() for place in known}
    codes = sorted({code for code, _ in places})
    sizes = sorted({k for _, k in places})
    plain = adapted.get(PLAIN, {})
    rows = []
    for code in [MEAN, *codes] if len(codes) > 1 else codes:
        of = codes if code == MEAN else [code]
        for record in joint:
            for k in sizes:
                scores = _mean_by_seed([adapted.get(record.strategy, {}).get((one, k), []) for one in of])
                base = _mean_by_seed([plain.get((one, k), []) for one in of])
                if scores:
                    row = new_row(record, "unseen", name(record), None) | {"unseen": code, "shots": k}
                    rows.append(row | _adapted(record, scores, base if record.strategy != PLAIN else []))
    return rows


def _by_seed(record: Record) -> dict[tuple[str, int], list[float]]:
    """Scores by language and number of examples."""
    shots = record.shots or {}
    each = [(code, k, shot) for code, by_size in shots.items() for k, shot in by_size.items()]
    return {(code, int(k)): shot.scores for code, k, shot in each if k.isdecimal()}


def _mean_by_seed(scores: Sequence[Sequence[float]]) -> list[float]:
    """Over languages; nothing where they do not all have the same seeds."""
    if len({len(one) for one in scores}) != 1:
        return []
    return [fmean(values) for values in zip(*scores, strict=True)]


def _adapted(record: Record, scores: Sequence[float], plain: Sequence[float]) -> Row:
    metric = next((one.metric for one in (record.scores.grouped, record.scores.multilingual) if one), None)
    row: Row = {"metric": metric, "score": fmean(scores), "seed_sd": stdev(scores) if len(scores) > 1 else None}
    if len(plain) == len(scores) and record.data.source != "sample":
        gains = [own - base for own, base in zip(scores, plain, strict=True)]
        row["gain_over_plain"] = fmean(gains)
        put(row, "gain_over_plain_seeds", _rounded(seed_interval(gains)))
    return row


def _rounded(interval: Interval) -> Interval:
    """The quantile behind it may differ in the last digits between machines, and tables must not."""
    return None if interval is None else (round(interval[0], 9), round(interval[1], 9))


def _told(joint: Sequence[Record]) -> list[Row]:
    """Means over seeds; nothing of a strategy that told nothing of this kind."""
    rows = []
    for record in joint:
        told = [one for one in (record.training or {}).values() if isinstance(one, dict)]
        found = {key: _mean([read(one) for one in told]) for key, read in _READ.items()}
        if any(value is not None for value in found.values()):
            rows.append(new_row(record, "training", name(record), None) | found)
    return rows


def _number(*path: str) -> Callable[[Any], float | None]:
    return lambda told: _mean([_at(told, path)])


def _all(*path: str) -> Callable[[Any], float | None]:
    return lambda told: _mean(_leaves(_at(told, path)))


def _at(told: Any, path: Sequence[str]) -> Any:
    for key in path:
        told = told.get(key) if isinstance(told, dict) else None
    return told


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for one in value for leaf in _leaves(one)] if isinstance(value, list) else [value]


def _mean(values: Sequence[Any]) -> float | None:
    """Of the numbers; strategies may tell anything."""
    known = [float(one) for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    return fmean(known) if known else None


_READ: dict[str, Callable[[Any], float | None]] = {  # from what the strategies of ``benchmark.training`` tell
    "cosine": _number("blocks", "model", "cosine"),
    "conflicts": _number("blocks", "model", "conflicts"),
    "corrected": _number("blocks", "model", "corrected"),
    "kept_heads": _all("kept", "heads"),
    "kept_units": _all("kept", "units"),
    "inner_loss_before": _all("adaptation", "before"),
    "inner_loss_after": _all("adaptation", "after"),
}
