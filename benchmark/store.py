"""The cache: immutable objects, each a folder with a manifest, found by key.

``objects/<key>/`` is written under a temporary name, synced, then renamed, so an object is
whole or absent. The manifest holds what was done in clear, a sha256 of every file, versions
and cost. A corrupt object is dropped with a message and made again. One lock file per key.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.errors import UserError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Store:
    """Objects under ``root``; cheap to pickle, so workers get the same one."""

    root: Path
    _verified: set[str] = field(default_factory=set, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root}

    def __setstate__(self, state: dict[str, Any]) -> None:
        object.__setattr__(self, "root", state["root"])
        object.__setattr__(self, "_verified", set())

    @classmethod
    def at(cls, root: Path) -> Store:
        """The store in a folder, made if it is missing.

        Raises:
            UserError: the folder cannot be written.
        """
        try:
            for part in ("objects", "locks", "progress"):
                (root / part).mkdir(parents=True, exist_ok=True)
            probe = root / "locks" / f".write-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"the cache folder must be writable, found {root}: {error.strerror} (--cache DIR names another)"
            ) from error
        return cls(root.resolve())

    def path(self, key: str) -> Path:
        return self.root / "objects" / key

    def keys(self, prefix: str) -> list[str]:
        """Keys of finished objects that begin with ``prefix``, sorted."""
        if not (self.root / "objects").is_dir():
            return []
        return sorted(
            entry.name
            for entry in os.scandir(self.root / "objects")
            if entry.name.startswith(prefix) and not entry.name.endswith(".tmp")
        )

    def has(self, key: str) -> bool:
        """Whether the object is there and whole (checked once per process)."""
        if key in self._verified:
            return True
        folder = self.path(key)
        if not folder.is_dir():
            return False
        fault = _fault(folder)
        if fault:
            print(f"cache: {key[:12]}… is corrupt ({fault}); it is dropped and made again", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            return False
        self._verified.add(key)
        return True

    def manifest(self, key: str) -> dict[str, Any]:
        """What the manifest of an existing object says."""
        loaded: dict[str, Any] = json.loads((self.path(key) / MANIFEST).read_text("utf8"))
        return loaded

    def put(self, key: str, write: Callable[[Path], None], about: dict[str, Any]) -> Path:
        """Make an object: ``write`` fills a folder, which appears under its key when it is whole."""
        final = self.path(key)
        temporary = final.with_name(f"{key}.{uuid.uuid4().hex[:8]}.tmp")
        temporary.mkdir()
        try:
            write(temporary)
            files = sorted(path for path in temporary.rglob("*") if path.is_file())
            sums = {path.relative_to(temporary).as_posix(): _sha256(path) for path in files}
            manifest = temporary / MANIFEST
            manifest.write_text(json.dumps({**about, "files": sums}, indent=1, sort_keys=True), "utf8")
            for path in (*files, manifest, temporary):
                _sync(path)
            try:
                temporary.rename(final)
            except OSError:
                if not self.has(key):  # somebody else may have finished the same object meanwhile
                    raise
            _sync(final.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self._verified.add(key)
        return final

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Held while an object is made, so that two runs do not make it twice."""
        from filelock import FileLock

        with FileLock(self.root / "locks" / f"{key}.lock"):
            yield

    def report(self, key: str, done: float) -> None:
        """Say how far (0 to 1) the training of a key is; read by the process that waits for it."""
        path = self.root / "progress" / key
        try:
            path.with_suffix(".new").write_text(f"{done:.4f}", "utf8")
            path.with_suffix(".new").replace(path)
        except OSError:
            pass  # a progress bar is no reason to fail

    def reported(self, key: str) -> float:
        """What ``report`` last said, 0 if nothing."""
        try:
            return float((self.root / "progress" / key).read_text("utf8"))
        except (OSError, ValueError):
            return 0.0

    def unreport(self, key: str) -> None:
        (self.root / "progress" / key).unlink(missing_ok=True)


def _fault(folder: Path) -> str | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf8"))
        for name, expected in manifest["files"].items():
            if _sha256(folder / name) != expected:
                return f"checksum of {name}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__} in {MANIFEST} or a file it names"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some file systems cannot sync a folder
    finally:
        os.close(descriptor)
