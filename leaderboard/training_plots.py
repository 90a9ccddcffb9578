"""Figures of what strategies told of the training of one model of all languages; of several records at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leaderboard.clustering import clustered
from leaderboard.heatmaps import Panel, grid
from leaderboard.names import metric
from leaderboard.picture import COLOURS, COLUMN, LINE, axes, by_depth, named_points, one_line, sheet
from leaderboard.ranking import cells, midranks, pearson, square
from leaderboard.records import JOINT, PLAIN, Record
from leaderboard.told import Seeds, again_by_language, blocks_of, joint_gains, matrices, mean, number, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WATCHED = "watched"  # the strategy that trains as plain does and looks at the gradients
ALL = "model"  # all blocks together
KINDS = ("heads", "units")
_WATCH = "watch=true"  # a parameter that changes nothing of a training
_STYLES = ("-", ":", "-.")


@dataclass(frozen=True)
class Trainings:
    """Records of models of all languages by strategy, ``watched`` first; ``codes``: one order for all figures."""

    by_strategy: Mapping[str, Record]
    codes: tuple[str, ...]

    @property
    def title(self) -> str:
        return one_line(f"one model of all languages on {self.any.task}")

    @property
    def details(self) -> str:
        seeds = [str(one.seed) for one in self.any.transfer.seeds]
        return one_line(
            f"model {self.any.protocol.get('model', '–')}, {len(self.codes)} languages, "
            f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds) or '–'}"
        )

    @property
    def any(self) -> Record:
        return next(iter(self.by_strategy.values()))

    def told(self, of: Callable[[Record], Seeds | None]) -> dict[str, Seeds]:
        """What can be read in each record, by what its strategy is called in a figure."""
        found: dict[str, Seeds] = {}
        for strategy, record in self.by_strategy.items():
            if (values := of(record)) is not None:
                found.setdefault(called(strategy), values)
        return found


def trainings(records: Sequence[Record]) -> Trainings:
    """The languages clustered by their gradients' cosines, else by what subnetworks share.

    ValueError without records.
    """
    known = [record for record in records if record.measure == JOINT]
    if not known:
        raise ValueError(f"expected records of {JOINT}, found none")
    known.sort(
        key=lambda one: (one.strategy != WATCHED, one.strategy != PLAIN, _WATCH in one.strategy, one.strategy)
    )
    codes = known[0].languages
    reads = (matrices("blocks", ALL, "cosines"), *(matrices("overlap", kind) for kind in reversed(KINDS)))
    found = (values for read in reads for record in known if (values := read(record)) is not None)
    first = next(found, None)
    order = range(len(codes)) if first is None else clustered(mean(first)).order
    return Trainings({one.strategy: one for one in known}, tuple(codes[place] for place in order))


def together(tables: Mapping[tuple[str, str], Mapping[str, Record]], key: tuple[str, str]) -> list[Record]:
    """The records of models of all languages of one table, and of those that differ in nothing but the groups,
    which such models do not have."""
    protocol = _without_groups(tables[key])
    alike = [
        other for other in sorted(tables) if other[0] == key[0] and _without_groups(tables[other]) == protocol
    ]
    found: dict[str, Record] = {}
    for other in [key, *alike]:
        for record in tables[other].values():
            if record.measure == JOINT:
                found.setdefault(record.strategy, record)
    return list(found.values())


def _without_groups(table: Mapping[str, Record]) -> dict[str, Any]:
    protocol = next(iter(table.values())).protocol
    return {name: value for name, value in protocol.items() if name != "grouping"}


def called(strategy: str) -> str:
    """A strategy in a figure: whether it was watched goes without saying."""
    name, _, inside = strategy.partition("[")
    params = [param for param in inside.rstrip("]").split(",") if param not in ("", _WATCH)]
    return one_line(f"{name}[{','.join(params)}]" if params else name)


def absent(of: Trainings | None, figure: str) -> str | None:
    """Why there is no such figure, in words; None if it can be drawn."""
    if of is None:
        return f"it is of models of all languages, plot {JOINT} draws it"
    if figure == "masks":
        shared = (of.told(matrices("overlap", kind)) for kind in KINDS)
        return None if any(shared) else "no strategy told of subnetworks, as subnet-static does"
    if not of.told(matrices("blocks", ALL, "cosines")):
        return "no strategy told of the languages' gradients, as watched does"
    if figure == "along" and not of.told(series(ALL, "cosine_along")):
        return "no strategy told of the languages' gradients along the training, as watched does"
    if figure == "agreement":
        if WATCHED not in of.by_strategy:
            return "the training by plain was not looked at (--strategy watched)"
        if not joint_gains(of.by_strategy[WATCHED]):
            return "it has no score of models of one language"
    return None


def along(of: Trainings) -> Figure:
    """The mean cosine of two languages' gradients and the share below zero, along the training; means over seeds
    with their range. The whole model, then each block."""
    blocks = {block for record in of.by_strategy.values() for block in blocks_of(record)}
    rows = [ALL, *sorted(blocks - {ALL}, key=by_depth)]
    shown = of.told(series(ALL, "cosine_along"))
    dashed = {
        called(name) for name, record in of.by_strategy.items() if matrices("overlap", "units")(record) is not None
    }
    legend = 0.13 * -(-len(shown) // 2)
    wide, tall, low, gap = 1.24, 1.05, 0.5, 0.2
    height = 0.35 + tall + (len(rows) - 1) * (low + gap) + 0.55 + legend
    figure = sheet(COLUMN, height)
    colours = (COLOURS[-1:] if WATCHED in shown else ()) + COLOURS[:-1] * len(shown)
    styles = {
        name: (colours[k], "--" if name in dashed else _STYLES[k // len(COLOURS) % len(_STYLES)])
        for k, name in enumerate(shown)
    }
    pictures: dict[str, list[Axes]] = {"cosine_along": [], "conflicts_along": []}
    for column, (what, found) in enumerate(pictures.items()):
        for row, block in enumerate(rows):
            bottom = 0.35 + (len(rows) - 1 - row) * (low + gap)
            ax = axes(figure, 0.4 + column * (wide + 0.42), bottom, wide, low if row else tall)
            values = of.told(series(block, what))
            for name, seeds in values.items():
                _line(ax, 100 * seeds if column else seeds, *styles[name], name, 0.4 / max(3, len(shown)))
            if not column:
                ax.axhline(0, color="0.8", lw=LINE, zorder=0)
            ax.set_title("whole model" if block == ALL else one_line(block), loc="left", pad=1.5, fontsize=6)
            ax.set_xlim(0, 100)
            if row < len(rows) - 1:
                ax.set_xticklabels([])
            found.append(ax)
        _same_range(found)
        found[-1].set_xlabel("% of the training", labelpad=1)
    pictures["cosine_along"][0].set_ylabel("mean cosine", labelpad=1)
    pictures["conflicts_along"][0].set_ylabel("pairs in conflict, %", labelpad=1)
    handles, labels = pictures["cosine_along"][0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(0.0, 1 - 0.4 / height), ncols=2, borderpad=0,
        borderaxespad=0, handlelength=1.8, labelspacing=0.25,
    )  # fmt: skip
    band = "; band: range over seeds" if any(len(values) > 1 for values in shown.values()) else ""
    heading = f"{of.title}\n{of.details}\ngradients before any correction{band}"
    figure.text(0.0, 1.0, heading, va="top", fontsize=6.5)
    return figure


def _ordered(of: Trainings, values: NDArray[np.float64]) -> Any:
    """Of languages in the record's order, in that of the figures."""
    at = [of.any.languages.index(code) for code in of.codes]
    return square(values)[np.ix_(at, at)] if values.ndim == 2 else values[at]


