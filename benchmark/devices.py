"""Whether there may be a GPU, without importing torch; and how many there are."""

from __future__ import annotations

import ctypes
import sys

from benchmark.provenance import versions


def gpu_in_reach() -> bool:
    """Whether it is worth asking torch: its build is for a GPU, and the driver is there.

    To import torch takes longer than all else that a run with everything cached does.
    """
    version = versions()["torch"]
    if "+cpu" in version or sys.platform == "darwin":
        return False
    if "+" in version and "+cu" not in version:  # another maker's
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def places(device: str) -> tuple[str, ...]:
    """The devices that a name stands for: ``cuda`` is every GPU that torch sees, the others are one."""
    if device != "cuda":
        return (device,)
    import torch

    return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count())) or (device,)
