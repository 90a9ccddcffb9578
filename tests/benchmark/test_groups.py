"""Groups of a run: covers, as many as the similarities speak for, and families that are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.cli import command
from benchmark.systems import Grouping

TINY = ["--epochs", "1", "--max-train", "24", "--max-eval", "24", "--draws", "1", "--device", "cpu", "--json"]
FAMILIES = [[f"q{family}{one}" for one in "abc"] for family in "abcd"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs on the planted families, sharing their trainings; gives records by measure, and stderr."""
    where = tmp_path_factory.mktemp("planted")

    def run(capsys, monkeypatch, *arguments):
        monkeypatch.chdir(where)
        given = ["run", "-m", "overlap", "-t", "planted", *TINY, "--cache", "cache", *arguments]
        assert command(given) == 0
        told = capsys.readouterr()
        return {record["measure"]: record for record in json.loads(told.out)}, told.err

    return run


def test_families_are_found_by_the_words_they_share(run, capsys, monkeypatch):
    found, said = run(capsys, monkeypatch)
    assert found["overlap"]["groups"] == FAMILIES  # K is theirs
    assert found["overlap"]["recovery"] == {"adjusted_rand": 1.0}
    assert found["overlap"]["served"] is None
    assert -0.5 < found["random"]["recovery"]["adjusted_rand"] < 0.5
    assert found["size"]["recovery"] == {"adjusted_rand": None}  # all alike: no groups follow
    assert found["family"]["skipped"].startswith("family: URIEL has a family for none")
    assert "skipped: family: URIEL" in said
    assert found["overlap"]["protocol"]["grouping"] == {"name": "partition", "k": 4, "draws": 1}


def test_recovery_is_of_as_many_groups_as_there_are_families(run, capsys, monkeypatch):
    found, _ = run(capsys, monkeypatch, "--groups", "2")
    assert len(found["overlap"]["groups"]) == 2
    assert found["overlap"]["recovery"] == {"adjusted_rand": 1.0}
    found, _ = run(capsys, monkeypatch, "--no-groups")
    assert found["overlap"]["groups"] is None
    assert found["overlap"]["recovery"] == {"adjusted_rand": 1.0}


def test_as_many_groups_as_the_similarities_speak_for(run, capsys, monkeypatch):
    found, _ = run(capsys, monkeypatch, "--groups", "auto")
    assert found["overlap"]["groups"] == FAMILIES
    assert len(found["random"]["groups"]) == 1  # noise speaks for none
    assert found["overlap"]["protocol"]["grouping"]["k"] == "auto"


def test_a_cover_serves_each_language_by_one_of_its_groups(run, capsys, monkeypatch):
    found, _ = run(capsys, monkeypatch, "--grouping", "cover", "--groups", "6", "-m", "random")
    cover = found["random"]
    assert sum(map(len, cover["groups"])) > 12
    assert set(cover["served"]) == {code for family in FAMILIES for code in family}
    for code, place in cover["served"].items():
        assert code in cover["groups"][place]
    assert cover["scores"]["random"]["draws"] == 1
    assert set(cover["scores"]["grouped"]["per_language"]) == set(cover["served"])
    board = (Path.cwd() / "results" / "leaderboard.md").read_text("utf8")
    assert "random covers" in board


def test_a_structure_knows_no_names():
    one = Grouping((("a", "b"), ("b", "c")), {"a": 0, "b": 0, "c": 1})
    renamed = Grouping((("x", "y"), ("y", "z")), {"x": 0, "y": 0, "z": 1})
    other = Grouping((("a", "b"), ("b", "c")), {"a": 0, "b": 1, "c": 1})
    assert one.overlaps
    assert one.structure == renamed.structure != other.structure
    parts = Grouping.partition([("a",), ("b", "c")])
    assert not parts.overlaps
    assert parts.structure == Grouping.partition([("a", "c"), ("b",)]).structure == "2+1"
