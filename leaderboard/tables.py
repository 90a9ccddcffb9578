"""One table per task and protocol: what each grouping was worth, and how well each measure foretold transfer.

Rows hold full precision under machine names (:data:`COLUMNS`); rounding happens on the way to
a reader. Scores are in the unit of the metric (0 to 1) in rows, ×100 ("points") for readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from leaderboard.captions import caption, chance, notes
from leaderboard.names import name
from leaderboard.records import GainIntervals, Interval, Record, Score, Transfer
from leaderboard.standing import REFERENCE, Standing, standings
from leaderboard.statistics import noise_ceiling, of_ceiling

CONTROLS = ("random", "same-script", "size", "source-quality", "family", "oracle")
"""Measures that are shown below the others, in this order. Built-in names cannot be taken by plugins."""

PROFILES = 3  # size profiles of random groupings that get a row of their own

_GAINS = ("random", "multilingual", "monolingual")
_STATISTICS = (
    *("per_target_spearman", "centred_per_target_spearman", "spearman", "pearson", "qap_p"),
    *("ndcg_at_3", "regret_at_1", "regret_at_3", "noise_ceiling", "reliability"),
    *("per_target_qap_p", "centred_per_target_qap_p"),
)
_CORRELATIONS = ("per_target_spearman", "centred_per_target_spearman")
_OF_CEILING = (*_CORRELATIONS, "spearman", "pearson")

COLUMNS = (
    *("task", "protocol_id", "model", "preset", "strategy", "kind", "name", "rank", "rank_shared_by"),
    *("metric", "score", "macro_f1"),
    *(
        f"gain_over_{other}{part}"
        for other in _GAINS
        for part in ("", "_seeds_low", "_seeds_high", "_items_low", "_items_high")
    ),
    *("random_percentile", "random_sd", "random_draws"),
    *(f"{name}{part}" for name in _CORRELATIONS for part in ("", "_ci95_low", "_ci95_high")),
    *("difference", "difference_low", "difference_high", "difference_p", "difference_p_holm", "difference_from"),
    *("spearman", "pearson", "qap_p", "ndcg_at_3", "ndcg_at_3_chance", "regret_at_1", "noise_ceiling"),
    *("centred_noise_ceiling", *(f"{name}_of_ceiling" for name in _OF_CEILING)),
    *("regret_at_3", "reliability", "per_target_qap_p", "centred_per_target_qap_p"),
    *("mrqap_coefficient", "mrqap_p", "objective_gain_spearman", "objective_gain_draws"),
    *("recovery_adjusted_rand", "mean_similarity", "yardstick"),
    *("access", "trainings", "seconds", "objective", "groups", "served", "collapsed", "skipped"),
    *("mean_rank", "tasks", "tasks_lacking"),
)
"""Keys of every row. ``kind``: measure, control or baseline, or across, of which see ``leaderboard.across``;
``rank`` by the headline, which ``rank_shared_by`` measures have; ``difference`` of the headline to that of
``difference_from``, with its interval and p, also by Holm's method; ``…_of_ceiling``: as a share of the noise
ceiling, which for the centred one is ``centred_noise_ceiling``; ``objective_gain_spearman`` of objective and score
over the random partitions; ``random_percentile`` is a share, 0 to 1; ``groups``: language codes; ``served``: of
overlapping groups, which serves a language; ``collapsed``: languages where the model is no better than the
majority class; ``yardstick``: mean similarity of a language to itself under another seed, beside
``mean_similarity`` of different ones; ``skipped``: why a measure says nothing."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """The rows of one task and protocol, and what a reader must know beside them."""

    task: str
    protocol_id: str
    caption: str
    reading: str  # of ranks, differences and what is bold; empty where there are none
    languages: int
    seeds: int
    rows: list[Row]
    notes: list[str]


def table(records: Sequence[Record]) -> Table:
    """One table from records of one task and protocol. ValueError if there are none or several protocols.

    Measures come first, by the headline (the centred correlation per target) from high to low, equal ones by
    group score, then by name; then the :data:`CONTROLS` in their order, which have no rank and are not
    compared; then the baselines. Records without correlations (samples) are shown with their scores only
    and, as a rank would mean nothing, by name.
    """
    keys = sorted({(record.task, record.protocol_id) for record in records})
    if len(keys) != 1:
        raise ValueError(f"table: expected records of one task and protocol, found {len(keys)} protocols")
    found = standings({name(one): one for one in sorted(records, key=name) if one.measure not in CONTROLS})
    ordered = sorted(records, key=lambda record: _order(record, found.by_name.get(name(record))))
    ceilings = _Ceilings()
    rows = [_measure_row(one, found.by_name.get(name(one)), ceilings) for one in ordered]
    rows += _baseline_rows(ordered)
    first = ordered[0]
    size = len(first.languages), len(first.transfer.seeds)
    return Table(*keys[0], caption(ordered), found.said, *size, rows, notes(ordered, rows))


def _order(record: Record, standing: Standing | None) -> tuple[int, float, float, float, str]:
    inf = float("inf")
    if record.measure in CONTROLS:
        place = len(CONTROLS) if record.skipped else CONTROLS.index(record.measure)
        return 2, place, 0.0, 0.0, name(record)
    found, grouped = record.correlation, record.scores.grouped
    if record.skipped or found is None:
        return int(record.skipped is not None), inf, inf, inf, name(record)
    headline = found.centred_per_target_spearman
    return (
        0,
        inf if standing is None else standing.rank,
        inf if headline is None else -headline,
        inf if grouped is None else -grouped.mean,
        name(record),
    )


def _row(record: Record, kind: str, label: str, score: Score | None) -> Row:
    row: Row = dict.fromkeys(COLUMNS)
    row |= {"task": record.task, "protocol_id": record.protocol_id, "kind": kind, "name": label}
    row |= {key: _text(record.protocol.get(key)) for key in ("model", "preset")} | {"strategy": record.strategy}
    if score is not None:
        row |= {"metric": score.metric, "score": score.mean, "macro_f1": score.macro_f1}
        row["collapsed"] = _collapsed(record, score)
    return row


def _collapsed(record: Record, score: Score) -> list[str]:
    """Languages whose score does not exceed the majority class's."""
    majority = record.scores.majority
    if majority is None or majority.metric != score.metric:
        return []
    floor, own = majority.per_language, score.per_language
    both = [code for code in record.languages if code in own and code in floor]
    return [code for code in both if own[code] <= floor[code] + 1e-12]


