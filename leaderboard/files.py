"""Files that are either old or new, never half; and one writer of a folder at a time."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from leaderboard.locks import locked, marked, remove_abandoned, unmark

_LOCK = ".lock"
_LEFT = re.compile(r"\.(?:[0-9a-f]{16}\.tmp|lock)")


def replace_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, making its folder. OSError as usual, always with the file's name."""
    replace_bytes(path, text.encode("utf-8"))


def replace_bytes(path: Path, content: bytes) -> None:
    """As :func:`replace_text`."""
    try:
        _replace(path, content)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        # Short and in the same folder: the name always fits, and the rename stays on one file system.
        temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
        mark = None
        try:
            with temporary.open("xb") as file:
                try:
                    mark = marked(temporary)
                except FileNotFoundError:  # taken for what a dead process left
                    continue
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            return
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            unmark(mark)


def replace_if_changed(path: Path, text: str) -> bool:
    """:func:`replace_text` unless the file already says exactly this; whether it was written."""
    try:
        if path.read_bytes() == text.encode("utf-8"):
            return False
    except FileNotFoundError:
        pass
    replace_text(path, text)
    return True


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else is in such a block for the same folder.

    Where the lock cannot be had, nothing can be written either, and whoever tries is told so then.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(locked(folder / _LOCK))
        yield


def sweep(folder: Path) -> None:
    """Remove what writers that died have left in a results folder."""
    for pattern in (".*", "*/.*", "*/*/.*"):
        for path in folder.glob(pattern):
            if _LEFT.fullmatch(path.name) and path.is_file():
                remove_abandoned(path)
