"""One table per task and protocol: what each grouping was worth, and how well each measure foretold transfer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from leaderboard.captions import caption, chance, notes
from leaderboard.names import full_name, name
from leaderboard.records import GainIntervals, Record, Score, Transfer
from leaderboard.rows import CORRELATIONS, GAINS, OF_CEILING, STATISTICS, Row, new_row, put
from leaderboard.standing import REFERENCE, Standing, standings
from leaderboard.statistics import noise_ceiling, of_ceiling
from leaderboard.strategies import of_measures, strategy_rows

CONTROLS = ("random", "same-script", "size", "source-quality", "family", "oracle")
"""Measures that are shown below the others, in this order. Built-in names cannot be taken by plugins."""

PROFILES = 3  # size profiles of random groupings that get a row of their own


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
    strategies: list[Row]  # of strategies, where there are any; see ``leaderboard.strategies``


def table(records: Sequence[Record]) -> Table:
    """One table from records of one task and protocol. ValueError if there are none or several protocols.

    Measures come first, by the headline (the centred correlation per target) from high to low, equal ones by
    group score, then by name; then the :data:`CONTROLS` in their order, which have no rank and are not
    compared; then the baselines. Records without correlations (samples) are shown with their scores only
    and, as a rank would mean nothing, by name. Measures are shown as they are under ``plain``: what other
    strategies make of their groups, and of one model of all languages, has rows of its own.
    """
    keys = sorted({(record.task, record.protocol_id) for record in records})
    if len(keys) != 1:
        raise ValueError(f"table: expected records of one task and protocol, found {len(keys)} protocols")
    measures = of_measures(records)
    found = standings({name(one): one for one in sorted(measures, key=name) if one.measure not in CONTROLS})
    ordered = sorted(measures, key=lambda record: _order(record, found.by_name.get(name(record))))
    ceilings = _Ceilings()
    rows = [_measure_row(one, found.by_name.get(name(one)), ceilings) for one in ordered]
    known = ordered or sorted(records, key=full_name)  # of no measure, if need be
    rows += _baseline_rows(known)
    size = len(known[0].languages), len(known[0].transfer.seeds)
    told = notes(ordered, rows)
    return Table(*keys[0], caption(known), found.said, *size, rows, told, strategy_rows(records, ordered))


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


def _measure_row(record: Record, standing: Standing | None, ceilings: _Ceilings) -> Row:
    kind = "control" if record.measure in CONTROLS else "measure"
    grouped = record.scores.grouped
    row = new_row(record, kind, name(record), grouped)
    row |= {"access": record.access, "trainings": record.cost.trainings, "seconds": record.cost.seconds}
    row |= {"objective": record.objective, "groups": record.groups, "served": record.served}
    row |= {"skipped": record.skipped, **_alike(record)}
    if record.recovery is not None:
        row["recovery_adjusted_rand"] = record.recovery.adjusted_rand
    if record.correlation is None:
        return row
    for other in GAINS:
        baseline = getattr(record.scores, other)
        if grouped is not None and baseline is not None:
            intervals: GainIntervals = getattr(record.intervals, f"over_{other}")
            row[f"gain_over_{other}"] = grouped.mean - baseline.mean
            put(row, f"gain_over_{other}_seeds", intervals.seeds)
            put(row, f"gain_over_{other}_items", intervals.items)
    random = record.scores.random
    if grouped is not None and random is not None:
        row |= {"random_percentile": random.percentile, "random_sd": random.sd, "random_draws": random.draws}
    found = record.correlation
    for key in STATISTICS:
        row[key] = getattr(found, key)
    if found.mrqap is not None:
        row |= {"mrqap_coefficient": found.mrqap.coefficient, "mrqap_p": found.mrqap.p}
    if record.objective_gain is not None:
        gain = record.objective_gain
        row |= {"objective_gain_spearman": gain.spearman, "objective_gain_draws": gain.draws}
    for key in CORRELATIONS:
        put(row, f"{key}_ci95", getattr(found, f"{key}_ci95"))
    row["ndcg_at_3_chance"] = chance(record)
    row["centred_noise_ceiling"] = centred = ceilings.of(record)
    for key in OF_CEILING:
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


def _alike(record: Record) -> Row:
    """How alike languages are on average, and a language to itself under another seed, where that is known."""
    yardstick = record.similarity.yardstick
    if not yardstick:
        return {}
    n = len(record.languages)
    matrix = record.similarity.matrix
    others = [cell for s in range(n) for t in range(n) if s != t and (cell := matrix[s][t]) is not None]
    return {"mean_similarity": fmean(others) if others else None, "yardstick": fmean(yardstick.values())}


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
        row = new_row(records[0], "baseline", f"random groups (mean of {len(profiles)} size profiles)", None)
        one = next(iter(profiles.values())).scores.grouped
        rows.append(row | {"metric": one.metric if one else None, "score": fmean(drawn)})
        profiles = {}
    for sizes, record in sorted(profiles.items(), reverse=True):
        random, grouped = record.scores.random, record.scores.grouped
        if random is not None:
            shown = "+".join(map(str, sizes[:6])) + ("+…" if len(sizes) > 6 else "")
            of_sizes = f" ({shown})" if len(profiles) > 1 else ""
            kind = "partitions" if record.served is None else "covers"
            row = new_row(record, "baseline", f"random {kind}{of_sizes}", None)
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
                row = new_row(record, "baseline", label, score)
                rows.append(row | {"collapsed": None} if kind == "majority" else row)
                break
    return rows
