"""The reader of unevenly quoted files: exact where they are right, one line where they are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import DataError, Example
from tasks.tsv import LONGEST, parse_tsv, unquote

LABELS = ("good", "bad")
HEADER = b"tweet\tlabel\n"


def parse(data: bytes) -> list[Example]:
    return parse_tsv(data, "some.tsv", "tweet", LABELS)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("plain", "plain"),
        ('"quoted"', "quoted"),
        ('"with ""doubled"" ones"', 'with "doubled" ones'),
        ('raw ""doubled"" ones', 'raw "doubled" ones'),
        ('a "single" one', 'a "single" one'),
        ('"two" and "two"', '"two" and "two"'),
        ('""Aho guta""', '"Aho guta"'),
        ('"', '"'),
        ('""', ""),
        ('"open', '"open'),
        ("", ""),
    ],
)
def test_unquote(field: str, expected: str) -> None:
    assert unquote(field) == expected


def test_columns_are_found_by_the_header() -> None:
    data = "ID\tlabel\ttweet\nx1\tbad\thöre\nx2\tgood\t🙂\n".encode()
    assert parse(data) == [Example("höre", 1), Example("🙂", 0)]


@pytest.mark.parametrize("data", [HEADER + b"a\tgood\nb\tbad\n", HEADER + b"a\tgood\nb\tbad"])
def test_byte_order_mark_and_line_ends_do_not_matter(data: bytes) -> None:
    expected = [Example("a", 0), Example("b", 1)]
    assert parse(data) == parse(b"\xef\xbb\xbf" + data) == parse(data.replace(b"\n", b"\r\n")) == expected


@pytest.mark.parametrize("inside", ["\x1d", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\r", "\\n"])
def test_only_line_feeds_end_a_line(inside: str) -> None:
    text = f"one{inside}two"
    assert parse(HEADER + f"{text}\tgood\n".encode()) == [Example(text, 0)]


def test_a_header_alone_is_an_empty_split() -> None:
    assert parse(b"tweet\tlabel") == []


@pytest.mark.parametrize(
    ("data", "line", "found"),
    [
        (b"", 1, "found an empty file"),
        (b"text\tlabel\na\tgood\n", 1, "found 'text\\\\tlabel'"),
        (b"tweet\ttweet\tlabel\n", 1, "once each"),
        (HEADER + b"a\tgood\nb\n", 3, "2 tab-separated columns are needed, as in the header; found 1"),
        (HEADER + b"a\tb\tgood\n", 2, "found 3"),
        (HEADER + b"a\tgood\n\nb\tbad\n", 3, "found 1"),
        (HEADER + b"a\tGood\n", 2, "unknown label; allowed: good, bad; found 'Good'"),
        (HEADER + b"a\tgood\n \tbad\n", 3, "found an empty tweet"),
        (HEADER + b"a\tgood\nb\xff\tbad\n", 3, "UTF-8 is needed; found the byte 0xff"),
        (b"\xef\xbb\xbf" + HEADER + b"\xff", 2, "found the byte 0xff"),
        (b"\n", 1, "once each, is needed; found ''"),
        (b"tweet\tla\xffbel\n", 1, "found the byte 0xff"),
        (HEADER + b"a\0b\tgood\n", 2, "found a NUL byte"),
        (HEADER.decode().encode("utf-16-le"), 1, "found a NUL byte, as UTF-16"),
        (HEADER.decode().encode("utf-16"), 1, "UTF-8 is needed; found the byte order mark of UTF-16"),
        ("\ufeff".encode("utf-16-be"), 1, "found the byte order mark of UTF-16"),
        (HEADER.decode().encode("utf-32"), 1, "found the byte order mark of UTF-32"),
        (HEADER.replace(b"\n", b"\r") + b"a\tgood\r", 1, "lines that end with LF or CRLF are needed; found a CR"),
        (HEADER.replace(b"\n", b"\r") + b"a\tgood\r" * LONGEST, 1, "found a CR alone"),
        (HEADER + b"a\tgood\n" + b"b" * LONGEST + b"\tbad\n", 3, f"at most {LONGEST} bytes is needed"),
        (b"tweet" * LONGEST, 1, f"at most {LONGEST} bytes is needed"),
    ],
)
def test_malformed(data: bytes, line: int, found: str) -> None:
    with pytest.raises(DataError, match=f"^some.tsv, line {line}: .*{found}") as caught:
        parse(data)
    assert "\n" not in str(caught.value)


def test_the_longest_line() -> None:
    line = b"b" * (LONGEST - len(b"\tbad\n")) + b"\tbad\n"
    assert [len(each.text) for each in parse(HEADER + line)] == [LONGEST - len(b"\tbad\n")]


class TestPairs:
    DATA = b"hypothesis\tgold\tid\tpremise\nb\tgood\t1\ta\nd\tbad\t2\tc\n"

    def parse(self, data: bytes) -> list[Example]:
        return parse_tsv(
            data, "some.tsv", "premise", LABELS, pair="hypothesis", label="gold", item=lambda row: f"item {row}"
        )

    def test_columns_and_items(self) -> None:
        assert self.parse(self.DATA) == [Example("a", 0, "b", "item 0"), Example("c", 1, "d", "item 1")]

    @pytest.mark.parametrize(
        ("data", "line", "found"),
        [
            (b"", 1, "a header with the columns premise, hypothesis and gold is needed; found an empty file"),
            (b"premise\tgold\n", 1, "the columns premise, hypothesis and gold, once each, is needed"),
            (DATA.replace(b"\td\t", b"\t \t").replace(b"\nd\t", b"\n\t"), 3, "found an empty hypothesis"),
            (DATA.replace(b"\tc\n", b"\t\n"), 3, "a text is needed; found an empty premise"),
        ],
    )
    def test_malformed(self, data: bytes, line: int, found: str) -> None:
        with pytest.raises(DataError, match=f"^some.tsv, line {line}: .*{found}"):
            self.parse(data)


def test_fields_that_are_written_as_they_are_keep_their_quotes() -> None:
    data = b'tweet\tlabel\n"So?"\tgood\na ""b""\tbad\n'
    assert [each.text for each in parse_tsv(data, "some.tsv", "tweet", LABELS, quoted=False)] == [
        '"So?"',
        'a ""b""',
    ]
    assert [each.text for each in parse(data)] == ["So?", 'a "b"']
    with pytest.raises(DataError, match='found \'"tweet"'):
        parse_tsv(b'"tweet"\tlabel\n', "some.tsv", "tweet", LABELS, quoted=False)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_arbitrary_files_are_read_or_refused_in_one_line(data: bytes) -> None:
    for content in (data, HEADER + data, HEADER + data + b"\tgood\n"):
        message = ""
        examples = []
        try:
            examples = parse(content)
        except DataError as error:
            message = str(error)
        assert "\n" not in message
        assert all(each.text.strip() and each.label in (0, 1) for each in examples)


raw_texts = st.text(st.characters(exclude_characters='\0\t\n"', exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.tuples(raw_texts, st.integers(0, 1))))
def test_what_is_written_raw_is_read_back(rows: list[tuple[str, int]]) -> None:
    rows = [(text, label) for text, label in rows if text.strip()]
    data = HEADER + "".join(f"{text}\t{LABELS[label]}\n" for text, label in rows).encode()
    assert parse(data) == [Example(text, label) for text, label in rows]
