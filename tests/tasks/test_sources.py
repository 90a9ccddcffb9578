"""The ways data come: against a web server on the loopback interface, and a folder like the hub's cache."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import sources
from tasks.base import Access, DataError, Example
from tasks.hub import hub_repository
from tasks.sources import fetch, fingerprint, folder, folder_file, pinned, read, within, write

SHA = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY, REVISION, FILE = "someone/things", "refs/convert/parquet", "xyz/train/0000.parquet"
RESOLVED = f"/datasets/{REPOSITORY}/resolve/{SHA}/{FILE}"

examples = st.lists(
    st.builds(
        Example,
        text=st.text(),
        label=st.integers(0, 3),
        pair=st.none() | st.text(),
        item=st.none() | st.text(),
    ),
    max_size=4,
)


def files_in(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())


def check(content: bytes) -> str:
    if not content.startswith(b"right"):
        raise DataError("wrong content")
    return content.decode()


@given(examples, examples)
def test_fingerprints_are_equal_just_when_the_content_is(a: list[Example], b: list[Example]) -> None:
    assert (fingerprint(a) == fingerprint(b)) == (a == b)
    assert fingerprint(iter(a)) == fingerprint(tuple(a))


def test_fingerprint_is_fixed() -> None:
    """Published results carry it: it must never change."""
    assert fingerprint([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert fingerprint([Example("é", 1, pair="p", item="i"), Example("b", 0)]) == (
        "626098154595998aed17013318e70e2163ef92e0a76fb007dda5cfc9f67cc019"
    )


def test_folder(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    assert folder(Access(data=tmp_path), "task") == tmp_path / "task"
    assert folder(Access(data=tmp_path), "other") is None
    assert folder(Access(), "task") is None
    with pytest.raises(DataError, match=r"no data file .*deu.train.tsv"):
        read(folder_file(tmp_path / "task", "deu", "train"))
    with pytest.raises(DataError, match="a readable file is needed"):
        read(tmp_path)


def test_write_is_whole_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "file"
    write(path, b"one")
    write(path, b"two")
    assert path.read_bytes() == b"two"

    def fail(*_: object) -> None:
        raise OSError("disk\nfull")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DataError, match=r"a writable cache is needed; found: disk full$"):
        write(path, b"three")
    assert path.read_bytes() == b"two"
    assert files_in(tmp_path) == ["new/file"]
    with pytest.raises(DataError, match="cannot write"):
        write(path / "below" / "a" / "file", b"")


def test_within() -> None:
    assert within(5, lambda: 3) == 3
    with pytest.raises(KeyError, match="x"):
        within(5, lambda: {}["x"])
    start = time.perf_counter()
    with pytest.raises(TimeoutError, match=r"no answer in 0\.1 seconds"):
        within(0.1, lambda: time.sleep(3))
    assert time.perf_counter() - start < 2


@pytest.mark.usefixtures("clean_environment")
class TestPinned:
    def test_fetched_once(self, web: Any, tmp_path: Path) -> None:
        web.pages["/f"] = (200, {}, b"right\n")
        kept = tmp_path / "cache" / "f"
        for offline in (False, False, True):
            assert pinned(web.url + "/f", kept, check, offline) == "right\n"
        assert web.asked == ["GET /f"]
        assert files_in(tmp_path) == ["cache/f"]

    def test_without_a_cache_nothing_is_kept(self, web: Any, tmp_path: Path) -> None:
        web.pages["/f"] = (200, {}, b"right")
        assert pinned(web.url + "/f", None, check, False) == "right"
        assert files_in(tmp_path) == []

    @pytest.mark.parametrize(
        ("page", "found"),
        [
            ((200, {}, b"tampered"), "wrong content"),
            ((404, {}, b"right"), "found: HTTP status 404"),
            ((500, {}, b"right"), "found: HTTP status 500"),
            ((302, {"Location": "ftp://127.0.0.1/f"}, b""), "found"),
        ],
    )
    def test_what_is_not_right_is_not_kept(self, web: Any, tmp_path: Path, page: Any, found: str) -> None:
        web.pages["/f"] = page
        with pytest.raises(DataError, match=found) as caught:
            pinned(web.url + "/f", tmp_path / "cache" / "f", check, False)
        assert "\n" not in str(caught.value)
        assert files_in(tmp_path) == []

    def test_a_damaged_copy_is_fetched_again_and_offline_refused(self, web: Any, tmp_path: Path) -> None:
        web.pages["/f"] = (200, {}, b"right")
        kept = tmp_path / "f"
        kept.write_bytes(b"damaged")
        with pytest.raises(DataError, match="wrong content"):
            pinned(web.url + "/f", kept, check, True)
        assert web.asked == []
        assert pinned(web.url + "/f", kept, check, False) == "right"
        assert kept.read_bytes() == b"right"

    def test_offline_asks_nobody(self, web: Any, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="offline, only cached files are allowed"):
            pinned(web.url + "/f", tmp_path / "f", check, True)
        assert web.asked == []

    def test_nobody_there(self, closed_port: str) -> None:
        start = time.perf_counter()
        with pytest.raises(DataError, match=r"a reachable host is needed; found: .*refused"):
            fetch(closed_port + "/f")
        assert time.perf_counter() - start < 5

    def test_a_silent_host_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import socket

        monkeypatch.setattr(sources, "TIMEOUT", 0.2)
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/f"
            with pytest.raises(DataError, match="found: timed out"):
                fetch(url)
            monkeypatch.setattr(sources, "TIMEOUT", 5)
            monkeypatch.setattr(sources, "PATIENCE", 0.2)
            with pytest.raises(DataError, match=r"found: no answer in 0\.2 seconds"):
                fetch(url)

    def test_too_large(self, web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sources, "_LARGEST", 10)
        web.pages["/f"] = (200, {}, b"x" * 11)
        with pytest.raises(DataError, match="at most 10 bytes are allowed"):
            fetch(web.url + "/f")

    @pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/f", "nonsense", "http://"])
    def test_other_addresses_are_refused(self, url: str) -> None:
        with pytest.raises(DataError, match="cannot fetch") as caught:
            fetch(url)
        assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("parquet") / "0000.parquet"
    features = datasets.Features(
        {"tweet": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    table = datasets.Dataset.from_dict({"tweet": ["eins", "zwei\nhalb"], "label": [1, 0]}, features=features)
    table.to_parquet(str(path))
    return path.read_bytes()


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

    def lay_out(self, cache: Path, content: bytes) -> None:
        """As the hub's own library keeps a repository."""
        root = cache / "datasets--someone--things"
        for path in (root / "blobs" / "abc", root / "refs" / REVISION, root / "snapshots" / SHA / FILE):
            path.parent.mkdir(parents=True, exist_ok=True)
        (root / "blobs" / "abc").write_bytes(content)
        (root / "refs" / REVISION).write_text(SHA)
        (root / "snapshots" / SHA / FILE).symlink_to("../../../../blobs/abc")

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
