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

from pydantic import BaseModel, ConfigDict, model_validator

from tasks.languages import Language

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
Source = Literal["folder", "hub", "files", "embedded", "sample"]


class DataError(Exception):
    """Data that is missing or malformed. The message is one line for a person: what was
    wrong, what is allowed, what was found."""


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled item: a text, a pair of texts, or tagged tokens (see :func:`tagged`).

    ``label`` indexes ``TaskSpec.labels``. ``item`` names the same item in every
    language where a task is parallel (``None`` elsewhere). ``tokens`` and ``tags`` (as
    long, indices into ``TaskSpec.labels``) are empty but for tagged tokens.
    """

    text: str
    label: int
    pair: str | None = None
    item: str | None = None
    tokens: tuple[str, ...] = ()
    tags: tuple[int, ...] = ()

    @property
    def targets(self) -> tuple[int, ...]:
        """What is to be predicted: the tags, or the one label."""
        return self.tags or (self.label,)


def tagged(tokens: Sequence[str], tags: Sequence[int], item: str | None = None) -> Example:
    """Tagged tokens: ``text`` is the tokens with spaces between them, ``label`` is 0.

    Raises:
        ValueError: no tokens, or not one tag for each.
    """
    if not tokens or len(tokens) != len(tags):
        raise ValueError(f"one tag for each of at least 1 token is needed, found {len(tags)} for {len(tokens)}")
    return Example(" ".join(tokens), 0, item=item, tokens=tuple(tokens), tags=tuple(tags))


class TaskSpec(BaseModel):
    """The declaration of a task: all that stays the same whatever the data's source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int
    kind: Literal["text", "text-pair", "tagged"]
    labels: tuple[str, ...]  # of tagged tokens: the tags
    metric: Literal["accuracy", "macro_f1", "weighted_f1", "span_f1"]
    parallel: bool = False  # items are the same across languages
    description: str
    homepage: str
    licence: str
    citation: str
    paper_model: str = "FacebookAI/xlm-roberta-base"  # the encoder of the `paper` preset
    # The languages of each family, by code, where they are known because they were made; else empty.
    families: tuple[tuple[str, ...], ...] = ()

    @property
    def transfer_metric(self) -> str:
        """What transfer is measured in: macro F1, as label priors differ between languages; spans in span F1."""
        return "span_f1" if self.metric == "span_f1" else "macro_f1"

    @model_validator(mode="after")
    def _tags_are_spans(self) -> TaskSpec:
        if self.metric == "span_f1":
            spans = {each[2:] for each in self.labels if each.startswith(("B-", "I-"))}
            wanted = {"O", *(f"{place}-{span}" for span in spans for place in "BI")}
            if self.kind != "tagged" or not spans or set(self.labels) != wanted:
                raise ValueError(
                    "span_f1 is for tagged tokens with the tags O and, for each kind of span, B-kind and I-kind; "
                    f"found kind {self.kind} with {', '.join(self.labels)}"
                )
        return self


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
    """Opened data of one task, from one source.

    ``notice``: what whoever runs this must be told about the data, one line (samples have one).
    """

    source: Source
    notice: str | None = None

    def languages(self) -> tuple[Language, ...] | None:
        """The languages this source has, sorted by code; ``None``: all of the task's."""
        return None

    @abstractmethod
    def examples(self, language: Language, split: Split) -> Sequence[Example]:
        """All examples of one language and split, in the publisher's order.

        Large data is a :class:`tasks.rows.Rows`, which reads an example when it is asked for.

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
