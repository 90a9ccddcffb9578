"""The one place where work happens: nothing twice, nothing by halves, the same bits everywhere."""

from __future__ import annotations

import importlib
import json
import pickle
import subprocess
import sys
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest

from benchmark import executors
from benchmark.encoding import Encoder
from benchmark.executors import InProcess, Pool
from benchmark.jobs import EvalSet, Hyper, Outcome, TrainJob, execute, missing, predictions, scored
from benchmark.plan import plan
from benchmark.readings import TracePlan
from benchmark.seeds import derive, digest
from benchmark.shots import Shots
from benchmark.store import Store
from tasks.metrics import score

PRODUCTS = ("names", "model_path", "device", "readings", "evaluate", "shots", "label")
CODES = ("deu", "nld", "rus")


@dataclass
class Bench:
    """A tiny task in a store: keys of encoded examples, and jobs over them."""

    tiny: object
    hyper: Hyper
    train: dict
    test: dict
    dev: dict

    @property
    def store(self):
        return self.tiny.store

    def sets(self, *splits, codes=CODES):
        return tuple(EvalSet(code, split, getattr(self, split)[code]) for code in codes for split in splits)

    def reading(self, **changes):
        pools = tuple((code, self.dev[code]) for code in CODES)
        made = TracePlan("gradients", (("split", "dev"),), pools, probes=2, half_batch=4, parallel=False)
        return replace(made, **changes)

    def job(self, codes=CODES, **changes):
        made = TrainJob(
            task="tiny@1",
            labels=2,
            metric="accuracy",
            data=tuple((code, self.train[code]) for code in codes),
            model="scratch",
            model_digest="tiny",
            hyper=self.hyper,
            seed=0,
            numerics="1/test/cpu",
            names=("no", "yes"),
            model_path=str(self.tiny.folder),
            label="+".join(codes),
        )
        return replace(made, **changes)


def make_bench(tiny, examples, hyper):
    counts = {"train": 20, "dev": 12, "test": 10}
    keys = {
        split: {code: tiny.encode(examples(code, count, seed=seed)) for code in CODES}
        for seed, (split, count) in enumerate(counts.items())
    }
    return Bench(tiny, replace(hyper, epochs=1), keys["train"], keys["test"], keys["dev"])


@pytest.fixture
def bench(tiny, examples, hyper):
    return make_bench(tiny, examples, hyper)


def times(store, key):
    folder = store.path(key)
    return {path.name: path.stat().st_mtime_ns for path in [folder, *folder.iterdir()]}


def content(store, key):
    return {path.name: path.read_bytes() for path in store.path(key).iterdir() if path.name != "manifest.json"}


# Keys


def test_key_is_free_of_products_and_places(bench):
    job = bench.job()
    others = {
        "names": ("a", "b"),
        "model_path": "/elsewhere",
        "device": "cuda:1",
        "readings": (bench.reading(),),
        "evaluate": bench.sets("dev", "test"),
        "shots": (Shots("rus", 0, "", bench.test["rus"]),),
        "label": "another name",
    }
    assert set(others) == set(PRODUCTS)
    for name, value in others.items():
        assert replace(job, **{name: value}).key == job.key, name
        assert replace(job, **{name: value}) == job, name


def test_key_follows_everything_that_is_trained(bench):
    job = bench.job()
    others = {
        "task": "tiny@2",
        "labels": 3,
        "metric": "macro_f1",
        "data": job.data[:2],
        "model": "other",
        "model_digest": "other",
        "hyper": replace(job.hyper, epochs=9),
        "seed": 1,
        "numerics": "2/test/cpu",
        "strategy": "other",
        "dev": (("deu", bench.dev["deu"]),),
        "order": 5,
        "masks": (("deu", "0" * 64),),
    }
    assert set(others) == {one.name for one in fields(TrainJob)} - set(PRODUCTS)
    keys = [replace(job, **{name: value}).key for name, value in others.items()]
    assert len({job.key, *keys}) == len(others) + 1


