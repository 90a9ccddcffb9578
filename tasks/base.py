"""What a task is: a declaration, and a way to its data.

A task never trains and never imports anything of the other rooms. It says what
is learned, in which languages, and opens a :class:`Corpus`, which reads
examples lazily, language by language and split by split.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from tasks.languages import Language

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
Source = Literal["folder", "hub", "files", "embedded", "sample"]


class DataError(Exception):
    """Data that is missing or malformed. The message is one line for a person: what was
    wrong, what is allowed, what was found."""


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled item: a text, or a pair of texts.

    ``label`` indexes ``TaskSpec.labels``. ``item`` names the same item in every
    language where a task is parallel (``None`` elsewhere).
    """

    text: str
    label: int
    pair: str | None = None
    item: str | None = None


class TaskSpec(BaseModel):
    """The declaration of a task: all that stays the same whatever the data's source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int
    kind: Literal["text", "text-pair"]
    labels: tuple[str, ...]
    metric: Literal["accuracy", "macro_f1", "weighted_f1"]
    parallel: bool = False  # items are the same across languages
    description: str
    homepage: str
    licence: str
    citation: str
    paper_model: str = "FacebookAI/xlm-roberta-base"  # the encoder of the `paper` preset
    # The languages of each family, by code, where they are known because they were made; else empty.
    families: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Access:
    """Where a run allows data to come from.

    ``data``: the user's folder (``DIR/<task>/<language>/<split>.tsv``) or ``None``;
    ``cache``: where downloads are kept; ``offline``: nothing is fetched.
    """

    data: Path | None = None
    cache: Path | None = None
    offline: bool = False


class Corpus(ABC):
    """Opened data of one task, from one source."""

    source: Source

    @abstractmethod
    def examples(self, language: Language, split: Split) -> Sequence[Example]:
        """All examples of one language and split, in the publisher's order.

        Raises:
            DataError: a missing or malformed file (with file and line).
        """


class Task(ABC):
    """A task: its declaration, its languages, and the way to its data.

    Like a measure, a task takes its parameters as keyword arguments of ``__init__``
    (``cldr-names[classes=3]``) and does no work there.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def spec(self) -> TaskSpec: ...

    @abstractmethod
    def languages(self) -> tuple[Language, ...]:
        """Every language the task has, sorted by code."""

    def default_languages(self) -> tuple[Language, ...]:
        """The languages of a run that names none."""
        return self.languages()

    def targets_only(self) -> frozenset[Language]:
        """Languages that are declared to have no training data."""
        return frozenset()

    def codes(self) -> dict[str, Language]:
        """The task's own names of its languages (``Language.code`` and ISO 639-1 work anyway)."""
        return {}

    @abstractmethod
    def open(self, access: Access) -> Corpus:
        """Find the data: folder, then hub or pinned files, then what is embedded.

        Raises:
            DataError: no source has it, with what was tried.
        """
