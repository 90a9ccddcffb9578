"""Which measures do well on task after task, by mean rank; never pooled over models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.cells import MISSING, Part
from leaderboard.comparison import borda
from leaderboard.rows import COLUMNS, Row
from leaderboard.tables import Table

Setting = tuple[str | None, str | None, str | None]  # model, preset, strategy


@dataclass(frozen=True)
class Across:
    """``rows`` have the columns of all tables, kind ``across``: ranked measures first, then the incomplete ones.
    ``headline`` is the centred correlation by measure and task, ``access`` what a measure sees."""

    title: str
    caption: str
    tasks: list[str]
    headline: dict[str, dict[str, float | None]]
    access: dict[str, str]
    rows: list[Row]
    notes: list[str]


def across(tables: Sequence[Table]) -> list[Across]:
    """One for each model, preset and strategy with correlations on at least two tasks.

    Of a task with several protocols the one with the most measures counts, of equal ones that with more seeds,
    then more languages, then by name. Controls take no part.
    """
    by_setting: dict[Setting, list[Table]] = {}
    for table in tables:
        if _headline(table):
            first = table.rows[0]
            by_setting.setdefault((first["model"], first["preset"], first["strategy"]), []).append(table)
    order = sorted(by_setting, key=lambda setting: tuple(part or "" for part in setting))
    found = [(setting, by_setting[setting]) for setting in order]
    several = [(setting, of) for setting, of in found if len({table.task for table in of}) > 1]
    return [_across(setting, of, len(several) > 1) for setting, of in several]


def part(found: Across) -> Part:
    """For readers: the mean rank, and the headline on each task."""
    headers = ["measure", "rank", "mean rank", *found.tasks]
    return Part("across", found.title, headers, [_cells(row, found) for row in found.rows])


def _cells(row: Row, found: Across) -> list[str]:
    values = [found.headline[row["name"]][task] for task in found.tasks]
    known = [MISSING if value is None else f"{value:z.2f}" for value in values]
    if row["rank"] is None:
        return [row["name"], MISSING, "incomplete", *known]
    rank = f"{row['rank']}{'=' if row['rank_shared_by'] > 1 else ''}"
    return [row["name"], rank, f"{row['mean_rank']:.2f}", *known]


def _headline(table: Table) -> dict[str, float]:
    rows = [row for row in table.rows if row["kind"] == "measure"]
    return {row["name"]: value for row in rows if (value := row["centred_per_target_spearman"]) is not None}


def _across(setting: Setting, tables: Sequence[Table], several: bool) -> Across:
    chosen, left_out = _one_protocol(tables)
    scores = {task: _headline(table) for task, table in chosen.items()}
    access = {row["name"]: str(row["access"]) for table in chosen.values() for row in table.rows}
    found = borda({task: dict(known) for task, known in scores.items()})
    means = list(found.mean_rank.values())
    rows: list[Row] = []
    for name, mean in found.mean_rank.items():
        rank = 1 + sum(other < mean for other in means)
        rows.append({"name": name, "rank": rank, "rank_shared_by": means.count(mean), "mean_rank": mean})
    unranked = sorted(found.incomplete, key=lambda name: (len(found.incomplete[name]), name))
    rows += [{"name": name, "tasks_lacking": list(found.incomplete[name])} for name in unranked]
    of = dict(zip(("model", "preset", "strategy"), setting, strict=True)) | {"kind": "across"}
    empty: Row = dict.fromkeys(COLUMNS)
    model = f": {setting[0] or MISSING}" if several else ""
    parts = [f"{key} {of[key] or MISSING}" for key in ("model", "preset", "strategy")]
    return Across(
        title=f"Across tasks{model}",
        caption=" · ".join([f"mean rank by ρ centred over {len(chosen)} tasks", *parts]),
        tasks=list(chosen),
        headline={row["name"]: {task: scores[task].get(row["name"]) for task in chosen} for row in rows},
        access={row["name"]: access[row["name"]] for row in rows},
        rows=[empty | of | row | {"tasks": list(chosen)} for row in rows],
        notes=_notes(len(means), len(unranked), chosen, left_out),
    )


def _one_protocol(tables: Sequence[Table]) -> tuple[dict[str, Table], list[Table]]:
    best_first = sorted(
        tables, key=lambda table: (-len(_headline(table)), -table.seeds, -table.languages, table.protocol_id)
    )
    chosen: dict[str, Table] = {}
    for table in best_first:
        chosen.setdefault(table.task, table)
    left_out = [table for table in tables if table is not chosen[table.task]]
    return {task: chosen[task] for task in sorted(chosen)}, left_out


def _notes(ranked: int, unranked: int, chosen: dict[str, Table], left_out: Sequence[Table]) -> list[str]:
    told = [
        f"Mean rank (Borda) among the {ranked} measures that are known in every task, 1 is best; = marks equal "
        "mean ranks. Beside it ρ centred on each task, which is not averaged. Mean ranks carry no interval: "
        "whether one measure beats another stands in the tables of the tasks."
    ]
    if unranked:
        lack = "lacks a task and is" if unranked == 1 else "lack a task and are"
        told.append(
            f"{unranked} {lack} shown without a rank: over the other tasks alone it is easier to come first."
        )
    bases = [task.split("[", 1)[0] for task in chosen]
    for base in sorted(set(bases)):
        if bases.count(base) > 1:
            told.append(f"{bases.count(base)} of the tasks are variants of {base}, and each of them counts.")
    for table in left_out:
        of = chosen[table.task]
        told.append(
            f"{table.task} has several protocols: {of.protocol_id} counts here ({len(_headline(of))} measures, "
            f"{of.languages} languages, seeds: {of.seeds}), {table.protocol_id} does not."
        )
    return told
