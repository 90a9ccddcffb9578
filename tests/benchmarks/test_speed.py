"""Speed and memory, measured; what they are held to are ratios and the limits that users were told.

Run with ``tox -e benchmark``; an ordinary test run skips them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmark.config import RunConfig
from benchmark.jobs import execute
from benchmark.prepare import materialise, prepare
from benchmark.rows import rows
from benchmark.store import Store

CORPUS = os.environ.get("KINSHIP_DATA")


def python(*arguments: str, where: Path | None = None) -> None:
    subprocess.run([sys.executable, *arguments], check=True, cwd=where, stdout=subprocess.DEVNULL)


def test_list_answers_in_half_a_second(benchmark: BenchmarkFixture) -> None:
    benchmark.pedantic(python, ("-m", "benchmark", "list"), rounds=7, warmup_rounds=2)
    assert benchmark.stats.stats.median < 0.5


def test_a_run_with_everything_cached(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """The default languages with groups: everything but the trainings is computed anew."""
    arguments = ["-m", "benchmark", "run", "-m", "gradsim", "-t", "cldr-names", "--cache", "cache"]
    arguments += ["--epochs", "1", "--max-train", "100"]
    python(*arguments, where=tmp_path)
    benchmark.pedantic(python, arguments, {"where": tmp_path}, rounds=5, warmup_rounds=1)
    print(f"\na run with everything cached, 20 languages: {benchmark.stats.stats.median:.2f} s")
    assert benchmark.stats.stats.median < 2


def test_probes_take_at_most_30_percent_of_the_joint_training(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    setup = prepare(RunConfig(measures=("gradsim",), task="cldr-names", device="cpu", cache=tmp_path))
    materialise(setup)
    store = Store.at(tmp_path)
    job = setup.joint(setup.seeds[0], rows(["gradsim"])[0][0].readings)
    benchmark.pedantic(execute, (job, store), rounds=1)
    training = store.manifest(job.key)["cost"]["seconds"]
    probes = store.manifest(job.readings[0].key(job.key))["cost"]["seconds"]
    benchmark.extra_info["share"] = probes / training
    print(f"\nprobes take {probes / training:.0%} of the joint training ({probes:.1f} s of {training:.1f} s)")
    assert probes <= 0.30 * training


MEMORY = """
import sys
import numpy as np, torch
from transformers import BertConfig, BertModel
from benchmark.jobs import peak_memory_mb
from benchmark.training.batches import Encoded
from benchmark.training.model import Classifier
from benchmark.training.probes import GradientTrace

torch.set_num_threads(1)
budget = int(sys.argv[1])
encoder = BertModel(BertConfig(hidden_size=512, num_hidden_layers=6, num_attention_heads=8,
                               intermediate_size=2048, vocab_size=20000), add_pooling_layer=False)
model = Classifier(encoder, 3)
random = np.random.default_rng(0)
def pool():
    ids = random.integers(5, 20000, 64 * 12).astype(np.int32)
    return Encoded(ids, None, np.arange(65) * 12, np.arange(64) % 3, np.zeros(64, np.int8), 0)
trace = GradientTrace({str(i): pool() for i in range(12)}, probes=1, half_batch=16, parallel=False, seed=0,
                      precision="fp32", device=torch.device("cpu"), budget=budget)
peak = lambda: peak_memory_mb(torch.device("cpu"))
parameters = sum(p.numel() for p in model.parameters()) * 4 / 2**20
before = peak()
trace.look(model, 0, 0.0)
print(f"{peak() - before:.0f} {parameters:.0f} {trace.exact}")
"""


def test_the_trace_keeps_to_its_memory_budget(benchmark: BenchmarkFixture) -> None:
    """Beyond the budget: one gradient of the model, one pass' activations, and little else."""

    def growth(budget_mb: int) -> tuple[float, float, str]:
        arguments = [sys.executable, "-c", MEMORY, str(budget_mb << 20)]
        done = subprocess.run(arguments, check=True, capture_output=True, text=True)
        grown, parameters, exact = done.stdout.split()
        return float(grown), float(parameters), exact

    exactly = growth(4096)
    sketched = benchmark.pedantic(growth, (256,), rounds=1)
    print(f"\nexact: {exactly[0]:.0f} MB, 256 MB budget: {sketched[0]:.0f} MB, model: {sketched[1]:.0f} MB")
    assert (exactly[2], sketched[2]) == ("True", "False")
    assert sketched[0] < 256 + 2.5 * sketched[1]
    assert sketched[0] < 0.6 * exactly[0]


