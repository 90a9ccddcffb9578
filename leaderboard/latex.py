"""Tables as LaTeX, for a paper."""

from __future__ import annotations

import re

from leaderboard.across import Across
from leaderboard.across import part as part_across
from leaderboard.cells import Part, parts
from leaderboard.formats import one_line, tabulated
from leaderboard.strategy_cells import strategy_parts
from leaderboard.tables import Table


def latex(table: Table) -> str:
    """Floats for a paper, one below the other, for pdflatex with the packages booktabs and [T1]{fontenc}.

    Each has the caption that says data, model, seeds and languages and the label
    ``tab:<task>-<protocol>-foresight`` (``-worth``, ``-cost``; of strategies ``-trained``, ``-unseen``,
    ``-seen``). Names from outside cannot break the table, and letters that pdflatex lacks stand as their code
    points.
    """
    floats = []
    for place, part in enumerate([*parts(table), *strategy_parts(table)]):
        caption = f"{part.title}. {table.caption}"
        if part.reading:
            caption += f". {part.reading}"
        label = f"{table.task}-{table.protocol_id}-{part.key}"
        floats.append(_float(part, caption, label, [] if place else table.notes))
    return "\n".join(floats)


def latex_across(found: Across, number: int) -> str:
    """A float for the table across tasks; ``number`` tells several apart."""
    return _float(part_across(found), found.caption, f"across-{number}", found.notes)


def _float(part: Part, caption: str, label: str, notes: list[str]) -> str:
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{_escaped(caption)}}}",
            rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]+', '-', label)}}}",
            _tabular(part),
            *(rf"\par\smallskip\raggedright {_escaped(note)}" for note in notes),
            r"\end{table*}",
        ]
    )


def _tabular(part: Part) -> str:
    text = tabulated(part, "latex_booktabs", one_line, _BOLD)
    text = text.replace(_BOLD[0], r"\textbf{").replace(_BOLD[1], "}")
    text = _for_pdflatex(re.sub(r"(?<![\w-])-(?=\d)", "−", text))  # a minus sign, not a hyphen
    return re.sub(r"(?m)^\s*([\[*])", r" {\1}", text)  # \\[ and \\* mean something: no row may begin so


def _escaped(text: str) -> str:
    return _for_pdflatex("".join(_SPECIAL.get(c, c) for c in one_line(text)))


def _for_pdflatex(text: str) -> str:
    """What pdflatex cannot set, as commands; text whose special characters are escaped already."""
    as_it_is = (c == "\n" or " " <= c <= "~" or "À" <= c <= "ſ" for c in text)
    return "".join(
        _BEYOND.get(c, c if kept else f"[U+{ord(c):04X}]") for c, kept in zip(text, as_it_is, strict=True)
    )


# Put round a cell before its special characters are escaped; no name can hold them (see one_line).
_BOLD = "\ue000", "\ue001"
# The same as tabulate's, for text outside the table.
_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "^": r"\^{}",
    "~": r"\textasciitilde{}",
    "\\": r"\textbackslash{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
}
_BEYOND = {
    "–": "--",
    "—": "---",
    "ρ": r"\ensuremath{\rho}",
    "β": r"\ensuremath{\beta}",
    "†": r"\ensuremath{\dagger}",
    "×": r"\ensuremath{\times}",
    "·": r"\ensuremath{\cdot}",
    "±": r"\ensuremath{\pm}",
    "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}",
    "−": r"\ensuremath{-}",
    "²": r"\ensuremath{^2}",
    "→": r"\ensuremath{\rightarrow}",
    "…": r"\dots{}",
    "’": "'",
    "‘": "`",
    "“": "``",
    "”": "''",
    "\u00a0": "~",
}
