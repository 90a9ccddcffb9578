"""What stands in the cells of a table for readers: which columns there are, and how a number is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from leaderboard.rows import Row
from leaderboard.standing import REFERENCE
from leaderboard.tables import Table

MISSING = "–"


class Bold(str):
    """A cell that is printed bold where that is possible."""


class Part(NamedTuple):
    """One of the tables that readers see of a :class:`Table`, and how to read it."""

    key: str
    title: str
    headers: list[str]
    body: list[list[str]]
    reading: str = ""


def parts(table: Table, with_groups: bool = False) -> list[Part]:
    """How well measures foretold transfer, what their groupings were worth, what they cost, where known."""
    foretold = [row for row in table.rows if row["per_target_spearman"] is not None]
    measures = [row for row in table.rows if row["access"] is not None]
    # Without groups there are scores of the baselines alone.
    scored = table.rows if any(row["score"] is not None for row in measures) else _scored(table.rows)
    cost = [*_COST, "groups"] if with_groups else _COST
    found = [
        _part("foresight", "How well each measure foretold transfer", _foresight(table), foretold, table.reading),
        _part("worth", "What the grouping by each measure is worth", _worth(table), scored),
        _part("cost", "What each measure sees and costs", cost, measures),
    ]
    return [part for part in found if part.body]


def groups(table: Table) -> Part:
    """Who is grouped with whom."""
    rows = [row for row in table.rows if row["groups"]]
    return _part("groups", "Who is grouped with whom", ["measure", "groups"], rows)


def _part(key: str, title: str, headers: list[str], rows: Sequence[Row], reading: str = "") -> Part:
    return Part(key, title, headers, [[_CELLS[header](row) for header in headers] for row in rows], reading)


def _scored(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["score"] is not None]


def number(value: float | None, form: str, scale: float = 1.0) -> str:
    return MISSING if value is None else f"{value * scale:{form}}"


def bounded(row: Row, key: str, bounds: str, form: str, scale: float = 1.0) -> str:
    """The value and, if known, its interval."""
    text = number(row[key], form, scale)
    low, high = row[f"{bounds}_low"], row[f"{bounds}_high"]
    return text if low is None else f"{text} [{number(low, form, scale)}, {number(high, form, scale)}]"


def score(row: Row) -> str:
    return number(row["score"], "z.1f", 100) + ("†" if row["collapsed"] else "")


def _gain(other: str) -> Callable[[Row], str]:
    return lambda row: bounded(row, f"gain_over_{other}", f"gain_over_{other}_items", "+z.1f", 100)


def _over_random(row: Row) -> str:
    share = row["random_percentile"]
    return _gain("random")(row) + ("" if share is None else f" ({number(share, '.0f', 100)} %)")


def _correlation(key: str) -> Callable[[Row], str]:
    return lambda row: bounded(row, key, f"{key}_ci95", "z.2f")


def _groups(row: Row) -> str:
    return " · ".join(map(" ".join, row["groups"])) if row["groups"] else MISSING


def _p(value: float) -> str:
    return f"(p {'< 0.001' if value < 0.001 else f'= {value:.3f}'})"


def _tested(key: str, p_key: str) -> Callable[[Row], str]:
    """A coefficient with its p."""

    def cell(row: Row) -> str:
        p, value = row[p_key], number(row[key], "z.2f")
        return value if p is None else f"{value} {_p(p)}"

    return cell


def _rank(row: Row) -> str:
    if row["rank"] is None:
        return MISSING
    return f"{row['rank']}{'=' if row['rank_shared_by'] > 1 else ''}"


def _difference(row: Row) -> str:
    """To the reference; bold where the measure is the better one and the interval excludes zero."""
    if row["difference"] is None:
        return "reference" if row["rank"] is not None and row["name"] == REFERENCE else MISSING
    text = f"{bounded(row, 'difference', 'difference', '+z.2f')} {_p(row['difference_p_holm'])}"
    return Bold(text) if better(row) else text


def better(row: Row) -> bool:
    """Whether the interval of the difference to the reference lies above zero."""
    return row["difference_low"] is not None and bool(row["difference_low"] > 0)


def _regrets(row: Row) -> str:
    both = [number(row[key], "z.1f", 100) for key in ("regret_at_1", "regret_at_3") if row[key] is not None]
    return " / ".join(both) or MISSING


def _alike(row: Row) -> str:
    if row["yardstick"] is None:
        return MISSING
    return f"{number(row['mean_similarity'], 'z.2f')} / {row['yardstick']:z.2f}"


def _foresight(table: Table) -> list[str]:
    """The headline first; columns that only some tables have come last."""
    return ["measure", "rank", "ρ centred", "over reference", *_FORESIGHT, *_known(table, _OPTIONAL)]


def _worth(table: Table) -> list[str]:
    return ["measure", "score", *_known(table, {"macro F1": "macro_f1"}), *_GAINS, *_known(table, _OF_DRAWS)]


def _known(table: Table, optional: Mapping[str, str]) -> list[str]:
    return [header for header, key in optional.items() if any(row[key] is not None for row in table.rows)]


_FORESIGHT = ["ρ per target", "ρ matrix (QAP)", "NDCG@3", "regret@1 / @3"]
_OPTIONAL = {  # columns that are shown where any row knows them
    "MRQAP β": "mrqap_p",
    "reliability": "reliability",
    "recovery": "recovery_adjusted_rand",
    "alike / same": "yardstick",
}
_GAINS = ["over random (percentile)", "over multilingual", "over monolingual"]
_OF_DRAWS = {"ρ(objective, score)": "objective_gain_spearman"}
_COST = ["measure", "access", "trainings", "seconds"]
_CELLS: dict[str, Callable[[Row], str]] = {
    "measure": lambda row: str(row["name"]),
    "rank": _rank,
    "ρ centred": _correlation("centred_per_target_spearman"),
    "over reference": _difference,
    "ρ per target": _correlation("per_target_spearman"),
    "ρ matrix (QAP)": _tested("spearman", "qap_p"),
    "NDCG@3": lambda row: number(row["ndcg_at_3"], "z.2f"),
    "regret@1 / @3": _regrets,
    "MRQAP β": _tested("mrqap_coefficient", "mrqap_p"),
    "reliability": lambda row: number(row["reliability"], "z.2f"),
    "recovery": lambda row: number(row["recovery_adjusted_rand"], "z.2f"),
    "alike / same": _alike,
    "score": score,
    "macro F1": lambda row: number(row["macro_f1"], "z.1f", 100),
    "over random (percentile)": _over_random,
    "over multilingual": _gain("multilingual"),
    "over monolingual": _gain("monolingual"),
    "ρ(objective, score)": lambda row: number(row["objective_gain_spearman"], "z.2f"),
    "access": lambda row: row["access"] or MISSING,
    "trainings": lambda row: number(row["trainings"], "g"),
    "seconds": lambda row: number(row["seconds"], ".0f"),
    "groups": _groups,
}
