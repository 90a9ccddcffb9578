"""The conformance suite of strategies: good ones keep it, bad ones fail the check they should."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from benchmark import check_answers, check_steps
from benchmark.afresh import trained_afresh
from benchmark.check_strategy import check_strategy as suite
from benchmark.cli import command
from benchmark.findings import Finding
from benchmark.registry import create, entries
from benchmark.testing import check_strategy
from benchmark.training import made_up
from benchmark.training.batches import concatenate
from benchmark.training.gates import Gates
from benchmark.training.meta import Meta
from benchmark.training.strategy import Plain, Strategy
from benchmark.training.subnets import SubnetDynamic, SubnetStatic
from benchmark.training.surgery import GradVac
from measures import Reading

CHECKS = [
    "created", "metadata", "needs", "skip", "training", "values", "gradient", "loss", "one language", "order",
    "determinism", "seed", "random", "resumed", "parts", "masks", "record", "untouched", "hooks",
]  # fmt: skip
OURS = [*entries("strategies")[0], "gradvac[beta=.5,granularity=matrix]", "meta[algorithm=reptile,masks=dynamic]"]


@pytest.fixture(autouse=True)
def here_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes of this file cannot be imported in a new process: do not start one to find that out."""
    monkeypatch.setattr(check_steps, "trained_afresh", lambda strategy, steps: None)
    monkeypatch.setattr(made_up, "STEPS", made_up.STEPS[:5])  # soon done
    monkeypatch.setattr(check_steps, "SAVED", (3,))


def findings(strategy: Strategy | type[Strategy]) -> dict[str, Finding]:
    return {one.name: one for one in suite(strategy)}


