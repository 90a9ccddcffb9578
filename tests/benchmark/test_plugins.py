"""A third party's distribution with a measure, installed by pip, run by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.cli import command
from benchmark.registry import entries

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "their-measures"
version = "0.1"
[project.entry-points."benchmark.measures"]
alphabet = "their_measures:Alphabet"
wide = "their_measures:Wide"
endless = "their_measures:Endless"
crashing = "their_measures:Crashing"
shy = "their_measures:Shy"
average = "their_measures:Average"
peeking = "their_measures:Peeking"
absent = "their_measures:Absent"
hungry = "their_measures:Hungry"
sly = "their_measures:Sly"
silent = "their_measures:Silent"
broken = "their_measures.nowhere:Missing"
"""
MODULE = '''
import numpy as np
from measures import Measure, Needs, Reading, SimilarityMatrix


class Alphabet(Measure):
    """Nearness of the first letters of two codes, a measure of nothing."""

    name = "alphabet"
    access = "none"

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def similarity(self, evidence):
        first = np.array([ord(language.code[0]) for language in evidence.languages], float)
        return SimilarityMatrix(evidence.languages, -self.scale * abs(first[:, None] - first[None, :]))


class Wide(Alphabet):
    def similarity(self, evidence):
        return SimilarityMatrix(evidence.languages, np.zeros((2, 7)))


class Endless(Alphabet):
    def similarity(self, evidence):
        return SimilarityMatrix(evidence.languages, np.full((len(evidence.languages),) * 2, np.inf))


class Shy(Alphabet):
    def skip(self, task, languages):
        return "three languages are too few" if len(languages) == 3 else None


class Average(Alphabet):
    """The mean of two other measures' matrices."""

    def needs(self):
        return Needs(measures=("same-script", "alphabet[scale=2]"))

    def similarity(self, evidence):
        both = [evidence.similarity(name).values for name in self.needs().measures]
        return SimilarityMatrix(evidence.languages, sum(both) / 2)


class Peeking(Alphabet):
    def similarity(self, evidence):
        return SimilarityMatrix(evidence.languages, evidence.transfer().values)


class Silent(Alphabet):
    def similarity(self, evidence):
        return SimilarityMatrix(evidence.languages, np.full((len(evidence.languages),) * 2, np.nan))


class Absent(Alphabet):
    def needs(self):
        return Needs(packages=("no-such-package",))


class Hungry(Alphabet):
    def needs(self):
        return Needs(readings=frozenset({Reading("joint", "temperature")}))


class Sly(Alphabet):
    def needs(self):
        return Needs(measures=("overlap", "oracle"))


class Crashing(Alphabet):
    def similarity(self, evidence):
        return evidence.nothing
'''
SMALL = [
    "--languages",
    "deu,nld,swe",
    "--epochs",
    "1",
    "--max-train",
    "24",
    "--max-eval",
    "24",
    "--no-groups",
    "--device",
    "cpu",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("their-measures")
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "their_measures").mkdir()
    (source / "their_measures" / "__init__.py").write_text(MODULE)
    target = tmp_path_factory.mktemp("site")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*install, "--target", str(target), str(source)], check=True, timeout=120)
    return target


