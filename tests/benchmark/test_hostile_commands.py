"""Commands on what anybody may have sent: records, data folders, text of options."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.cli import command

CODES = ["amh", "hau", "swa", "tso"]
TASK = "../../<b>task</b>"


def record(measure: str, score: float, **changes: Any) -> dict[str, Any]:
    matrix = [[0.1 + (0.37 * s + 0.23 * t * s + score * t * (s % 2)) % 0.8 for t in range(4)] for s in range(4)]
    correlation = dict.fromkeys(
        ["per_target_spearman_ci95", "centred_per_target_spearman_ci95", "qap_p", "noise_ceiling"]
    ) | dict.fromkeys(
        ["per_target_spearman", "centred_per_target_spearman", "spearman", "pearson", "ndcg_at_3", "regret_at_1"],
        0.1,
    )
    said = dict.fromkeys(["command", "device", "precision", "started"], "=1") | {
        "versions": {},
        "threads": 1,
        "git": None,
    }
    return {
        "schema_version": 1, "task": TASK, "measure": measure, "measure_params": {}, "access": "text",
        "strategy": "plain", "languages": CODES, "groups": None, "objective": None,
        "similarity": {"matrix": matrix, "symmetric": False},
        "transfer": {"metric": "macro_f1", "dev": matrix, "test": matrix, "seeds": []},
        "scores": {}, "intervals": {}, "correlation": correlation,
        "data": {"source": "folder", "fingerprint": "0", "train_size": {}, "test_size": {}},
        "protocol_id": "../p", "protocol": {"model": "../m"},
        "cost": {"trainings": 0, "seconds": 0, "peak_memory_mb": 0}, "provenance": said,
    } | changes  # fmt: skip


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder some levels down, of two records and four files that are none."""
    folder = tmp_path / "a/b/results"
    (folder / "t/p").mkdir(parents=True)
    for name, measure, score in (("0", "../../one", 0.3), ("1", "=two", 0.7)):
        (folder / f"t/p/{name}.json").write_text(json.dumps(record(measure, score)))
    (folder / "t/p/2.json").write_text("[" * 10**5)
    (folder / "t/p/5.json").write_text(json.dumps(record("one\x1b[31m", 0.1)))
    (folder / "t/p/3\n\x1b[31m.json").write_text("{}")
    os.mkfifo(folder / "t/p/4.json")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["leaderboard", "--output", "a/b/results"], 0),
        (["leaderboard", "--output", "a/b/results", "--format", "latex"], 0),
        (["leaderboard", "--output", "a/b/results", "--format", "csv"], 0),
        (["leaderboard", "--output", "a/b/results", "--check"], 1),
        (["compare", "../../one", "=two", "--output", "a/b/results"], 0),
        (["compare", "a/b/results", "a/b/results"], 0),
        (["compare", "../../one", "three", "--output", "a/b/results"], 2),
        (["plot", "../../one", "--figure", "scatter", "--output", "a/b/results"], 0),
        (["plot", "x" * 9999, "--output", "a/b/results"], 2),
    ],
)
def test_records_of_anybody(results: Path, tmp_path: Path, capsys: Any, arguments: list[str], code: int) -> None:
    assert command(arguments) == code
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    assert "\x1b" not in told.out
    assert [one.name for one in tmp_path.iterdir()] == ["a"]
    assert [one.name for one in results.parent.iterdir()] == ["results"]
    assert len(told.err.splitlines()) <= 12


def test_other_formats_say_nothing_of_their_own(results: Path, capsys: Any) -> None:
    assert command(["leaderboard", "--output", str(results), "--format", "markdown"]) == 0
    assert "<b>" not in capsys.readouterr().out
    assert "<b>task" not in (results / "index.html").read_text("utf8")


WORDS = st.sampled_from(
    [
        "deu",
        "nld",
        "swe",
        "all",
        ",",
        "-",
        "_",
        "Latn",
        " ",
        "9" * 300,
        "-1",
        "1e999",
        "../",
        "\x1b",
        "x" * 3000,
        "é",
    ]
)


@pytest.mark.usefixtures("no_hang")
@given(
    option=st.sampled_from(["--languages", "--seeds", "--groups", "--unseen", "--shots", "--task", "--device"]),
    value=st.lists(WORDS, max_size=5).map("".join)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9),
)
@settings(
    max_examples=10 if settings.default.max_examples <= 100 else settings.default.max_examples,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_options_of_a_run(option: str, value: str, tmp_path: Path, capsys: Any) -> None:
    few = ["--languages", "deu,nld,swe", "--task", "cldr-names", "--output", str(tmp_path / "out")]
    few += ["--cache", str(tmp_path / "cache"), "--offline", "--dry-run"]
    code = command(["run", "-m", "random", *few, option, value])
    told = capsys.readouterr()
    assert code in (0, 2)
    assert "Traceback" not in told.err
    assert code == 0 or told.err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()