def test_the_main_job_takes_at_most_five_minutes(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    arguments = ["-m", "benchmark", "run", "--measure", "gradsim", "--task", "cldr-names", "--cache", "cache"]
    benchmark.pedantic(python, arguments, {"where": tmp_path}, rounds=1)
    assert benchmark.stats.stats.max < 300


def test_all_measures_take_at_most_twice_as_long_as_one(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """They share trainings and evidence; what they add is a second training of each language, and readings."""

    def seconds(measure: str) -> float:
        begun = time.perf_counter()
        arguments = [
            "-m",
            "benchmark",
            "run",
            "-m",
            measure,
            "-t",
            "cldr-names",
            "--no-groups",
            "--cache",
            measure,
        ]
        python(*arguments, "--device", "cpu", where=tmp_path)
        return time.perf_counter() - begun

    one = seconds("gradsim")
    every = benchmark.pedantic(seconds, ("all",), rounds=1)
    print(f"\nall measures: {every:.0f} s, gradsim alone: {one:.0f} s, ratio {every / one:.2f}")
    assert every <= 2.0 * one


UNTRAINED = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from benchmark.config import RunConfig
from benchmark.jobs import peak_memory_mb
from benchmark.prepare import materialise, prepare
from benchmark.registry import create
from benchmark.rows import ask, check, rows
from tasks.cldr_names import CldrNames

codes = tuple(language.code for language in CldrNames(classes=3).languages())[:100]
names = [name for name in sys.argv[2:]]
setup = prepare(RunConfig(tuple(names), "cldr-names[classes=3]", codes, device="cpu", cache=Path(sys.argv[1])))
materialise(setup)
begun = time.perf_counter()
found, _ = rows(names)
check(found, setup)
for row in found:
    if not row.trains and row.error is None:
        started = time.perf_counter()
        ask(row, setup, None)
        print(f"  {row.name}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
peak = peak_memory_mb(SimpleNamespace(type="cpu"))  # torch is not imported
print(len(setup.languages), time.perf_counter() - begun, peak)
"""


def test_measures_that_need_no_training_at_100_languages(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Their own time and memory; reading the task and tokenising it is not counted, but fits the memory too."""
    names = [
        "all",
        "overlap[unit=subwords]",
        "overlap[unit=chars]",
        "overlap[unit=chars,coefficient=jensen-shannon]",
    ]
    names += [f"typology[features={one}]" for one in ("geography", "all")] + ["topic[by=labels]"]

    def untrained() -> list[float]:
        done = subprocess.run(
            [sys.executable, "-c", UNTRAINED, str(tmp_path), *names], check=True, stdout=subprocess.PIPE, text=True
        )
        return [float(part) for part in done.stdout.split()]

    languages, seconds, peak = benchmark.pedantic(untrained, rounds=1)
    print(f"\n{languages:.0f} languages: {seconds:.0f} s, {peak:.0f} MB")
    assert languages == 100
    assert seconds < 120
    assert peak < 4096


@pytest.mark.skipif(CORPUS is None, reason="KINSHIP_DATA does not point at the corpora")
def test_afrisenti_takes_at_most_twelve_minutes(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    arguments = ["-m", "benchmark", "run", "--measure", "gradsim", "--task", "afrisenti", "--cache", "cache"]
    benchmark.pedantic(python, (*arguments, "--data", str(CORPUS)), {"where": tmp_path}, rounds=1)
    assert benchmark.stats.stats.max < 720
