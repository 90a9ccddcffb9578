"""How much of a GPU a training uses: an encoder of the size of XLM-R base with random weights, bf16.

A step's floating-point operations, counted by PyTorch, over its time, as a share of what a large product of
matrices reaches on the same device. Run with ``tox -e benchmark`` on a machine with a GPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

DEVICE = os.environ.get("KINSHIP_BENCHMARK_DEVICE", "cuda")  # "cpu": to see that it runs
SIZE = (768, 12, 12, 3072, 250_002) if DEVICE == "cuda" else (64, 2, 2, 128, 1000)

USED = """
import json, sys, time
import numpy as np, torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel
from benchmark.config import PRESETS
from benchmark.training.batches import Encoded, Mixture
from benchmark.training.loop import autocast, optimiser
from benchmark.training.microbatches import Backward
from benchmark.training.model import Classifier, cross_entropy
from benchmark.training.strategy import Plain
from tasks.languages import language

device, length, rows, steps = torch.device(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
hidden, layers, heads, units, vocabulary = map(int, sys.argv[5:])
hyper = PRESETS["quick"].scratch
precision = "bf16"

def wait():
    if device.type == "cuda":
        torch.cuda.synchronize(device)

def seconds(run, turns):
    run()
    wait()
    begun = time.perf_counter()
    for _ in range(turns):
        run()
    wait()
    return (time.perf_counter() - begun) / turns

side = 8192 if device.type == "cuda" else 512
a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
peak = 2 * side**3 / seconds(lambda: a @ b, 20)

torch.manual_seed(0)
config = BertConfig(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                    intermediate_size=units, vocab_size=vocabulary, attn_implementation="sdpa")
model = Classifier(BertModel(config, add_pooling_layer=False), 3).to(device).train()
adam = optimiser(model, hyper, device)
backward = Backward(model, Plain(), cross_entropy, rows, device)
parameters = [parameter for group in adam.param_groups for parameter in group["params"]]

def mixture(shortest):
    random = np.random.default_rng(0)
    lengths = random.integers(shortest, length + 1, rows * (steps + 2))
    lengths[::rows] = length
    ids = random.integers(5, vocabulary, lengths.sum()).astype(np.int32)
    offsets = np.r_[0, np.cumsum(lengths)]
    labels, halves = np.arange(len(lengths)) % 3, np.zeros(len(lengths), np.int8)
    return Mixture({language("eng"): Encoded(ids, None, offsets, labels, halves, 0)})

def step(batches):
    with autocast(device, precision):
        loss = backward({one: batch.to(device) for one, batch in batches.items()})
    torch.nn.utils.clip_grad_norm_(parameters, hyper.clip)
    adam.step()
    adam.zero_grad(set_to_none=True)
    return loss

def trained(shortest):
    data = mixture(shortest)
    batches = data.epoch(rows, 0)
    with FlopCounterMode(display=False) as counted:
        step(next(batches))
    step(next(batches))
    wait()
    total, begun = torch.zeros((), device=device), time.perf_counter()
    for one in batches:
        total += step(one)
    wait()
    return counted.get_total_flops(), (time.perf_counter() - begun) / steps

found = {"peak": peak}
for name, shortest in (("full", length), ("padded", max(2, length // 2))):
    flop, taken = trained(shortest)
    found[name] = {"flop": flop, "seconds": taken, "utilisation": flop / taken / peak}
print(json.dumps(found))
"""


@pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize(("length", "least"), [(64, 0.0), (128, 0.0), (256, 0.4)])
def test_a_training_uses_the_gpu(benchmark: BenchmarkFixture, length: int, least: float) -> None:
    """Batches of 32 texts, all of the same length or from half of it; two fifths of the peak at 256 tokens."""

    def measured() -> dict[str, dict[str, float]]:
        arguments = [sys.executable, "-c", USED, DEVICE, str(length), "32", "30", *map(str, SIZE)]
        done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, dict[str, float]] = json.loads(done.stdout)
        return found

    found = benchmark.pedantic(measured, rounds=1)
    benchmark.extra_info.update(found)
    for name in ("full", "padded"):
        one = found[name]
        rate = one["flop"] / one["seconds"] / 1e12
        print(
            f"\n{length} tokens, {name}: {one['seconds'] * 1e3:.1f} ms a step, {rate:.1f} TFLOP/s, "
            f"{one['utilisation']:.0%} of the peak of a product of matrices"
        )
    if DEVICE == "cuda":
        assert found["full"]["utilisation"] >= least
