"""Tables as plain text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable

from leaderboard.across import Across
from leaderboard.across import part as part_across
from leaderboard.cells import Bold, Part, groups, parts
from leaderboard.rows import COLUMNS, Row
from leaderboard.strategy_cells import strategy_parts
from leaderboard.tables import Table

Marks = tuple[str, str]  # round a bold cell
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain(table: Table) -> str:
    """For a terminal: all parts one below the other, so that lines stay short.

    Lines are as long as they must be, nothing is cut or wrapped. Bold cells have a star.
    """
    told = [one_line(table.caption)]
    for part in parts(table, with_groups=True):
        told += [*_reading(part), tabulated(part, "simple", one_line, ("", " *"))]
    told += map(one_line, table.notes)
    for part in strategy_parts(table):
        told += [one_line(part.title), *_reading(part), tabulated(part, "simple", one_line, ("", " *"))]
    return "\n\n".join(told)


def _reading(part: Part) -> list[str]:
    text = part.reading.replace("Bold:", "A star:").replace("is bold", "has a star")
    return [one_line(text)] if text else []


def plain_across(found: Across) -> str:
    """For a terminal."""
    body = tabulated(part_across(found), "simple", one_line, ("", " *"))
    return "\n\n".join([one_line(found.caption), body, *map(one_line, found.notes)])


def markdown(table: Table) -> str:
    """GitHub's Markdown, with names from outside unable to break the table or add HTML."""
    told = [f"## {_escaped(table.task)}", _escaped(table.caption)]
    grouped = groups(table)
    for part in [*parts(table), *([grouped] if grouped.body else [])]:
        told += _section(part)
    if table.notes:
        told.append("\n".join(f"- {_escaped(note)}" for note in table.notes))
    for part in strategy_parts(table):
        told += _section(part)
    return "\n\n".join(told)


def _section(part: Part) -> list[str]:
    reading = [_escaped(part.reading)] if part.reading else []
    return [f"### {_escaped(part.title)}", *reading, tabulated(part, "pipe", _escaped, ("**", "**"))]


def markdown_across(found: Across) -> str:
    """GitHub's Markdown."""
    told = [f"## {found.title}", _escaped(found.caption)]
    told.append(tabulated(part_across(found), "pipe", _escaped, ("**", "**")))
    return "\n\n".join([*told, "\n".join(f"- {_escaped(note)}" for note in found.notes)])


def csv_text(tables: Iterable[Table], across: Iterable[Across] = ()) -> str:
    """One line per row of every table under :data:`COLUMNS`, full precision, missing cells empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in _rows(tables, across):
        writer.writerow({column: _no_formula(_flat(row[column])) for column in COLUMNS})
    return out.getvalue()


def json_text(tables: Iterable[Table], across: Iterable[Across] = ()) -> str:
    """All rows of all tables as one list, full precision, missing values null."""
    return json.dumps(_rows(tables, across), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _rows(tables: Iterable[Table], across: Iterable[Across]) -> list[Row]:
    of_tables = [row for table in tables for row in (*table.rows, *table.strategies)]
    return of_tables + [row for one in across for row in one.rows]


def _flat(cell: object) -> object:
    if isinstance(cell, dict):
        return " ".join(f"{key}:{value}" for key, value in cell.items())
    if isinstance(cell, list):
        nested = any(isinstance(part, list) for part in cell)
        return "; ".join(map(" ".join, cell)) if nested else " ".join(cell)
    return cell


def _no_formula(cell: object) -> object:
    """Names come from outside, and a spreadsheet runs text that begins so."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def tabulated(part: Part, style: str, clean: Callable[[str], str], bold: Marks) -> str:
    """The part in a style of tabulate's, cells made harmless by ``clean`` before bold ones are marked."""
    from tabulate import tabulate

    body = [[_marked(cell, clean, bold) for cell in row] for row in part.body]
    return str(tabulate(body, list(map(clean, part.headers)), tablefmt=style, disable_numparse=True))


def _marked(cell: str, clean: Callable[[str], str], bold: Marks) -> str:
    return f"{bold[0]}{clean(cell)}{bold[1]}" if isinstance(cell, Bold) else clean(cell)


def one_line(text: str) -> str:
    """Without line breaks, control characters or code points of private use."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _escaped(text: str) -> str:
    text = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")
    text = text.replace("\\", "&#92;").replace("](", "]&#40;")  # no links, and no pictures from elsewhere
    return text.replace("`", "&#96;").replace("*", "&#42;")
