"""A GPU is looked for only where torch could use one."""

from __future__ import annotations

import pytest
import torch

from benchmark import devices


@pytest.mark.parametrize(
    ("version", "platform", "driver", "expected"),
    [
        ("2.13.0+cpu", "linux", True, False),
        ("2.13.0", "linux", False, False),
        ("2.13.0", "linux", True, True),
        ("2.13.0+cu130", "linux", True, True),
        ("2.13.0+cu130", "win32", False, False),
        ("2.13.0+rocm6.4", "linux", False, True),
        ("2.13.0", "darwin", True, False),
    ],
)
def test_build_and_driver(
    version: str, platform: str, driver: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> None:
        assert name == ("nvcuda.dll" if platform == "win32" else "libcuda.so.1")
        if not driver:
            raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(devices, "versions", lambda: {"torch": version})
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("ctypes.CDLL", load)
    assert devices.gpu_in_reach() is expected


def test_it_never_misses_what_torch_finds() -> None:
    assert devices.gpu_in_reach() or not torch.cuda.is_available()
