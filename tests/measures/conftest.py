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
    """``rows``: (split, code) → examples; ``bags``: the same for subwords. What is missing is empty."""

    languages: tuple[Language, ...]
    rows: Mapping[tuple[str, str], Sequence[Example]] = field(default_factory=dict)
    bags: Mapping[tuple[str, str], Counter[int]] = field(default_factory=dict)
    readings: Mapping[Reading, ReadingResult] = field(default_factory=dict)
    transfers: TransferMatrix | None = None
    seed: int = 0
    task: TaskSpec = SPEC

    def examples(self, language: Language, split: Split = "train") -> Sequence[Example]:
        return self.rows.get((split, language.code), ())

    def texts(self, language: Language, split: Split = "train") -> Sequence[str]:
        parts = (part for row in self.examples(language, split) for part in (row.text, row.pair))
        return [part for part in parts if part is not None]

    def subwords(self, language: Language, split: Split = "train") -> Counter[int]:
        return Counter(self.bags.get((split, language.code), Counter()))

    def read(self, reading: Reading, language: Language | None = None) -> ReadingResult:
        if reading not in self.readings:
            raise MeasureError(f"not declared: {reading}")
        return self.readings[reading]

    def similarity(self, measure: str) -> SimilarityMatrix:
        raise MeasureError(f"not declared: {measure}")

    def transfer(self, without: Language | None = None) -> TransferMatrix:
        if self.transfers is None:
            raise MeasureError("not declared: transfer")
        values = np.empty((len(self.languages), len(self.languages)))
        place = {one: at for at, one in enumerate(self.transfers.languages)}
        for s, source in enumerate(self.languages):
            for t, target in enumerate(self.languages):
                values[s, t] = self.transfers.values[place[source], place[target]]
        return TransferMatrix(self.languages, values)


@pytest.fixture(scope="session")
def fake() -> Callable[..., FakeEvidence]:
    return FakeEvidence
