"""The columns of the tables: what each is called, what it says, how a cell is written and sorted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from leaderboard.tables import Row

_MISSING = '<span class="missing">–</span>'


@dataclass(frozen=True)
class Column:
    """``value`` is what the column is sorted by, None last; ``best`` says which end a first click shows."""

    key: str
    label: str
    help: str
    value: Callable[[Row], float | str | None]
    cell: Callable[[Row], str]
    best: str = "high"


def _number(value: float | None, form: str, scale: float = 1.0) -> str:
    return _MISSING if value is None else f"{value * scale:{form}}".replace("-", "−")


def _bounded(row: Row, key: str, bounds: str, form: str, scale: float = 1.0) -> str:
    low, high = row[f"{bounds}_low"], row[f"{bounds}_high"]
    if low is None or row[key] is None:
        return _number(row[key], form, scale)
    interval = f"{_number(low, form, scale)}, {_number(high, form, scale)}"
    return f"{_number(row[key], form, scale)}<small>[{interval}]</small>"


def _score(row: Row) -> str:
    text = _number(row["score"], "z.1f", 100)
    if not row["collapsed"]:
        return text
    which = escape(f"no better than the majority class in {', '.join(row['collapsed'])}")
    return f'{text}<abbr title="{which}">†</abbr>'


def _gain(other: str) -> Callable[[Row], str]:
    return lambda row: _bounded(row, f"gain_over_{other}", f"gain_over_{other}_items", "+z.1f", 100)


def _percent(row: Row) -> str:
    share = row["random_percentile"]
    return _number(share, ".0f", 100) + ("" if share is None else " %")


def _spearman(row: Row) -> str:
    p = row["qap_p"]
    said = "" if p is None else f"<small>p {'&lt; 0.001' if p < 0.001 else f'= {p:.3f}'}</small>"
    return _number(row["spearman"], "z.2f") + said


def _alike(row: Row) -> str:
    if row["yardstick"] is None:
        return _MISSING
    return f"{_number(row['mean_similarity'], 'z.2f')}<small>same {_number(row['yardstick'], 'z.2f')}</small>"


def _beyond(row: Row) -> str:
    p = row["mrqap_p"]
    if p is None:
        return _MISSING
    told = "&lt; 0.001" if p < 0.001 else f"= {p:.3f}"
    return f"{_number(row['mrqap_coefficient'], 'z.2f')}<small>p {told}</small>"


def _key(key: str) -> Callable[[Row], float | str | None]:
    def value(row: Row) -> float | str | None:
        found: float | str | None = row[key]
        return found

    return value


def _access(row: Row) -> str:
    return _MISSING if row["access"] is None else escape(row["access"])


_OVER = "Mean score of the grouping minus that of {}, in points; below it the 95 % interval over test items."
# A table shows those for which one of its rows has a value.
COLUMNS = (
    Column(
        "access",
        "sees",
        "What the measure may look at: none of the task's data, its text, its labels (models "
        "trained on them), or transfer itself.",
        _key("access"),
        _access,
        "low",
    ),
    Column(
        "score",
        "score",
        "Mean over languages of the task's official metric, ×100: one model for each group. "
        "† marks languages where a model is no better than the majority class.",
        _key("score"),
        _score,
    ),
    Column(
        "macro_f1",
        "macro F1",
        "Mean over languages, ×100, where the official metric is another.",
        _key("macro_f1"),
        lambda row: _number(row["macro_f1"], "z.1f", 100),
    ),
    Column(
        "random",
        "over random",
        _OVER.format("random groupings of the same sizes"),
        _key("gain_over_random"),
        _gain("random"),
    ),
    Column(
        "percentile",
        "beats",
        "The share of those random groupings that it beats.",
        _key("random_percentile"),
        _percent,
    ),
    Column(
        "multilingual",
        "over multi&shy;lingual",
        _OVER.format("one model for all languages"),
        _key("gain_over_multilingual"),
        _gain("multilingual"),
    ),
    Column(
        "monolingual",
        "over mono&shy;lingual",
        _OVER.format("one model for each language"),
        _key("gain_over_monolingual"),
        _gain("monolingual"),
    ),
    Column(
        "centred",
        "ρ centred",
        "How well the measure foretold transfer: Spearman's ρ over sources, averaged over "
        "targets, after source and target effects are removed from both. Below it the 95 % interval over "
        "languages.",
        _key("centred_per_target_spearman"),
        lambda row: _bounded(row, "centred_per_target_spearman", "centred_per_target_spearman_ci95", "z.2f"),
    ),
    Column(
        "rho",
        "ρ per target",
        "The same with source and target effects left in: Spearman's ρ over sources, averaged over targets.",
        _key("per_target_spearman"),
        lambda row: _bounded(row, "per_target_spearman", "per_target_spearman_ci95", "z.2f"),
    ),
    Column(
        "spearman",
        "ρ matrix",
        "Spearman's ρ over all ordered pairs, with p of a permutation of languages (QAP).",
        _key("spearman"),
        _spearman,
    ),
    Column(
        "ndcg",
        "NDCG@3",
        "Do the three best sources of a target come first? 1 is perfect; chance is in the caption.",
        _key("ndcg_at_3"),
        lambda row: _number(row["ndcg_at_3"], "z.2f"),
    ),
    Column(
        "regret",
        "regret@1",
        "Points lost on a target by taking the measure's best source instead of the one that is best on dev.",
        _key("regret_at_1"),
        lambda row: _number(row["regret_at_1"], "z.1f", 100),
        "low",
    ),
    Column(
        "beyond",
        "MRQAP β",
        "What the measure knows of transfer beyond script, family, sizes, label shares and the effects of source "
        "and target, in standard deviations of ranks; below it p by permuting languages.",
        _key("mrqap_coefficient"),
        _beyond,
    ),
    Column(
        "reliability",
        "relia&shy;bility",
        "Agreement of the measure's odd and even probes, stepped up to all of them.",
        _key("reliability"),
        lambda row: _number(row["reliability"], "z.2f"),
    ),
    Column(
        "recovery",
        "recovery",
        "Adjusted Rand index of a partition into as many groups as there are planted families: 1 is "
        "all found, 0 is chance.",
        _key("recovery_adjusted_rand"),
        lambda row: _number(row["recovery_adjusted_rand"], "z.2f"),
    ),
    Column(
        "alike",
        "alike",
        "Mean similarity of two languages, and below it that of a language to itself under "
        "another seed: where the second is no higher, the first says nothing.",
        _key("mean_similarity"),
        _alike,
    ),
    Column(
        "trainings",
        "train&shy;ings",
        "Trainings that the measure and its grouping took.",
        _key("trainings"),
        lambda row: _number(row["trainings"], "g"),
        "low",
    ),
    Column(
        "seconds",
        "seconds",
        "Time they took.",
        _key("seconds"),
        lambda row: _number(row["seconds"], ".0f"),
        "low",
    ),
)
NAME = Column("name", "measure", "With its parameters. Choose one to see its figures.", _key("name"), str, "low")

COLUMN_HELP = "\n".join(
    f"<dt>{column.label.replace('&shy;', '')}</dt><dd>{escape(column.help)}</dd>" for column in COLUMNS
)