def run(site: Path, where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments],
        cwd=where,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_listed_with_its_origin_and_a_broken_one_is_reported(site: Path, tmp_path: Path) -> None:
    done = run(site, tmp_path, "list", "measures")
    assert done.returncode == 0
    assert "alphabet" in done.stdout
    assert "their-measures" in done.stdout
    assert "gradsim" in done.stdout
    assert "'broken' from their-measures" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_by_name_with_a_parameter(site: Path, tmp_path: Path) -> None:
    arguments = ["run", "-m", "alphabet[scale=2]", "-t", "cldr-names", *SMALL, "--cache", "cache", "--json"]
    done = run(site, tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    record = next(r for r in json.loads(done.stdout) if r["measure"] == "alphabet")
    assert record["measure_params"] == {"scale": 2.0}
    distance = 2.0 * (ord("n") - ord("d"))
    assert record["similarity"]["matrix"][0] == [0.0, -distance, -2.0 * (ord("s") - ord("d"))]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wide", "must have shape (3, 3), [source, target], found (2, 7)"),
        ("endless", "must be finite, or NaN where the measure cannot say, found inf"),
        ("crashing", "AttributeError"),
        ("peeking", "transfer must be declared in needs()"),
        ("shy", "shy: three languages are too few"),
        ("absent", "absent: needs the package no-such-package, which is not installed"),
        ("hungry", "hungry: readings known here are"),
        ("silent", "silent: it knows no pair of these languages"),
        ("broken", "cannot be loaded"),
    ],
)
def test_a_wrong_one_is_one_line_and_leaves_nothing(
    site: Path,
    tmp_path: Path,
    name: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(site)
    assert command(["run", "-m", name, "-t", "cldr-names", *SMALL, "--cache", "cache"]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert said in error[0]
    assert not list(tmp_path.iterdir())


def test_a_measure_cannot_look_at_transfer_through_another(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(site)
    assert command(["run", "-m", "sly", "-t", "cldr-names", *SMALL, "--cache", "cache"]) == 2
    assert "sly: measures that look at transfer cannot be built on, found oracle" in capsys.readouterr().err


def test_all_measures_at_once_and_the_wrong_ones_harm_nobody(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(site)
    assert command(["run", "-m", "all", "-t", "cldr-names", *SMALL, "--cache", "cache", "--json"]) == 2
    told = capsys.readouterr()
    found = {record["measure"]: record for record in json.loads(told.out)}
    mistakes = {"wide", "endless", "crashing", "peeking", "hungry", "broken", "sly"}
    for name in mistakes:
        assert sum(line.startswith("error: ") and name in line for line in told.err.splitlines()) == 1, name
    assert {name for name, record in found.items() if record["skipped"]} == {"shy", "absent", "silent", "combined"}
    assert found.keys() == set(entries("measures")[0]) - mistakes
    for name in ("gradsim", "tag", "magnitude", "embedding", "task-vector", "fisher", "topic", "typology"):
        assert found[name]["correlation"]["spearman"] is not None, name
    assert [*found["gradsim"]["similarity"]["views"]] == [
        *("embeddings", "positions", "layer.0", "layer.1", "head")
    ]
    assert set(found["task-vector"]["similarity"]["yardstick"]) == {"deu", "nld", "swe"}


def test_a_wrong_one_beside_a_right_one_harms_nobody(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(site)
    arguments = ["run", "-m", "wide", "-m", "alphabet", "-t", "cldr-names", *SMALL, "--cache", "cache", "--json"]
    assert command([*arguments, "--jobs", "1"]) == 2
    told = capsys.readouterr()
    assert "alphabet" in {record["measure"] for record in json.loads(told.out)}
    assert "error: wide: values must have shape" in told.err


def test_one_that_skips_is_told_and_is_no_mistake_and_one_may_build_on_others(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(site)
    arguments = ["run", "-m", "shy", "-m", "average", "-t", "cldr-names", *SMALL, "--cache", "cache", "--json"]
    assert command([*arguments, "--jobs", "1"]) == 0
    told = capsys.readouterr()
    assert "skipped: shy: three languages are too few" in told.err
    by_measure = {record["measure"]: record for record in json.loads(told.out)}
    assert by_measure["shy"]["skipped"] == "shy: three languages are too few"
    assert by_measure["shy"]["similarity"]["matrix"] == [[None] * 3] * 3
    assert by_measure["shy"]["correlation"] is None
    board = (tmp_path / "results" / "leaderboard.md").read_text("utf8")
    assert "Skipped: shy: three languages are too few" in board
    apart = 2.0 * (ord("n") - ord("d"))
    assert by_measure["average"]["similarity"]["matrix"][0][:2] == [0.5, (1 - apart) / 2]  # deu, nld: one script


def test_the_example_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf8").split("## Add a measure")[1]
    announced = readme.split("```toml\n")[1].split("```")[0].splitlines()
    site = tmp_path / "site"
    about = site / "my_package-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    assert announced[0] == '[project.entry-points."benchmark.measures"]'
    (about / "entry_points.txt").write_text("[benchmark.measures]\n" + announced[1].replace('"', ""))
    (site / "my_package.py").write_text(readme.split("```python\n")[1].split("```")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(site)
    arguments = ["run", "-m", "longest-name", "-t", "cldr-names", *SMALL, "--cache", "cache", "--json"]
    assert command([*arguments, "--jobs", "1"]) == 0
    assert "longest-name" in {record["measure"] for record in json.loads(capsys.readouterr().out)}
