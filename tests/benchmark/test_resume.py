"""Killed and resumed inside a training: the same bits; and a checkpoint that is no use is noticed."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.encoding import Encoder
from benchmark.jobs import EvalSet, TrainJob, execute
from benchmark.readings import TracePlan
from benchmark.registry import create, entries
from benchmark.store import Store
from benchmark.training import checkpoint, execution, loop
from benchmark.training.batches import Encoded, Mixture
from benchmark.training.checkpoint import Checkpoints, Unfit
from benchmark.training.checkpoint_codec import decode, encode
from benchmark.training.evaluation import predict
from benchmark.training.loop import TrainingFailed, train
from benchmark.training.model import load
from benchmark.training.probes import GradientTrace
from benchmark.training.strategy import Plain
from tasks.base import tagged
from tasks.languages import language

CPU = torch.device("cpu")
CODES = ("deu", "nld", "rus")
READINGS = ("exact", "sketched")
BUILT_IN = sorted(name for name, one in entries("strategies")[0].items() if one.distribution == "kinship-bench")
VARIANTS = [
    "gradvac[beta=0.5,granularity=matrix]",
    "meta[algorithm=reptile,inner_steps=3]",
    "meta[masks=static]",
    "meta[masks=dynamic]",
    "subnet-dynamic[every=2,keep=0.5]",
    "subnet-dynamic[every=3,watch=true]",
    "subnet-random[watch=true]",
]


class Killed(BaseException):
    """What no ``except Exception`` sees."""


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store.at(tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def sets(store, tiny_folder, examples, hyper):
    """By task, encoded examples of three languages."""
    encoder = Encoder(store, tiny_folder, "tiny", hyper.max_length)
    found = {}
    for task, rows in (("text", lambda code, count: examples(code, count)), ("tagged", tokens)):
        found[task] = {}
        for code, count in zip(CODES, (20, 14, 11), strict=True):
            encoder.encode(key := f"{task}-{code}", rows(code, count))
            found[task][code] = Encoded.open(store.path(key))
    return found


def tokens(code, count):
    """Sentences of quite different numbers of labelled words."""
    random = np.random.default_rng([count, *code.encode()])
    rows = [[int(tag) for tag in random.integers(0, 3, random.integers(1, 9))] for _ in range(count)]
    return [tagged([f"{code}{'abc'[tag]}" for tag in row], row) for row in rows]


@pytest.fixture(scope="module")
def models(tiny_folder):
    return {task: load(tiny_folder, labels, 0) for task, labels in (("text", 2), ("tagged", 3))}


class Run:
    """One training, to be made as often as it is killed; everything that it starts from is made anew each time."""

    BATCH = 10  # of 45 examples: 5 steps

    def __init__(self, models, sets, hyper, strategy="plain", task="text", patience=0, readings=(), epochs=2):
        self.hyper = replace(hyper, batch_size=self.BATCH, epochs=epochs, patience=patience)
        self.unused, _ = create("strategies", strategy)
        self.readings = readings
        self.score = lambda digest: int(digest[:8], 16) / 16**8
        self.start, self.sets = models[task], sets[task]

    def masks(self, model):
        config, random = model.encoder.config, np.random.default_rng(5)
        shapes = {"heads": config.num_attention_heads, "units": config.intermediate_size}
        return {
            code: {
                k: (random.random((config.num_hidden_layers, n)) < 0.7).astype(float) for k, n in shapes.items()
            }
            for code in CODES
        }

    def __call__(self, checkpoints=None, during=None, readings=None, change=lambda strategy: None, seconds=False):
        """All that a training leaves; ``during`` is called after each step that this run makes."""
        torch.manual_seed(time.perf_counter_ns() % 1000)  # whatever happened before
        model = copy.deepcopy(self.start)
        strategy = copy.deepcopy(self.unused)
        probes = [
            GradientTrace(
                self.sets, probes=4, half_batch=4, parallel=False, seed=3, precision="fp32", device=CPU,
                budget=20_000 if name == "sketched" else 2 << 30,
            )
            for name in (self.readings if readings is None else readings)
        ]  # fmt: skip
        made = []

        def stepped(step, end_step=strategy.end_step):
            made.append(step)
            if during is not None:
                during(step)
            end_step(step)

        strategy.end_step = stepped
        change(strategy)

        def dev_score():
            """Follows every bit of the weights and the masks."""
            masks = strategy.masks()
            predict(model, list(self.sets.values()), CPU, "fp32", [masks.get(code) for code in CODES])
            every = hashlib.sha256(str([mask["units"].tolist() for mask in masks.values()]).encode())
            for value in model.state_dict().values():
                every.update(value.numpy().tobytes())
            return self.score(every.hexdigest())

        mixture = Mixture({language(code): data for code, data in self.sets.items()})
        history = train(
            model, mixture, self.hyper, strategy, 7, CPU,
            probes=probes, checkpoints=checkpoints, dev_score=dev_score if self.hyper.patience else None,
            masks=self.masks(model),
        )  # fmt: skip
        assert history.seconds >= 0
        if seconds:
            return history.seconds
        self.made = made
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
        return {
            "weights": {name: value.numpy() for name, value in model.state_dict().items()},
            "history": {name: value for name, value in asdict(history).items() if name != "seconds"},
            "masks": {code: dict(mask) for code, mask in strategy.masks().items()},
            "read": [probe.result() for probe in probes],
        }


def same(one, two):
    """Bit for bit."""
    if isinstance(one, dict):
        return isinstance(two, dict) and list(one) == list(two) and all(same(one[name], two[name]) for name in one)
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
    return type(one) is type(two) and (one == two or one != one)


class EveryStep(Checkpoints):
    """Killed as soon as a checkpoint is written: each run makes one step more."""

    def __init__(self, folder, readings=READINGS, kill=lambda step: True):
        super().__init__(folder, "tiny", readings, every=0.0, clock=lambda: 0.0)
        self.kill = kill

    def save(self, stand, live):
        super().save(stand, live)
        assert not self.told
        if self.kill(stand["step"]):
            raise Killed


class EveryFew(Checkpoints):
    def __init__(self, folder, gap, readings=()):
        super().__init__(folder, "tiny", readings)
        self.gap, self.asked = gap, 0

    def due(self):
        self.asked += 1
        return self.asked % self.gap == 0


def until_it_ends(run, checkpoints, limit=100):
    kills = 0
    while True:
        try:
            return run(checkpoints()), kills
        except Killed:
            kills += 1
            assert kills < limit


@pytest.mark.parametrize("spec", [*BUILT_IN, *VARIANTS])
def test_killed_after_every_step(spec, models, sets, hyper, tmp_path):
    run = Run(models, sets, hyper, spec, readings=READINGS if spec in ("plain", "gradvac") else ())
    whole = run()
    assert len(run.made) == 10
    found, kills = until_it_ends(run, lambda: EveryStep(tmp_path / "checkpoints", run.readings))
    assert kills == 10
    assert run.made == []
    assert same(found, whole)


def test_in_mixed_precision(models, sets, hyper, tmp_path):
    run = Run(models, sets, replace(hyper, precision="bf16"))
    whole = run()
    stopped_at(run, tmp_path / "c", 7, ())
    assert same(run(Checkpoints(tmp_path / "c")), whole)
    assert run.made == [7, 8, 9]


@pytest.mark.parametrize(
    ("spec", "task"),
    [("plain", "tagged"), ("subnet-dynamic[every=2,keep=0.5]", "text"), ("gradvac[beta=0.5]", "tagged")],
)
def test_killed_after_every_other_step_with_patience(spec, task, models, sets, hyper, tmp_path):
    """The best epoch's weights, and the strategy's state that belongs to them, are in the checkpoint."""
    run = Run(models, sets, hyper, spec, task, patience=2, readings=(), epochs=5)
    seen = []
    run.score = lambda digest: seen.append(digest) or len(seen)
    run()
    scores = dict(zip(seen, (0.2, 0.9, 0.5, 0.3, 0.99), strict=True))
    run.score = scores.__getitem__  # of these bits and no others
    whole = run()
    assert whole["history"]["dev"] == [0.2, 0.9, 0.5, 0.3]
    odd = [step for step in range(1, 99, 2)]
    found, kills = until_it_ends(run, lambda: EveryStep(tmp_path / "c", (), odd.__contains__))
    assert kills == len([step for step in odd if step <= whole["history"]["steps"]])
    assert same(found, whole)


REFERENCES = {}


@given(
    st.sampled_from(["plain", "subnet-dynamic[every=2]", "pcgrad"]),
    st.sampled_from(["text", "tagged"]),
    st.lists(st.integers(0, 14), min_size=1, max_size=4),
    st.integers(1, 6),
)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_killed_at_any_step(models, sets, hyper, spec, task, kills, gap):
    """Inside a step, with the last checkpoint some steps back."""
    run = Run(models, sets, hyper, spec, task, readings=READINGS[:1], epochs=3)
    if (spec, task) not in REFERENCES:
        REFERENCES[spec, task] = run()

    def killing(at):
        def during(step):
            if step == at:
                raise Killed

        return during

    with tempfile.TemporaryDirectory() as folder:
        for at in kills:
            try:
                found = run(EveryFew(Path(folder) / "c", gap, READINGS[:1]), killing(at))
                break
            except Killed:
                pass
        else:
            found = run(EveryFew(Path(folder) / "c", gap, READINGS[:1]))
        assert same(found, REFERENCES[spec, task])


def test_nothing_is_done_twice_but_what_came_after_the_checkpoint(models, sets, hyper, tmp_path):
    run = Run(models, sets, hyper)
    saved = []

    def during(step):
        saved[:] = [path.name.split(".")[0] for path in tmp_path.glob("c/*")]
        if step == 8:
            raise Killed

    with pytest.raises(Killed):
        run(EveryFew(tmp_path / "c", 3), during)
    assert len(saved) == 1, "one is kept"
    run(Checkpoints(tmp_path / "c"))
    assert saved == ["000000006"]
    assert run.made == [6, 7, 8, 9]


def test_checkpoints_are_made_when_they_are_due(tmp_path):
    now = [0.0]
    one = Checkpoints(tmp_path, every=100.0, clock=lambda: now[0])

    class Slow:
        probes = ()

        def state(self):
            now[0] += 30
            return {}

    due = []
    for now[0] in (0.0, 99.0, 100.0, 101.0):
        due.append(one.due())
    assert due == [False, False, True, True]
    one.save({"step": 1}, Slow())  # that took 30 s: at most a twentieth of the time goes into it
    now[0] = 131.0 + 599
    assert not one.due()
    now[0] = 131.0 + 600
    assert one.due()
    assert checkpoint.EVERY >= 60


def test_a_short_training_leaves_and_looks_for_nothing(models, sets, hyper, tmp_path):
    Run(models, sets, hyper)(Checkpoints(tmp_path / "c"))
    assert not (tmp_path / "c").exists()


def test_seconds_go_on_from_where_they_were(models, sets, hyper, tmp_path, monkeypatch):
    """And are without those of the probes."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    real = GradientTrace.look

    def look(self, *arguments):
        real(self, *arguments)
        self.seconds += 7
        now[0] += 7

    monkeypatch.setattr(GradientTrace, "look", look)

    def during(step):
        now[0] += 100

    run = Run(models, sets, hyper, readings=READINGS)
    stopped_at(run, tmp_path / "c", 6, during=during)
    now[0] = 5.0
    history = run(Checkpoints(tmp_path / "c", readings=READINGS), during, seconds=True)
    assert history == 1000


