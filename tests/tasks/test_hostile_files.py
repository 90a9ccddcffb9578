"""Data files that anybody may have written: whatever is in them, examples or one line that says what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks import afrisenti, udpos, wikiann, xnli
from tasks.base import DataError, Example
from tasks.local_declaration import Declaration, declaration
from tasks.local_files import every_line, opened
from tasks.parquet import ParquetRows
from tasks.tagged_file import TaggedFile
from tasks.text_file import TextFile
from tasks.tsv import parse_tsv
from tasks.udpos_conllu import PRECEDENCE, UPOS, ConlluFile, Range, Word, sentence

TEXT = 'text\tlabel\nein Haus\tgood\nthe ""house""\tbad\nдом 🏠\tgood\n'.encode()
PAIRS = b"premise\thypothesis\tlabel\na b\tc\tentailment\nd\te f\tneutral\n"
TAGGED = "Anna\tB-PER\nlacht\tO\n\nНа\tO\nБайкале\tB-LOC\n \nx\tI-LOC\n".encode()
CONLLU = (
    b"# text = zum Haus\n1-2\tzum\t_\t_\t_\t_\t_\t_\t_\t_\n1\tzu\tzu\tADP\t_\t_\t3\tcase\t_\t_\n"
    b"2\tdem\tder\tDET\t_\t_\t3\tdet\t_\t_\n2.1\tx\t_\t_\t_\t_\t_\t_\t_\t_\n3\tHaus\tHaus\tNOUN\t_\t_\t0\troot\t_\t_\n\n"
) * 2
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TEXTS_YAML = b"name: mine\nkind: text\nlabels: [good, bad]\nmetric: accuracy\nparallel: true\n"
TAGS_YAML = b"name: mine\nkind: tagged\nlabels: [O, B-PER, I-PER, B-LOC, I-LOC]\nmetric: span_f1\nparallel: true\n"


def some(count: int) -> settings:
    """So many examples; thousands where HYPOTHESIS_PROFILE=thorough asks for them."""
    usual = settings.default.max_examples
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count if usual <= 100 else usual, suppress_health_check=health)


def local(text: bytes) -> Callable[[Path], Sequence[Example]]:
    declared = declaration(text, "task.yaml")
    return lambda path: read_both_ways(declared, path)


def read_both_ways(declared: Declaration, path: Path) -> Sequence[Example]:
    """As ``validate`` reads, and as a run does: what the one finds nothing wrong with, the other takes."""
    told: list[Example | DataError] = []
    every_line(declared, path, told.append)
    wrong = [one for one in told if isinstance(one, DataError)]
    assert all(map(in_one_line, wrong))
    if wrong or not told:
        with pytest.raises(DataError):
            opened(declared, path, "train")
        raise (wrong or [DataError("nothing is there")])[0]
    rows = opened(declared, path, "train")
    assert len(rows) == len(told)
    return rows


READERS: dict[str, tuple[bytes, Callable[[Path], Sequence[Example]]]] = {
    "text": (TEXT, lambda path: TextFile(path, text="text", labels=("good", "bad"))),
    "in memory": (TEXT, lambda path: parse_tsv(path.read_bytes(), str(path), "text", ("good", "bad"))),
    "pairs": (
        PAIRS,
        lambda path: TextFile(path, text="premise", pair="hypothesis", labels=xnli.LABELS, quoted=False),
    ),
    "tagged": (TAGGED, lambda path: TaggedFile(path, tags=TAGS)),
    "conllu": (CONLLU, ConlluFile),
    "own texts": (TEXT, local(TEXTS_YAML)),
    "own tags": (TAGGED, local(TAGS_YAML)),
}


def in_one_line(error: DataError) -> bool:
    text = str(error)
    return text.isprintable() and len(text) < 2000


def refused(error: DataError) -> None:
    assert in_one_line(error), error


def harmless(read: Callable[[Path], Sequence[Example]], path: Path) -> None:
    """Examples, the same by an index as in order; or ``DataError`` in one line. Nothing is written."""
    before = sorted(os.listdir(path.parent))
    try:
        rows = read(path)
        every = list(rows)
        assert len(every) == len(rows)
        assert [rows[at] for at in range(len(rows))] == every
        for one in every:
            assert one.text.strip() or not one.tokens
            assert all(token.strip() for token in one.tokens)
    except DataError as error:
        refused(error)
    assert sorted(os.listdir(path.parent)) == before


@pytest.mark.parametrize("kind", READERS)
@given(data=st.data())
@some(12)
def test_files_of_bytes(kind: str, broken: Any, tmp_path: Path, data: st.DataObject) -> None:
    good, read = READERS[kind]
    path = tmp_path / "train.tsv"
    path.write_bytes(good)
    assert len(read(path))
    path.write_bytes(data.draw(broken(good)))
    harmless(read, path)


def parquet(table: Mapping[str, Sequence[Any]]) -> bytes:
    content = BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(dict(table)), content)
    return content.getvalue()


HUB: dict[str, tuple[Any, str | None, dict[str, list[Any]]]] = {
    "wikiann": (wikiann._example, None, {"tokens": [["a", "b"], ["c"]], "ner_tags": [[0, 1], [2]]}),
    "xnli": (xnli._example, "label", {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [0, 1]}),
    "afrisenti": (afrisenti._Hub._example, "label", {"tweet": ["a", "b"], "label": [0, 2]}),
    "udpos": (
        udpos._example,
        None,
        {
            "tokens": [["zu", "dem"], ["c"]],
            "upos": [[2, 8], [0]],
            "head": [["2", "0"], ["0"]],
            "mwt": [[{"id": "1-2", "form": "zum"}], []],
        },
    ),
}


def rows_of(task: str, path: Path) -> ParquetRows:
    example, label, table = HUB[task]
    return ParquetRows([path], list(table), example, label, "a repository")


SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=5), st.binary())
)
COLUMN = st.one_of(
    *(st.lists(one, min_size=2, max_size=2) for one in (st.integers(-9, 99), st.text(max_size=3), st.booleans())),
    *(st.lists(st.lists(one, max_size=3), min_size=2, max_size=2) for one in (st.integers(-9, 99), st.text())),
    st.lists(st.fixed_dictionaries({"id": st.text(max_size=3), "form": st.none()}), min_size=2, max_size=2),
    SCALARS.map(lambda value: [value, value]),
    SCALARS.map(lambda value: [[{"id": value, "form": value}], None]),
)


@pytest.mark.parametrize("task", HUB)
@given(data=st.data())
@some(6)
def test_parquet_of_other_types(task: str, tmp_path: Path, data: st.DataObject) -> None:
    table = dict(HUB[task][2])
    for name in data.draw(st.lists(st.sampled_from(sorted(table)), min_size=1, unique=True)):
        table[name] = data.draw(COLUMN)
    path = tmp_path / "0.parquet"
    path.write_bytes(parquet(table))
    harmless(lambda path: rows_of(task, path), path)


@given(data=st.data())
@some(12)
def test_parquet_with_broken_bytes(broken: Any, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "0.parquet"
    path.write_bytes(data.draw(broken(parquet(HUB["xnli"][2]))))
    harmless(lambda path: rows_of("xnli", path), path)


def test_parquet_that_says_it_has_more_rows_than_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "0.parquet"
    path.write_bytes(parquet(HUB["wikiann"][2]))
    assert len(rows_of("wikiann", path)) == 2
    monkeypatch.setattr("tasks.parquet._MOST", 1)
    with pytest.raises(DataError, match="at most 1 rows are allowed; found 2"):
        rows_of("wikiann", path)
    monkeypatch.undo()
    monkeypatch.setattr("tasks.parquet._LARGEST", 10)
    with pytest.raises(DataError, match="none of text"):
        list(rows_of("wikiann", path))


def by_walking(words: Sequence[Word], at: int) -> int:
    steps = 0
    while 0 < at <= len(words) and steps < len(words):
        at = words[at - 1].head or 0
        steps += 1
    return steps


@given(heads=st.lists(st.integers(0, 9) | st.none(), min_size=1, max_size=8), data=st.data())
@some(30)
def test_the_head_of_a_contraction_by_walking_from_every_word(
    heads: list[int | None], data: st.DataObject
) -> None:
    words = [Word(f"w{i}", data.draw(st.sampled_from(UPOS)), head) for i, head in enumerate(heads)]
    first = data.draw(st.integers(1, len(words)))
    last = data.draw(st.integers(first, len(words)))
    found = sentence(words, [Range(first, last, "all")])
    head = min(
        range(first, last + 1), key=lambda at: (by_walking(words, at), PRECEDENCE.index(words[at - 1].tag), at)
    )
    assert found.tags[found.tokens.index("all")] == UPOS.index(words[head - 1].tag)


def test_a_long_chain_of_heads_is_walked_once() -> None:
    class Counted(Sequence[Word]):
        asked = 0

        def __len__(self) -> int:
            return 3000

        def __getitem__(self, at: Any) -> Any:
            if isinstance(at, slice):
                return [self[place] for place in range(*at.indices(len(self)))]
            Counted.asked += 1
            return Word("w", "NOUN", at)  # the word before: the root is the first

        def __iter__(self) -> Iterator[Word]:
            return (self[at] for at in range(len(self)))

    assert sentence(Counted(), [Range(1, 3000, "all")]).tokens == ("all",)
    assert Counted.asked < 10 * 3000
