"""The gradient trace: its share of a training, and beside it the obvious way, every gradient whole.

Run with ``tox -e benchmark``; an ordinary test run skips them. Time is processor time of one thread, in turns, so
that a busy machine makes both slower; memory is a process' peak over that before its first gradient.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

LOOK = """
import json, sys, time
import numpy as np, torch
from transformers import BertConfig, BertModel
from benchmark.jobs import peak_memory_mb
from benchmark.training.batches import Encoded, collate
from benchmark.training.model import Classifier, blocks, cross_entropy
from benchmark.training.probes import GradientTrace

torch.set_num_threads(1)
torch.manual_seed(0)
size, way, budget, turns, where = sys.argv[1], sys.argv[2], int(sys.argv[3]) << 20, int(sys.argv[4]), sys.argv[5]
hidden, layers, heads, units, vocabulary, languages, half = {
    "scratch": (128, 2, 4, 512, 8000, 20, 64), "large": (512, 6, 8, 2048, 20000, 12, 16)}[size]
encoder = BertModel(BertConfig(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                               intermediate_size=units, vocab_size=vocabulary, attn_implementation="sdpa"),
                    add_pooling_layer=False)
model = Classifier(encoder, 3).eval()
random = np.random.default_rng(0)

def pool():
    lengths = np.maximum(3, random.poisson(8, 4 * half))
    ids = random.integers(5, vocabulary, lengths.sum()).astype(np.int32)
    offsets = np.r_[0, np.cumsum(lengths)]
    return Encoded(ids, None, offsets, np.arange(4 * half) % 3, np.zeros(4 * half, np.int8), 0)

pools = {str(place): pool() for place in range(languages)}

def trace():
    return GradientTrace(pools, probes=1, half_batch=half, parallel=False, seed=0, precision="fp32",
                         device=torch.device("cpu"), budget=budget)

def ours():
    found = trace()
    found.look(model, 0, 0.0)
    return found.grams[0].sum(0), found.exact

def obvious():
    draws = trace()
    halves = [draws.draw(one) for one in pools.values()]
    parameters = list(model.parameters())
    flat = []
    for side in (0, 1):
        for one, rows in zip(pools.values(), halves):
            loss = cross_entropy(model, collate(one, rows[side]))
            flat.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)]))
    gradients = torch.stack(flat)
    return (gradients @ gradients.T).double().numpy(), True

peak = lambda: peak_memory_mb(torch.device("cpu"))
ways = {"ours": ours, "obvious": obvious}
seconds = {name: [] for name in way.split("+")}
before = peak()
for _ in range(turns):
    for name in seconds:
        begun = time.thread_time()
        gram, exact = ways[name]()
        seconds[name].append(time.thread_time() - begun)
np.save(where, gram)
size = sum(parameter.nbytes for parameter in model.parameters()) / 2**20
print(json.dumps({"seconds": seconds, "mb": peak() - before, "model": size, "exact": exact}))
"""


SHARE = """
import json, sys, time
from dataclasses import replace
import numpy as np, torch
from transformers import BertConfig, BertModel
from benchmark.config import PRESETS
from benchmark.resolve import HALF_BATCHES, PROBES
from benchmark.training.batches import Encoded, Mixture
from benchmark.training.loop import train
from benchmark.training.model import Classifier
from benchmark.training.probes import GradientTrace
from benchmark.training.strategy import Plain
from tasks.languages import language

torch.set_num_threads(1)
torch.manual_seed(0)
tokens, probes = int(sys.argv[1]), 3
codes = "eng swe dan nld fra ita pol ces fin est tur rus".split()
random = np.random.default_rng(0)
preset = PRESETS["standard"]
hyper = replace(preset.scratch, epochs=1, precision="fp32")

def pool(rows):
    lengths = np.clip(random.poisson(tokens, rows), 3, 128)
    ids = random.integers(5, 8000, lengths.sum()).astype(np.int32)
    return Encoded(ids, None, np.r_[0, np.cumsum(lengths)], np.arange(rows) % 3, np.zeros(rows, np.int8), 0)

config = BertConfig(hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=512,
                    vocab_size=8000, attn_implementation="sdpa")
model = Classifier(BertModel(config, add_pooling_layer=False), 3)

class Timed(GradientTrace):
    cpu = 0.0
    def look(self, *given):
        begun = time.thread_time()
        super().look(*given)
        self.cpu += time.thread_time() - begun

