"""A disk that fails: a double of everything that a run writes with, which lets the k-th operation fail."""

from __future__ import annotations

import builtins
import errno
import io
import os
import sys
from pathlib import Path
from typing import Any

DIE, FULL, BROKEN = "die", "ENOSPC", "EIO"
MODES = (DIE, FULL, BROKEN)
DEAD = 137
_FREES = ("unlink", "rmdir", "rename", "replace")  # a full disk still does these


_OURS = tuple(f"{os.sep}{room}{os.sep}" for room in ("benchmark", "leaderboard", "measures", "tasks"))


def _site() -> str:
    """Where in our code an operation comes from: the file, and the function."""
    frame = sys._getframe(2)
    while frame.f_back is not None and not any(room in frame.f_code.co_filename for room in _OURS):
        frame = frame.f_back
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


class Disk:
    """Operations under ``root`` are counted, and the ``k``-th (from 0) fails.

    die: the process ends there, a write half done. ENOSPC: that write gets half done, and from there on nothing
    new finds room. EIO: this one operation fails.
    """

    def __init__(self, root: Path, k: int = -1, mode: str = DIE) -> None:
        self.root, self.k, self.mode = str(root.resolve()), k, mode
        self.done: list[str] = []

    def concerns(self, path: Any) -> bool:
        if isinstance(path, int):
            try:
                path = os.readlink(f"/proc/self/fd/{path}")
            except OSError:
                return False
        try:
            full = os.path.abspath(os.fsdecode(path))
        except (TypeError, ValueError):
            return False
        return full.startswith((f"{self.root}/cache", f"{self.root}/results"))

    def fails(self, kind: str, path: Any) -> bool:
        """Count an operation; whether it is to fail."""
        place = len(self.done)
        self.done.append(f"{kind} {_site()}")
        return place == self.k or (0 <= self.k < place and self.mode == FULL and kind not in _FREES)

    def fail(self, path: Any) -> None:
        if self.mode == DIE:
            os._exit(DEAD)
        number = errno.ENOSPC if self.mode == FULL else errno.EIO
        raise OSError(number, os.strerror(number), None if isinstance(path, int) else os.fsdecode(path))

    def install(self) -> None:
        """From here on, in this process."""
        self._calls()
        self._files()
        self._libraries()

    def _calls(self) -> None:
        for name in ("mkdir", "rmdir", "unlink", "remove", "rename", "replace", "fsync", "ftruncate"):
            setattr(os, name, self._counted(name, getattr(os, name)))
        real = os.open

        def opened(path: Any, flags: int, *rest: Any, **more: Any) -> int:
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and self.concerns(path) and self.fails("open", path):
                self.fail(path)
            return real(path, flags, *rest, **more)

        os.open = opened

    def _counted(self, name: str, real: Any) -> Any:
        def call(path: Any, *rest: Any, **more: Any) -> Any:
            # A name below an open folder, as rmtree has them, is under the root where the folder is.
            whose = path if more.get("dir_fd") is None else more["dir_fd"]
            if self.concerns(whose) and self.fails(name, path):
                self.fail(path)
            return real(path, *rest, **more)

        return call

    def _files(self) -> None:
        disk, real = self, builtins.open

        class File(io.FileIO):
            def write(self, content: Any) -> int:  # type: ignore[override]
                if disk.fails("write", self.name):
                    super().write(bytes(content)[: len(bytes(content)) // 2])
                    disk.fail(self.name)
                return super().write(content) or 0

        def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
            if not set(mode) & set("wax+") or not self.concerns(file) or "opener" in more:
                return real(file, mode, buffering, *rest, **more)
            if self.fails("open", file):
                self.fail(file)
            raw = File(file, mode.replace("b", "").replace("t", ""))
            if "b" in mode:
                return raw if buffering == 0 else io.BufferedWriter(raw)
            encoding = rest[0] if rest else more.get("encoding")
            return io.TextIOWrapper(io.BufferedWriter(raw), encoding or "utf8", newline=more.get("newline"))

        builtins.open = io.open = opened

    def _libraries(self) -> None:
        """Those that do not write through Python."""
        import numpy.lib._format_impl
        import safetensors.torch
        import transformers
        from safetensors import SafetensorError

        numpy.lib._format_impl.isfileobj = lambda file: False  # else it writes past us
        serialize = safetensors.torch.serialize_file

        def saved(tensors: Any, path: Any, *rest: Any, **more: Any) -> None:
            if self.concerns(path) and self.fails("safetensors", path):
                serialize(tensors, path, *rest, **more)
                os.truncate(path, os.path.getsize(path) // 2)
                try:
                    self.fail(path)
                except OSError as error:
                    said = f"I/O error: {error.strerror} (os error {error.errno})"
                    raise SafetensorError(f"Error while serializing: {said}") from None
            serialize(tensors, path, *rest, **more)

        safetensors.torch.serialize_file = saved
        of = transformers.PreTrainedTokenizerFast
        save = of._save_pretrained

        def kept(tokenizer: Any, save_directory: Any, *rest: Any, **more: Any) -> Any:
            fails = self.concerns(save_directory) and self.fails("tokenizer", save_directory)
            names = save(tokenizer, save_directory, *rest, **more)
            if fails:
                os.truncate(names[-1], os.path.getsize(names[-1]) // 2)
                try:
                    self.fail(save_directory)
                except OSError as error:
                    raise Exception(f"{error.strerror} (os error {error.errno})") from None
            return names

        of._save_pretrained = kept


def written(where: Path, content: bytes) -> None:
    """A file written through the double, for a process of its own; and what the double saw."""
    disk = Disk(where)
    disk.install()
    (where / "cache").mkdir()
    (where / "cache" / "file").write_bytes(content)
    (where / "done.txt").write_text("\n".join(one.split()[0] for one in disk.done))
