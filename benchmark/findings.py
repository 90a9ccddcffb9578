"""What the conformance suites tell: findings in words, and how measures and strategies are made."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from benchmark.errors import UserError
from benchmark.registry import parameters
from measures import MeasureError
from tasks.sources import one_line

Made = TypeVar("Made")


@dataclass(frozen=True)
class Finding:
    """What came of one check. ``passed`` is ``None`` where it does not apply, or only tells something."""

    name: str
    passed: bool | None
    said: str


class Broken(Exception):  # noqa: N818 - reads as a sentence where it is caught
    """What was expected, and what was found."""


class Idle(Exception):  # noqa: N818
    """Why a check does not apply."""


def finding(name: str, look: Callable[[], str]) -> Finding:
    """What a check returns, or raises."""
    try:
        return Finding(name, True, look())
    except Broken as error:
        return Finding(name, False, str(error))
    except Idle as error:
        return Finding(name, None, str(error))


def line(error: object) -> str:
    """An error as a person reads it; its kind too, where it is no word of ours."""
    text = one_line(error)
    return text if isinstance(error, MeasureError | UserError) else f"{type(error).__name__}: {text}"


def created(given: Made | type[Made], base: type[Made], what: str) -> tuple[Made, str]:
    """An object, or one of a class with its defaults, whose ``__init__`` only stores its parameters.

    Under their names, that is, unless the ``base`` has a method of that name.
    """
    cls: type[Any] = given if isinstance(given, type) else type(given)
    if not issubclass(cls, base):
        where = base.__module__.removesuffix(".base")
        raise Broken(f"a {what} is a class derived from {where}.{base.__name__}, found {cls.__name__}")
    if inspect.isabstract(cls):
        missing: frozenset[str] = getattr(cls, "__abstractmethods__", frozenset())
        raise Broken(f"a {what} must have {', '.join(sorted(missing))}, found none")
    accepted = parameters(cls)
    if bare := [name for name, one in accepted.items() if one.default is inspect.Parameter.empty]:
        raise Broken(f"every parameter of __init__ must have a default, found none for {', '.join(bare)}")
    if mute := [name for name, one in accepted.items() if not _readable(one)]:
        raise Broken(
            "parameters must be annotated with int, float, bool, str, Literal, or one of these and None, as their "
            f"default is: name[{mute[0]}=…] cannot be read else, found {accepted[mute[0]]}"
        )
    defaults = {name: one.default for name, one in accepted.items()}
    made: Any = make(cls, defaults) if isinstance(given, type) else given
    kept = [name for name in accepted if not callable(getattr(base, name, None))]
    if lost := [name for name in kept if not hasattr(made, name)]:
        raise Broken(f"__init__ must store its parameters under their names, found no attribute {lost[0]!r}")
    values = {name: defaults[name] if made is not given else getattr(made, name) for name in kept}
    again = make(cls, values)
    for name, value in values.items():
        stored = getattr(again, name)
        if type(stored) is not type(value) or stored != value:
            raise Broken(f"__init__ must only store parameters: {name}={value!r} was stored as {stored!r}")
    return made, f"it keeps its parameters as given: {', '.join(accepted)}" if accepted else "it has no parameters"


def _readable(one: inspect.Parameter) -> bool:
    """Whether the command line reads values of a parameter as what its default is."""
    options = choices(one.annotation)
    if any(
        option not in (int, float, bool, str, None) and get_origin(option) is not Literal for option in options
    ):
        return False
    values = [value for option in options if get_origin(option) is Literal for value in get_args(option)]
    kinds = [option for option in options if isinstance(option, type)]
    return (
        one.default in values or (one.default is None and None in options) or type(one.default) in kinds
        or (type(one.default) is int and float in kinds)
    )  # fmt: skip


def choices(annotation: Any) -> list[Any]:
    """The parts of a union, ``None`` for its type; or the annotation alone."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else [annotation]
    return [None if part is type(None) else part for part in parts]


def make(cls: type[Any], given: dict[str, Any]) -> Any:
    try:
        return cls(**given)
    except Exception as error:  # a plugin's code
        raise Broken(f"it must be created from its parameters alone, found {line(error)}") from error


def name_and_docstring(made: object, base: type[object], called: str | None, what: str) -> list[str]:
    """What is wrong with the name, or the lack of a docstring."""
    wrong = []
    name = getattr(made, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[^\s\[\],=+]+", name):
        wrong.append(f"name must be a word without blanks and [ ] , = +, found {name!r}")
    elif called is not None and called != name:
        wrong.append(f"name must be the name it is registered by, {called!r}, found {name!r}")
    kinds = type(made).__mro__
    if not any((one.__doc__ or "").strip() for one in kinds[: kinds.index(base)]):
        wrong.append(f"a {what} must have a docstring, whose first line is its summary, found none")
    return wrong
