"""Measures, tasks and strategies by name: entry points, the built-in ones too.

``gradsim[blocks=body,split=train]`` names a measure with parameters, which may be names with
parameters themselves: ``combined[measures=family+overlap[unit=chars,n=2]]``. Entry points are
loaded when asked for; a broken one is reported by name and stops nobody else.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Union

from benchmark.errors import UserError, did_you_mean
from measures.combined import split_outside
from tasks.base import DataError, Task

Kind = Literal["measures", "tasks", "strategies"]
Params = dict[str, str | int | float]
OURS = "kinship-bench"


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
        try:
            found = self.point.load()
        except Exception as error:  # whatever a plugin does on import is the plugin's error
            raise UserError(
                f"{self.name!r} from {self.distribution} ({self.point.value}) cannot be loaded: "
                f"{type(error).__name__}: {_one_line(error)}"
            ) from error
        if not isinstance(found, type):
            raise UserError(
                f"{self.name!r} from {self.distribution} must be a class, found {type(found).__name__}"
            )
        return found


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def entries(kind: Kind) -> tuple[dict[str, Entry], dict[str, str]]:
    """All names of a kind, sorted, and one line for each name that several distributions claim.

    A built-in name stays ours.
    """
    found: dict[str, Entry] = {}
    problems: dict[str, str] = {}
    for point in metadata.entry_points(group=f"benchmark.{kind}"):
        entry = Entry(point.name, point, point.dist.name if point.dist else "unknown")
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
    match = re.fullmatch(r"\s*([^\[\]\s]+)\s*(?:\[(.*)\])?\s*", spec, re.DOTALL)
    if not match:
        raise UserError(f"a name is written name or name[key=value,key=value], found {spec!r}")
    try:
        parts = split_outside(match[2] or "", ",")
    except ValueError:
        raise UserError(
            f"brackets must balance, one pair after the name, as in name[key=other[key=value]], found {spec!r}"
        ) from None
    params: dict[str, str] = {}
    for part in parts:
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or not value.strip() or "[" in key:
            raise UserError(f"parameters are written key=value, found {part.strip()!r} in {spec!r}")
        if key.strip() in params:
            raise UserError(f"parameter {key.strip()!r} is given twice in {spec!r}")
        params[key.strip()] = value.strip()
    return match[1], params


def find(kind: Kind, name: str) -> Entry:
    """The entry of a name.

    Raises:
        UserError: an unknown name (with a suggestion), or one that two plugins claim.
    """
    known, problems = entries(kind)
    if name in problems and known[name].distribution != OURS:
        raise UserError(problems[name])
    if name not in known:
        raise UserError(f"unknown {one_of(kind)} {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}")
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
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise UserError(f"{name!r} lacks what every one of the {kind} has: {missing}")
    accepted = parameters(cls)
    given: Params = {}
    for key, text in raw.items():
        if key not in accepted:
            allowed = ", ".join(accepted) or "none"
            raise UserError(
                f"{name!r} has no parameter {key!r}{did_you_mean(key, accepted)}; its parameters: {allowed}"
            )
        given[key] = _convert(name, key, text, accepted[key].annotation)
    set_apart = {key: value for key, value in given.items() if value != accepted[key].default}
    try:
        return cls(**given), set_apart
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{spec}: {_one_line(error) or type(error).__name__}") from error


def _local(folder: str) -> Task:
    from tasks.local import LocalTask

    try:
        task = LocalTask(Path(folder).expanduser())
    except DataError as error:
        raise UserError(str(error)) from error
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
            if number == number and abs(number) != float("inf"):
                return number
        elif option is str:
            return text
    allowed = [str(v) for v in typing.get_args(annotation)] if typing.get_origin(annotation) is Literal else []
    raise UserError(f"{name}[{key}=…] takes {describe(annotation)}, found {text!r}{did_you_mean(text, allowed)}")
