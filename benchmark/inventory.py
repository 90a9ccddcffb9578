"""What lies in a cache: every object, download and checkpoint, its kind, task and size, how long it is unused."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.store import MANIFEST, Store

KINDS = (
    "training",
    "predictions",
    "reading",
    "shots",
    "tokens",
    "scratch model",
    "checkpoint",
    "download",
    "index",
)
NONE = "–"


@dataclass(frozen=True)
class Item:
    """``used``: when it was last taken from the cache, in seconds since 1970; ``task``: empty where it is of none,
    or of several. ``label``: what it is of, in a word or two."""

    kind: str
    key: str
    path: Path
    task: str
    label: str
    size: int
    used: float


def items(store: Store) -> list[Item]:
    """Everything in a cache but what dead processes have left; sorted by kind, task and label."""
    folders = [path for path in (store.root / "objects").glob("*") if not path.name.endswith(".tmp")]
    manifests = {path.name: _read(path / MANIFEST) for path in folders}
    jobs = {key: found["job"] for key, found in manifests.items() if _is_training(found)}
    tasks = _tasks(manifests, jobs)
    found = [
        Item(
            kind=str(about.get("kind", NONE)),
            key=key,
            path=store.path(key),
            task=next(iter(tasks[key])) if len(tasks[key]) == 1 else "",
            label=_label(about, jobs),
            size=size_of(store.path(key)),
            used=_used(store.path(key)),
        )
        for key, about in manifests.items()
    ]
    found += _checkpoints(store, jobs)
    found += _downloads(store.root / "downloads")
    return sorted(found, key=lambda one: (_rank(one.kind), one.task, one.label, one.key))


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder, as far as they are still there."""
    total = 0
    for one in (path, *path.rglob("*")) if path.is_dir() else (path,):
        try:
            total += one.lstat().st_size if not one.is_dir() else 0
        except OSError:
            continue
    return total


def _read(path: Path) -> dict[str, Any]:
    """A manifest; empty where it is damaged, which ``cache verify`` finds."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_training(about: Mapping[str, Any]) -> bool:
    return about.get("kind") == "training" and isinstance(about.get("job"), dict)


def _rank(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _tasks(manifests: Mapping[str, Any], jobs: Mapping[str, Any]) -> dict[str, set[str]]:
    """The tasks that each object is of: its training's, or of the trainings that were made from it."""
    found: dict[str, set[str]] = defaultdict(set)
    for key, job in jobs.items():
        task = str(job.get("task", ""))
        for one in (key, job.get("model_digest"), *_values(job.get("data")), *_values(job.get("dev"))):
            found[str(one)].add(task)
    for key, about in manifests.items():
        training = str(about.get("training", ""))
        if training not in jobs:
            continue
        task = str(jobs[training].get("task", ""))
        reading, shots = _part(about, "reading"), _part(about, "shots")
        parts = (about.get("sets"), reading.get("pools"), reading.get("sets"))
        of = [one for part in parts for one in _values(part)]
        for one in (key, *of, shots.get("support"), shots.get("test")):
            found[str(one)].add(task)
    return found


def _part(about: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = about.get(name)
    return found if isinstance(found, dict) else {}


def _values(pairs: Any) -> Iterator[str]:
    """The second of each pair."""
    for pair in pairs if isinstance(pairs, list) else ():
        if isinstance(pair, list) and len(pair) == 2:
            yield str(pair[1])


def _label(about: Mapping[str, Any], jobs: Mapping[str, Any]) -> str:
    if _is_training(about):
        return _training(about["job"])
    of = jobs.get(str(about.get("training", "")))
    suffix = f" of {_training(of)}" if of else ""
    match about.get("kind"):
        case "predictions":
            return f"{len(about.get('sets') or [])} sets{suffix}"
        case "reading":
            reading = about.get("reading")
            return f"{reading.get('kind', NONE) if isinstance(reading, dict) else reading}{suffix}"
        case "shots":
            shots = about.get("shots") or {}
            return f"{shots.get('language', NONE)}, {shots.get('k', NONE)} shots{suffix}"
        case "tokens":
            return f"{about.get('examples', NONE)} examples"
        case "scratch model":
            return f"seed {about.get('seed', NONE)}"
    return NONE


def _training(job: Mapping[str, Any]) -> str:
    codes = [str(pair[0]) for pair in job.get("data") or [] if isinstance(pair, list) and pair]
    shown = "+".join(codes) if len(codes) <= 4 else f"{len(codes)} languages"
    strategy = "" if job.get("strategy", "plain") == "plain" else f" by {job['strategy']}"
    return f"{shown}{strategy} (seed {job.get('seed', NONE)})"


def _checkpoints(store: Store, jobs: Mapping[str, Any]) -> Iterator[Item]:
    for folder in sorted((store.root / "checkpoints").glob("*")):
        label = f"of {_training(jobs[folder.name])}" if folder.name in jobs else "of a training that is not done"
        yield Item("checkpoint", folder.name, folder, "", label, size_of(folder), _used(folder))


def _downloads(root: Path) -> Iterator[Item]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            inside = path.relative_to(root).parts
            kind = "index" if inside[0] == "index" else "download"
            task = inside[0] if kind == "download" and len(inside) > 1 else ""
            yield Item(kind, path.name, path, task, path.name[:40], size_of(path), _used(path))


def total(found: Iterable[Item]) -> int:
    return sum(one.size for one in found)


def shown(size: int) -> str:
    """Bytes as a person reads them: ``12.3 MB``."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
