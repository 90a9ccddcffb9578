"""Parquet files that stay on disk: the rows asked for and no others, and what is refused."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import DataError, Example, tagged
from tasks.parquet import ParquetRows

COLUMNS = ("text", "label")


def example(row: Mapping[str, Any], where: str) -> Example:
    if not isinstance(row["text"], str) or not row["text"].strip():
        raise DataError(f"{where}: a text is needed; found {row['text']!r}")
    return Example(row["text"], row["label"])


def make(path: Path, labels: Any, texts: list[str | None] | None = None, rows: int = 3) -> Path:
    """A file with row groups of ``rows`` rows; texts are the rows' numbers."""
    found = [str(i) for i in range(len(labels))] if texts is None else texts
    pq.write_table(pa.table({"other": found, "text": found, "label": labels}), path, row_group_size=rows)
    return path


def opened(*paths: Path, label: str | None = "label") -> ParquetRows:
    return ParquetRows(paths, COLUMNS, example, label, "someone/things")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> ParquetRows:
    folder = tmp_path_factory.mktemp("parquet")
    sizes = {"a": (0, 3), "b": (7, 3), "c": (2500, 2000), "d": (1, 1)}
    return opened(
        *(make(folder / name, pa.array(np.arange(n) % 3), rows=group) for name, (n, group) in sizes.items())
    )


EXPECTED = [Example(str(i), i % 3) for size in (7, 2500, 1) for i in range(size)]


def test_every_way_to_read(rows: ParquetRows) -> None:
    assert len(rows) == len(EXPECTED)
    assert rows.labels.tolist() == [each.label for each in EXPECTED]
    assert rows.labels.dtype == np.int64
    assert list(rows) == list(rows) == EXPECTED
    assert rows[:] == EXPECTED
    assert rows[::-500] == EXPECTED[::-500]
    assert rows[-1] == EXPECTED[-1]
    assert rows.take([]) == []
    for wrong in (-1, len(EXPECTED)):
        with pytest.raises(IndexError):
            rows.take([0, wrong])


@given(st.lists(st.integers(0, len(EXPECTED) - 1), max_size=10))
def test_any_places(rows: ParquetRows, places: list[int]) -> None:
    assert rows.take(places) == [EXPECTED[place] for place in places]


def test_no_files_are_no_examples() -> None:
    assert list(opened()) == opened().take([]) == []


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int32(), pa.uint64()])
def test_integers_of_any_width(tmp_path: Path, kind: Any) -> None:
    assert opened(make(tmp_path / "a", pa.array([2, 0], kind))).labels.tolist() == [2, 0]


def test_tagged_tokens_have_no_labels(tmp_path: Path) -> None:
    table = pa.table({"tokens": [["a", "b"], ["c"]], "ner_tags": [[0, 1], [2]], "langs": [["x", "x"], ["x"]]})
    pq.write_table(table, tmp_path / "a")
    rows = ParquetRows(
        [tmp_path / "a"],
        ("tokens", "ner_tags"),
        lambda row, where: tagged(row["tokens"], row["ner_tags"], item=where),
        None,
        "someone/things",
        names=["x/a"],
    )
    assert rows.labels.tolist() == [0, 0]
    assert rows[1] == tagged(["c"], [2], item="x/a of someone/things, row 1")


def test_only_the_row_groups_and_columns_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[int] | None, list[str]]] = []
    batches = pq.ParquetFile.iter_batches

    def noted(self: Any, *args: Any, **more: Any) -> Any:
        asked.append((more.get("row_groups"), more["columns"]))
        return batches(self, *args, **more)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    rows = opened(make(tmp_path / "a", [0] * 12), make(tmp_path / "b", [1] * 12))
    assert asked == [(None, ["label"])] * 2
    del asked[:]
    assert [each.text for each in rows.take([1, 2, 9, 14])] == ["1", "2", "9", "2"]
    assert asked == [([group], list(COLUMNS)) for group in (0, 3, 0)]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([0, 1, 2, -1], "b of someone/things, row 3: a label is needed, a class index; found -1"),
        ([0, None, 2, -1], "b of someone/things, row 1: a label is needed, a class index; found None"),
        (["0", "1"], "b of someone/things: class indices are needed in the column label; found string"),
        ([0.0, 1.0], "class indices are needed in the column label; found double"),
        (pa.array([2**64 - 1], pa.uint64()), "cannot read b of someone/things"),
    ],
)
def test_labels_that_are_none(tmp_path: Path, labels: Any, found: str) -> None:
    first = make(tmp_path / "a", [0] * 5)
    with pytest.raises(DataError, match=found) as caught:
        opened(first, make(tmp_path / "b", labels, rows=2))
    assert "\n" not in str(caught.value)


