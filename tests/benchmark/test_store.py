"""Objects are whole or absent, damage is noticed, and two processes do not make one thing twice."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.store import IN_USE, MANIFEST, Store, StoreError, fault

KEY = "k" * 40


def write(folder):
    (folder / "data.npy").write_bytes(bytes(range(200)))
    (folder / "inner").mkdir()
    (folder / "inner" / "meta.json").write_text('{"a": 1}')


@pytest.fixture
def store(tmp_path):
    return Store.at(tmp_path / "cache")


def fresh(store):
    """The same store as another process sees it."""
    return Store(store.root)


def left(store):
    return sorted(path.name for path in (store.root / "objects").iterdir())


def test_put(store):
    assert not store.has(KEY)
    path = store.put(KEY, write, {"kind": "training", "job": {"seed": 1}})
    assert path == store.path(KEY) == store.root / "objects" / KEY
    assert (path / "data.npy").read_bytes() == bytes(range(200))
    for one in (store, fresh(store)):
        assert one.has(KEY)
        manifest = one.manifest(KEY)
        assert (manifest["kind"], manifest["job"]) == ("training", {"seed": 1})
        assert sorted(manifest["files"]) == ["data.npy", "inner/meta.json"]
    assert left(store) == [KEY]


@pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt()])
def test_a_writer_that_raises_leaves_nothing(store, failure):
    def bad(folder):
        write(folder)
        assert fresh(store).keys("k") == []  # not there before it is whole
        assert not fresh(store).has(KEY)
        raise failure

    with pytest.raises(type(failure)):
        store.put(KEY, bad, {})
    assert left(store) == []
    assert not store.has(KEY)
    store.put(KEY, write, {})
    assert fresh(store).has(KEY)


def test_what_cannot_be_told_in_json_leaves_nothing(store):
    with pytest.raises(TypeError):
        store.put(KEY, write, {"job": object()})
    assert left(store) == []


def damage_bit(folder):
    content = bytearray((folder / "data.npy").read_bytes())
    content[137] ^= 4
    (folder / "data.npy").write_bytes(content)


def damage_truncated(folder):
    (folder / "data.npy").write_bytes((folder / "data.npy").read_bytes()[:-1])


def damage_grown(folder):
    with (folder / "data.npy").open("ab") as file:
        file.write(b"\0")


def damage_missing_file(folder):
    (folder / "inner" / "meta.json").unlink()


def damage_missing_manifest(folder):
    (folder / MANIFEST).unlink()


def damage_truncated_manifest(folder):
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:-5])


def damage_empty_manifest(folder):
    (folder / MANIFEST).write_text("")


def damage_other_json(folder):
    (folder / MANIFEST).write_text("[]")


def damage_no_files(folder):
    (folder / MANIFEST).write_text(json.dumps({"kind": "training"}))


def damage_binary_manifest(folder):
    (folder / MANIFEST).write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize(
    "damage",
    [
        damage_bit,
        damage_truncated,
        damage_grown,
        damage_missing_file,
        damage_missing_manifest,
        damage_truncated_manifest,
        damage_empty_manifest,
        damage_other_json,
        damage_no_files,
        damage_binary_manifest,
    ],
)
def test_damage_is_noticed_and_dropped_with_a_message(store, capsys, damage):
    store.put(KEY, write, {})
    store.put("other", write, {})
    damage(store.path(KEY))
    assert not fresh(store).has(KEY)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"cache: {KEY[:12]}… is corrupt (")
    assert said.err.endswith("); it is dropped and made again\n")
    assert said.err.count("\n") == 1
    assert left(store) == ["other"]
    fresh(store).put(KEY, write, {})
    assert fresh(store).has(KEY)
    assert capsys.readouterr().err == ""


def test_an_object_that_is_already_there_stays(store):
    """Two that make the same thing at once: the second is content with the first's."""
    store.put(KEY, write, {"by": "first"})
    before = (store.path(KEY) / MANIFEST).stat().st_mtime_ns
    fresh(store).put(KEY, write, {"by": "second"})
    assert store.manifest(KEY)["by"] == "first"
    assert (store.path(KEY) / MANIFEST).stat().st_mtime_ns == before
    assert left(store) == [KEY]


