"""What all phrasebooks share: from words in a file to the three splits of a sample corpus.

A task has a phrasebook if there are

- ``words/<task>/<ISO 639-3 code>.toml``, a readable file for each language, ``script`` (ISO 15924) in each;
- the module ``tasks.phrasebook.<task>`` with ``BOOK``, a :class:`Phrasebook`: the published corpus' name, the
  model of the files (a subclass of :class:`Words`, whose validators say what a file must hold), and
  ``candidates(code, words)``, which yields every sentence that the words make, in any order.

This module does the rest, alike for all tasks. A candidate's key (what it says, unless given) alone decides, by
a hash, which split it is in and its place there: the splits cannot share a sentence, nothing depends on the
order of calls, and a sentence that two languages share is in the same split of both. In a parallel task the
item is the key, so that all languages have the same items. A candidate marked ``held_out`` is never in train
(see :func:`held_out` for words to keep from it: without any, a sample would be learned by heart). Each split has
as many examples of every label; tagged tokens, all of label 0, are taken as they come. At most ``SIZES``.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import string
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tasks.base import SPLITS, Corpus, DataError, Example, Source, Split
from tasks.languages import Language, language

SIZES: dict[Split, int] = {"train": 300, "dev": 100, "test": 200}
_LONGEST = 90  # characters of what was found, or tried, that a line to a person has


def _text(value: str) -> str:
    if value != " ".join(value.split()) or not value:
        raise ValueError("a text has no line break, no tab, and single spaces only between its words")
    if value != unicodedata.normalize("NFC", value):
        raise ValueError("a text is in Unicode's normal form C")
    return value


Text = Annotated[str, AfterValidator(_text)]


class Words(BaseModel):
    """What every phrasebook file has; a task's own model adds its lists, of :data:`Text`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    script: str = Field(pattern="^[A-Z][a-z]{3}$")


W = TypeVar("W", bound=Words)


@dataclass(frozen=True)
class Candidate:
    """A sentence that may become an example. ``key``: what decides its split and place, if not its content."""

    example: Example
    held_out: bool = False
    key: str | None = None


@dataclass(frozen=True)
class Phrasebook(Generic[W]):
    """A task's phrasebook: ``corpus`` is the name of what it stands in for."""

    task: str
    corpus: str
    model: type[W]
    candidates: Callable[[str, W], Iterable[Candidate]]

    def codes(self) -> tuple[str, ...]:
        """The languages that have a file, sorted."""
        names = (each.name for each in _folder(self.task).iterdir())
        return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))

    def words(self, code: str) -> W:
        """One language's file.

        Raises:
            DataError: it is malformed.
        """
        name = f"words/{self.task}/{code}.toml"
        return parse((_folder(self.task) / f"{code}.toml").read_text(encoding="utf-8"), self.model, name)


def draw(*parts: str) -> float:
    """A number from 0 up to 1 that these parts alone decide."""
    content = "\x1f".join(parts).encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:6]) / 2**48


