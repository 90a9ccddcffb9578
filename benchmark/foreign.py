"""Other people's code, run so that nothing it raises or prints stops anybody else."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from benchmark.errors import UserError

_LONGEST = 500  # characters of what an exception says


@contextmanager
def foreign(told: Callable[[BaseException], str]) -> Iterator[None]:
    """Whatever the code inside raises becomes a ``UserError`` that says ``told``, the wish to exit too; what it
    prints goes to stderr, as stdout is for results. Ctrl-C is the person's own, and still stops.
    """
    with _interrupts() as pressed:
        try:
            with redirect_stdout(sys.stderr):
                yield
        except UserError:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and pressed:
                raise
            raise UserError(told(error)) from error


def said(error: BaseException) -> str:
    """What an exception says, in one line; nothing if it says nothing, or cannot."""
    try:
        text = " ".join(str(error).split())
    except BaseException:  # this is somebody else's code, too
        return ""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Filled when Ctrl-C is pressed: code may raise KeyboardInterrupt by itself."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield []  # here nobody's Ctrl-C raises it
        return
    pressed: list[int] = []

    def noted(number: int, frame: Any) -> None:
        pressed.append(number)
        before(number, frame)

    signal.signal(signal.SIGINT, noted)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
