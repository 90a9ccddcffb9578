"""Evidence made by hand: what a measure sees, without a run behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from measures import MeasureError, Reading, ReadingResult, SimilarityMatrix, TransferMatrix
from tasks.base import Example, Split, TaskSpec
from tasks.languages import Language

SPEC = TaskSpec(
    name="made-up",
    version=1,
    kind="text",
    labels=("no", "yes"),
    metric="accuracy",
    description="",
    homepage="",
    licence="",
    citation="",
)


@dataclass
class FakeEvidence:
    """``rows``: (split, code) → examples; ``bags``: the same for subwords. What is missing is empty.

    ``readings``: by reading, or by (reading, code) where each language has its own.
    """

    languages: tuple[Language, ...]
    rows: Mapping[tuple[str, str], Sequence[Example]] = field(default_factory=dict)
    bags: Mapping[tuple[str, str], Counter[int]] = field(default_factory=dict)
    readings: Mapping[Reading | tuple[Reading, str], ReadingResult] = field(default_factory=dict)
    transfers: TransferMatrix | None = None
    seed: int = 0
    task: TaskSpec = SPEC
    matrices: Mapping[str, SimilarityMatrix] = field(default_factory=dict)

    def examples(self, language: Language, split: Split = "train") -> Sequence[Example]:
        return self.rows.get((split, language.code), ())

    def texts(self, language: Language, split: Split = "train") -> Sequence[str]:
        parts = (part for row in self.examples(language, split) for part in (row.text, row.pair))
        return [part for part in parts if part is not None]

    def subwords(self, language: Language, split: Split = "train") -> Counter[int]:
        return Counter(self.bags.get((split, language.code), Counter()))

    def read(self, reading: Reading, language: Language | None = None) -> ReadingResult:
        place = reading if language is None else (reading, language.code)
        if place not in self.readings:
            raise MeasureError(f"not declared: {place}")
        return self.readings[place]

    def similarity(self, measure: str) -> SimilarityMatrix:
        if measure not in self.matrices:
            raise MeasureError(f"not declared: {measure}")
        return self.matrices[measure]

    def transfer(self, without: Language | None = None) -> TransferMatrix:
        if self.transfers is None:
            raise MeasureError("not declared: transfer")
        values = np.empty((len(self.languages), len(self.languages)))
        place = {one: at for at, one in enumerate(self.transfers.languages)}
        for s, source in enumerate(self.languages):
            for t, target in enumerate(self.languages):
                values[s, t] = self.transfers.values[place[source], place[target]]
        if without is not None:
            hidden = self.languages.index(without)
            values[hidden, :] = values[:, hidden] = np.nan
        return TransferMatrix(self.languages, values)


@pytest.fixture(scope="session")
def fake() -> Callable[..., FakeEvidence]:
    return FakeEvidence
