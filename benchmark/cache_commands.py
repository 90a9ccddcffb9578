"""Commands that look after the cache: cache list, cache prune, cache verify."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark import options
from benchmark.errors import UserError
from benchmark.progress import say

if TYPE_CHECKING:
    from benchmark.inventory import Item
    from benchmark.store import Store

commands = typer.Typer(no_args_is_help=True, help="List, prune and verify the cache of trainings and data.")


@commands.command("list")
def list_(
    cache: options.Cache = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every object as JSON on stdout, nothing else.")] = False,
) -> None:
    """List what is in the cache by kind and task: how many, how large, how long unused.

    \b
    Examples:
      python -m benchmark cache list
      python -m benchmark cache list --json
    """
    from tabulate import tabulate

    from benchmark.inventory import items, shown, total

    store = _store(cache)
    found = items(store)
    if as_json:
        print(json.dumps([_told(one) for one in found], ensure_ascii=False, indent=1))
        return
    groups: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for one in found:
        groups[one.kind, one.task].append(one)
    now = time.time()
    rows = [
        [kind, task or "–", len(of), shown(total(of)), _ages(of, now), _labels(of)]
        for (kind, task), of in groups.items()
    ]
    print(tabulate(rows, ["kind", "task", "count", "size", "unused", "of"], tablefmt="simple"))
    print(f"\n{len(found)} in all, {shown(total(found))}, in {store.root}")


def _told(one: Item) -> dict[str, object]:
    used = datetime.fromtimestamp(one.used, UTC).isoformat(timespec="seconds")
    return {
        "kind": one.kind,
        "key": one.key,
        "task": one.task or None,
        "label": one.label,
        "bytes": one.size,
        "used": used,
    }


def _ages(of: list[Item], now: float) -> str:
    ages = sorted(now - one.used for one in of)
    first, last = _age(ages[0]), _age(ages[-1])
    return first if first == last else f"{first} to {last}"


def _age(seconds: float) -> str:
    hours = int(max(0.0, seconds) // 3600)
    return f"{hours // 24} d" if hours >= 48 else f"{hours} h"


def _labels(of: list[Item]) -> str:
    names = list(dict.fromkeys(one.label for one in of))
    return ", ".join(names) if len(names) <= 2 else f"{names[0]} and {len(names) - 1} others"


@commands.command()
def prune(
    cache: options.Cache = None,
    older_than: Annotated[
        str | None,
        typer.Option(help="Also what no run has used for so long, as 12h, 30d or 8w.", metavar="AGE"),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="Also what is of this task alone, as afrisenti.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
) -> int:
    """Remove what runs that died have left in the cache, and more where that is asked for.

    Without options only leftovers go: temporary folders, locks nobody holds, checkpoints of trainings that are
    done. --older-than and --task together mean both. Safe beside runs: while one uses the cache, nothing that
    it may need is removed, and the exit code is 1.

    \b
    Examples:
      python -m benchmark cache prune
      python -m benchmark cache prune --older-than 30d --dry-run
      python -m benchmark cache prune --task afrisenti
    """
    from benchmark.inventory import shown
    from benchmark.upkeep import prune, seconds

    if everything and (older_than is not None or task is not None):
        raise UserError("--all goes without --older-than and --task, found both")
    store = _store(cache)
    older = None if older_than is None else seconds(older_than)
    done = prune(store, everything=everything, older=older, task=task, dry=dry_run)
    counts = defaultdict[str, int](int)
    for one in done.gone:
        counts[one.kind] += 1
    parts = [f"{len(done.left)} leftovers", *(f"{count} {kind}" for kind, count in counts.items())]
    verb = "would be removed" if dry_run else "removed"
    print(f"{verb}: {', '.join(parts)}; {shown(done.freed)} {'would be ' * dry_run}freed in {store.root}")
    if done.waits:
        say(f"a run is using the cache: {len(done.waits)} objects stay until it is done; the same command goes on")
        return 1
    return 0


@commands.command()
def verify(cache: options.Cache = None) -> int:
    """Check the checksum of everything in the cache, and drop what is corrupt: the next run makes it again.

    Exit code 1 where something was. Downloads and indices are checked whenever they are read.

    \b
    Examples:
      python -m benchmark cache verify
    """
    from benchmark.inventory import items, shown, total
    from benchmark.upkeep import corrupt, drop_corrupt

    store = _store(cache)
    found = items(store)
    wrong = corrupt(store, found)
    for one, why in wrong:
        print(f"{one.kind} {one.label} ({one.key[:12]}…): {why}")
        drop_corrupt(store, one)
    print(
        f"{len(found) - len(wrong)} whole, {len(wrong)} corrupt and dropped; {shown(total(found))} in {store.root}"
    )
    return 1 if wrong else 0


def _store(cache: Path | None) -> Store:
    """The cache, if there is one."""
    from benchmark.store import Store

    root = options.cache_of(cache)
    if not (root / "objects").is_dir():
        raise UserError(f"--cache takes a folder that runs have used as their cache, found none in {root}")
    return Store(root.resolve())
