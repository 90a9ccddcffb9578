"""What is asked of a strategy's trainings: each check returns what it found, or raises what is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from benchmark.afresh import trained_afresh
from benchmark.errors import UserError
from benchmark.findings import Broken, Idle
from benchmark.seeds import canonical
from tasks.sources import one_line

if TYPE_CHECKING:
    from benchmark.training.strategy import Strategy
    from benchmark.training.tryout import Course, Seen

    Run: TypeAlias = Callable[[Course], Seen]
    Trained: TypeAlias = Mapping[str, Seen]

TOLERANCE = 1e-4  # of the length of a step's gradient: sums over languages in another order may round otherwise
SAVED = (5, 21)  # steps after which there are checkpoints
OTHER_ORDER = (2, 0, 3, 1)
PARTS = 5  # rows at a time


def _went_well(seen: Seen, when: str) -> Seen:
    from benchmark.training.tryout import failure

    if said := failure(seen):
        raise Broken(f"{when} a training must end well, found {said}")
    return seen


def training(trained: Trained) -> str:
    count = 0
    for kind, seen in trained.items():
        _went_well(seen, f"on {_called(kind)}")
        count = len(seen.losses)
    return f"{count} steps of two to four languages each, on {', '.join(map(_called, trained))}"


def _called(kind: str) -> str:
    return {"text": "texts", "pair": "pairs of texts", "tagged": "tagged sentences"}.get(kind, kind)


def gradient(trained: Trained, run: Run) -> str:
    from benchmark.training.tryout import Course

    half = _went_well(run(Course(precision="bf16")), "in bf16 precision")
    for kind, seen in {**{_called(kind): one for kind, one in trained.items()}, "texts in bf16": half}.items():
        _gradients(seen, f"on {kind}")
    return "each step leaves a finite one for every trained parameter, in fp32 and in bf16"


def _gradients(seen: Seen, where: str) -> None:
    for step, grads in enumerate(seen.grads, start=1):
        if missing := [name for name, grad in grads.items() if grad is None]:
            raise Broken(
                "p.grad must be there for every trained parameter, zero where nothing is learnt, found none "
                f"for {_some(missing)} in step {step} {where}"
            )
        if odd := [name for name, grad in grads.items() if grad is not None and not bool(grad.isfinite().all())]:
            raise Broken(f"p.grad must be finite, found another for {_some(odd)} in step {step} {where}")
    if not any(grad is not None and bool(grad.any()) for grads in seen.grads for grad in grads.values()):
        raise Broken(f"something must be learnt, found every gradient zero in every step {where}")


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:2])}{f' and {len(names) - 2} others' if len(names) > 2 else ''}"


def loss(trained: Trained) -> str:
    from torch import Tensor

    for kind, seen in trained.items():
        for step, found in enumerate(seen.losses, start=1):
            where = f"in step {step} on {_called(kind)}"
            if not isinstance(found, Tensor):
                raise Broken(f"backward() must return a tensor, found {type(found).__name__} {where}")
            if found.numel() != 1 or found.ndim:
                raise Broken(f"backward() must return one number, found the shape {list(found.shape)} {where}")
            if found.requires_grad:
                raise Broken(f"backward() must return the loss detached, found one that holds its graph {where}")
            if not bool(found.isfinite()):
                raise Broken(f"backward() must return a finite loss, found {found.item()} {where}")
    return "one finite number a step, detached"


def one_language(run: Run) -> str:
    from benchmark.training.made_up import ALONE, KINDS
    from benchmark.training.tryout import Course

    for kind in KINDS:
        where = f"with one language in a step, on {_called(kind)},"
        _gradients(_went_well(run(Course(kind, ALONE)), where), where.removesuffix(","))
    return "a step of one language, first and later, is a step like the others"


def order(run: Run) -> str:
    from benchmark.training.tryout import Course

    when = "with the languages listed in another order"
    one, other = (
        _went_well(run(Course(dropout=0, ordered=ordered)), when) for ordered in ((0, 1, 2, 3), OTHER_ORDER)
    )
    for step, (a, b) in enumerate(zip(one.grads, other.grads, strict=True), start=1):
        if (miss := _distance(a, b)) > TOLERANCE:
            raise Broken(
                f"the step must not depend on the order of the languages: {when}, the gradient of step {step} "
                f"moves by {miss:.2g} of its length"
            )
    return f"{when}: the same gradients but for rounding"


def _distance(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    """Of two gradients, in lengths of the first."""
    pairs = [(a[name], b[name]) for name in a if a[name] is not None and b[name] is not None]
    length = math.sqrt(sum(float(one.square().sum()) for one, _ in pairs))
    apart = math.sqrt(sum(float((one - two).square().sum()) for one, two in pairs))
    return apart / length if length else apart


def determinism(first: Seen, run: Run) -> str:
    from benchmark.training.tryout import Course

    when = "trained twice under one seed"
    again = _went_well(run(Course(noise=2)), "once more")
    _same(first, again, when)
    return f"{when}, by two objects: the same bits"


def _same(one: Seen, other: Seen, when: str) -> None:
    if moved := [name for name, bits in one.weights.items() if other.weights.get(name) != bits]:
        raise Broken(f"the bits must not change: {when}, found other values of {_some(moved)}")
    for (at, a), (_, b) in zip(reversed(one.masks), reversed(other.masks), strict=False):
        if _plain(a) != _plain(b):
            raise Broken(f"the bits must not change: {when}, found other masks {at}")
    if _told(one.record) != _told(other.record):
        raise Broken(f"the record must not change: {when}, found another")


def _plain(masks: Any) -> Any:
    try:
        return {code: {kind: np.asarray(one).tolist() for kind, one in of.items()} for code, of in masks.items()}
    except Exception:  # no masks: ``masks`` says so
        return None


def _told(record: Any) -> str:
    try:
        return canonical(record)
    except (TypeError, ValueError):
        return repr(record)


def seed(first: Seen, strategy: Strategy) -> str:
    """The same training in a new process, where strings hash otherwise."""
    when = "in a new process"
    try:
        found = trained_afresh(strategy, len(first.losses))
    except UserError as error:
        raise Broken(f"{when} a training must end as it did, it fails: {error}") from error
    if found is None:
        raise Idle("its class cannot be imported in a new process")
    if moved := [name for name, bits in fingerprints(first).items() if found.get(name) != bits]:
        raise Broken(f"the bits must not change: trained {when} under the same seed, found other {_some(moved)}")
    return f"trained {when} under the same seed: the same bits"


def fingerprints(seen: Seen) -> dict[str, str]:
    """Of all that a training ends with, by name."""
    import hashlib

    found = {name: hashlib.sha256(bits).hexdigest() for name, bits in seen.weights.items()}
    return found | {"masks": _told(_plain(seen.masks[-1][1])), "record": _told(seen.record)}


def random(first: Seen, run: Run) -> str:
    from benchmark.training.tryout import Course

    silent = _went_well(run(Course(dropout=0)), "without dropout")
    if silent.drew:
        whose = " and ".join(dict.fromkeys(silent.drew))
        raise Broken(
            "what is random must follow from Start.seed and the languages' codes, in a generator of its own: "
            f"found {whose} global generator moved by a step without dropout"
        )
    if first.random == _went_well(run(Course(dropout=2)), "with other dropout").random:
        raise Broken(
            "torch's global generator belongs to dropout and may not be seeded: found it in the same state after "
            "trainings that began in different ones"
        )
    return "the process's generators are left to dropout"


def resumed(trained: Trained, run: Run) -> str:
    from benchmark.training.tryout import Course

    for kind in ("text", "tagged"):
        whole = trained[kind]
        for step, saved in whole.saved.items():
            when = f"going on from a checkpoint after {step} steps on {_called(kind)}"
            again = _went_well(run(Course(kind, resume=saved)), when)
            if len(again.losses) + step != len(whole.losses):
                raise Broken(f"{when}, found {len(again.losses)} steps more")
            _same(whole, again, f"{when} by a new object")
    steps = " or ".join(map(str, trained["text"].saved))
    return f"stopped after {steps} steps and gone on from a checkpoint: the same bits, masks and record"


def in_parts(strategy: Strategy) -> str:
    if not strategy.additive:
        raise Idle("a step may not be made in parts, as declared")
    from benchmark.training.made_up import KINDS
    from benchmark.training.tryout import parted

    for kind in KINDS:
        miss = parted(strategy, kind, PARTS, _distance)
        if miss > TOLERANCE:
            raise Broken(
                f"it is declared additive: a step of {PARTS} rows at a time must have the gradient of the whole, "
                f"found it moved by {miss:.2g} of its length on {_called(kind)} (or say additive = False)"
            )
    return f"a step of {PARTS} rows at a time has the gradient of the whole"


def masks(trained: Trained) -> str:
    from benchmark.training.made_up import HEADS, LANGUAGES, LAYERS, UNITS

    codes = {one.code for one in LANGUAGES}
    shapes = {"heads": (LAYERS, HEADS), "units": (LAYERS, UNITS)}
    seen = [(when, found) for one in trained.values() for when, found in one.masks]
    for when, found in seen:
        if not isinstance(found, Mapping) or not all(isinstance(of, Mapping) for of in found.values()):
            raise Broken(f"masks() must return dicts by language code, found {type(found).__name__} {when}")
        if unknown := sorted(map(str, found.keys() - codes)):
            raise Broken(f"masks() must be by code of the languages trained on, found {', '.join(unknown)} {when}")
        for code, of in found.items():
            if of.keys() != shapes.keys():
                raise Broken(f"a mask has heads and units, found {', '.join(map(str, of)) or 'neither'} of {code}")
            for kind, shape in shapes.items():
                values = np.asarray(of[kind])
                if values.shape != shape:
                    raise Broken(
                        f"masks of {kind} must be [layers, {kind}], here {list(shape)}, "
                        f"found {list(values.shape)} of {code} {when}"
                    )
                if not np.isin(values, (0, 1)).all():
                    raise Broken(f"masks must be of 0 and 1, found others in the {kind} of {code} {when}")
    if not any(found for _, found in seen):
        raise Idle("every language is served by the whole model")
    share = np.mean([np.mean(of["units"]) for _, found in seen[-1:] for of in found.values()])
    return f"heads and units of 0 and 1 for {len(seen[-1][1])} languages, {share:.0%} of the units open at the end"


def record(trained: Trained) -> str:
    found = {kind: seen.record for kind, seen in trained.items()}
    for kind, told in found.items():
        if not isinstance(told, dict):
            raise Broken(f"record() must return a dict, found {type(told).__name__}")
        try:
            same = json.loads(json.dumps(told, allow_nan=False)) == told
        except (TypeError, ValueError) as error:
            raise Broken(
                "record() must be plain JSON: dicts by string, lists, finite numbers, strings, None where nothing "
                f"is known; found {one_line(error)}, on {_called(kind)}"
            ) from error
        if not same:
            raise Broken(f"record() must be plain JSON, found tuples or keys of another kind, on {_called(kind)}")
    told = found["text"]
    return f"plain JSON, {len(canonical(told))} characters: {', '.join(told) or 'nothing to tell'}"


def untouched(trained: Trained, run: Run) -> str:
    from benchmark.training.tryout import Course

    seen = [*trained.values(), run(Course(crash=2))]
    if touched := list(dict.fromkeys(name for one in seen for name in one.touched)):
        raise Broken(f"only p.grad is a strategy's to change, found changed: {_some(touched)}")
    return "mode, requires_grad and weights are as they were, after each step and after one that failed"


def hooks(trained: Trained, run: Run, masked: bool) -> str:
    from benchmark.training.tryout import Course, Crash, failure

    ends = {"after the last step": [*trained.values()], "after a step whose loss failed": [run(Course(crash=2))]}
    if masked:
        ends["after a begin() that found no masks"] = [run(Course(masked=False))]
        [seen] = ends["after a begin() that found no masks"]
        if not isinstance(seen.error, ValueError) or seen.where != "begin()":
            raise Broken(
                "begin() must raise ValueError where the masks that it needs are not there, "
                f"found {failure(seen) or 'nothing raised'}"
            )
    for when, seen_there in ends.items():
        for seen in seen_there:
            if "failed" in when and not isinstance(seen.error, Crash):
                raise Broken(f"the error of a loss that fails must come through, found {failure(seen) or 'none'}")
            if seen.left:
                raise Broken(f"end() must take every hook off the model, found left {when}: {_some(seen.left)}")
    return f"none is left {', '.join(ends)}"
