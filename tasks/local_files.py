"""The data files of a person's own task: opened as a run does, or read on after every mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from tasks.base import DataError, Example, Split, tagged
from tasks.local_declaration import Declaration
from tasks.rows import Rows
from tasks.sources import opened as file_opened
from tasks.tagged_file import TaggedFile, repaired
from tasks.text_file import TextFile
from tasks.tsv import Columns, Table, lines

Take = Callable[["Example | DataError"], None]


def opened(declared: Declaration, path: Path, split: Split, index: Path | None = None) -> Rows:
    """The examples of one file.

    Raises:
        DataError: a malformed line, with the file and its number; or no examples.
    """
    rows = _rows(declared, path, split, index)
    if not len(rows):
        rule = "; a language without train.tsv is a target only" if split == "train" else ""
        raise DataError(f"{path}: at least 1 example is needed{rule}; found none")
    return rows


def _rows(declared: Declaration, path: Path, split: Split, index: Path | None) -> Rows:
    spec, columns = declared.spec, declared.columns
    # Items are the same in every language line by line; a dev item is no train item.
    if spec.kind == "tagged":
        rows = TaggedFile(path, tags=spec.labels, index=index)
        return _Numbered(rows, split) if spec.parallel else rows
    return TextFile(
        path,
        text=columns["text"],
        labels=spec.labels,
        pair=columns.get("pair"),
        label=columns["label"],
        item=(lambda row: _item(split, row)) if spec.parallel else None,
        index=index,
    )


def every_line(declared: Declaration, path: Path, take: Take) -> int:
    """Give ``take`` every example of one file and everything that is wrong in it, in order.

    Returns how many sentences had tags that were repaired.
    """
    try:
        if declared.spec.kind == "tagged":
            return _Sentences(path, declared.spec.labels, take).repaired
        _every_row(declared, path, take)
    except DataError as error:  # nothing can be read behind this
        take(error)
    return 0


def _every_row(declared: Declaration, path: Path, take: Take) -> None:
    columns = declared.columns
    wanted = Columns(columns["text"], declared.spec.labels, columns.get("pair"), columns["label"])
    with file_opened(path) as file:
        numbered = lines(file, str(path))
        table = Table(numbered, str(path), wanted)
        for number, _, line in numbered:
            try:
                found: Example | DataError = table.example(line, number)
            except DataError as error:
                found = error
            take(found)


class _Sentences(TaggedFile):
    """Goes on after a malformed line; a sentence that has one is left out."""

    def __init__(self, path: Path, tags: Sequence[str], take: Take) -> None:
        self._take = take
        self.repaired = 0
        super().__init__(path, tags=tags)

    def _scan(self, file: BinaryIO) -> Iterator[tuple[int, int]]:
        tokens: list[tuple[str, str]] = []
        broken = False
        for number, _, line in lines(file, self.where):
            if line.strip(b" \r\n"):
                try:
                    tokens.append(self._token(line, number))
                except DataError as error:
                    self._take(error)
                    broken = True
                continue
            self._end(tokens, broken)
            tokens, broken = [], False
        self._end(tokens, broken)
        return iter(())  # nothing is to be read again

    def _end(self, tokens: Sequence[tuple[str, str]], broken: bool) -> None:
        if tokens and not broken:
            tags = [tag for _, tag in tokens]
            fixed = repaired(tags) if self._spans else tags
            self.repaired += fixed != tags
            self._take(tagged([token for token, _ in tokens], [self._places[tag] for tag in fixed]))


def _item(split: Split, row: int) -> str:
    return f"{split} {row + 1}"


class _Numbered(Rows):
    """Rows whose items are named by their place."""

    def __init__(self, rows: Rows, split: Split) -> None:
        self._rows = rows
        self._split = split
        self.labels = rows.labels

    def take(self, places: Sequence[int]) -> list[Example]:
        taken = self._rows.take(places)
        return [replace(row, item=_item(self._split, at)) for at, row in zip(places, taken, strict=True)]

    def __iter__(self) -> Iterator[Example]:
        return (replace(row, item=_item(self._split, at)) for at, row in enumerate(self._rows))
