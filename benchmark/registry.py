"""Measures, tasks and strategies by name: entry points, the built-in ones too.

``gradsim[blocks=body,split=train]`` names a measure with parameters, which may be names with
parameters themselves: ``combined[measures=family+overlap[unit=chars,n=2]]``. Entry points are
loaded when asked for; a broken one is reported by name and stops nobody else.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import types
import typing
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal, Union

from benchmark.errors import UserError, did_you_mean
from benchmark.foreign import foreign, said
from measures.combined import split_outside
from tasks.base import DataError, Task

Kind = Literal["measures", "tasks", "strategies"]
Params = dict[str, str | int | float]
OURS = "kinship-bench"
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LARGEST = 2**53  # whole numbers up to here are the same as floats, and can be counted to
_SHOWN = 200  # characters of what was found


@dataclass(frozen=True)
class Entry:
    """One registered name: its entry point and the distribution it came from."""

    name: str
    point: metadata.EntryPoint
    distribution: str

    def load(self) -> type[Any]:
        """The class.

        Raises:
            UserError: the plugin cannot be imported, or is no class.
        """
        named = f"{self.name!r} from {self.distribution} ({self.point.value})"
        found: Any = None
        with foreign(lambda error: f"{named} cannot be loaded: {type(error).__name__}: {said(error)}"):
            found = self.point.load()
        if not isinstance(found, type):
            raise UserError(
                f"{self.name!r} from {self.distribution} must be a class, found {type(found).__name__}"
            )
        return found


@functools.cache
def _points(kind: Kind, path: tuple[str, ...]) -> list[tuple[metadata.EntryPoint, str]]:
    """Entry points and the names of their distributions, looked up once for each ``sys.path``."""
    points = metadata.entry_points(group=f"benchmark.{kind}")
    return [(point, point.dist.name if point.dist else "unknown") for point in points]


def entries(kind: Kind) -> tuple[dict[str, Entry], dict[str, str]]:
    """All names of a kind, sorted, and one line for each name that several distributions claim, or that
    nobody could ask for.

    A built-in name stays ours; only ASCII letters look like those of one.
    """
    found: dict[str, Entry] = {}
    problems: dict[str, str] = {}
    for point, distribution in _points(kind, tuple(sys.path)):
        entry = Entry(point.name, point, distribution)
        if not _NAME.fullmatch(point.name):
            allowed = "names are letters a to z, digits, dots, dashes and underscores"
            problems[point.name] = f"{allowed}, found {shown(point.name)} from {entry.distribution}"
            continue
        other = found.setdefault(point.name, entry)
        if other is entry or (other.distribution, other.point.value) == (entry.distribution, point.value):
            continue
        if OURS in (entry.distribution, other.distribution):
            ours, theirs = (entry, other) if entry.distribution == OURS else (other, entry)
            found[point.name] = ours
            problems[point.name] = (
                f"{point.name!r} is built in and cannot be taken: {theirs.distribution} offers it too"
            )
        else:
            problems[point.name] = (
                f"{point.name!r} is offered by both {other.distribution} and {entry.distribution}"
            )
    if not any(entry.distribution == OURS for entry in found.values()):
        raise UserError(f"no built-in {kind}: the distribution {OURS} is not installed (pip install .)")
    return dict(sorted(found.items())), problems


def parse(spec: str) -> tuple[str, dict[str, str]]:
    """``name[key=value,…]`` as name and raw parameters; a value may hold names with brackets of their own.

    Raises:
        UserError: anything that is not of this form.
    """
    name, bracket, inside = spec.strip().partition("[")
    name = name.rstrip()
    if not re.fullmatch(r"[^\]\s]+", name) or (bracket and not inside.endswith("]")):
        raise UserError(f"a name is written name or name[key=value,key=value], found {shown(spec)}")
    try:
        parts = split_outside(inside[:-1], ",")
    except ValueError:
        raise UserError(
            "brackets must balance, one pair after the name, as in name[key=other[key=value]], "
            f"found {shown(spec)}"
        ) from None
    params: dict[str, str] = {}
    for part in parts:
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or not value.strip() or "[" in key:
            raise UserError(f"parameters are written key=value, found {shown(part.strip())} in {shown(spec)}")
        if key.strip() in params:
            raise UserError(f"parameter {shown(key.strip())} is given twice in {shown(spec)}")
        params[key.strip()] = value.strip()
    return name, params


def shown(text: str) -> str:
    """As messages quote what was found, not too long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def find(kind: Kind, name: str) -> Entry:
    """The entry of a name.

    Raises:
        UserError: an unknown name (with a suggestion), or one that two plugins claim.
    """
    known, problems = entries(kind)
    if name in problems and known[name].distribution != OURS:
        raise UserError(problems[name])
    if name not in known:
        meant = did_you_mean(name, known)
        raise UserError(f"unknown {one_of(kind)} {shown(name)}{meant}; known: {', '.join(known)}")
    return known[name]


