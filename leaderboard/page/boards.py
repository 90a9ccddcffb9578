"""The tables as HTML: one section for a task and protocol, measures, controls and baselines apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from leaderboard.page.columns import COLUMNS, NAME, Column
from leaderboard.page.data import family
from leaderboard.tables import Row, Table


def filters_html(boards: Sequence[Table]) -> str:
    """The options of the filters: what there is in any of the tables."""
    tasks = list(dict.fromkeys(board.task for board in boards))
    options = []
    for task in tasks:
        protocols = [board.protocol_id for board in boards if board.task == task]
        options.append((task, task))
        if len(protocols) > 1:
            options += [(f"{task}/{protocol}", f"{task}, protocol {protocol}") for protocol in protocols]
    rows = [row for board in boards for row in board.rows if row["kind"] != "baseline"]
    families = sorted({family(row) for row in rows})
    seen = [kind for kind in ("none", "text", "labels", "transfer") if any(row["access"] == kind for row in rows)]
    seen += sorted({row["access"] for row in rows} - {*seen})
    return "\n".join(
        [
            _select("task", "Task", "all tasks", options),
            _select("family", "Measure", "all measures", [(one, one) for one in families]),
            _select("access", "Sees", "anything", [(one, one) for one in seen]),
        ]
    )


def _select(key: str, label: str, everything: str, options: Iterable[tuple[str, str]]) -> str:
    inner = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    return f'<label>{label} <select name="{key}"><option value="">{everything}</option>{inner}</select></label>'


def board_html(place: int, board: Table) -> str:
    """The section of one table; ``place`` is its number on the page."""
    columns = [column for column in COLUMNS if any(column.value(row) is not None for row in board.rows)]
    head = "".join(_head(column) for column in (NAME, *columns))
    bodies = [_body(kind, board, columns) for kind in ("measure", "control", "baseline")]
    notes = "".join(f"<li>{escape(note)}</li>" for note in board.notes)
    lead, *rest = board.caption.split(" · ")
    return (
        f'<section class="board" data-place="{place}" data-task="{escape(board.task)}" '
        f'data-protocol="{escape(board.protocol_id)}" aria-labelledby="board-{place}">'
        f'<h2 id="board-{place}">{escape(lead)}</h2><p class="caption">{escape(" · ".join(rest))}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="table of {escape(board.task)}">'
        f"<table><thead><tr>{head}</tr></thead>{''.join(bodies)}</table></div>"
        f'<details class="notes"><summary>Notes</summary><ul>{notes}</ul></details></section>'
    )


def _head(column: Column) -> str:
    return (
        f'<th scope="col" data-column="{column.key}" data-best="{column.best}" aria-sort="none">'
        f'<button type="button" title="{escape(column.help)}">{column.label}</button></th>'
    )


_TITLES = {"measure": "Measures", "control": "Controls", "baseline": "Baselines"}


def _body(kind: str, board: Table, columns: Sequence[Column]) -> str:
    rows = [row for row in board.rows if row["kind"] == kind]
    if not rows:
        return ""
    title = f"<span>{_TITLES[kind]}</span>"
    lines = [f'<tr class="kind"><th scope="rowgroup" colspan="{len(columns) + 1}">{title}</th></tr>']
    lines += [_line(row, columns) for row in rows]
    return f'<tbody class="{kind}">{"".join(lines)}</tbody>'


def _line(row: Row, columns: Sequence[Column]) -> str:
    name = str(row["name"])
    short = family(row)
    label = f"<b>{escape(short)}</b><small>{escape(name[len(short) :])}</small>"
    if row["kind"] != "baseline":
        label = f'<button type="button" class="pick" title="figures of {escape(name)}">{label}</button>'
    first = f'<th scope="row" data-v="{escape(name)}">{label}</th>'
    attributes = f'data-name="{escape(name)}"'
    if row["kind"] != "baseline":
        attributes += f' data-family="{escape(short)}" data-access="{escape(str(row["access"]))}"'
    if row["skipped"]:
        reason = f"<span>skipped: {escape(str(row['skipped']))}</span>"
        return f'<tr {attributes}>{first}<td class="skipped" colspan="{len(columns)}">{reason}</td></tr>'
    cells = "".join(_cell(column, row) for column in columns)
    return f"<tr {attributes}>{first}{cells}</tr>"


def _cell(column: Column, row: Row) -> str:
    value = column.value(row)
    sortable = "" if value is None else f' data-v="{escape(str(value))}"'
    kind = "" if column.key == "access" else ' class="n"'
    return f'<td{kind} data-column="{column.key}"{sortable}>{column.cell(row)}</td>'
