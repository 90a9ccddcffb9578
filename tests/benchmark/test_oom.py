"""A device that is out of memory: smaller parts, the same step; and a training that fails says why."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.cli import command
from benchmark.encoding import Encoder
from benchmark.jobs import EvalSet, TrainJob, execute
from benchmark.readings import TracePlan
from benchmark.store import Store
from benchmark.training import model as models
from benchmark.training import probes
from benchmark.training.batches import Batch, Encoded, Mixture
from benchmark.training.checkpoint import Checkpoints
from benchmark.training.evaluation import predict
from benchmark.training.loop import TrainingFailed, train
from benchmark.training.microbatches import Backward, parts
from benchmark.training.model import Classifier, cross_entropy
from benchmark.training.probes import GradientTrace
from benchmark.training.strategy import Plain, Start
from benchmark.training.subnets import SubnetDynamic, SubnetStatic
from benchmark.training.surgery import PCGrad
from tasks.base import tagged
from tasks.languages import language

CPU = torch.device("cpu")
CODES = ("deu", "nld", "rus")
LANGUAGES = tuple(map(language, CODES))


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def sets(tmp_path_factory, tiny_folder, examples, hyper):
    store = Store.at(tmp_path_factory.mktemp("oom"))
    encoder = Encoder(store, tiny_folder, "tiny", hyper.max_length)
    found = {}
    for task, rows in (("text", examples), ("tagged", sentences)):
        of = {code: rows(code, count) for code, count in zip(CODES, (20, 14, 11), strict=True)}
        for code, one in of.items():
            encoder.encode(f"{task}-{code}", one)
        found[task] = {code: Encoded.open(store.path(f"{task}-{code}")) for code in of}
    return found


def sentences(code, count):
    random = np.random.default_rng([count, *code.encode()])
    rows = [[int(tag) for tag in random.integers(0, 3, random.integers(1, 9))] for _ in range(count)]
    return [tagged([f"{code}{'abc'[tag]}" for tag in row], row) for row in rows]


@pytest.fixture(scope="module")
def bases(tiny_folder):
    return {task: models.load(tiny_folder, labels, 0) for task, labels in (("text", 2), ("tagged", 3))}


@pytest.fixture
def fresh(bases):
    def make(task="text", dropout=False):
        model = copy.deepcopy(bases[task])
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout) and not dropout:
                module.p = 0.0
            if hasattr(module, "dropout_prob") and not dropout:
                module.dropout_prob = 0.0
        return model.train()

    return make


def small(model, room):
    """A device that holds so many examples; ``tried`` are the sizes that it was asked for."""
    tried, forward = [], model.forward

    def limited(batch):
        tried.append(len(batch))
        torch.rand(1)  # some dropout was drawn before the memory was out
        if len(batch) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(batch)

    model.forward = limited
    return tried


def mixture(sets, task="text"):
    return Mixture({language(code): data for code, data in sets[task].items()})


def state(of):
    return {name: value.detach().clone() for name, value in of.state_dict().items()}


def gradient(model):
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad(set_to_none=True)
    return found


# A step


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_parts_are_the_rows_in_their_order(sizes, rows):
    ids = torch.arange(sum(sizes)).view(-1, 1)
    starts = np.cumsum([0, *sizes])
    languages = [language(code) for code in ("deu", "nld", "rus", "swe")]
    batches = {
        one: Batch(ids[a:b], torch.ones_like(ids[a:b]), ids[a:b, 0])
        for one, a, b in zip(languages[: len(sizes)], starts, starts[1:], strict=False)
    }
    found = list(parts(batches, rows))
    lengths = [sum(map(len, part.values())) for part in found]
    assert max(lengths) <= rows
    assert max(lengths) - min(lengths) <= 1
    assert len(found) == -(-sum(sizes) // rows)
    assert all(len(batch) for part in found for batch in part.values())
    assert [int(i) for part in found for batch in part.values() for i in batch.ids[:, 0]] == ids[:, 0].tolist()
    assert all(torch.equal(batch.labels, batches[one][:].labels[batch.ids[:, 0] - batches[one].ids[0, 0]])
               for part in found for one, batch in part.items())  # fmt: skip


def masks_of(model):
    random, config = np.random.default_rng(5), model.encoder.config
    layers = config.num_hidden_layers
    shapes = {"heads": (layers, config.num_attention_heads), "units": (layers, config.intermediate_size)}
    return {code: {n: (random.random(s) < 0.7).astype(float) for n, s in shapes.items()} for code in CODES}


STRATEGIES = {"plain": Plain, "static": SubnetStatic, "dynamic": lambda: SubnetDynamic(every=4)}


@pytest.fixture(params=STRATEGIES)
def additive(request, monkeypatch):
    def make():
        strategy = STRATEGIES[request.param]()
        strategy.additive = True
        return strategy

    return make


@pytest.mark.parametrize("task", ["text", "tagged"])
@pytest.mark.parametrize("room", [9, 5, 1])
def test_in_parts_it_is_the_same_step(additive, task, room, sets, fresh):
    """Of tagged tokens a part counts by its labels, not by its rows."""
    of, there = mixture(sets, task), []
    for rows in (100, room):
        model, strategy = fresh(task), additive()
        strategy.begin(Start(model, of.languages, 0, 8, 1e-3, masks_of(model)))
        backward = Backward(model, strategy, cross_entropy, rows, CPU)
        losses, grads = [], []
        for step, batches in enumerate(of.epoch(12, 0)):
            losses.append(float(backward(batches)))
            grads.append(gradient(model))
            strategy.end_step(step)
        there.append((losses, grads, strategy.state_dict()))
        strategy.end()
    (losses, grads, told), (theirs, other, same) = there
    assert losses == pytest.approx(theirs, rel=1e-5)
    for one, two in zip(grads, other, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5 * float(one.abs().max()))
    assert str(told.get("masks")) == str(same.get("masks"))
    for code, importance in told.get("importance", {}).items():
        for kind, values in importance.items():
            np.testing.assert_allclose(same["importance"][code][kind], values, rtol=1e-3, atol=1e-7)


def test_the_step_is_repeated_from_its_beginning(additive, sets, fresh):
    """With dropout: failed attempts leave nothing, neither gradients nor drawn numbers nor what was learnt."""
    batches = next(iter(mixture(sets).epoch(12, 0)))
    found = []
    for room, rows in ((3, 12), (100, 3)):
        model, strategy = fresh(dropout=True), additive()
        strategy.begin(Start(model, LANGUAGES, 0, 8, 1e-3, masks_of(model)))
        tried = small(model, room)
        torch.manual_seed(4)
        backward = Backward(model, strategy, cross_entropy, rows, CPU)
        loss = backward(batches)
        found.append((loss, gradient(model), torch.get_rng_state(), str(strategy.state_dict()), backward.rows))
        strategy.end()
        assert tried == ([12, 6] if room == 3 else []) + [3] * 4
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


def test_a_later_part_may_be_the_one_that_fails(sets, fresh):
    """What the parts before it have taught is forgotten."""
    batches = next(iter(mixture(sets).epoch(12, 0)))
    found = []
    for fails in (True, False):
        model, strategy = fresh(dropout=True), SubnetDynamic(every=4)
        strategy.additive = True
        strategy.begin(Start(model, LANGUAGES, 0, 8, 1e-3))
        forward, calls = model.forward, []

        def limited(batch, forward=forward, calls=calls, fails=fails):
            calls.append(len(batch))
            if fails and len(calls) == 2:
                raise torch.OutOfMemoryError("it was the others")
            return forward(batch)

        model.forward = limited
        torch.manual_seed(4)
        loss = Backward(model, strategy, cross_entropy, 6 if fails else 3, CPU)(batches)
        assert calls == ([6, 6] if fails else []) + [3] * 4
        found.append((loss, gradient(model), torch.get_rng_state(), str(strategy.state_dict())))
        strategy.end()
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


# A training


@pytest.mark.parametrize("task", ["text", "tagged"])
def test_a_training_on_a_small_device_is_the_same_training(task, sets, fresh, hyper):
    found, of = [], replace(hyper, batch_size=10)
    for room in (100, 3):
        model = fresh(task)
        tried = small(model, room)
        history = train(model, mixture(sets, task), of, Plain(), 0, CPU)
        found.append((history, state(model), tried))
    (whole, weights, _), (cut, others, tried) = found
    assert whole.micro_batch is None
    assert cut.micro_batch == 3
    assert tried[:2] == [10, 5]
    assert max(tried[2:]) == 3, "for good"
    assert cut.losses == pytest.approx(whole.losses, rel=1e-3)
    start = state(fresh(task))
    for name, value in weights.items():
        assert (value - others[name]).norm() <= 0.02 * (value - start[name]).norm() + 1e-6, name


def test_nothing_changes_where_there_is_room(sets, fresh, hyper):
    """The last batch of an epoch is smaller, which is no reason to cut the others."""
    model = fresh()
    tried = small(model, 100)
    assert train(model, mixture(sets), replace(hyper, batch_size=10), Plain(), 0, CPU).micro_batch is None
    assert sorted(set(tried)) == [5, 10]


def test_no_room_for_one(sets, fresh, hyper):
    model = fresh()
    tried = small(model, 0)
    with pytest.raises(torch.OutOfMemoryError, match=r"^the cpu device has no room for 1 examples of \d+ tokens$"):
        train(model, mixture(sets), hyper, Plain(), 0, CPU)
    assert tried == [8, 4, 2, 1]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_strategy_that_needs_whole_batches_says_so(sets, fresh, hyper):
    strategy = PCGrad()
    model = fresh()
    small(model, 6)
    with pytest.raises(
        torch.OutOfMemoryError,
        match=r"has no room for 8 examples of \d+ tokens, and the strategy does not take a batch in parts$",
    ):
        train(model, mixture(sets), hyper, strategy, 0, CPU)
    assert not any(module._forward_hooks for module in model.modules())


def test_parts_are_not_inherited_by_another_backward():
    class Renamed(Plain):
        name = "renamed"

    class Bent(Plain):
        def backward(self, model, batches, loss):
            return super().backward(model, batches, loss)

    class Sure(Bent):
        additive = True

        def backward(self, model, batches, loss):
            return super().backward(model, batches, loss)

    assert Plain().additive
    assert Renamed().additive
    assert not Bent().additive
    assert Sure().additive
    assert not PCGrad().additive


def test_what_was_found_out_is_in_the_checkpoint(sets, fresh, hyper, tmp_path):
    class Stop(BaseException):
        pass

    class Now(Checkpoints):
        def due(self):
            return True

        def save(self, stand, live):
            super().save(stand, live)
            if stand["step"] == 3:
                raise Stop

    model = fresh()
    small(model, 5)
    with pytest.raises(Stop):
        train(model, mixture(sets), hyper, Plain(), 0, CPU, checkpoints=Now(tmp_path / "c"))
    model = fresh()
    tried = small(model, 5)
    history = train(model, mixture(sets), hyper, Plain(), 0, CPU, checkpoints=Checkpoints(tmp_path / "c"))
    assert max(tried) == 4
    assert history.micro_batch == 4


# Predictions and probes


@pytest.mark.parametrize("task", ["text", "tagged"])
@pytest.mark.parametrize("room", [40, 7, 1])
def test_predictions_in_smaller_batches(task, room, sets, fresh):
    model = fresh(task)
    with torch.no_grad():
        model.head.weight *= 30
    masks = [None, *list(masks_of(model).values())[1:]]
    data = list(sets[task].values())
    expected = predict(model, data, CPU, "fp32", masks)
    tried = small(model, room)
    found = predict(model, data, CPU, "fp32", masks)
    assert all(np.array_equal(one, two) for one, two in zip(found, expected, strict=True))
    assert max(size for size in tried if size <= room) > room // 2 or room == 1
    assert sum(size for size in tried if size <= room) == sum(map(len, data))
    assert model.training


def test_predictions_where_there_is_no_room_for_one(sets, fresh):
    model = fresh()
    small(model, 0)
    with pytest.raises(torch.OutOfMemoryError):
        predict(model, list(sets["text"].values()), CPU, "fp32")


@pytest.mark.parametrize("budget", [2 << 30, 20_000])
def test_a_trace_in_smaller_parts(budget, sets, fresh, monkeypatch):
    model, found = fresh(), []
    for room in (100, 2):
        probe = GradientTrace(
            sets["text"],
            probes=1,
            half_batch=5,
            parallel=False,
            seed=0,
            precision="fp32",
            device=CPU,
            budget=budget,
        )
        one = copy.deepcopy(model)
        tried = small(one, room)
        probe.look(one, 0, 0.1)
        found.append(probe.result()[0])
        assert max(tried[4:]) <= max(2, room)
        assert all(parameter.grad is None for parameter in one.parameters())
    np.testing.assert_allclose(found[0]["gram"], found[1]["gram"], rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(found[0]["loss"], found[1]["loss"], rtol=1e-5)


@pytest.mark.parametrize("budget", [2 << 30, 20_000])
def test_a_part_that_went_well_counts_once(budget, sets, fresh, monkeypatch):
    monkeypatch.setattr(probes, "MICRO_BATCH", 2)
    model, found = fresh(), []
    for fails in (False, True):
        probe = GradientTrace(
            sets["text"], probes=1, half_batch=5, parallel=False, seed=0, precision="fp32", device=CPU,
            budget=budget,
        )  # fmt: skip
        one, calls = copy.deepcopy(model), []

        def limited(batch, forward=one.forward, calls=calls, fails=fails):
            calls.append(len(batch))
            if fails and len(calls) == 2:
                raise torch.OutOfMemoryError("it was the others")
            return forward(batch)

        one.forward = limited
        probe.look(one, 0, 0.1)
        found.append(probe.result()[0])
        assert calls[:3] == [2, 2, 1]
        assert max(calls[3:]) == (1 if fails else 2)
    np.testing.assert_allclose(found[0]["gram"], found[1]["gram"], rtol=1e-3, atol=1e-9)


# Trainings that fail


class Spoils(Plain):
    """A gradient that is not finite under a loss that is, at one step."""

    def __init__(self, at):
        self.at, self.step = at, 0

    def backward(self, model, batches, loss):
        value = super().backward(model, batches, loss)
        if self.step == self.at:
            model.head.weight.grad[0, 0] = torch.nan
        self.step += 1
        return value


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (3, r"^the loss is nan at step 5 of 12 \(lr 0.001\)$"),
        (11, r"^a weight is not finite after 12 steps \(lr 0.001\)$"),
    ],
)
def test_a_step_that_is_not_finite_is_noticed(at, said, sets, fresh, hyper):
    """At the next step's loss; and after the last, when no loss is taken any more."""
    steps = []
    strategy = Spoils(at)
    strategy.end_step = steps.append
    with pytest.raises(TrainingFailed, match=said):
        train(fresh(), mixture(sets), hyper, strategy, 0, CPU)
    assert len(steps) == at + 1


