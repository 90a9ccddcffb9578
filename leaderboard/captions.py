"""What stands around a table: the caption that says data, model, seeds and languages, and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leaderboard.names import metric, name
from leaderboard.ranking import ndcg_chance
from leaderboard.records import Record


def targets_only(record: Record) -> list[str]:
    rows = zip(record.languages, record.transfer.test, strict=True)
    return [code for code, row in rows if all(cell is None for cell in row)]


def chance(record: Record) -> float | None:
    """NDCG@3 of a random order, averaged over targets as the statistic is."""
    targets = len(targets_only(record))
    sources = len(record.languages) - targets
    if sources < 3:
        return None
    # A target-only language has all sources as candidates, a source all but itself.
    return (sources * ndcg_chance(sources) + targets * ndcg_chance(sources + 1)) / (sources + targets)


def caption(records: Sequence[Record]) -> str:
    record = records[0]  # all that is said here is equal by protocol
    protocol = record.protocol
    targets = targets_only(record)
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
        "no groups" if k is None and rule is None else f"K = {'–' if k is None else k} by {rule or '–'}",
        f"preset {protocol.get('preset', '–')}",
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds)) or '–'}",
        f"scores in {metric(grouped.metric) if grouped else '–'}",
        f"transfer in {metric(record.transfer.metric)}",
    ]
    by_chance = chance(record)
    if by_chance is not None and any(one.correlation is not None for one in records):
        parts.append(f"NDCG@3 by chance {by_chance:.2f}")
    return " · ".join(parts) + f" · protocol {record.protocol_id}"


def _controls(record: Record) -> list[str]:
    beyond = record.correlation.mrqap if record.correlation else None
    return beyond.controls if beyond else []


def notes(records: Sequence[Record], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    told = [f"Skipped: {record.skipped}" for record in records if record.skipped]
    records = [record for record in records if not record.skipped]
    without = [name(record) for record in records if record.correlation is None]
    if without:
        which = "All rows" if len(without) == len(records) else ", ".join(without)
        told.append(f"{which}: scores only. A sample carries no correlations, gains, intervals or ranks.")
    if len(without) < len(records):
        told.append(
            "Scores ×100; gains and regret in points; [ ] are 95 % intervals: of gains over test items, of "
            "correlations over languages. The percentile is the share of random partitions that are beaten."
        )
    controls = sorted({name for one in records for name in _controls(one)})
    if controls:
        told.append(
            f"MRQAP β: what the measure knows of transfer beyond {', '.join(controls)}, source and target; in "
            "standard deviations of ranks, p by permuting languages."
        )
    if any(row["objective_gain_spearman"] is not None for row in rows):
        told.append(
            "ρ(objective, score): over the random partitions, do those that the measure likes better score higher?"
        )
    if any(row["reliability"] is not None for row in rows):
        told.append("Reliability: agreement of the measure's odd and even probes, stepped up to all of them.")
    if any(row["recovery_adjusted_rand"] is not None for row in rows):
        told.append(
            "Recovery: adjusted Rand index of a partition into as many groups as there are planted families."
        )
    if any(row["yardstick"] is not None for row in rows):
        told.append(
            "Alike / same: mean similarity of two languages / of a language to itself under another seed, in the "
            "measure's own unit: where the second is no higher, the first says nothing."
        )
    for record in records:
        if record.similarity.contributions:
            shares = sorted(record.similarity.contributions.items(), key=lambda item: (-item[1], item[0]))
            parts = ", ".join(f"{part} {100 * share:.0f} %" for part, share in shares)
            told.append(f"{name(record)} is made of: {parts}")
    collapsed: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row["collapsed"]:
            collapsed.setdefault(tuple(row["collapsed"]), []).append(row["name"])
    if collapsed:
        listed = [f"{', '.join(codes)} ({len(codes)}: {', '.join(by)})" for codes, by in collapsed.items()]
        told.append(f"† no better than the majority class (collapsed): {'; '.join(listed)}")
    return told
