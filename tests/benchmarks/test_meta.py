"""A step of meta-learning against a plain one, 12 languages, the same examples: time and memory.

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
from benchmark.training.batches import Encoded, Mixture
from benchmark.training.meta import Meta
from benchmark.training.model import Classifier, cross_entropy
from benchmark.training.strategy import Plain, Start
from tasks.languages import language

torch.set_num_threads(1)
torch.manual_seed(0)
name, size = sys.argv[1], sys.argv[2]
sizes = {"scratch": (128, 2, 4, 512, 4000), "large": (512, 6, 8, 2048, 8000)}
hidden, layers, heads, units, vocabulary = sizes[size]
encoder = BertModel(BertConfig(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                               intermediate_size=units, vocab_size=vocabulary), add_pooling_layer=False)
model = Classifier(encoder, 3).train()
random = np.random.default_rng(0)

def examples():
    lengths = random.integers(6, 30, 200)
    ids = random.integers(5, vocabulary, lengths.sum()).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Encoded(ids, None, offsets, np.arange(200) % 3, np.zeros(200, np.int8), 0)

codes = "eng swe dan nld fra ita pol ces fin est tur rus".split()
mixture = Mixture({language(code): examples() for code in codes})
steps = list(mixture.epoch(16, 0))[: 30 if size == "scratch" else 8]
adam = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
made = {"plain": Plain, "fomaml": Meta, "reptile": lambda: Meta("reptile"),
        "dynamic": lambda: Meta(masks="dynamic")}

def seconds(kind):
    strategy = made[kind]()
    strategy.begin(Start(model, mixture.languages, 0, 10000, 1e-5))
    times = []
    for at, batches in enumerate(steps):
        begun = time.perf_counter()
        strategy.backward(model, batches, cross_entropy)
        adam.step()
        adam.zero_grad()
        strategy.end_step(at)
        times.append(time.perf_counter() - begun)
    strategy.end()
    return statistics.median(times[3:])

turns = range(3 if name == "plain" or size == "large" else 6)  # in turn, since the machine's speed varies
ratios = [seconds(name) / seconds("plain") for _ in turns]
print(statistics.median(ratios), peak_memory_mb(torch.device("cpu")))
"""


@pytest.mark.parametrize("size", ["scratch", "large"])
@pytest.mark.parametrize("name", ["fomaml", "reptile", "dynamic"])
def test_a_step_against_plain(benchmark: BenchmarkFixture, name: str, size: str) -> None:
    """Two passes instead of one, the first over examples of several steps, and so padded more; what it leaves
    is kept for the second."""

    def measured(which: str) -> tuple[float, float]:
        arguments = [sys.executable, "-c", STEPS, which, size]
        done = subprocess.run(arguments, check=True, capture_output=True, text=True)
        ratio, peak = done.stdout.split()
        return float(ratio), float(peak)

    _, plain = measured("plain")
    ratio, peak = benchmark.pedantic(measured, (name,), rounds=1)
    benchmark.extra_info.update(ratio=ratio, peak_mb=peak, plain_mb=plain)
    print(f"\n{name}, {size}: {ratio:.2f} times plain's time, {peak - plain:+.0f} MB beside its {plain:.0f} MB")
    assert ratio <= 5.0
    assert peak <= 1.7 * plain
