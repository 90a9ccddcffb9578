"""Who holds a lock holds it alone, and who dies with it keeps nobody waiting."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from leaderboard import locks
from leaderboard.files import alone, replace_text, sweep
from leaderboard.locks import locked, locked_if_free, marked, remove_abandoned, shared, unmark, unshared

HOLD = """
import sys
from pathlib import Path
from leaderboard import locks

what, path = sys.argv[1], Path(sys.argv[2])
if what == "locked":
    held = locks.locked(path)
    held.__enter__()
elif what == "shared":
    held = locks.shared(path)
else:
    path.mkdir()
    held = locks.marked(path)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold():
    """Another process that holds something until it is killed."""
    held = []

    def start(what: str, path: Path) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, what, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        held.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in held:
        process.kill()
        process.communicate()


def die(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def test_a_lock_is_held_alone_and_gone_with_its_holder(tmp_path, hold):
    path = tmp_path / "one.lock"
    process = hold("locked", path)
    with locked_if_free(path) as free:
        assert not free
    assert not remove_abandoned(path)
    assert path.exists()
    die(process)
    assert path.exists()  # the file is left; nobody holds it
    with locked(path):
        assert path.exists()
        with locked_if_free(path) as free:
            assert not free  # by another descriptor, even in one process
    assert not path.exists()
    with locked_if_free(path) as free:
        assert free
    assert not path.exists()


def test_a_lock_file_that_was_removed_locks_nothing(tmp_path, monkeypatch):
    """Between opening and locking, its holder has removed it, and somebody else has made and locked another."""
    path, real, others = tmp_path / "one.lock", os.open, []

    def opened(name, *rest):
        descriptor = real(name, *rest)
        if not others:
            os.unlink(path)
            others.append(real(path, os.O_RDWR | os.O_CREAT))
            fcntl.flock(others[0], fcntl.LOCK_EX)
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    with locked_if_free(path) as free:
        assert not free
    os.close(others[0])
    with locked_if_free(path) as free:
        assert free


def test_what_an_abandoned_lock_leaves_can_be_removed(tmp_path, hold):
    path = tmp_path / "one.lock"
    die(hold("locked", path))
    assert remove_abandoned(path, remove=False)
    assert path.exists()
    assert remove_abandoned(path)
    assert not path.exists()
    assert not remove_abandoned(path)


def test_shared(tmp_path, hold):
    path = tmp_path / "in-use"
    with unshared(path) as nobody:
        assert nobody
    ours = shared(path)
    process = hold("shared", path)
    for _ in range(2):
        with unshared(path) as nobody:
            assert not nobody
        unmark(ours)
        ours = None
    die(process)
    with unshared(path) as nobody:
        assert nobody


def test_a_temporary_folder_of_a_live_process_stays(tmp_path, hold):
    path = tmp_path / "a.tmp"
    process = hold("marked", path)
    (path / "file").write_text("half")
    assert not remove_abandoned(path)
    assert (path / "file").exists()
    die(process)
    assert remove_abandoned(path)
    assert not path.exists()


def test_who_is_overtaken_before_the_mark_is_told(tmp_path):
    path = tmp_path / "a.tmp"
    path.mkdir()
    assert remove_abandoned(path)
    with pytest.raises(FileNotFoundError):
        marked(path)


def test_without_flock_only_what_is_old_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    path = tmp_path / "a.tmp"
    path.mkdir()
    assert marked(path) is None
    assert not remove_abandoned(path)
    os.utime(path, (0, 0))
    assert remove_abandoned(path)
    assert not path.exists()
    with locked(tmp_path / "one.lock"), locked_if_free(tmp_path / "one.lock") as free:
        assert not free
    with locked_if_free(tmp_path / "one.lock") as free:
        assert free


def test_a_results_folder_is_swept_of_what_writers_left(tmp_path, hold):
    inner = tmp_path / "task" / "protocol"
    inner.mkdir(parents=True)
    for folder in (tmp_path, inner):
        (folder / f".{'0a' * 8}.tmp").write_text("half")
        (folder / ".lock").touch()
        (folder / ".gitignore").touch()
        (folder / "record.json").touch()
    hold("locked", inner / ".lock")
    sweep(tmp_path)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == [
        ".gitignore",
        "record.json",
        "task/protocol/.gitignore",
        "task/protocol/.lock",
        "task/protocol/record.json",
    ]


def test_a_file_being_written_is_not_swept_away(tmp_path, monkeypatch):
    """Somebody else sweeps between every two steps."""
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def swept(*arguments, real=real):
            sweep(tmp_path)
            return real(*arguments)

        monkeypatch.setattr(os, name, swept)
    replace_text(tmp_path / "table.md", "whole")
    assert (tmp_path / "table.md").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["table.md"]


def test_a_folder_where_no_lock_can_be_made_is_not_waited_for(tmp_path):
    with alone(tmp_path / "nowhere"):
        pass
    assert not (tmp_path / "nowhere").exists()
