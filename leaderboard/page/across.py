"""The tables across tasks as HTML: mean ranks, and the headline on each task."""

from __future__ import annotations

from html import escape

from leaderboard.across import Across
from leaderboard.page.boards import head_cell, line
from leaderboard.page.columns import NAME, RANK, Column, number
from leaderboard.rows import Row


def across_html(place: int, found: Across, start: int) -> str:
    """The section of one table; ``start`` is the number of its first row."""
    columns = [RANK, _MEAN, *(_task(at, task, found) for at, task in enumerate(found.tasks))]
    head = "".join(map(head_cell, (NAME, *columns)))
    numbered = [(at, row | {"access": found.access[row["name"]]}) for at, row in enumerate(found.rows, start)]
    lines = "".join(line(row, at, columns) for at, row in numbered)
    notes = "".join(f"<li>{escape(note)}</li>" for note in found.notes)
    return (
        f'<section class="board across" data-model="{escape(found.rows[0]["model"] or "–")}" '
        f'aria-labelledby="across-{place}">'
        f'<h2 id="across-{place}">{escape(found.title)}</h2><p class="caption">{escape(found.caption)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(found.title)}">'
        f'<table><thead><tr>{head}</tr></thead><tbody class="measure">{lines}</tbody></table></div>'
        f'<ul class="notes">{notes}</ul></section>'
    )


def _mean(row: Row) -> str:
    return "<small>incomplete</small>" if row["mean_rank"] is None else f"{row['mean_rank']:.2f}"


_MEAN = Column(
    "mean-rank",
    "mean rank",
    "Over the tasks, among measures known in all.",
    lambda row: row["mean_rank"],
    _mean,
    "low",
)


def _task(at: int, task: str, found: Across) -> Column:
    def value(row: Row) -> float | None:
        return found.headline[row["name"]][task]

    return Column(
        f"task-{at}", escape(task), f"ρ centred on {task}.", value, lambda row: number(value(row), "z.2f")
    )
