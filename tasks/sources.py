"""Where data comes from: the user's folder, and files that their publisher keeps under a fixed address.

(For dataset repositories on the hub see :mod:`tasks.hub`.)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import secrets
import stat
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, TypeVar

from tasks.base import Access, DataError, Example, Split

T = TypeVar("T")

TIMEOUT = 5.0  # seconds of silence, for each address of a host and for each read
PATIENCE = 10.0  # seconds until a host must have answered
_LARGEST = 100 * 2**20  # bytes; no file of a task comes near


class NotFound(DataError):  # noqa: N818 - the name says what happened
    """The host answers, but has no such file."""


def fingerprint(examples: Iterable[Example]) -> str:
    """SHA-256, in hex, of what each example holds, in order: text, pair, label, item; tokens and tags if any.

    The same for the same examples, whatever source and file format they came from.
    """
    digest = hashlib.sha256()
    for each in examples:
        # ASCII-only JSON is defined for every str, and a line break cannot occur inside.
        content = [each.text, each.pair, each.label, each.item]
        tagged = [each.tokens, each.tags] if each.tags else []
        digest.update(json.dumps(content + tagged).encode() + b"\n")
    return digest.hexdigest()


def expanded(path: str | Path) -> Path:
    """A path as a person types it, with a home for ``~``; as it is where there is no such person."""
    try:
        return Path(os.path.expanduser(path))
    except ValueError:  # nor can be: a NUL in the name
        return Path(path)


def folder(access: Access, task: str) -> Path | None:
    """``DIR/<task>`` in the user's folder, or ``None`` where there is no such thing."""
    if access.data is None:
        return None
    path = access.data / task
    return path if path.is_dir() else None


def folder_file(root: Path, code: str, split: Split) -> Path:
    """``DIR/<task>/<code>/<split>.tsv``."""
    return root / code / f"{split}.tsv"


def opened(path: Path, buffering: int = -1) -> BinaryIO:
    """A file to read from; never a pipe or a device, which would keep a reader waiting or have no end.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    try:
        file = open(path, "rb", buffering, opener=_at_once)  # noqa: SIM115 - closed by who asked
        kind = os.fstat(file.fileno()).st_mode
    except FileNotFoundError:
        raise DataError(f"no data file {path}; a file of this name is needed; found none") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise DataError(f"cannot read {path}; a readable file is needed; found: {one_line(error)}") from error
    if not stat.S_ISREG(kind):
        file.close()
        raise DataError(f"cannot read {path}; an ordinary file is needed; found a pipe or a device")
    return file


def _at_once(path: str, flags: int) -> int:
    """Opens without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def read(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    try:
        with opened(path) as file:
            return file.read()
    except OSError as error:
        raise DataError(f"cannot read {path}; a readable file is needed; found: {one_line(error)}") from error


def pinned(url: str, kept: Path | None, check: Callable[[bytes], T], offline: bool) -> T:
    """A published file, from the cache (``kept``) if it is there and right, else fetched and kept.

    ``check`` turns the bytes into what is wanted and raises ``DataError`` if they are not what was published;
    nothing that fails it is kept. ``kept=None`` keeps nothing.

    Raises:
        DataError: not in the cache and offline, not reachable, or not what was published.
    """
    if kept is not None and kept.exists():
        try:
            return check(read(kept))
        except DataError:
            if offline:
                raise
            # damaged since it was fetched: fetch it again
    if offline:
        raise DataError(f"{url} is not in the cache; offline, only cached files are allowed; found no copy")
    content = fetch(url)
    value = check(content)
    if kept is not None:
        write(kept, content)
    return value


def fetch(url: str) -> bytes:
    """The content of an address; one attempt, which a host that is gone ends within ``PATIENCE`` seconds.

    Raises:
        DataError: not an HTTP(S) address, no answer, or an answer other than the file.
    """
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    if not url.startswith(("https://", "http://")):
        raise DataError(f"cannot fetch {url!r}; allowed: an http or https address; found another kind")
    try:
        with within(PATIENCE, lambda: urlopen(url, timeout=TIMEOUT)) as answer:
            content: bytes = answer.read(_LARGEST + 1)
    except HTTPError as error:
        error.close()
        kind = NotFound if error.code == 404 else DataError
        raise kind(f"cannot fetch {url}; a file is needed; found: HTTP status {error.code}") from None
    except URLError as error:
        reason = one_line(error.reason)
        raise DataError(f"cannot fetch {url}; a reachable host is needed; found: {reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise DataError(f"cannot fetch {url}; a whole file is needed; found: {one_line(error)}") from error
    if len(content) > _LARGEST:
        raise DataError(f"cannot fetch {url}; at most {_LARGEST} bytes are allowed; found more")
    return content


def within(seconds: float, call: Callable[[], T]) -> T:
    """What ``call`` returns or raises; ``TimeoutError`` if that takes longer.

    A host may have many addresses, and a connection tries them all, each until its own timeout.
    """
    done: queue.SimpleQueue[tuple[list[T], BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put(([call()], None))
        except BaseException as error:
            done.put(([], error))

    threading.Thread(target=run, daemon=True).start()
    try:
        value, error = done.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer in {seconds:g} seconds") from None
    if error is not None:
        raise error
    return value[0]


def write(path: Path, content: bytes) -> None:
    """Write a file in one step: others see all of it or nothing, and a failure leaves nothing behind.

    Raises:
        DataError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"cannot write {path}; a writable cache is needed; found: {one_line(error)}") from error
    finally:
        with contextlib.suppress(OSError):  # gone already where all went well
            os.unlink(temporary)


def one_line(error: object) -> str:
    """What an exception says, in one line, without what a terminal would take for a command."""
    text = " ".join("".join(each if each.isprintable() else " " for each in str(error)).split())
    return text or type(error).__name__