def held_out(words: Sequence[str], *parts: str, share: int = 4) -> frozenset[str]:
    """A ``share``-th of the words (rounded down), for dev and test only; ``parts`` says whose words they are."""
    return frozenset(sorted(words, key=lambda word: (draw("held out", *parts, word), word))[: len(words) // share])


def check_frame(frame: str, *names: str) -> str:
    """The frame, which has each of ``{name}`` exactly once.

    Raises:
        ValueError: it has not.
    """
    found = sorted(str(name) for _, name, _, _ in string.Formatter().parse(frame) if name is not None)
    if found != sorted(names):
        wanted = ", ".join(f"{{{name}}}" for name in names)
        raise ValueError(f"a frame has {wanted}, each once")
    return frame


def parse(content: str, model: type[W], name: str) -> W:
    """A phrasebook file's content.

    Raises:
        DataError: with the file's name, the place in it and the rule that it breaks.
    """
    try:
        return model.model_validate(tomllib.loads(content))
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"phrasebook {name}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(
            f"phrasebook {name}: {place}: {first['msg'].removeprefix('Value error, ')}; "
            f"found {_cut(repr(first['input']))}"
        ) from error


def sample(task_name: str, tried: Sequence[str] = ()) -> Corpus | None:
    """The sample corpus of a task, or ``None`` if it has no phrasebook.

    ``tried``: where its data was looked for before, and what was wrong there.
    """
    if not task_name.isidentifier() or not _folder(task_name).is_dir():
        return None
    book: Phrasebook[Any] = importlib.import_module(f"tasks.phrasebook.{task_name}").BOOK
    return SampleCorpus(book, tried)


class SampleCorpus(Corpus):
    """Sentences made from a phrasebook when they are asked for."""

    source: Source = "sample"

    def __init__(self, book: Phrasebook[Any], tried: Sequence[str] = ()) -> None:
        self._book = book
        codes = book.codes()
        where = f" (tried: {' | '.join(_cut(' '.join(each.split())) for each in tried)})" if tried else ""
        self.notice = (
            f"SAMPLE, not the corpus: {book.task}'s sentences here are generated from a phrasebook of "
            f"{len(codes)} languages; scores say nothing about {book.corpus}, and no correlation is reported. "
            f"For the corpus: --data DIR with {book.task}/<language>/<split>.tsv, or a connection to its "
            f"publisher{where}"
        )

    def languages(self) -> tuple[Language, ...]:
        return tuple(language(code, self._book.words(code).script) for code in self._book.codes())

    def examples(self, language: Language, split: Split) -> tuple[Example, ...]:
        codes = self._book.codes()
        if language.code not in codes:
            raise DataError(
                f"the sample of {self._book.task} has no {language.name}; allowed: {', '.join(codes)}; "
                f"found {language.code}"
            )
        return _splits(self._book, language.code)[split]


@functools.lru_cache(maxsize=128)
def _splits(book: Phrasebook[Any], code: str) -> dict[Split, tuple[Example, ...]]:
    where = f"phrasebook {book.task}/{code}"
    seen: dict[tuple[str, str | None], Example] = {}
    ranked: dict[Split, dict[int, list[tuple[float, str, Example]]]] = {split: {} for split in SPLITS}
    for each in book.candidates(code, book.words(code)):
        example = each.example
        said = example.text, example.pair
        earlier = seen.setdefault(said, example)
        if earlier is not example:
            if earlier.targets != example.targets:
                raise DataError(f"{where}: a sentence has one meaning; found two for {example.text!r}")
            continue
        key = each.key if each.key is not None else "\x1e".join(filter(None, said))
        split = _split(draw(book.task, "split", key), each.held_out)
        ranked[split].setdefault(example.label, []).append((draw(book.task, "place", key), key, example))
    labels = {label for found in ranked.values() for label in found}
    return {split: _balanced(ranked[split], labels, SIZES[split]) for split in SPLITS}


def _split(number: float, held_out: bool) -> Split:
    allowed = SPLITS[1:] if held_out else SPLITS
    number *= sum(SIZES[split] for split in allowed)
    for split in allowed:
        number -= SIZES[split]
        if number < 0:
            return split
    return allowed[-1]


def _balanced(
    ranked: dict[int, list[tuple[float, str, Example]]], labels: set[int], size: int
) -> tuple[Example, ...]:
    """The first of each label, as many as there are of all labels, in the order of their places."""
    most = min([size // max(len(labels), 1), *(len(ranked.get(label, ())) for label in labels)])
    first = [each for found in ranked.values() for each in sorted(found, key=lambda one: one[:2])[:most]]
    return tuple(example for _, _, example in sorted(first, key=lambda one: one[:2]))


def _folder(task: str) -> Traversable:
    return files("tasks.phrasebook") / "words" / task


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip() + "…"