def test_key_follows_every_hyper_parameter(bench):
    job = bench.job()
    keys = [
        replace(job, hyper=replace(job.hyper, **{one.name: "other" if one.name == "precision" else 77})).key
        for one in fields(Hyper)
    ]
    assert len({job.key, *keys}) == len(fields(Hyper)) + 1


def test_key_is_free_of_the_order_of_a_dict(bench):
    job = bench.job()

    def backwards(value):
        if isinstance(value, dict):
            return {key: backwards(value[key]) for key in reversed(value)}
        return value

    assert list(backwards(job.identity())) == list(reversed(job.identity()))
    assert digest(backwards(job.identity())) == job.key == digest(json.loads(json.dumps(job.identity())))


def test_key_of_a_reading_follows_all_of_it(bench):
    one = bench.reading()
    others = {
        "kind": "fisher",
        "params": (("split", "train"),),
        "pools": one.pools[:2],
        "probes": 3,
        "half_batch": 5,
        "parallel": True,
    }
    assert set(others) == {each.name for each in fields(TracePlan)}
    keys = [replace(one, **{name: value}).key("t") for name, value in others.items()]
    assert len({one.key("t"), one.key("u"), *keys}) == len(others) + 2
    assert all(key.startswith("t.reading.") for key in keys)


def test_jobs_travel(bench):
    job = bench.job(readings=(bench.reading(),), evaluate=bench.sets("test"))
    key = job.key
    twin = pickle.loads(pickle.dumps(job))
    assert (twin, twin.key, twin.readings, twin.evaluate) == (job, key, job.readings, job.evaluate)
    assert twin.languages == CODES


# Work


def test_execute_trains_reads_and_scores(bench, monkeypatch):
    report = Store.report
    import torch
    from safetensors.torch import load_file

    from benchmark.training import model as models
    from benchmark.training.batches import Encoded
    from benchmark.training.evaluation import predict

    hyper = replace(bench.hyper, epochs=2)
    job = bench.job(hyper=hyper, readings=(bench.reading(),), evaluate=bench.sets("dev", "test"))
    store, reports = bench.store, []
    monkeypatch.setattr(
        Store, "report", lambda self, key, done: reports.append((key, done)) or report(self, key, done)
    )
    assert missing(job, store) == (True, [bench.reading()], list(job.evaluate))
    assert execute(job, store) == Outcome(job, trained=True)
    assert missing(job, store) == (False, [], [])

    training = store.manifest(job.key)
    assert training["kind"] == "training"
    assert training["job"] == json.loads(json.dumps(job.identity()))
    assert training["cost"]["seconds"] > 0
    assert training["cost"]["peak_memory_mb"] > 0
    history = json.loads((store.path(job.key) / "history.json").read_text())
    assert history["steps"] == 16  # 60 examples by 8, twice
    assert len(history["losses"]) == 2
    assert reports == [(job.key, 10 / 16)]

    reading = store.path(bench.reading().key(job.key))
    meta = json.loads((reading / "meta.json").read_text())
    assert np.load(reading / "gram.npy").shape == (2, len(meta["blocks"]), 6, 6)
    assert (meta["languages"], meta["steps"]) == (list(CODES), [4, 12])

    of = models.load(bench.tiny.folder, 2, seed=99)
    of.load_state_dict(load_file(store.path(job.key) / "model.safetensors"))
    have = scored(store, job.key)
    assert set(have) == {(one.split, one.examples) for one in job.evaluate}
    for one in job.evaluate:
        said = predictions(store, have[one.split, one.examples])[one.split, one.examples]
        data = Encoded.open(store.path(one.examples))
        (expected,) = predict(of, [data], torch.device("cpu"), "fp32")
        assert said.tolist() == expected.tolist()
        assert 0 <= score("accuracy", data.labels, said, ("no", "yes")) <= 1
    assert store.reported(job.key) == 0.0
    assert not list((store.root / "progress").iterdir())


