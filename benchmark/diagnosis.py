"""What ``doctor`` looks at, one thing after the other."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

from benchmark.errors import UserError

LEAST = 100 * 2**20  # bytes of disk below which a run will not come far
SCANT = 2 * 2**30
WAIT = 4.0  # seconds for a host to answer


@dataclass(frozen=True)
class Finding:
    """``ok``: ``None`` for what is worth knowing and needs no mending. ``facts``: the same for a program."""

    name: str
    ok: bool | None
    said: str
    facts: dict[str, Any] = field(default_factory=dict)


def diagnose(cache: Path, offline: bool) -> Iterator[Finding]:
    """Every finding, as it is found."""
    yield versions()
    yield machine()
    yield device()
    yield memory()
    yield disk(cache)
    yield stored(cache)
    yield data()
    yield from network(offline)
    yield plugins()


def versions() -> Finding:
    from benchmark.provenance import versions
    from benchmark.registry import OURS

    found = versions()
    lacking = _unmet(OURS)
    said = ", ".join(f"{name} {version}" for name, version in found.items())
    if lacking:
        said = f"{'; '.join(lacking)} (pip install {OURS}); {said}"
    return Finding("versions", not lacking, said, {"versions": found, "unmet": lacking})


def _unmet(distribution: str) -> list[str]:
    """Requirements that are not met, a line each."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in metadata.requires(distribution) or ()]
    except metadata.PackageNotFoundError:
        return [f"{distribution} is not installed"]
    found = []
    for one in wanted:
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            found.append(f"{one.name} is not installed")
            continue
        if not one.specifier.contains(version, prereleases=True):
            found.append(f"{one.name} {version} is installed, {one.specifier} is needed")
    return found


def machine() -> Finding:
    from benchmark.prepare import cores

    ours, all_ = cores(), os.cpu_count() or 1
    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ}
    said = f"{platform.system()} {platform.machine()}, {ours} cores"
    said += f" of {all_}" if ours != all_ else ""
    said += f": {ours} trainings side by side, one thread each"
    said += f" ({', '.join(f'{name}={value}' for name, value in threads.items())})" if threads else ""
    facts = {"system": platform.platform(), "cores": ours, "all_cores": all_, "threads": threads}
    return Finding("processor", True, said, facts)


def device() -> Finding:
    try:
        import torch
    except Exception as error:  # a broken installation fails in any way
        return Finding("device", False, f"torch cannot be imported: {_line(error)}", {"devices": []})
    found: list[dict[str, Any]] = []
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(number)
        found.append({"name": f"cuda:{number}", "what": about.name, "bytes": int(about.total_memory)})
    if getattr(torch.backends, "mps", None) is not None and torch.backends.mps.is_available():
        found.append({"name": "mps", "what": "Metal", "bytes": 0})
    said = ", ".join(f"{one['name']} ({one['what']}, {_gib(one['bytes'])})" for one in found)
    return Finding("device", True, said or "cpu", {"devices": found})


def memory() -> Finding:
    from benchmark.memory import LOADED, available

    there = available()
    if there is None:
        return Finding("memory", None, "nobody says how much there is", {"available": None})
    enough = there >= 2 * LOADED
    said = f"{_gib(there)} free"
    said += "" if enough else f"; {_gib(2 * LOADED)} are needed before anything is trained"
    return Finding("memory", enough, said, {"available": there})


def disk(cache: Path) -> Finding:
    folder = next((one for one in (cache, *cache.parents) if one.exists()), Path())
    free = shutil.disk_usage(folder).free
    ok = False if free < LEAST else None if free < SCANT else True
    said = f"{_gib(free)} free at {folder}" + (
        "; python -m benchmark cache prune makes room" if ok is not True else ""
    )
    return Finding("disk", ok, said, {"free": free, "folder": str(folder)})


