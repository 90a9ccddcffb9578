"""What strategies of training are worth, as plain tables beneath those of the measures."""

from __future__ import annotations

import re
from html import escape

from leaderboard.cells import Bold, Part
from leaderboard.strategy_cells import strategy_parts
from leaderboard.tables import Table


def strategies_html(board: Table) -> str:
    return "".join(map(_part, strategy_parts(board)))


def _part(part: Part) -> str:
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in part.headers)
    body = "".join(f"<tr>{_first(first)}{''.join(map(_cell, rest))}</tr>" for first, *rest in part.body)
    return (
        f'<h3>{escape(part.title)}</h3><p class="reading">{escape(part.reading)}</p>'
        f'<div class="scroll simple" tabindex="0" role="region" aria-label="{escape(part.title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _first(cell: str) -> str:
    return f'<th scope="row">{escape(cell)}</th>'


def _cell(cell: str) -> str:
    text = escape(re.sub(r"(?<![\w-])-(?=\d)", "−", cell))
    kind = ' class="n"' if re.match(r"[−+\d–]", text) else ""
    return f"<td{kind}>{f'<strong>{text}</strong>' if isinstance(cell, Bold) else text}</td>"
