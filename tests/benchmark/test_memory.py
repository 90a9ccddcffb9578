"""The estimate of memory against what trainings of several sizes have used."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from benchmark import memory
from benchmark.executors import Pool
from benchmark.jobs import EvalSet, Hyper, TrainJob
from benchmark.memory import LOADED, Estimate, activations, available, need, shape
from benchmark.models import Model, pretrained
from benchmark.readings import TracePlan
from tasks.base import Example

FACTOR = 2.0  # between estimate and measurement, either way
GIB = 2**30
HYPER = Hyper(epochs=1, batch_size=16, lr=1e-4, max_length=64, precision="fp32")


@pytest.fixture
def encoder(tmp_path, tiny_folder):
    """A BERT of any size, random, in a folder with a tokenizer."""

    def make(hidden: int, layers: int, vocabulary: int) -> Model:
        import shutil

        from transformers import BertConfig, BertModel

        folder = tmp_path / f"{hidden}-{layers}-{vocabulary}"
        shutil.copytree(tiny_folder, folder)
        config = BertConfig(
            vocab_size=vocabulary,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=hidden // 64,
            intermediate_size=4 * hidden,
        )
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
        return pretrained(str(folder), offline=True)

    return make


def a_job(model: Model, **more) -> TrainJob:
    return TrainJob(
        **{
            **{"task": "t", "labels": 2, "metric": "macro_f1", "data": (("deu", "key"),), "model": model.name},
            **{"model_digest": model.digest, "hyper": HYPER, "seed": 0, "numerics": "n", "names": ("a", "b")},
            **{"model_path": str(model.folder), "label": "deu"},
            **more,
        }
    )


@pytest.mark.parametrize(("hidden", "layers", "vocabulary"), [(128, 2, 2000), (384, 4, 30000)])
def test_the_estimate_is_within_its_factor_of_the_peak(hidden, layers, vocabulary, encoder, tiny):
    model = encoder(hidden, layers, vocabulary)
    source = random.Random(0)
    words = ["Haus", "Weg", "und", "Stadt", "am", "Wasser"]
    train, test = (
        [Example(" ".join(source.choices(words, k=30)), place % 2) for place in range(count)]
        for count in (48, 200)
    )
    encoded = tiny.encode(train), tiny.encode(test)
    job = a_job(model, data=(("deu", encoded[0]),), evaluate=(EvalSet("deu", "test", encoded[1]),))
    (outcome,) = Pool(1).map([job], tiny.store)
    assert outcome.error is None
    peaks = [tiny.store.manifest(key)["cost"]["peak_memory_mb"] for key in tiny.store.keys(job.key)]
    estimated = (LOADED + need(job, shape(model), HYPER.max_length)) / 2**20
    assert max(peaks) / FACTOR < estimated < max(peaks) * FACTOR


def test_the_shape_of_a_folder_is_what_is_in_it(encoder):
    from benchmark.training.model import load_encoder

    made = encoder(128, 3, 1000)
    found = shape(made)
    assert found.parameters == sum(one.numel() for one in load_encoder(made.folder).parameters())
    assert (found.table, found.layers, found.hidden, found.inner, found.heads) == (128_000, 3, 128, 512, 2)


def test_a_scratch_model_that_is_not_built_is_guessed(tmp_path):
    found = shape(Model("scratch", tmp_path / "nowhere", "d"))
    assert 1_400_000 < found.parameters < 1_700_000
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(bytes(4000))
    assert shape(Model("theirs", tmp_path, "d")).parameters == 1000


def test_what_needs_more_is_estimated_higher(encoder):
    model = encoder(128, 2, 2000)
    of, job = shape(model), a_job(model)
    small = need(job, of, 64)
    assert need(job, replace(of, parameters=100 * of.parameters), 64) > 90 * 16 * of.parameters
    assert need(replace(job, hyper=replace(HYPER, patience=2)), of, 64) == small + 4 * of.parameters
    assert need(replace(job, hyper=replace(HYPER, batch_size=4096)), of, 64) > 4 * small
    assert activations(32, 64, of) == 2 * activations(16, 64, of)
    assert activations(16, 128, of) > 2 * activations(16, 64, of)
    plan = TracePlan("gradients", (), tuple((str(i), "key") for i in range(40)), 8, 64, True)
    traced = need(replace(job, readings=(plan,)), of, 64)
    assert traced > 80 * 4 * (of.parameters - of.table)


@pytest.mark.parametrize(
    ("there", "workers", "said"),
    [
        (None, 2, None),
        (10 * GIB, 2, None),
        (7 * GIB, 4, "about 9.0 GiB of memory, and 7.0 GiB are free; --jobs 3 would fit"),
        (2 * GIB, 4, "about 9.0 GiB of memory, and 2.0 GiB are free; a smaller model or --batch-size may fit"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(there, workers, said):
    found = Estimate(2 * GIB, workers, 1 * GIB, "joint", "memory", there)
    assert found.fits == (said is None)
    assert (found.warning or "").endswith(said or "")
    assert (found.warning is None) == (said is None)
    assert "the largest: joint" in found.line()


def test_what_is_there(monkeypatch, tmp_path):
    assert 2**20 < (available() or 0) < 2**50
    monkeypatch.setattr(memory, "_meminfo", lambda: 8 * GIB)
    monkeypatch.setattr(memory, "_cgroup", lambda: 2 * GIB)
    assert available() == 2 * GIB
    monkeypatch.setattr(memory, "_cgroup", lambda: None)
    assert available() == 8 * GIB
    monkeypatch.setattr(memory, "_meminfo", lambda: None)
    assert available() is None
