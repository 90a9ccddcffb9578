"""The example plugin, installed by pip, and the page that walks through it: all of it is run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli import command
from benchmark.config import RunConfig
from benchmark.evidence import RunEvidence
from benchmark.executors import InProcess
from benchmark.plan import plan
from benchmark.prepare import materialise, prepare
from benchmark.testing import check_measure
from measures import Needs, Reading

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "kinship-example"
PAGE = (ROOT / "docs" / "add-a-measure.md").read_text("utf8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, where building it leaves nothing in the checkout."""
    there = tmp_path_factory.mktemp("example") / "kinship-example"
    shutil.copytree(EXAMPLE, there, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return there


@pytest.fixture(scope="module")
def site(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    offline = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    install = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target), str(copy)]
    subprocess.run(install, check=True, timeout=120)
    return target


@pytest.fixture
def installed(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, with the example importable and a cache of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("KINSHIP_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "work"
    sys.modules.pop("kinship_example", None)


def told(printed: str) -> list[str]:
    """Marks and names of a check's lines, without the sentences."""
    return [line[:15] for line in printed.splitlines()]


def test_every_command_of_the_page_works(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert [line.split()[3] for line in lines] == ["list", "show", "check", "run"]
    printed = {}
    for line in lines:
        assert line.startswith("python -m benchmark ")
        arguments = shlex.split(line)[3:]
        assert command([*arguments, "--jobs", "1"] if arguments[0] == "run" else arguments) == 0
        printed[arguments[0]] = capsys.readouterr().out
    assert re.search(r"^  compression .* \(kinship-example\)$", printed["list"], re.MULTILINE)
    assert printed["show"].startswith("compression (measure, kinship-example)")
    assert "compressor=lzma|bz2 (default lzma)" in printed["show"]
    assert "compression" in printed["run"]
    [page] = blocks("text")
    assert told(printed["check"]) == told(page)
    assert "adjusted Rand index of 1.00" in printed["check"]
    record = json.loads(next(installed.glob("results/cldr-names/*/compression-*.json")).read_text("utf8"))
    assert record["access"] == "text"
    assert np.isfinite(record["similarity"]["matrix"]).all()
    assert "compression" in (installed / "results" / "leaderboard.md").read_text("utf8")


def test_it_is_run_by_name_from_a_new_process(site: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "check", "compression[compressor=bz2]"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in a new process: the same bits" in done.stdout
    assert not list(tmp_path.iterdir())


def test_its_own_tests_pass(copy: Path, site: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=copy,
        env=environment | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_the_page_shows_the_example_as_it_is() -> None:
    shown = [*blocks("python"), *blocks("toml")]
    for part in ("kinship_example/__init__.py", "tests/test_compression.py", "pyproject.toml"):
        assert (EXAMPLE / part).read_text("utf8") in shown, f"docs/add-a-measure.md shows another {part}"


def test_the_measure_of_gradients_on_the_page_keeps_what_a_measure_must() -> None:
    [source] = [block for block in blocks("python") if "class Agreement" in block]
    defined: dict[str, type] = {"__name__": "the_page"}
    exec(compile(source, "add-a-measure.md", "exec"), defined)
    check_measure(defined["Agreement"])


def test_the_readings_on_the_page_hold_what_it_says(tmp_path: Path) -> None:
    config = RunConfig(
        (), "cldr-names", ("deu", "nld", "swe"), max_train=32, max_eval=16, epochs=1, seeds=(0,), device="cpu",
        probe_share=2.0, cache=tmp_path / "cache",
    )  # fmt: skip
    described = {}
    for reading, arrays, meta in re.findall(r"^\| (.*?`Reading\(.*?) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE):
        expression = re.search(r"`(Reading\(.*?\))`", reading)
        assert expression
        if '"model"' in expression[1]:
            continue  # needs a model from elsewhere
        described[eval(expression[1], {"Reading": Reading})] = arrays, meta
    assert [(one.of, one.kind) for one in described] == [
        ("joint", "gradients"), ("joint", "embeddings"),
        ("each", "weights"), ("each", "fisher"), ("each", "masks"),
    ]  # fmt: skip
    more = {Reading("initial", "embeddings", (("layer", 0),)): Reading("joint", "embeddings")}
    for one in [one for one in described if one.kind in ("fisher", "masks")]:
        more[Reading(one.of, one.kind, (*one.params, ("repeat", 1)))] = one
    described |= {new: described[old] for new, old in more.items()}

    setup = prepare(config)
    materialise(setup)
    [of] = setup.seeds
    stage = plan(setup.read_jobs(of, list(described)), setup.store)
    outcomes = list(InProcess().map(stage.todo, setup.store))
    assert not [one for one in outcomes if one.error or one.unread]
    evidence = RunEvidence(setup, of, Needs(readings=frozenset(described)))
    deu = evidence.languages[0]
    n = len(evidence.languages)
    for reading, (arrays, meta) in described.items():
        whole = reading.of != "each" or reading.kind == "weights"
        found = evidence.read(reading) if whole else evidence.read(reading, deu)
        assert {name: type(value) for name, value in found.meta.items()}.keys() == set(
            re.findall(r"`(\w+)`", meta)
        )
        names = set(re.findall(r"`(\w+)`", arrays.split(":")[0] if reading.kind == "weights" else arrays))
        blocks = found.meta.get("blocks", ())
        if reading.kind == "embeddings":
            assert found.arrays.keys() == set(setup.codes)
            assert found.arrays["deu"].shape == (len(setup.dev["deu"]), found.meta["width"])
        elif reading.kind == "fisher":
            assert found.arrays.keys() == set(blocks)
        else:
            assert found.arrays.keys() == names
        if reading.kind == "gradients":
            probes = len(found.meta["steps"])
            assert found.arrays["gram"].shape == (probes, len(blocks), 2 * n, 2 * n)
            assert found.arrays["loss"].shape == (probes, 2 * n)
            assert found.arrays["lr"].shape == (probes,)
        if reading.kind == "weights":
            assert found.meta["repeats"] == found.meta["languages"]
            assert found.arrays["gram"].shape == (len(blocks), 2 * n, 2 * n)
        if reading.kind == "masks":
            assert all(np.isin(mask, (0, 1)).all() for mask in found.arrays.values())
