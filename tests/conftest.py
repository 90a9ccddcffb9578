"""A web server on the loopback interface, and an environment without anybody's own settings."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import settings

# No clocks in tests; in CI the same examples every time, so that a red run can be made red again.
settings.register_profile("kinship", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.load_profile("kinship")


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
