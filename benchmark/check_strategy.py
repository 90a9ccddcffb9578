"""The conformance suite of strategies: what each has to keep, tried on trainings of a few steps, told in words."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from benchmark import check_steps as steps
from benchmark.errors import UserError
from benchmark.findings import Broken, Finding, Idle, choices, created, finding, line, make, name_and_docstring
from benchmark.progress import say
from benchmark.registry import parameters
from benchmark.strategies import started_from

if TYPE_CHECKING:
    from benchmark.training.strategy import Strategy
    from benchmark.training.tryout import Course, Seen

NUMBERS: dict[type, tuple[int | float, ...]] = {int: (-1, 0), float: (-1.0, 0.0, 2.0)}  # tried of parameters
CONFIGS: tuple[dict[str, Any], ...] = (  # of models; a folder's may lack anything
    {},
    {"model_type": None},
    {"model_type": "t5", "d_model": 512, "num_layers": 6},
    {"model_type": "nobody-knows", "num_hidden_layers": 2},
)


def check_strategy(strategy: Strategy | type[Strategy], called: str | None = None) -> Iterator[Finding]:
    """Every check of a strategy, or of a class with its defaults, one after the other.

    ``called``: the name it is registered by.
    """
    from benchmark.training.strategy import Strategy

    made: list[Strategy] = []

    def create() -> str:
        one, said = created(strategy, Strategy, "strategy")  # type: ignore[type-abstract]
        made.append(one)
        return said

    yield finding("created", create)
    if not made:
        return
    one = made[0]  # never begins: each training has a copy of it
    yield finding("metadata", lambda: _metadata(one, called))
    needs = finding("needs", lambda: _needs(one))
    yield needs
    skip = finding("skip", lambda: _skip(one))
    yield skip
    if needs.passed and skip.passed:
        yield from _tried(one, called or str(getattr(one, "name", type(one).__name__)))


def _metadata(strategy: Strategy, called: str | None) -> str:
    from benchmark.training.strategy import Strategy

    wrong = name_and_docstring(strategy, Strategy, called, "strategy")
    cost: Any = strategy.cost
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 < cost < math.inf:
        wrong.append(f"cost must be a positive number, of a step in steps of plain, found {cost!r}")
    if not isinstance(strategy.additive, bool):
        wrong.append(f"additive must be True or False, found {strategy.additive!r}")
    if wrong:
        raise Broken("; ".join(wrong))
    parts = "may" if strategy.additive else "may not"
    return f"{strategy.name}, a step costs {cost:g} of plain's and {parts} be made in parts, with a docstring"


def _needs(strategy: Strategy) -> str:
    try:
        needs, again = strategy.needs(), strategy.needs()
    except Exception as error:  # a plugin's code
        raise Broken(f"needs() must be answered before anything runs, found {line(error)}") from error
    if not isinstance(needs, frozenset):
        raise Broken(f"needs() must return a frozenset of readings, found {type(needs).__name__}")
    if needs != again:
        raise Broken(f"needs() must say the same every time, found {set(needs)} and then {set(again)}")
    try:
        masks = started_from("needs()", needs)
    except (UserError, AttributeError) as error:
        raise Broken(line(error)) from error
    params = ", ".join(f"{key}={value}" for key, value in masks.params) if masks else ""
    return f"asked twice, the same: {f'masks of each ({params})' if masks else 'nothing but the training itself'}"


def _skip(strategy: Strategy) -> str:
    from benchmark.training.made_up import config

    reasons = 0
    for one in (*CONFIGS, config()):
        told = f"of a model_type {one['model_type']}" if one.get("model_type") else "without a model_type"
        try:
            found, again = strategy.skip(copy.deepcopy(one)), strategy.skip(copy.deepcopy(one))
        except Exception as error:  # a plugin's code
            raise Broken(f"skip() must answer for any config.json, found {line(error)} for one {told}") from error
        if found is not None and (not isinstance(found, str) or not found.strip() or "\n" in found):
            raise Broken(f"skip() must return a reason in one line, or None, found {found!r} for one {told}")
        if found != again:
            raise Broken(f"skip() must say the same every time, found {found!r} and then {again!r} for one {told}")
        reasons += found is not None
    return f"asked of {len(CONFIGS) + 1} configurations of models, it refuses {reasons}"


def _values(strategy: Strategy) -> str:
    """What may be given for each parameter is refused by ``needs()``, or can be trained with."""
    from benchmark.training.tryout import Course, failure

    cls = type(strategy)
    accepted = parameters(cls)
    if not accepted:
        raise Idle("it has no parameters")
    given = {name: getattr(strategy, name, None) for name in accepted}
    given = {name: accepted[name].default if callable(one) else one for name, one in given.items()}
    tried, refused = 0, []
    for name, one in accepted.items():
        for value in _candidates(one.annotation):
            told = f"{name}={value}"
            other = make(cls, given | {name: value})
            tried += 1
            try:
                other.needs()
            except ValueError as error:
                if not str(error).strip() or "\n" in str(error):
                    raise Broken(
                        f"a value must be refused in one line that says why, found {str(error)!r} for {told}"
                    ) from error
                refused.append(told)
                continue
            except Exception as error:  # a plugin's code
                raise Broken(f"a value must be refused with ValueError, found {line(error)} for {told}") from error
            seen = Course(steps=((0, 1, 2, 3), (0, 2), (1, 2, 3))).run(other)
            if said := failure(seen):
                raise Broken(f"needs() must refuse a value that cannot be trained with, found {told}: {said}")
    return f"{tried} values tried, refused: {', '.join(refused) or 'none'}"


def _candidates(annotation: Any) -> list[Any]:
    found: list[Any] = []
    for option in choices(annotation):
        if option is None:
            found.append(None)
        elif get_origin(option) is Literal:
            found += get_args(option)
        elif option is bool:
            found += [True, False]
        else:
            found += NUMBERS.get(option, ())
    return found


def _tried(strategy: Strategy, name: str) -> Iterator[Finding]:
    """What the strategy does in trainings of a few steps."""
    from benchmark.training.made_up import KINDS, config
    from benchmark.training.tryout import Course

    if reason := strategy.skip(config()):
        yield Finding("training", None, f"it is tried on a small BERT, which it refuses: {reason}")
        return
    say(f"{name}: tried in trainings of a few steps")

    def run(course: Course) -> Seen:
        return course.run(copy.deepcopy(strategy))

    trained = {kind: run(Course(kind, save=steps.SAVED)) for kind in KINDS}
    training = finding("training", lambda: steps.training(trained))
    yield training
    if not training.passed:
        return
    first = trained["text"]
    checks: dict[str, Callable[[], str]] = {
        "values": lambda: _values(strategy),
        "gradient": lambda: steps.gradient(trained, run),
        "loss": lambda: steps.loss(trained),
        "one language": lambda: steps.one_language(run),
        "order": lambda: steps.order(run),
        "determinism": lambda: steps.determinism(first, run),
        "seed": lambda: steps.seed(first, strategy),
        "random": lambda: steps.random(first, run),
        "resumed": lambda: steps.resumed(trained, run),
        "parts": lambda: steps.in_parts(strategy),
        "masks": lambda: steps.masks(trained),
        "record": lambda: steps.record(trained),
        "untouched": lambda: steps.untouched(trained, run),
        "hooks": lambda: steps.hooks(trained, run, bool(strategy.needs())),
    }
    for check_name, look in checks.items():
        yield finding(check_name, look)
