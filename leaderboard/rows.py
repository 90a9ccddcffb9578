"""Rows of the tables: full precision under machine names; rounding happens on the way to a reader.

Scores are in the unit of the metric (0 to 1) in rows, ×100 ("points") for readers.
"""

from __future__ import annotations

from typing import Any

from leaderboard.records import Interval, Record, Score

GAINS = ("random", "multilingual", "monolingual")
STATISTICS = (
    *("per_target_spearman", "centred_per_target_spearman", "spearman", "pearson", "qap_p"),
    *("ndcg_at_3", "regret_at_1", "regret_at_3", "noise_ceiling", "reliability"),
    *("per_target_qap_p", "centred_per_target_qap_p"),
)
CORRELATIONS = ("per_target_spearman", "centred_per_target_spearman")
OF_CEILING = (*CORRELATIONS, "spearman", "pearson")

COLUMNS = (
    *("task", "protocol_id", "model", "preset", "strategy", "kind", "name", "rank", "rank_shared_by"),
    *("metric", "score", "macro_f1"),
    *(
        f"gain_over_{other}{part}"
        for other in (*GAINS, "plain")
        for part in ("", "_seeds_low", "_seeds_high", "_items_low", "_items_high")
    ),
    *("random_percentile", "random_sd", "random_draws"),
    *(f"{name}{part}" for name in CORRELATIONS for part in ("", "_ci95_low", "_ci95_high")),
    *("difference", "difference_low", "difference_high", "difference_p", "difference_p_holm", "difference_from"),
    *("spearman", "pearson", "qap_p", "ndcg_at_3", "ndcg_at_3_chance", "regret_at_1", "noise_ceiling"),
    *("centred_noise_ceiling", *(f"{name}_of_ceiling" for name in OF_CEILING)),
    *("regret_at_3", "reliability", "per_target_qap_p", "centred_per_target_qap_p"),
    *("mrqap_coefficient", "mrqap_p", "objective_gain_spearman", "objective_gain_draws"),
    *("recovery_adjusted_rand", "mean_similarity", "yardstick"),
    *("access", "trainings", "seconds", "objective", "groups", "served", "collapsed", "skipped"),
    *("mean_rank", "tasks", "tasks_lacking"),
    *("unseen", "shots", "seed_sd", "cosine", "conflicts", "corrected"),
    *("kept_heads", "kept_units", "inner_loss_before", "inner_loss_after"),
)
"""Keys of every row. ``kind``: measure, control or baseline; strategy, unseen or training, of which see
``leaderboard.strategies``; or across, of which see ``leaderboard.across``;
``rank`` by the headline, which ``rank_shared_by`` measures have; ``difference`` of the headline to that of
``difference_from``, with its interval and p, also by Holm's method; ``…_of_ceiling``: as a share of the noise
ceiling, which for the centred one is ``centred_noise_ceiling``; ``objective_gain_spearman`` of objective and score
over the random partitions; ``random_percentile`` is a share, 0 to 1; ``groups``: language codes; ``served``: of
overlapping groups, which serves a language; ``collapsed``: languages where the model is no better than the
majority class; ``yardstick``: mean similarity of a language to itself under another seed, beside
``mean_similarity`` of different ones; ``skipped``: why a measure says nothing; ``unseen``: a language that was
kept out of training, adapted to by so many examples (``shots``), ``seed_sd``: over seeds; from there on what a
strategy told of its training."""

Row = dict[str, Any]


def new_row(record: Record, kind: str, label: str, score: Score | None) -> Row:
    row: Row = dict.fromkeys(COLUMNS)
    row |= {"task": record.task, "protocol_id": record.protocol_id, "kind": kind, "name": label}
    row |= {key: _text(record.protocol.get(key)) for key in ("model", "preset")} | {"strategy": record.strategy}
    if score is not None:
        row |= {"metric": score.metric, "score": score.mean, "macro_f1": score.macro_f1}
        row["collapsed"] = _collapsed(record, score)
    return row


def put(row: Row, key: str, interval: Interval) -> None:
    if interval is not None:
        row[f"{key}_low"], row[f"{key}_high"] = interval


def _collapsed(record: Record, score: Score) -> list[str]:
    """Languages whose score does not exceed the majority class's."""
    majority = record.scores.majority
    if majority is None or majority.metric != score.metric:
        return []
    floor, own = majority.per_language, score.per_language
    both = [code for code in record.languages if code in own and code in floor]
    return [code for code in both if own[code] <= floor[code] + 1e-12]


def _text(value: object) -> str | None:
    return None if value is None else str(value)
