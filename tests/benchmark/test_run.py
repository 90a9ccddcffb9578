"""Whole runs on real input, as a person types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.cli import command

SMALL = [
    "--languages",
    "deu,nld,swe,fra",
    "--epochs",
    "1",
    "--max-train",
    "40",
    "--max-eval",
    "60",
    "--draws",
    "2",
    "--device",
    "cpu",
]
NAMES = ["run", "--measure", "gradsim", "--task", "cldr-names", *SMALL]
CORPUS = os.environ.get("KINSHIP_DATA")


@pytest.fixture(autouse=True)
def _no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KINSHIP_DATA", raising=False)


def shell(arguments: list[str], where: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments],
        cwd=where,
        env=os.environ | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def records(folder: Path) -> dict[str, dict]:
    """Records of a results folder by file name, without what may differ between machines and runs."""
    found = {}
    for path in sorted(folder.glob("*/*/*.json")):
        record = json.loads(path.read_text("utf8"))
        del record["cost"], record["provenance"]
        found[path.name] = record
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the small run was made, once, by two workers; its stdout beside it."""
    where = tmp_path_factory.mktemp("finished")
    done = shell([*NAMES, "--cache", "cache", "--jobs", "2", "--json"], where)
    assert done.returncode == 0, done.stderr
    (where / "stdout.json").write_text(done.stdout)
    (where / "stderr.txt").write_text(done.stderr)
    return where


def test_json_prints_the_records_and_nothing_else(finished: Path) -> None:
    printed = json.loads((finished / "stdout.json").read_text())
    assert {record["measure"] for record in printed} == {
        *("gradsim", "random", "same-script", "size", "source-quality", "family", "oracle")
    }
    on_disk = [json.loads(path.read_text()) for path in (finished / "results").glob("*/*/*.json")]
    assert sorted(printed, key=lambda r: r["measure"]) == sorted(on_disk, key=lambda r: r["measure"])


def test_record_holds_what_the_schema_promises(finished: Path) -> None:
    record = next(r for r in json.loads((finished / "stdout.json").read_text()) if r["measure"] == "gradsim")
    assert record["schema_version"] == 1
    assert record["languages"] == ["deu", "nld", "swe", "fra"]
    assert sorted(code for group in record["groups"] for code in group) == ["deu", "fra", "nld", "swe"]
    assert len(record["groups"]) == 2
    assert record["scores"]["random"]["draws"] == 2
    assert all(-1 <= cell <= 1 for row in record["similarity"]["matrix"] for cell in row)
    assert [record["similarity"]["matrix"][i][i] for i in range(4)] == [1.0] * 4
    test = record["transfer"]["test"]
    for place, code in enumerate(record["languages"]):  # the diagonal is the monolingual model
        assert test[place][place] == pytest.approx(record["scores"]["monolingual"]["per_language"][code])
    assert record["transfer"]["seeds"][0]["test"] == test
    assert record["data"]["source"] == "embedded"
    assert record["data"]["train_size"] == dict.fromkeys(record["languages"], 40)
    assert record["cost"]["trainings"] >= 3
    assert record["cost"]["seconds"] > 0
    assert record["provenance"]["command"].startswith("python -m benchmark run --measure gradsim")
    assert record["protocol"]["hyper"]["epochs"] == 1


def test_a_measure_that_tells_no_pairs_apart_makes_no_groups(finished: Path) -> None:
    by_measure = {record["measure"]: record for record in json.loads((finished / "stdout.json").read_text())}
    assert by_measure["size"]["groups"] is None  # all languages have 40 examples here
    assert by_measure["size"]["scores"]["grouped"] is None
    assert by_measure["size"]["correlation"]["per_target_spearman"] == 0.0
    assert by_measure["family"]["groups"] is not None


def test_progress_is_told_on_stderr(finished: Path) -> None:
    told = (finished / "stderr.txt").read_text()
    assert "transfer: 5 trainings to do, 0 cached" in told
    assert "groups: " in told


