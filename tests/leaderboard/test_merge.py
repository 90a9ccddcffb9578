from __future__ import annotations

import json

import pytest

from leaderboard.merge import merge
from leaderboard.records import path_for, write


def put(folder, *records):
    for record in records:
        write(record, folder / path_for(record))
    return folder


def only(merged):
    ((records,), (paths,)) = merged.tables.values(), merged.origins.values()
    return records, paths


def changed(record, **parts):
    return type(record).model_validate(record.model_dump() | parts)


def test_a_record_made_twice_is_counted_once(make_record, tmp_path):
    record = make_record("a")
    elsewhere = changed(
        record,
        cost={"trainings": 1, "seconds": 9.0, "peak_memory_mb": 1.0},
        provenance=record.provenance.model_dump() | {"device": "cuda"},
    )
    merged = merge([put(tmp_path / "one", record), put(tmp_path / "two", elsewhere)])
    records, paths = only(merged)
    assert records == {"a": record}
    assert paths["a"].is_relative_to(tmp_path / "one")
    assert merged.warnings == []


@pytest.mark.parametrize("order", [("poor", "rich"), ("rich", "poor")])
@pytest.mark.parametrize(
    "less",
    [
        {"groups": None, "objective": None},
        {"correlation": None},
        {"skipped": "a: no package", "similarity": {"matrix": [[None] * 5] * 5, "symmetric": True}},
    ],
)
def test_the_record_that_knows_more_is_kept(make_record, tmp_path, order, less):
    rich = make_record("a")
    folders = {"rich": put(tmp_path / "rich", rich), "poor": put(tmp_path / "poor", changed(rich, **less))}
    merged = merge([folders[name] for name in order])
    assert only(merged)[0] == {"a": rich}
    (line,) = merged.warnings
    assert line.index(str(folders["rich"])) < line.index(str(folders["poor"]))
    assert "kept" in line
    assert "left out" in line
    assert "\n" not in line


def test_a_skipped_record_gives_way_however_much_it_says(make_record, tmp_path):
    bare = changed(make_record("a"), groups=None, objective=None, correlation=None, scores={})
    skipped = changed(make_record("a"), skipped="a: reason")
    merged = merge([put(tmp_path / "one", skipped), put(tmp_path / "two", bare)])
    assert only(merged)[0] == {"a": bare}


def test_of_equally_knowing_records_the_first_folder_s_is_kept(make_record, tmp_path):
    first, second = put(tmp_path / "z", make_record("a", 0.6)), put(tmp_path / "a", make_record("a", 0.7))
    merged = merge([first, second])
    assert only(merged)[0]["a"].scores.grouped.mean == 0.6
    assert len(merged.warnings) == 1
    assert only(merge([second, first]))[0]["a"].scores.grouped.mean == 0.7


def test_parameters_tell_measures_apart_and_protocols_tables(make_record, tmp_path):
    one = put(tmp_path / "one", make_record("a"), make_record("a", protocol_id="p2"))
    two = put(tmp_path / "two", make_record("a", measure_params={"n": 2}))
    merged = merge([one, two])
    assert {key: sorted(records) for key, records in merged.tables.items()} == {
        ("afrisenti", "p1"): ["a", "a[n=2]"],
        ("afrisenti", "p2"): ["a"],
    }
    assert merged.warnings == []


def test_a_folder_named_twice_is_read_once(make_record, tmp_path):
    folder = put(tmp_path / "one", make_record("a"))
    (folder / "t" / "p").mkdir(parents=True)
    (folder / "t" / "p" / "cut.json").write_text("{")
    assert len(merge([folder, tmp_path / "one" / ".." / "one"]).warnings) == 1


def test_another_protocol_under_the_same_id_is_no_row_of_the_table(make_record, tmp_path):
    one = put(tmp_path / "one", make_record("a"))
    forged = make_record("b", protocol=make_record("b").protocol | {"model": "other"})
    merged = merge([one, put(tmp_path / "two", forged)])
    assert list(only(merged)[0]) == ["a"]
    assert "another protocol" in merged.warnings[0]


def test_records_of_unlike_trainings_are_told(make_record, tmp_path):
    one = put(tmp_path / "one", make_record("a"))
    other = make_record("b").model_dump()
    other["transfer"]["test"][0][1] += 0.01
    merged = merge([one, put(tmp_path / "two", changed(make_record("b"), transfer=other["transfer"]))])
    assert sorted(only(merged)[0]) == ["a", "b"]
    assert len(merged.warnings) == 1
    assert "1 of 2 records" in merged.warnings[0]
    assert "another transfer matrix" in merged.warnings[0]


def test_whatever_lies_about_is_named_and_stops_nobody(make_record, tmp_path):
    folder = put(tmp_path / "one", make_record("a"))
    place = folder / "afrisenti" / "p1"
    text = next(place.glob("*.json")).read_text()
    spoilt = {
        "binary": b"\xff\xfe\x00",
        "cut": text[: len(text) // 2].encode(),
        "deep": b"[" * 100_000,
        "list": b"[1, 2]",
        "nan": text.replace('"objective": 0.25', '"objective": NaN').encode(),
        "old": json.dumps(json.loads(text) | {"schema_version": 0}).encode(),
        "unknown": json.dumps(json.loads(text) | {"fantasy": 1}).encode(),
    }
    for name, content in spoilt.items():
        (place / f"{name}.json").write_bytes(content)
    merged = merge([folder])
    assert only(merged)[0] == {"a": make_record("a")}
    assert len(merged.warnings) == len(spoilt)
    for name, line in zip(sorted(spoilt), merged.warnings, strict=True):
        assert line.startswith("skipped ")
        assert f"{name}.json" in line
        assert "\n" not in line
