"""Several runs on one cache and one output folder."""

from __future__ import annotations

import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import small


def all_at_once(where: Path, count: int) -> list[BaseProcess]:
    where.mkdir()
    return [small.start(small.counting, where, str(number), "--jobs", "1") for number in range(count)]


def made(where: Path) -> Counter[str]:
    return Counter((where / "made.txt").read_text().split())


def test_two_and_eight_runs_at_once_make_everything_once(undisturbed: Path, tmp_path: Path) -> None:
    for count in (2, 8):
        where = tmp_path / f"at-once-{count}"
        runs = all_at_once(where, count)
        for number, run in enumerate(runs):
            run.join()
            assert run.exitcode == 0, small.told(where, str(number))
        assert set(made(where).values()) == {1}
        assert set(made(where)) == set(small.objects(undisturbed))
        assert list(small.differences(undisturbed, where)) == []
        assert small.left(where) == []


def test_one_that_dies_with_a_lock_keeps_nobody_waiting(undisturbed: Path, tmp_path: Path) -> None:
    where = tmp_path / "dies"
    runs = all_at_once(where, 3)
    locks = where / "cache" / "locks"
    first, *others = runs
    while first.is_alive() and not any(locks.glob("*.lock")):
        time.sleep(0.005)
    first.kill()
    for number, run in enumerate(others, 1):
        run.join()
        assert run.exitcode == 0, small.told(where, str(number))
    assert set(made(where).values()) == {1}
    # What the dead one may have been writing has a temporary name, and is all that may differ.
    assert [line for line in small.differences(undisturbed, where) if not line.endswith(".tmp")] == []
    small.finished(where, "--jobs", "1")  # which removes it
    assert list(small.differences(undisturbed, where)) == []
    assert small.left(where) == []
