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
from itertools import accumulate
from typing import Any

from leaderboard.across import Across
from leaderboard.page.across import across_html
from leaderboard.page.boards import board_html, filters_html
from leaderboard.page.columns import COLUMN_HELP
from leaderboard.page.data import table_data
from leaderboard.records import Record
from leaderboard.rows import COLUMNS
from leaderboard.tables import Table

_SCRIPTS = ("plots.js", "figures.js", "page.js")


def page_html(tables: Sequence[Table], records: Sequence[Sequence[Record]], across: Sequence[Across] = ()) -> str:
    """The page of some tables, ``records`` those of each, and of what there is across tasks."""
    sections = [*([*board.rows, *board.strategies] for board in tables), *(one.rows for one in across)]
    starts = list(accumulate(map(len, sections), initial=0))
    data = {
        "columns": COLUMNS,
        "rows": [[row[column] for column in COLUMNS] for rows in sections for row in rows],
        "tables": [table_data(board, of) for board, of in zip(tables, records, strict=True)],
    }
    boards = [board_html(place, board, starts[place]) for place, board in enumerate(tables)]
    beyond = [across_html(place, one, starts[len(tables) + place]) for place, one in enumerate(across)]
    # Loaded by name: typed or not, plotly is needed for this one file of its own.
    plotly = importlib.import_module("plotly.offline").get_plotlyjs()
    parts = {
        "style": _file("page.css"),
        "filters": filters_html(tables),
        "boards": "\n".join([*boards, *beyond]),
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
