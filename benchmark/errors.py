"""Errors a person can cause, and how names are suggested."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """One line for a person: what was wrong, what is allowed, what was found. Exit code 2."""


def did_you_mean(found: str, allowed: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or nothing."""
    close = difflib.get_close_matches(found.lower(), list(allowed), n=2, cutoff=0.5)
    return f" (did you mean {' or '.join(repr(name) for name in close)}?)" if close else ""
