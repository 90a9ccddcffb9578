"""What a person is told of this machine, and what of it must be mended."""

from __future__ import annotations

import json
import shutil

import pytest

from benchmark import diagnosis, memory
from benchmark.cli import command
from benchmark.store import Store

NAMES = ["versions", "processor", "device", "memory", "disk", "cache", "data", "hub", "GitHub", "plugins"]


@pytest.fixture
def doctor(clean_environment, tmp_path, capsys):
    """What ``doctor`` finds, by name; a cache that is not there yet, and no network, unless said otherwise."""

    def ask(*more, code=0, cache=tmp_path / "cache"):
        assert command(["doctor", "--json", "--cache", str(cache), *more]) == code
        said = capsys.readouterr()
        assert said.err == ""
        found = json.loads(said.out)
        assert [one["name"] for one in found] == NAMES
        return {one["name"]: one for one in found}

    return ask


def test_a_machine_where_all_is_well(doctor, tmp_path):
    found = doctor("--offline")
    assert all(one["ok"] for one in found.values())
    assert found["versions"]["versions"].keys() > {"python", "torch", "transformers", "kinship-bench"}
    assert found["versions"]["unmet"] == []
    assert found["processor"]["cores"] >= 1
    assert found["memory"]["available"] == pytest.approx(memory.available(), rel=0.5)
    assert found["disk"]["free"] == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.5)
    assert found["cache"]["counts"] == {}
    assert found["hub"]["reached"] is None
    assert found["hub"]["said"] == "not tried (--offline)"
    assert list(tmp_path.iterdir()) == []  # to look is to leave nothing


def test_for_a_person(clean_environment, tmp_path, capsys):
    assert command(["doctor", "--offline", "--cache", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == NAMES
    assert {line[0] for line in lines} <= {"✓", "–"}


def test_a_cache_with_this_and_that(doctor, tmp_path):
    store = Store(tmp_path / "cache")
    for part in ("objects", "locks", "progress"):
        (store.root / part).mkdir(parents=True)
    for key in ("one", "two"):
        store.put(key, lambda folder: (folder / "content").write_bytes(bytes(500)), {"kind": "tokens"})
    (store.path("two") / "content").write_bytes(bytes(499))
    (store.root / "locks" / "dead.lock").touch()
    (store.root / "objects" / "dead.0123abcd.tmp").mkdir()
    found = doctor("--offline")["cache"]
    assert found["ok"]  # the next run mends it
    assert found["counts"] == {"tokens": 2}
    assert found["corrupt"] == ["two"]
    assert (found["leftovers"], found["stale_locks"], found["in_use"]) == (1, 1, False)
    assert found["bytes"] > 999
    assert "1 corrupt (python -m benchmark cache verify drops them); 2 leftovers" in found["said"]
    assert store.path("two").is_dir()  # it has only looked


def test_a_cache_that_cannot_be_written(doctor, tmp_path):
    (tmp_path / "file").touch()
    found = doctor("--offline", code=1, cache=tmp_path / "file")["cache"]
    assert not found["ok"]
    assert "cannot be written: Not a directory (--cache DIR" in found["said"]


def test_a_full_disk_and_little_memory(doctor, monkeypatch):
    monkeypatch.setattr(diagnosis.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 0))
    monkeypatch.setattr(memory, "available", lambda: 2**28)
    found = doctor("--offline", code=1)
    assert [name for name, one in found.items() if not one["ok"]] == ["memory", "disk"]
    assert "cache prune makes room" in found["disk"]["said"]


def test_data(doctor, monkeypatch, tmp_path):
    for name in ("afrisenti", "cldr-names", "other"):
        (tmp_path / "data" / name).mkdir(parents=True)
    monkeypatch.setenv("KINSHIP_DATA", str(tmp_path / "data"))
    found = doctor("--offline")["data"]
    assert (found["tasks"], found["others"]) == (["afrisenti", "cldr-names"], ["other"])
    monkeypatch.setenv("KINSHIP_DATA", str(tmp_path / "nowhere"))
    assert "found " + str(tmp_path / "nowhere") in doctor("--offline", code=1)["data"]["said"]


def test_network(doctor, web, closed_port, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", web.url)  # it says 404 to everything, which is an answer
    found = doctor()
    assert (found["hub"]["reached"], found["GitHub"]["reached"]) == (True, False)
    assert found["GitHub"]["said"].startswith(f"{closed_port} cannot be reached: ")
    assert web.asked == ["HEAD /"]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert doctor()["hub"]["said"] == "not tried (HF_HUB_OFFLINE is set)"
    assert web.asked == ["HEAD /"]


def test_a_plugin_that_is_broken(doctor, tmp_path, monkeypatch):
    info = tmp_path / "site" / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[benchmark.measures]\nsound = theirs_sound:One\nbroken = theirs_broken:One\n"
    )
    (tmp_path / "site" / "theirs_sound.py").write_text("print('hello')\nclass One: pass\n")
    (tmp_path / "site" / "theirs_broken.py").write_text("import nothing_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert command(["doctor", "--json", "--offline", "--cache", str(tmp_path / "cache")]) == 1
    found = diagnosis.plugins()
    assert found.ok is False
    assert sorted(found.facts["plugins"]) == ["broken (theirs)", "sound (theirs)"]
    (line,) = found.facts["broken"]
    assert "'broken' from theirs (theirs_broken:One) cannot be loaded: ModuleNotFoundError" in line
