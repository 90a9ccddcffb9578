"""leaderboard, plot and compare on the command line, on records made by hand."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli import command
from leaderboard.records import Record, path_for, write

CODES = ["amh", "hau", "swa", "tso"]


def matrix(offset: float) -> list[list[float]]:
    return [[0.1 + (0.37 * s + 0.23 * t * s + offset * t * (s % 2)) % 0.8 for t in range(4)] for s in range(4)]


def build(measure: str = "gradsim", score: float = 0.6, **changes: Any) -> Record:
    def scores(mean: float) -> dict[str, Any]:
        return {"metric": "macro_f1", "mean": mean, "per_language": dict.fromkeys(CODES, mean)}

    data = {
        "task": "afrisenti",
        "measure": measure,
        "measure_params": {},
        "access": "text",
        "strategy": "plain",
        "languages": CODES,
        "groups": [["amh", "tso"], ["hau", "swa"]],
        "objective": 0.25,
        "similarity": {"matrix": matrix(score), "symmetric": False},
        "transfer": {
            "metric": "macro_f1",
            "dev": matrix(0.1),
            "test": matrix(0.1),
            "seeds": [{"seed": 3, "dev": matrix(0.1), "test": matrix(0.1)}],
        },
        "scores": {"grouped": scores(score), "multilingual": scores(0.5), "monolingual": scores(0.55)},
        "intervals": {},
        "correlation": {
            "per_target_spearman": 0.41,
            "per_target_spearman_ci95": (0.1, 0.5),
            "centred_per_target_spearman": 0.2,
            "centred_per_target_spearman_ci95": (-0.2, 0.3),
            "spearman": 0.5,
            "pearson": 0.45,
            "qap_p": 0.0005,
            "ndcg_at_3": 0.61,
            "regret_at_1": 0.034,
            "noise_ceiling": None,
        },
        "data": {"source": "folder", "fingerprint": "0123456789abcdef", "train_size": {}, "test_size": {}},
        "protocol_id": "p1",
        "protocol": {"model": "scratch", "seeds": [3]},
        "cost": {"trainings": 7, "seconds": 12.5, "peak_memory_mb": 100.0},
        "provenance": {
            "command": "c",
            "versions": {},
            "device": "cpu",
            "threads": 1,
            "precision": "fp32",
            "git": None,
            "started": "2026-01-01T00:00:00Z",
        },
    }
    return Record.model_validate(data | changes)


def put(folder: Path, *records: Record) -> None:
    for record in records:
        write(record, folder / path_for(record))


Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """Run a command in a folder with records of two measures; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "results", build(), build("overlap", 0.7, measure_params={"unit": "chars", "n": 2}))

    def tell(*arguments: str) -> tuple[int, str, str]:
        code = command(arguments)
        found = capsys.readouterr()
        return code, found.out, found.err

    return tell