def _measure_row(record: Record, standing: Standing | None, ceilings: _Ceilings) -> Row:
    kind = "control" if record.measure in CONTROLS else "measure"
    grouped = record.scores.grouped
    row = _row(record, kind, name(record), grouped)
    row |= {"access": record.access, "trainings": record.cost.trainings, "seconds": record.cost.seconds}
    row |= {"objective": record.objective, "groups": record.groups, "served": record.served}
    row |= {"skipped": record.skipped, **_alike(record)}
    if record.recovery is not None:
        row["recovery_adjusted_rand"] = record.recovery.adjusted_rand
    if record.correlation is None:
        return row
    for other in _GAINS:
        baseline = getattr(record.scores, other)
        if grouped is not None and baseline is not None:
            intervals: GainIntervals = getattr(record.intervals, f"over_{other}")
            row[f"gain_over_{other}"] = grouped.mean - baseline.mean
            _put(row, f"gain_over_{other}_seeds", intervals.seeds)
            _put(row, f"gain_over_{other}_items", intervals.items)
    random = record.scores.random
    if grouped is not None and random is not None:
        row |= {"random_percentile": random.percentile, "random_sd": random.sd, "random_draws": random.draws}
    found = record.correlation
    for key in _STATISTICS:
        row[key] = getattr(found, key)
    if found.mrqap is not None:
        row |= {"mrqap_coefficient": found.mrqap.coefficient, "mrqap_p": found.mrqap.p}
    if record.objective_gain is not None:
        gain = record.objective_gain
        row |= {"objective_gain_spearman": gain.spearman, "objective_gain_draws": gain.draws}
    for key in _CORRELATIONS:
        _put(row, f"{key}_ci95", getattr(found, f"{key}_ci95"))
    row["ndcg_at_3_chance"] = chance(record)
    row["centred_noise_ceiling"] = centred = ceilings.of(record)
    for key in _OF_CEILING:
        ceiling = centred if key.startswith("centred") else found.noise_ceiling
        row[f"{key}_of_ceiling"] = of_ceiling(row[key], ceiling)
    return row | _standing(standing)


