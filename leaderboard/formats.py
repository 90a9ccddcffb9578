"""A table as plain text, Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence

from leaderboard.tables import COLUMNS, Row, Table

MISSING = "–"


def plain(table: Table) -> str:
    """For a terminal: worth, foresight and cost one below the other, so that lines stay short.

    Lines are as long as they must be, nothing is cut or wrapped.
    """
    known = [row for row in table.rows if row["per_target_spearman"] is not None]
    worth = [header for header in _WORTH if header != "macro F1" or _has_macro(table)]
    parts = [table.caption, _tabulated(worth, table.rows, "simple", _one_line)]
    if known:
        parts.append(_tabulated(["measure", *_foresight(table)], known, "simple", _one_line))
    measures = [row for row in table.rows if row["access"] is not None]
    parts.append(_tabulated(["measure", *_COST, "groups"], measures, "simple", _one_line))
    return "\n\n".join([_one_line(parts[0]), *parts[1:], *map(_one_line, table.notes)])


def markdown(table: Table) -> str:
    """GitHub's Markdown, with names from outside unable to break the table or add HTML."""
    worth = [header for header in _WORTH if header != "macro F1" or _has_macro(table)]
    headers = [*worth, *_foresight(table), *_COST]
    parts = [_escaped(table.caption), _tabulated(headers, table.rows, "pipe", _escaped)]
    parts += [_escaped(note) for note in table.notes]
    grouped = [row for row in table.rows if row["groups"]]
    if grouped:
        parts.append(_tabulated(["measure", "groups"], grouped, "pipe", _escaped))
    return "\n\n".join(parts)


def latex(table: Table) -> str:
    """Floats for a paper, one below the other, for pdflatex with the packages booktabs and [T1]{fontenc}.

    Worth, foresight and cost, each with the caption that says data, model, seeds and languages and the label
    ``tab:<task>-<protocol>-worth`` (``-foresight``, ``-cost``). Names from outside cannot break the table, and
    letters that pdflatex lacks stand as their code points.
    """
    known = [row for row in table.rows if row["per_target_spearman"] is not None]
    worth = [header for header in _WORTH if header != "macro F1" or _has_macro(table)]
    parts = [("worth", "What the grouping by each measure is worth", worth, table.rows)]
    if known:
        headers = ["measure", *_foresight(table)]
        parts.append(("foresight", "How well each measure foretold transfer", headers, known))
    measures = [row for row in table.rows if row["access"] is not None]
    parts.append(("cost", "What each measure sees and costs", ["measure", *_COST], measures))
    label = re.sub(r"[^A-Za-z0-9-]+", "-", f"{table.task}-{table.protocol_id}")
    floats = []
    for what, title, headers, rows in parts:
        notes = table.notes if what == "worth" else []
        floats += [
            r"\begin{table*}",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{_latex_escaped(f'{title}. {table.caption}')}}}",
            rf"\label{{tab:{label}-{what}}}",
            _latex_tabular(headers, rows),
            *(rf"\par\smallskip\raggedright {_latex_escaped(note)}" for note in notes),
            "\\end{table*}\n",
        ]
    return "\n".join(floats).rstrip("\n")


