"""Dataset repositories on the hub: Parquet files at one commit, through ``huggingface_hub`` and ``pyarrow``.

Nothing of a repository is run. Files are kept in the hub's own cache, which other programs share. The hub's
address, its cache and whether it may be asked at all are read from the environment at each call:
``HF_ENDPOINT``, ``HF_HUB_CACHE``, ``HF_HOME``, ``HF_HUB_OFFLINE``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base import DataError, Example
from tasks.parquet import ParquetRows as ParquetRows
from tasks.parquet import every_row, opened
from tasks.sources import PATIENCE, TIMEOUT, expanded, one_line, within, write

_SHA = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubRepository:
    """A dataset repository at one commit (``sha``: 40 hex digits)."""

    name: str
    sha: str
    offline: bool

    def rows(self, file: str, columns: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of one Parquet file, class labels as their index, strings as they are.

        Raises:
            DataError: the file cannot be had, is no Parquet file, or lacks one of ``columns``.
        """
        where = f"{file} of {self._at()}"
        with opened(self._download(file), columns, where) as parquet:
            return [row for _, row in every_row(parquet, list(columns))]

    def parquet(
        self,
        files: Sequence[str],
        columns: Sequence[str],
        example: Callable[[Mapping[str, Any], str], Example],
        label: str | None,
    ) -> ParquetRows:
        """The examples of these Parquet files, one after another (see :class:`ParquetRows`).

        Raises:
            DataError: a file cannot be had, is no Parquet file, lacks a column, or a row has no label.
        """
        paths = [Path(self._download(each)) for each in files]
        return ParquetRows(paths, columns, example, label, self._at(), names=files)

    def files(self) -> tuple[str, ...]:
        """The names of the repository's files, sorted; offline, of those that are in the cache.

        Raises:
            DataError: the hub does not answer, or there are no files.
        """
        if self.offline:
            root = kept_ref(self.name) / "snapshots" / self.sha
            names = [each.relative_to(root).as_posix() for each in root.rglob("*") if each.is_file()]
        else:
            names = [each.rfilename for each in _ask(self.name, self.sha).siblings or ()]
        if not names:
            place = "in the hub's cache" if self.offline else f"on the hub at {_endpoint()}"
            raise DataError(f"no files of {self.name} {place}; some at {self.sha[:7]} are needed; found none")
        return tuple(sorted(names))

    def _at(self) -> str:
        return f"{self.name} at {self.sha[:7]}"

    def _download(self, file: str) -> str:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import LocalEntryNotFoundError

        at: dict[str, Any] = {"repo_id": self.name, "repo_type": "dataset", "revision": self.sha}
        try:
            try:
                return str(hf_hub_download(**at, filename=file, cache_dir=_cache(), local_files_only=True))
            except LocalEntryNotFoundError:
                if self.offline:
                    raise DataError(
                        f"{file} of {self.name} is not in the hub's cache; offline, only cached files are "
                        f"allowed; found no copy at {self.sha[:7]}"
                    ) from None
            # One quick question first: the download itself retries for a minute on a host that is gone.
            address = hf_hub_url(**at, filename=file, endpoint=_endpoint())
            within(PATIENCE, lambda: get_hf_file_metadata(address, timeout=TIMEOUT, endpoint=_endpoint()))
            return str(
                hf_hub_download(
                    **at, filename=file, cache_dir=_cache(), endpoint=_endpoint(), etag_timeout=TIMEOUT
                )
            )
        except DataError:
            raise
        except Exception as error:
            raise DataError(
                f"cannot fetch {file} of {self.name} from {_endpoint()}; a file at {self.sha[:7]} is needed; "
                f"found: {one_line(error)}"
            ) from error


def hub_repository(name: str, revision: str, offline: bool = False) -> HubRepository:
    """A dataset repository at the commit that ``revision`` (a branch or reference) names now.

    Offline, the commit that it named when it was last asked for is taken from the cache.

    Raises:
        DataError: the hub does not answer or does not know the repository; offline, the cache does not.
    """
    offline = offline or _hub_offline()
    if _SHA.fullmatch(revision):
        return HubRepository(name, revision, offline)
    kept = kept_ref(name) / "refs" / revision
    if offline:
        sha = kept.read_text(encoding="ascii", errors="replace").strip() if kept.is_file() else ""
        if not _SHA.fullmatch(sha):
            raise DataError(
                f"{name} is not in the hub's cache; offline, only cached repositories are allowed; "
                f"found no commit of {revision}"
            )
        return HubRepository(name, sha, offline)
    sha = _ask(name, revision).sha
    if sha is None or not _SHA.fullmatch(sha):
        raise DataError(
            f"the hub at {_endpoint()} names no commit of {name}; 40 hex digits are needed; found {sha!r}"
        )
    write(kept, sha.encode())  # where the hub's own library keeps it
    return HubRepository(name, sha, offline)


def _ask(name: str, revision: str) -> Any:
    from huggingface_hub import HfApi

    try:
        api = HfApi(endpoint=_endpoint())
        return within(PATIENCE, lambda: api.dataset_info(name, revision=revision, timeout=TIMEOUT))
    except Exception as error:
        raise DataError(
            f"cannot reach {name} on the hub at {_endpoint()}; a commit of {revision} is needed; "
            f"found: {one_line(error)}"
        ) from error


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _cache() -> Path:
    if folder := os.environ.get("HF_HUB_CACHE"):
        return expanded(folder)
    if home := os.environ.get("HF_HOME"):
        return expanded(home) / "hub"
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def kept_ref(name: str) -> Path:
    """Where the hub's own library keeps a repository."""
    return _cache() / f"datasets--{name.replace('/', '--')}"


def _hub_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on")
