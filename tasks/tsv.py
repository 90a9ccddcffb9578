"""Tab-separated files with a header and uneven quoting, as tweet corpora are published."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.base import DataError, Example

_SHOWN = 40


def parse_tsv(data: bytes, where: str, text: str, labels: Sequence[str]) -> list[Example]:
    """Examples of a file with the columns ``text`` and ``label``; other columns are left out.

    Lines end with LF (or CRLF) only: tweets hold other characters that Unicode counts as line ends.
    Files are quoted like CSV in places and raw in others, so every field is unquoted by itself (see
    :func:`unquote`).

    Raises:
        DataError: invalid UTF-8, no header, or a line that does not fit it; with file (``where``) and line.
    """
    lines = _decode(data, where).split("\n")
    if lines[-1] == "":
        del lines[-1]
    if not lines:
        raise DataError(
            f"{where}, line 1: a header with the columns {text} and label is needed; found an empty file"
        )
    header = [unquote(each) for each in _fields(lines[0])]
    if header.count(text) != 1 or header.count("label") != 1:
        raise DataError(
            f"{where}, line 1: a header with the columns {text} and label, once each, is needed; "
            f"found {_shown(lines[0])}"
        )
    at_text, at_label = header.index(text), header.index("label")
    index = {label: i for i, label in enumerate(labels)}
    examples = []
    for number, line in enumerate(lines[1:], start=2):
        fields = _fields(line)
        if len(fields) != len(header):
            raise DataError(
                f"{where}, line {number}: {len(header)} tab-separated columns are needed, as in the header; "
                f"found {len(fields)}"
            )
        value, label = unquote(fields[at_text]), unquote(fields[at_label])
        if label not in index:
            raise DataError(
                f"{where}, line {number}: unknown label; allowed: {', '.join(labels)}; found {_shown(label)}"
            )
        if not value.strip():
            raise DataError(f"{where}, line {number}: a text is needed; found an empty {text}")
        examples.append(Example(value, index[label]))
    return examples


def unquote(field: str) -> str:
    """A field without CSV quoting: outer quotes go if all quotes inside are doubled, then ``""`` is ``"``.

    Doubled quotes are undone in bare fields too: many files lost their outer quotes only.
    """
    if len(field) >= 2 and field[0] == field[-1] == '"' and '"' not in field[1:-1].replace('""', ""):
        field = field[1:-1]
    return field.replace('""', '"')


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # error.object, not data: the place is counted from behind a byte order mark
        number = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{where}, line {number}: text in UTF-8 is needed; found the byte 0x{error.object[error.start]:02x}"
        ) from None


def _fields(line: str) -> list[str]:
    return line.removesuffix("\r").split("\t")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
