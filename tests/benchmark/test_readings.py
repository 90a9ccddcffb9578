"""Readings: planned, refused, taken of models as they stand, put together from several trainings."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from benchmark import derived
from benchmark.config import RunConfig
from benchmark.errors import UserError
from benchmark.executors import InProcess
from benchmark.jobs import execute
from benchmark.plan import plan, stage_one
from benchmark.prepare import materialise, prepare
from benchmark.readings import REPEAT, ModelPlan
from benchmark.rows import check, rows
from measures import MeasureError, Reading

CODES = ("deu", "nld", "swe")
FISHER = Reading("each", "fisher")
AGAIN = Reading("each", "fisher", (REPEAT,))
MASKS = Reading("each", "masks", (("tolerance", 0.9),))
WEIGHTS = Reading("each", "weights")
VECTORS = Reading("joint", "embeddings")
UNTRAINED = Reading("initial", "embeddings", (("layer", 1),))


def prepared(cache, **changes):
    config = RunConfig(("overlap",), "cldr-names", CODES, max_train=60, max_eval=40, epochs=1, device="cpu")
    return prepare(replace(config, cache=cache, **changes))


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    """A run whose trainings are done, with one reading of every kind."""
    made = prepared(tmp_path_factory.mktemp("cache"))
    materialise(made)
    jobs = stage_one(made, {FISHER, AGAIN, MASKS, WEIGHTS, VECTORS, UNTRAINED})
    outcomes = list(InProcess().map(plan(jobs, made.store).todo, made.store))
    assert [outcome.error for outcome in outcomes] == [None] * 7  # joint, each and each again
    assert [outcome.unread for outcome in outcomes] == [()] * 7
    return made


def read(setup, reading, code=None):
    return derived.read(setup, setup.seeds[0], reading, code)


def test_what_trainings_a_reading_asks_for(setup):
    of = setup.seeds[0]

    def labels(*readings):
        return [job.label for job in setup.read_jobs(of, readings)]

    assert labels() == []
    assert labels(VECTORS) == labels(UNTRAINED) == ["joint"]
    assert labels(Reading("initial", "embeddings", (("model", "of somebody else"),))) == []
    assert labels(FISHER) == [*CODES]
    assert labels(AGAIN) == [f"{code} again" for code in CODES]
    assert labels(WEIGHTS) == [*CODES, *(f"{code} again" for code in CODES)]
    assert [job.readings for job in setup.read_jobs(of, [WEIGHTS])] == [()] * 6
    for job in setup.read_jobs(of, [FISHER, AGAIN, MASKS]):
        assert sorted(one.kind for one in job.readings) == (
            ["fisher"] if "again" in job.label else ["fisher", "masks"]
        )


def test_a_repeat_starts_the_same_and_goes_another_way(setup):
    of = setup.seeds[0]
    first, again = setup.each(of, "deu"), setup.again(of, "deu")
    assert (first.seed, first.model_digest, first.hyper) == (again.seed, again.model_digest, again.hyper)
    assert first.order is None
    assert again.order is not None
    assert first.data != again.data
    assert {row.text for row in of.train["deu"]} != {row.text for row in of.again["deu"]}
    assert len(of.train["deu"]) == len(of.again["deu"])
    weights = [load_file(setup.store.path(job.key) / "model.safetensors") for job in (first, again)]
    assert any(not np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_readings_of_a_model_as_it_stands(setup):
    vectors = read(setup, VECTORS)
    assert sorted(vectors.arrays) == sorted(CODES)
    assert all(len(vectors.arrays[code]) == len(setup.dev[code]) for code in CODES)
    untrained = read(setup, UNTRAINED)
    assert untrained.arrays["deu"].shape == vectors.arrays["deu"].shape
    assert not np.allclose(untrained.arrays["deu"], vectors.arrays["deu"], atol=1e-3)
    for reading in (FISHER, AGAIN):
        found = read(setup, reading, "nld")
        assert sorted(found.arrays) == sorted(found.meta["blocks"])
        assert all((array >= 0).all() and array.any() for array in found.arrays.values())
    assert not np.array_equal(read(setup, FISHER, "nld").arrays["head"], read(setup, AGAIN, "nld").arrays["head"])
    masks = read(setup, MASKS, "swe")
    assert set(np.unique(masks.arrays["units"])) <= {0, 1}
    assert masks.meta["kept"] >= 0.9 * masks.meta["full"]


def test_weights_are_put_together_once(setup, monkeypatch):
    found = read(setup, WEIGHTS)
    of = setup.seeds[0]
    assert found.meta["languages"] == found.meta["repeats"] == [*CODES]
    jobs = [make(of, code) for make in (setup.each, setup.again) for code in CODES]
    trained = [load_file(setup.store.path(job.key) / "model.safetensors") for job in jobs]
    # Differences of differences need no initial weights: ‖a − b‖² = G_aa − 2 G_ab + G_bb.
    gram = found.arrays["gram"].sum(axis=0)
    for a in range(6):
        for b in range(6):
            apart = sum(
                float(((trained[a][name].astype(float) - trained[b][name]) ** 2).sum()) for name in trained[a]
            )
            assert gram[a, a] - 2 * gram[a, b] + gram[b, b] == pytest.approx(apart, rel=1e-4, abs=1e-8)
    assert (np.diag(gram) > 0).all()
    monkeypatch.setattr("benchmark.training.weights.task_vectors", None)
    assert np.array_equal(read(setup, WEIGHTS).arrays["gram"], found.arrays["gram"])
    (key,) = derived.derived_keys(setup, of, WEIGHTS)
    assert setup.store.has(key)


def test_a_sentence_transformers_model_reads_the_dev_texts(setup, monkeypatch):
    reading = Reading("initial", "embeddings", (("model", "sentence-transformers/all-MiniLM-L6-v2"),))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    found = read(setup, reading)
    assert {code: array.shape for code, array in found.arrays.items()} == {
        code: (len(setup.dev[code]), 384) for code in CODES
    }
    monkeypatch.setattr("benchmark.training.embeddings.sentence_transformer_vectors", None)
    assert np.array_equal(read(setup, reading).arrays["swe"], found.arrays["swe"])


def test_what_cannot_be_read_is_told(setup):
    with pytest.raises(MeasureError, match="xho has no training data"):
        read(setup, FISHER, "xho")
    with pytest.raises(MeasureError, match="fisher of each is read by language"):
        read(setup, FISHER)
    with pytest.raises(MeasureError, match="embeddings of joint is read without a language"):
        read(setup, VECTORS, "deu")
    with pytest.raises(MeasureError, match=r"the deu training, or the reading of its masks, has failed"):
        read(setup, Reading("each", "masks", (("tolerance", 0.5),)), "deu")


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (Reading("joint", "masks"), "readings known here are gradients"),
        (Reading("each", "gradients", (("split", "dev"),)), "found gradients of each"),
        (Reading("joint", "gradients", (("split", "test"),)), "found gradients of joint with"),
        (Reading("joint", "embeddings", (("layer", 3),)), r"layers 0 \(embeddings\) to 2, .* found layer=3"),
        (Reading("initial", "embeddings", (("pooling", "cls"),)), "found embeddings of initial"),
    ],
)
def test_what_nobody_can_read_is_refused_before_anything_is_trained(setup, reading, said):
    with pytest.raises(UserError, match=said):
        setup.read_jobs(setup.seeds[0], [reading])


def test_a_reading_that_fails_harms_nothing_else(tmp_path):
    setup = prepared(tmp_path)
    materialise(setup)
    of = setup.seeds[0]
    job = setup.each(of, "deu", [FISHER])
    impossible = ModelPlan("embeddings", (("layer", 9),), "initial", job.readings[0].sets)
    unknown = ModelPlan("colour", (), "trained", job.readings[0].sets)
    outcome = execute(replace(job, readings=(impossible, unknown, *job.readings)), setup.store)
    assert outcome.error is None
    assert outcome.trained
    assert [one.split(":")[0] for one in outcome.unread] == [
        "embeddings of deu (seed 0)",
        "colour of deu (seed 0)",
    ]
    assert "found 9" in outcome.unread[0]
    assert setup.store.has(job.readings[0].key(job.key))
    assert len(setup.store.keys(f"{job.key}.predictions.")) == 1


def test_a_reading_added_later_trains_nothing(tmp_path, monkeypatch):
    setup = prepared(tmp_path)
    materialise(setup)
    of = setup.seeds[0]
    execute(setup.each(of, "deu"), setup.store)
    monkeypatch.setattr("benchmark.training.loop.train", None)
    job = setup.each(of, "deu", [FISHER])
    assert execute(job, setup.store).error is None
    assert derived.read(setup, of, FISHER, "deu").arrays["head"].any()


def test_masks_of_a_model_without_heads_are_refused_by_name(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "fnet", "num_hidden_layers": 2}))
    (folder / "model.safetensors").write_bytes(b"none")
    measures, _ = rows(["subnetwork", "overlap"])
    setup = prepared(tmp_path / "cache", model=str(folder))
    check(measures, setup)
    errors = {row.called: row.error for row in measures if row.asked}
    assert errors["overlap"] is None
    assert "fnet" in errors["subnetwork"]
    assert not any(row.readings for row in measures if row.called == "subnetwork")
