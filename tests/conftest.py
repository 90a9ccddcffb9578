"""A web server on the loopback interface, an environment without anybody's own settings, files that are broken."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # runs that are started here must hear Ctrl-C

# No clocks in tests; in CI the same examples every time, so that a red run can be made red again.
settings.register_profile("kinship", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
# HYPOTHESIS_PROFILE=thorough: thousands of bad inputs (test_hostile_*.py), in a few minutes.
settings.register_profile("thorough", settings.get_profile("kinship"), max_examples=500, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "kinship")

# What breaks readers: other encodings, halves of characters, line ends, numbers that are none, brackets.
_SPLINTERS = (
    *(b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\xe2\x80\xa8",
      b"\xf4\x90\x80\x80"),
    *(b"\n", b"\r", b"\r\n", b"\n\n\n", b"\t", b"\t\t", b" ", b'"', b'""', b"'", b"\\", b"\\ud800", b"-", b":"),
    *(b"NaN", b"Infinity", b"1e999", b"null", b"{", b"[", b"}", b"]", b",", b"9" * 400, b"[" * 2000, b"&a", b"*a"),
    *(b"0", b"1-99999", b"1.1", b"a" * 70_000, b"\x1b[31m", b"../" * 50, b"!!", b"#"),
)  # fmt: skip


@pytest.fixture(scope="session")
def broken() -> Callable[[bytes], st.SearchStrategy[bytes]]:
    """Of a good file, bad ones: bytes changed, left out, put in and repeated; cut short; or something else."""

    def applied(good: bytes, edits: list[tuple[float, str, bytes, int]]) -> bytes:
        for share, kind, splinter, size in edits:
            at = int(share * len(good))
            behind = at + size
            if kind == "put":
                good = good[:at] + splinter + good[at:]
            elif kind == "drop":
                good = good[:at] + good[behind:]
            elif kind == "change":
                good = good[:at] + bytes(each ^ (size & 255) for each in good[at : at + 1]) + good[at + 1 :]
            elif kind == "again":
                good = good[:behind] + good[at:]
            else:
                good = good[:at]
        return good

    edit = st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["put", "put", "drop", "change", "again", "cut"]),
        st.sampled_from(_SPLINTERS) | st.binary(max_size=8),
        st.integers(1, 300),
    )
    return lambda good: (
        st.lists(edit, min_size=1, max_size=4).map(lambda edits: applied(good, edits)) | st.binary()
    )


@pytest.fixture
def no_hang() -> Iterator[None]:
    """A test that waits for something that never comes fails, instead of keeping all others waiting."""

    def hang(number: int, frame: object) -> None:
        raise AssertionError("this took five minutes: it hangs")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@dataclass
class Web:
    """``pages``: path → (status, headers, body); ``asked``: the requests so far, as ``GET /path``."""

    url: str = ""
    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def web() -> Iterator[Web]:
    site = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(f"{self.command} {self.path}")
            status, headers, body = site.pages.get(self.path.split("?")[0], (404, {}, b"no such page"))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def closed_port() -> str:
    """An address on this machine where nobody listens."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closed_port: str) -> Path:
    """No proxies, no tokens, a hub that cannot be reached and its cache in the folder returned."""
    import huggingface_hub.constants

    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("HF_", "KINSHIP_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", closed_port)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("KINSHIP_AFRISENTI_URL", closed_port)
    return tmp_path / "hub"
