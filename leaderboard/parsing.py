"""JSON that anybody may have written, read within bounds: nothing in it makes a reader wait, grow or overflow."""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import FailFast

LARGEST = 2**27  # bytes; a record of 400 languages with 20 views has about 80 MB
DEEPEST = 16  # lists and objects inside each other, where anything may stand
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_KEYS = 100_000  # of one object
_MOST = 1e100  # of a number: the fourth power of one can still be computed with

T = TypeVar("T")


class _First(FailFast):
    """Of what is wrong in a list, the first: it may have millions."""

    def __hash__(self) -> int:
        return 0


Many = Annotated[list[T], _First()]


def parsed(path: Path) -> Any:
    """What the file says.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON; a key stands twice, a number is not finite or beyond ``1e100``; or it is no
            ordinary file, or one of more than ``LARGEST`` bytes. RecursionError is made one.
    """
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("an ordinary file is needed, found a pipe or a device")
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"at most {LARGEST} bytes are allowed, found more")
    try:
        return json.loads(
            content.decode("utf-8"),
            parse_constant=_refuse,
            parse_float=_number,
            parse_int=_whole,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise ValueError("lists and objects inside each other: found too many") from None


def free(name: str, value: Any) -> None:
    """Check what may be of any shape, and text that is shown.

    Raises:
        ValueError: it is nested deeper than ``DEEPEST``, or has text with control characters, which a terminal
            would obey, or with half of a surrogate pair, which is none.
    """
    level = [value]
    for _ in range(DEEPEST):
        for one in level:
            for text in one if isinstance(one, dict) else [one]:
                if isinstance(text, str) and (found := _CONTROL.search(text)):
                    raise ValueError(f"{name}: expected plain text, found U+{ord(found[0]):04X}")
        level = [inner for one in level if isinstance(one, dict | list) for inner in _inside(one)]
        if not level:
            return
    raise ValueError(f"{name}: expected at most {DEEPEST} levels, found more")


def _inside(value: dict[str, Any] | list[Any]) -> Sequence[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _at_once(path: str, flags: int) -> int:
    """Opens without waiting for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > _KEYS:
        raise ValueError(f"keys: expected at most {_KEYS} of an object, found more")
    found = dict(pairs)
    if len(found) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        raise ValueError(f"keys: expected each once, found {counted.most_common(1)[0][0][:40]!r} again")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"numbers: expected finite ones up to {_MOST:g}, found {constant[:40]}")


def _number(text: str) -> Any:
    value = float(text)
    return value if abs(value) <= _MOST else _refuse(text)


def _whole(text: str) -> Any:
    return int(text) if len(text) <= 100 else _refuse(text)
