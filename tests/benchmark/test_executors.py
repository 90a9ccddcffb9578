"""A pool of processes: a worker that dies takes its own job with it and no other; a full disk stops them all."""

from __future__ import annotations

import importlib
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmark import executors
from benchmark.devices import places
from benchmark.executors import InProcess, Pool, search_path, side_by_side
from benchmark.jobs import Hyper, TrainJob
from benchmark.store import Store, StoreError

DOES = """
import os, signal, time
from pathlib import Path
from benchmark.jobs import Outcome

def execute(job, store):
    what, folder = job.label.split()[0], Path(job.model_path)
    with (folder / "done.txt").open("a") as file:
        file.write(f"{job.label} {os.getpid()}\\n")
    with (folder / "where.txt").open("a") as file:
        file.write(f"{job.device} {os.getpid()}\\n")
    if what == "kills" or (what == "once" and not (folder / "died").exists()):
        (folder / "died").touch()
        store.report(job.key, 0.5)
        (store.root / "objects" / "half.0123abcd.tmp").mkdir(exist_ok=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "full":
        store.broken.append("no room")
    if what == "interrupted":
        os.kill(os.getpid(), signal.SIGINT)
    if what == "long":
        time.sleep(60)
    return Outcome(job, trained=True)
"""


@pytest.fixture
def store(tmp_path, monkeypatch):
    (tmp_path / "does_as_told.py").write_text(DOES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(executors, "execute", importlib.reload(importlib.import_module("does_as_told")).execute)
    return Store.at(tmp_path / "cache")


@pytest.fixture
def job(tmp_path):
    hyper = Hyper(epochs=1, batch_size=8, lr=1e-3, max_length=24, precision="fp32")

    def make(label: str) -> TrainJob:
        data = ((label, "key"),)
        return TrainJob(
            "task", 2, "accuracy", data, "scratch", "d", hyper, 0, "n", model_path=str(tmp_path), label=label
        )

    return make


def lines(tmp_path):
    return [line.rsplit(" ", 1) for line in (tmp_path / "done.txt").read_text().splitlines()]


def test_every_job_once_in_as_many_processes_as_asked_for(store, job, tmp_path):
    jobs = [job(f"fine {number}") for number in range(7)]
    outcomes = list(Pool(2).map(jobs, store))
    assert sorted(outcome.job.label for outcome in outcomes) == [one.label for one in jobs]
    assert all(outcome.trained and outcome.error is None for outcome in outcomes)
    done = lines(tmp_path)
    assert sorted(label for label, _ in done) == [one.label for one in jobs]
    assert len({pid for _, pid in done}) <= 2


@pytest.mark.parametrize(("workers", "devices"), [(2, ("cuda:0", "cuda:1")), (3, ("cuda:0", "cuda:1")), (2, ())])
def test_each_process_keeps_to_one_device(store, job, tmp_path, workers, devices):
    jobs = [job(f"fine {number}") for number in range(9)]
    outcomes = list(Pool(workers, devices).map(jobs, store))
    assert {outcome.job.key for outcome in outcomes} == {one.key for one in jobs}
    used = {tuple(line.split()) for line in (tmp_path / "where.txt").read_text().splitlines()}
    assert len({pid for _, pid in used}) == len(used)
    assert {device for device, _ in used} == set(devices or ("cpu",))


def test_the_freest_device_is_next():
    pool = Pool(4, ("cuda:0", "cuda:1", "cuda:2"))
    busy = []
    for expected in ("cuda:0", "cuda:1", "cuda:2", "cuda:0"):
        busy.append(SimpleNamespace(device=pool._freest(busy)))
        assert busy[-1].device == expected
    del busy[1]
    assert pool._freest(busy) == "cuda:1"


@pytest.mark.parametrize(
    ("device", "gpus", "expected"),
    [
        ("cuda", 3, ("cuda:0", "cuda:1", "cuda:2")),
        ("cuda", 1, ("cuda:0",)),
        ("cuda:1", 3, ("cuda:1",)),
        ("mps", 0, ("mps",)),
    ],
)
def test_one_training_a_gpu(monkeypatch, device, gpus, expected):
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    assert places(device) == expected
    assert side_by_side(None, device) == len(expected)
    assert side_by_side(5, device) == 5


def test_who_dies_once_is_tried_again_at_the_end(store, job, tmp_path, capsys):
    jobs = [job("once"), *(job(f"fine {number}") for number in range(4))]
    outcomes = list(Pool(2).map(jobs, store))
    assert [outcome.error for outcome in outcomes] == [None] * 5
    done = [label for label, _ in lines(tmp_path)]
    assert sorted(done) == sorted([*(one.label for one in jobs), "once"])
    assert done[-1] == "once"
    said = capsys.readouterr().err
    assert said == (
        "training once: once more, as its worker was killed by SIGKILL (out of memory? --jobs takes a smaller "
        "number)\n"
    )
    assert store.sweep() == []  # what it had left is gone


def test_who_dies_again_has_failed_alone(store, job, tmp_path):
    jobs = [job("kills 1"), job("fine 1"), job("kills 2"), job("fine 2")]
    outcomes = {outcome.job.label: outcome for outcome in Pool(2).map(jobs, store)}
    assert outcomes["fine 1"].error is None
    assert outcomes["fine 2"].error is None
    for number in (1, 2):
        assert outcomes[f"kills {number}"].error == (
            "its worker was killed by SIGKILL (out of memory? --jobs takes a smaller number), "
            "the second time with no other beside it"
        )
    assert [label for label, _ in lines(tmp_path)].count("kills 1") == 2


@pytest.mark.parametrize("executor", [InProcess(), Pool(2)], ids=["here", "pool"])
def test_a_full_disk_stops_them_all(store, job, tmp_path, executor):
    jobs = [job("full"), job("long" if isinstance(executor, Pool) else "fine"), job("fine 2"), job("fine 3")]
    with pytest.raises(StoreError, match="no room"):
        list(executor.map(jobs, store))
    assert len(lines(tmp_path)) <= 2


def test_ctrl_c_is_for_the_parent(store, job, tmp_path):
    outcomes = list(Pool(2).map([job("interrupted"), job("fine")], store))
    assert [outcome.error for outcome in outcomes] == [None, None]


def test_who_stops_asking_leaves_no_worker(store, job, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    import os
    import time

    outcomes = Pool(2).map([job("long"), job("fine")], store)
    assert next(outcomes).job.label == "fine"
    while ["long"] not in [line[:1] for line in lines(tmp_path)]:
        time.sleep(0.01)
    pid = int(dict(lines(tmp_path))["long"])
    outcomes.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert signal.getsignal(signal.SIGINT) is before


def test_workers_import_what_runs_here():
    """A checkout while another version is installed: a new Python would find that one."""
    checkout, other = Path("/home/me/kinship"), "/home/me/other"
    assert search_path(checkout, "") == "/home/me/kinship"
    assert search_path(checkout, other) == os.pathsep.join(["/home/me/kinship", other])
    assert search_path(checkout, "/home/me/kinship") == "/home/me/kinship"
    assert search_path(Path("/venv/lib/python3.11/site-packages"), other) == other
    assert search_path(Path("/venv/lib/python3.11/site-packages"), "") == ""


def test_what_workers_are_told_stays_with_them(store, job, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    before = dict(os.environ)
    assert [outcome.error for outcome in Pool(1).map([job("fine")], store)] == [None]
    assert dict(os.environ) == before