def csv_text(tables: Iterable[Table]) -> str:
    """One line per row of every table under :data:`COLUMNS`, full precision, missing cells empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for row in table.rows:
            groups = None if row["groups"] is None else "; ".join(map(" ".join, row["groups"]))
            collapsed = None if row["collapsed"] is None else " ".join(row["collapsed"])
            served = None if row["served"] is None else " ".join(f"{c}:{g}" for c, g in row["served"].items())
            writer.writerow(row | {"groups": groups, "served": served, "collapsed": collapsed})
    return out.getvalue()


def json_text(tables: Iterable[Table]) -> str:
    """All rows of all tables as one list, full precision, missing values null."""
    rows = [row for table in tables for row in table.rows]
    return json.dumps(rows, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _foresight(table: Table) -> list[str]:
    """Columns that only some tables have come last."""
    known = {key for row in table.rows for key in _OPTIONAL.values() if row[key] is not None}
    return [*_FORESIGHT, *(header for header, key in _OPTIONAL.items() if key in known)]


def _has_macro(table: Table) -> bool:
    """Only where it is not the official metric anyway."""
    return any(row["macro_f1"] is not None for row in table.rows)


def _tabulated(headers: Sequence[str], rows: Iterable[Row], style: str, clean: Callable[[str], str]) -> str:
    from tabulate import tabulate

    body = [[clean(_CELLS[header](row)) for header in headers] for row in rows]
    return str(tabulate(body, list(map(clean, headers)), tablefmt=style, disable_numparse=True))


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _escaped(text: str) -> str:
    text = _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")
    return text.replace("`", "&#96;").replace("*", "&#42;")


def _latex_tabular(headers: Sequence[str], rows: Iterable[Row]) -> str:
    text = _tabulated(headers, rows, "latex_booktabs", _one_line)
    text = _for_pdflatex(re.sub(r"(?<![\w-])-(?=\d)", "−", text))  # a minus sign, not a hyphen
    return re.sub(r"(?m)^\s*([\[*])", r" {\1}", text)  # \\[ and \\* mean something: no row may begin so


def _latex_escaped(text: str) -> str:
    return _for_pdflatex("".join(_LATEX_SPECIAL.get(c, c) for c in _one_line(text)))


def _for_pdflatex(text: str) -> str:
    """What pdflatex cannot set, as commands; text whose special characters are escaped already."""
    as_it_is = (c == "\n" or " " <= c <= "~" or "À" <= c <= "ſ" for c in text)
    return "".join(
        _LATEX_BEYOND.get(c, c if kept else f"[U+{ord(c):04X}]") for c, kept in zip(text, as_it_is, strict=True)
    )


def _number(value: float | None, form: str, scale: float = 1.0) -> str:
    return MISSING if value is None else f"{value * scale:{form}}"


def _bounded(row: Row, key: str, bounds: str, form: str, scale: float = 1.0) -> str:
    """The value and, if known, its interval."""
    text = _number(row[key], form, scale)
    low, high = row[f"{bounds}_low"], row[f"{bounds}_high"]
    return text if low is None else f"{text} [{_number(low, form, scale)}, {_number(high, form, scale)}]"


def _score(row: Row) -> str:
    return _number(row["score"], "z.1f", 100) + ("†" if row["collapsed"] else "")


def _gain(other: str) -> Callable[[Row], str]:
    return lambda row: _bounded(row, f"gain_over_{other}", f"gain_over_{other}_items", "+z.1f", 100)


def _over_random(row: Row) -> str:
    share = row["random_percentile"]
    return _gain("random")(row) + ("" if share is None else f" ({_number(share, '.0f', 100)} %)")


def _correlation(key: str) -> Callable[[Row], str]:
    return lambda row: _bounded(row, key, f"{key}_ci95", "z.2f")


def _groups(row: Row) -> str:
    return " · ".join(map(" ".join, row["groups"])) if row["groups"] else MISSING


def _tested(key: str, p_key: str) -> Callable[[Row], str]:
    """A coefficient with its p."""

    def cell(row: Row) -> str:
        p, value = row[p_key], _number(row[key], "z.2f")
        return value if p is None else f"{value} (p {'< 0.001' if p < 0.001 else f'= {p:.3f}'})"

    return cell


# The same as tabulate's, for text outside the table.
_LATEX_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "^": r"\^{}",
    "~": r"\textasciitilde{}",
    "\\": r"\textbackslash{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
}
_LATEX_BEYOND = {
    "–": "--",
    "—": "---",
    "ρ": r"\ensuremath{\rho}",
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
_WORTH = [
    "measure",
    "score",
    "macro F1",
    "over random (percentile)",
    "over multilingual",
    "over monolingual",
]
_FORESIGHT = ["ρ per target", "ρ per target, centred", "ρ matrix (QAP)", "NDCG@3", "regret@1"]
_OPTIONAL = {  # columns of foresight that are shown where any row knows them
    "regret@3": "regret_at_3",
    "MRQAP β": "mrqap_p",
    "reliability": "reliability",
    "recovery": "recovery_adjusted_rand",
    "alike / same": "yardstick",
}
_COST = ["access", "trainings", "seconds"]
_CELLS: dict[str, Callable[[Row], str]] = {
    "measure": lambda row: str(row["name"]),
    "score": _score,
    "macro F1": lambda row: _number(row["macro_f1"], "z.1f", 100),
    "over random (percentile)": _over_random,
    "over multilingual": _gain("multilingual"),
    "over monolingual": _gain("monolingual"),
    "ρ per target": _correlation("per_target_spearman"),
    "ρ per target, centred": _correlation("centred_per_target_spearman"),
    "ρ matrix (QAP)": _tested("spearman", "qap_p"),
    "NDCG@3": lambda row: _number(row["ndcg_at_3"], "z.2f"),
    "regret@1": lambda row: _number(row["regret_at_1"], "z.1f", 100),
    "regret@3": lambda row: _number(row["regret_at_3"], "z.1f", 100),
    "MRQAP β": _tested("mrqap_coefficient", "mrqap_p"),
    "reliability": lambda row: _number(row["reliability"], "z.2f"),
    "recovery": lambda row: _number(row["recovery_adjusted_rand"], "z.2f"),
    "alike / same": lambda row: (
        MISSING
        if row["yardstick"] is None
        else f"{_number(row['mean_similarity'], 'z.2f')} / {row['yardstick']:z.2f}"
    ),
    "access": lambda row: row["access"] or MISSING,
    "trainings": lambda row: _number(row["trainings"], "g"),
    "seconds": lambda row: _number(row["seconds"], ".0f"),
    "groups": _groups,
}