def _line(ax: Axes, seeds: Seeds, colour: str, style: str, name: str, band: float) -> None:
    parts = seeds.shape[1]
    at = 100 * (np.arange(parts) + 0.5) / parts
    marker = "o" if parts == 1 else None
    ax.plot(at, mean(seeds), color=colour, ls=style, lw=0.9, marker=marker, ms=2.5, label=name)
    if len(seeds) > 1:
        with np.errstate(invalid="ignore"):
            low, high = np.fmin.reduce(seeds), np.fmax.reduce(seeds)
        ax.fill_between(at, low, high, color=colour, alpha=band, lw=0)


def _same_range(found: Sequence[Axes]) -> None:
    limits = [ax.get_ylim() for ax in found]
    for ax in found:
        ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def cosines(of: Trainings) -> Figure:
    """The mean cosine of each two languages' gradients of the whole model, by strategy."""
    panels = []
    for name, seeds in of.told(matrices("blocks", ALL, "cosines")).items():
        matrix = _ordered(of, mean(seeds))
        known = matrix[cells(matrix)]
        panels.append(Panel(f"{name}  ({known.mean():z.2f})" if len(known) else name, matrix))
    heading = (
        f"mean cosine of two languages' gradients, before any correction (in brackets: of all pairs)\n{of.title}"
    )
    return grid(of.codes, panels, f"{heading}; {of.details}")


