"""The conformance suite: what every measure has to keep, tried on a small real run, told in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmark import check_answers as answers
from benchmark.errors import UserError
from benchmark.findings import Broken, Finding, created, finding, line, name_and_docstring
from benchmark.progress import say
from benchmark.trial import ACCESS, TASKS, Trial, reordered, setup_of, told, train, without
from measures import Measure, Needs


def check(measure: Measure | type[Measure], called: str | None = None) -> Iterator[Finding]:
    """Every check of a measure, or of a class with its defaults, one after the other.

    ``called``: the name it is registered by.
    """
    made: list[Measure] = []

    def create() -> str:
        one, said = created(measure, Measure, "measure")  # type: ignore[type-abstract]
        made.append(one)
        return said

    yield finding("created", create)
    if not made:
        return
    one = made[0]
    yield finding("metadata", lambda: _metadata(one, called))
    needs = finding("needs", lambda: _needs(one))
    yield needs
    if needs.passed:
        yield from _tried(one, called or str(getattr(one, "name", type(one).__name__)))


def _metadata(measure: Measure, called: str | None) -> str:
    wrong = name_and_docstring(measure, Measure, called, "measure")
    access = getattr(measure, "access", None)
    if access not in ACCESS:
        wrong.append(f"access must be one of {', '.join(ACCESS)}, found {access!r}")
    if not isinstance(measure.symmetric, bool):
        wrong.append(f"symmetric must be True or False, found {measure.symmetric!r}")
    if wrong:
        raise Broken("; ".join(wrong))
    kind = "symmetric" if measure.symmetric else "not symmetric"
    return f"{measure.name}, access {access}, {kind}, with a docstring"


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
        yield finding(check_name, look)
