"""The strategies of a run: created once to see that they can be, told apart by name and parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.architectures import gated
from benchmark.errors import UserError
from benchmark.registry import Params, create, parse
from measures.needs import Reading
from tasks.sources import one_line

if TYPE_CHECKING:
    from benchmark.training.strategy import Strategy


@dataclass(frozen=True)
class Chosen:
    """A strategy of a run. ``name``: with its parameters that are not the default, sorted.

    ``masks``: the reading of each language's own training that it starts from. ``cost``: work of a step of it,
    in steps of ``plain``.
    """

    name: str
    masks: Reading | None = None
    cost: float = 1.0


PLAIN = Chosen("plain")


def chosen(specs: Iterable[str]) -> tuple[Chosen, ...]:
    """The strategies that are named; ``plain``, which the others are compared with, always first.

    Raises:
        UserError: an unknown name or parameter, a value that is not allowed, or the same strategy twice.
    """
    found: dict[Chosen, str] = {}
    for spec in specs:
        one = _chosen(spec)
        if one in found:
            both = f"{spec} twice" if found[one] == spec else f"{found[one]} and {spec}, which are the same"
            raise UserError(f"--strategy takes different strategies, found {both}")
        found[one] = spec
    return tuple(dict.fromkeys([PLAIN, *found]))


def check(strategies: Iterable[Chosen], config: Mapping[str, Any]) -> None:
    """See that a model with this ``config.json`` can be trained by all of them.

    Raises:
        UserError: it lacks what a strategy is about.
    """
    for one in strategies:
        if one == PLAIN:  # whose module imports torch
            continue
        strategy, _ = _created(one.name)
        if reason := strategy.skip(config) or (gated(config) if one.masks else None):
            raise UserError(f"{one.name}: {reason}")


def _chosen(spec: str) -> Chosen:
    strategy, name = _created(spec)
    try:
        needs = strategy.needs()
    except Exception as error:  # a parameter's value, or a plugin's code
        raise UserError(f"{name}: {one_line(error)}") from error
    return Chosen(name, started_from(name, needs), float(strategy.cost))


def _created(spec: str) -> tuple[Strategy, str]:
    from benchmark.training.strategy import Strategy

    strategy, params = create("strategies", spec)
    name = _name(parse(spec)[0], params)
    if not isinstance(strategy, Strategy):
        raise UserError(
            f"{name!r} must be a benchmark.training.strategy.Strategy, found {type(strategy).__name__}"
        )
    return strategy, name


def started_from(name: str, needs: Iterable[Reading]) -> Reading | None:
    """The one reading that a strategy may start from, if it does.

    Raises:
        UserError: it needs another, or several.
    """
    wanted = sorted(needs, key=repr)
    if len(wanted) > 1 or any((one.of, one.kind) != ("each", "masks") for one in wanted):
        found = ", ".join(f"{one.kind} of {one.of}" for one in wanted)
        raise UserError(f"{name}: a strategy starts from one reading, masks of each, or from none, found {found}")
    return wanted[0] if wanted else None


def _name(name: str, params: Params) -> str:
    inside = ",".join(f"{key}={_text(value)}" for key, value in sorted(params.items()))
    return f"{name}[{inside}]" if inside else name


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