def test_the_initial_model_follows_the_seed_and_nothing_else(bench):
    """A rate of nothing leaves the head as ``initialisation`` made it."""
    from safetensors.torch import load_file

    from benchmark.training import model as models

    job = bench.job(seed=5, hyper=replace(bench.hyper, lr=0.0))
    assert execute(job, bench.store).error is None
    kept = load_file(bench.store.path(job.key) / "model.safetensors")
    start = models.load(bench.tiny.folder, 2, derive(5, "initialisation")).state_dict()
    assert kept.keys() == start.keys()
    assert all((kept[name] == start[name]).all() for name in kept)


def test_a_second_time_does_nothing(bench):
    job = bench.job(["deu", "nld"], readings=(bench.reading(),), evaluate=bench.sets("test"))
    execute(job, bench.store)
    keys = bench.store.keys("")
    before = {key: times(bench.store, key) for key in keys}
    assert execute(replace(job, model_path="/gone"), bench.store) == Outcome(job)
    assert bench.store.keys("") == keys
    assert {key: times(bench.store, key) for key in keys} == before


def test_a_set_added_later_trains_nothing(bench):
    job = bench.job(["deu"], evaluate=bench.sets("test", codes=["deu", "nld"]))
    execute(job, bench.store)
    before, old = times(bench.store, job.key), bench.store.keys(f"{job.key}.predictions.")
    more = replace(job, evaluate=bench.sets("dev", "test"))
    assert missing(more, bench.store)[0] is False
    assert len(missing(more, bench.store)[2]) == 4
    assert execute(more, bench.store) == Outcome(job, trained=False)
    assert times(bench.store, job.key) == before
    (new,) = set(bench.store.keys(f"{job.key}.predictions.")) - set(old)
    assert len(bench.store.manifest(new)["sets"]) == 4  # the two others are not scored again
    assert missing(more, bench.store) == (False, [], [])

    at_once = bench.job(["deu"], evaluate=bench.sets("dev", "test"), seed=0)
    for one in at_once.evaluate:
        assert (one.split, one.examples) in scored(bench.store, at_once.key)


def test_a_reading_added_later_is_of_the_same_training(bench, tiny_folder, tmp_path, examples, hyper):
    """A training, a training read along the way, and one read afterwards: the same bits of all."""
    with_reading = bench.job(readings=(bench.reading(),), evaluate=bench.sets("test"))
    execute(with_reading, bench.store)

    other = make_bench(other_store(bench, tmp_path), examples, hyper)
    job = other.job(evaluate=other.sets("test"))
    assert job.key == with_reading.key
    execute(job, other.store)
    assert content(bench.store, job.key)["model.safetensors"] == content(other.store, job.key)["model.safetensors"]

    before = times(other.store, job.key)
    scores = other.store.keys(f"{job.key}.predictions.")
    later = replace(job, readings=(other.reading(), other.reading(probes=3)))
    assert execute(later, other.store) == Outcome(job, trained=False)
    assert times(other.store, job.key) == before
    assert other.store.keys(f"{job.key}.predictions.") == scores
    key = bench.reading().key(job.key)
    assert content(bench.store, key) == content(other.store, key)

    # Scored after the reading, the model is still the trained one.
    last = replace(later, readings=(*later.readings, other.reading(probes=1)), evaluate=other.sets("dev"))
    execute(last, other.store)
    (dev,) = set(other.store.keys(f"{job.key}.predictions.")) - set(scores)
    execute(replace(with_reading, evaluate=bench.sets("dev")), bench.store)
    assert content(bench.store, dev) == content(other.store, dev)


def other_store(bench, tmp_path):
    store = Store.at(tmp_path / "other")
    return replace(bench.tiny, store=store, encoder=Encoder(store, bench.tiny.folder, "tiny", 24))