# Readings


def stopped_at(run, folder, step, readings=READINGS, **changes):
    """A checkpoint that was made after so many steps."""
    with pytest.raises(Killed):
        run(EveryStep(folder, readings, lambda done: done == step), readings=readings, **changes)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (READINGS, ("sketched",)),
        (READINGS, ()),
        (("sketched", "exact"), READINGS),
    ],
)
def test_fewer_readings_than_before(before, after, models, sets, hyper, tmp_path):
    run = Run(models, sets, hyper, readings=READINGS)
    whole = run(readings=after)
    stopped_at(run, tmp_path / "c", 6, before)
    found = run(Checkpoints(tmp_path / "c", "tiny", after), readings=after)
    assert run.made == [6, 7, 8, 9]
    assert same(found, whole)


@pytest.mark.parametrize("before", [(), ("exact",)])
def test_a_reading_that_is_new_begins_anew(before, models, sets, hyper, tmp_path, capsys):
    run = Run(models, sets, hyper, readings=READINGS)
    whole = run()
    stopped_at(run, tmp_path / "c", 6, before)
    found = run(Checkpoints(tmp_path / "c", "tiny", READINGS))
    assert len(run.made) == 10
    assert same(found, whole)
    assert capsys.readouterr().err == (
        "tiny: the checkpoint lacks readings that are asked for now; it is dropped and the training begins anew\n"
    )