@pytest.fixture
def bench(tiny, examples, hyper):
    keys = {split: {code: tiny.encode(examples(code, count, seed=count)) for code in CODES}
            for split, count in (("train", 20), ("dev", 12))}  # fmt: skip
    pools = tuple(keys["dev"].items())
    return TrainJob(
        task="tiny@1", labels=2, metric="accuracy", data=tuple(keys["train"].items()), model="scratch",
        model_digest="tiny", hyper=hyper, seed=0, numerics="1/test/cpu", names=("no", "yes"),
        model_path=str(tiny.folder), label="three",
        readings=(TracePlan("gradients", (("split", "dev"),), pools, probes=2, half_batch=4, parallel=False),),
        evaluate=tuple(EvalSet(code, "dev", key) for code, key in keys["dev"].items()),
    ), tiny.store  # fmt: skip


def test_a_job_tells_of_its_micro_batches(bench, monkeypatch, capsys):
    job, store = bench
    forward = Classifier.forward

    def limited(self, batch):
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, batch)

    monkeypatch.setattr(Classifier, "forward", limited)
    assert execute(job, store).error is None
    assert json.loads((store.path(job.key) / "history.json").read_text())["micro_batch"] == 2
    assert store.manifest(job.key)["cost"]["micro_batch"] == 2
    assert capsys.readouterr().err == (
        "three (seed 0): the device has no room for 8 examples at once; each step was made 2 at a time\n"
    )
    assert len(store.keys(f"{job.key}.predictions.")) == 1


