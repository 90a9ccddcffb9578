"""The data files of a person's own task: malformed in every way, told by line; and read on after a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.base import Access, DataError, Example, tagged
from tasks.languages import language
from tasks.local import LocalTask, survey
from tasks.local_files import every_line, opened

TEXT = "name: mine\nkind: text\nlabels: [good, bad]\nmetric: macro_f1\n"
PAIR = "name: mine\nkind: text-pair\nlabels: [good, bad]\nmetric: accuracy\n"
TAGGED = "name: mine\nkind: tagged\nlabels: [O, B-PER, I-PER]\nmetric: span_f1\n"
ROWS = "text\tlabel\nein Haus\tgood\nkein Haus\tbad\n"


def make(root: Path, declared: str = TEXT, rows: str | bytes = ROWS) -> Path:
    """A task of one language, with the same rows in each of its files."""
    (root / "deu").mkdir(parents=True, exist_ok=True)
    (root / "task.yaml").write_text(declared, "utf8")
    for split in ("train", "dev", "test"):
        (root / "deu" / f"{split}.tsv").write_bytes(rows if isinstance(rows, bytes) else rows.encode())
    return root


def read(root: Path, split: str = "train") -> list[Example]:
    return list(LocalTask(root).open(Access()).examples(language("deu"), split))  # type: ignore[arg-type]


def lines_of(root: Path) -> tuple[list[Example | DataError], int]:
    """All that can be read of dev, and how many sentences were repaired."""
    found: list[Example | DataError] = []
    return found, every_line(survey(root).declaration, root / "deu" / "dev.tsv", found.append)


HEAD = "text\tlabel\n"
LONG = "ein Wort " * 130_000
LATIN = f"{HEAD}good ones first\tgood\n".encode() + "Müll\tbad\n".encode("latin-1")


@pytest.mark.parametrize(
    ("declared", "rows", "wrong"),
    [
        (TEXT, "", "line 1: a header with the columns text and label is needed; found an empty file"),
        (TEXT, HEAD, ": at least 1 example is needed; found none"),
        (TEXT, "tweet\tlabel\na\tgood\n", "line 1: a header with the columns text and label, once each"),
        (TEXT, HEAD + "a\tgood\nb\n", "line 3: 2 tab-separated columns are needed, as in the header; found 1"),
        (TEXT, HEAD + "a\tgood\n\n", "line 3: 2 tab-separated columns are needed"),
        (TEXT, HEAD + "a\tGood\n", "line 2: unknown label; allowed: good, bad; found 'Good'"),
        (TEXT, HEAD + " \tgood\n", "line 2: a text is needed; found an empty text"),
        (TEXT, LATIN, "line 3: text in UTF-8 is needed; found the byte 0xfc"),
        (
            TEXT,
            (HEAD + "a\tgood\n").encode("utf-16"),
            "line 1: text in UTF-8 is needed; found the byte order mark",
        ),
        (TEXT, HEAD + f"{LONG}\tgood\n", "line 2: a line of at most 1048576 bytes is needed"),
        (PAIR, HEAD + "a\tgood\n", "line 1: a header with the columns text, pair and label, once each, is needed"),
        (PAIR, "text\tpair\tlabel\na\t\tgood\n", "line 2: a text is needed; found an empty pair"),
        (TAGGED, "", ": at least 1 example is needed; found none"),
        (TAGGED, "\n\n", ": at least 1 example is needed; found none"),
        (TAGGED, "Anna\tB-PER\nlacht O\n", "line 2: a token, one tab and a tag are needed; found 0 tabs"),
        (TAGGED, "Anna\tB-PER\nlacht\tX\n", "line 2: unknown tag; allowed: O, B-PER, I-PER; found 'X'"),
        (TAGGED, "Anna\tB-PER\n\t\n", "line 2: a token is needed; found an empty one"),
        (TAGGED, "Anna\tB-PER\n\tO\n", "line 2: a token is needed; found an empty one"),
    ],
)
def test_malformed_files(tmp_path: Path, declared: str, rows: str | bytes, wrong: str) -> None:
    root = make(tmp_path / "t", declared, rows)
    with pytest.raises(DataError) as caught:
        read(root, "dev")
    assert f"deu/dev.tsv{'' if wrong[0] == ':' else ', '}{wrong}" in str(caught.value)
    found, _ = lines_of(root)
    errors = [str(each) for each in found if isinstance(each, DataError)]
    assert errors == ([] if "at least 1" in wrong else [str(caught.value)])


def test_an_empty_training_file_is_told_how_to_be_a_target_only(tmp_path: Path) -> None:
    root = make(tmp_path / "t", rows=HEAD)
    with pytest.raises(DataError, match="is a target only; found none"):
        read(root)


@pytest.mark.parametrize("inside", ["\x1d", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_what_unicode_counts_as_a_line_end_is_text(tmp_path: Path, inside: str) -> None:
    root = make(tmp_path / "t", rows=HEAD + f"one{inside}two\tgood\n")
    assert read(root) == [Example(f"one{inside}two", 0)]


@pytest.mark.parametrize(("declared", "rows"), [(TEXT, ROWS), (TAGGED, "Anna\tB-PER\nlacht\tO\n\nBo\tB-PER\n\n")])
def test_line_ends_and_byte_order_marks_do_not_matter(tmp_path: Path, declared: str, rows: str) -> None:
    data = rows.encode()
    expected = read(make(tmp_path / "plain", declared, data))
    assert len(expected) == 2
    others = {"crlf": data.replace(b"\n", b"\r\n"), "bom": b"\xef\xbb\xbf" + data, "open": data.rstrip()}
    for name, other in others.items():
        root = make(tmp_path / name, declared, other)
        assert read(root) == expected
        assert lines_of(root) == (expected, 0)


def test_every_line_goes_on_after_a_mistake(tmp_path: Path) -> None:
    root = make(tmp_path / "text", rows=HEAD + "a\tgood\nb\nc\tbad\nd\tGood\ne\tgood\n")
    found, repaired = lines_of(root)
    assert repaired == 0
    assert [each.text if isinstance(each, Example) else str(each).split(", ")[1][:6] for each in found] == [
        "a", "line 3", "c", "line 5", "e",
    ]  # fmt: skip
    root = make(tmp_path / "tags", TAGGED, "A\tO\nb O\nC\tX\n\nD\tI-PER\n\nE\tO\n")
    found, repaired = lines_of(root)
    assert repaired == 1
    assert [each.text if isinstance(each, Example) else str(each).split(", ")[1][:6] for each in found] == [
        "line 2", "line 3", "D", "E",
    ]  # fmt: skip
    assert found[2] == tagged(["D"], [1])


LINES = (
    "a\tO",
    "b\tB-PER",
    "c\tI-PER",
    "",
    " ",
    "d",
    "e\tX",
    "\tO",
    "f\tO\tO",
    "g\tgood",
    HEAD[:-1],
    "é\x1d\tbad",
)
lines = st.lists(st.sampled_from(LINES) | st.text(max_size=6), max_size=8).map("\n".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=lines.map(str.encode) | st.binary(max_size=60), declared=st.sampled_from([TEXT, TAGGED]))
def test_reading_on_finds_the_same_as_a_run(tmp_path: Path, data: bytes, declared: str) -> None:
    """The first mistake is the one a run would tell; without any, the examples are the run's."""
    root = make(tmp_path / "t", declared, data)
    declaration = survey(root).declaration
    path = root / "deu" / "dev.tsv"
    found, _ = lines_of(root)
    errors = [str(each) for each in found if isinstance(each, DataError)]
    assert not any("\n" in each for each in errors)
    try:
        rows = list(opened(declaration, path, "dev"))
    except DataError as error:
        told = str(error)
        rows = []
    else:
        told = ""
    if errors:
        assert told == errors[0]
    else:
        assert rows == found
        assert told == ("" if rows else f"{path}: at least 1 example is needed; found none")
