"""How much of a GPU trainings use. Run with ``tox -e benchmark`` on a machine with a GPU.

A large model: an encoder of the size of XLM-R base with random weights, bf16; a step's floating-point operations,
counted by PyTorch, over its time, as a share of what a large product of matrices reaches on the same device.
Small ones, of the default size: one after the other, and stacked, one step for all by ``torch.func.vmap``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

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


STACKED = """
import copy, json, sys, time
import torch
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertModel
from benchmark.config import PRESETS, SCRATCH_LAYERS
from benchmark.training.batches import Batch
from benchmark.training.model import Classifier
from benchmark.training.scratch import FEED_FORWARD, HEADS, HIDDEN

device, count, rows, length, steps = torch.device(sys.argv[1]), *map(int, sys.argv[2:])
hyper = PRESETS["quick"].scratch
torch.set_num_threads(1)
torch.manual_seed(0)
config = BertConfig(vocab_size=2000, hidden_size=HIDDEN, num_hidden_layers=SCRATCH_LAYERS,
                    num_attention_heads=HEADS, intermediate_size=FEED_FORWARD, hidden_dropout_prob=0.0,
                    attention_probs_dropout_prob=0.0,  # on a CPU the fused attention cannot be stacked
                    attn_implementation="sdpa" if device.type == "cuda" else "eager")
models = [Classifier(BertModel(config, add_pooling_layer=False), 4).to(device) for _ in range(count)]
for model in models:
    model.dropout.p = 0.0
ids = torch.randint(5, 2000, (count, rows, length), device=device)
labels = torch.randint(0, 4, (count, rows), device=device)
mask = torch.ones(rows, length, dtype=torch.long, device=device)

stacked, buffers = stack_module_state(models)
stacked = {name: parameter.detach().clone().requires_grad_() for name, parameter in stacked.items()}
form = copy.deepcopy(models[0]).to("meta")

def loss_of(parameters, buffers, ids, labels):
    logits = functional_call(form, (parameters, buffers), (Batch(ids, mask, labels, full=True),))
    return cross_entropy(logits.float(), labels)

together = torch.optim.AdamW([*stacked.values()], lr=hyper.lr, weight_decay=0.0, fused=True)
apart = [torch.optim.AdamW(model.parameters(), lr=hyper.lr, weight_decay=0.0, fused=True) for model in models]

def one_after_the_other():
    found = []
    for model, adam, these, those in zip(models, apart, ids, labels):
        loss = cross_entropy(model(Batch(these, mask, those, full=True)).float(), those)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), hyper.clip)
        adam.step()
        adam.zero_grad(set_to_none=True)
        found.append(loss.detach())
    return torch.stack(found)

def all_at_once():
    grads, losses = vmap(grad_and_value(loss_of))(stacked, buffers, ids, labels)
    norm = sum(grad.flatten(1).square().sum(1) for grad in grads.values()).sqrt()
    shrink = (hyper.clip / (norm + 1e-6)).clamp(max=1.0)
    for name, parameter in stacked.items():
        parameter.grad = grads[name] * shrink.view(-1, *[1] * (grads[name].ndim - 1))
    together.step()
    return losses

def timed(step):
    found = [step() for _ in range(3)]
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begun = time.perf_counter()
    found += [step() for _ in range(steps)]
    last = found[-1].tolist()
    return (time.perf_counter() - begun) / steps, last

seconds, losses = zip(*(timed(step) for step in (one_after_the_other, all_at_once)))
print(json.dumps({"apart": seconds[0], "stacked": seconds[1], "losses": losses}))
"""


@pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("count", [4, 20])
def test_small_models_stacked(benchmark: BenchmarkFixture, count: int) -> None:
    """Batches of 16 texts of 12 tokens; either way the models come to the same losses."""

    def measured() -> dict[str, Any]:
        arguments = [sys.executable, "-c", STACKED, DEVICE, str(count), "16", "12", "30"]
        done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    found = benchmark.pedantic(measured, rounds=1)
    benchmark.extra_info.update(found)
    gain = found["apart"] / found["stacked"]
    print(
        f"\n{count} small models: a step of each takes {found['apart'] * 1e3:.1f} ms one after the other, "
        f"{found['stacked'] * 1e3:.1f} ms stacked: {gain:.2f} times as fast"
    )
    assert found["losses"][1] == pytest.approx(found["losses"][0], rel=1e-2, abs=1e-3)


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
