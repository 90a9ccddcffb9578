"""Looking after a cache: what can go, and whether what is there is whole."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmark.durable import sha256
from benchmark.errors import UserError
from benchmark.inventory import Item, items, size_of
from benchmark.store import IN_USE, Store, fault
from leaderboard.locks import locked_if_free, unshared

_HOUR = 3600.0


@dataclass(frozen=True)
class Pruned:
    """``left``: what dead processes had left. ``waits``: what would go too, but for runs that use the cache."""

    left: list[Path]
    gone: list[Item]
    freed: int
    waits: list[Item]


def prune(
    store: Store,
    *,
    everything: bool = False,
    older: float | None = None,
    task: str | None = None,
    dry: bool = False,
) -> Pruned:
    """Remove what dead processes have left, and what is asked for: unused for ``older`` seconds, of a task, all.

    A run may use any object that it has seen, so objects go only while no run uses the cache; leftovers always.

    Raises:
        UserError: nothing here is of that task.
    """
    left = [*store.sweep(remove=False), *_half_fetched(store.root / "downloads")]
    freed = sum(map(size_of, left))
    found = [one for one in items(store) if one.path not in left]
    chosen = _chosen(found, everything, older, task)
    if not dry:
        store.sweep()
        for path in _half_fetched(store.root / "downloads"):
            path.unlink(missing_ok=True)
    with unshared(store.root / "locks" / IN_USE) as alone:
        going = chosen if alone or dry else []
        if not dry:
            going = [one for one in going if _removed(store, one)]
    waits = [] if alone else chosen
    return Pruned(left, going, freed + sum(one.size for one in going), waits)


def _half_fetched(downloads: Path) -> list[Path]:
    """Files under temporary names that nobody has written to for an hour."""
    now = time.time()
    return [path for path in downloads.rglob(".*") if path.is_file() and now - path.stat().st_mtime > _HOUR]


def _chosen(found: list[Item], everything: bool, older: float | None, task: str | None) -> list[Item]:
    if everything:
        return found
    if task is not None and not any(_is_of(one, task) for one in found):
        known = sorted({one.task for one in found if one.task})
        raise UserError(f"--task takes a task that the cache has something of: {', '.join(known)}; found {task!r}")
    if older is None and task is None:
        return []
    now = time.time()
    return [
        one for one in found if (task is None or _is_of(one, task)) and (older is None or now - one.used >= older)
    ]


def _is_of(one: Item, task: str) -> bool:
    """``cldr-names`` is every ``cldr-names[…]@version``."""
    return bool(one.task) and task in (one.task, one.task.split("@")[0], one.task.split("@")[0].split("[")[0])


def _removed(store: Store, one: Item) -> bool:
    """Remove it unless it is being made just now; whether it is gone."""
    if one.kind in ("download", "index"):
        one.path.unlink(missing_ok=True)
        return True
    with locked_if_free(store.lock_file(one.key)) as free:
        if not free:
            return False
        if one.kind == "checkpoint":
            shutil.rmtree(one.path, ignore_errors=True)
        else:
            store.drop(one.key)
        return True


def seconds(age: str) -> float:
    """``30d``, ``12h``, ``2w`` in seconds.

    Raises:
        UserError: no such text.
    """
    units = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
    number = age[:-1]
    if age[-1:] not in units or not (number.isascii() and number.isdigit()):
        raise UserError(f"--older-than takes hours, days or weeks, as in 12h, 30d or 8w, found {age!r}")
    return int(number) * units[age[-1]]


def corrupt(store: Store, found: Iterable[Item]) -> list[tuple[Item, str]]:
    """What is not what it was when it was made, and how that shows."""
    told = ((one, _wrong(store, one)) for one in found)
    return [(one, wrong) for one, wrong in told if wrong]


def _wrong(store: Store, one: Item) -> str | None:
    if one.kind == "checkpoint":
        return next(filter(None, map(_renamed, one.path.glob("*.safetensors"))), None)
    if one.kind in ("download", "index"):
        return None  # checked whenever they are read
    return fault(one.path) if one.path.is_dir() else None


def _renamed(path: Path) -> str | None:
    """A checkpoint's checksum is in its name."""
    try:
        found = sha256(path)
    except OSError as error:
        return error.strerror or type(error).__name__
    return None if found in path.name else "its checksum"


def drop_corrupt(store: Store, one: Item) -> None:
    """Drop it, unless it has been made again meanwhile."""
    if one.kind == "checkpoint":
        _removed(store, one)  # unless its training is under way, and has written another
    else:
        store.drop_if_corrupt(one.key)
