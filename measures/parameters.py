"""What the measures that compare models' parameters share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean  # exact sums: the order of the languages changes no digit
from typing import TypeVar

import numpy as np

from measures.base import Evidence, Matrix, MeasureError, SimilarityMatrix
from measures.needs import Reading, ReadingResult
from tasks.languages import Language

Item = TypeVar("Item")


def trained(evidence: Evidence) -> list[int]:
    """Places of the languages that have a model of their own: those with training examples."""
    return [at for at, one in enumerate(evidence.languages) if len(evidence.examples(one, "train"))]


def repeat(reading: Reading) -> Reading:
    """The same of a language's second training: same initialisation, other subsample, order and dropout."""
    return Reading(reading.of, reading.kind, (*reading.params, ("repeat", 1)))


def read_each(evidence: Evidence, reading: Reading) -> dict[int, ReadingResult]:
    """The reading of every language that has one, by place; one whose training failed is left out.

    Raises:
        MeasureError: no language has it.
    """
    found, refused = {}, None
    for place in trained(evidence):
        try:
            found[place] = evidence.read(reading, evidence.languages[place])
        except MeasureError as error:
            refused = error
    if refused is not None and not found:
        raise refused
    return found


def pairwise(items: Mapping[int, Item], size: int, similarity: Callable[[Item, Item], float]) -> Matrix:
    """``similarity`` of every pair of items, by place; NaN where there is no item."""
    values = np.full((size, size), np.nan)
    for s, a in items.items():
        for t, b in items.items():
            values[s, t] = similarity(a, b)
    return values


def compared(
    languages: tuple[Language, ...],
    values: Matrix,
    views: Mapping[str, Matrix],
    yardstick: Mapping[str, float],
    notes: tuple[str, ...] = (),
) -> SimilarityMatrix:
    """The result, its first note telling how alike two trainings of one language are beside two languages."""
    yardstick = {code: value for code, value in yardstick.items() if np.isfinite(value)}
    others = values[~np.eye(len(values), dtype=bool) & np.isfinite(values)]
    own, other = (f"{fmean(found):.2f}" if len(found) else "unknown" for found in ([*yardstick.values()], others))
    note = f"similarity of a language to itself trained again: mean {own}; of two languages: mean {other}"
    known = np.where(np.isnan(values), 0.0, 1.0)
    return SimilarityMatrix(languages, values, known, (note, *notes), views=views, yardstick=yardstick)
