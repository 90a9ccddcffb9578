"""The ways data come: the user's folder, and a web server on the loopback interface."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import sources
from tasks.base import Access, DataError, Example
from tasks.sources import fetch, fingerprint, folder, folder_file, pinned, read, within, write

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