def _standing(standing: Standing | None) -> Row:
    if standing is None:
        return {}
    row: Row = {"rank": standing.rank, "rank_shared_by": standing.sharing}
    if standing.against is not None:
        found = standing.against.difference
        row |= {"difference": found.difference, "difference_low": found.low, "difference_high": found.high}
        row |= {"difference_p": found.p, "difference_p_holm": standing.against.adjusted}
        row["difference_from"] = REFERENCE
    return row


class _Ceilings:
    """The noise ceiling of T without source and target effects, once for records that share their transfer."""

    def __init__(self) -> None:
        self.known: list[tuple[Transfer, float | None]] = []

    def of(self, record: Record) -> float | None:
        for transfer, ceiling in self.known:
            if transfer == record.transfer:
                return ceiling
        found = noise_ceiling([np.array(one.test, dtype=float) for one in record.transfer.seeds], centred=True)
        # The fit behind it may differ in the last digits between machines, and tables must not.
        self.known.append((record.transfer, None if found is None else round(found, 6)))
        return self.known[-1][1]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _alike(record: Record) -> Row:
    """How alike languages are on average, and a language to itself under another seed, where that is known."""
    yardstick = record.similarity.yardstick
    if not yardstick:
        return {}
    n = len(record.languages)
    matrix = record.similarity.matrix
    others = [cell for s in range(n) for t in range(n) if s != t and (cell := matrix[s][t]) is not None]
    return {"mean_similarity": fmean(others) if others else None, "yardstick": fmean(yardstick.values())}


def _put(row: Row, key: str, interval: Interval) -> None:
    if interval is not None:
        row[f"{key}_low"], row[f"{key}_high"] = interval


def _baseline_rows(records: Sequence[Record]) -> list[Row]:
    """Random groupings, one row for each size profile that was drawn (of many, their mean), then the others."""
    profiles: dict[tuple[int, ...], Record] = {}
    for record in records:
        if record.scores.random is not None:
            sizes = tuple(sorted(map(len, record.groups or []), reverse=True))
            profiles.setdefault(sizes, record)
    rows = []
    if len(profiles) > PROFILES:
        drawn = [record.scores.random.mean for record in profiles.values() if record.scores.random]
        row = _row(records[0], "baseline", f"random groups (mean of {len(profiles)} size profiles)", None)
        one = next(iter(profiles.values())).scores.grouped
        rows.append(row | {"metric": one.metric if one else None, "score": fmean(drawn)})
        profiles = {}
    for sizes, record in sorted(profiles.items(), reverse=True):
        random, grouped = record.scores.random, record.scores.grouped
        if random is not None:
            shown = "+".join(map(str, sizes[:6])) + ("+…" if len(sizes) > 6 else "")
            of_sizes = f" ({shown})" if len(profiles) > 1 else ""
            kind = "partitions" if record.served is None else "covers"
            row = _row(record, "baseline", f"random {kind}{of_sizes}", None)
            row |= {"metric": grouped.metric if grouped else None, "score": random.mean}
            row |= {"random_sd": random.sd, "random_draws": random.draws}
            rows.append(row)
    for kind, label in (
        ("multilingual", "multilingual"),
        ("monolingual", "monolingual"),
        ("majority", "majority class"),
    ):
        for record in records:  # equal by protocol; the first that has it
            score: Score | None = getattr(record.scores, kind)
            if score is not None:
                row = _row(record, "baseline", label, score)
                rows.append(row | {"collapsed": None} if kind == "majority" else row)
                break
    return rows
