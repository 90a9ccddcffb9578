from __future__ import annotations

import pytest

from leaderboard.board import NoRecordsError, collect, rebuild, stale
from leaderboard.records import path_for, write

FILES = ["index.html", *(f"leaderboard.{suffix}" for suffix in ("csv", "json", "md"))]


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
    assert text.count("| measure") == 4 * 3 + 1  # foresight, worth, cost, groups; and across tasks
    assert board.plain().count("· protocol p1") == 2


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
    (folder / "copy.json").write_bytes(good.read_bytes())  # says nothing new
    (folder / "cut.json").write_text(good.read_text()[:100])
    (folder / "foreign.json").write_text('{"a": 1}')
    (folder / "later.json").write_text('{"schema_version": 9}')
    (folder / "folder.json").mkdir()
    (folder / "notes.txt").write_text("hello")
    board = rebuild(tmp_path)
    assert len(board.warnings) == 4
    for warning, part in zip(board.warnings, ("cut", "folder", "foreign", "later"), strict=True):
        assert f"{part}.json" in warning
        assert "\n" not in warning
    assert "expected 1, found 9" in board.warnings[-1]
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


def test_several_folders_make_one_board_written_in_the_first(make_record, tmp_path):
    ours, theirs, all_in_one = tmp_path / "ours", tmp_path / "theirs", tmp_path / "all"
    put(ours, make_record("a"))
    put(theirs, make_record("b", 0.7), make_record("a"), make_record("a", task="t"))
    put(all_in_one, make_record("a"), make_record("b", 0.7), make_record("a", task="t"))
    rebuild(all_in_one)
    board = rebuild(ours, [theirs])
    assert board.warnings == []
    assert contents(ours) == contents(all_in_one)
    assert sorted(p.name for p in theirs.iterdir()) == ["afrisenti", "t"]
    assert rebuild(tmp_path / "new", [theirs, ours]).tables == board.tables
    assert contents(tmp_path / "new") == contents(ours)


def test_stale_tables_are_found_and_nothing_is_written(make_record, tmp_path):
    put(tmp_path, make_record("a"))
    rebuild(tmp_path)
    before = contents(tmp_path)
    assert stale(tmp_path, collect(tmp_path)) == []
    put(tmp_path, make_record("a", 0.61))
    lines = stale(tmp_path, collect(tmp_path))
    assert [line.split(":")[0].rsplit("/")[-1] for line in lines] == [
        *(f"leaderboard.{s}" for s in ("md", "csv", "json")),
        "index.html",
    ]
    assert "first in line 2" in lines[1]
    assert contents(tmp_path) == before
    put(tmp_path, make_record("a"))
    table = tmp_path / "leaderboard.md"
    for spoilt in (before["leaderboard.md"].replace(b"\n", b"\r\n"), before["leaderboard.md"] + b"\n", b""):
        table.write_bytes(spoilt)
        (line,) = stale(tmp_path, collect(tmp_path))
        assert "leaderboard.md: does not follow" in line
    (tmp_path / "index.html").unlink()  # the page need not be kept
    table.unlink()
    (line,) = stale(tmp_path, collect(tmp_path))
    assert "No such file" in line
