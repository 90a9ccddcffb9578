"""How time and memory grow with the number of languages, and the statistics of a hundred of them.

Nothing but the trainings and what is made of every pair of languages (scores, their statistics) may grow faster
than the number of languages. Tiny trainings of `cldr-names` on one thread, in processor time.

Run with ``tox -e benchmark``; an ordinary test run skips them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

SIZES = (4, 8, 16, 32, 64, 0)  # 0: all of them
FITTED = 4  # of the largest sizes: below, what every run takes hides how it grows
MOST = {  # exponents
    "prepare": 1.25,
    "encode": 1.25,
    "trainings": 1.25,
    "scoring": 2.25,
    "plan": 2.25,
    "cached": 2.25,
    "page": 2.25,
    "mb": 0.5,
}

ENVIRONMENT = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # as python -m benchmark has it

GROWTH = """
import json, sys, time
from dataclasses import replace
from pathlib import Path
import torch, transformers
import benchmark.training.execution
from benchmark.config import RunConfig
from benchmark.jobs import execute, peak_memory_mb
from benchmark.plan import plan, stage_one
from benchmark.prepare import materialise, prepare
from benchmark.runner import run
from leaderboard.board import rebuild
from tasks.cldr_names import CldrNames

where, count = Path(sys.argv[1]), int(sys.argv[2])
codes = tuple(one.code for one in CldrNames().languages())[: count or None]

def configured(codes, where):
    return RunConfig(("overlap",), "cldr-names", codes, grouping=None, max_train=40, max_eval=20, epochs=1,
                     device="cpu", jobs=1, cache=where / "cache", output=where / "results")

marks = [0.0]
def lap():
    marks.append(time.process_time())
    return marks[-1] - marks[-2]

def work(config):
    # Processor seconds of the parts of a run.
    lap()
    setup = prepare(config)
    found = {"prepare": lap()}
    materialise(setup)
    found["encode"] = lap()
    jobs = plan(stage_one(setup, ()), setup.store).todo
    found["plan"] = lap()
    for job in jobs:
        execute(replace(job, evaluate=()), setup.store)
    found["trainings"] = lap()
    for job in jobs:
        outcome = execute(job, setup.store)
        assert outcome.error is None, outcome.error
    found["scoring"] = lap()
    run(config)
    found["cached"] = lap()
    rebuild(config.output)
    found["page"] = lap()
    return found

work(configured(codes[:3], where / "warm"))  # imports, and what else is done once in a process
found = work(configured(codes, where / str(count)))
found["mb"] = peak_memory_mb(torch.device("cpu"))
print(json.dumps({"languages": len(codes), **found}))
"""

STATISTICS = """
import json, sys, time
import numpy as np
from benchmark.auto_k import auto_k
from benchmark.cover import cover
from benchmark.grouping import agglomerative, default_k, partition, random_partitions
from leaderboard.items import ItemBootstrap, item_interval
from leaderboard.statistics import correlations

n, labels = 100, 4
items, seeds, draws = map(int, sys.argv[1:])
random = np.random.default_rng(0)
hidden = random.normal(size=(n, 6))
alike = -np.linalg.norm(hidden[:, None] - hidden[None], axis=-1)
T = alike + 0.5 * random.normal(size=(n, n)) + random.normal(size=n)[:, None]
S = alike + 0.5 * random.normal(size=(n, n))
gaps = np.where(random.random((n, n)) < 0.1, np.nan, S)
controls = {"script": 1.0 * (random.random((n, n)) < 0.3), "family": 1.0 * (random.random((n, n)) < 0.1)}
k = default_k(n)

def counts(runs):
    gold = random.integers(0, labels, items)
    found = np.zeros((runs, items, 3, labels), dtype=np.int64)
    for one in found:
        said = np.where(random.random(items) < 0.6, gold, random.integers(0, labels, items))
        one[np.arange(items), 0, gold] = said == gold
        one[np.arange(items), 1, gold] = one[np.arange(items), 2, said] = 1
    return found

systems = [{f"l{place}": counts(seeds) for place in range(n)} for _ in range(3 + draws)]

def gains():
    found = ItemBootstrap()
    grouped, multilingual, monolingual, *drawn = [found.scores(one, "macro_f1") for one in systems]
    for other in (multilingual, monolingual, np.mean(drawn, axis=0)):
        item_interval(grouped, other)

parts = {
    "correlations": lambda: correlations(S, T, T, [T, T + 0.1], seed=0, controls=controls),
    "correlations with gaps": lambda: correlations(gaps, T, T, [T, T + 0.1], seed=0, controls=controls),
    "gains": gains,
    "partition": lambda: partition(S, k),
    "agglomerative": lambda: agglomerative(S, k),
    "cover": lambda: cover(S, k),
    "auto": lambda: auto_k(S, 0),
    "random partitions": lambda: random_partitions([4] * (n // 4), draws, 0),
}
seconds = {}
for name, part in parts.items():
    begun = time.process_time()
    part()
    seconds[name] = time.process_time() - begun
print(json.dumps(seconds))
"""


def test_nothing_but_trainings_and_pairs_grows_faster(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    def measured() -> list[dict[str, float]]:
        found = []
        for size in SIZES:
            arguments = [sys.executable, "-c", GROWTH, str(tmp_path), str(size)]
            done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
            found.append(json.loads(done.stdout.splitlines()[-1]))
        return found

    found = benchmark.pedantic(measured, rounds=1)
    n = np.log([one["languages"] for one in found[-FITTED:]])
    fitted = {name: float(np.polyfit(n, np.log([one[name] for one in found[-FITTED:]]), 1)[0]) for name in MOST}
    benchmark.extra_info.update(exponents=fitted)
    print(f"\n{'languages':>10}" + "".join(f"{one['languages']:>8.0f}" for one in found) + "  exponent")
    for name in MOST:
        print(f"{name:>10}" + "".join(f"{one[name]:>8.2f}" for one in found) + f"  {fitted[name]:.2f}")
    assert {name: exponent for name, exponent in fitted.items() if exponent > MOST[name]} == {}


@pytest.mark.parametrize(
    ("items", "seeds", "draws", "left_out"),
    [
        (400, 1, 3, ()),
        (1000, 3, 20, ("agglomerative", "cover", "auto")),
    ],  # the latter without what has to be asked for
)
def test_groups_and_statistics_of_100_languages(
    benchmark: BenchmarkFixture, items: int, seeds: int, draws: int, left_out: tuple[str, ...]
) -> None:
    """What one record takes at most: a measure that does not know every pair, by the slowest rule for groups."""

    def measured() -> dict[str, float]:
        arguments = [sys.executable, "-c", STATISTICS, *map(str, (items, seeds, draws))]
        done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        found: dict[str, float] = json.loads(done.stdout)
        return found

    seconds = benchmark.pedantic(measured, rounds=1)
    benchmark.extra_info.update(seconds)
    print("\n" + ", ".join(f"{name} {taken:.1f} s" for name, taken in seconds.items()))
    rules = {"partition", "agglomerative", "cover"}.difference(left_out)
    rest = {"correlations with gaps", "gains", "auto", "random partitions"}.difference(left_out)
    assert max(seconds[name] for name in rules) + sum(seconds[name] for name in rest) < 10
