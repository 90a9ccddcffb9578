"""Tab-separated files: what ends a line, what a line may hold, and the rows of a file with a header.

The one definition of these rules, for bytes in memory (:func:`parse_tsv`) and for files that stay on disk
(:mod:`tasks.text_file`, :mod:`tasks.tagged_file`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from tasks.base import DataError, Example

LONGEST = 2**20  # bytes of a line with its end; more is no line of text, and is never read whole
_SHOWN = 40
_LISTED = 25
_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",  # before UTF-16, whose mark it begins with
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def parse_tsv(
    data: bytes,
    where: str,
    text: str,
    labels: Sequence[str],
    *,
    pair: str | None = None,
    label: str = "label",
    item: Callable[[int], str] | None = None,
    quoted: bool = True,
) -> list[Example]:
    """Examples of a file with the columns ``text``, ``label`` and, of pairs, ``pair``; others are left out.

    Lines end with LF (or CRLF) only: tweets hold other characters that Unicode counts as line ends.
    ``quoted``: files are quoted like CSV in places and raw in others, so every field is unquoted by itself
    (see :func:`unquote`); ``False`` where the publisher writes fields as they are.

    Raises:
        DataError: invalid UTF-8, no header, or a line that does not fit it; with file (``where``) and line.
    """
    numbered = lines(BytesIO(data), where)
    table = Table(numbered, where, Columns(text, tuple(labels), pair, label, quoted), item)
    return [table.example(line, number) for number, _, line in numbered]


@dataclass(frozen=True)
class Columns:
    """What is wanted of a file with a header: names of its columns, and the labels in the task's order."""

    text: str
    labels: tuple[str, ...]
    pair: str | None = None
    label: str = "label"
    quoted: bool = True


class Table:
    """The rows of one file: found by its header, which is taken from ``numbered``, and then line by line.

    Raises:
        DataError: there is no header, or not each column once.
    """

    def __init__(
        self,
        numbered: Iterator[tuple[int, int, bytes]],
        where: str,
        columns: Columns,
        item: Callable[[int], str] | None = None,
    ) -> None:
        self._where, self._columns, self._item = where, columns, item
        self._unquote = unquote if columns.quoted else str
        needed = [columns.text, *([] if columns.pair is None else [columns.pair]), columns.label]
        rule = f"{where}, line 1: a header with the columns {_all_of(needed)}"
        first = next(numbered, None)
        if first is None:
            raise DataError(f"{rule} is needed; found an empty file")
        line = whole_line(first[2], where, 1)
        header = [self._unquote(each) for each in line.split("\t")]
        if any(header.count(each) != 1 for each in needed):
            raise DataError(f"{rule}, once each, is needed; found {shown(line)}")
        self._width = len(header)
        self._texts = [(each, header.index(each)) for each in needed[:-1]]
        self._at_label = header.index(columns.label)
        self._index = {each: i for i, each in enumerate(columns.labels)}

    def row(self, line: bytes, number: int) -> tuple[list[str], int]:
        """The texts (one, or the two of a pair) and the label's index of line ``number``.

        Raises:
            DataError: the line does not fit the header, has an unknown label or an empty text.
        """
        fields = decoded(line, self._where, number).split("\t")
        if len(fields) != self._width:
            raise DataError(
                f"{self._where}, line {number}: {self._width} tab-separated columns are needed, as in the "
                f"header; found {len(fields)}"
            )
        label = self._unquote(fields[self._at_label])
        if label not in self._index:
            raise DataError(
                f"{self._where}, line {number}: unknown label; allowed: {listed(self._columns.labels)}; "
                f"found {shown(label)}"
            )
        texts = []
        for name, place in self._texts:
            text = self._unquote(fields[place])
            if not text.strip():
                raise DataError(f"{self._where}, line {number}: a text is needed; found an empty {name}")
            texts.append(text)
        return texts, self._index[label]

    def example(self, line: bytes, number: int) -> Example:
        """The example on line ``number``; its row, counted from 0, names the item.

        Raises:
            DataError: as :meth:`row`.
        """
        (text, *pair), label = self.row(line, number)
        return Example(text, label, pair[0] if pair else None, self._item(number - 2) if self._item else None)


def lines(file: BinaryIO, where: str) -> Iterator[tuple[int, int, bytes]]:
    """Each line's number (from 1), offset and bytes with its end; a byte order mark is passed over.

    Raises:
        DataError: another encoding's mark, or a line longer than ``LONGEST``.
    """
    start = file.read(4)
    for mark, encoding in _OTHER_MARKS.items():
        if start.startswith(mark):
            raise DataError(f"{where}, line 1: text in UTF-8 is needed; found the byte order mark of {encoding}")
    offset = file.seek(len(_MARK) if start.startswith(_MARK) else 0)
    number = 1
    while line := file.readline(LONGEST + 1):
        if len(line) > LONGEST:
            if number == 1:
                _no_lone_cr(line, where, 1)
            raise DataError(
                f"{where}, line {number}: a line of at most {LONGEST} bytes is needed; found a longer one"
            )
        yield number, offset, line
        offset += len(line)
        number += 1


def decoded(line: bytes, where: str, number: int) -> str:
    """A line as text, without its end.

    Raises:
        DataError: invalid UTF-8, or a NUL byte, which text in another encoding has.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}, line {number}: text in UTF-8 is needed; found the byte 0x{line[error.start]:02x}"
        ) from None
    if "\0" in text:
        raise DataError(
            f"{where}, line {number}: text in UTF-8 is needed; found a NUL byte, as UTF-16 and binary files have"
        )
    return text.removesuffix("\n").removesuffix("\r")


def whole_line(line: bytes, where: str, number: int) -> str:
    """As :func:`decoded`, for a line in which a CR has no business: files from old Macs have no other ends.

    Raises:
        DataError: as :func:`decoded`, or a CR before the line's end.
    """
    _no_lone_cr(line, where, number)
    return decoded(line, where, number)


def _no_lone_cr(line: bytes, where: str, number: int) -> None:
    if b"\r" in line.removesuffix(b"\n").removesuffix(b"\r"):
        raise DataError(f"{where}, line {number}: lines that end with LF or CRLF are needed; found a CR alone")


def unquote(field: str) -> str:
    """A field without CSV quoting: outer quotes go if all quotes inside are doubled, then ``""`` is ``"``.

    Doubled quotes are undone in bare fields too: many files lost their outer quotes only.
    """
    if '"' not in field:
        return field
    if len(field) >= 2 and field[0] == field[-1] == '"' and '"' not in field[1:-1].replace('""', ""):
        field = field[1:-1]
    return field.replace('""', '"')


def shown(found: object) -> str:
    """As messages quote what was found: in one line, and not too long."""
    if isinstance(found, str):
        return repr(found if len(found) <= _SHOWN else found[:_SHOWN] + "…")
    text = repr(found)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def listed(names: Sequence[str]) -> str:
    """Names for a message, not too many."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _all_of(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
