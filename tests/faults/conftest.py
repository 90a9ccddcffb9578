"""The scripts of this folder are modules of its tests; and one small run, undisturbed, for comparison."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import small

    where = tmp_path_factory.mktemp("undisturbed")
    small.start(print).join()  # what takes long is imported once, before
    begun = time.monotonic()
    small.finished(where, "--jobs", "1")
    (where / "seconds.txt").write_text(str(time.monotonic() - begun))
    return where
