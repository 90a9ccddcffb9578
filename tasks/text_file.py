"""A file of texts, or of pairs of texts, that stays on disk: a header, then one example a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tasks.base import Example
from tasks.index import IndexedFile
from tasks.tsv import Columns, Table, lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TextFile(IndexedFile):
    """The examples of a tab-separated file with a header (the rules: :func:`tasks.tsv.parse_tsv`).

    ``text``, ``pair``, ``label``: names of columns; ``labels``: the task's, in its order; ``item``: what the
    item of a row, counted from 0, is called; ``index``: a folder in which to keep where the lines begin, so
    that the file is read through once only; ``quoted``: whether fields may be quoted like CSV.

    Raises:
        DataError: the file cannot be read, or anything in it is malformed; with file and line.
    """

    def __init__(
        self,
        path: Path,
        *,
        text: str,
        labels: Sequence[str],
        pair: str | None = None,
        label: str = "label",
        item: Callable[[int], str] | None = None,
        index: Path | None = None,
        quoted: bool = True,
    ) -> None:
        super().__init__(path)
        self._columns, self._item = Columns(text, tuple(labels), pair, label, quoted), item
        self.labels = self._index(astuple(self._columns), index)

    def _begin(self, file: BinaryIO) -> None:
        self._table = Table(lines(file, self.where), self.where, self._columns, self._item)

    def _scan(self, file: BinaryIO) -> Iterator[tuple[int, int]]:
        numbered = lines(file, self.where)
        next(numbered)  # the header
        for number, offset, line in numbered:
            yield offset, self._table.row(line, number)[1]

    def _sound(self, notes: NDArray[np.int64]) -> bool:
        return bool(((notes >= 0) & (notes < len(self._columns.labels))).all())

    def _example(self, block: bytes, place: int, note: int) -> Example | None:
        return None if b"\n" in block[:-1] else self._table.example(block, place + 2)
