"""The page on adding a strategy: its example is built, installed by pip, checked and run as it says."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark import check_steps
from benchmark.cli import command
from benchmark.results import RECORDED
from benchmark.training import made_up

PAGE = (Path(__file__).parents[2] / "docs" / "add-a-strategy.md").read_text("utf8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "balanced_steps.py").write_text(blocks("python")[0], "utf8")
    (source / "pyproject.toml").write_text(blocks("toml")[0], "utf8")
    offline = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    install = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target), str(source)]
    subprocess.run(install, check=True, timeout=300)
    return target


@pytest.fixture
def installed(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, with the example importable and a cache of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("KINSHIP_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "work"
    sys.modules.pop("balanced_steps", None)


def test_every_command_of_the_page_works(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert [line.split()[3] for line in lines] == ["show", "check", "run"]
    printed = {}
    for line in lines:
        assert line.startswith("python -m benchmark ")
        arguments = shlex.split(line)[3:]
        assert command([*arguments, "--jobs", "1"] if arguments[0] == "run" else arguments) == 0
        printed[arguments[0]] = capsys.readouterr().out
    assert printed["show"].startswith("balanced (strategy, balanced-steps)")
    [page] = blocks("text")
    assert printed["check"] == page
    records = {
        record["strategy"]: record
        for path in installed.glob("results/cldr-names/*/joint*.json")
        for record in [json.loads(path.read_text("utf8"))]
    }
    assert records.keys() == {"plain", "balanced", "balanced[power=1.0]"}
    told = records["balanced"]["training"]["0"]["weights"]
    assert sorted(told) == ["deu", "nld", "swe"]
    assert all(0 < weight < 1 for weight in told.values())


def test_its_own_test_passes(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_steps, "trained_afresh", lambda strategy, steps: None)  # which the command has done
    monkeypatch.setattr(made_up, "STEPS", made_up.STEPS[:6])
    source = blocks("python")[1]
    defined: dict[str, object] = {}
    exec(compile(source, "add-a-strategy.md", "exec"), defined)
    for power in eval(re.findall(r'"power", (\[.*\])', source)[0]):
        defined["test_it_is_a_strategy"](power)


def test_the_page_says_what_there_is() -> None:
    from benchmark.training.strategy import Start, Strategy

    named = set(re.findall(r"`(\w+)(?:\([\w, ]*\))?`", PAGE))
    seam = {name for name in vars(Strategy) if not name.startswith("_")} | {"name"}
    assert seam <= named
    assert set(Start.__annotations__) <= named
    assert f"up to {RECORDED:,} characters".replace(",", " ") in PAGE
