"""A step through subnetworks against a plain one, 12 languages, the same examples: time and memory.

Run with ``tox -e benchmark``; an ordinary test run skips them.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

STEPS = """
import statistics, sys, time
import numpy as np, torch
from transformers import BertConfig, BertModel
from benchmark.jobs import peak_memory_mb
from benchmark.training.batches import Batch
from benchmark.training.model import Classifier, cross_entropy
from benchmark.training.strategy import Plain, Start
from benchmark.training.subnets import SubnetDynamic, SubnetStatic
from tasks.languages import language

torch.set_num_threads(1)
torch.manual_seed(0)
name, size = sys.argv[1], sys.argv[2]
sizes = {"scratch": (128, 2, 4, 512, 4000), "large": (512, 6, 8, 2048, 8000)}
hidden, layers, heads, units, vocabulary = sizes[size]
encoder = BertModel(BertConfig(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                               intermediate_size=units, vocab_size=vocabulary), add_pooling_layer=False)
model = Classifier(encoder, 3).train()
codes = "eng swe dan nld fra ita pol ces fin est tur rus".split()
languages = [language(code) for code in codes]
random = np.random.default_rng(0)
masks = {code: {"heads": (random.random((layers, heads)) < 0.7) * 1.0,
                "units": (random.random((layers, units)) < 0.7) * 1.0} for code in codes}

def batch(rows):
    ids = torch.from_numpy(random.integers(5, vocabulary, (rows, 24)))
    return Batch(ids, torch.ones_like(ids), torch.from_numpy(random.integers(0, 3, rows)))

step = {one: batch(1 + (place < 4)) for place, one in enumerate(languages)}  # 16 examples
adam = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
made = {"plain": Plain, "static": SubnetStatic, "dynamic": lambda: SubnetDynamic(every=10)}

def timed(strategy, at):
    begun = time.perf_counter()
    strategy.backward(model, step, cross_entropy)
    adam.step()
    adam.zero_grad()
    strategy.end_step(at)
    return time.perf_counter() - begun

def prepared(kind):
    strategy = made[kind]()
    strategy.begin(Start(model, languages, 0, 1000, 1e-5, masks))
    return strategy

ratios = []
for _ in range(3 if name == "plain" or size == "large" else 8):  # in turn, since the machine's speed varies
    seconds = []
    for kind in ("plain", name):
        strategy = prepared(kind)
        times = [timed(strategy, at) for at in range(20 if size == "scratch" else 6)]
        seconds.append(statistics.median(times))
        strategy.end()
    ratios.append(seconds[1] / seconds[0])
print(statistics.median(ratios), peak_memory_mb(torch.device("cpu")))
"""


@pytest.mark.parametrize("size", ["scratch", "large"])
@pytest.mark.parametrize(("name", "limit"), [("static", 1.3), ("dynamic", 1.4)])
def test_a_step_against_plain(benchmark: BenchmarkFixture, name: str, limit: float, size: str) -> None:
    def measured(which: str) -> tuple[float, float]:
        arguments = [sys.executable, "-c", STEPS, which, size]
        done = subprocess.run(arguments, check=True, capture_output=True, text=True)
        ratio, peak = done.stdout.split()
        return float(ratio), float(peak)

    _, without = measured("plain")
    ratio, peak = benchmark.pedantic(measured, (name,), rounds=1)
    benchmark.extra_info.update(ratio=ratio, more_mb=peak - without)
    print(f"\n{name}, {size}: {ratio:.2f} times a plain step, {peak - without:+.0f} MB on {without:.0f} MB")
    assert ratio < limit
    assert peak < 1.15 * without
