"""A run with everything cached: what it must not import, and that tokenised data is mapped, never copied."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli import command
from benchmark.training.batches import Encoded

ARGUMENTS = [
    *("run", "-m", "overlap", "-t", "cldr-names", "--languages", "deu,nld,swe,fra", "--groups", "2"),
    *("--draws", "1", "--epochs", "1", "--max-train", "40", "--max-eval", "20"),
    *("--cache", "cache", "--jobs", "1", "--device", "cpu"),
]
HEAVY = ["torch", "transformers", "sentence_transformers", "tokenizers", "datasets", "sklearn", "scipy", "pandas"]
AGAIN = f"""
import sys
from benchmark.cli import command
code = command({ARGUMENTS!r})
print(code, *[name for name in {HEAVY!r} if name in sys.modules])
"""


def test_a_cached_run_imports_no_training_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor scikit-learn or SciPy, whose import takes longer than much of what there is to do."""
    monkeypatch.chdir(tmp_path)
    assert command(ARGUMENTS) == 0
    done = subprocess.run([sys.executable, "-c", AGAIN], cwd=tmp_path, capture_output=True, text=True)
    assert "0 trainings to do" in done.stderr
    assert done.stdout.splitlines()[-1] == "0", done.stdout + done.stderr


def test_groups_of_many_languages_import_no_scipy() -> None:
    """Beyond the exact search, which starts from linkages."""
    code = """
import sys
import numpy as np
from benchmark.grouping import GROUPINGS
S = np.random.default_rng(0).normal(size=(16, 16))
print([len(rule(S, 4)) for rule in GROUPINGS.values()], "scipy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[4,", "4]", "False"]


def test_numpys_products_take_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many there are changes the last bits of a record, and costs a cached run time."""
    code = """
import sys
from benchmark.__main__ import main
sys.argv = ["kinship", "list", "--help"]
try:
    main()
except SystemExit:
    import numpy, threadpoolctl
    print([one["num_threads"] for one in threadpoolctl.threadpool_info() if one["internal_api"] == "openblas"])
"""

    def threads() -> str:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[-1]

    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if threads() == "[]":
        pytest.skip("NumPy has no OpenBLAS here")
    assert threads() == "[1]"
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert threads() == "[2]"


def test_workers_map_the_tokens(tiny, examples) -> None:  # type: ignore[no-untyped-def]
    """A job says where they lie; whoever opens them reads the file's own pages."""
    key = tiny.encode(examples("deu", 50))
    assert len(pickle.dumps(tiny.store)) < 1000
    opened = Encoded.open(pickle.loads(pickle.dumps(tiny.store)).path(key))
    for array in (opened.ids, opened.offsets, opened.labels, opened.halves):
        assert _mapped(array)
        assert not array.flags.writeable


def _mapped(array: np.ndarray) -> bool:  # type: ignore[type-arg]
    """Whether its memory is a file's, whatever view of it this is."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False
