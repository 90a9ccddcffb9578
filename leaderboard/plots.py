"""Figures of one record for a paper; the same record gives the same bytes.

As wide as a column of two where the number of languages allows it, in colours that colour-blind
readers can tell apart, all of one record in the same order of languages.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from leaderboard import training_plots
from leaderboard.heatmaps import heatmaps, views
from leaderboard.names import metric
from leaderboard.picture import (
    COLOURS,
    COLUMN,
    LINE,
    ROW,
    Picture,
    axes,
    colour,
    named_points,
    one_line,
    picture,
    rendered,
    shape,
    sheet,
    styled,
)
from leaderboard.ranking import Vector, cells, midranks
from leaderboard.records import JOINT, Interval, Record, Score
from leaderboard.training_plots import Trainings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")
_NAMED = 12  # pairs of languages named in a scatter


def figures(record: Record) -> list[str]:
    """Those that there may be: models of all languages have their own."""
    return ["gains", *training_plots.FIGURES] if record.measure == JOINT else list(FIGURES)


def absent(record: Record, figure: str, of: Trainings | None = None) -> str | None:
    """Why a record has no such figure, in words; None if it can be drawn. ``of``: with others, where it is of a
    model of all languages."""
    if figure in training_plots.FIGURES:
        return training_plots.absent(of, figure)
    if record.skipped:
        return f"the measure was skipped: {record.skipped}"
    similar = cells(np.array(record.similarity.matrix, dtype=np.float64))
    known = cells(np.array(record.transfer.test, dtype=np.float64))
    if not similar.any() and figure != "gains":
        return "it has no similarity of any two languages"
    if figure == "scatter" and not (similar & known).any():
        return "no pair of languages has both a similarity and a transfer"
    if figure == "gains" and (record.scores.grouped is None or not _baselines(record)):
        return "no groups were trained (--no-groups), so that nothing was gained"
    if figure == "views" and not record.similarity.views:
        return "the measure has no views, as by layer or by phase of the training"
    return None


def draw(record: Record, figure: str, form: str, of: Trainings | None = None) -> bytes:
    """The figure, one of :func:`figures`, as ``svg``, ``pdf`` or ``png``.

    ValueError where :func:`absent` has a reason.
    """
    reason = absent(record, figure, of)
    if reason is not None:
        raise ValueError(f"{figure}: {reason}")
    with styled():
        if of is not None and figure in training_plots.FIGURES:
            return rendered(training_plots.FIGURES[figure](of), form)
        return rendered(FIGURES[figure](picture(record)), form)


def scatter(drawn: Picture) -> Figure:
    """Each ordered pair of languages: transfer over similarity, pairs of one group apart from the others.

    Named are the pairs of highest transfer, of highest similarity, and those that the measure ranks most wrongly.
    """
    both = cells(drawn.transfer) & np.isfinite(drawn.similarity)
    source, target = np.nonzero(both)
    x, y = drawn.similarity[both], 100 * drawn.transfer[both]
    group = np.array([drawn.group.get(code, -1 - place) for place, code in enumerate(drawn.codes)])
    together = group[source] == group[target]
    figure = sheet(COLUMN, 2.9)
    ax = axes(figure, 0.4, 0.35, COLUMN - 0.45, 2.1)
    size = float(np.clip(1500 / len(x), 2.0, 7.0))
    apart = "different groups" if drawn.group else "pair of languages"
    ax.scatter(x[~together], y[~together], s=size, facecolors="none", edgecolors=COLOURS[0], lw=0.5, label=apart)
    if together.any():
        ax.scatter(x[together], y[together], s=1.5 * size, c=COLOURS[1], marker="D", lw=0, label="same group")
    ax.margins(0.06)
    ax.set_xlabel(one_line(f"similarity: {drawn.title}"), labelpad=2)
    ax.set_ylabel(f"transfer ({metric(drawn.record.transfer.metric)} ×100)", labelpad=2)
    titles = [drawn.details]
    found = drawn.record.correlation
    if found is not None and found.per_target_spearman is not None:
        centred = found.centred_per_target_spearman
        titles.append(
            f"ρ per target {found.per_target_spearman:z.2f}{_interval(found.per_target_spearman_ci95)}"
            + (
                ""
                if centred is None
                else f", centred {centred:z.2f}{_interval(found.centred_per_target_spearman_ci95)}"
            )
        )
    ax.set_title("\n".join(titles), loc="left", pad=14, fontsize=6.5)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.99), ncols=2, handletextpad=0.1, borderpad=0)
    names = [f"{drawn.codes[s]}→{drawn.codes[t]}" for s, t in zip(source, target, strict=True)]
    named_points(ax, x, y, [(place, names[place]) for place in _notable(x, y)])
    return figure


def dendrogram(drawn: Picture) -> Figure:
    """The tree of average linkage, and beside each language the group that it was trained in.

    A branch has the colour of a group where all languages below it are of that group.
    """
    n = len(drawn.codes)
    tall = max(1.2, n * (ROW + 0.015))
    figure = sheet(COLUMN, tall + 0.6)
    ax = axes(figure, 0.05, 0.35, COLUMN - 0.75, tall)
    groups = [drawn.group.get(code) for code in drawn.codes]
    leaves, tree = drawn.clustering.leaves, drawn.clustering.tree
    # Of each node: where it stands, how far from the leaves, and the group of all below it.
    nodes: list[tuple[float, float, int | None]] = [(place, 0.0, groups[place]) for place in leaves]
    for left, right, distance, _ in tree if tree is not None else ():
        pair = nodes[int(left)], nodes[int(right)]
        shared = pair[0][2] if pair[0][2] == pair[1][2] else None
        for height, start, group in pair:
            ax.plot([start, distance], [height, height], color=colour(group), solid_capstyle="butt")
        ax.plot([distance, distance], [pair[0][0], pair[1][0]], color=colour(shared), solid_capstyle="projecting")
        nodes.append(((pair[0][0] + pair[1][0]) / 2, float(distance), shared))
    size = min(7.0, max(4.5, 0.8 * 72 * tall / n))
    for place, (code, group) in enumerate(zip(drawn.codes, groups, strict=True)):
        if group is not None:
            ax.plot(0, place, shape(group), color=colour(group), ms=size / 2, clip_on=False)
        label = code if group is None else f"{code}  {group + 1}"
        ax.annotate(label, (0, place), (5, 0), textcoords="offset points", va="center", fontsize=size)
    furthest = float(tree[:, 2].max()) if tree is not None else 1.0
    ax.set_xlim(1.04 * furthest or 1.0, 0)
    ax.set_ylim(n - 0.4, -0.6)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("distance: the highest affinity of a pair less this one", labelpad=2, fontsize=6.5)
    title = f"{drawn.title}\n{drawn.details}"
    ax.set_title(f"{title}; number, colour: group" if drawn.group else title, loc="left", pad=3, fontsize=6.5)
    return figure


def gains(drawn: Picture) -> Figure:
    """What each language gained by its group, in points; the mean with its 95 % interval over test items."""
    record = drawn.record
    grouped = record.scores.grouped
    baselines = _baselines(record)
    if grouped is None:
        raise ValueError("gains: expected groups, found none")
    own = {one_line(code): value for code, value in grouped.per_language.items()}
    shown = [code for code in drawn.codes if code in own]
    tall = (len(shown) + 1.5) * (ROW + 0.02) + 0.1
    figure = sheet(COLUMN, tall + 0.75)
    ax = axes(figure, 0.4, 0.35, COLUMN - 0.5, tall)
    ax.axvline(0, color="0.3", lw=LINE)
    for number, (label, score, interval) in enumerate(baselines):
        tone, mark, shift = COLOURS[number], "oD"[number], (-0.13, 0.13)[number]
        other = {one_line(code): value for code, value in score.per_language.items()}
        known = [(place, 100 * (own[code] - other[code])) for place, code in enumerate(shown) if code in other]
        if known:
            places, values = np.array(known).T
            ax.plot(values, places + shift, mark, color=tone, ms=3, mew=0, label=f"over {label}")
        mean = 100 * (grouped.mean - score.mean)
        ax.plot([mean], [-1.5 + 2 * shift], mark, color=tone, ms=4, mew=0)
        if interval is not None:
            ax.plot([100 * interval[0], 100 * interval[1]], [-1.5 + 2 * shift] * 2, color=tone, lw=1)
    ax.axhline(-0.75, color="0.8", lw=LINE)
    size = min(7.0, max(4.5, 0.8 * 72 * tall / (len(shown) + 2)))
    ax.set_yticks([-1.5, *range(len(shown))], ["mean", *shown], fontsize=size)
    ax.set_ylim(len(shown) - 0.4, -2.2)
    ax.grid(axis="y", color="0.93", lw=LINE)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(f"gain of the grouping, points of {metric(grouped.metric)}", labelpad=2)
    ax.set_title(f"{drawn.title}\n{drawn.details}", loc="left", pad=14, fontsize=6.5)
    low = 1 + 0.02 / tall
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, low), ncols=2, handletextpad=0.1, borderpad=0)
    return figure


FIGURES: dict[str, Callable[[Picture], Figure]] = {
    "heatmaps": heatmaps,
    "scatter": scatter,
    "dendrogram": dendrogram,
    "gains": gains,
    "views": views,
}


def _baselines(record: Record) -> list[tuple[str, Score, Interval]]:
    scores, intervals = record.scores, record.intervals
    both = (
        ("multilingual", scores.multilingual, intervals.over_multilingual.items),
        ("monolingual", scores.monolingual, intervals.over_monolingual.items),
    )
    return [(label, score, interval) for label, score, interval in both if score is not None]


def _interval(bounds: Interval) -> str:
    return "" if bounds is None else f" [{bounds[0]:z.2f}, {bounds[1]:z.2f}]"


def _notable(x: Vector, y: Vector) -> list[int]:
    """Places of pairs worth a name: in turn of highest transfer, highest similarity, ranked most wrongly."""
    off = midranks(y) - midranks(x)
    orders = [np.argsort(-values, kind="stable") for values in (y, x, off, -off)]
    turns = (int(place) for turn in zip(*orders, strict=True) for place in turn)
    return list(islice(dict.fromkeys(turns), _NAMED))
