from __future__ import annotations

import pytest

from leaderboard.board import NoRecordsError, rebuild
from leaderboard.records import path_for, write

FILES = ["leaderboard.csv", "leaderboard.json", "leaderboard.md"]


def put(folder, *records):
    for record in records:
        write(record, folder / path_for(record))


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def test_one_table_per_task_and_protocol(make_record, tmp_path):
    put(
        tmp_path,
        make_record("a"),
        make_record("b"),
        make_record("a", protocol_id="p2"),
        make_record("a", task="t"),
    )
    board = rebuild(tmp_path)
    assert [(t.task, t.protocol_id) for t in board.tables] == [
        ("afrisenti", "p1"),
        ("afrisenti", "p2"),
        ("t", "p1"),
    ]
    assert [sum(row["kind"] == "measure" for row in t.rows) for t in board.tables] == [2, 1, 1]
    assert board.warnings == []
    text = (tmp_path / "leaderboard.md").read_text()
    assert text == board.markdown()
    assert text.count("| measure") == 6
    assert board.plain().count("protocol p1") == 2


def test_same_records_same_bytes_and_files_left_alone(make_record, tmp_path):
    records = [make_record("a"), make_record("b", 0.7), make_record("oracle")]
    one, other = tmp_path / "one", tmp_path / "other"
    put(one, *records)
    put(other, *reversed(records))
    rebuild(one)
    rebuild(other)
    assert contents(one) == contents(other)
    before = {name: (one / name).stat().st_ino for name in FILES}
    rebuild(one)  # its own output is no record
    assert {name: (one / name).stat().st_ino for name in FILES} == before
    put(one, make_record("c"))
    rebuild(one)
    assert contents(one) != contents(other)
    assert sorted(p.name for p in one.iterdir()) == ["afrisenti", *FILES]


def test_what_is_no_record_is_skipped_with_a_line(make_record, tmp_path):
    put(tmp_path, make_record("a"))
    folder = tmp_path / "afrisenti" / "p1"
    good = next(folder.iterdir())
    (folder / "copy.json").write_bytes(good.read_bytes())
    (folder / "cut.json").write_text(good.read_text()[:100])
    (folder / "foreign.json").write_text('{"a": 1}')
    (folder / "later.json").write_text('{"schema_version": 9}')
    (folder / "folder.json").mkdir()
    (folder / "notes.txt").write_text("hello")
    board = rebuild(tmp_path)
    assert len(board.warnings) == 5
    for warning, part in zip(board.warnings, ("copy", "cut", "folder", "foreign", "later"), strict=True):
        assert f"{part}.json" in warning or part == "copy"
        assert "\n" not in warning
    assert len([row for row in board.tables[0].rows if row["kind"] == "measure"]) == 1


def test_a_folder_without_records(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(NoRecordsError, match="found none"):
            rebuild(folder)
    (tmp_path / "t" / "p").mkdir(parents=True)
    (tmp_path / "t" / "p" / "x.json").write_text("{")
    with pytest.raises(NoRecordsError, match="1 unusable"):
        rebuild(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t"]
