"""The leaderboard as one HTML file that needs nothing else: tables to sort and filter, figures of each measure.

The tables stand in the page as HTML; the figures are drawn in the browser, when they come into view, from one
block of JSON by plotly.js, which is inside the page too. The same records give the same bytes.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from leaderboard.page.boards import board_html, filters_html
from leaderboard.page.columns import COLUMN_HELP
from leaderboard.page.data import table_data
from leaderboard.records import Record
from leaderboard.tables import COLUMNS, table

_SCRIPTS = ("plots.js", "figures.js", "page.js")


def page_html(records_by_table: Sequence[Sequence[Record]]) -> str:
    """The page of some tables, each given as its records (of one task and protocol, as :func:`table` takes them).

    ValueError as :func:`table` raises it.
    """
    tables = [(table(records), records) for records in records_by_table]
    data = {
        "columns": COLUMNS,
        "rows": [[row[column] for column in COLUMNS] for board, _ in tables for row in board.rows],
        "tables": [table_data(board, records) for board, records in tables],
    }
    # Loaded by name: typed or not, plotly is needed for this one file of its own.
    plotly = importlib.import_module("plotly.offline").get_plotlyjs()
    parts = {
        "style": _file("page.css"),
        "filters": filters_html([board for board, _ in tables]),
        "boards": "\n".join(board_html(place, board) for place, (board, _) in enumerate(tables)),
        "help": COLUMN_HELP,
        "data": _json(data),
        "plotly": _script(plotly),
        "scripts": "\n".join(_script(_file(name)) for name in _SCRIPTS),
    }
    # In one pass, so that nothing which records say can be taken for a placeholder.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _file("template.html"))


def _file(name: str) -> str:
    return files("leaderboard.page").joinpath(name).read_text("utf-8")


def _json(data: Any) -> str:
    """JSON that is safe inside a script element: no ``<``, ``>`` or ``&`` of any kind."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _script(source: str) -> str:
    """A script element. Sources are files of packages, never of records; still nothing may close it early."""
    return "<script>" + source.replace("</script", "<\\/script") + "</script>"