def wrong(told: Told, *arguments: str) -> str:
    before = sorted(Path().rglob("*"))
    code, out, err = told(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before
    return err


@pytest.mark.parametrize("form", ["plain", "markdown", "latex", "csv", "json"])
def test_tables_in_every_format_with_their_caption(told: Told, form: str) -> None:
    code, out, err = told("leaderboard", "--format", form)
    assert code == 0
    for part in ("afrisenti", "data folder 0123456789ab", "model scratch", "4 languages", "seed 3"):
        assert part in (err if form in ("csv", "json") else out)
    assert "overlap[n=2,unit=chars]" in out
    if form == "json":
        assert json.loads(out) == json.loads(Path("results/leaderboard.json").read_text("utf8"))
    if form == "csv":
        assert out == Path("results/leaderboard.csv").read_text("utf8")
    if form == "markdown":
        assert out == Path("results/leaderboard.md").read_text("utf8")
    if form == "latex":
        assert r"\toprule" in out
    assert (code, out, err) == told("leaderboard", "--format", form)


def test_check_passes_and_fails_and_writes_nothing(told: Told) -> None:
    code, out, err = told("leaderboard", "--check")
    assert (code, out) == (1, "")
    assert [line.split(":")[0] for line in err.splitlines()] == [
        f"results/leaderboard.{suffix}" for suffix in ("md", "csv", "json")
    ]
    assert not Path("results/leaderboard.md").exists()
    told("leaderboard")
    assert told("leaderboard", "--check")[:2] == (0, "")
    table = Path("results/leaderboard.md")
    before = table.read_text("utf8")
    table.write_text(before.replace("70.0", "71.0"), "utf8")
    code, _, err = told("leaderboard", "--check")
    assert code == 1
    assert err.count("\n") == 1
    assert "results/leaderboard.md: does not follow from the records" in err
    table.write_text(before, "utf8")
    put(Path("results"), build(score=0.61))
    code, _, err = told("leaderboard", "--check")
    assert (code, err.count("\n")) == (1, 4)  # and the page


def test_records_of_others_are_added_and_what_was_left_out_is_said(told: Told) -> None:
    put(Path("theirs"), build(score=0.65), build("family"), build(task="other"))
    put(Path("more"), build("family"))
    Path("theirs/other/p1/cut.json").write_text("{")
    code, out, err = told("leaderboard", "--from", "theirs", "--from", "more", "--format", "json")
    assert code == 0
    rows = [(row["task"], row["name"], row["score"]) for row in json.loads(out) if row["access"]]
    assert sorted(rows) == [
        ("afrisenti", "family", 0.6),
        ("afrisenti", "gradsim", 0.6),
        ("afrisenti", "overlap[n=2,unit=chars]", 0.7),
        ("other", "gradsim", 0.6),
    ]
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2
    assert "kept results/afrisenti/p1/gradsim-44136fa3.json, left out theirs/" in warnings[0]
    assert "theirs/other/p1/cut.json" in warnings[1]
    assert not Path("theirs/leaderboard.md").exists()
    assert told("leaderboard", "--from", "theirs", "--from", "more", "--check")[0] == 0
    assert told("leaderboard", "--check")[0] == 1


def test_figures_in_a_folder_and_as_one_file(told: Told) -> None:
    code, out, err = told("plot", "overlap[unit=chars,n=2]", "--task", "afrisenti")
    assert code == 0
    assert "no views: the measure has no views" in err
    paths = [Path(line) for line in out.splitlines()]
    assert len(paths) == 8
    for path in paths:
        assert path.parent == Path("results/figures")
        if path.suffix == ".svg":
            assert ET.fromstring(path.read_bytes()).tag.endswith("svg")
    heatmaps = next(path for path in paths if path.match("*heatmaps.svg")).read_bytes()
    assert all(code.encode() in heatmaps for code in CODES)
    code, out, _ = told("plot", "overlap[unit=chars,n=2]", "--figure", "heatmaps", "--to", "new/a.svg")
    assert (code, out) == (0, "new/a.svg\n")
    assert Path("new/a.svg").read_bytes() == heatmaps


def test_measures_compared(told: Told) -> None:
    code, out, _ = told("compare", "gradsim", "overlap[unit=chars,n=2]", "--task", "afrisenti")
    assert code == 0
    assert out.startswith("gradsim (A) and overlap[n=2,unit=chars] (B): afrisenti")
    for part in ("ρ per target, centred", "95 % interval", "score of the groups (points)", "-10.0"):
        assert part in out
    assert "0 of 4 languages are better off in the groups of A, 4 in those of B" in out
    assert "Other sources are chosen for" in out
    same = told("compare", "gradsim", "gradsim")[1]
    assert "Other sources are chosen for 0 of 4 targets." in same


def test_strategies_of_the_one_joint_model_compared(told: Told) -> None:
    nothing = {"matrix": [[None] * 4] * 4, "symmetric": True}
    joint = {"similarity": nothing, "correlation": None}
    put(Path("results"), build("joint", **joint), build("joint", strategy="gradvac", **joint))
    out = told("compare", "joint", "joint@gradvac")[1]
    assert "One model for all languages has no similarities" in out
    assert "sample" not in out


def test_what_strategies_saw_is_plotted_of_the_one_joint_model(told: Told) -> None:
    nothing = {"matrix": [[None] * 4] * 4, "symmetric": True}
    model = {"cosines": matrix(0.2), "cosine_along": [0.1, 0.2], "conflicts_along": [0.5, 0.4]}
    training = {"3": {"languages": CODES, "blocks": {"model": model}}}
    joint: dict[str, Any] = {"similarity": nothing, "correlation": None}
    watched = {**joint, "training": training, "protocol_id": "p2", "strategy": "watched"}
    watched["protocol"] = {"model": "scratch", "seeds": [3], "grouping": None}
    put(Path("results"), build("joint", **joint), build("joint", **watched))
    code, out, err = told("plot", "joint", "--protocol", "p1")  # the other table lacks nothing but groups
    assert code == 0
    drawn = [Path(line).stem.rsplit("-", 1)[1] for line in out.splitlines() if line.endswith(".svg")]
    assert drawn == ["gains", "along", "cosines", "agreement"]
    assert "no masks: no strategy told of subnetworks" in err
    assert "watched" in Path("results/figures/afrisenti-p1-joint-along.svg").read_text("utf8")
    assert "plot joint draws it" in wrong(told, "plot", "gradsim", "--protocol", "p1", "--figure", "masks")


def test_folders_compared(told: Told) -> None:
    put(Path("theirs"), build(), build("overlap", 0.7, measure_params={"unit": "chars", "n": 2}))
    assert told("compare", "results", "theirs")[:2] == (
        0,
        "equal: 2 records in each, all but cost and provenance\n",
    )
    put(Path("theirs"), build(objective=0.5))
    assert told("compare", "results", "theirs")[1] == (
        "afrisenti, protocol p1: gradsim: objective: 0.25 and 0.5 (+0.25)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["leaderboard", "--output", "nowhere"], ["nowhere", "expected records", "found none"]),
        (["leaderboard", "--from", "nowhere"], ["--from takes a folder", "found nowhere"]),
        (["leaderboard", "--format", "html"], ["--format", "latex", "'html'"]),
        (
            ["plot", "gradsm"],
            ["no record of measure 'gradsm'", "did you mean 'gradsim'", "overlap[n=2,unit=chars]"],
        ),
        (["plot", "overlap"], ["no record of measure 'overlap'", "overlap[n=2,unit=chars]"]),
        (["plot", "gradsim["], ["a name is written name", "'gradsim['"]),
        (["plot", "gradsim", "-t", "afrisent"], ["task 'afrisent'", "did you mean 'afrisenti'"]),
        (["plot", "gradsim", "--protocol", "x"], ["--protocol takes", "p1 (model scratch, 4 languages", "'x'"]),
        (["plot", "gradsim", "--output", "nowhere"], ["--output takes a folder", "nowhere"]),
        (["plot", "gradsim", "--to", "a.jpg"], ["--to takes a file .svg, .pdf, .png", "a.jpg"]),
        (["plot", "gradsim", "--to", "a.svg"], ["a folder for all figures", "heatmaps", "a.svg"]),
        (["plot", "gradsim", "--figure", "views"], ["no figure views", "no views"]),
        (["plot", "gradsim", "--figure", "map"], ["--figure", "dendrogram", "'map'"]),
        (["compare", "gradsim", "nowhere"], ["no record of measure 'nowhere'"]),
        (["compare", "results", "nowhere"], ["two results folders", "the folder results and nowhere"]),
        (["compare", "nowhere", "results"], ["two results folders", "the folder results and nowhere"]),
    ],
)
def test_a_mistake_is_one_line(told: Told, arguments: list[str], said: list[str]) -> None:
    line = wrong(told, *arguments)
    for part in said:
        assert part in line


