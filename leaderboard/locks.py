"""Locks between processes, and temporary names: what a process that dies held is free at once.

Both rest on ``flock``, which the kernel lets go of however a process ends. Where a file system or
platform has none, locks fall back on what ``filelock`` can do, and what nobody has touched for a day is abandoned.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_DAY = 86400.0
_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of this name, alone among all processes; wait for whoever has it. Its file is gone afterwards.

    OSError as usual.
    """
    descriptor = _taken(path, wait=True)
    if descriptor is None:
        from filelock import FileLock

        with FileLock(path):
            yield
        return
    try:
        yield
    finally:
        _free(path, descriptor)


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """As :func:`locked`, but whoever has it is not waited for; whether the lock is held."""
    try:
        descriptor = _taken(path, wait=False)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        yield False
        return
    if descriptor is None:
        from filelock import FileLock, Timeout

        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()
        return
    try:
        yield True
    finally:
        _free(path, descriptor)


def _taken(path: Path, wait: bool) -> int | None:
    """The locked file; ``None`` where there is no such lock. An OSError of ``_BUSY`` where somebody has it."""
    if fcntl is None:
        return None
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _is_at(descriptor, path):
                return descriptor
            os.close(descriptor)  # whoever had it has removed the file: this is the lock of nothing
        except OSError as error:
            os.close(descriptor)
            if error.errno in _BUSY:
                raise
            return None
        except BaseException:
            os.close(descriptor)
            raise


def _free(path: Path, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        path.unlink()  # while it is held, so that nobody can have taken it anew
    os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there, ours = os.stat(path), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def shared(path: Path) -> int | None:
    """Hold a lock together with others until the descriptor is closed; ``None`` where there is no such lock."""
    if fcntl is None:
        return None
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def unshared(path: Path) -> Iterator[bool]:
    """Whether nobody holds :func:`shared`; while the block runs, whoever wants to has to wait."""
    descriptor = None
    if fcntl is not None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        alone = True
        if fcntl is not None and descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                alone = error.errno not in _BUSY
        yield alone
    finally:
        if descriptor is not None:
            os.close(descriptor)


def marked(path: Path) -> int | None:
    """Mark a temporary file or folder, just made, as in use until the descriptor is closed.

    FileNotFoundError if somebody has taken it for abandoned already: make another.
    """
    if fcntl is None:
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        os.close(descriptor)
        return None
    if not _is_at(descriptor, path):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return descriptor


def unmark(descriptor: int | None) -> None:
    """Let go of what :func:`marked` returned."""
    if descriptor is not None:
        os.close(descriptor)


def remove_abandoned(path: Path, remove: bool = True) -> bool:
    """Remove a temporary file or folder whose process is dead; whether it was one."""
    try:
        descriptor = os.open(path, os.O_RDONLY) if fcntl is not None else None
    except OSError:
        return False
    try:
        if fcntl is None or descriptor is None:
            if not _old(path):
                return False
        else:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _BUSY or not _old(path):
                    return False
            if not _is_at(descriptor, path):
                return False
        if remove and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif remove:
            with contextlib.suppress(OSError):
                path.unlink()
        return True
    finally:
        unmark(descriptor)


def _old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _DAY
    except OSError:
        return False