@pytest.mark.parametrize("spec", OURS)
def test_ours_keep_everything(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "dynamic" in spec:
        monkeypatch.undo()  # whose masks move later
        monkeypatch.setattr(check_steps, "trained_afresh", lambda strategy, steps: None)
    strategy, _ = create("strategies", spec)
    found = {one.name: one for one in suite(strategy, spec.split("[")[0])}
    assert list(found) == CHECKS
    assert not [one for one in found.values() if one.passed is False]
    assert found["training"].passed
    assert found["resumed"].passed
    assert (found["masks"].passed is True) == ("subnet" in spec or "masks=" in spec)
    assert (found["parts"].passed is True) == strategy.additive


def test_a_class_is_checked_with_its_defaults_and_nothing_of_the_process_is_moved() -> None:
    states = torch.get_rng_state(), str(np.random.get_state()), random.getstate(), torch.get_num_threads()
    found = findings(SubnetDynamic(every=2))
    assert not [one for one in found.values() if one.passed is False]
    assert found["values"].said == "7 values tried, refused: keep=-1.0, keep=0.0, keep=2.0, every=-1, every=0"
    assert found["masks"].said == "heads and units of 0 and 1 for 4 languages, 71% of the units open at the end"
    assert torch.equal(states[0], torch.get_rng_state())
    assert (str(np.random.get_state()), random.getstate(), torch.get_num_threads()) == states[1:]


# Bad strategies for each check: they fail that one first, in these words.


class Good(Plain):
    """What plain does, counted."""

    name = "good"
    steps = 0

    def __init__(self, rate: float = 0.5) -> None:
        self.rate = rate

    def needs(self):
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate must be from 0 to 1, found {self.rate:g}")
        return frozenset()

    def begin(self, start):
        self.start = start

    def backward(self, model, batches, loss):
        self.steps += 1
        return super().backward(model, batches, loss)

    def record(self):
        return {"steps": self.steps}

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


class Doubling(Good):
    def __init__(self, rate: float = 0.25) -> None:
        self.rate = 2 * rate


class Untyped(Good):
    def __init__(self, rate=0.5) -> None:
        self.rate = rate


class Listed(Good):
    def __init__(self, rates: list[float] | None = None) -> None:
        self.rates = rates


class Idle(Strategy):
    """Lacks what it is for."""

    name = "idle"


class Unnamed(Good):
    name = "a b"
    cost = 0


class Wordless(Strategy):
    name = "wordless"
    backward = Plain.backward


class Wavering(Good):
    def needs(self):
        self.asked = not getattr(self, "asked", False)
        return frozenset({Reading("each", "masks")} if self.asked else ())


class Greedy(Good):
    def needs(self):
        return frozenset({Reading("joint", "gradients")})


class Naming(Good):
    def needs(self):
        return frozenset({"masks"})


class Tuple(Good):
    def needs(self):
        return ()


class Lookup(Good):
    def skip(self, config):
        return None if config["num_hidden_layers"] > 1 else "too few layers"


class Refusing(Good):
    def skip(self, config):
        return config.get("model_type") != "bert"


class Loose(Good):
    """Refuses nothing, and fails in the training."""

    def needs(self):
        return frozenset()

    def backward(self, model, batches, loss):
        assert 0 <= self.rate <= 1
        return super().backward(model, batches, loss)


class WrongError(Good):
    def needs(self):
        if self.rate < 0:
            raise TypeError("no")
        return frozenset()


class Literally(Good):
    """Knows only one of what it offers."""

    def __init__(self, rate: Literal["slow", "fast"] = "slow") -> None:
        self.rate = rate

    def needs(self):
        return frozenset()

    def end_step(self, step):
        {"slow": 1}[self.rate]


class Crashing(Good):
    def end_step(self, step):
        raise OSError("no\nsuch file")


class TextOnly(Good):
    def backward(self, model, batches, loss):
        if next(iter(batches.values())).places is not None:
            raise ValueError("texts alone")
        return super().backward(model, batches, loss)


class BadState(Good):
    def state_dict(self):
        return {"steps": self.steps, "start": self.start}


class HeadAlone(Good):
    def backward(self, model, batches, loss):
        value = super().backward(model, batches, loss)
        for name, parameter in model.named_parameters():
            if "head" not in name:
                parameter.grad = None
        return value


class Exploding(Good):
    def backward(self, model, batches, loss):
        value = super().backward(model, batches, loss)
        model.head.weight.grad /= 0
        return value


class Half(Good):
    """Has no room for large gradients in half precision."""

    def backward(self, model, batches, loss):
        value = super().backward(model, batches, loss)
        if torch.is_autocast_enabled("cpu"):
            model.head.bias.grad *= float("inf")
        return value


class Lazy(Good):
    def backward(self, model, batches, loss):
        value = super().backward(model, batches, loss)
        for parameter in model.parameters():
            parameter.grad.zero_()
        return value


class Number(Good):
    def backward(self, model, batches, loss):
        return super().backward(model, batches, loss).item()


class Vector(Good):
    def backward(self, model, batches, loss):
        return super().backward(model, batches, loss).expand(2)


class Holding(Good):
    def backward(self, model, batches, loss):
        value = loss(model, concatenate(list(batches.values())))
        value.backward()
        self.steps += 1
        return value


class Several(Good):
    """Compares each language with another."""

    def backward(self, model, batches, loss):
        _, _, *_ = batches
        return super().backward(model, batches, loss)


class FirstCounts(Good):
    """Trains on the language that is listed first."""

    def backward(self, model, batches, loss):
        self.steps += 1
        first = next(one for one in self.start.languages if one in batches)
        value = loss(model, batches[first])
        value.backward()
        return value.detach()


class Noisy(Good):
    """Draws from a generator that nobody has seeded."""

    def begin(self, start):
        self.noise = float(torch.rand(()))

    def backward(self, model, batches, loss):
        value = super().backward(model, batches, loss)
        for parameter in model.parameters():
            parameter.grad += self.noise
        return value


class Unseeded(Noisy):
    """Of numpy's, in each step."""

    def begin(self, start):
        return

    def backward(self, model, batches, loss):
        self.noise = np.random.random()
        return super().backward(model, batches, loss)


class Drawing(Good):
    """From the generator of dropout."""

    def backward(self, model, batches, loss):
        torch.rand(3)
        return super().backward(model, batches, loss)


class Seeding(Good):
    """The generator of dropout."""

    def end_step(self, step):
        torch.manual_seed(step)


class Forgetful(Good):
    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        return


class Moving(Good):
    """Follows the mean gradient of the head so far, and does not say so."""

    def backward(self, model, batches, loss):
        value = super().backward(model, batches, loss)
        self.mean = 0.5 * getattr(self, "mean", 0.0) + model.head.weight.grad
        model.head.weight.grad = self.mean.clone()
        return value


class Unready(Good):
    def load_state_dict(self, state):
        self.steps = state["count"]


class Boastful(Good):
    """Says that its steps may be made in parts, and has a gradient that depends on all rows."""

    additive = True

    def backward(self, model, batches, loss):
        value = super().backward(model, batches, loss)
        for parameter in model.parameters():
            parameter.grad /= len(batches)
        return value


class Masked(Good):
    def masks(self):
        return {one.code: self.mask() for one in self.start.languages}

    def mask(self):
        return {"heads": np.ones((2, 2)), "units": np.ones((2, 12))}


class Flat(Masked):
    def mask(self):
        return {"heads": np.ones(4), "units": np.ones((2, 12))}


class Soft(Masked):
    def mask(self):
        return {"heads": np.ones((2, 2)), "units": np.full((2, 12), 0.5)}


class HeadsOnly(Masked):
    def mask(self):
        return {"heads": np.ones((2, 2))}


class ByName(Masked):
    def masks(self):
        return {one.name: self.mask() for one in self.start.languages}


class Array(Masked):
    def masks(self):
        return [self.mask()]


class Unknown(Good):
    def record(self):
        return {"cosine": float("nan")}


class Numpy(Good):
    def record(self):
        return {"kept": np.float64(0.5), "of": np.arange(3)}


class Numbered(Good):
    def record(self):
        return {1: "one"}


class Sentence(Good):
    def record(self):
        return "it went well"


class Evaluating(Good):
    def backward(self, model, batches, loss):
        model.encoder.eval()
        return super().backward(model, batches, loss)


class Freezing(Good):
    """The head, as long as it looks."""

    def backward(self, model, batches, loss):
        value = super().backward(model, batches, loss)
        model.head.weight.requires_grad_(False)
        return value


class FreezingOnce(Good):
    """Forgets to undo what it did where the loss fails."""

    def backward(self, model, batches, loss):
        model.head.weight.requires_grad_(False)
        value = super().backward(model, batches, loss)
        model.head.weight.requires_grad_(True)
        model.head.weight.grad = torch.zeros_like(model.head.weight)
        return value


class Stepping(Good):
    def backward(self, model, batches, loss):
        value = super().backward(model, batches, loss)
        with torch.no_grad():
            model.head.bias += 0.1
        return value


class Early(Good):
    """Leaves the gradient of a trial."""

    def begin(self, start):
        super().begin(start)
        start.model.head.weight.grad = torch.ones_like(start.model.head.weight)


class Hooked(Good):
    def begin(self, start):
        super().begin(start)
        start.model.head.register_forward_hook(lambda module, inputs, output: None)


class HookedParameter(Good):
    def begin(self, start):
        super().begin(start)
        start.model.head.bias.register_hook(lambda grad: grad)


class Patched(Good):
    def begin(self, start):
        super().begin(start)
        start.model.head.forward = type(start.model.head).forward.__get__(start.model.head)


class UnhookedInTheEnd(Good):
    """Takes its hooks off with the last step, which may not come."""

    def begin(self, start):
        super().begin(start)
        self.hook = start.model.head.register_forward_hook(lambda module, inputs, output: None)

    def end_step(self, step):
        if step + 1 == self.start.steps:
            self.hook.remove()


class Swallowing(Good):
    def backward(self, model, batches, loss):
        try:
            return super().backward(model, batches, loss)
        except RuntimeError:
            return torch.zeros(())


class GatedLate(SubnetStatic):
    """Leaves its gates on a model that it finds no masks for."""

    name = "gated-late"

    def begin(self, start):
        self.gates = Gates(start.model)
        if not start.masks:
            raise ValueError("no masks")
        self.gates.remove()
        super().begin(start)

    def end(self):
        if hasattr(self, "current"):
            super().end()


class Unasked(SubnetStatic):
    """Does without the masks that it needs."""

    name = "unasked"

    def begin(self, start):
        self.codes = ()
        if start.masks:
            super().begin(start)


class Broken(Good):
    def end(self):
        raise RuntimeError("no end")


@pytest.mark.parametrize(
    ("bad", "check", "said"),
    [
        (Doubling, "created", "__init__ must only store parameters: rate=0.25 was stored as 0.5"),
        (Untyped, "created", "must be annotated with int, float, bool, str, Literal, or one of these and None"),
        (Listed, "created", "name[rates=…] cannot be read else, found rates: list[float] | None = None"),
        (Idle, "created", "a strategy must have backward, found none"),
        (Path, "created", "derived from benchmark.training.strategy.Strategy, found Path"),
        (Unnamed, "metadata", "name must be a word without blanks and [ ] , = +, found 'a b'"),
        (Unnamed, "metadata", "cost must be a positive number, of a step in steps of plain, found 0"),
        (Wordless, "metadata", "must have a docstring, whose first line is its summary, found none"),
        (Wavering, "needs", "needs() must say the same every time, found {Reading("),
        (Greedy, "needs", "starts from one reading, masks of each, or from none, found gradients of joint"),
        (Naming, "needs", "AttributeError: 'str' object has no attribute 'of'"),
        (Tuple, "needs", "needs() must return a frozenset of readings, found tuple"),
        (Good(2.0), "needs", "answered before anything runs, found ValueError: rate must be from 0 to 1, found 2"),
        (Lookup, "skip", "found KeyError: 'num_hidden_layers' for one without a model_type"),
        (Refusing, "skip", "must return a reason in one line, or None, found True for one without a model_type"),
        (Crashing, "training", "found end_step(0): OSError: no such file"),
        (TextOnly, "training", "on tagged sentences a training must end well, found backward() in step 1 (t"),
        (BadState, "training", "state_dict(): TypeError: state is made of dicts, lists, tensors, numbers and str"),
        (Broken, "training", "found end(): RuntimeError: no end"),
        (Loose, "values", "needs() must refuse a value that cannot be trained with, found rate=-1.0: backward()"),
        (WrongError, "values", "must be refused with ValueError, found TypeError: no for rate=-1.0"),
        (Literally, "values", "found rate=fast: end_step(0): KeyError: 'fast'"),
        (HeadAlone, "gradient", "found none for encoder.embeddings.word_embeddings.weight, encoder."),
        (Exploding, "gradient", "p.grad must be finite, found another for head.weight in step 1 on texts"),
        (Half, "gradient", "p.grad must be finite, found another for head.bias in step 1 on texts in bf16"),
        (Lazy, "gradient", "something must be learnt, found every gradient zero in every step on texts"),
        (Number, "loss", "backward() must return a tensor, found float in step 1 on texts"),
        (Vector, "loss", "must return one number, found the shape [2]"),
        (Holding, "loss", "must return the loss detached, found one that holds its graph"),
        (Several, "one language", "a training must end well, found backward() in step 1 (text: fin): ValueError"),
        (FirstCounts, "order", "the gradient of step 1 moves by "),
        (Noisy, "determinism", "must not change: trained twice under one seed, found other values of encoder.emb"),
        (Unseeded, "determinism", "must not change: trained twice under one seed"),
        (Drawing, "random", "found torch's global generator moved by a step without dropout"),
        (Seeding, "random", "belongs to dropout and may not be seeded"),
        (Forgetful, "resumed", "record must not change: going on from a checkpoint after 3 steps on texts by a"),
        (Moving, "resumed", "going on from a checkpoint after 3 steps on texts by a new object, found other"),
        (Unready, "resumed", "a training must end well, found load_state_dict(): KeyError: 'count'"),
        (Boastful, "parts", "a step of 5 rows at a time must have the gradient of the whole, found it moved by"),
        (Flat, "masks", "masks of heads must be [layers, heads], here [2, 2], found [4] of deu before the first"),
        (Soft, "masks", "masks must be of 0 and 1, found others in the units of deu"),
        (HeadsOnly, "masks", "a mask has heads and units, found heads of deu"),
        (ByName, "masks", "must be by code of the languages trained on, found Dutch, Finnish, German, Swedish"),
        (Array, "masks", "masks() must return dicts by language code, found list"),
        (Unknown, "record", "Out of range float values are not JSON compliant"),
        (Numpy, "record", "Object of type ndarray is not JSON serializable"),
        (Numbered, "record", "found tuples or keys of another kind"),
        (Sentence, "record", "record() must return a dict, found str"),
        (Evaluating, "untouched", "found changed: the mode of encoder, the mode of encoder.embeddings and "),
        (Freezing, "untouched", "only p.grad is a strategy's to change, found changed: requires_grad of head"),
        (FreezingOnce, "untouched", "found changed: requires_grad of head.weight"),
        (Stepping, "untouched", "found changed: the value of head.bias"),
        (Early, "untouched", "found changed: the gradient of head.weight, by begin()"),
        (Hooked, "hooks", "take every hook off the model, found left after the last step: forward_hooks of head"),
        (HookedParameter, "hooks", "found left after the last step: hooks of the parameter head.bias"),
        (Patched, "hooks", "found left after the last step: the forward() or the class of head"),
        (UnhookedInTheEnd, "hooks", "found left after a step whose loss failed: forward_hooks of head"),
        (Swallowing, "hooks", "the error of a loss that fails must come through, found none"),
        (GatedLate, "hooks", "found left after a begin() that found no masks: forward_pre_hooks of encoder"),
        (Unasked, "hooks", "begin() must raise ValueError where the masks that it needs are not there, found"),
    ],
    ids=lambda one: one.__name__ if isinstance(one, type) else None,
)  # fmt: skip
def test_a_bad_strategy_is_told_in_words(bad: Strategy | type[Strategy], check: str, said: str) -> None:
    first = next(one for one in suite(bad) if one.passed is False)
    assert first.name == check
    assert said in first.said
    assert "\n" not in first.said


def test_what_cannot_be_tried_is_not() -> None:
    class Choosy(Good):
        def skip(self, config):
            return "a small BERT is beneath it" if config.get("model_type") == "bert" else None

    found = findings(Choosy)
    assert list(found) == [*CHECKS[:4], "training"]
    assert found["training"] == Finding(
        "training", None, "it is tried on a small BERT, which it refuses: a small BERT is beneath it"
    )
    assert list(findings(Crashing)) == CHECKS[:5]
    assert list(findings(Lookup)) == CHECKS[:4]
    assert findings(Good)["seed"] == Finding("seed", None, "its class cannot be imported in a new process")


def test_what_follows_from_it_is_told_too() -> None:
    wrong = {one.name: one.said for one in suite(Unseeded) if one.passed is False}
    assert list(wrong) == ["determinism", "random", "resumed"]
    assert "found numpy's global generator moved by a step without dropout" in wrong["random"]


def test_check_strategy_lists_all_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    class Twice(Number):
        record = Sentence.record

    with pytest.raises(AssertionError) as raised:
        check_strategy(Twice())
    first, *rest = str(raised.value).splitlines()
    assert first == "Twice does not keep what a strategy must:"
    assert [one.split(":")[0] for one in rest] == ["loss", "record"]
    check_strategy(GradVac(0.5))
    check_strategy(Meta(masks="static"))
    assert capsys.readouterr().out == ""


# Registered ones, by name.

MODULE = '''
from benchmark.training.strategy import Plain
from measures import Measure, SimilarityMatrix
import numpy as np


class Hashing(Plain):
    """Weighs languages by how their codes hash in this process."""

    name = "hashing"
    def __init__(self, own: bool = True) -> None:
        self.own = own

    def backward(self, model, batches, loss):
        value = super().backward(model, batches, loss)
        factor = hash("deu") % 97 if self.own else 1.0
        for parameter in model.parameters():
            parameter.grad *= factor / 97
        print("stepped")
        return value


class There(Hashing):
    """Cannot be trained by in another process."""

    def __init__(self, own: bool = False) -> None:
        self.own = own

    def begin(self, start):
        import os
        if os.getpid() != int(os.environ["KINSHIP_TEST_PID"]):
            raise OSError("not here")


class Same(Measure):
    """All are alike."""

    name = "hashing"
    access = "none"

    def __init__(self, level: int = 1) -> None:
        self.level = level

    def similarity(self, evidence):
        return SimilarityMatrix(evidence.languages, np.full((len(evidence.languages),) * 2, float(self.level)))
'''


@pytest.fixture
def registered(tmp_path: Path) -> Iterator[Path]:
    site = tmp_path / "site"
    about = site / "hashing_strategies-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hashing-strategies\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[benchmark.strategies]\nhashing = hashing_strategies:Hashing\nthere = hashing_strategies:There\n"
        "[benchmark.measures]\nhashing = hashing_strategies:Same\n"
    )
    (site / "hashing_strategies.py").write_text(MODULE)
    (tmp_path / "work").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "work")
        patch.syspath_prepend(site)
        yield tmp_path / "work"
        sys.modules.pop("hashing_strategies", None)


