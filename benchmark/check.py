"""The conformance suite: what every measure has to keep, tried on a small real run, told in words."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmark import check_answers as answers
from benchmark.check_answers import Broken, Idle, line
from benchmark.errors import UserError
from benchmark.progress import say
from benchmark.registry import parameters
from benchmark.trial import ACCESS, TASKS, Trial, reordered, setup_of, told, train, without
from measures import Measure, Needs


@dataclass(frozen=True)
class Finding:
    """What came of one check. ``passed`` is ``None`` where it does not apply, or only tells something."""

    name: str
    passed: bool | None
    said: str


def check(measure: Measure | type[Measure], called: str | None = None) -> Iterator[Finding]:
    """Every check of a measure, or of a class with its defaults, one after the other.

    ``called``: the name it is registered by.
    """
    made: list[Measure] = []

    def create() -> str:
        one, said = _created(measure)
        made.append(one)
        return said

    yield _finding("created", create)
    if not made:
        return
    one = made[0]
    yield _finding("metadata", lambda: _metadata(one, called))
    needs = _finding("needs", lambda: _needs(one))
    yield needs
    if needs.passed:
        yield from _tried(one, called or str(getattr(one, "name", type(one).__name__)))


def _finding(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except Broken as error:
        return Finding(name, False, str(error))
    except Idle as error:
        return Finding(name, None, str(error))


def _created(measure: Measure | type[Measure]) -> tuple[Measure, str]:
    cls = measure if isinstance(measure, type) else type(measure)
    if not issubclass(cls, Measure):
        raise Broken(f"a measure is a class derived from measures.Measure, found {cls.__name__}")
    if inspect.isabstract(cls):
        raise Broken(f"a measure must have {', '.join(sorted(cls.__abstractmethods__))}, found none")
    accepted = parameters(cls)
    if bare := [name for name, one in accepted.items() if one.default is inspect.Parameter.empty]:
        raise Broken(f"every parameter of __init__ must have a default, found none for {', '.join(bare)}")
    defaults = {name: one.default for name, one in accepted.items()}
    made = _made(cls, defaults) if isinstance(measure, type) else measure
    if lost := [name for name in accepted if not hasattr(made, name)]:
        raise Broken(f"__init__ must store its parameters under their names, found no attribute {lost[0]!r}")
    given = defaults if made is not measure else {name: getattr(made, name) for name in accepted}
    again = _made(cls, given)
    for name, value in given.items():
        stored = getattr(again, name)
        if type(stored) is not type(value) or stored != value:
            raise Broken(f"__init__ must only store parameters: {name}={value!r} was stored as {stored!r}")
    return made, f"it keeps its parameters as given: {', '.join(accepted)}" if accepted else "it has no parameters"


def _made(cls: type[Measure], given: dict[str, object]) -> Measure:
    try:
        return cls(**given)
    except Exception as error:  # a plugin's code
        raise Broken(f"it must be created from its parameters alone, found {line(error)}") from error


def _metadata(measure: Measure, called: str | None) -> str:
    wrong = []
    name, access = getattr(measure, "name", None), getattr(measure, "access", None)
    if not isinstance(name, str) or not re.fullmatch(r"[^\s\[\],=+]+", name):
        wrong.append(f"name must be a word without blanks and [ ] , = +, found {name!r}")
    elif called is not None and called != name:
        wrong.append(f"name must be the name it is registered by, {called!r}, found {name!r}")
    if access not in ACCESS:
        wrong.append(f"access must be one of {', '.join(ACCESS)}, found {access!r}")
    if not isinstance(measure.symmetric, bool):
        wrong.append(f"symmetric must be True or False, found {measure.symmetric!r}")
    kinds = type(measure).__mro__
    if not any((one.__doc__ or "").strip() for one in kinds[: kinds.index(Measure)]):
        wrong.append("a measure must have a docstring, whose first line is its summary, found none")
    if wrong:
        raise Broken("; ".join(wrong))
    kind = "symmetric" if measure.symmetric else "not symmetric"
    return f"{name}, access {access}, {kind}, with a docstring"


def _needs(measure: Measure) -> str:
    try:
        needs, again = measure.needs(), measure.needs()
    except Exception as error:  # a plugin's code
        raise Broken(f"needs() must be answered before anything runs, found {line(error)}") from error
    if not isinstance(needs, Needs):
        raise Broken(f"needs() must return a Needs, found {type(needs).__name__}")
    try:
        hash(needs)
    except TypeError as error:
        raise Broken(f"needs() must be hashable (frozenset, tuple), found {error}") from error
    if needs != again:
        raise Broken(f"needs() must say the same every time, found {needs} and then {again}")
    wants = [told(reading) for reading in sorted(needs.readings, key=repr)]
    wants += [f"the matrix of {other}" for other in needs.measures] + ["transfer on dev"] * needs.transfer
    return f"asked twice, the same: {', '.join([*wants, *needs.packages]) or 'no trainings'}"


def _tried(measure: Measure, name: str) -> Iterator[Finding]:
    """What the measure does in a run: on the first task that it does not skip."""
    skipped = ""
    for task in TASKS:
        setup = setup_of(task)
        try:
            trial = Trial(setup, measure, name)
        except UserError as error:
            yield Finding("evidence", False, f"what needs() asks for must be there, found {line(error)}")
            return
        if not trial.row.skipped:
            break
        skipped += f"{setup.task} is skipped ({trial.row.error}); "
    if trial.row.error is not None:
        said = skipped.removesuffix("; ") if trial.row.skipped else skipped + trial.row.error
        yield Finding("evidence", None if trial.row.skipped else False, said)
        return
    without_data = setup.languages[1]
    alone = Trial(without(setup, without_data.code), measure, name)
    count = len(trial.jobs)
    say(f"{name}: tried on {len(setup.languages)} languages of {setup.task}")
    failed = train([trial, alone])
    run = f"{skipped}tried on {len(setup.languages)} languages of {setup.task}, small trainings: {count or 'none'}"
    yield Finding("evidence", not failed, "; ".join(failed) or run)
    first, again = trial.ask(), trial.ask()
    checks: dict[str, Callable[[], str]] = {
        "answer": lambda: answers.answer(first),
        "shape": lambda: answers.shape(first),
        "finite": lambda: answers.finite(first),
        "beside it": lambda: answers.beside(first),
        "symmetric": lambda: answers.symmetric(first, measure.symmetric),
        "determinism": lambda: answers.determinism(first, again),
        "seed": lambda: answers.seed(first, trial),
        "order": lambda: answers.order(first, Trial(reordered(setup), measure, name)),
        "missing data": lambda: answers.missing_data(first, alone, without_data),
        "lost readings": lambda: answers.lost_readings(first, trial),
        "declared": lambda: answers.declared(first),
        "access": lambda: answers.access(first, measure.access),
        "untouched": lambda: answers.untouched(first),
        "time": lambda: answers.time_taken(again),
        "families": lambda: answers.families(first, trial),
    }
    for check_name, look in checks.items():
        yield _finding(check_name, look)
