"""Matrices as figures: similarity beside transfer, and the views of a measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leaderboard.names import metric
from leaderboard.picture import COLUMN, ROW, Picture, axes, sheet, span
from leaderboard.ranking import Matrix, Vector, cells, per_target_spearman

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARGIN = 0.42  # for the codes of the languages
_ABREAST = 32  # from here on, side by side over a page instead of one below the other in a column
_MISSING = "0.82"
_APART, _STRIP = 0.05, 0.16  # inches between a matrix and the column beside it, and its width at most


def heatmaps(drawn: Picture) -> Figure:
    """Similarity and transfer on the test set, sources down, targets across, in the same order."""
    n = len(drawn.codes)
    side = max(COLUMN - 0.95, n * ROW)
    block = side + 0.68
    abreast = n > _ABREAST
    across, down = (2, 1) if abreast else (1, 2)
    figure = sheet(across * (side + 1.0), down * block + 0.15)
    panels = [
        (drawn.similarity, f"similarity: {drawn.title}"),
        (drawn.transfer, f"transfer: {metric(drawn.record.transfer.metric)} of single-source models, test"),
    ]
    for place, (matrix, title) in enumerate(panels):
        left = _MARGIN + place * (side + 1.0) * abreast
        bottom = _MARGIN + (0 if abreast else (1 - place) * block)
        ax = axes(figure, left, bottom, side, side)
        low, high = span(matrix)
        mesh = _mesh(ax, matrix, low, high)
        _codes(ax, drawn.codes, side)
        ax.set_title(title, loc="left", pad=3)
        ax.set_ylabel("source", labelpad=1)
        ax.set_xlabel("target", labelpad=1)
        _scale(figure, mesh, matrix, (left + side + 0.06, bottom, 0.09, side))
    return figure


def views(drawn: Picture) -> Figure:
    """The whole and each view, as a layer or a phase of the training, on one scale and in one order.

    Above each: its centred per-target rank correlation with transfer.
    """
    panels = []
    for title, view in ({"all": drawn.similarity} | drawn.views).items():
        rho = per_target_spearman(view, drawn.transfer, centred=True)
        panels.append(Panel(title if rho is None else f"{title}  (ρ {rho:z.2f})", view))
    return grid(drawn.codes, panels, f"{drawn.title}: similarity by part; ρ: per target, centred, with transfer")


@dataclass(frozen=True)
class Panel:
    """``beside``: a value for each language, which gets a column of its own at the right."""

    title: str
    matrix: Matrix
    beside: Vector | None = None


def grid(codes: tuple[str, ...], panels: Sequence[Panel], heading: str, across: int | None = None) -> Figure:
    """Matrices of the same languages on one scale, ``across`` of them in a row."""
    n = len(codes)
    across = across or (min(4, len(panels)) if n <= 12 else min(3, len(panels)))
    down = -(-len(panels) // across)
    labelled = max(1.55 if across > 3 else 1.9, n * ROW * 0.85)
    strip = min(_STRIP, labelled / n) if any(panel.beside is not None for panel in panels) else 0.0
    whole = labelled + (strip + _APART if strip else 0.0)
    lines = max(panel.title.count("\n") for panel in panels)
    wide, high = whole + 0.12, labelled + 0.3 + 0.12 * lines
    figure = sheet(across * wide + 1.0, down * high + 0.6)
    low, top = _limits(panels)
    everything = np.full((n, n), np.nan)
    for place, panel in enumerate(panels):
        row, column = divmod(place, across)
        ax = axes(figure, _MARGIN + column * wide, _MARGIN + (down - 1 - row) * high, whole, labelled)
        mesh = _mesh(ax, panel.matrix, low, top)
        _codes(ax, codes, labelled)
        if strip:
            inch = n / labelled
            ax.fill_betweenx([0, n], n, n + _APART * inch, color="white", lw=0)
            shown = np.full(n, np.nan) if panel.beside is None else panel.beside
            edges = [n + _APART * inch, n + (_APART + strip) * inch]
            values = np.ma.masked_invalid(shown[:, None])
            ax.pcolormesh(edges, np.arange(n + 1), values, vmin=low, vmax=top, cmap="viridis", linewidth=0)
            ax.set_xlim(0, whole * inch)
        if column:
            ax.set_yticklabels([])
        if place + across < len(panels):
            ax.set_xticklabels([])
        ax.set_title(panel.title, loc="left", pad=3)
        everything = np.fmax(everything, np.where(cells(panel.matrix), panel.matrix, np.nan))
    beside = (_MARGIN + across * wide, _MARGIN + (down - 1) * high, 0.09, labelled)
    _scale(figure, mesh, everything, beside)
    figure.text(0.02, 1.0, heading, va="top", fontsize=7)
    return figure


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    """Of one scale for all; a matrix that is constant only has to be on it."""
    limits = []
    for panel in panels:
        known = panel.matrix[cells(panel.matrix)]
        beside = np.array([]) if panel.beside is None else panel.beside[np.isfinite(panel.beside)]
        limits += [
            (one.min(), one.max()) for one in (beside, known) if len(one) and (one is beside or not np.ptp(one))
        ]
        limits += [span(panel.matrix)] if len(known) and np.ptp(known) else []
    low, top = min((one for one, _ in limits), default=0.0), max((one for _, one in limits), default=1.0)
    return (float(low), float(top)) if top > low else (float(low) - 0.5, float(top) + 0.5)


def _mesh(ax: Axes, matrix: Matrix, low: float, high: float) -> Any:
    """Cells known coloured, missing ones grey, the diagonal (no pair of languages) left white."""
    n = len(matrix)
    ax.set_facecolor(_MISSING)
    shown = np.ma.masked_where(~cells(matrix), matrix)
    many = n > 40  # as one image: so many cells would make a file of megabytes
    mesh = ax.pcolormesh(shown, vmin=low, vmax=high, cmap="viridis", rasterized=many, linewidth=0)
    diagonal = np.ma.masked_where(~np.eye(n, dtype=bool), np.zeros((n, n)))
    ax.pcolormesh(diagonal, cmap="binary", vmin=0, vmax=1, rasterized=many, linewidth=0)
    ax.set_xlim(0, n)
    ax.set_ylim(n, 0)
    return mesh


def _codes(ax: Axes, codes: tuple[str, ...], side: float) -> None:
    n = len(codes)
    size = min(7.0, max(4.5, 0.82 * 72 * side / n))
    ax.set_xticks(np.arange(n) + 0.5, codes, rotation=90, fontsize=size)
    ax.set_yticks(np.arange(n) + 0.5, codes, fontsize=size)
    ax.tick_params(length=0, pad=1.5)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _scale(figure: Figure, mesh: Any, matrix: Matrix, place: tuple[float, float, float, float]) -> None:
    """The colour bar; its ends are pointed where cells lie beyond them."""
    low, high = mesh.get_clim()
    known = matrix[cells(matrix)]
    below, above = bool((known < low).any()), bool((known > high).any())
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[int(below), int(above)]
    left, bottom, width, height = place
    bar = figure.colorbar(mesh, cax=axes(figure, left, bottom, width, min(height, 2.2)), extend=extend)
    bar.outline.set_visible(False)
