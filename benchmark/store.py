"""The cache: immutable objects, each a folder with a manifest, found by key.

``objects/<key>/`` is written under a temporary name, synced, then renamed, so an object is
whole or absent. The manifest holds its own sha256, what was done in clear, a sha256 of every file, versions
and cost. A corrupt object is dropped with a message and made again.
One lock file per key, while it is held. What processes that died have left is swept away by the next run.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.durable import sha256, sync
from benchmark.errors import UserError
from leaderboard.locks import locked, locked_if_free, marked, remove_abandoned, shared, unmark
from tasks.sources import one_line

MANIFEST = "manifest.json"
PARTS = ("objects", "locks", "progress")
IN_USE = "in-use"  # held together by all runs of a cache
_USED: dict[Path, int | None] = {}


class StoreError(UserError):
    """The cache cannot be written: nothing that comes after it could be kept either."""


@dataclass(frozen=True)
class Store:
    """Objects under ``root``; cheap to pickle, so workers get the same one.

    ``broken``: why the cache could not be written, since this process has it.
    """

    root: Path
    _verified: set[str] = field(default_factory=set, compare=False, repr=False)
    broken: list[str] = field(default_factory=list, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root}

    def __setstate__(self, state: dict[str, Any]) -> None:
        object.__setattr__(self, "root", state["root"])
        object.__setattr__(self, "_verified", set())
        object.__setattr__(self, "broken", [])

    @classmethod
    def at(cls, root: Path) -> Store:
        """The store in a folder, made if it is missing, rid of what dead processes left, and in use from now on.

        Raises:
            UserError: the folder cannot be written.
        """
        try:
            for part in PARTS:
                (root / part).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=root / "objects"):
                pass
            store = cls(root.resolve())
            if store.root not in _USED:
                _USED[store.root] = shared(store.root / "locks" / IN_USE)
        except OSError as error:
            raise UserError(
                f"the cache folder must be writable, found {root}: {error.strerror} (--cache DIR names another)"
            ) from error
        store.sweep()
        return store

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
        """Whether the object is there and whole (checked once per process, which counts as a use of it)."""
        if key in self._verified:
            return True
        folder = self.path(key)
        if not folder.is_dir():
            return False
        if fault(folder):
            wrong = self.drop_if_corrupt(key)
            if wrong:
                print(f"cache: {key[:12]}… is corrupt ({wrong}); it is dropped and made again", file=sys.stderr)
            if not folder.is_dir():
                return False
        self._verified.add(key)
        with contextlib.suppress(OSError):
            os.utime(folder)
        return True

    def drop_if_corrupt(self, key: str) -> str | None:
        """Drop an object that is corrupt; what was wrong with it.

        Looked at under a lock: somebody else may have dropped it and made it again.
        """
        try:
            with locked(self.lock_file(f"{key}.drop")):
                wrong = fault(self.path(key)) if self.path(key).is_dir() else None
                if wrong:
                    self.drop(key)
        except OSError as error:
            raise UserError(f"the cache holds a corrupt object that cannot be removed: {error}") from error
        return wrong

    def drop(self, key: str) -> None:
        """Remove an object, whole at once."""
        self._verified.discard(key)
        gone = self._temporary(key)
        with contextlib.suppress(OSError):
            self.path(key).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def manifest(self, key: str) -> dict[str, Any]:
        """What the manifest of an existing object says."""
        loaded: dict[str, Any] = json.loads((self.path(key) / MANIFEST).read_text("utf8"))
        return loaded

    def put(self, key: str, write: Callable[[Path], None], about: dict[str, Any]) -> Path:
        """Make an object: ``write`` fills a folder, which appears under its key when it is whole.

        Raises:
            StoreError: it could not be written; nothing of it is left.
        """
        with self._telling():
            self._put(key, write, about)
        self._verified.add(key)
        return self.path(key)

    def _put(self, key: str, write: Callable[[Path], None], about: dict[str, Any]) -> None:
        temporary, mark = self._marked(key)
        try:
            write(temporary)
            files = sorted(path for path in temporary.rglob("*") if path.is_file())
            for path in files:
                _refuse_short(path)
            sums = {path.relative_to(temporary).as_posix(): sha256(path) for path in files}
            (temporary / MANIFEST).write_bytes(_sealed({**about, "files": sums}))
            for path in (*files, temporary / MANIFEST, temporary):
                sync(path)
            self._place(temporary, key)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            unmark(mark)

    def _place(self, temporary: Path, key: str) -> None:
        try:
            temporary.rename(self.path(key))
        except OSError:
            if not self.path(key).exists():
                raise
            if self.has(key):  # somebody else has finished the same object meanwhile
                return
            temporary.rename(self.path(key))  # what was there was corrupt, and is dropped
        sync(self.root / "objects")

    def _marked(self, key: str) -> tuple[Path, int | None]:
        """A new temporary folder, which nobody sweeps away."""
        while True:
            temporary = self._temporary(key)
            temporary.mkdir()
            try:
                return temporary, marked(temporary)
            except FileNotFoundError:
                continue

    def _temporary(self, key: str) -> Path:
        return self.path(f"{key}.{uuid.uuid4().hex[:8]}.tmp")

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Held while an object is made, so that two runs do not make it twice."""
        with contextlib.ExitStack() as stack:
            with self._telling():
                stack.enter_context(locked(self.lock_file(key)))
            yield

    def lock_file(self, key: str) -> Path:
        return self.root / "locks" / f"{key}.lock"

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what a file system refuses, in whatever words of whichever library, into one line."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            reason = _refused(error)
            if reason is None:
                raise
            self.broken.append(
                f"the cache cannot be written: {reason}: {self.root} (the same command goes on later)"
            )
            raise StoreError(self.broken[-1]) from error

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
        with contextlib.suppress(OSError):
            (self.root / "progress" / key).unlink(missing_ok=True)

    def leftovers(self) -> Iterator[Path]:
        """What may be left of processes that died; or belong to one that lives."""
        for part, pattern in (("objects", "*.tmp"), ("locks", "*"), ("progress", "*")):
            yield from sorted(path for path in (self.root / part).glob(pattern) if path.name != IN_USE)
        for path in sorted((self.root / "checkpoints").glob("*")):
            if self.path(path.name).is_dir():  # its training is done
                yield path

    def sweep(self, remove: bool = True) -> list[Path]:
        """Remove what processes that died have left, and nothing of those that live; what that was."""
        return [path for path in self.leftovers() if self._swept(path, remove)]

    def _swept(self, path: Path, remove: bool) -> bool:
        if path.parent.name in ("objects", "locks"):
            return remove_abandoned(path, remove)
        try:
            with locked_if_free(self.lock_file(path.stem)) as free:  # else its training is under way
                if free and remove and path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif free and remove:
                    path.unlink(missing_ok=True)
                return free
        except OSError:
            return False