def test_a_damaged_training_is_made_again_with_the_same_bits(bench, capsys):
    job = bench.job(["deu"], evaluate=bench.sets("test"))
    execute(job, bench.store)
    before = content(bench.store, job.key)["model.safetensors"]
    path = bench.store.path(job.key) / "model.safetensors"
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    seen = pickle.loads(pickle.dumps(bench.store))
    assert execute(job, seen) == Outcome(job, trained=True)
    assert path.read_bytes() == before
    assert "is corrupt (checksum of model.safetensors)" in capsys.readouterr().err


def test_patience_stops_by_the_dev_score_and_keeps_the_best(bench):
    dev = tuple((code, bench.dev[code]) for code in CODES)
    hyper = replace(bench.hyper, epochs=30, patience=2, lr=5e-3)
    job = bench.job(hyper=hyper, dev=dev, evaluate=bench.sets("dev"))
    assert execute(job, bench.store).error is None
    history = json.loads((bench.store.path(job.key) / "history.json").read_text())
    scores = history["dev"]
    best = scores.index(max(scores))
    assert len(scores) == len(history["losses"]) == best + 3 < 30
    kept = scored(bench.store, job.key)
    from benchmark.training.batches import Encoded

    found = []
    for one in job.evaluate:
        said = predictions(bench.store, kept["dev", one.examples])["dev", one.examples]
        found.append(np.mean(said == Encoded.open(bench.store.path(one.examples)).labels))
    assert np.mean(found) == pytest.approx(scores[best])


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"model_path": "/no/such/model"}, ""),
        ({"data": (("deu", "no such key"),)}, "FileNotFoundError: "),
        ({"data": ()}, ""),
        ({"strategy": "plan"}, "UserError: unknown strategy 'plan' (did you mean 'plain'?)"),
        ({"data": (("xyz", None),)}, "UnknownLanguage: "),
        ({"evaluate": (EvalSet("deu", "test", "no such key"),)}, "FileNotFoundError: "),
    ],
)
def test_a_job_that_fails_says_so_and_stores_nothing_of_it(bench, broken, said):
    if "data" in broken:
        broken = {"data": tuple((code, key or bench.train["deu"]) for code, key in broken["data"])}
    job = bench.job(["deu"], **{"readings": (bench.reading(),), "evaluate": bench.sets("test"), **broken})
    before = bench.store.keys("")
    outcome = execute(job, bench.store)
    assert outcome.job == job
    assert not outcome.trained
    assert outcome.error.startswith(said)
    assert ": " in outcome.error
    assert "\n" not in outcome.error
    made = set(bench.store.keys("")) - set(before)
    if "evaluate" in broken:  # the training itself went well
        assert made == {job.key, bench.reading().key(job.key)}
    else:
        assert made == set()
    assert not [path for path in (bench.store.root / "objects").iterdir() if path.name.endswith(".tmp")]
    again = execute(job, bench.store)  # failures are not cached, and the lock is free
    assert again.error == outcome.error


def test_a_training_that_diverges_fails(bench):
    job = bench.job(hyper=replace(bench.hyper, lr=1e25, epochs=2, clip=1e30))
    outcome = execute(job, bench.store)
    assert outcome.error.startswith("TrainingFailed: the loss is nan at step ")
    assert not bench.store.has(job.key)


# Executors and the plan


def test_in_process_and_in_a_pool_the_same_bytes(bench, tmp_path, examples, hyper):
    other = make_bench(other_store(bench, tmp_path), examples, hyper)
    jobs = {}
    for place, one in (("here", bench), ("pool", other)):
        sets = one.sets("test")
        jobs[place] = [
            one.job(readings=(one.reading(),), evaluate=sets),
            one.job(["deu"], evaluate=sets),
            one.job(["rus"], evaluate=sets),
            one.job(["nld"], model_path="/no/such/model"),
        ]
    assert [job.key for job in jobs["here"]] == [job.key for job in jobs["pool"]]
    here = list(InProcess().map(jobs["here"], bench.store))
    assert [outcome.job for outcome in here] == jobs["here"]  # one after the other
    pool = list(Pool(2).map(jobs["pool"], other.store))
    assert len(pool) == 4
    told = {outcome.job.key: (outcome.error, outcome.trained) for outcome in pool}
    assert told == {outcome.job.key: (outcome.error, outcome.trained) for outcome in here}
    assert [error is None for error, _ in told.values()].count(False) == 1

    keys = bench.store.keys("")
    assert keys == other.store.keys("")
    compared = 0
    for key in keys:
        one, two = content(bench.store, key), content(other.store, key)
        for name in ("history.json",):  # holds seconds
            assert (name in one) == (name in two)
            if name in one:
                losses = [json.loads(each.pop(name))["losses"] for each in (one, two)]
                assert losses[0] == losses[1]
        assert one == two, key
        compared += "model.safetensors" in one
    assert compared == 3