def test_another_cache_and_another_number_of_jobs_give_the_same_records(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command([*NAMES, "--cache", "elsewhere", "--jobs", "1"]) == 0
    assert records(tmp_path / "results") == records(finished / "results")


def test_the_same_command_again_trains_nothing_and_rewrites_nothing(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished)
    paths = sorted(path for path in (finished / "results").rglob("*") if path.is_file())
    before = [(path, path.stat().st_mtime_ns) for path in paths]
    assert command([*NAMES, "--cache", "cache"]) == 0
    assert "0 trainings to do" in capsys.readouterr().err
    assert [(path, path.stat().st_mtime_ns) for path in paths] == before


def test_leaderboard_follows_from_the_records_alone(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished)
    names = [finished / "results" / f"leaderboard.{suffix}" for suffix in ("md", "csv", "json")]
    before = [path.read_bytes() for path in names]
    for path in names:
        path.unlink()
    assert command(["leaderboard"]) == 0
    assert [path.read_bytes() for path in names] == before
    printed = capsys.readouterr().out
    for row in ("gradsim", "oracle", "multilingual", "monolingual", "majority class", "random partitions"):
        assert row in printed


def test_no_groups_stops_after_the_correlations(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command([*NAMES, "--cache", str(finished / "cache"), "--no-groups", "--json"]) == 0
    told = capsys.readouterr()
    assert "transfer: 0 trainings to do" in told.err
    assert "groups:" not in told.err
    for record in json.loads(told.out):
        assert record["groups"] is None
        assert record["scores"]["grouped"] is None
        assert record["correlation"] is not None


def test_two_seeds_give_an_interval_and_a_noise_ceiling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["run", "-m", "overlap", "-t", "cldr-names[classes=3]", *SMALL, "--seeds", "0,3", "--draws", "1"]
    assert command([*arguments, "--cache", "cache", "--json"]) == 0
    record = next(r for r in json.loads(capsys.readouterr().out) if r["measure"] == "overlap")
    assert record["task"] == "cldr-names[classes=3]"
    assert [one["seed"] for one in record["transfer"]["seeds"]] == [0, 3]
    assert record["intervals"]["over_monolingual"]["seeds"] is not None
    assert record["correlation"]["noise_ceiling"] is not None


def wait_for_the_group_to_end(group: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError("workers outlived their parent")


def test_an_interrupted_run_says_so_and_leaves_no_worker(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", *NAMES, "--cache", "cache", "--jobs", "2"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list((tmp_path / "cache" / "progress").glob("*")) and process.poll() is None:
        time.sleep(0.01)  # a training is under way
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on where this one was" in told
    assert "Traceback" not in told
    wait_for_the_group_to_end(process.pid)


def test_a_killed_run_goes_on_where_it_stopped(finished: Path, tmp_path: Path) -> None:
    arguments = [*NAMES, "--cache", "cache", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", *arguments],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def trainings() -> list[Path]:
        """Finished trainings: objects with weights and their history."""
        return [
            p.parent for p in (tmp_path / "cache" / "objects").glob("*/history.json") if p.parent.suffix != ".tmp"
        ]

    deadline = time.monotonic() + 120
    while len(trainings()) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)  # the workers are left to themselves, and must end by themselves
    process.wait()
    wait_for_the_group_to_end(process.pid)
    kept = {path: path.stat().st_ino for path in trainings()}
    assert kept
    assert not list((tmp_path / "results").glob("*/*/*.json"))
    again = shell(arguments, tmp_path)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_ino for path in kept} == kept  # none was made again
    assert records(tmp_path / "results") == records(finished / "results")


def test_a_users_own_modules_do_not_shadow_ours(tmp_path: Path) -> None:
    for name in ("tasks", "measures", "leaderboard"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('mine, not yours')\n")
    done = shell([*NAMES, "--no-groups", "--jobs", "2", "--cache", "cache"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mine, not yours" not in done.stderr


def test_dry_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command([*NAMES, "--cache", "cache", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "transfer: 5 of 5 trainings to do" in printed
    assert "joint (seed 0): train, read gradients at" in printed
    assert not list(tmp_path.iterdir())


def test_a_training_that_diverges_is_told_and_the_exit_code_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command([*NAMES, "--cache", "cache", "--lr", "1e30", "--jobs", "1"]) == 2
    told = capsys.readouterr().err
    assert "every training failed" in told
    assert "the loss is" in told
    assert not (tmp_path / "results").exists()


@pytest.mark.skipif(CORPUS is None, reason="KINSHIP_DATA does not point at the corpora")
def test_afrisenti_from_a_folder_with_languages_as_targets_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["run", "-m", "gradsim", "-t", "afrisenti", "--languages", "ha,swa,yo,orm,tso", "--epochs", "1"]
    sizes = ["--max-train", "64", "--max-eval", "60", "--draws", "1", "--max-length", "32", "--probe-share", "4"]
    assert command([*arguments, *sizes, "--data", str(CORPUS), "--cache", "cache", "--json"]) == 0
    record = next(r for r in json.loads(capsys.readouterr().out) if r["measure"] == "gradsim")
    assert record["data"]["source"] == "folder"
    assert record["languages"] == ["hau", "swa", "yor", "orm", "tso"]
    assert record["transfer"]["test"][3] == [None] * 5  # Oromo is no source
    assert all(record["transfer"]["test"][s][3] is not None for s in (0, 1, 2, 4))  # but a target
    assert "orm" not in [code for group in record["groups"] for code in group]
    assert record["similarity"]["matrix"][0][3] is not None  # it has a gradient: probes are on dev
    assert record["scores"]["grouped"]["metric"] == "weighted_f1"


def test_a_pretrained_encoder_goes_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = ["--model", "sentence-transformers/all-MiniLM-L6-v2", "--offline", "--no-groups", "--batch-size", "8"]
    arguments = ["run", "-m", "gradsim[blocks=layer.0-2]", "-t", "cldr-names", *SMALL, "--max-train", "16", *model]
    assert command([*arguments, "--cache", "cache", "--json"]) == 0
    record = next(r for r in json.loads(capsys.readouterr().out) if r["measure"] == "gradsim")
    assert record["protocol"]["model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert record["measure_params"] == {"blocks": "layer.0-2"}


OTHERS = [
    ("afrisenti", "hau,swa,yor", "weighted_f1"),
    ("wikiann", "deu,ita,swa", "span_f1"),
    ("xnli", "deu,spa,swa", "accuracy"),
    ("udpos", "deu,ita,hin", "accuracy"),
]
TINY = ["--epochs", "1", "--max-train", "24", "--max-eval", "30", "--device", "cpu", "--cache", "cache"]


@pytest.mark.parametrize(("task", "languages", "metric"), OTHERS)
def test_without_data_or_network_a_task_runs_on_its_sample(
    tmp_path: Path, task: str, languages: str, metric: str
) -> None:
    arguments = ["run", "-m", "overlap", "-t", task, "--languages", languages, "--draws", "1", *TINY]
    nowhere = {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "KINSHIP_AFRISENTI_URL": "http://127.0.0.1:9",
        "HF_HOME": "hub",
    }
    done = shell(arguments, tmp_path, **nowhere)
    assert done.returncode == 0, done.stderr
    assert "SAMPLE" in done.stderr
    assert "--data" in done.stderr, "it says how to get the corpus"
    found = records(tmp_path / "results")
    assert found
    for record in found.values():
        assert record["data"]["source"] == "sample"
        assert record["correlation"] is None
        assert record["intervals"]["over_multilingual"] in (None, {"seeds": None, "items": None})
        assert record["scores"]["multilingual"]["metric"] == metric
    assert "A sample carries no correlations" in done.stdout


@pytest.mark.skipif(CORPUS is None, reason="KINSHIP_DATA does not name a folder with real corpora")
@pytest.mark.parametrize(("task", "languages", "metric"), OTHERS[1:])
def test_the_real_corpora_run_from_their_folder(tmp_path: Path, task: str, languages: str, metric: str) -> None:
    arguments = [
        "run",
        "-m",
        "gradsim",
        "-t",
        task,
        "--languages",
        languages,
        "--data",
        str(CORPUS),
        "--no-groups",
    ]
    done = shell([*arguments, *TINY], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "SAMPLE" not in done.stderr
    (record,) = [one for one in records(tmp_path / "results").values() if one["measure"] == "gradsim"]
    assert record["data"]["source"] == "folder"
    assert record["transfer"]["metric"] == ("span_f1" if metric == "span_f1" else "macro_f1")
    assert record["correlation"] is not None
    assert set(record["data"]["train_size"].values()) == {24}
    assert set(record["data"]["test_size"].values()) == {30}
