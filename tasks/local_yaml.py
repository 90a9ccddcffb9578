"""YAML as a person's ``task.yaml`` needs it: text, true or false, lists and mappings, each with its line.

Nothing is constructed: the parser's events are read, every value keeps what was typed, and anchors, aliases
and tags are refused, so that no file can run code or grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from tasks.base import DataError
from tasks.sources import one_line
from tasks.tsv import shown

LARGEST = 2**20  # bytes
_DEEPEST = 8  # mappings and lists inside each other
_MOST = 20_000  # values and keys in all
_KINDS = {"str": "text", "bool": "boolean", "int": "number", "float": "number", "null": "nothing"}
_TRUE = ("yes", "true", "on")

Kind = Literal["text", "boolean", "number", "date", "nothing", "list", "mapping"]


@dataclass(frozen=True)
class Node:
    """A value. ``text``: of a scalar, as typed; ``items``: of a list; ``fields``: of a mapping, by key."""

    kind: Kind
    line: int
    text: str = ""
    items: tuple[Node, ...] = ()
    fields: dict[str, Node] = field(default_factory=dict)

    @property
    def true(self) -> bool:
        """The value of a boolean."""
        return self.text.lower() in _TRUE

    def __str__(self) -> str:
        """What was found, for a message; with the way out where YAML read plain text as something else."""
        if self.kind in ("list", "mapping"):
            return f"a {self.kind}"
        if self.kind == "text":
            return shown(self.text)
        if self.kind == "nothing" and self.text == "":
            return "nothing"
        read = {"boolean": str(self.true).lower(), "nothing": "nothing"}.get(self.kind, f"a {self.kind}")
        typed = shown(self.text)[1:-1]
        return f'{typed}, which YAML reads as {read} (quote it: "{typed}")'


def parse(data: bytes, where: str) -> Node:
    """The value that a file holds.

    Raises:
        DataError: it is larger than ``LARGEST``, not UTF-8 or not YAML, has a key twice, or something that
            is refused; with file (``where``) and line.
    """
    if len(data) > LARGEST:
        raise DataError(f"{where}: at most {LARGEST} bytes are allowed; found {len(data)}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{error.object[error.start]:02x}"
        raise DataError(f"{where}, line {line}: text in UTF-8 is needed; found {found}") from None
    reader = None
    try:
        reader = _Reader(text, where)
        return reader.document()
    except yaml.YAMLError as error:
        raise DataError(
            f"{where}{_place(error, text)}: YAML is needed, as in key: value; {_said(error)}"
        ) from None
    except (ValueError, OverflowError):  # an escape or a version number out of any range
        raise DataError(f"{where}: YAML is needed, as in key: value; found a number out of range") from None
    finally:
        if reader is not None:
            reader.close()


class _Reader:
    """One pass over the events of one file."""

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._count = 0
        self._loader = yaml.SafeLoader(text)
        self._events = self._checked()

    def close(self) -> None:
        self._loader.dispose()

    def document(self) -> Node:
        for event in self._events:
            if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
                break
        if isinstance(event, yaml.StreamEndEvent):
            raise DataError(f"{self._where}: key: value lines are needed; found an empty file")
        found = self._node(event, 1)
        next(self._events)  # the end of the document
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._refused(after, "one document is allowed; found a second one")
        return found

    def _checked(self) -> Iterator[Any]:
        while self._loader.check_event():
            event = self._loader.get_event()
            self._count += 1
            if self._count > _MOST:
                raise self._refused(event, f"at most {_MOST} keys and values are allowed; found more")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise self._refused(event, "anchors (&) and aliases (*) are not allowed; found one")
            if getattr(event, "tag", None):
                raise self._refused(event, f"tags (!) are not allowed; found {shown(event.tag)}")
            yield event

    def _node(self, event: Any, depth: int) -> Node:
        line = event.start_mark.line + 1
        if depth > _DEEPEST:
            raise self._refused(event, f"at most {_DEEPEST} levels are allowed; found more")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, line)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(inner, depth + 1))
            return Node("list", line, items=tuple(items))
        fields: dict[str, Node] = {}
        while not isinstance(inner := next(self._events), yaml.MappingEndEvent):
            key = self._node(inner, depth + 1)
            if key.kind != "text" or not key.text:
                raise self._refused(inner, f"a key must be text; found {key}")
            if key.text in fields:
                first = fields[key.text].line
                found = f"{shown(key.text)} twice, first in line {first}"
                raise self._refused(inner, f"a key may stand once; found {found}")
            fields[key.text] = self._node(next(self._events), depth + 1)
        return Node("mapping", line, fields=fields)

    def _scalar(self, event: Any, line: int) -> Node:
        tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit).removeprefix("tag:yaml.org,2002:")
        kind: Any = _KINDS.get(tag, "date" if tag == "timestamp" else "text")  # << and = are read as they stand
        return Node(kind, line, event.value)

    def _refused(self, event: Any, why: str) -> DataError:
        return DataError(f"{self._where}, line {event.start_mark.line + 1}: {why}")


def _place(error: Any, text: str) -> str:
    """The line of a YAML error, where it is known."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        return f", line {mark.line + 1}"
    position = getattr(error, "position", None)
    return "" if position is None else f", line {text.count(chr(10), 0, position) + 1}"


def _said(error: Any) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return f"found the character U+{error.character:04X}, which may not stand in it"
    return one_line(getattr(error, "problem", None) or error)