# What is broken


def only(folder):
    [path] = (folder / "c").iterdir()
    return path


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_flipped_byte_is_noticed(models, sets, hyper, capsys, place, flip):
    with tempfile.TemporaryDirectory() as folder:
        spoil(Path(folder), models, sets, hyper, lambda data: flipped(data, int(place * len(data)), flip), capsys)


def flipped(data, place, by):
    return data[:place] + bytes([data[place] ^ by]) + data[place + 1 :]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9999])
def test_a_torn_file_is_noticed(share, models, sets, hyper, tmp_path, capsys):
    spoil(tmp_path, models, sets, hyper, lambda data: data[: int(share * len(data))], capsys)


KEPT = {}


def spoil(folder, models, sets, hyper, change, capsys):
    run = Run(models, sets, hyper)
    if not KEPT:
        KEPT["whole"] = run()
        stopped_at(run, folder / "c", 4, ())
        KEPT["name"], KEPT["data"] = only(folder).name, only(folder).read_bytes()
    (folder / "c").mkdir(exist_ok=True)
    (folder / "c" / KEPT["name"]).write_bytes(change(KEPT["data"]))
    capsys.readouterr()
    assert same(run(Checkpoints(folder / "c", "tiny")), KEPT["whole"])
    assert len(run.made) == 10
    told = capsys.readouterr().err
    assert told.startswith("tiny: the checkpoint is corrupt or of another version (")
    assert told.endswith("it is dropped and the training begins anew\n")
    assert told.count("\n") == 1
    assert not (folder / "c").exists()