def test_labels_far_into_a_file(tmp_path: Path) -> None:
    labels = [0] * 200_000
    labels[-2] = -1
    with pytest.raises(DataError, match="row 199998: a label is needed"):
        opened(make(tmp_path / "a", labels, ["a"] * len(labels), rows=len(labels)))


def test_rows_that_are_no_examples(tmp_path: Path) -> None:
    rows = opened(make(tmp_path / "a", [0] * 5, ["a", " ", "c", "d", None], rows=2))
    assert rows.take([0, 3]) == [Example("a", 0), Example("d", 0)]
    with pytest.raises(DataError, match=r"^a of someone/things, row 1: a text is needed; found ' '$"):
        list(rows)
    with pytest.raises(DataError, match="row 4: a text is needed; found None"):
        rows.take([0, 4])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a", [0] * 5)
    with pytest.raises(DataError, match=r"a of x lacks a column; needed: text, gold; found: other, text, label$"):
        ParquetRows([path], ("text",), example, "gold", "x")
    with pytest.raises(DataError, match=r"a of x lacks a column; needed: texts; found: other, text, label$"):
        ParquetRows([path], ("texts",), example, None, "x")
    for content in (b"", b"<html>\nsorry", path.read_bytes()[:-20]):
        (tmp_path / "b").write_bytes(content)
        for label in ("label", None):
            with pytest.raises(DataError, match=r"cannot read b of .*; a Parquet file is needed") as caught:
                opened(tmp_path / "b", label=label)
            assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="cannot read none of someone/things"):
        opened(tmp_path / "none")


def test_damage_inside(tmp_path: Path) -> None:
    """The end of a file, which tells what is in it, is whole."""
    path = make(tmp_path / "a", [0] * 1000, [f"text {i}" for i in range(1000)], rows=1000)
    rows = opened(path)
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    content = bytearray(path.read_bytes())
    begin = column.dictionary_page_offset
    content[begin : begin + 40] = b"\xff" * 40
    path.write_bytes(content)
    for read in (lambda: rows.take([1]), lambda: list(rows)):
        with pytest.raises(DataError, match="cannot read a of someone/things") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_fewer_rows_than_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "a", [0] * 5, rows=5)
    rows = opened(path)
    batches = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile,
        "iter_batches",
        lambda self, *args, **more: (each.slice(0, 3) for each in batches(self, *args, **more)),
    )
    for read, needed in ((lambda: rows.take([0, 4]), 2), (lambda: list(rows), 5), (lambda: opened(path), 5)):
        with pytest.raises(DataError, match=f"cannot read a of .*; {needed} rows are needed, as it says itself"):
            read()


def test_a_file_that_has_changed_is_named(tmp_path: Path) -> None:
    rows = opened(make(tmp_path / "a", [0, 1, 2]))
    make(tmp_path / "a", [0, 1])
    with pytest.raises(DataError, match="a of someone/things has changed since it was opened; 3 rows are needed"):
        rows.take([0])
    make(tmp_path / "a", [0, 2, 2])
    assert rows[0] == Example("0", 0)
    with pytest.raises(DataError, match="row 1: the label 1 is needed, as when the file was opened; found 2"):
        list(rows)


def test_little_memory(tmp_path: Path) -> None:
    size = 200_000
    with pq.ParquetWriter(tmp_path / "a", pa.schema({"text": pa.string(), "label": pa.int64()})) as file:
        for start in range(0, size, 20_000):
            numbers = range(start, start + 20_000)
            texts = [f"{i} {'lorem ipsum ' * 20}" for i in numbers]
            file.write_table(pa.table({"text": texts, "label": [i % 3 for i in numbers]}))
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        rows = opened(tmp_path / "a")
        drawn = rows.take(range(0, size, size // 100))
        peak = tracemalloc.get_traced_memory()[1]
        kept = pa.total_allocated_bytes() - before
    finally:
        tracemalloc.stop()
    assert peak < 20e6
    assert kept < 1e6
    assert [each.text.split()[0] for each in drawn] == [str(i) for i in range(0, size, 2000)]
    assert [each.label for each in drawn] == rows.labels[::2000].tolist()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("damage") / "whole", [0, 1, 2, 0], rows=2)


@given(st.lists(st.tuples(st.integers(min_value=0), st.integers(0, 255)), min_size=1, max_size=3))
def test_damaged_files_are_read_or_refused_in_one_line(whole: Path, damage: list[tuple[int, int]]) -> None:
    path, content = whole.with_name("damaged"), bytearray(whole.read_bytes())
    for place, value in damage:
        content[place % len(content)] = value
    path.write_bytes(content)
    message = ""
    try:
        found = opened(path)
        assert found.take(range(len(found))) == list(found)
    except DataError as error:
        message = str(error)
    assert "\n" not in message
