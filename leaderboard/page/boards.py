"""The tables as HTML: one section for a task and protocol, measures, controls and baselines apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby

from leaderboard.page.columns import COLUMNS, NAME, Column
from leaderboard.page.data import family
from leaderboard.page.strategies import strategies_html
from leaderboard.rows import Row
from leaderboard.tables import Table


def filters_html(boards: Sequence[Table]) -> str:
    """The options of the filters: what there is in any of the tables."""
    models = sorted({_model(board) for board in boards})
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
            _select("model", "Model", "all models", [(one, one) for one in models]),
            _select("family", "Measure", "all measures", [(one, one) for one in families]),
            _select("access", "Sees", "anything", [(one, one) for one in seen]),
        ]
    )


def _select(key: str, label: str, everything: str, options: Iterable[tuple[str, str]]) -> str:
    inner = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    return f'<label>{label} <select name="{key}"><option value="">{everything}</option>{inner}</select></label>'


def _model(board: Table) -> str:
    return next((str(row["model"] or "–") for row in (*board.rows, *board.strategies)), "–")


def board_html(place: int, board: Table, start: int) -> str:
    """The section of one table; ``place`` is its number on the page, ``start`` that of its first row."""
    columns = [column for column in COLUMNS if any(column.value(row) is not None for row in board.rows)]
    head = f"<tr>{_spans(columns)}</tr><tr>{''.join(map(head_cell, (NAME, *columns)))}</tr>"
    numbered = list(enumerate(board.rows, start))
    bodies = [_body(kind, numbered, columns) for kind in ("measure", "control", "baseline")]
    notes = "".join(f"<li>{escape(note)}</li>" for note in board.notes)
    lead, *rest = board.caption.split(" · ")
    first = start + len(board.rows)  # of the rows of strategies, which are downloaded all or none
    more = f'data-more="{first} {first + len(board.strategies)}" ' if board.strategies else ""
    return (
        f'<section class="board" data-place="{place}" data-task="{escape(board.task)}" '
        f'data-protocol="{escape(board.protocol_id)}" data-model="{escape(_model(board))}" {more}'
        f'aria-labelledby="board-{place}">'
        f'<h2 id="board-{place}">{escape(lead)}</h2><p class="caption">{escape(" · ".join(rest))}</p>'
        + (f'<p class="reading">{escape(board.reading)}</p>' if board.reading else "")
        + f'<div class="scroll" tabindex="0" role="region" aria-label="table of {escape(board.task)}">'
        f"<table><thead>{head}</thead>{''.join(bodies)}</table></div>"
        f'<details class="notes"><summary>Notes</summary><ul>{notes}</ul></details>'
        f"{strategies_html(board)}</section>"
    )


def _spans(columns: Sequence[Column]) -> str:
    """The headings that columns share."""
    cells = "".join(
        f'<th scope="colgroup" colspan="{len(list(group))}"><span>{escape(title)}</span></th>'
        for title, group in groupby(columns, key=lambda column: column.of)
    )
    return f"<th></th>{cells}"


def head_cell(column: Column) -> str:
    """The header of a column, to sort by."""
    return (
        f'<th scope="col" data-column="{column.key}" data-best="{column.best}" aria-sort="none">'
        f'<button type="button" title="{escape(column.help)}">{column.label}</button></th>'
    )


_TITLES = {"measure": "Measures", "control": "Controls", "baseline": "Baselines"}


def _body(kind: str, numbered: Sequence[tuple[int, Row]], columns: Sequence[Column]) -> str:
    rows = [(at, row) for at, row in numbered if row["kind"] == kind]
    if not rows:
        return ""
    title = f"<span>{_TITLES[kind]}</span>"
    lines = [f'<tr class="kind"><th scope="rowgroup" colspan="{len(columns) + 1}">{title}</th></tr>']
    lines += [line(row, at, columns) for at, row in rows]
    return f'<tbody class="{kind}">{"".join(lines)}</tbody>'


def line(row: Row, at: int, columns: Sequence[Column]) -> str:
    """A row of a table, number ``at`` of the rows that can be downloaded."""
    name = str(row["name"])
    short = family(row)
    label = f"<b>{escape(short)}</b><small>{escape(name[len(short) :])}</small>"
    if row["kind"] != "baseline":
        label = f'<button type="button" class="pick" title="figures of {escape(name)}">{label}</button>'
    first = f'<th scope="row" data-v="{escape(name)}">{label}</th>'
    attributes = f'data-name="{escape(name)}" data-row="{at}"'
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