def test_of_another_version(models, sets, hyper, tmp_path, monkeypatch, capsys):
    run = Run(models, sets, hyper)
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    stopped_at(run, tmp_path / "c", 4, ())
    monkeypatch.undo()
    run(Checkpoints(tmp_path / "c", "tiny"))
    assert len(run.made) == 10
    assert "format 2, not 1" in capsys.readouterr().err


def test_what_a_killed_writer_left_is_no_matter(models, sets, hyper, tmp_path):
    """Half of the next checkpoint, under its temporary name; or the last one still beside the new one."""
    run = Run(models, sets, hyper)
    stopped_at(run, tmp_path / "c", 3, ())
    old = only(tmp_path)
    kept = old.read_bytes()
    stopped_at(run, tmp_path / "c", 5, ())
    new = only(tmp_path)
    old.write_bytes(kept)
    (tmp_path / "c" / "checkpoint.tmp").write_bytes(new.read_bytes()[:1000])
    steps = []
    stopped_at(run, tmp_path / "c", 6, (), during=steps.append)
    assert steps == [5], "from the later one"
    assert only(tmp_path).name.startswith("000000006.")
    found = run(Checkpoints(tmp_path / "c"))
    assert run.made == [6, 7, 8, 9]
    assert same(found, run())


def test_killed_at_any_moment_of_writing(models, sets, hyper, tmp_path, monkeypatch):
    """Before and after every call that touches the disk."""
    run = Run(models, sets, hyper)
    whole = run()
    stopped_at(run, tmp_path / "c", 2, ())
    calls = itertools.count()
    at = [-1]

    def dying(module, name):
        real = getattr(module, name)

        def call(*arguments, **named):
            for made in (False, True):
                if made:
                    result = real(*arguments, **named)
                if next(calls) == at[0]:
                    raise Killed
            return result

        monkeypatch.setattr(module, name, call)

    for module, name in ((checkpoint, "save_file"), (os, "fsync"), (Path, "replace"), (Path, "unlink")):
        dying(module, name)
    for at[0] in itertools.count():
        calls = itertools.count()
        before = {path.name for path in (tmp_path / "c").glob("*.safetensors")}
        assert before
        try:
            run(EveryStep(tmp_path / "c", (), lambda step: True))
        except Killed:
            if next(calls) <= at[0]:
                break  # it was killed after the writing: there is no later moment
            continue
        break
    assert at[0] >= 8
    at[0] = -1
    assert same(run(Checkpoints(tmp_path / "c")), whole)


