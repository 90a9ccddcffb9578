from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from leaderboard import files
from leaderboard.records import Record, RecordError, path_for, read, write, write_if_changed
from leaderboard.statistics import correlations, objective_gain


def with_scores(record, **scores):
    return record.model_copy(update={"scores": record.scores.model_copy(update=scores)})


def test_a_record_reads_back_the_same(make_record, tmp_path):
    record = make_record(measure_params={"blocks": "body", "steps": 12, "scale": 0.1 + 0.2})
    path = tmp_path / "new" / "folder" / "r.json"
    write(record, path)
    assert read(path) == record
    text = path.read_text()
    assert text.endswith("}\n")
    assert not text.endswith("\n\n")
    again = tmp_path / "again.json"
    write(read(path), again)
    assert again.read_bytes() == path.read_bytes()
    assert sorted(p.name for p in path.parent.iterdir()) == ["r.json"]


def test_the_text_is_canonical_and_readable(make_record, tmp_path):
    record = make_record(measure_params={"b": 1, "a": 2}, protocol={"z": {"y": (1, 2), "x": 1}, "model": "m"})
    same = make_record(measure_params={"a": 2, "b": 1}, protocol={"model": "m", "z": {"x": 1, "y": [1, 2]}})
    write(record, tmp_path / "1.json")
    write(same, tmp_path / "2.json")
    text = (tmp_path / "1.json").read_text()
    assert text == (tmp_path / "2.json").read_text()
    assert list(json.loads(text)) == list(Record.model_fields)
    assert "      [null, null, null, null, null]\n" in text  # a row of a matrix per line
    assert '  "languages": ["amh", "hau", "swa", "tso", "orm"],\n' in text


@given(row=st.lists(st.floats(-1e100, 1e100), min_size=5, max_size=5))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_floats_round_trip(make_record, tmp_path, row):
    record = make_record(similarity={"matrix": [row] * 5, "coverage": None, "symmetric": False})
    write(record, tmp_path / "r.json")
    assert read(tmp_path / "r.json").similarity.matrix == record.similarity.matrix


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), np.float64(1.5).astype(np.float32), object(), "\udcff"]
)
def test_what_json_cannot_hold_is_not_written(make_record, tmp_path, value):
    path = tmp_path / "r.json"
    record = make_record(protocol={"lr": value})
    for function in (write, write_if_changed):
        with pytest.raises(RecordError) as caught:
            function(record, path)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_schema_refuses_what_is_not_finite(make_record):
    with pytest.raises(ValidationError):
        make_record(objective=float("nan"))
    with pytest.raises(ValidationError):
        make_record(measure_params={"a": float("inf")})


