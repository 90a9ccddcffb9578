"""A sample of what the scripts of this folder do in full: kills at random moments, faults at single writes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import double
import pytest
import small
import writes


def test_killed_at_ten_random_moments(undisturbed: Path, tmp_path: Path) -> None:
    """The next run goes on; what was done is not done again; in the end all is as if nothing had happened."""
    source, kills, rounds = random.Random(0), 0, 0
    seconds = float((undisturbed / "seconds.txt").read_text())
    while kills < 10:
        rounds += 1
        where = tmp_path / f"killed{rounds}"
        where.mkdir()
        done: dict[str, tuple[int, int]] = {}
        while True:
            process = small.start(small.run, where, "--jobs", "2")
            process.join(source.uniform(0, seconds) if kills < 10 else None)
            if process.exitcode is not None:
                break
            process.kill()
            process.join()
            kills += 1
            now = small.trainings(where)
            assert {key: now.get(key) for key in done} == done
            done = now
        assert process.exitcode == 0, small.told(where)
        assert list(small.differences(undisturbed, where)) == []
        assert small.left(where) == []


def test_a_fault_at_a_write(undisturbed: Path, tmp_path: Path) -> None:
    """Nothing is torn, one line is said, and the next run comes to the same."""
    every = writes.operations(tmp_path / "counted")
    assert len(every) > 500
    places = random.Random(0).sample(writes.sites(every), 6)
    for number, k in enumerate(places):
        mode = double.MODES[number % len(double.MODES)]
        assert writes.tried(tmp_path / f"tried{number}", k, mode, undisturbed) == [], (mode, every[k])


INTERRUPTED_INSIDE_EXEC = """
import benchmark.cli

def command(arguments):
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        return 130

benchmark.cli.command = command
"""


def test_ctrl_c_inside_an_exec_has_the_same_exit_code(tmp_path: Path) -> None:
    """As a dataclass that is being defined, or a named tuple."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_INSIDE_EXEC)
    places = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "benchmark"], env=os.environ | {"PYTHONPATH": places}, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 130


@pytest.mark.parametrize("content", [b"", b"a", bytes(5000)])
def test_the_double_writes_what_it_is_given(tmp_path: Path, content: bytes) -> None:
    """As long as nothing fails, its files are files."""
    small.start(double.written, tmp_path, content).join()
    assert (tmp_path / "cache" / "file").read_bytes() == content
    assert (tmp_path / "done.txt").read_text().split() == ["mkdir", "open", *["write"] * bool(content)]