class Counting(Plain):
    def state_dict(self):
        return {"count": 3}

    def load_state_dict(self, state):
        raise KeyError("number")


def test_what_does_not_fit_is_refused(models, sets, hyper, tmp_path, capsys):
    run = Run(models, sets, hyper)
    stopped_at(run, tmp_path / "c", 4, ())

    def change(strategy):
        strategy.load_state_dict = Counting().load_state_dict

    with pytest.raises(Unfit, match="number"):
        run(Checkpoints(tmp_path / "c", "tiny"), change=change)
    assert capsys.readouterr().err == (
        "tiny: the checkpoint does not fit (KeyError: 'number'); it is dropped and the training begins anew\n"
    )
    assert not (tmp_path / "c").exists()


# What cannot be written


def test_a_full_disk_is_told_once_and_harms_nothing(models, sets, hyper, tmp_path, monkeypatch, capsys):
    run = Run(models, sets, hyper)
    whole = run()

    def full(*arguments):
        Path(arguments[1]).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    found = run(Checkpoints(tmp_path / "c", "tiny", every=0.0, clock=lambda: 0.0))
    assert same(found, whole)
    told = capsys.readouterr().err
    assert told == "tiny: goes on without a checkpoint (OSError: [Errno 28] No space left on device)\n"
    assert not list((tmp_path / "c").iterdir())


