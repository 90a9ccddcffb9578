"""Dataset repositories: on a web server on the loopback interface, and in a folder like the hub's cache."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest

from tasks.base import DataError, Example
from tasks.hub import hub_repository

SHA = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY, REVISION, FILE = "someone/things", "refs/convert/parquet", "xyz/train/0000.parquet"
RESOLVED = f"/datasets/{REPOSITORY}/resolve/{SHA}/{FILE}"


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("parquet") / "0000.parquet"
    features = datasets.Features(
        {"tweet": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    table = datasets.Dataset.from_dict({"tweet": ["eins", "zwei\nhalb"], "label": [1, 0]}, features=features)
    table.to_parquet(str(path))
    return path.read_bytes()


def example(row: Mapping[str, Any], where: str) -> Example:
    if not row["tweet"].strip():
        raise DataError(f"{where}: a text is needed")
    return Example(row["tweet"], row["label"], item=where)


def serve(web: Any, content: bytes) -> None:
    web.pages[f"/api/datasets/{REPOSITORY}/revision/{REVISION.replace('/', '%2F')}"] = (
        200,
        {"Content-Type": "application/json"},
        f'{{"id": "{REPOSITORY}", "sha": "{SHA}"}}'.encode(),
    )
    web.pages[RESOLVED] = (200, {"X-Repo-Commit": SHA, "ETag": '"abc"'}, content)


class TestHub:
    @pytest.fixture(autouse=True)
    def cache(self, clean_environment: Path) -> Path:
        return clean_environment

    @pytest.fixture
    def hub(self, web: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        return web

    def lay_out(self, cache: Path, content: bytes, *more: str) -> None:
        """As the hub's own library keeps a repository."""
        root = cache / "datasets--someone--things"
        for path in (root / "blobs" / "abc", root / "refs" / REVISION):
            path.parent.mkdir(parents=True, exist_ok=True)
        (root / "blobs" / "abc").write_bytes(content)
        (root / "refs" / REVISION).write_text(SHA)
        for file in (FILE, *more):
            link = root / "snapshots" / SHA / file
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(root / "blobs" / "abc", link.parent))

    @pytest.mark.parametrize("by_environment", [False, True])
    def test_from_the_cache(
        self, cache: Path, parquet: bytes, by_environment: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.lay_out(cache, parquet)
        if by_environment:
            monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        repository = hub_repository(REPOSITORY, REVISION, offline=not by_environment)
        assert repository.sha == SHA
        rows = repository.rows(FILE, ("tweet", "label"))
        assert rows == [{"tweet": "eins", "label": 1}, {"tweet": "zwei\nhalb", "label": 0}]
        with pytest.raises(DataError, match="offline, only cached files are allowed; found no copy"):
            repository.rows("xyz/test/0000.parquet", ("tweet",))

    def test_offline_without_a_copy(self) -> None:
        with pytest.raises(DataError, match="offline, only cached repositories are allowed; found no commit"):
            hub_repository(REPOSITORY, REVISION, offline=True)

    def test_fetched_once_then_offline(self, hub: Any, parquet: bytes) -> None:
        serve(hub, parquet)
        repository = hub_repository(REPOSITORY, REVISION)
        first = repository.rows(FILE, ("tweet", "label"))
        assert [row["label"] for row in first] == [1, 0]
        assert hub.asked.count(f"GET {RESOLVED}") == 1
        asked = len(hub.asked)
        assert repository.rows(FILE, ("tweet", "label")) == first
        again = hub_repository(REPOSITORY, REVISION, offline=True)
        assert again.sha == SHA
        assert again.rows(FILE, ("tweet", "label")) == first
        assert len(hub.asked) == asked

    def test_only_the_columns_asked_for(self, hub: Any, parquet: bytes) -> None:
        serve(hub, parquet)
        repository = hub_repository(REPOSITORY, REVISION)
        assert repository.rows(FILE, ("label",)) == [{"label": 1}, {"label": 0}]
        with pytest.raises(DataError, match="needed: text; found: tweet, label"):
            repository.rows(FILE, ("text",))

    def test_no_parquet(self, hub: Any) -> None:
        serve(hub, b"<html>\nsorry")
        with pytest.raises(DataError, match="a Parquet file is needed") as caught:
            hub_repository(REPOSITORY, REVISION).rows(FILE, ("tweet",))
        assert "\n" not in str(caught.value)

    def test_no_such_file(self, hub: Any, parquet: bytes) -> None:
        serve(hub, parquet)
        with pytest.raises(DataError, match=r"cannot fetch other.parquet of someone/things") as caught:
            hub_repository(REPOSITORY, REVISION).rows("other.parquet", ("tweet",))
        assert "\n" not in str(caught.value)

    def test_no_such_repository(self, hub: Any) -> None:
        with pytest.raises(DataError, match="cannot reach someone/things on the hub") as caught:
            hub_repository(REPOSITORY, REVISION)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("answer", [b"{}", b'{"id": "x", "sha": "../../x"}', b"[1]", b"no json"])
    def test_a_host_that_is_no_hub(self, hub: Any, answer: bytes, cache: Path) -> None:
        serve(hub, b"")
        page = next(each for each in hub.pages if each.startswith("/api/"))
        hub.pages[page] = (200, {}, answer)
        with pytest.raises(DataError, match=r"on the hub|names no commit"):
            hub_repository(REPOSITORY, REVISION)
        assert not cache.exists()

    def test_nobody_there(self, parquet: bytes, web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        start = time.perf_counter()
        with pytest.raises(DataError, match="cannot reach someone/things on the hub"):
            hub_repository(REPOSITORY, REVISION)
        gone = os.environ["HF_ENDPOINT"]
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        serve(web, parquet)
        repository = hub_repository(REPOSITORY, REVISION)
        monkeypatch.setenv("HF_ENDPOINT", gone)
        with pytest.raises(DataError, match="cannot fetch xyz/train"):
            repository.rows(FILE, ("tweet",))
        assert time.perf_counter() - start < 10

    def test_several_files_on_demand(self, hub: Any, parquet: bytes, cache: Path) -> None:
        files = ("xyz/train/0000.parquet", "xyz/train/0001.parquet")
        for file in files:
            hub.pages[f"/datasets/{REPOSITORY}/resolve/{SHA}/{file}"] = (
                200,
                {"X-Repo-Commit": SHA, "ETag": f'"{file}"'},
                parquet,
            )
        repository = hub_repository(REPOSITORY, SHA)
        assert hub.asked == []
        assert not cache.exists()
        rows = repository.parquet(files, ("tweet", "label"), example, "label")
        assert rows.labels.tolist() == [1, 0, 1, 0]
        assert rows[2] == Example("eins", 1, item=f"{files[1]} of {REPOSITORY} at {SHA[:7]}, row 0")
        assert [each.text for each in rows] == ["eins", "zwei\nhalb"] * 2
        asked = len(hub.asked)
        assert [hub.asked.count(f"GET /datasets/{REPOSITORY}/resolve/{SHA}/{file}") for file in files] == [1, 1]
        offline = hub_repository(REPOSITORY, SHA, offline=True)
        assert offline.parquet(files, ("tweet", "label"), example, "label") == rows
        assert offline.files() == files
        assert len(hub.asked) == asked
        with pytest.raises(DataError, match="offline, only cached files are allowed; found no copy at 0123456"):
            offline.parquet((*files, "xyz/train/0002.parquet"), ("tweet",), example, None)
        with pytest.raises(DataError, match=r"0000.parquet of .*needed: text, label; found: tweet, label"):
            offline.parquet(files, ("text",), example, "label")

    def test_names_of_files(self, hub: Any) -> None:
        page = f"/api/datasets/{REPOSITORY}/revision/{SHA}"
        names = b'[{"rfilename": "b/train.parquet"}, {"rfilename": "README.md"}]'
        hub.pages[page] = (200, {}, b'{"id": "x", "sha": "%s", "siblings": %s}' % (SHA.encode(), names))
        assert hub_repository(REPOSITORY, SHA).files() == ("README.md", "b/train.parquet")
        hub.pages[page] = (200, {}, b'{"id": "x"}')
        with pytest.raises(DataError, match="no files of someone/things on the hub at"):
            hub_repository(REPOSITORY, SHA).files()
        del hub.pages[page]
        with pytest.raises(DataError, match="cannot reach someone/things on the hub") as caught:
            hub_repository(REPOSITORY, SHA).files()
        assert "\n" not in str(caught.value)

    def test_a_cache_that_another_program_filled(self, cache: Path, parquet: bytes) -> None:
        self.lay_out(cache, parquet, "README.md", "xyz/train/0001.parquet")
        repository = hub_repository(REPOSITORY, REVISION, offline=True)
        assert repository.files() == ("README.md", FILE, "xyz/train/0001.parquet")
        rows = repository.parquet(repository.files()[1:], ("tweet", "label"), example, "label")
        assert [each.label for each in rows.take([1, 2])] == [0, 1]
        (cache / "datasets--someone--things" / "blobs" / "abc").unlink()
        with pytest.raises(DataError, match=r"no files of someone/things in the hub's cache; .*found none"):
            repository.files()