def broken(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


BROKEN = {
    "empty": lambda text: "",
    "cut": lambda text: text[:300],
    "binary": lambda text: b"\xff\xfe\x00",
    "another thing": lambda text: '{"a": 1}',
    "a list": lambda text: "[1, 2]",
    "deep": lambda text: "[" * 100_000,
    "nan": lambda text: broken(text, '"objective": 0.25', '"objective": NaN'),
    "overflow": lambda text: broken(text, '"lr": 2e-05', '"lr": 1e999'),
    "later schema": lambda text: broken(text, '"schema_version": 1', '"schema_version": 2'),
    "unknown field": lambda text: broken(text, '"task"', '"color": 1, "task"'),
    "row missing": lambda text: broken(text, "[null, null, null, null, null]", "[null]"),
    "unknown language": lambda text: broken(text, '["amh", "tso"]', '["xxx", "tso"]'),
    "twice in groups": lambda text: broken(text, '["amh", "tso"]', '["hau", "tso"]'),
    "language twice": lambda text: broken(text, '["amh", "hau", "swa"', '["amh", "amh", "swa"'),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_reading_what_is_no_record_is_one_line(make_record, tmp_path, kind):
    path = tmp_path / "r.json"
    write(make_record(), path)
    text = BROKEN[kind](path.read_text())
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecordError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < len(str(path)) + 200


def test_a_missing_file_is_a_record_error(tmp_path):
    with pytest.raises(RecordError, match="No such file"):
        read(tmp_path / "none.json")
    with pytest.raises(RecordError):
        read(tmp_path)


def test_a_failed_write_leaves_the_old_file(make_record, tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    write(make_record(), path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write(make_record(score=0.9), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["r.json"]


def test_paths_are_safe_and_told_apart(make_record):
    path = path_for(make_record("gradsim", measure_params={"blocks": "body"}))
    assert path.parent == Path("afrisenti/p1")
    assert path.name.startswith("gradsim-")
    assert len(path.stem) == len("gradsim-") + 8
    assert path == path_for(make_record("gradsim", measure_params={"blocks": "body"}, score=0.1))
    assert path != path_for(make_record("gradsim", measure_params={"blocks": "head"}))
    assert path != path_for(make_record("gradsim"))
    names = ["a/b", "a_b", "a[b=1]", "..", ".", "", "x" * 300, "x" * 301, "../../etc", "C:\\a", "ƙ", "a\nb"]
    paths = [path_for(make_record(task=name)) for name in names]
    assert len(set(paths)) == len(names)
    for one in paths:
        assert len(one.parts) == 3
        assert not set(one.parts[0]) & set("/\\[]:*?\n")
        assert one.parts[0].strip(".")
        assert len(one.parts[0]) < 200


def test_strategies_have_files_of_their_own(make_record):
    plain = path_for(make_record("gradsim"))
    names = ["pcgrad", "gradvac", "gradvac[beta=0.5]", "gradvac[beta=0.25]", "a/b", "x" * 300]
    paths = [path_for(make_record("gradsim", strategy=name)) for name in names]
    assert len({plain, *paths}) == len(names) + 1
    assert {path.parent for path in paths} == {plain.parent}
    for path in paths:
        assert path.name.startswith(f"{plain.stem}@")
        assert not set(path.name) & set("/\\[]:*?\n")
        assert len(path.name) < 200
    # No measure is called so that it would take the place of another's strategy.
    assert path_for(make_record(f"{plain.stem}@pcgrad")) not in paths


def test_what_strategies_add_reads_back_the_same(make_record, tmp_path):
    shots = {"zul": {"0": {"scores": [0.25, 0.5], "mean": 0.375}, "16": {"scores": [0.5, 0.5], "mean": 0.5}}}
    told = {"0": {"conflicts": [0.5, None], "blocks": {"head": 1e-7}}}
    data = make_record("joint", strategy="pcgrad").model_dump(mode="json") | {"shots": shots, "training": told}
    data["scores"]["plain"] = data["scores"]["grouped"]
    data["intervals"]["over_plain"] = {"seeds": None, "items": [-0.5, 0.5]}
    record = Record.model_validate(data)
    write(record, tmp_path / "r.json")
    assert read(tmp_path / "r.json") == record
    assert json.loads((tmp_path / "r.json").read_text()) == data


def test_what_strategies_add_must_fit_the_languages(make_record, tmp_path):
    path = tmp_path / "r.json"
    record = make_record()
    shots = {"hau": {"0": {"scores": [0.5], "mean": 0.5}}}
    with pytest.raises(RecordError, match="shots: hau among the languages, expected others"):
        write(Record.model_validate(record.model_dump() | {"shots": shots}), path)
    plain = record.scores.grouped.model_copy(update={"per_language": {"zul": 0.5}})
    with pytest.raises(RecordError, match=r"scores\.plain: zul not among the languages"):
        write(with_scores(record, plain=plain), path)


def test_only_provenance_changed_is_not_rewritten(make_record, tmp_path):
    path = tmp_path / "r.json"
    record = make_record(protocol={"seeds": (1, 2)})
    assert write_if_changed(record, path)
    before = path.read_bytes()
    later = record.provenance.model_copy(update={"started": "2027", "threads": 8})
    assert not write_if_changed(record.model_copy(update={"provenance": later}), path)
    assert path.read_bytes() == before
    changed = record.model_copy(update={"objective": 0.5, "provenance": later})
    assert write_if_changed(changed, path)
    assert read(path).provenance.started == "2027"


def test_a_record_is_not_replaced_by_one_that_knows_less(make_record, tmp_path):
    path = tmp_path / "r.json"
    record = make_record()
    write(record, path)
    cheaper = record.cost.model_copy(update={"trainings": 3})
    less = with_scores(record, random=None).model_copy(update={"cost": cheaper})
    assert not write_if_changed(less, path)
    ungrouped = with_scores(less, grouped=None).model_copy(
        update={"groups": None, "objective": None, "intervals": type(record.intervals)()}
    )
    assert not write_if_changed(ungrouped, path)
    assert read(path) == record
    # More knowledge, other numbers or another protocol do replace it.
    assert write_if_changed(less.model_copy(update={"objective": 0.1}), path)
    assert write_if_changed(record, path)
    assert write_if_changed(less.model_copy(update={"protocol_id": "p2"}), path)
    path.write_text("{")
    assert write_if_changed(record, path)
    assert read(path) == record


def test_correlations_fit_a_record(make_record, tmp_path):
    rng = np.random.default_rng(0)
    S, T = rng.random((2, 5, 5))
    T[4] = np.nan
    found = correlations(S, T, T, [T], seed=0, draws=100, permutations=99)
    record = make_record().model_copy(update={"correlation": found})
    write(record, tmp_path / "r.json")
    assert read(tmp_path / "r.json").correlation == found


def test_groups_overlap_only_in_a_cover(make_record, tmp_path):
    groups = [["amh", "hau"], ["hau", "swa", "tso"]]
    served = {"amh": 0, "hau": 1, "swa": 1, "tso": 1}
    with pytest.raises(RecordError, match="in more than one"):
        write(make_record(groups=groups), tmp_path / "r.json")
    write(make_record(groups=groups, served=served), tmp_path / "r.json")
    assert read(tmp_path / "r.json").served == served
    with pytest.raises(RecordError, match="not in the group that serves it"):
        write(make_record(groups=groups, served=served | {"swa": 0}), tmp_path / "r.json")
    with pytest.raises(RecordError, match="not in the group that serves it"):
        write(make_record(groups=groups, served=served | {"swa": 2}), tmp_path / "r.json")
    with pytest.raises(RecordError, match="expected every language"):
        write(make_record(groups=groups, served={"amh": 0}), tmp_path / "r.json")


def test_views_have_the_shape_of_the_matrix(make_record, tmp_path):
    similarity = make_record().similarity.model_dump()
    matrix = similarity["matrix"]
    write(make_record(similarity=similarity | {"views": {"head": matrix}}), tmp_path / "r.json")
    with pytest.raises(RecordError, match=r"views\[head\]: expected 5 rows"):
        write(make_record(similarity=similarity | {"views": {"head": matrix[:-1]}}), tmp_path / "r.json")


def test_a_skip_takes_no_answer_away(make_record, tmp_path):
    path = tmp_path / "r.json"
    answered, skipped = make_record(), make_record(skipped="typology: no package", correlation=None)
    assert write_if_changed(skipped, path)
    assert not write_if_changed(skipped, path)
    assert write_if_changed(answered, path)
    assert not write_if_changed(skipped, path)
    assert read(path) == answered


def test_what_objectives_foretold_is_optional_and_older_records_stay_readable(make_record, tmp_path):
    found = objective_gain([0.1, 0.2, 0.3, 0.4], [0.5, 0.7, 0.6, 0.8])
    path = tmp_path / "r.json"
    record = make_record(objective_gain=found.model_dump())
    write(record, path)
    assert read(path).objective_gain == found
    older = make_record()
    write(older, path)
    assert '  "objective_gain": null,\n' in path.read_text()
    path.write_text(path.read_text().replace('  "objective_gain": null,\n', ""))
    assert read(path) == older
    assert not write_if_changed(older, path)
    assert write_if_changed(record, path)
    with pytest.raises(ValidationError):
        make_record(objective_gain=found.model_dump() | {"spearman": None})