def test_a_job_that_has_no_room_fails_and_is_done_when_there_is(bench, monkeypatch):
    job, store = bench
    job = replace(job, strategy="pcgrad", readings=())
    with monkeypatch.context() as patch:
        forward = Classifier.forward

        def limited(self, batch):
            if len(batch) > 7 and self.training:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(self, batch)

        patch.setattr(Classifier, "forward", limited)
        outcome = execute(job, store)
        assert outcome.error.startswith("OutOfMemoryError: the cpu device has no room for 8 examples of ")
        assert outcome.error.endswith("and the strategy does not take a batch in parts")
        assert store.keys(job.key) == []
    assert execute(job, store).error is None


def test_a_run_goes_on_and_its_exit_code_says_what_failed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    forward = Classifier.forward

    def limited(self, batch):
        if len(batch) > 10 and self.training:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, batch)

    monkeypatch.setattr(Classifier, "forward", limited)
    sizes = ["--languages", "deu,nld,fra", "--epochs", "1", "--max-train", "24", "--max-eval", "30"]
    where = ["--device", "cpu", "--jobs", "1", "--cache", "cache", "--json"]
    strategies = ["--no-groups", "--strategy", "pcgrad", "--strategy", "plain", "--batch-size", "16"]
    arguments = ["run", "-m", "overlap", "-t", "cldr-names", *sizes, *strategies, *where]
    assert command(arguments) == 1
    printed = capsys.readouterr()
    records = {(one["measure"], one["strategy"]): one for one in json.loads(printed.out)}
    assert records["joint", "pcgrad"]["scores"]["grouped"] is None
    assert records["joint", "plain"]["scores"]["grouped"] is not None
    [told] = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert told.startswith(
        "error: training joint by pcgrad (seed 0) failed: OutOfMemoryError: the cpu device has no"
    )
    monkeypatch.setattr(Classifier, "forward", forward)
    assert command(arguments) == 0  # failures are not cached
    again = capsys.readouterr()
    assert "1 trainings to do" in again.err