DIES = """
import os
from benchmark.jobs import Outcome

def execute(job, store):
    if job.label == "dies":
        os._exit(3)
    if job.label == "raises":
        raise OSError("no space\\nleft")
    return Outcome(job)
"""


def test_a_worker_that_dies_or_raises_is_told(bench, tmp_path, monkeypatch):
    """Every job has one outcome, whatever becomes of its worker."""
    (tmp_path / "dies_soon.py").write_text(DIES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(executors, "execute", importlib.import_module("dies_soon").execute)
    jobs = [bench.job(seed=seed, label=label) for seed, label in enumerate(("fine", "raises", "fine"))]
    told = {outcome.job: outcome.error for outcome in Pool(1).map(jobs, bench.store)}
    assert told == {jobs[0]: None, jobs[1]: "OSError: no space left", jobs[2]: None}
    jobs = [bench.job(seed=seed, label=label) for seed, label in enumerate(("dies", "fine", "fine"))]
    told = {outcome.job: outcome.error for outcome in Pool(1).map(jobs, bench.store)}
    assert set(told) == set(jobs)
    assert told[jobs[0]].startswith("its worker ended with 3")
    assert "\n" not in told[jobs[0]]


def test_no_jobs(bench):
    assert list(Pool(2).map([], bench.store)) == []
    assert list(InProcess().map([], bench.store)) == []


def test_a_plan_merges_jobs_and_sees_what_is_missing(bench):
    small = bench.job(["deu"], evaluate=bench.sets("test"))
    more = bench.job(["deu"], evaluate=bench.sets("dev"), readings=(bench.reading(),))
    large = bench.job(evaluate=bench.sets("test"))
    stage = plan([small, large, more], bench.store)
    assert [job.key for job in stage.jobs] == [large.key, small.key]  # the largest first
    assert stage.todo == stage.jobs
    merged = stage.jobs[1]
    assert merged.readings == (bench.reading(),)
    assert len(merged.evaluate) == 6
    assert set(merged.evaluate) == {*small.evaluate, *more.evaluate}

    before = bench.store.keys("")
    plan([small, large], bench.store)
    assert bench.store.keys("") == before  # pure
    execute(small, bench.store)
    assert [job.key for job in plan([small, large], bench.store).todo] == [large.key]
    assert [job.key for job in plan([small, more], bench.store).todo] == [small.key]
    execute(more, bench.store)
    assert plan([small, more], bench.store).todo == ()


STARTED_BY_A_LARGE_ONE = """
import subprocess, sys
held = bytes([1]) * (600 << 20)
child = "from types import SimpleNamespace; from benchmark.jobs import peak_memory_mb;"
child += "held = bytes([1]) * (100 << 20); print(peak_memory_mb(SimpleNamespace(type='cpu')))"
print(subprocess.run([sys.executable, "-c", child], check=True, stdout=subprocess.PIPE, text=True).stdout)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="getrusage counts who started a process on Linux")
def test_peak_memory_is_of_this_process_alone():
    found = subprocess.run(
        [sys.executable, "-c", STARTED_BY_A_LARGE_ONE], check=True, stdout=subprocess.PIPE, text=True
    )
    assert 100 < float(found.stdout) < 500
