"""Measures, the matrices they return, and the evidence they may look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from measures.needs import Needs, Reading, ReadingResult
from tasks.base import Example, Split, TaskSpec
from tasks.languages import Language

Matrix = NDArray[np.float64]


class MeasureError(ValueError):
    """A measure that cannot answer. One line: what was wrong, what is allowed, what was found."""


@dataclass(frozen=True, eq=False)
class SimilarityMatrix:
    """``values[source, target]``, higher is more alike; shape ``[n, n]`` in the order of ``languages``.

    Any real range. NaN where the measure cannot say; ``coverage`` (0 to 1, same shape) is
    the share of evidence behind each cell. ``notes`` are sentences for the person who runs it.

    Beside it, where a measure has them: ``views``, the same similarity of a part of the evidence
    (a block of parameters, a phase of the training), each ``[n, n]``; ``yardstick``, how alike a
    language is to itself under another seed, by code; ``contributions``, the share that each
    part of a learned measure had in its answer.

    Raises:
        MeasureError: a wrong shape, or an infinite value.
    """

    languages: tuple[Language, ...]
    values: Matrix
    coverage: Matrix | None = None
    notes: tuple[str, ...] = ()
    views: Mapping[str, Matrix] = field(default_factory=dict)
    yardstick: Mapping[str, float] = field(default_factory=dict)
    contributions: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", self._checked("values", self.values))
        if self.coverage is not None:
            object.__setattr__(self, "coverage", self._checked("coverage", self.coverage))
        views = {name: self._checked(f"view {name!r}", view) for name, view in self.views.items()}
        object.__setattr__(self, "views", views)

    def _checked(self, name: str, given: object) -> Matrix:
        n = len(self.languages)
        try:
            matrix = np.array(given, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise MeasureError(f"{name} must be numbers, found: {error}") from None
        if matrix.shape != (n, n):
            raise MeasureError(f"{name} must have shape ({n}, {n}), [source, target], found {matrix.shape}")
        if np.isinf(matrix).any():
            s, t = np.argwhere(np.isinf(matrix))[0]
            raise MeasureError(
                f"{name} must be finite, or NaN where the measure cannot say, "
                f"found {matrix[s, t]} at [{self.languages[s]}, {self.languages[t]}]"
            )
        return matrix


@dataclass(frozen=True, eq=False)
class TransferMatrix:
    """``values[source, target]``: score on the target of a model trained on the source only.

    The diagonal is the monolingual score; a row is NaN for a language without training data.
    """

    languages: tuple[Language, ...]
    values: Matrix


class Evidence(Protocol):
    """What a measure may look at. Computed once, shared by all measures."""

    @property
    def languages(self) -> tuple[Language, ...]: ...
    @property
    def task(self) -> TaskSpec: ...
    @property
    def seed(self) -> int: ...

    def examples(self, language: Language, split: Split = "train") -> Sequence[Example]:
        """The examples that the run uses (a seeded subsample where the run takes one)."""

    def texts(self, language: Language, split: Split = "train") -> Sequence[str]:
        """The texts of ``examples``; both texts of a pair, one after the other."""

    def subwords(self, language: Language, split: Split = "train") -> Counter[int]:
        """How often each token id of the run's tokenizer occurs in ``texts``, special ones left out."""

    def read(self, reading: Reading, language: Language | None = None) -> ReadingResult:
        """A reading declared in ``needs``; any other is refused with ``MeasureError``."""

    def similarity(self, measure: str) -> SimilarityMatrix:
        """Another measure's matrix, declared in ``needs().measures``."""

    def transfer(self, without: Language | None = None) -> TransferMatrix:
        """Transfer on dev, mean over seeds, if declared; ``without`` blanks a language's row and column."""


class Measure(ABC):
    """A way to say how alike two languages are.

    Like a scikit-learn estimator, ``__init__`` takes keyword parameters with defaults and
    only stores them; ``needs`` is asked for before anything runs.
    """

    name: ClassVar[str]
    symmetric: bool = True
    access: Literal["none", "text", "labels", "transfer"]  # what information it sees

    def needs(self) -> Needs:
        return Needs()

    def skip(self, task: TaskSpec, languages: tuple[Language, ...]) -> str | None:
        """A reason why this measure says nothing here; shown in the table."""
        return None

    @abstractmethod
    def similarity(self, evidence: Evidence) -> SimilarityMatrix: ...
