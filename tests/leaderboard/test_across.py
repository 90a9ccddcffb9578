from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from scipy.stats import rankdata

from leaderboard.across import across, part
from leaderboard.formats import csv_text, json_text, markdown_across, plain_across
from leaderboard.latex import latex_across
from leaderboard.rows import COLUMNS
from leaderboard.tables import table


def headline(make_record, values, task="one", model="scratch", protocol_id="p", **changes):
    """A table of measures with these headlines; None for a measure that was skipped."""
    records = []
    protocol = make_record().protocol | {"model": model}
    known = make_record().correlation.model_dump()
    for called, value in values.items():
        of = {"task": task, "protocol": protocol, "protocol_id": protocol_id} | changes
        if value is None:
            of |= {"skipped": f"{called}: no package", "correlation": None, "scores": {}, "groups": None}
        else:
            of["correlation"] = known | {"centred_per_target_spearman": value}
        records.append(make_record(called, **of))
    return table(records)


FIRST = {"a": 0.9, "b": 0.5, "c": 0.5, "partial": 0.8, "gone": None, "oracle": 1.0}
SECOND = {"a": 0.1, "b": 0.3, "c": 0.2, "partial": None, "late": 0.6, "oracle": 1.0}
THIRD = {"a": 0.1, "b": -0.3, "c": 0.2, "partial": 0.2, "late": 0.9, "gone": 0.9}


def test_mean_ranks_are_over_complete_rows_alone(make_record):
    tables = [headline(make_record, values, task) for task, values in (("x", FIRST), ("y", SECOND), ("z", THIRD))]
    (found,) = across(tables)
    complete = ["a", "b", "c"]
    ranks = [rankdata([-values[called] for called in complete]) for values in (FIRST, SECOND, THIRD)]
    expected = dict(zip(complete, np.mean(ranks, axis=0), strict=True))
    ranked = [row for row in found.rows if row["rank"] is not None]
    assert {row["name"]: row["mean_rank"] for row in ranked} == pytest.approx(expected)
    assert [row["mean_rank"] for row in ranked] == sorted(expected.values())
    # What lacks a task is shown, with what it lacks, and not ranked; controls take no part.
    assert {row["name"]: row["tasks_lacking"] for row in found.rows[3:]} == {
        "late": ["x"],
        "partial": ["y"],
        "gone": ["x", "y"],
    }
    assert all(row["mean_rank"] is None and row["rank"] is None for row in found.rows[3:])
    assert found.headline["partial"] == {"x": 0.8, "y": None, "z": 0.2}
    assert found.tasks == ["x", "y", "z"]
    assert all(tuple(row) == COLUMNS and row["kind"] == "across" for row in found.rows)
    assert across(tables[::-1]) == [found]


def test_equal_mean_ranks_share_a_place(make_record):
    one, other = {"a": 0.3, "b": 0.2, "c": 0.1}, {"a": 0.2, "b": 0.3, "c": 0.1}
    (found,) = across([headline(make_record, one, "x"), headline(make_record, other, "y")])
    assert [(r["name"], r["rank"], r["rank_shared_by"]) for r in found.rows] == [
        ("a", 1, 2),
        ("b", 1, 2),
        ("c", 3, 1),
    ]
    assert [cells[1] for cells in part(found).body] == ["1=", "1=", "3"]


def test_nothing_is_pooled_over_models_presets_or_strategies(make_record):
    values = {"a": 0.3, "b": 0.2}
    one = [headline(make_record, values, task) for task in "xy"]
    other = [headline(make_record, {"a": 0.1, "b": 0.2}, task, model="large", protocol_id="q") for task in "xy"]
    found = across([*one, *other])
    assert [(of.rows[0]["model"], of.rows[0]["name"]) for of in found] == [("large", "b"), ("scratch", "a")]
    assert [of.title for of in found] == ["Across tasks: large", "Across tasks: scratch"]
    assert across([one[0], other[1]]) == []  # one task each
    assert across([one[0], headline(make_record, values, "y", strategy="surgery", protocol_id="q")]) == []
    preset = {"protocol": make_record().protocol | {"preset": "paper"}, "protocol_id": "q"}
    assert across([one[0], headline(make_record, values, "y", **preset)]) == []


def test_a_task_with_several_protocols_counts_once_and_it_is_said_which(make_record):
    poor = headline(make_record, {"a": 0.3, "b": 0.9}, "x", protocol_id="poor")
    rich = headline(make_record, {"a": 0.3, "b": 0.2, "c": 0.1}, "x", protocol_id="rich")
    other = headline(make_record, {"a": 0.3, "b": 0.2}, "y")
    for tables in ([poor, rich, other], [rich, other, poor]):
        (found,) = across(tables)
        assert found.headline["b"]["x"] == 0.2
        (line,) = (note for note in found.notes if "several protocols" in note)
        assert line.index("rich counts") < line.index("poor does not")
    assert across([poor, rich]) == []
    seeds = make_record().transfer.model_dump()
    seeds["seeds"] = seeds["seeds"] * 2
    more = headline(make_record, {"a": 0.1, "b": 0.4}, "x", protocol_id="zz", transfer=seeds)
    (found,) = across([poor, more, other])
    assert found.headline["b"]["x"] == 0.4  # as many measures, more seeds


def test_tasks_without_a_correlation_do_not_count(make_record):
    known = headline(make_record, {"a": 0.3}, "x")
    sample = table([make_record("a", task="y", correlation=None)])
    controls = headline(make_record, {"random": 0.3}, "z")
    assert across([known, sample, controls]) == []
    assert across([]) == []
    assert len(across([known, sample, headline(make_record, {"a": 0.1}, "w")])[0].tasks) == 2


def test_variants_of_one_task_are_told(make_record):
    tables = [headline(make_record, {"a": 0.3}, task) for task in ("x", "x[k=1]", "y")]
    (found,) = across(tables)
    assert any("2 of the tasks are variants of x" in note for note in found.notes)
    assert not any("variants" in note for note in across(tables[1:])[0].notes)


def test_in_every_format(make_record):
    nasty = "a|b<i>_&\n*"
    tables = [
        headline(make_record, {"a": 0.31, nasty: -0.001, **more}, task)
        for task, more in (("x", {"c": 0.5}), (nasty, {}))
    ]
    (found,) = across(tables)
    text = markdown_across(found)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert "<" not in text
    assert [cell.strip() for cell in rows[2].split("|")[1:-1]] == ["a", "1", "1.00", "0.31", "0.31"]
    assert [cell.strip() for cell in rows[4].split("|")[1:4]] == ["c", "–", "incomplete"]
    assert "0.00" in rows[3]
    assert "-0.00" not in rows[3]
    assert "1 lacks a task and is shown without a rank" in text
    assert len([line for line in plain_across(found).splitlines() if line.startswith("a")]) == 2
    assert r"a|b\ensuremath{<}i\ensuremath{>}\_\& *" in latex_across(found, 1)
    flat = [row for row in csv.DictReader(io.StringIO(csv_text(tables, [found]))) if row["kind"] == "across"]
    full = [row for row in json.loads(json_text(tables, [found])) if row["kind"] == "across"]
    assert [row["name"] for row in flat] == [row["name"] for row in full] == ["a", nasty, "c"]
    assert (flat[2]["tasks_lacking"], full[2]["tasks_lacking"]) == (nasty, [nasty])
    assert (flat[0]["mean_rank"], full[0]["mean_rank"]) == ("1.0", 1.0)
