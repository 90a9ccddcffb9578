"""What all figures of a record share: its languages in one order, its groups, style, and the writing of files."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from leaderboard.clustering import Clustering, clustered
from leaderboard.names import name
from leaderboard.ranking import Matrix, Vector, cells, square
from leaderboard.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN = 3.35  # inches: a column of a two-column page
ROW = 0.105  # the least height of a row of text that is still read

# Okabe and Ito's colours without yellow, which is lost on white; shapes tell apart what shares a colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
SHAPES = "osD^vPX"
_BELOW = ("embeddings", "positions")  # blocks below the layers
_PHASES = ("first third", "middle third", "last third")
GREY = "0.55"
LINE = 0.6
_NAME_SIZE = 5.0
_COVERED = 3  # points that a name may hide
# Where a name may stand, from its point: beside, above and below, at the corners; first near, then further away.
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_GAPS = (3.0, 9.0)

_STYLE: Mapping[str, Any] = {
    "axes.linewidth": LINE,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "figure.dpi": 100,
    "font.size": 7,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "lines.linewidth": 0.9,
    "path.simplify": False,
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # text stays text, to be searched and edited
    "svg.hashsalt": "kinship",
    "text.parse_math": False,  # names come from outside
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "xtick.major.width": LINE,
    "ytick.major.width": LINE,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
}
_WITHOUT_DATE: Mapping[str, Mapping[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


@dataclass(frozen=True)
class Picture:
    """A record as figures need it: matrices ``[source, target]`` with NaN, all in the order of ``codes``.

    ``group``: the group (from 0) whose model serves a language, by code; empty without groups.
    """

    record: Record
    codes: tuple[str, ...]
    similarity: Matrix
    transfer: Matrix
    views: dict[str, Matrix]
    clustering: Clustering
    group: dict[str, int]

    @property
    def title(self) -> str:
        return one_line(f"{name(self.record)} on {self.record.task}")

    @property
    def details(self) -> str:
        """What a caption must say beside the title."""
        record = self.record
        seeds = [one.seed for one in record.transfer.seeds]
        return one_line(
            f"model {record.protocol.get('model', '–')}, {len(self.codes)} languages, "
            f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds)) or '–'}"
        )


def picture(record: Record) -> Picture:
    """The languages clustered by the record's similarity, which all its figures keep to."""
    similarity = square(np.array(record.similarity.matrix, dtype=np.float64))
    clustering = clustered(similarity)
    order = list(clustering.order)
    again = np.ix_(order, order)
    place = {old: new for new, old in enumerate(order)}
    groups = record.groups or []
    group = {code: number for number, codes in enumerate(groups) for code in codes}
    views = record.similarity.views or {}
    return Picture(
        record,
        tuple(one_line(record.languages[i]) for i in order),
        similarity[again],
        square(np.array(record.transfer.test, dtype=np.float64))[again],
        {
            one_line(key): square(np.array(views[key], dtype=np.float64))[again]
            for key in sorted(views, key=by_depth)
        },
        Clustering(tuple(range(len(order))), tuple(place[i] for i in clustering.leaves), clustering.tree),
        {one_line(code): number for code, number in (group | (record.served or {})).items()},
    )


def by_depth(view: str) -> tuple[int, int, str]:
    """Blocks from the embeddings up, then the phases of the training from first to last."""
    if view in _PHASES:
        return 3, _PHASES.index(view), view
    layer = re.fullmatch(r"layer\.(\d+)", view)
    return (1, int(layer[1]), view) if layer else (0 if view in _BELOW else 2, 0, view)


def one_line(text: str) -> str:
    """Without what XML and a line of text cannot hold."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def colour(group: int | None) -> str:
    return GREY if group is None else COLOURS[group % len(COLOURS)]


def shape(group: int | None) -> str:
    """Changes when the colours begin again."""
    return "." if group is None else SHAPES[group // len(COLOURS) % len(SHAPES)]


def sheet(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes placed in inches: what is read must keep its size whatever the number of languages."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def span(values: Matrix) -> tuple[float, float]:
    """Limits of a colour scale for the off-diagonal cells: the middle 98 %, so that one cell fades no others."""
    known = values[cells(values)]
    low, high = np.percentile(known, [1, 99]) if len(known) else (0.0, 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-300):
        return float(low) - 0.5, float(high) + 0.5
    return float(low), float(high)


def named_points(ax: Axes, x: Vector, y: Vector, labels: list[tuple[int, str]]) -> None:
    """Write names near their points, where they cover no other name and the fewest points; those without room
    are left out."""
    ax.autoscale_view()  # else done when the figure is drawn, which is too late
    points = ax.transData.transform(np.column_stack([x, y])) * 72 / ax.figure.get_dpi()
    corners = ax.transAxes.transform([(0, 0), (1, 1)]) * 72 / ax.figure.get_dpi()
    taken: list[Vector] = []
    for place, text in labels:
        extent = np.array([0.6 * _NAME_SIZE * len(text), 1.1 * _NAME_SIZE])
        best: tuple[int, Vector] | None = None
        for gap, towards in product(_GAPS, _SIDES):
            low = points[place] + np.array(towards) * (extent / 2 + gap) - extent / 2
            box = np.concatenate([low, low + extent])
            if (low < corners[0]).any() or (box[2:] > corners[1] + [4, 0]).any():
                continue
            if any((box[:2] < other[2:]).all() and (other[:2] < box[2:]).all() for other in taken):
                continue
            covered = int(((points > box[:2] - 1) & (points < box[2:] + 1)).all(axis=1).sum())
            if covered <= _COVERED and (best is None or covered < best[0]):
                best = covered, box
        if best is None:
            continue
        taken.append(best[1])
        centre = (best[1][:2] + best[1][2:]) / 2 - points[place]
        ax.annotate(
            text,
            (x[place], y[place]),
            tuple(centre),
            textcoords="offset points",
            fontsize=_NAME_SIZE,
            ha="center",
            va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.35, "color": "0.3", "shrinkA": 0, "shrinkB": 1},
            bbox={"boxstyle": "square,pad=0.05", "fc": "white", "ec": "none", "alpha": 0.75},
        )


@contextmanager
def styled() -> Iterator[None]:
    """Our style alone, whatever the user's own; and no words about letters that the font lacks."""
    from matplotlib import style

    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    with style.context(["default", dict(_STYLE)]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def rendered(figure: Figure, form: str) -> bytes:
    """The figure as ``svg``, ``pdf`` or ``png``, without a date."""
    out = BytesIO()
    figure.savefig(out, format=form, metadata=dict(_WITHOUT_DATE[form]), bbox_inches="tight", pad_inches=0.02)
    return out.getvalue()