def fault(folder: Path) -> str | None:
    """What is wrong with an object, or nothing."""
    try:
        content = (folder / MANIFEST).read_bytes()
        if not _intact(content):
            return f"checksum of {MANIFEST}"
        for name, expected in json.loads(content)["files"].items():
            if sha256(folder / name) != expected:
                return f"checksum of {name}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"{type(error).__name__} in {MANIFEST} or a file it names"
    return None


def _sealed(manifest: dict[str, Any]) -> bytes:
    """A manifest as JSON that begins with the sha256 of all that follows."""
    rest = json.dumps(manifest, indent=1, sort_keys=True).encode()[1:]
    return b'{"sha256": "%s",%s' % (_hex(rest), rest)


def _intact(manifest: bytes) -> bool:
    return manifest[:78] == b'{"sha256": "%s",' % _hex(manifest[78:])


def _hex(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _refuse_short(path: Path) -> None:
    """numpy says nothing where the last few thousand bytes of an array find no room on the disk."""
    import numpy as np

    with path.open("rb") as file:
        if file.read(6) != np.lib.format.MAGIC_PREFIX:
            return
        file.seek(0)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        expected = file.tell() + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if path.stat().st_size != expected:
        raise OSError(errno.EIO, f"{path.stat().st_size} of {expected} bytes written", str(path))


def _refused(error: Exception) -> str | None:
    """What a file system has refused, if this is that: Rust libraries have errors of their own."""
    if isinstance(error, OSError):
        return error.strerror or one_line(error)
    number = re.search(r"\(os error (\d+)\)", str(error))
    return os.strerror(int(number[1])) if number else None