def test_keys(store):
    for key in ("ab", "ab.scores.2", "ab.scores.1", "b"):
        store.put(key, write, {})
    (store.root / "objects" / "ab.scores.9.0123abcd.tmp").mkdir()
    assert store.keys("ab.scores.") == ["ab.scores.1", "ab.scores.2"]
    assert store.keys("ab") == ["ab", "ab.scores.1", "ab.scores.2"]
    assert store.keys("c") == []
    assert Store(store.root / "nowhere").keys("a") == []
    assert not Store(store.root / "nowhere").has("ab")


@pytest.mark.parametrize("inside", ["", "cache", "a/b"])
def test_a_folder_that_cannot_be_written(tmp_path, inside):
    taken = tmp_path / "file"
    taken.write_text("not a folder")
    with pytest.raises(UserError) as raised:
        Store.at(taken / inside)
    text = str(raised.value)
    assert text.startswith(f"the cache folder must be writable, found {taken / inside}: ")
    assert text.endswith("(--cache DIR names another)")
    assert taken.read_text() == "not a folder"


def test_pickles_without_what_was_checked(store):
    store.put(KEY, write, {})
    twin = pickle.loads(pickle.dumps(store))
    assert twin == store
    assert twin.has(KEY)
    damage_bit(store.path(KEY))
    assert store.has(KEY)  # checked once per process
    assert not pickle.loads(pickle.dumps(store)).has(KEY)


def test_progress(store):
    assert store.reported(KEY) == 0.0
    store.report(KEY, 0.25)
    assert fresh(store).reported(KEY) == 0.25
    store.unreport(KEY)
    store.unreport(KEY)
    assert store.reported(KEY) == 0.0
    Store(store.root / "nowhere").report(KEY, 0.5)  # no reason to fail


MAKE = """
import sys, time
from pathlib import Path
from benchmark.store import Store

store, made = Store.at(Path(sys.argv[1])), Path(sys.argv[2])

def write(folder):
    with made.open("a") as file:
        file.write("made\\n")
    time.sleep(0.5)
    (folder / "data").write_text("whole")

print("ready", flush=True)
sys.stdin.readline()
with store.lock("key"):
    if not store.has("key"):
        store.put("key", write, {})
print(store.has("key"), (store.path("key") / "data").read_text())
"""


def test_two_processes_make_one_object_once(tmp_path):
    arguments = [sys.executable, "-c", MAKE, str(tmp_path / "cache"), str(tmp_path / "made")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": tmp_path}
    both = [subprocess.Popen(arguments, **pipes) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        assert process.communicate(timeout=30)[0] == "True whole\n"
        assert process.returncode == 0
    assert (tmp_path / "made").read_text() == "made\n"
    assert [path.name for path in (tmp_path / "cache" / "objects").iterdir()] == ["key"]


def age(path, seconds=10**6):
    moment = path.stat().st_mtime - seconds
    os.utime(path, (moment, moment))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "some/file"),
        RuntimeError(f"Error while serializing: I/O error: no room (os error {errno.ENOSPC})"),  # a Rust library's
    ],
)
def test_a_full_disk_is_one_line(store, error):
    def full(folder):
        write(folder)
        raise error

    with pytest.raises(StoreError) as raised:
        store.put(KEY, full, {})
    assert str(raised.value) == (
        f"the cache cannot be written: No space left on device: {store.root} (the same command goes on later)"
    )
    assert store.broken == [str(raised.value)]
    assert left(store) == []
    assert pickle.loads(pickle.dumps(store)).broken == []


