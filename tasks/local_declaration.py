"""``task.yaml``: what a person's own task says of itself."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import ValidationError

from tasks.base import DataError, TaskSpec
from tasks.local_yaml import Node, parse
from tasks.sources import one_line
from tasks.tsv import shown

FILE = "task.yaml"
NAME = re.compile("[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST_NAME = 64  # it names folders
_NOT_STATED = "not stated"
_NEEDED = ("name", "kind", "labels", "metric")
_SAID = {"description": "a person's own task", "homepage": _NOT_STATED, "licence": _NOT_STATED,
         "citation": _NOT_STATED}  # fmt: skip
_KEYS = (*_NEEDED, "languages", "columns", "parallel", *_SAID)
_COLUMNS = {"text": ("text", "label"), "text-pair": ("text", "pair", "label"), "tagged": ()}


class Problems(DataError):  # noqa: N818 - the name says what it holds
    """All that is wrong with a task's folder; the message is the first of it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems[0])
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Declaration:
    """A ``task.yaml`` that can be used.

    ``columns``: text, pair and label → the name in the header. ``languages``: a folder's name → its
    language's code and the line that says so.
    """

    spec: TaskSpec
    columns: Mapping[str, str]
    languages: Mapping[str, tuple[str, int]] = field(default_factory=dict)


def declaration(data: bytes, where: str) -> Declaration:
    """Read a ``task.yaml``.

    Raises:
        DataError: it is not YAML.
        Problems: everything that it says and may not say, or does not say.
    """
    top = parse(data, where)
    if top.kind != "mapping":
        raise DataError(f"{where}, line {top.line}: key: value lines are needed; found {top}")
    return _Reader(where, top.fields).declaration()


class _Reader:
    """Goes on after a mistake, so that all of them are told at once."""

    def __init__(self, where: str, fields: Mapping[str, Node]) -> None:
        self._where = where
        self._fields = fields
        self._problems: list[str] = []

    def declaration(self) -> Declaration:
        for key, node in self._fields.items():
            if key not in _KEYS:
                allowed = f"{_did_you_mean(key, _KEYS)}; allowed: {', '.join(_KEYS)}"
                self._wrong(node, f"unknown key {shown(key)}{allowed}")
        missing = [key for key in _NEEDED if key not in self._fields]
        if missing:
            found = ", ".join(shown(key)[1:-1] for key in list(self._fields)[:12]) or "none"
            self._problems.append(
                f"{self._where}: the keys {', '.join(_NEEDED)} are needed; found {found}, "
                f"without {', '.join(missing)}"
            )
        name, kind, metric = self._name(), self._one_of("kind"), self._one_of("metric")
        labels = self._labels()
        columns = self._columns(kind)
        languages = self._languages()
        said = {key: self._said(key, default) for key, default in _SAID.items()}
        parallel = self._parallel()
        if self._problems:
            raise Problems(self._problems)
        try:
            spec = TaskSpec.model_validate(
                dict(name=name, version=1, kind=kind, labels=labels, metric=metric, parallel=parallel, **said)
            )
        except ValidationError as error:  # labels that the metric cannot be taken of
            said_so = error.errors()[0]
            reason = said_so.get("ctx", {}).get("error", said_so["msg"])
            self._wrong(self._fields["metric"], f"metric: {one_line(reason)}")
            raise Problems(self._problems) from None
        return Declaration(spec, columns, languages)

    def _wrong(self, node: Node, why: str) -> None:
        self._problems.append(f"{self._where}, line {node.line}: {why}")

    def _text(self, node: Node, key: str) -> str | None:
        """A text on one line, or ``None`` with the problem noted."""
        if node.kind != "text" or not node.text.strip():
            self._wrong(node, f"{key}: text is needed; found {node}")
        elif bad := [one for one in node.text if one not in "\t\n" and unicodedata.category(one) in ("Cc", "Cs")]:
            self._wrong(node, f"{key}: text without control characters is needed; found U+{ord(bad[0]):04X}")
        else:
            return node.text
        return None

    def _name(self) -> str | None:
        if (node := self._fields.get("name")) is None or (text := self._text(node, "name")) is None:
            return None
        if not NAME.fullmatch(text) or len(text) > _LONGEST_NAME:
            allowed = f"lower-case letters a to z, digits and single dashes between them, at most {_LONGEST_NAME}"
            self._wrong(node, f"name: {allowed}; found {node}")
        return text

    def _one_of(self, key: str) -> str | None:
        if (node := self._fields.get(key)) is None:
            return None
        allowed = get_args(TaskSpec.model_fields[key].annotation)
        if node.kind != "text" or node.text not in allowed:
            meant = _did_you_mean(node.text, allowed)
            self._wrong(node, f"{key}: one of {', '.join(allowed)} is needed; found {node}{meant}")
        return node.text

    def _labels(self) -> tuple[str, ...]:
        if (node := self._fields.get("labels")) is None:
            return ()
        if node.kind != "list" or len(node.items) < 2:
            found = node if node.kind != "list" else f"{len(node.items)}"
            self._wrong(
                node, f"labels: a list of at least 2, as in [positive, negative], is needed; found {found}"
            )
            return ()
        labels: dict[str, None] = {}  # in order
        for each in node.items:
            if (text := self._text(each, "labels")) is None:
                continue
            if text != text.strip() or "\t" in text or "\n" in text:
                self._wrong(
                    each, f"labels: text without tabs, line breaks and outer blanks is needed; found {each}"
                )
            if text in labels:
                self._wrong(each, f"labels: each may stand once; found {each} twice")
            labels[text] = None
        return tuple(labels)

    def _pairs(self, key: str, example: str) -> dict[str, tuple[str, int]]:
        """A mapping of text to text, with lines."""
        if (node := self._fields.get(key)) is None:
            return {}
        if node.kind != "mapping":
            self._wrong(node, f"{key}: a mapping, as in {{{example}}}, is needed; found {node}")
            return {}
        found = {}
        for inner, value in node.fields.items():
            if (text := self._text(value, f"{key}, {shown(inner)}")) is not None:
                found[inner] = text.strip(), value.line
        return found

    def _columns(self, kind: str | None) -> dict[str, str]:
        allowed = _COLUMNS.get(kind or "", _COLUMNS["text-pair"])
        given = self._pairs("columns", "text: tweet, label: sentiment")
        columns = {each: each for each in allowed}
        for column, (name, line) in given.items():
            node = Node("text", line, column)
            if not allowed:
                self._wrong(node, f"columns: tagged files have no header, so none are allowed; found {node}")
            elif column not in allowed:
                meant = _did_you_mean(column, allowed)
                self._wrong(node, f"columns: {', '.join(allowed)} may be named; found {node}{meant}")
            else:
                columns[column] = name
        if len(set(columns.values())) < len(columns):
            named = ", ".join(f"{column}: {shown(name)[1:-1]}" for column, name in columns.items())
            self._wrong(self._fields["columns"], f"columns: different names are needed; found {named}")
        return columns

    def _languages(self) -> dict[str, tuple[str, int]]:
        return self._pairs("languages", "my-folder: deu")

    def _said(self, key: str, default: str) -> str:
        node = self._fields.get(key)
        text = default if node is None else self._text(node, key)
        return " ".join((text or "").split())

    def _parallel(self) -> bool:
        node = self._fields.get("parallel")
        if node is None:
            return False
        if node.kind != "boolean":
            self._wrong(node, f"parallel: true or false is needed; found {node}")
        return node.true


def _did_you_mean(found: str, allowed: Iterable[Any]) -> str:
    close = difflib.get_close_matches(found.lower(), [str(each) for each in allowed], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