rows = 200
mixture = Mixture({language(code): pool(rows) for code in codes})
trace = Timed({code: pool(2000) for code in codes}, probes=probes, half_batch=HALF_BATCHES[1], parallel=False,
              seed=0, precision="fp32", device=torch.device("cpu"))
begun = time.thread_time()
train(model, mixture, hyper, Plain(), 0, torch.device("cpu"), probes=[trace])
training = time.thread_time() - begun - trace.cpu
per_example = training / (rows * len(codes))
of_probe = trace.cpu / probes / (2 * HALF_BATCHES[1] * len(codes))
whole = per_example * preset.max_train * preset.scratch.epochs * len(codes)
print(json.dumps({"share": trace.cpu / probes * PROBES[1] / whole, "cost": of_probe / per_example}))
"""


def look(size: str, way: str, where: Path, budget: int = 8192, turns: int = 1) -> dict[str, Any]:
    """What the script says, and cosines of the gradients; ``budget`` in MB."""
    arguments = [sys.executable, "-c", LOOK, size, way, str(budget), str(turns), str(where / "gram.npy")]
    done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    gram = np.load(where / "gram.npy")
    norms = np.sqrt(np.diag(gram))
    return {**found, "cosines": gram / np.outer(norms, norms)}


@pytest.mark.parametrize("size", ["scratch", "large"])
def test_against_whole_gradients(benchmark: BenchmarkFixture, tmp_path: Path, size: str) -> None:
    """As exact, and as fast; the table of embeddings, of which a batch touches little, is not held whole."""
    obvious = look(size, "obvious", tmp_path)
    ours = look(size, "ours", tmp_path)
    turns = 5 if size == "scratch" else 2
    both = benchmark.pedantic(look, (size, "ours+obvious", tmp_path, 8192, turns), rounds=1)
    ratio = float(np.median(np.divide(both["seconds"]["ours"], both["seconds"]["obvious"])))
    apart = float(np.abs(ours["cosines"] - obvious["cosines"]).max())
    benchmark.extra_info.update(ratio=ratio, mb=ours["mb"], obvious_mb=obvious["mb"], apart=apart)
    print(
        f"\n{size}: {ratio:.2f} times the time of whole gradients, "
        f"{ours['mb']:.0f} MB against {obvious['mb']:.0f} MB, "
        f"model {ours['model']:.0f} MB, cosines apart by at most {apart:.1e}"
    )
    assert ours["exact"]
    assert apart < 1e-4
    assert ratio < 1.5
    assert ours["mb"] < obvious["mb"]


@pytest.mark.parametrize("budget", [256, 64, 16])
def test_error_of_sketches(benchmark: BenchmarkFixture, tmp_path: Path, budget: int) -> None:
    """Beyond the budget, cosines are off by about 1/√buckets of each block; here by their sum over blocks."""
    exact = look("large", "ours", tmp_path)
    found = benchmark.pedantic(look, ("large", "ours", tmp_path, budget), rounds=1)
    languages = len(exact["cosines"])
    off = ~np.eye(languages, dtype=bool)
    error = float(np.sqrt(np.mean((found["cosines"] - exact["cosines"])[off] ** 2)))
    benchmark.extra_info.update(error=error, mb=found["mb"])
    print(f"\nbudget {budget} MB: cosines off by {error:.4f} (root mean square), {found['mb']:.0f} MB")
    assert not found["exact"]
    buckets = min(1 << 18, (budget << 20) // (languages * 4 * 9))  # 9 blocks
    assert error < 2 / np.sqrt(buckets)


@pytest.mark.parametrize("tokens", [8, 40])
def test_the_probes_share_of_a_joint_training(benchmark: BenchmarkFixture, tokens: int) -> None:
    """Of `standard`, with as many examples as that takes; a step and a probe are timed and multiplied.

    Where data is scarcer, ``probe_share`` bounds it.
    """

    def measured() -> dict[str, float]:
        arguments = [sys.executable, "-c", SHARE, str(tokens)]
        done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found

    found = benchmark.pedantic(measured, rounds=1)
    benchmark.extra_info.update(found)
    print(
        f"\n{tokens} tokens a text: default probes take {found['share']:.1%} of a joint training in standard, "
        f"an example {found['cost']:.2f} times one trained on"
    )
    assert found["share"] <= 0.15
