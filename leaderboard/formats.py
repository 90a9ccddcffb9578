"""A table as plain text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
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
    known = {key for row in table.rows for key in ("recovery_adjusted_rand", "yardstick") if row[key] is not None}
    return [
        *_FORESIGHT,
        *(["recovery"] if "recovery_adjusted_rand" in known else []),
        *(["alike / same"] if "yardstick" in known else []),
    ]


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


def _spearman(row: Row) -> str:
    p = row["qap_p"]
    if p is None:
        return _number(row["spearman"], "z.2f")
    return f"{_number(row['spearman'], 'z.2f')} (p {'< 0.001' if p < 0.001 else f'= {p:.3f}'})"


_WORTH = [
    "measure",
    "score",
    "macro F1",
    "over random (percentile)",
    "over multilingual",
    "over monolingual",
]
_FORESIGHT = ["ρ per target", "ρ per target, centred", "ρ matrix (QAP)", "NDCG@3", "regret@1"]
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
    "ρ matrix (QAP)": _spearman,
    "NDCG@3": lambda row: _number(row["ndcg_at_3"], "z.2f"),
    "regret@1": lambda row: _number(row["regret_at_1"], "z.1f", 100),
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