def masks(of: Trainings) -> Figure:
    """What the subnetworks of two languages share, by strategy; at the right, what a language's own share under
    two seeds."""
    panels, most = [], 0
    for kind in KINDS:
        found = of.told(matrices("overlap", kind))
        most = max(most, len(found))
        again = of.told(again_by_language(kind))
        for name, seeds in found.items():
            record = next(record for strategy, record in of.by_strategy.items() if called(strategy) == name)
            numbers = [("between", number(record, "again", kind, "between"))]
            numbers += [("itself", number(record, "again", kind, "itself"))]
            numbers += [("chance", number(record, "again", kind, "chance"))]
            told = ", ".join(f"{what} {value:.2f}" for what, value in numbers if value is not None)
            beside = _ordered(of, mean(again[name])) if name in again else None
            panels.append(
                Panel(f"{name}: {kind}" + (f"\n{told}" if told else ""), _ordered(of, mean(seeds)), beside)
            )
    heading = f"overlap (Jaccard) of two languages' subnetworks: {of.title}; {of.details}"
    if any(panel.beside is not None for panel in panels):
        heading += "\nat the right of each: of a language's own under two seeds"
    return grid(of.codes, panels, heading, across=min(4, most))


def agreement(of: Trainings) -> Figure:
    """Over languages: what joint training gains, in points, over the mean cosine of its gradient with the others';
    lines: the range over seeds."""
    record = of.by_strategy[WATCHED]
    seeds = matrices("blocks", ALL, "cosines")(record)
    assert seeds is not None  # see ``absent``
    seeds = np.where(np.eye(len(record.languages), dtype=bool), np.nan, seeds)
    gains = joint_gains(record)
    codes = [code for code in of.codes if code in gains]
    places = [record.languages.index(code) for code in codes]
    each_x = np.array([mean(seeds[:, place].T) for place in places])  # [languages, seeds]
    each_y = np.array([gains[code] for code in codes])
    x, y = each_x.mean(axis=1), each_y.mean(axis=1)
    figure = sheet(COLUMN, 2.6)
    ax = axes(figure, 0.4, 0.35, COLUMN - 0.45, 1.75)
    ax.axhline(0, color="0.8", lw=LINE, zorder=0)
    ax.hlines(y, each_x.min(axis=1), each_x.max(axis=1), color="0.75", lw=LINE, zorder=1)
    ax.vlines(x, each_y.min(axis=1), each_y.max(axis=1), color="0.75", lw=LINE, zorder=1)
    ax.scatter(x, y, s=9, c=COLOURS[0], lw=0, zorder=2)
    ax.margins(0.08)
    ax.set_xlabel("mean cosine of its gradient with the other languages'", labelpad=2)
    scores = record.scores.multilingual
    ax.set_ylabel("gain by joint training, points", labelpad=2)
    told = [f"points of {metric(scores.metric)}"] if scores else []
    rho = pearson(midranks(x), midranks(y)) if len(x) > 2 else None
    told += [] if rho is None else [f"ρ {rho:z.2f} over languages"]
    told += ["lines: range over seeds"] if max(each_x.shape[1], each_y.shape[1]) > 1 else []
    ax.set_title(f"{of.title}\n{of.details}\n{'; '.join(told)}", loc="left", pad=3, fontsize=6.5)
    named_points(ax, x, y, list(enumerate(map(one_line, codes))))
    return figure


FIGURES: dict[str, Callable[[Trainings], Figure]] = {
    "along": along,
    "cosines": cosines,
    "masks": masks,
    "agreement": agreement,
}
