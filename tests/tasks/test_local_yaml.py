"""``task.yaml`` as text: values with their lines, and every kind of broken file in one line."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import DataError
from tasks.local_yaml import LARGEST, Node, parse


def plain(node: Node) -> object:
    """What YAML libraries make of it."""
    if node.kind == "list":
        return [plain(each) for each in node.items]
    if node.kind == "mapping":
        return {key: plain(value) for key, value in node.fields.items()}
    return node.true if node.kind == "boolean" else None if node.kind == "nothing" else node.text


def refused(text: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        parse(text if isinstance(text, bytes) else text.encode(), "task.yaml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("task.yaml")
    return message


def test_values_with_their_lines() -> None:
    top = parse(
        b"# a task\nname: x\nlabels:\n- a\n- 'b c'\nlanguages: {deu: de,\n  nl: nld}\nparallel: Yes\n", "f"
    )
    assert plain(top) == {
        "name": "x",
        "labels": ["a", "b c"],
        "languages": {"deu": "de", "nl": "nld"},
        "parallel": True,
    }
    assert [node.line for node in top.fields.values()] == [2, 4, 6, 8]
    assert [node.line for node in top.fields["labels"].items] == [4, 5]
    assert top.fields["languages"].fields["nl"].line == 7


@pytest.mark.parametrize("text", ["a: [x, y]\nb: {c: d}\n", "a:\n  - x\nb: |\n  c\n  d\n", '"a": "\\u00e9"\n'])
def test_the_same_with_a_byte_order_mark_and_other_line_ends(text: str) -> None:
    data = text.encode()
    expected = yaml.safe_load(text)
    assert plain(parse(data, "f")) == expected
    assert plain(parse(b"\xef\xbb\xbf" + data, "f")) == expected
    assert plain(parse(data.replace(b"\n", b"\r\n"), "f")) == expected


@pytest.mark.parametrize(
    ("typed", "kind", "told"),
    [
        ("no", "boolean", 'no, which YAML reads as false (quote it: "no")'),
        ("On", "boolean", 'On, which YAML reads as true (quote it: "On")'),
        ("yes", "boolean", 'yes, which YAML reads as true (quote it: "yes")'),
        ("1", "number", '1, which YAML reads as a number (quote it: "1")'),
        ("1_000.5", "number", '1_000.5, which YAML reads as a number (quote it: "1_000.5")'),
        ("2023-01-01", "date", '2023-01-01, which YAML reads as a date (quote it: "2023-01-01")'),
        ("null", "nothing", 'null, which YAML reads as nothing (quote it: "null")'),
        ("", "nothing", "nothing"),
        ('"no"', "text", "'no'"),
        ("'1'", "text", "'1'"),
        ("''", "text", "''"),
        ("y", "text", "'y'"),
        ("[a]", "list", "a list"),
        ("{a: b}", "mapping", "a mapping"),
    ],
)
def test_what_yaml_reads_as_something_else_is_told(typed: str, kind: str, told: str) -> None:
    found = parse(f"key: {typed}\n".encode(), "f").fields["key"]
    assert found.kind == kind
    assert str(found) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "found an empty file"),
        ("# only a comment\n", "found an empty file"),
        ("a: b\nc: d\na: e\n", "line 3: a key may stand once; found 'a' twice, first in line 1"),
        ("a: b\nno: c\n", 'line 2: a key must be text; found no, which YAML reads as false (quote it: "no")'),
        ("a: b\n[c]: d\n", "line 2: a key must be text; found a list"),
        ("a: &x b\nc: *x\n", "line 1: anchors (&) and aliases (*) are not allowed"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1: tags (!) are not allowed"),
        ("a: !!str b\n", "line 1: tags (!) are not allowed"),
        ("a: b\n---\nc: d\n", "line 2: one document is allowed; found a second one"),
        ("a: [b\nc: d\n", "line 2: YAML is needed"),
        ("a: b: c\n", "line 1: YAML is needed"),
        ("a: b\n\tc: d\n", "line 2: YAML is needed"),
        ("a: \x07\n", "line 1: YAML is needed, as in key: value; found the character U+0007"),
        ("a: b\nc: \x00\n", "line 2: YAML is needed, as in key: value; found the character U+0000"),
        ('a: "\\UFFFFFFFF"\n', "found a number out of range"),
        ("%YAML 1." + 5000 * "9" + "\n--- a", "found a number out of range"),
        ("a: " + 9 * "[" + 9 * "]", "at most 8 levels are allowed"),
        (b"a: b\nc: \xe9\n", "line 2: text in UTF-8 is needed; found the byte 0xe9"),
        ("a: b\n".encode("utf-16"), "line 1: text in UTF-8 is needed; found the byte 0xff"),
        (b" " * (LARGEST + 1), f"at most {LARGEST} bytes are allowed"),
        ("a: [" + "b," * 20_000 + "]", "at most 20000 keys and values are allowed"),
    ],
)
def test_what_is_refused(text: str | bytes, told: str) -> None:
    assert told in refused(text)


def test_a_file_that_would_grow_when_it_is_read_is_refused_at_its_first_anchor() -> None:
    laughs = ["a0: &a0 [lol]"] + [f"a{n}: &a{n} [{', '.join(9 * [f'*a{n - 1}'])}]" for n in range(1, 30)]
    assert "line 1: anchors" in refused("\n".join(laughs))
    merged = ["a0: &a0 {k: v}"] + [f"a{n}: &a{n} {{<<: [{', '.join(9 * [f'*a{n - 1}'])}]}}" for n in range(1, 30)]
    assert "line 1: anchors" in refused("\n".join(merged))


@pytest.mark.parametrize(
    "text", ["[" * 300_000, "{" * 300_000, "- " * 300_000, "? " * 300_000, "a: " + "[[[" * 99]
)
def test_depth_is_refused_at_once(text: str) -> None:
    refused(text)


PIECES = [
    *("a", "name", "no", "1", ":", ",", "-", "[", "]", "{", "}", '"', "'", "|", ">", "&a", "*a", "!!str", "!x"),
    *("#", "---", "...", "%TAG", "<<", "?", "\\x", "é", "=", " ", "  ", "- ", ": ", "\n", "\t", "\r"),
]
yaml_like = st.lists(st.sampled_from(PIECES)).map("".join)


@given(st.binary(max_size=300) | (st.text(max_size=300) | yaml_like).map(lambda s: s.encode("utf-8", "replace")))
def test_arbitrary_files_are_read_as_yaml_reads_them_or_refused_in_one_line(data: bytes) -> None:
    message = "task.yaml"
    try:
        found = parse(data, "task.yaml")
    except DataError as error:
        message = str(error)
    assert "\n" not in message
    assert message.startswith("task.yaml")
    if message != "task.yaml":
        return
    assert isinstance(str(found), str)
    reference = yaml.load(data.decode("utf-8-sig"), _Text)
    assert plain_text(found) == reference


class _Text(yaml.BaseLoader):
    """Every scalar is text."""


def plain_text(node: Node) -> object:
    if node.kind == "list":
        return [plain_text(each) for each in node.items]
    if node.kind == "mapping":
        return {key: plain_text(value) for key, value in node.fields.items()}
    return node.text
