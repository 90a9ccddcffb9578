"""Files whose examples are found by where they begin: read through once, then one example at a time.

What the one pass found is kept in a folder, if there is one, under what it depends on: the file's path, size
and time of change, and how it is read. The next opening of the same file takes it from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from abc import abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from tasks.base import DataError, Example
from tasks.rows import Rows
from tasks.sources import one_line, opened, write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_VERSION = 2  # of what is kept
_SUM = hashlib.sha256().digest_size  # a checksum follows what is kept


class IndexedFile(Rows):
    """A file of examples, each a run of bytes that ends where the next begins.

    In memory are two numbers for each: its offset, and what the kind of file needs (a ``note``). A subclass
    calls ``_index`` and says what the notes are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = str(path)

    @abstractmethod
    def _begin(self, file: BinaryIO) -> None:
        """Read what stands before the examples."""

    @abstractmethod
    def _scan(self, file: BinaryIO) -> Iterator[tuple[int, int]]:
        """Offset and note of every example, in one pass that finds everything that is wrong."""

    @abstractmethod
    def _sound(self, notes: NDArray[np.int64]) -> bool:
        """Could these be the notes of a file of this kind?"""

    @abstractmethod
    def _example(self, block: bytes, place: int, note: int) -> Example | None:
        """The example in these bytes; ``None`` if they are not what they were."""

    def _index(self, reading: Sequence[object], folder: Path | None) -> NDArray[np.int64]:
        """Find the examples, in ``folder`` or by a pass through the file; the notes.

        ``reading``: what the result depends on beside the file itself, JSON-able.
        """
        import numpy as np

        with self._opened() as file:
            self._state = _state(file)
            self._begin(file)
            size = self._state[0]
            kept = None
            if folder is not None:
                of = [_VERSION, type(self).__name__, os.path.abspath(self.path), *self._state, *reading]
                kept = folder / f"{hashlib.sha256(json.dumps(of).encode()).hexdigest()}.npy"
            found = None if kept is None else self._load(kept)
            if found is None:
                offsets, notes = array("q"), array("q")
                file.seek(0)
                for offset, note in self._scan(file):
                    offsets.append(offset)
                    notes.append(note)
                found = np.array([offsets, notes], dtype=np.int64)
                self._check(file)
                if kept is not None:
                    _keep(kept, found)
        self._bounds = np.append(found[0], size)
        self._notes: NDArray[np.int64] = found[1].copy()
        return cast("NDArray[np.int64]", self._notes)

    def take(self, places: Sequence[int]) -> list[Example]:
        with self._opened(buffering=0) as file:
            self._check(file)
            taken = []
            for place in places:
                if not 0 <= place < len(self):
                    raise IndexError(f"{self.where} has {len(self)} examples; there is no place {place}")
                file.seek(int(self._bounds[place]))
                taken.append(self._read(file, place))
            self._check(file)
        return taken

    def __iter__(self) -> Iterator[Example]:
        with self._opened() as file:
            self._check(file)
            file.seek(int(self._bounds[0]))
            for place in range(len(self)):
                yield self._read(file, place)
            self._check(file)

    def _read(self, file: BinaryIO, place: int) -> Example:
        length = int(self._bounds[place + 1] - self._bounds[place])
        block = file.read(length)
        example = self._example(block, place, int(self._notes[place])) if len(block) == length else None
        if example is None or example.label != self.labels[place]:
            raise self._changed()
        return example

    @contextmanager
    def _opened(self, buffering: int = -1) -> Iterator[BinaryIO]:
        try:
            with opened(self.path, buffering) as file:
                yield file
        except OSError as error:
            raise DataError(
                f"cannot read {self.path}; a readable file is needed; found: {one_line(error)}"
            ) from error

    def _check(self, file: BinaryIO) -> None:
        if _state(file) != self._state:
            raise self._changed()

    def _changed(self) -> DataError:
        return DataError(
            f"{self.where} has changed since it was opened; a file that stays as it is is needed; found another "
            "content, size or time of change"
        )

    def _load(self, kept: Path) -> NDArray[np.int64] | None:
        """What was kept, if it is there and whole."""
        import numpy as np

        try:
            content = kept.read_bytes()
        except OSError:  # the next pass makes it
            return None
        try:
            if hashlib.sha256(content[:-_SUM]).digest() != content[-_SUM:]:
                raise ValueError("checksum")
            found: Any = np.lib.format.read_array(BytesIO(content[:-_SUM]), allow_pickle=False)
        except Exception:  # a damaged file can fail in any way
            print(f"cache: the index of {self.where} is corrupt; it is dropped and made again", file=sys.stderr)
            return None
        if found.dtype != np.int64 or found.ndim != 2 or len(found) != 2:
            return None
        bounds = np.concatenate([[0], found[0], [self._state[0]]])
        sound = bool((np.diff(bounds)[1:] > 0).all()) and bounds[1] >= 0 and self._sound(found[1])
        return cast("NDArray[np.int64]", found) if sound else None


def _state(file: BinaryIO) -> tuple[int, int]:
    state = os.fstat(file.fileno())
    return state.st_size, state.st_mtime_ns


def _keep(path: Path, found: NDArray[np.int64]) -> None:
    import numpy as np

    content = BytesIO()
    np.lib.format.write_array(content, found, allow_pickle=False)
    with suppress(DataError):  # a folder that cannot be written to costs time, nothing else
        write(path, content.getvalue() + hashlib.sha256(content.getvalue()).digest())
