"""Dataset repositories on the hub: Parquet files at one commit, through ``huggingface_hub`` and ``datasets``.

Nothing of a repository is run. Files are kept in the hub's own cache, which other programs share. The hub's
address, its cache and whether it may be asked at all are read from the environment at each call:
``HF_ENDPOINT``, ``HF_HUB_CACHE``, ``HF_HOME``, ``HF_HUB_OFFLINE``.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base import DataError
from tasks.sources import PATIENCE, TIMEOUT, one_line, within, write

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
        path = self._download(file)
        where = f"{file} of {self.name} at {self.sha[:7]}"
        try:
            table = _read_parquet(path)
        except Exception as error:  # whatever the libraries raise, to the user it is an unreadable file
            raise DataError(f"cannot read {where}; a Parquet file is needed; found: {one_line(error)}") from error
        missing = [each for each in columns if each not in table.column_names]
        if missing:
            raise DataError(
                f"{where} lacks a column; needed: {', '.join(columns)}; found: {', '.join(table.column_names)}"
            )
        return list(table.select_columns(list(columns)))

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
    kept = _cache() / f"datasets--{name.replace('/', '--')}" / "refs" / revision
    if offline:
        sha = kept.read_text(encoding="ascii", errors="replace").strip() if kept.is_file() else ""
        if not _SHA.fullmatch(sha):
            raise DataError(
                f"{name} is not in the hub's cache; offline, only cached repositories are allowed; "
                f"found no commit of {revision}"
            )
        return HubRepository(name, sha, offline)
    sha = _ask(name, revision)
    write(kept, sha.encode())  # where the hub's own library keeps it
    return HubRepository(name, sha, offline)


def _ask(name: str, revision: str) -> str:
    from huggingface_hub import HfApi

    try:
        api = HfApi(endpoint=_endpoint())
        sha = within(PATIENCE, lambda: api.dataset_info(name, revision=revision, timeout=TIMEOUT)).sha
    except Exception as error:
        raise DataError(
            f"cannot reach {name} on the hub at {_endpoint()}; a commit of {revision} is needed; "
            f"found: {one_line(error)}"
        ) from error
    if sha is None or not _SHA.fullmatch(sha):
        raise DataError(
            f"the hub at {_endpoint()} names no commit of {name}; 40 hex digits are needed; found {sha!r}"
        )
    return sha


def _read_parquet(path: str) -> Any:
    """A ``datasets.Dataset``, in memory: what the library writes on the way goes when it is read."""
    import datasets

    silent = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory(prefix="kinship-") as scratch:
            return datasets.Dataset.from_parquet(path, cache_dir=scratch, keep_in_memory=True)
    finally:
        if not silent:
            datasets.enable_progress_bars()


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _cache() -> Path:
    if folder := os.environ.get("HF_HUB_CACHE"):
        return Path(folder).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _hub_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on")
