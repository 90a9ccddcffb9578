"""What a person mistypes: one line that says what was wrong, exit code 2, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli import command

NAMES = ["run", "--measure", "gradsim", "--task", "cldr-names", "--device", "cpu", "--cache", "cache"]


def wrong(
    arguments: list[str], where: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """The one line that a mistake is answered with."""
    monkeypatch.chdir(where)
    monkeypatch.delenv("KINSHIP_DATA", raising=False)
    before = sorted(where.rglob("*"))
    assert command(arguments) == 2
    told = capsys.readouterr()
    errors = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert told.out == ""
    assert "Traceback" not in told.err
    assert sorted(where.rglob("*")) == before
    return errors[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--measure", "gradsm"], ["unknown measure 'gradsm'", "did you mean 'gradsim'", "overlap"]),
        (["--measure", "gradsim[block=body]"], ["no parameter 'block'", "did you mean 'blocks'", "estimator"]),
        (["--measure", "gradsim[split=tset]"], ["dev|train", "'tset'"]),
        (["--measure", "gradsim[blocks=layer.3-1]"], ["layer.0-3", "'layer.3-1'"]),
        (["--measure", "gradsim[blocks=body"], ["name[key=value", "'gradsim[blocks=body'"]),
        (["--measure", "overlap[n=two]"], ["a whole number", "'two'"]),
        (["--measure", "overlap[n=0]"], ["at least 1", "found 0"]),
        (["--task", "cldr-name"], ["unknown task 'cldr-name'", "did you mean 'cldr-names'"]),
        (["--task", "cldr-names[classes=5]"], ["3, 4", "found 5"]),
        (["--languages", "deu,nld,klingon"], ["unknown language 'klingon'"]),
        (["--languages", "deu,germn,nld"], ["unknown language 'germn'", "did you mean", "deu"]),
        (["--languages", "deu,nld"], ["at least 3 languages", "found 2: deu, nld"]),
        (["--languages", "deu,de,nld,nl"], ["at least 3 languages", "found 2"]),
        (["--languages", ","], ["--languages takes codes"]),
        (["--groups", "21"], ["--groups takes 1 to", "20", "found 21"]),
        (["--groups", "0"], ["--groups takes a whole number from 1, or auto", "found '0'"]),
        (["--groups", "many"], ["--groups takes a whole number from 1, or auto", "found 'many'"]),
        (["--epochs", "many"], ["--epochs", "valid integer", "found 'many'"]),
        (["--grouping", "k-means"], ["partition", "agglomerative", "'k-means'"]),
        (["--strategy", "gradvacc"], ["unknown strategy 'gradvacc'", "did you mean 'gradvac'"]),
        (["--strategy", "gradvac[beta=2]"], ["gradvac[beta=2", "beta"]),
        (["--unseen", "deu", "--languages", "deu,nld,fra"], ["deu"]),
        (["--shots", "16"], ["--shots", "--unseen"]),
        (["--unseen", "nld", "--shots", "a"], ["--shots takes whole numbers"]),
        (["--seeds", "1,x"], ["--seeds takes", "'1,x'"]),
        (["--seeds", "1,1"], ["--seeds takes", "'1,1'"]),
        (["--seed", "1", "--seeds", "1,2"], ["--seed and --seeds"]),
        (["--model", "./nowhere"], ["scratch, a hub id or a model folder", "./nowhere"]),
        (["--device", "quantum"], ["--device takes", "quantum"]),
        (["--data", "nowhere"], ["--data", "nowhere"]),
        (["--measur", "gradsim"], ["No such option: --measur", "--measure"]),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = NAMES
    if arguments[0] in ("--measure", "--task"):  # instead of ours, not beside it
        place = NAMES.index(arguments[0])
        given = NAMES[:place] + NAMES[place + 2 :]
    line = wrong([*given, *arguments], tmp_path, monkeypatch, capsys)
    for part in said:
        assert part in line


def test_folders_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for option in ("--output", "--cache"):
        line = wrong([*NAMES, option, "file/inside", "--max-train", "8"], tmp_path, monkeypatch, capsys)
        assert "file/inside" in line


def test_a_model_that_is_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", "-m", "gradsim", "-t", "cldr-names", "--model", "some/encoder", "--offline"]
    line = wrong(arguments, tmp_path, monkeypatch, capsys)
    assert "'some/encoder' is not in the local cache" in line


def test_a_malformed_file_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for code in ("hau", "swa", "yor"):
        folder = tmp_path / "data" / "afrisenti" / code
        folder.mkdir(parents=True)
        for split in ("train", "dev", "test"):
            (folder / f"{split}.tsv").write_text("tweet\tlabel\n" + "mzuri\tpositive\n" * 4)
    (tmp_path / "data" / "afrisenti" / "swa" / "dev.tsv").write_text(
        "tweet\tlabel\nmzuri\tpositive\nmbaya\tnegativ\n"
    )
    arguments = ["run", "-m", "gradsim", "-t", "afrisenti", "--languages", "hau,swa,yor", "--data", "data"]
    line = wrong(arguments, tmp_path, monkeypatch, capsys)
    assert "swa/dev.tsv" in line
    assert "line 3" in line or ":3" in line
    assert "'negativ'" in line or "negativ" in line


def test_a_language_without_training_data_cannot_be_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for code in ("hau", "swa", "yor", "ibo"):
        folder = tmp_path / "data" / "afrisenti" / code
        folder.mkdir(parents=True)
        for split in ("train", "dev", "test"):
            rows = 0 if (code, split) == ("ibo", "train") else 4
            (folder / f"{split}.tsv").write_text("tweet\tlabel\n" + "mzuri\tpositive\n" * rows)
    arguments = ["run", "-m", "gradsim", "-t", "afrisenti", "--languages", "hau,swa,yor,ibo", "--data", "data"]
    line = wrong(arguments, tmp_path, monkeypatch, capsys)
    assert "ibo/train.tsv: at least 1 example is needed; found none" in line


def test_leaderboard_without_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "found none" in wrong(["leaderboard"], tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("name", ["gradsim", "overlap", "family", "oracle", "cldr-names", "afrisenti"])
def test_show_tells_what_something_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["show", name]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{name} (")
    assert "access: " in printed or "licence: " in printed


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("run", "list", "show", "check", "leaderboard", "plot", "compare"):
        command([name, "--help"])
        assert f"python -m benchmark {name}" in capsys.readouterr().out


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["list"]) == 0
    printed = capsys.readouterr().out
    for name in ("gradsim", "overlap", "random", "same-script", "size", "source-quality", "family", "oracle"):
        assert f"  {name} " in printed
    assert "afrisenti" in printed
    assert "cldr-names" in printed
