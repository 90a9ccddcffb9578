"""What is written to last: synced to disk, and known by its checksum."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

_FAILED = (errno.EIO, errno.ENOSPC, errno.EDQUOT)


def sha256(path: Path) -> str:
    """Of a file's bytes, in hex. OSError as usual."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Have the disk hold a file, or the names in a folder; OSError if that failed. Some file systems cannot."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in _FAILED:
            raise
    finally:
        os.close(descriptor)
