"""A file of tagged tokens that stays on disk: a token and its tag a line, a blank line after each sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tasks.base import DataError, Example, tagged
from tasks.index import IndexedFile
from tasks.tsv import lines, listed, shown, whole_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_SENTENCE = 10_000  # tokens; more is a file without its blank lines


class TaggedFile(IndexedFile):
    """The sentences of a file of ``token<TAB>tag`` lines, without a header.

    One or more blank lines (of spaces, too) stand between sentences. Where ``tags`` are IOB2, those of each
    sentence are :func:`repaired`. ``index``: a folder in which to keep where the sentences begin, so that the
    file is read through once only.

    Raises:
        DataError: the file cannot be read, or anything in it is malformed; with file and line.
    """

    def __init__(self, path: Path, *, tags: Sequence[str], index: Path | None = None) -> None:
        import numpy as np

        super().__init__(path)
        self._tags = tuple(tags)
        self._places = {each: i for i, each in enumerate(self._tags)}
        self._spans = is_iob2(self._tags)
        self.labels = np.zeros_like(self._index([self._tags], index))

    def _begin(self, file: BinaryIO) -> None:
        pass  # no header

    def _scan(self, file: BinaryIO) -> Iterator[tuple[int, int]]:
        tokens = 0
        for number, offset, line in lines(file, self.where):
            if _is_blank(line):
                tokens = 0
                continue
            self._token(line, number)
            tokens += 1
            if tokens == 1:
                yield offset, number
            elif tokens > LONGEST_SENTENCE:
                raise DataError(
                    f"{self.where}, line {number}: a blank line after each sentence is needed; found more than "
                    f"{LONGEST_SENTENCE} tokens without one"
                )

    def _sound(self, notes: NDArray[np.int64]) -> bool:
        return len(notes) == 0 or bool(notes[0] > 0 and (notes[1:] - notes[:-1] > 1).all())

    def _example(self, block: bytes, place: int, note: int) -> Example | None:
        every = block.split(b"\n")
        end = next((i for i, line in enumerate(every) if _is_blank(line)), len(every))
        if end == 0 or not all(map(_is_blank, every[end:])):
            return None
        pairs = [self._token(line, number) for number, line in enumerate(every[:end], start=note)]
        tags = [tag for _, tag in pairs]
        if self._spans:
            tags = repaired(tags)
        return tagged([token for token, _ in pairs], [self._places[tag] for tag in tags])

    def _token(self, line: bytes, number: int) -> tuple[str, str]:
        fields = whole_line(line, self.where, number).split("\t")
        if len(fields) != 2:
            raise DataError(
                f"{self.where}, line {number}: a token, one tab and a tag are needed; "
                f"found {len(fields) - 1} tabs in {shown(chr(9).join(fields))}"
            )
        token, tag = fields
        if not token.strip():
            raise DataError(f"{self.where}, line {number}: a token is needed; found an empty one")
        if tag not in self._places:
            raise DataError(
                f"{self.where}, line {number}: unknown tag; allowed: {listed(self._tags)}; found {shown(tag)}"
            )
        return token, tag


def is_iob2(tags: Sequence[str]) -> bool:
    """Are these tags of spans: ``O``, and for each kind that can go on with ``I-``, a ``B-`` it begins with?"""
    inside = {each[2:] for each in tags if each.startswith("I-")}
    return "O" in tags and bool(inside) and all(f"B-{each}" in tags for each in inside)


def repaired(tags: Sequence[str]) -> list[str]:
    """IOB2 as it should be: an ``I-X`` that does not continue a span of X begins one, as ``B-X``.

    The spans are those that seqeval and the CoNLL script, which overlook this fault, find in ``tags``.
    """
    fixed = []
    kind = None  # of the span that the tag before is in
    for tag in tags:
        inside = tag.startswith("I-") and tag[2:] != kind
        fixed.append(f"B-{tag[2:]}" if inside else tag)
        kind = tag[2:] if tag.startswith(("B-", "I-")) else None
    return fixed


def _is_blank(line: bytes) -> bool:
    return not line.strip(b" \r\n")
