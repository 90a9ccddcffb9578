"""A small real run, and whether two of them came to the same: shared by the scripts and tests of this folder."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from benchmark.store import MANIFEST, Store, fault
from leaderboard.board import Board, collect, stale

# As the paths are the same below every folder, so are the keys.
RUN = [
    *("run", "--measure", "gradsim", "--task", "cldr-names", "--languages", "deu,nld,fra", "--epochs", "1"),
    *("--max-train", "8", "--max-eval", "16", "--draws", "1", "--device", "cpu"),
    *("--cache", "cache", "--output", "results"),
]
PRELOAD = ["benchmark.training.preload", "benchmark.cli", "benchmark.runner", "benchmark.report", "scipy.stats"]
TIMED = ("seconds", "took")  # what a training's history says of time


def start(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """A process with everything imported already, in a fraction of a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def run(
    where: Path,
    *more: str,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
    said: str = "",
) -> None:
    """The small run in a folder, for a process of its own; what it says goes to files there."""
    os.chdir(where)
    for name in [name for name in os.environ if name.startswith("KINSHIP_")]:
        del os.environ[name]
    for stream, name in ((1, f"stdout{said}.txt"), (2, f"stderr{said}.txt")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    from benchmark.cli import command

    before()
    code = command([*RUN, *more])
    after()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    sys.exit(code)


def counting(where: Path, name: str, *more: str) -> None:
    """The small run, which tells of every object that it has made."""
    made = where / "made.txt"

    def before() -> None:
        put = Store._put

        def counted(store: Store, key: str, *rest: object) -> None:
            put(store, key, *rest)  # type: ignore[arg-type]
            line = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(line, f"{key}\n".encode())
            os.close(line)

        Store._put = counted  # type: ignore[method-assign]

    run(where, *more, before=before, said=name)


def finished(where: Path, *more: str) -> None:
    """Do the small run in a folder, undisturbed."""
    where.mkdir(parents=True, exist_ok=True)
    process = start(run, where, *more)
    process.join()
    assert process.exitcode == 0, (where / "stderr.txt").read_text()


def told(where: Path, said: str = "") -> str:
    """What a run has said on stderr."""
    return (where / f"stderr{said}.txt").read_text("utf8")


def trainings(where: Path) -> dict[str, tuple[int, int]]:
    """Trainings in a cache, and what tells that they are not made anew."""
    found = {}
    for manifest in (where / "cache" / "objects").glob(f"*/{MANIFEST}"):
        if manifest.parent.suffix == ".tmp":  # not in the cache yet
            continue
        with contextlib.suppress(ValueError, OSError):
            if json.loads(manifest.read_bytes())["kind"] == "training":
                state = manifest.stat()
                found[manifest.parent.name] = (state.st_ino, state.st_mtime_ns)
    return found


def objects(where: Path) -> dict[str, dict[str, Any]]:
    """Everything in a cache, but for what it took to make it."""
    found = {}
    for folder in sorted((where / "cache" / "objects").iterdir()):
        content: dict[str, Any] = {}
        for path in sorted(folder.rglob("*")):
            if path.name == MANIFEST:
                manifest = json.loads(path.read_bytes())
                for name in ("cost", "files", "sha256"):
                    manifest.pop(name, None)
                content[MANIFEST] = manifest
            elif path.name == "history.json":
                history = json.loads(path.read_bytes())
                content[path.name] = {name: value for name, value in history.items() if name not in TIMED}
            elif path.is_file():
                content[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
        found[folder.name] = content
    return found


def board(where: Path) -> Board:
    """The leaderboard that follows from the records, as if they had cost nothing."""
    found = collect(where / "results")
    free = [[_free(record) for record in records] for records in found.records]
    from leaderboard.across import across
    from leaderboard.tables import table

    tables = [table(one) for one in free]
    return dataclasses.replace(found, tables=tables, across=across(tables), records=free)


def _free(record: Any) -> Any:
    cost = record.cost.model_copy(update={"trainings": 0, "seconds": 0.0, "peak_memory_mb": 0.0})
    provenance = record.provenance.model_copy(update={"command": "", "started": "", "git": None, "threads": 1})
    return record.model_copy(update={"cost": cost, "provenance": provenance})


def records(where: Path) -> dict[str, Any]:
    """Records by file, without cost and provenance."""
    found = {}
    for path in sorted((where / "results").glob("*/*/*.json")):
        record = json.loads(path.read_text("utf8"))
        del record["cost"], record["provenance"]
        found[path.relative_to(where).as_posix()] = record
    return found


def differences(one: Path, two: Path) -> Iterator[str]:
    """In what two folders differ."""
    for kind, of in (("records", records), ("objects", objects)):
        a, b = of(one), of(two)
        for name in sorted(a.keys() | b.keys()):
            if a.get(name) != b.get(name):
                yield f"{kind}: {name}"
    for where in (one, two):
        found = collect(where / "results")
        yield from (f"leaderboard: {line}" for line in [*found.warnings, *stale(where / "results", found)])
    for form in ("markdown", "csv", "json", "page"):
        if getattr(board(one), form)() != getattr(board(two), form)():
            yield f"leaderboard: {form}"


def left(where: Path) -> list[str]:
    """What no finished run may leave behind."""
    store = Store(where / "cache")
    found = [*store.leftovers(), *(store.root / "checkpoints").glob("*")]
    found += [path for path in (where / "results").rglob("*") if path.name.startswith(".")]
    found += [path for part in ("index", "downloads") for path in (store.root / part).rglob(".*")]
    return [path.relative_to(where).as_posix() for path in found]


def torn(where: Path) -> list[str]:
    """What is there under its own name, but not whole."""
    found = [
        folder.name
        for folder in (where / "cache" / "objects").glob("*")
        if not folder.name.endswith(".tmp") and fault(folder)
    ]
    if (where / "results").is_dir() and any((where / "results").glob("*/*/*.json")):
        found += collect(where / "results").warnings
    return found
