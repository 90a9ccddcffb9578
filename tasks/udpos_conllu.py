"""CoNLL-U, as far as `udpos` needs it: tokens and their UPOS tags, contractions as one token.

A contraction (``1-2 zum``, of the words ``1 zu`` and ``2 dem``) has no tag of its own. As in XTREME, it gets that
of the word on which the others depend: the one nearest to the root, and of several such the one whose tag comes
first in :data:`PRECEDENCE` (the list of the converter that XTREME used, for any language).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from tasks.base import DataError, Example, tagged
from tasks.index import IndexedFile
from tasks.tsv import lines, shown, whole_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# fmt: off
UPOS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM",
    "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X",
)
PRECEDENCE = (
    "VERB", "NOUN", "PROPN", "PRON", "ADJ", "NUM", "ADV", "INTJ", "AUX",
    "ADP", "DET", "PART", "CCONJ", "SCONJ", "X", "PUNCT", "SYM",
)
# fmt: on
LONGEST_SENTENCE = 10_000  # lines; more is a file without its blank lines

_COLUMNS = 10
_NUMBER = re.compile("[0-9]{1,5}")
_RANGE = re.compile("([0-9]{1,5})-([0-9]{1,5})")
_EMPTY_NODE = re.compile(r"[0-9]{1,5}\.[0-9]{1,5}")


class Word(NamedTuple):
    """A syntactic word; ``head``: the number of the word it depends on (from 1; 0 is the root), if known."""

    form: str
    tag: str
    head: int | None


class Range(NamedTuple):
    """A contraction of the words ``first`` to ``last``, counted from 1."""

    first: int
    last: int
    form: str


def word(form: object, tag: object, head: object) -> Word:
    """A word of these fields.

    Raises:
        ValueError: there is no form, or no such tag.
    """
    if tag not in UPOS:
        raise ValueError(f"unknown UPOS tag; allowed: {', '.join(UPOS)}; found {shown(str(tag))}")
    return Word(_form(form), str(tag), int(str(head)) if _NUMBER.fullmatch(str(head)) else None)


def contraction(numbers: object, form: object) -> Range:
    """A contraction of these fields: ``1-2``, "zum".

    Raises:
        ValueError: that is no range, or there is no form.
    """
    found = _RANGE.fullmatch(str(numbers))
    if found is None:
        raise ValueError(f"a range of words, as 1-2, is needed; found {shown(str(numbers))}")
    return Range(int(found.group(1)), int(found.group(2)), _form(form))


def _form(form: object) -> str:
    if not isinstance(form, str) or not form.strip():
        raise ValueError(f"a form is needed; found {shown(form)}")
    return form


def sentence(words: Sequence[Word], ranges: Sequence[Range]) -> Example:
    """The tokens of a sentence.

    Raises:
        ValueError: there is no word, or a range does not fit.
    """
    if not words:
        raise ValueError("a sentence of at least 1 word is needed; found none")
    tokens: list[str] = []
    tags: list[str] = []
    depths = _depths(words) if ranges else []
    after = 1  # the first word that is in no token yet
    for first, last, form in ranges:
        if not after <= first <= last <= len(words):
            raise ValueError(
                f"ranges of the words {after} to {len(words)}, in their order, are needed; found {first}-{last}"
            )
        tokens += [*(each.form for each in words[after - 1 : first - 1]), form]
        head = min(range(first - 1, last), key=lambda at: (depths[at], PRECEDENCE.index(words[at].tag), at))
        tags += [*(each.tag for each in words[after - 1 : first - 1]), words[head].tag]
        after = last + 1
    tokens += [each.form for each in words[after - 1 :]]
    tags += [each.tag for each in words[after - 1 :]]
    return tagged(tokens, [UPOS.index(tag) for tag in tags])


def _depths(words: Sequence[Word]) -> list[int]:
    """How many words stand between each and the root, itself included (a circle has no end: all)."""
    depths: dict[int, int] = {}
    for start in range(1, len(words) + 1):
        way: dict[int, None] = {}  # in order
        at = start
        while 0 < at <= len(words) and at not in depths and at not in way:
            way[at] = None
            at = words[at - 1].head or 0
        depth = len(words) if at in way else depths.get(at, 0)
        for each in reversed(way):
            depth = min(depth + 1, len(words))
            depths[each] = depth
    return [depths[at] for at in range(1, len(words) + 1)]


class ConlluFile(IndexedFile):
    """The sentences of a CoNLL-U file that stays on disk. Comments and empty nodes (``1.1``) are passed over.

    A word without a tag (``_``) is an error and not ``X``: that is a class, of words that are none of the others.

    Raises:
        DataError: the file cannot be read, or anything in it is malformed; with file and line.
    """

    def __init__(self, path: Path, *, index: Path | None = None) -> None:
        import numpy as np

        super().__init__(path)
        self.labels = np.zeros_like(self._index([UPOS], index))

    def _begin(self, file: BinaryIO) -> None:
        pass  # no header

    def _scan(self, file: BinaryIO) -> Iterator[tuple[int, int]]:
        block: list[bytes] = []
        start = first = 0
        for number, offset, line in lines(file, self.where):
            if line.strip():
                if not block:
                    start, first = offset, number
                block.append(line)
                if len(block) > LONGEST_SENTENCE:
                    raise DataError(
                        f"{self.where}, line {number}: a blank line after each sentence is needed; found more "
                        f"than {LONGEST_SENTENCE} lines without one"
                    )
            elif block:
                self._sentence(block, first)
                yield start, first
                block = []
        if block:
            self._sentence(block, first)
            yield start, first

    def _sound(self, notes: NDArray[np.int64]) -> bool:
        return len(notes) == 0 or bool(notes[0] > 0 and (notes[1:] - notes[:-1] > 1).all())

    def _example(self, block: bytes, place: int, note: int) -> Example | None:
        every = block.split(b"\n")
        end = next((i for i, line in enumerate(every) if not line.strip()), len(every))
        if end == 0 or any(line.strip() for line in every[end:]):
            return None
        return self._sentence(every[:end], note)

    def _sentence(self, block: Sequence[bytes], first: int) -> Example:
        """The sentence of these lines, the first of which is line ``first`` of the file."""
        words: list[Word] = []
        ranges: list[Range] = []
        number = first
        try:
            for number, line in enumerate(block, start=first):
                text = whole_line(line, self.where, number)
                if not text.startswith("#"):
                    _read(text.split("\t"), words, ranges)
            number = first
            return sentence(words, ranges)
        except ValueError as error:
            raise DataError(f"{self.where}, line {number}: {error}") from None


def _read(fields: Sequence[str], words: list[Word], ranges: list[Range]) -> None:
    """Add what a line holds.

    Raises:
        ValueError: what is wrong with it.
    """
    if len(fields) != _COLUMNS:
        raise ValueError(f"{_COLUMNS} tab-separated columns are needed, as CoNLL-U has; found {len(fields)}")
    number, form, tag, head = fields[0], fields[1], fields[3], fields[6]
    if _EMPTY_NODE.fullmatch(number):
        return
    following = len(words) + 1
    if _RANGE.fullmatch(number):
        ranges.append(contraction(number, form))
        if ranges[-1].first != following:
            raise ValueError(f"a range from word {following} is needed; found {number}")
    elif number != str(following):
        raise ValueError(f"the word's number, {following}, is needed; found {shown(number)}")
    else:
        words.append(word(form, tag, head))
