"""Where the time of a training step goes, and how fast a model predicts: the default encoder on one thread.

Run with ``tox -e benchmark``; an ordinary test run skips them. Parts are timed in turns, in processor time.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

STEP = """
import json, sys, time
import numpy as np, torch
from transformers import BertConfig, BertModel
from benchmark.config import PRESETS, SCRATCH_LAYERS
from benchmark.training.batches import Batch
from benchmark.training.loop import optimiser
from benchmark.training.model import Classifier, cross_entropy
from benchmark.training.scratch import FEED_FORWARD, HEADS, HIDDEN

torch.set_num_threads(1)
rows, tokens, turns = 16, int(sys.argv[1]), 60
hyper = PRESETS["quick"].scratch

def model(dropout):
    torch.manual_seed(0)
    config = BertConfig(hidden_size=HIDDEN, num_hidden_layers=SCRATCH_LAYERS, num_attention_heads=HEADS,
                        intermediate_size=FEED_FORWARD, vocab_size=800, attn_implementation="sdpa",
                        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    found = Classifier(BertModel(config, add_pooling_layer=False), 4).train()
    found.dropout.p = dropout
    return found

def batch(rows, tokens):
    ids = torch.randint(5, 800, (rows, tokens))
    return Batch(ids, torch.ones_like(ids), torch.randint(0, 4, (rows,)))

class Steps:
    def __init__(self, dropout, batch):
        self.model, self.batch = model(dropout), batch
        self.adam = optimiser(self.model, hyper, torch.device("cpu"))

    def parts(self):
        times = [time.thread_time()]
        loss = cross_entropy(self.model, self.batch)
        loss.backward()
        times.append(time.thread_time())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), hyper.clip)
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        times.append(time.thread_time())
        return np.diff(times)

linear = ([(HIDDEN, HIDDEN)] * 4 + [(HIDDEN, FEED_FORWARD), (FEED_FORWARD, HIDDEN)]) * SCRATCH_LAYERS
inputs = [(torch.randn(rows * tokens, a), torch.randn(b, a), torch.randn(rows * tokens, b)) for a, b in linear]

def products():
    begun = time.thread_time()
    for x, weight, gradient in inputs:
        torch.nn.functional.linear(x, weight)
        gradient @ weight
        gradient.T @ x
    return time.thread_time() - begun

whole, without, least = Steps(0.1, batch(rows, tokens)), Steps(0.0, batch(rows, tokens)), Steps(0.0, batch(1, 2))
times = np.array([[*whole.parts(), *without.parts(), *least.parts(), products()] for _ in range(turns)])
passes, update, dry, _, fixed, _, matrices = np.percentile(times, 15, axis=0) * 1e3
flop = 6 * rows * tokens * sum(a * b for a, b in linear)
evaluated = batch(256, tokens)
whole.model.eval()
predicting = []
with torch.inference_mode():
    for _ in range(turns // 4):
        begun = time.thread_time()
        whole.model(evaluated)
        predicting.append(time.thread_time() - begun)
predicting = np.percentile(predicting, 15)
print(json.dumps({
    "step": passes + update, "products": matrices, "fixed": fixed, "optimiser": update, "dropout": passes - dry,
    "rest": dry - fixed - matrices, "gflops": flop / matrices / 1e6, "gflops_step": flop / (passes + update) / 1e6,
    "gflops_predicting": flop / 3 / rows * 256 / predicting / 1e9, "texts": 256 / predicting}))
"""


@pytest.mark.parametrize("tokens", [8, 32])
def test_where_a_step_goes(benchmark: BenchmarkFixture, tokens: int) -> None:
    def measured() -> dict[str, float]:
        done = subprocess.run(
            [sys.executable, "-c", STEP, str(tokens)], check=True, stdout=subprocess.PIPE, text=True
        )
        found: dict[str, float] = json.loads(done.stdout)
        return found

    found = benchmark.pedantic(measured, rounds=1)
    benchmark.extra_info.update(found)
    parts = [f"{name} {found[name]:.1f}" for name in ("products", "fixed", "optimiser", "dropout", "rest")]
    print(
        f"\n{tokens} tokens a text: a step {found['step']:.1f} ms ({', '.join(parts)}); GFLOP/s: products "
        f"{found['gflops']:.0f}, step {found['gflops_step']:.0f}, predicting {found['gflops_predicting']:.0f} "
        f"({found['texts']:.0f} texts a second)"
    )
    assert found["gflops_step"] > 0.15 * found["gflops"]
    assert found["gflops_predicting"] > 0.35 * found["gflops"]
