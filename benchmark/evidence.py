"""What a measure gets to see: the implementation of ``measures.Evidence`` for one seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from benchmark import derived
from benchmark.encoding import Encoder
from benchmark.errors import UserError
from benchmark.prepare import materialise
from benchmark.setup import SeedData, Setup
from measures import MeasureError, Needs, Reading, ReadingResult, SimilarityMatrix, TransferMatrix
from tasks.base import Example, Split, TaskSpec
from tasks.languages import Language


class RunEvidence:
    """Evidence of one seed, opened as far as ``needs`` declares."""

    def __init__(
        self,
        setup: Setup,
        of: SeedData,
        needs: Needs,
        transfer: Callable[[], TransferMatrix] | None = None,
        similarity: Callable[[str], SimilarityMatrix] | None = None,
    ) -> None:
        self._setup, self._of, self._needs = setup, of, needs
        self._transfer, self._similarity = transfer, similarity

    @property
    def languages(self) -> tuple[Language, ...]:
        return self._setup.languages

    @property
    def task(self) -> TaskSpec:
        return self._setup.spec

    @property
    def seed(self) -> int:
        return self._of.seed

    def examples(self, language: Language, split: Split = "train") -> Sequence[Example]:
        of = {"train": self._of.train, "dev": self._setup.dev, "test": self._setup.test}
        return of[split][language.code]

    def texts(self, language: Language, split: Split = "train") -> Sequence[str]:
        rows = self.examples(language, split)
        return [part for row in rows for part in (row.text, row.pair) if part is not None]

    def subwords(self, language: Language, split: Split = "train") -> Counter[int]:
        of, key = self._of, self._of.keys[split, language.code]
        if not self._setup.store.has(key):
            materialise(self._setup)  # a measure that needs no training may ask before there is one
        encoder = Encoder(self._setup.store, of.model.folder, of.model.digest, of.hyper.max_length)
        return encoder.counts(key)

    def read(self, reading: Reading, language: Language | None = None) -> ReadingResult:
        if reading not in self._needs.readings:
            raise MeasureError(f"a reading must be declared in needs() before it is read, found {reading}")
        return derived.read(self._setup, self._of, reading, None if language is None else language.code)

    def similarity(self, measure: str) -> SimilarityMatrix:
        if measure not in self._needs.measures or self._similarity is None:
            raise MeasureError(
                f"another measure must be declared in needs() before it is asked, found {measure!r}"
            )
        try:
            return self._similarity(measure)
        except UserError as error:
            raise MeasureError(str(error)) from error

    def transfer(self, without: Language | None = None) -> TransferMatrix:
        if not self._needs.transfer or self._transfer is None:
            raise MeasureError("transfer must be declared in needs() before it is looked at")
        matrix = self._transfer()
        if without is None:
            return matrix
        values = matrix.values.copy()
        place = matrix.languages.index(without)
        values[place, :] = values[:, place] = np.nan
        return TransferMatrix(matrix.languages, values)