def one_of(kind: Kind) -> str:
    """measure, task, strategy."""
    return "strategy" if kind == "strategies" else kind[:-1]


def is_folder(task: str) -> bool:
    """Whether a task is named by its folder: ``./my-task``, ``/data/my-task``, ``~/my-task``."""
    return task.startswith((".", "~")) or "/" in task.partition("[")[0] or "\\" in task


def create(kind: Kind, spec: str) -> tuple[Any, Params]:
    """The object that ``spec`` names, and its parameters that are not the default, with their types.

    A task may be a person's own, named by its folder.

    Raises:
        UserError: unknown name or parameter, a value of the wrong type or not allowed.
    """
    if kind == "tasks" and is_folder(spec):
        return _local(spec), {}
    name, raw = parse(spec)
    cls = find(kind, name).load()
    named = spec if len(spec) <= _SHOWN else f"{name}[…]"
    with foreign(lambda error: f"{named}: {said(error) or type(error).__name__}"):
        return _made(kind, name, cls, raw)


def _made(kind: Kind, name: str, cls: type[Any], raw: dict[str, str]) -> tuple[Any, Params]:
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise UserError(f"{name!r} lacks what every one of the {kind} has: {missing}")
    accepted = parameters(cls)
    given: Params = {}
    for key, text in raw.items():
        if key not in accepted:
            allowed = ", ".join(accepted) or "none"
            raise UserError(
                f"{name!r} has no parameter {shown(key)}{did_you_mean(key, accepted)}; its parameters: {allowed}"
            )
        given[key] = _convert(name, key, text, accepted[key].annotation)
    set_apart = {key: value for key, value in given.items() if value != accepted[key].default}
    return cls(**given), set_apart


def _local(folder: str) -> Task:
    from tasks.local import LocalTask
    from tasks.sources import one_line

    try:
        task = LocalTask(folder)
    except DataError as error:
        raise UserError(one_line(error)) from error  # it names the folder, which may hold anything
    if task.spec.name in entries("tasks")[0]:
        raise UserError(f"{folder}: a name of the task's own is needed, found {task.spec.name!r}, which is taken")
    return task


def parameters(cls: type[Any]) -> dict[str, inspect.Parameter]:
    """The keyword parameters of a class, annotations resolved."""
    if cls.__init__ is object.__init__:
        return {}
    try:
        hints = typing.get_type_hints(cls.__init__)
    except Exception:  # a plugin's annotations may name what only a type checker sees
        hints = {}
    signature = inspect.signature(cls.__init__).parameters.values()
    return {
        one.name: one.replace(annotation=hints.get(one.name, str))
        for one in list(signature)[1:]
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    }


def describe(annotation: Any) -> str:
    """The values a parameter takes, for a person: ``dev|train``, ``a whole number``."""
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return "|".join(str(value) for value in typing.get_args(annotation))
    if origin in (Union, types.UnionType):
        return " or ".join(describe(one) for one in typing.get_args(annotation) if one is not type(None))
    return {int: "a whole number", float: "a number", bool: "true|false"}.get(annotation, "text")


def _convert(name: str, key: str, text: str, annotation: Any) -> str | int | float:
    options = [annotation]
    if typing.get_origin(annotation) in (Union, types.UnionType):
        options = [one for one in typing.get_args(annotation) if one is not type(None)]
    for option in options:
        if typing.get_origin(option) is Literal:
            for value in typing.get_args(option):
                if str(value) == text:
                    return typing.cast("str | int | float", value)
        elif option is bool and text.lower() in ("true", "false"):
            return text.lower() == "true"
        elif option in (int, float):
            try:
                number = typing.cast("int | float", option(text))
            except ValueError:
                continue
            if abs(number) <= (_LARGEST if option is int else sys.float_info.max):  # never of NaN
                return number
        elif option is str:
            return text
    allowed = [str(v) for v in typing.get_args(annotation)] if typing.get_origin(annotation) is Literal else []
    meant = did_you_mean(text, allowed)
    raise UserError(f"{name}[{key}=…] takes {describe(annotation)}, found {shown(text)}{meant}")
