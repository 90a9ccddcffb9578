"""One table per task and protocol: what each grouping was worth, and how well each measure foretold transfer.

Rows hold full precision under machine names (:data:`COLUMNS`); rounding happens on the way to
a reader. Scores are in the unit of the metric (0 to 1) in rows, ×100 ("points") for readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from leaderboard.ranking import ndcg_chance
from leaderboard.records import GainIntervals, Interval, Record, Score

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

COLUMNS = (
    *("task", "protocol_id", "kind", "name", "metric", "score", "macro_f1"),
    *(
        f"gain_over_{other}{part}"
        for other in _GAINS
        for part in ("", "_seeds_low", "_seeds_high", "_items_low", "_items_high")
    ),
    *("random_percentile", "random_sd", "random_draws"),
    *(f"{name}{part}" for name in _CORRELATIONS for part in ("", "_ci95_low", "_ci95_high")),
    *("spearman", "pearson", "qap_p", "ndcg_at_3", "ndcg_at_3_chance", "regret_at_1", "noise_ceiling"),
    *("regret_at_3", "reliability", "per_target_qap_p", "centred_per_target_qap_p"),
    *("mrqap_coefficient", "mrqap_p"),
    *("recovery_adjusted_rand", "mean_similarity", "yardstick"),
    *("access", "trainings", "seconds", "objective", "groups", "served", "collapsed", "skipped"),
)
"""Keys of every row. ``kind``: measure, control or baseline; ``random_percentile`` is a share, 0 to 1;
``groups``: language codes; ``served``: of overlapping groups, which serves a language; ``collapsed``: languages
where the model is no better than the majority class; ``yardstick``: mean similarity of a language to itself under
another seed, beside ``mean_similarity`` of different ones; ``skipped``: why a measure says nothing."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """The rows of one task and protocol, and what a reader must know beside them."""

    task: str
    protocol_id: str
    caption: str
    rows: list[Row]
    notes: list[str]


def table(records: Sequence[Record]) -> Table:
    """One table from records of one task and protocol. ValueError if there are none or several protocols.

    Measures come first, by group score from high to low, ties and missing scores by name; then
    the :data:`CONTROLS` in their order; then the baselines. Records without correlations
    (samples) are shown with their scores only and, as a rank would mean nothing, by name.
    """
    keys = sorted({(record.task, record.protocol_id) for record in records})
    if len(keys) != 1:
        raise ValueError(f"table: expected records of one task and protocol, found {len(keys)} protocols")
    ordered = sorted(records, key=_order)
    rows = [_measure_row(record) for record in ordered] + _baseline_rows(ordered)
    return Table(*keys[0], _caption(ordered), rows, _notes(ordered, rows))


def name(record: Record) -> str:
    """The measure with its parameters, as on the command line: ``gradsim[blocks=body]``."""
    params = ",".join(f"{key}={value}" for key, value in sorted(record.measure_params.items()))
    return f"{record.measure}[{params}]" if params else record.measure


def _order(record: Record) -> tuple[int, int, float, str]:
    control = record.measure in CONTROLS
    place = CONTROLS.index(record.measure) if control else 0
    grouped = record.scores.grouped
    if record.skipped:
        return int(control), len(CONTROLS), float("inf"), name(record)
    ranked = not control and grouped is not None and record.correlation is not None
    return int(control), place, -grouped.mean if ranked and grouped else float("inf"), name(record)


def _row(record: Record, kind: str, label: str, score: Score | None) -> Row:
    row: Row = dict.fromkeys(COLUMNS)
    row |= {"task": record.task, "protocol_id": record.protocol_id, "kind": kind, "name": label}
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


def _measure_row(record: Record) -> Row:
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
    for key in _CORRELATIONS:
        _put(row, f"{key}_ci95", getattr(found, f"{key}_ci95"))
    row["ndcg_at_3_chance"] = _chance(record)
    return row


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


def _targets_only(record: Record) -> list[str]:
    rows = zip(record.languages, record.transfer.test, strict=True)
    return [code for code, row in rows if all(cell is None for cell in row)]


def _chance(record: Record) -> float | None:
    """NDCG@3 of a random order, averaged over targets as the statistic is."""
    targets = len(_targets_only(record))
    sources = len(record.languages) - targets
    if sources < 3:
        return None
    # A target-only language has all sources as candidates, a source all but itself.
    return (sources * ndcg_chance(sources) + targets * ndcg_chance(sources + 1)) / (sources + targets)


def _caption(records: Sequence[Record]) -> str:
    record = records[0]  # all that is said here is equal by protocol
    protocol = record.protocol
    targets = _targets_only(record)
    languages = f"{len(record.languages)} languages"
    if targets:
        languages += f" ({len(targets)} as targets only: {', '.join(targets)})"
    grouping = protocol.get("grouping")
    if isinstance(grouping, dict):
        rule, k = grouping.get("name"), grouping.get("k")
    else:
        rule, k = grouping, protocol.get("k")
    if k is None:
        k = next((len(one.groups) for one in records if one.groups), None)
    seeds = protocol.get("seeds")
    if not isinstance(seeds, (list, tuple)) or not seeds:
        seeds = [one.seed for one in record.transfer.seeds] if seeds is None else [seeds]
    grouped = record.scores.grouped or record.scores.multilingual or record.scores.monolingual
    parts = [
        record.task,
        f"data {record.data.source} {record.data.fingerprint[:12]}",
        f"model {protocol.get('model', '–')}",
        languages,
        f"K = {'–' if k is None else k} by {'–' if rule is None else rule}",
        f"preset {protocol.get('preset', '–')}",
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds)) or '–'}",
        f"scores in {grouped.metric if grouped else '–'}",
        f"transfer in {record.transfer.metric}",
    ]
    chance = _chance(record)
    if chance is not None and any(one.correlation is not None for one in records):
        parts.append(f"NDCG@3 by chance {chance:.2f}")
    return " · ".join(parts) + f" · protocol {record.protocol_id}"


def _controls(record: Record) -> list[str]:
    beyond = record.correlation.mrqap if record.correlation else None
    return beyond.controls if beyond else []


def _notes(records: Sequence[Record], rows: Sequence[Row]) -> list[str]:
    notes = []
    notes += [f"Skipped: {record.skipped}" for record in records if record.skipped]
    records = [record for record in records if not record.skipped]
    without = [name(record) for record in records if record.correlation is None]
    if without:
        which = "All rows" if len(without) == len(records) else ", ".join(without)
        notes.append(f"{which}: scores only. A sample carries no correlations, gains, intervals or ranks.")
    if len(without) < len(records):
        notes.append(
            "Scores ×100; gains and regret in points; [ ] are 95 % intervals: of gains over test items, of "
            "correlations over languages. The percentile is the share of random partitions that are beaten."
        )
    controls = sorted({name for one in records for name in _controls(one)})
    if controls:
        notes.append(
            f"MRQAP β: what the measure knows of transfer beyond {', '.join(controls)}, source and target; in "
            "standard deviations of ranks, p by permuting languages."
        )
    if any(row["reliability"] is not None for row in rows):
        notes.append("Reliability: agreement of the measure's odd and even probes, stepped up to all of them.")
    if any(row["recovery_adjusted_rand"] is not None for row in rows):
        notes.append(
            "Recovery: adjusted Rand index of a partition into as many groups as there are planted families."
        )
    if any(row["yardstick"] is not None for row in rows):
        notes.append(
            "Alike / same: mean similarity of two languages / of a language to itself under another seed, in the "
            "measure's own unit: where the second is no higher, the first says nothing."
        )
    for record in records:
        if record.similarity.contributions:
            shares = sorted(record.similarity.contributions.items(), key=lambda item: (-item[1], item[0]))
            parts = ", ".join(f"{part} {100 * share:.0f} %" for part, share in shares)
            notes.append(f"{name(record)} is made of: {parts}")
    collapsed: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row["collapsed"]:
            collapsed.setdefault(tuple(row["collapsed"]), []).append(row["name"])
    if collapsed:
        listed = [f"{', '.join(codes)} ({len(codes)}: {', '.join(by)})" for codes, by in collapsed.items()]
        notes.append(f"† no better than the majority class (collapsed): {'; '.join(listed)}")
    return notes
