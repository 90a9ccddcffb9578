"""The columns of the tables: what each is called, what it says, how a cell is written and sorted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape

from leaderboard.cells import better
from leaderboard.rows import Row
from leaderboard.standing import REFERENCE

_MISSING = '<span class="missing">–</span>'


@dataclass(frozen=True)
class Column:
    """``value`` is what the column is sorted by, None last; ``best`` says which end a first click shows;
    ``of`` is the heading that columns side by side share."""

    key: str
    label: str
    help: str
    value: Callable[[Row], float | str | None]
    cell: Callable[[Row], str]
    best: str = "high"
    of: str = ""


def number(value: float | None, form: str, scale: float = 1.0) -> str:
    """Of a cell, with a proper minus sign."""
    return _MISSING if value is None else f"{value * scale:{form}}".replace("-", "−")


def _bounded(row: Row, key: str, bounds: str, form: str, scale: float = 1.0) -> str:
    low, high = row[f"{bounds}_low"], row[f"{bounds}_high"]
    if low is None or row[key] is None:
        return number(row[key], form, scale)
    interval = f"{number(low, form, scale)}, {number(high, form, scale)}"
    return f"{number(row[key], form, scale)}<small>[{interval}]</small>"


def _p(value: float) -> str:
    return f"p {'&lt; 0.001' if value < 0.001 else f'= {value:.3f}'}"


def _tested(key: str, p_key: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        p = row[p_key]
        return number(row[key], "z.2f") + ("" if p is None else f"<small>{_p(p)}</small>")

    return cell


def _rank(row: Row) -> str:
    if row["rank"] is None:
        return _MISSING
    if row["rank_shared_by"] == 1:
        return str(row["rank"])
    return f'{row["rank"]}<abbr title="shared by {row["rank_shared_by"]} measures">=</abbr>'


def _difference(row: Row) -> str:
    if row["difference"] is None:
        ours = row["rank"] is not None and row["name"] == REFERENCE
        return "<small>reference</small>" if ours else _MISSING
    value, low, high = (number(row[f"difference{end}"], "+z.2f") for end in ("", "_low", "_high"))
    shown = f"<strong>{value}</strong>" if better(row) else value
    return f"{shown}<small>[{low}, {high}]</small><small>{_p(row['difference_p_holm'])}</small>"


def _of_ceiling(row: Row) -> str:
    share = row["centred_per_target_spearman_of_ceiling"]
    if share is None:
        return _MISSING
    return f"{number(share, 'z.0f', 100)} %<small>of {number(row['centred_noise_ceiling'], '.2f')}</small>"


def _regret(row: Row) -> str:
    third = row["regret_at_3"]
    more = "" if third is None else f"<small>of three {number(third, 'z.1f', 100)}</small>"
    return number(row["regret_at_1"], "z.1f", 100) + more


def _score(row: Row) -> str:
    text = number(row["score"], "z.1f", 100)
    if not row["collapsed"]:
        return text
    which = escape(f"no better than the majority class in {', '.join(row['collapsed'])}")
    return f'{text}<abbr title="{which}">†</abbr>'


def _gain(other: str) -> Callable[[Row], str]:
    return lambda row: _bounded(row, f"gain_over_{other}", f"gain_over_{other}_items", "+z.1f", 100)


def _over_random(row: Row) -> str:
    share = row["random_percentile"]
    beaten = "" if share is None else f"<small>beats {number(share, '.0f', 100)} %</small>"
    return _gain("random")(row) + beaten


def _objective(row: Row) -> str:
    draws = row["objective_gain_draws"]
    more = "" if draws is None else f"<small>{draws} draws</small>"
    return number(row["objective_gain_spearman"], "z.2f") + more


def _alike(row: Row) -> str:
    if row["yardstick"] is None:
        return _MISSING
    return f"{number(row['mean_similarity'], 'z.2f')}<small>same {number(row['yardstick'], 'z.2f')}</small>"


def _seconds(row: Row) -> str:
    trainings = row["trainings"]
    more = "" if trainings is None else f"<small>{trainings} training{'' if trainings == 1 else 's'}</small>"
    return number(row["seconds"], ".0f") + more


def _key(key: str) -> Callable[[Row], float | str | None]:
    def value(row: Row) -> float | str | None:
        found: float | str | None = row[key]
        return found

    return value


def _access(row: Row) -> str:
    return _MISSING if row["access"] is None else escape(row["access"])


_OVER = "Mean score of the grouping minus that of {}, in points; below it the 95 % interval over test items"
RANK = Column(
    "rank",
    "rank",
    "By ρ centred; those that share one (=) are not told apart from the first of that rank. Controls have none.",
    _key("rank"),
    _rank,
    "low",
)
# A table shows those for which one of its rows has a value.
_FORESIGHT = (
    RANK,
    Column(
        "centred",
        "ρ centred",
        "The headline: how well the measure foretold transfer. Spearman's ρ over sources, averaged over "
        "targets, after source and target effects are removed from both. Below it the 95 % interval over "
        "languages.",
        _key("centred_per_target_spearman"),
        lambda row: _bounded(row, "centred_per_target_spearman", "centred_per_target_spearman_ci95", "z.2f"),
    ),
    Column(
        "difference",
        "over refer&shy;ence",
        f"ρ centred less that of {REFERENCE}, the one reference named beforehand; below it the 95 % interval, "
        "from the same resamples of the languages for both, and p adjusted for all measures of the table (Holm). "
        "Bold where the measure is better and the interval excludes zero.",
        _key("difference"),
        _difference,
    ),
    Column(
        "ceiling",
        "of ceiling",
        "ρ centred as a share of the noise ceiling: of what a measure without error could reach, given how far "
        "the seeds of the trainings agree on transfer without source and target effects.",
        _key("centred_per_target_spearman_of_ceiling"),
        _of_ceiling,
    ),
    Column(
        "rho",
        "ρ per target",
        "ρ with source and target effects left in: Spearman's ρ over sources, averaged over targets.",
        _key("per_target_spearman"),
        lambda row: _bounded(row, "per_target_spearman", "per_target_spearman_ci95", "z.2f"),
    ),
    Column(
        "spearman",
        "ρ matrix",
        "Spearman's ρ over all ordered pairs, with p of a permutation of languages (QAP).",
        _key("spearman"),
        _tested("spearman", "qap_p"),
    ),
    Column(
        "beyond",
        "MRQAP β",
        "What the measure knows of transfer beyond script, family, sizes, label shares and the effects of source "
        "and target, in standard deviations of ranks; below it p by permuting languages.",
        _key("mrqap_coefficient"),
        lambda row: _MISSING if row["mrqap_p"] is None else _tested("mrqap_coefficient", "mrqap_p")(row),
    ),
    Column(
        "ndcg",
        "NDCG@3",
        "Do the three best sources of a target come first? 1 is perfect; chance is in the caption.",
        _key("ndcg_at_3"),
        lambda row: number(row["ndcg_at_3"], "z.2f"),
    ),
    Column(
        "regret",
        "regret@1",
        "Points lost on a target by taking the measure's best source instead of the one that is best on dev; "
        "below it, by trying its best three.",
        _key("regret_at_1"),
        _regret,
        "low",
    ),
)
_WORTH = (
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
        lambda row: number(row["macro_f1"], "z.1f", 100),
    ),
    Column(
        "random",
        "over random",
        f"{_OVER.format('random groupings of the same sizes')} and the share of them that it beats.",
        _key("gain_over_random"),
        _over_random,
    ),
    Column(
        "multilingual",
        "over multi&shy;lingual",
        f"{_OVER.format('one model for all languages')}.",
        _key("gain_over_multilingual"),
        _gain("multilingual"),
    ),
    Column(
        "monolingual",
        "over mono&shy;lingual",
        f"{_OVER.format('one model for each language')}.",
        _key("gain_over_monolingual"),
        _gain("monolingual"),
    ),
    Column(
        "objective",
        "objec&shy;tive, score",
        "Spearman's ρ over the random groupings: do those that the measure likes better score higher?",
        _key("objective_gain_spearman"),
        _objective,
    ),
)
_ITSELF = (
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
        "reliability",
        "relia&shy;bility",
        "Agreement of the measure's odd and even probes, stepped up to all of them.",
        _key("reliability"),
        lambda row: number(row["reliability"], "z.2f"),
    ),
    Column(
        "recovery",
        "recovery",
        "Adjusted Rand index of a partition into as many groups as there are planted families: 1 is "
        "all found, 0 is chance.",
        _key("recovery_adjusted_rand"),
        lambda row: number(row["recovery_adjusted_rand"], "z.2f"),
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
        "seconds",
        "seconds",
        "Time that the measure and its grouping took, and trainings.",
        _key("seconds"),
        _seconds,
        "low",
    ),
)
COLUMNS = tuple(
    replace(column, of=title)
    for title, columns in (
        ("How well it foretold transfer", _FORESIGHT),
        ("What its groups were worth", _WORTH),
        ("The measure", _ITSELF),
    )
    for column in columns
)
NAME = Column("name", "measure", "With its parameters. Choose one to see its figures.", _key("name"), str, "low")

COLUMN_HELP = "\n".join(
    f"<dt>{column.label.replace('&shy;', '')}</dt><dd>{escape(column.help)}</dd>" for column in COLUMNS
)
