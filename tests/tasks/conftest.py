"""A dataset repository on the loopback interface, of Parquet files that the test makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest


def parquet(columns: Mapping[str, Sequence[Any]]) -> bytes:
    content = BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(dict(columns)), content)
    return content.getvalue()


class LoopbackHub:
    """``put`` serves a file, at ``sha``, as the hub does; ``lay_out`` keeps it as the hub's own library does."""

    def __init__(self, web: Any, cache: Path) -> None:
        self.web, self.cache = web, cache

    def name(self, repository: str, revision: str, sha: str) -> None:
        """Let ``revision`` name this commit."""
        page = f'{{"id": "{repository}", "sha": "{sha}"}}'.encode()
        self.web.pages[f"/api/datasets/{repository}/revision/{revision}"] = (200, {}, page)

    def put(self, repository: str, sha: str, file: str, columns: Mapping[str, Sequence[Any]]) -> None:
        headers = {"X-Repo-Commit": sha, "ETag": f'"{abs(hash((repository, file)))}"'}
        self.web.pages[f"/datasets/{repository}/resolve/{sha}/{file}"] = (200, headers, parquet(columns))

    def lay_out(self, repository: str, sha: str, file: str, columns: Mapping[str, Sequence[Any]]) -> None:
        root = self.cache / f"datasets--{repository.replace('/', '--')}"
        path = root / "snapshots" / sha / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(parquet(columns))

    @property
    def downloads(self) -> list[str]:
        return [each.rsplit("/", 2)[-2:] for each in self.web.asked if each.startswith("GET /datasets/")]


@pytest.fixture
def loopback_hub(web: Any, clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> LoopbackHub:
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    return LoopbackHub(web, clean_environment)
