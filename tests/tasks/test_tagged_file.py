"""Files of tagged tokens: their sentences, what is refused, and the repair of IOB2."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import DataError, Example, tagged
from tasks.tagged_file import LONGEST_SENTENCE, TaggedFile, is_iob2, repaired
from tasks.tsv import LONGEST

DATA = Path(os.environ.get("KINSHIP_DATA", "/nowhere"))
SPANS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
WORDS = ("NOUN", "VERB", "I-PER")  # no spans: there is no O
CONTENT = b"Ada\tB-PER\nL.\tI-PER\n\nin\tO\nRio\tB-LOC\n"
EXAMPLES = [tagged(["Ada", "L."], [1, 2]), tagged(["in", "Rio"], [0, 3])]


def make(path: Path, content: bytes = CONTENT) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("before", [b"", b"\n \n"])
@pytest.mark.parametrize("between", [b"", b"  \n", b"\n\r\n \n"])
@pytest.mark.parametrize("after", [b"", b"\n", b"\n\n  "])
def test_blank_lines_of_any_kind(
    tmp_path: Path, mark: bytes, end: bytes, before: bytes, between: bytes, after: bytes
) -> None:
    content = mark + before + CONTENT.replace(b"\n\n", b"\n\n" + between) + after
    path = make(tmp_path / "some.tsv", content.replace(b"\r\n", b"\n").replace(b"\n", end))
    for _ in range(2):
        rows = TaggedFile(path, tags=SPANS, index=tmp_path / "index")
        assert len(rows) == 2
        assert rows.labels.tolist() == [0, 0]
        assert rows == list(rows) == rows.take([0, 1]) == EXAMPLES
        assert rows[1] == EXAMPLES[1]
        assert rows[::-1] == EXAMPLES[::-1]


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\n", b"\xef\xbb\xbf"])
def test_no_sentences_are_an_empty_split(tmp_path: Path, content: bytes) -> None:
    for _ in range(2):
        rows = TaggedFile(make(tmp_path / "some.tsv", content), tags=SPANS, index=tmp_path / "index")
        assert list(rows) == rows.take([]) == []
        assert len(rows) == 0


def test_tokens_hold_what_is_no_line_end(tmp_path: Path) -> None:
    content = "Việt Nam\tB-LOC\na\x1db\u2028\tO\n".encode()
    rows = TaggedFile(make(tmp_path / "some.tsv", content), tags=SPANS)
    assert list(rows) == [tagged(["Việt Nam", "a\x1db\u2028"], [3, 0])]


@pytest.mark.parametrize("tags", [SPANS, SPANS[::-1], ("B-X", "I-X", "O", "B-Y")])
def test_spans(tags: tuple[str, ...]) -> None:
    assert is_iob2(tags)


@pytest.mark.parametrize("tags", [WORDS, SPANS[1:], ("O", "NOUN"), ("O", "I-X"), ("O", "B-X", "I-X", "I-Y")])
def test_no_spans(tags: tuple[str, ...]) -> None:
    assert not is_iob2(tags)


def test_only_spans_are_repaired(tmp_path: Path) -> None:
    content = b"a\tI-PER\nb\tI-PER\n"
    assert TaggedFile(make(tmp_path / "a.tsv", content), tags=SPANS)[0].tags == (1, 2)
    for tags in (WORDS, ("O", "I-PER"), ("O", "I-PER", "B-LOC")):
        rows = TaggedFile(make(tmp_path / "b.tsv", content), tags=tags)
        assert rows[0].tags == (tags.index("I-PER"),) * 2


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        (b"a\tO\nb O\n", 2, "a token, one tab and a tag are needed; found 0 tabs in 'b O'"),
        (b"a\tO\n\nb\tO\tO\n", 3, "found 2 tabs in 'b.*tO"),
        (b"token\ttag\na\tO\n", 1, "unknown tag; allowed: O, B-PER, I-PER, B-LOC, I-LOC; found 'tag'"),
        (b"a\tO\nb\tO \n", 2, "unknown tag; .*; found 'O '"),
        (b"a\tO\n\tO\n", 2, "a token is needed; found an empty one"),
        (b"\xe3\x80\x80\tO\n", 1, "a token is needed; found an empty one"),
        (b"\t\n", 1, "a token is needed; found an empty one"),
        (b"a\t\n", 1, "unknown tag; .*; found ''"),
        (b"a\tO\nb\xff\tO\n", 2, "UTF-8 is needed; found the byte 0xff"),
        (b"a\tO\nb\0\tO\n", 2, "found a NUL byte"),
        (b"a\tO\rb\tO\r\rc\tO\r", 1, "lines that end with LF or CRLF are needed; found a CR alone"),
        ("a\tO\n".encode("utf-16"), 1, "byte order mark of UTF-16"),
        (b"a\tO\n" + b"b" * LONGEST + b"\tO\n", 2, f"at most {LONGEST} bytes is needed; found a longer one"),
        (b"a\tO\n" * 20_000, LONGEST_SENTENCE + 1, "a blank line after each sentence is needed; found more than"),
    ],
)
def test_malformed(tmp_path: Path, content: bytes, line: int, found: str) -> None:
    path = make(tmp_path / "some.tsv", content)
    for folder in (None, tmp_path / "index"):
        with pytest.raises(DataError, match=f"some.tsv, line {line}: .*{found}") as caught:
            TaggedFile(path, tags=SPANS, index=folder)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "index").exists()


def test_a_long_sentence_is_allowed(tmp_path: Path) -> None:
    rows = TaggedFile(make(tmp_path / "some.tsv", b"a\tO\n" * LONGEST_SENTENCE), tags=SPANS)
    assert [len(each.tags) for each in rows] == [LONGEST_SENTENCE]


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data file .*some.tsv; .*found none"):
        TaggedFile(tmp_path / "some.tsv", tags=SPANS)


def test_a_file_that_has_changed_is_named(tmp_path: Path) -> None:
    path = make(tmp_path / "some.tsv")
    rows = TaggedFile(path, tags=SPANS)
    time = path.stat().st_mtime_ns
    # Of the same size, and so soon afterwards that the clock has not moved; a tag would be the wrong token's.
    for body in (
        b"Ada\tB-PER\n\nL.\tI-PER\nin\tO\nRio\tB-LOC\n",
        b"\nAda\tB-PER\nL.\tI-PER\nin\tO\nRio\tB-LOC\n",
        b"\n" * len(CONTENT),
    ):
        assert len(body) == len(CONTENT)
        os.utime(make(path, body), ns=(time, time))
        for read in (lambda: rows.take([0]), lambda: list(rows)):
            with pytest.raises(DataError, match=r"some.tsv has changed since it was opened"):
                read()
    make(path, CONTENT * 2)
    with pytest.raises(DataError, match=r"some.tsv has changed since it was opened"):
        rows.take([0])


def test_an_index_depends_on_the_tags_and_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    path = make(tmp_path / "some.tsv")
    TaggedFile(path, tags=SPANS, index=folder)
    (kept,) = folder.iterdir()
    whole = kept.read_bytes()
    assert np.load(kept).tolist() == [[0, 20], [1, 4]]
    for lines in ([1, 1], [1, 2], [0, 4], [4, 1]):
        np.save(kept, np.array([[0, 20], lines]))
        assert kept.read_bytes() != whole
        assert TaggedFile(path, tags=SPANS, index=folder) == EXAMPLES
        assert kept.read_bytes() == whole
    assert TaggedFile(path, tags=SPANS[::-1], index=folder)[0].tags == (3, 2)
    with pytest.raises(DataError, match="unknown tag"):
        TaggedFile(path, tags=("O", "B-PER", "I-PER"), index=folder)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("arbitrary")
    return (folder / str(number) for number in count())


parts = st.sampled_from([*"a \u2028\t\nO", "b c", "I-PER", "\n\n", "\r\n", "a\tO\n", "é\tB-LOC\n"])


@given(st.binary(max_size=200) | st.lists(parts, max_size=40).map(lambda each: "".join(each).encode()))
def test_arbitrary_files_are_read_or_refused_in_one_line(names: Iterator[Path], data: bytes) -> None:
    path = make(next(names), data)
    try:
        found = [TaggedFile(path, tags=SPANS, index=path.parent / "index") for _ in range(2)]
    except DataError as error:
        message = str(error)
    else:
        message = ""
        for rows in found:
            assert list(rows) == rows[:] == eager(data, SPANS)
    assert "\n" not in message
    path.unlink()


def eager(data: bytes, tags: tuple[str, ...]) -> list[Example]:
    """The same, in the simplest way; for files that are right."""
    sentences: list[list[str]] = [[]]
    for line in data.removeprefix(b"\xef\xbb\xbf").decode().split("\n"):
        if line.removesuffix("\r").strip(" \r"):
            sentences[-1].append(line.removesuffix("\r"))
        else:
            sentences.append([])
    examples = []
    for sentence in filter(None, sentences):
        columns = [line.split("\t") for line in sentence]
        names = [tag for _, tag in columns]
        names = repaired(names) if "O" in tags else names
        examples.append(tagged([token for token, _ in columns], [tags.index(each) for each in names]))
    return examples


@pytest.mark.parametrize("task", ["wikiann", "udpos"])
def test_real_corpora_are_what_they_are_in_memory(task: str, tmp_path: Path) -> None:
    if not (DATA / task).is_dir():
        pytest.skip(f"KINSHIP_DATA names no folder with {task}/")
    words = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"
    tags = (*SPANS, "B-ORG", "I-ORG") if task == "wikiann" else tuple(words.split())
    paths = sorted((DATA / task).glob("*/dev.tsv"))
    assert len(paths) > 10
    for path in paths:
        for _ in range(2):
            rows = TaggedFile(path, tags=tags, index=tmp_path)
        expected = eager(path.read_bytes(), tags)
        assert list(rows) == expected
        assert rows[::50] == expected[::50]


def test_little_memory(tmp_path: Path) -> None:
    sentence = b"".join(b"%s\tO\n" % (b"token" * 8) for _ in range(10)) + b"\n"
    path = tmp_path / "large.tsv"
    with open(path, "wb") as file:
        for _ in range(10_000):
            file.write(sentence)
    tracemalloc.start()
    try:
        rows = TaggedFile(path, tags=SPANS)
        drawn = rows.take(range(0, 10_000, 100))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e6 < 4e6 < path.stat().st_size
    assert (len(rows), len(drawn)) == (10_000, 100)


sequences = st.lists(st.sampled_from([*SPANS, "B-X-Y", "I-X-Y"]), max_size=12)


@given(sequences)
def test_repaired_spans_are_those_that_seqeval_finds_anyway(tags: list[str]) -> None:
    pytest.importorskip("seqeval")
    from seqeval.metrics.sequence_labeling import get_entities
    from seqeval.scheme import IOB2, Entities

    fixed = repaired(tags)
    strict = [(each.tag, each.start, each.end - 1) for each in Entities([fixed], IOB2).entities[0]]
    assert strict == get_entities(tags) == get_entities(fixed)


@given(sequences)
def test_repair_changes_no_more_than_it_must(tags: list[str]) -> None:
    fixed = repaired(tags)
    assert repaired(fixed) == fixed
    for i, (before, after) in enumerate(zip(tags, fixed, strict=True)):
        continues = i > 0 and tags[i - 1] in (f"B-{before[2:]}", f"I-{before[2:]}")
        assert after == (f"B-{before[2:]}" if before.startswith("I-") and not continues else before)
