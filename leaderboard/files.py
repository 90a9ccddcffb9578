"""Text files that are either old or new, never half."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, making its folder. OSError as usual."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Short and in the same folder: the name always fits, and the rename stays on one file system.
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_if_changed(path: Path, text: str) -> bool:
    """:func:`replace_text` unless the file already says exactly this; whether it was written."""
    try:
        if path.read_bytes() == text.encode("utf-8"):
            return False
    except FileNotFoundError:
        pass
    replace_text(path, text)
    return True