def test_several_protocols_and_tasks_are_asked_about(told: Told) -> None:
    put(Path("results"), build(protocol_id="q7f", protocol={"model": "other", "seeds": [3]}))
    line = wrong(told, "plot", "gradsim", "--figure", "scatter")
    assert "--protocol says which of 2 protocols of afrisenti: p1 (model scratch" in line
    assert "q7f (model other" in line
    assert told("compare", "gradsim", "gradsim", "--protocol", "q7")[0] == 0
    put(Path("results"), build(task="t"))
    line = wrong(told, "compare", "gradsim", "gradsim")
    assert "--task says which of several tasks in results: afrisenti, t" in line


def test_a_skipped_measure_has_no_figures_and_is_not_compared(told: Told) -> None:
    nothing = {"matrix": [[None] * 4] * 4, "symmetric": True}
    put(Path("results"), build("fisher", skipped="fisher: no gradients", similarity=nothing, correlation=None))
    assert "fisher was skipped and cannot be compared: fisher: no gradients" in wrong(
        told, "compare", "gradsim", "fisher"
    )
    line = wrong(told, "plot", "fisher")
    assert "fisher has no figures: the measure was skipped: fisher: no gradients" in line


@pytest.mark.parametrize("name", ["leaderboard", "plot", "compare"])
def test_help_shows_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command([name, "--help"])
    assert f"  python -m benchmark {name}" in capsys.readouterr().out