def test_an_array_that_numpy_has_not_written_in_full_is_refused(store):
    """On a full disk ``np.save`` says nothing of the last bytes."""

    def short(folder):
        np.save(folder / "data.npy", np.arange(500))
        os.truncate(folder / "data.npy", 4096)

    with pytest.raises(StoreError, match="4096 of 4128 bytes written"):
        store.put(KEY, short, {})
    assert left(store) == []
    for values in (np.arange(500), np.float32(1), np.zeros((0, 3)), np.zeros((3, 2), order="F")):
        store.put(str(values.shape), lambda folder, values=values: np.save(folder / "data.npy", values), {})
    assert len(left(store)) == 4


@pytest.mark.parametrize(("number", "fails"), [(errno.EIO, True), (errno.ENOSPC, True), (errno.EINVAL, False)])
def test_what_cannot_be_synced_is_not_kept(store, monkeypatch, number, fails):
    """But for file systems that cannot sync at all."""

    def sync(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", sync)
    if fails:
        with pytest.raises(StoreError):
            store.put(KEY, write, {})
    else:
        store.put(KEY, write, {})
    assert left(store) == [] if fails else [KEY]


def test_a_corrupt_object_makes_way_for_a_new_one(store, capsys):
    store.put(KEY, write, {"by": "first"})
    damage_bit(store.path(KEY))
    fresh(store).put(KEY, write, {"by": "second"})
    assert "is corrupt" in capsys.readouterr().err
    assert fresh(store).has(KEY)
    assert fresh(store).manifest(KEY)["by"] == "second"


def test_what_somebody_else_has_mended_stays(store, monkeypatch):
    """Found corrupt; but when its turn comes, another run has dropped it and made it again."""
    store.put(KEY, write, {})
    found = iter(["checksum of data.npy", None])
    monkeypatch.setattr("benchmark.store.fault", lambda folder: next(found))
    assert fresh(store).has(KEY)
    assert left(store) == [KEY]


def test_every_bit_of_a_manifest_counts(store):
    store.put(KEY, write, {"kind": "training", "cost": {"seconds": 1.5}})
    path = store.path(KEY) / MANIFEST
    whole = path.read_bytes()
    assert json.loads(whole)["sha256"] == hashlib.sha256(whole[78:]).hexdigest()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        assert fault(store.path(KEY)), place
    path.write_bytes(whole)
    assert fault(store.path(KEY)) is None


def test_the_dead_are_swept_away_and_the_living_are_not(store):
    store.put(KEY, write, {})
    (store.root / "objects" / "dead.0123abcd.tmp").mkdir()
    (store.root / "locks" / "dead.lock").touch()
    for name in ("dead", "dead.new", "live"):
        (store.root / "progress" / name).write_text("0.5")
    for name in (KEY, "live"):  # of a training that is done, and of one that is not
        (store.root / "checkpoints" / name).mkdir(parents=True)

    def during(folder):
        with store.lock("live"):
            assert len(store.sweep(remove=False)) == 5
            swept = {path.relative_to(store.root).as_posix() for path in Store.at(store.root).sweep()}
            assert swept == set()  # ``at`` has swept
        write(folder)

    store.put("other", during, {})
    assert left(store) == [KEY, "other"]
    assert sorted(path.name for path in (store.root / "progress").iterdir()) == ["live"]
    assert sorted(path.name for path in (store.root / "checkpoints").iterdir()) == ["live"]
    assert [path.name for path in (store.root / "locks").iterdir()] == [IN_USE]


def test_to_look_is_to_use(store):
    store.put(KEY, write, {})
    age(store.path(KEY))
    before = store.path(KEY).stat().st_mtime
    fresh(store).keys("k")
    assert store.path(KEY).stat().st_mtime == before
    assert fresh(store).has(KEY)
    assert store.path(KEY).stat().st_mtime > before + 10**5


def test_a_dropped_object_is_gone(store):
    store.put(KEY, write, {})
    store.drop(KEY)
    store.drop(KEY)
    assert not store.has(KEY)
    assert left(store) == []