def lines(printed: str) -> dict[str, str]:
    """By check: the mark and the sentence."""
    return {
        one[2:15].strip(): f"{one[0]} {one[17:]}" for one in printed.splitlines() if one[:2] in ("✓ ", "✗ ", "– ")
    }


def test_another_process_hashes_otherwise(
    registered: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_steps, "trained_afresh", trained_afresh)  # these can be imported there
    monkeypatch.setenv("KINSHIP_TEST_PID", str(os.getpid()))
    assert command(["check", "there"]) == 1
    told = lines(capsys.readouterr().out)
    assert told["seed"] == "✗ in a new process a training must end as it did, it fails: OSError: not here"
    assert "must be the name it is registered by, 'there', found 'hashing'" in told["metadata"]
    assert command(["check", "hashing[own=true]"]) == 1
    told = lines(capsys.readouterr().out)
    assert [name for name, said in told.items() if said.startswith("✗")] == ["seed"]
    assert "trained in a new process under the same seed, found other encoder.embeddings" in told["seed"]
    assert list(registered.iterdir()) == []  # nothing is left behind


def test_a_name_of_both_is_checked_as_what_takes_the_parameters(
    registered: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_answers, "afresh", lambda measure, setup: None)

    def of(spec: str) -> list[str]:
        assert command(["check", spec]) == 0
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("hashing (")]

    assert of("hashing[own=false]") == ["hashing (strategy, hashing-strategies)"]
    assert of("hashing[level=2]") == ["hashing (measure, hashing-strategies)"]
    assert of("hashing") == ["hashing (measure, hashing-strategies)", "hashing (strategy, hashing-strategies)"]
    assert command(["check", "hashing[speed=2]"]) == 2
    assert "error: 'hashing' has no parameter 'speed'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("gradvak", 2, "unknown measure or strategy 'gradvak' (did you mean 'gradvac' or 'pcgrad'?)"),
        ("gradvac[beta=high]", 2, "gradvac[beta=…] takes a number, found 'high'"),
        ("cldr-names", 2, "unknown measure or strategy 'cldr-names'"),
        ("gradvac[beta=2]", 1, "gradvac[beta=2]: 1 failed"),
    ],
)
def test_a_name_that_is_none_is_a_mistake_of_the_caller(
    name: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["check", name]) == code
    told = capsys.readouterr()
    assert (told.out == "") == (code == 2)
    assert said in told.err