def stored(cache: Path) -> Finding:
    """The cache: whether it can be written, what is in it, and how that is."""
    from benchmark.inventory import items, shown, total
    from benchmark.store import IN_USE, Store
    from benchmark.upkeep import corrupt
    from leaderboard.locks import unshared

    facts: dict[str, Any] = {"folder": str(cache)}
    folder = next((one for one in (cache, *cache.parents) if one.exists()), Path())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        said = f"{cache} cannot be written: {error.strerror} (--cache DIR or $KINSHIP_CACHE names another)"
        return Finding("cache", False, said, facts | {"writable": False})
    facts["writable"] = True
    if not (cache / "objects").is_dir():
        return Finding("cache", True, f"{cache}, which the first run makes", facts | {"bytes": 0, "counts": {}})
    store = Store(cache.resolve())
    found = items(store)
    wrong = corrupt(store, found)
    left = store.sweep(remove=False)
    locks = [path for path in left if path.parent.name == "locks"]
    try:
        with unshared(store.root / "locks" / IN_USE) as alone:
            pass
    except OSError:
        alone = True
    counts = dict(Counter(one.kind for one in found))
    said = f"{cache}: {', '.join(f'{count} {kind}' for kind, count in counts.items()) or 'empty'}"
    said += f"; {shown(total(found))}"
    said += f"; {len(wrong)} corrupt (python -m benchmark cache verify drops them)" if wrong else ""
    said += f"; {len(left)} leftovers of runs that died (cache prune removes them)" if left else ""
    said += "" if alone else "; in use by a run"
    facts |= {
        "bytes": total(found),
        "counts": counts,
        "corrupt": [one.key for one, _ in wrong],
        "leftovers": len(left) - len(locks),
        "stale_locks": len(locks),
        "in_use": not alone,
    }
    return Finding("cache", None if wrong or left else True, said, facts)


def data() -> Finding:
    """What lies in the folder that $KINSHIP_DATA names."""
    from benchmark.registry import entries

    name = os.environ.get("KINSHIP_DATA")
    if not name:
        said = "$KINSHIP_DATA names no folder: data is fetched, or embedded"
        return Finding("data", True, said, {"folder": None, "tasks": []})
    folder = Path(name)
    if not folder.is_dir():
        said = f"$KINSHIP_DATA must name a folder laid out DIR/<task>/<language>/, found {name}"
        return Finding("data", False, said, {"folder": name, "tasks": []})
    there = sorted(path.name for path in folder.iterdir() if path.is_dir())
    known = entries("tasks")[0]
    tasks = [one for one in there if one in known]
    others = [one for one in there if one not in known and not one.startswith(".")]
    said = f"{folder}: {', '.join(tasks) or 'no task that is known'}"
    said += f"; folders of no task: {', '.join(others[:5])}{' …' * (len(others) > 5)}" if others else ""
    return Finding("data", True if tasks else None, said, {"folder": name, "tasks": tasks, "others": others})


def network(offline: bool) -> Iterator[Finding]:
    """Whether what tasks and models are fetched from answers."""
    hosts = {
        "hub": os.environ.get("HF_ENDPOINT") or "https://huggingface.co",
        "GitHub": os.environ.get("KINSHIP_AFRISENTI_URL") or "https://raw.githubusercontent.com",
    }
    for name, url in hosts.items():
        if offline or (name == "hub" and _is_on("HF_HUB_OFFLINE")):
            why = "--offline" if offline else "HF_HUB_OFFLINE is set"
            yield Finding(name, None, f"not tried ({why})", {"url": url, "reached": None})
            continue
        wrong = _unreached(url)
        said = f"{url} {f'cannot be reached: {wrong}; what is there already can be used' if wrong else 'answers'}"
        yield Finding(name, None if wrong else True, said, {"url": url, "reached": wrong is None})


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")


def _unreached(url: str) -> str | None:
    """Why a host does not answer; any answer will do."""
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    from tasks.sources import one_line, within

    def ask() -> None:
        try:
            urlopen(Request(url, method="HEAD"), timeout=WAIT).close()
        except HTTPError as error:
            error.close()

    if not url.startswith(("https://", "http://")):
        return "no http or https address"
    try:
        within(WAIT, ask)
    except URLError as error:
        return one_line(error.reason)
    except Exception as error:  # a proxy or a certificate can be wrong in many ways
        return one_line(error)
    return None


def plugins() -> Finding:
    """Every measure, task and strategy that somebody has registered, imported."""
    from benchmark.registry import OURS, Kind, entries

    wrong: list[str] = []
    theirs: list[str] = []
    for kind in get_args(Kind):
        known, problems = entries(kind)
        wrong += problems.values()
        for entry in known.values():
            if entry.distribution != OURS:
                theirs.append(f"{entry.name} ({entry.distribution})")
            try:
                _quietly(entry.load)
            except UserError as error:
                wrong.append(str(error))
    said = "; ".join(wrong) if wrong else f"all can be imported{': ' * bool(theirs)}{', '.join(theirs)}"
    return Finding("plugins", not wrong, said, {"plugins": theirs, "broken": wrong})


def _quietly(load: Callable[[], Any]) -> None:
    """What a plugin prints while it is imported belongs on stderr."""
    from contextlib import redirect_stdout

    with redirect_stdout(sys.stderr):
        load()


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _line(error: object) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