def test_the_last_good_one_stays_when_the_next_cannot_be_written(models, sets, hyper, tmp_path, monkeypatch):
    run = Run(models, sets, hyper)
    whole = run()
    stopped_at(run, tmp_path / "c", 3, ())
    before = only(tmp_path).read_bytes()
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        found = run(Checkpoints(tmp_path / "c", "tiny", every=0.0, clock=lambda: 0.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert same(found, whole)
    assert only(tmp_path).read_bytes() == before


def test_a_folder_that_cannot_be_made(models, sets, hyper, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    run = Run(models, sets, hyper)
    run(Checkpoints(tmp_path / "file" / "c", "tiny", every=0.0, clock=lambda: 0.0))
    assert capsys.readouterr().err.startswith("tiny: goes on without a checkpoint (")


def test_a_strategy_whose_state_no_file_can_hold(models, sets, hyper, tmp_path, capsys):
    def change(strategy):
        strategy.state_dict = lambda: {"made": object()}

    run = Run(models, sets, hyper)
    run(Checkpoints(tmp_path / "c", "tiny", every=0.0, clock=lambda: 0.0), change=change)
    assert capsys.readouterr().err == (
        "tiny: goes on without a checkpoint (TypeError: state is made of dicts, lists, tensors, numbers and "
        "strings, found object)\n"
    )


# The codec

numbers = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
arrays = st.sampled_from(
    [np.zeros(0), np.arange(6.0).reshape(2, 3).T, np.array(3), np.array([True]), np.arange(3, dtype=np.int16),
     np.array([np.nan, -0.0, np.inf]), np.float64(2.5), np.int64(-1), np.bool_(True), np.float32(0.1)]
)  # fmt: skip
tensors = st.sampled_from(
    [torch.zeros(0), torch.arange(6.0).view(2, 3).T, torch.tensor(3), torch.tensor([1.5], dtype=torch.bfloat16),
     torch.arange(9)[2:5], torch.ones(2, requires_grad=True), torch.get_rng_state()[:40]]
)  # fmt: skip
nested = st.recursive(
    numbers | arrays | tensors,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
)


def plainly(value):
    """Tensors as arrays, with their kind."""
    if isinstance(value, torch.Tensor):
        raw = value.detach().contiguous().view(torch.uint8) if value.ndim else value.detach().reshape(1)
        return ["tensor", str(value.dtype), list(value.shape), raw.numpy().copy() if value.numel() else None]
    if isinstance(value, dict):
        return {"keys": list(value), "values": [plainly(one) for one in value.values()]}
    if isinstance(value, list | tuple):
        return type(value)(plainly(one) for one in value)
    return np.ascontiguousarray(value).reshape(np.shape(value)) if isinstance(value, np.ndarray) else value


@given(nested)
@settings(deadline=None, max_examples=100)
def test_state_comes_back_as_it_was(value):
    form, found = encode(value)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        checkpoint.save_file(found, path, {"state": json.dumps(form)})
        with checkpoint.safe_open(path, "pt") as file:
            read = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            back = decode(json.loads(file.metadata()["state"]), read)
    assert same(plainly(back), plainly(value))


def test_tied_tensors_come_back_apart():
    one = torch.arange(4.0)
    form, found = encode({"one": one, "again": one, "part": one[1:]})
    assert len({tensor.untyped_storage().data_ptr() for tensor in found.values()}) == 3
    back = decode(form, found)
    back["one"][0] = 9
    assert back["again"].tolist() == [0, 1, 2, 3]
    assert back["part"].tolist() == [1, 2, 3]
    assert one.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("value", [object(), {1, 2}, {"a": [lambda: 0]}, np.array(["text"]), b"bytes"])
def test_what_is_no_data_is_refused(value):
    with pytest.raises(TypeError):
        encode(value)


# Jobs


@pytest.fixture
def bench(tiny, examples, hyper):
    """A job with two traces, scores and patience, and the store that it is done in."""
    keys = {split: {code: tiny.encode(examples(code, count, seed=count)) for code in CODES}
            for split, count in (("train", 20), ("dev", 12))}  # fmt: skip
    pools = tuple(keys["dev"].items())
    readings = tuple(
        TracePlan("gradients", (("split", split),), pools, probes=3, half_batch=4, parallel=False)
        for split in ("dev", "train")
    )
    job = TrainJob(
        task="tiny@1", labels=2, metric="accuracy", data=tuple(keys["train"].items()), model="scratch",
        model_digest="tiny", hyper=replace(hyper, patience=2), seed=0, numerics="1/test/cpu", dev=pools,
        strategy="subnet-dynamic[every=3]", names=("no", "yes"), model_path=str(tiny.folder), label="three",
        readings=readings, evaluate=tuple(EvalSet(code, "dev", key) for code, key in keys["dev"].items()),
    )  # fmt: skip
    return job, tiny.store


def often(monkeypatch, kill):
    """A checkpoint after each step, and ``kill`` is asked what becomes of the process then."""

    def made(folder, label, readings):
        return EveryStep(folder, readings, kill)

    monkeypatch.setattr(execution, "Checkpoints", made)


def content(store, key):
    """Every byte of an object, but for what has a clock in it."""
    files = {path.name: path.read_bytes() for path in store.path(key).iterdir()}
    kept = {name: data for name, data in files.items() if not name.startswith("manifest.")}
    if "history.json" in kept:
        kept["history.json"] = {n: v for n, v in json.loads(kept["history.json"]).items() if n != "seconds"}
    return kept


def everything(store, job):
    return {key: content(store, key) for key in store.keys(job.key)}


@pytest.fixture
def whole(bench, tmp_path):
    """What the job leaves when nothing happens."""
    job, source = bench
    store = Store.at(tmp_path / "undisturbed")
    for key in source.keys(""):
        shutil.copytree(source.path(key), store.path(key))
    assert execute(job, store).error is None
    assert not (store.root / "checkpoints").exists()
    return everything(store, job)


def test_a_job_that_is_killed_again_and_again(bench, whole, monkeypatch):
    job, store = bench
    often(monkeypatch, lambda step: step % 2 == 0)
    kills = 0
    while True:
        try:
            outcome = execute(job, store)
            break
        except Killed:
            kills += 1
            assert store.keys(job.key) == [], "no half result"
            assert [path.name for path in (store.root / "checkpoints").iterdir()] == [job.key]
    assert outcome.error is None
    assert kills == 8
    assert everything(store, job) == whole
    assert not list((store.root / "checkpoints").iterdir()), "deleted with the training stored"


def test_a_trace_that_is_taken_later_is_resumed_too(bench, whole, monkeypatch):
    job, store = bench
    assert execute(replace(job, readings=()), store).error is None
    often(monkeypatch, lambda step: step == 9)
    with pytest.raises(Killed):
        execute(job, store)
    steps = []
    often(monkeypatch, lambda step: steps.append(step))
    assert execute(job, store).error is None
    assert min(steps) == 10
    assert everything(store, job) == whole
    assert not list((store.root / "checkpoints").iterdir())


def test_one_that_does_not_fit_is_dropped_and_the_job_done_all_the_same(bench, whole, monkeypatch, capsys):
    job, store = bench
    often(monkeypatch, lambda step: step == 9)
    with pytest.raises(Killed):
        execute(job, store)
    real = checkpoint.Live.load

    def half(self, state):
        real(self, state)
        raise KeyError("no such thing")

    monkeypatch.setattr(checkpoint.Live, "load", half)
    monkeypatch.setattr(execution, "Checkpoints", Checkpoints)
    assert execute(job, store).error is None
    assert "the checkpoint does not fit (KeyError: 'no such thing')" in capsys.readouterr().err
    assert everything(store, job) == whole


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (TrainingFailed("the loss is nan"), False),
        (ValueError("a bug that will be mended"), False),
        (OSError(28, "No space left on device"), True),
        (torch.OutOfMemoryError("others have it"), True),
        (KeyboardInterrupt(), True),
    ],
)
def test_what_failed_is_not_resumed(error, kept, bench, monkeypatch):
    job, store = bench

    def kill(step):
        if step == 5:
            raise error

    often(monkeypatch, kill)
    if isinstance(error, Exception):
        outcome = execute(job, store)
        assert outcome.error.startswith(type(error).__name__)
        assert not outcome.trained
    else:
        with pytest.raises(KeyboardInterrupt):
            execute(job, store)
    assert store.keys(job.key) == []
    assert (store.root / "checkpoints" / job.key).exists() == kept


def test_a_result_that_cannot_be_stored_keeps_its_checkpoint(bench, whole, monkeypatch):
    job, store = bench
    often(monkeypatch, lambda step: False)
    with monkeypatch.context() as full:
        full.setattr(Store, "put", lambda *arguments: 1 / 0)
        assert execute(job, store).error.startswith("ZeroDivisionError")
    steps = []
    often(monkeypatch, lambda step: steps.append(step))
    assert execute(job, store).error is None
    assert steps == []
    assert everything(store, job) == whole


KILLED = """
import pickle, sys, time
from pathlib import Path
from benchmark.jobs import execute
from benchmark.training.checkpoint import Checkpoints
Checkpoints.due = lambda self: time.sleep(0.02) or True
job, store = pickle.loads(Path(sys.argv[1]).read_bytes())
print(execute(job, store).error)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_process_is_killed_for_good(bench, tmp_path):
    job, store = bench
    job = replace(job, hyper=replace(job.hyper, epochs=20, patience=0), dev=())
    other = Store.at(tmp_path / "undisturbed")
    for key in store.keys(""):
        shutil.copytree(store.path(key), other.path(key))
    assert execute(job, other).error is None
    (tmp_path / "job").write_bytes(pickle.dumps((job, store)))
    folder = store.root / "checkpoints" / job.key
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "job")], stdout=subprocess.PIPE)
    try:
        while process.poll() is None and not any(path.name > "000000020" for path in folder.glob("*.safetensors")):
            time.sleep(0.005)
        process.kill()
        assert process.communicate()[0] == b"", "it had ended before"
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert store.keys(job.key) == []
    made = []
    with pytest.MonkeyPatch.context() as patch:
        real = loop.train

        def watched(*arguments, **named):
            history = real(*arguments, **{**named, "report": made.append})
            return history

        patch.setattr(loop, "train", watched)
        assert execute(job, store).error is None
    assert made[0] >= 20 / 160, "it went on from where it was"
    assert everything(store, job) == everything(other, job)
