"""Looking after a cache: what lies there, what goes, what is kept for those who need it."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from benchmark.cli import command
from benchmark.errors import UserError
from benchmark.inventory import items, shown, size_of
from benchmark.store import IN_USE, MANIFEST, Store
from benchmark.upkeep import seconds
from leaderboard.locks import shared, unmark

DAY = 86400.0


def job(task, languages, model, **more):
    data = [[code, f"tokens-{code}"] for code in languages]
    return {"task": task, "data": data, "dev": [], "model_digest": model, "seed": 0, "strategy": "plain", **more}


def of(size):
    return lambda folder: (folder / "content").write_bytes(bytes(size))


@pytest.fixture
def store(tmp_path):
    """Two trainings of one task, one of another, and all that goes with them."""
    store = Store(tmp_path / "cache")
    for part in ("objects", "locks", "progress"):
        (store.root / part).mkdir(parents=True)
    put = store.put
    put("names1", of(1000), {"kind": "training", "job": job("cldr-names@1", ["deu"], "model1")})
    put("names2", of(2000), {"kind": "training", "job": job("cldr-names[classes=3]@1", ["deu", "nld"], "model1")})
    put("tweets", of(4000), {"kind": "training", "job": job("afrisenti@1", ["hau"], "model2", strategy="pcgrad")})
    put(
        "names1.predictions.1",
        of(10),
        {"kind": "predictions", "training": "names1", "sets": [["test", "tokens-test"]]},
    )
    reading = {"kind": "gradients", "pools": [["deu", "tokens-pool"]]}
    put("tweets.reading.1", of(20), {"kind": "reading", "training": "tweets", "reading": reading})
    shots = {"language": "swa", "k": 16, "support": "tokens-swa", "test": "tokens-swa-test"}
    put("tweets.shots.1", of(30), {"kind": "shots", "training": "tweets", "shots": shots})
    put("alone.predictions.1", of(40), {"kind": "predictions", "training": "alone", "sets": []})
    put("derived", of(50), {"kind": "reading", "reading": "weights"})
    for name in ("deu", "hau", "nld", "pool", "swa", "swa-test", "test"):
        put(f"tokens-{name}", of(100), {"kind": "tokens", "examples": 5})
    put("model1", of(500), {"kind": "scratch model", "seed": 0})
    put("model2", of(500), {"kind": "scratch model", "seed": 0})
    for name, content in (("afrisenti/commit/a.tsv", 70), ("index/abc.npy", 80)):
        path = store.root / "downloads" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(content))
    for name in ("names1", "underway"):
        folder = store.root / "checkpoints" / name
        folder.mkdir(parents=True)
        (folder / f"000000010.{hashlib.sha256(bytes(90)).hexdigest()}.safetensors").write_bytes(bytes(90))
    return store


def there(store):
    return {one.key for one in items(store)}


def unused(store, *keys, days):
    for one in items(store):
        if one.key in keys:
            moment = one.used - days * DAY
            os.utime(one.path, (moment, moment))


def told(arguments, store, capsys, code=0):
    assert command(["cache", *arguments, "--cache", str(store.root)]) == code
    return capsys.readouterr()


def test_everything_has_its_kind_task_and_label(store):
    found = {one.key: one for one in items(store) if (one.kind, one.key) != ("checkpoint", "names1")}
    assert {key: (one.kind, one.task, one.label) for key, one in found.items()} == {
        "names1": ("training", "cldr-names@1", "deu (seed 0)"),
        "names2": ("training", "cldr-names[classes=3]@1", "deu+nld (seed 0)"),
        "tweets": ("training", "afrisenti@1", "hau by pcgrad (seed 0)"),
        "names1.predictions.1": ("predictions", "cldr-names@1", "1 sets of deu (seed 0)"),
        "alone.predictions.1": ("predictions", "", "0 sets"),
        "tweets.reading.1": ("reading", "afrisenti@1", "gradients of hau by pcgrad (seed 0)"),
        "derived": ("reading", "", "weights"),
        "tweets.shots.1": ("shots", "afrisenti@1", "swa, 16 shots of hau by pcgrad (seed 0)"),
        "tokens-deu": ("tokens", "", "5 examples"),  # of two tasks
        "tokens-hau": ("tokens", "afrisenti@1", "5 examples"),
        "tokens-nld": ("tokens", "cldr-names[classes=3]@1", "5 examples"),
        "tokens-pool": ("tokens", "afrisenti@1", "5 examples"),
        "tokens-swa": ("tokens", "afrisenti@1", "5 examples"),
        "tokens-swa-test": ("tokens", "afrisenti@1", "5 examples"),
        "tokens-test": ("tokens", "cldr-names@1", "5 examples"),
        "model1": ("scratch model", "", "seed 0"),  # of two tasks
        "model2": ("scratch model", "afrisenti@1", "seed 0"),
        "underway": ("checkpoint", "", "of a training that is not done"),
        "a.tsv": ("download", "afrisenti", "a.tsv"),
        "abc.npy": ("index", "", "abc.npy"),
    }
    assert found["names2"].size == 2000 + (store.path("names2") / MANIFEST).stat().st_size
    assert size_of(store.root / "nowhere") == 0


def test_list(store, capsys):
    found = json.loads(told(["list", "--json"], store, capsys).out)
    assert len(found) == 21
    assert {"kind": "checkpoint", "key": "underway"}.items() <= next(
        one for one in found if one["key"] == "underway"
    ).items()
    lines = told(["list"], store, capsys).out.splitlines()
    row = next(line for line in lines if line.startswith("training") and "afrisenti" in line)
    assert row.split()[:3] == ["training", "afrisenti@1", "1"]
    assert lines[-1].startswith("21 in all, ")


def test_prune_takes_what_the_dead_have_left_and_no_more(store, capsys):
    before = there(store)
    (store.root / "objects" / "dead.0123abcd.tmp").mkdir()
    (store.root / "objects" / "dead.0123abcd.tmp" / "half").write_bytes(bytes(3000))
    for name, seconds_ago in ((".a.tsv.0a0a0a0a", 4000), (".b.tsv.0b0b0b0b", 0)):
        path = store.root / "downloads" / "afrisenti" / name
        path.write_bytes(bytes(100))
        os.utime(path, (path.stat().st_mtime - seconds_ago,) * 2)
    said = told(["prune", "--dry-run"], store, capsys).out
    assert said == f"would be removed: 3 leftovers; 3.2 kB would be freed in {store.root}\n"
    assert (store.root / "objects" / "dead.0123abcd.tmp").exists()
    said = told(["prune"], store, capsys).out
    assert said == f"removed: 3 leftovers; 3.2 kB freed in {store.root}\n"
    assert not (store.root / "objects" / "dead.0123abcd.tmp").exists()
    assert not (store.root / "checkpoints" / "names1").exists()  # its training is done
    assert [path.name for path in (store.root / "downloads").rglob(".*")] == [".b.tsv.0b0b0b0b"]
    assert there(store) == before
    assert told(["prune"], store, capsys).out.startswith("removed: 0 leftovers; 0 B freed")


def test_prune_by_age(store, capsys):
    unused(store, "tweets", "tokens-hau", "underway", "a.tsv", days=40)
    unused(store, "names1", days=20)
    before = there(store)
    said = told(["prune", "--older-than", "30d", "--dry-run"], store, capsys).out
    assert "1 training, 1 tokens, 1 checkpoint, 1 download" in said
    assert there(store) == before
    told(["prune", "--older-than", "30d"], store, capsys)
    assert before - there(store) == {"tweets", "tokens-hau", "underway", "a.tsv"}


def test_prune_of_a_task_leaves_what_others_share(store, capsys):
    before = there(store)
    told(["prune", "--task", "cldr-names"], store, capsys)
    assert before - there(store) == {"names1", "names2", "names1.predictions.1", "tokens-nld", "tokens-test"}
    told(["prune", "-t", "afrisenti", "--older-than", "1h"], store, capsys)
    assert "tweets" in there(store)
    told(["prune", "-t", "afrisenti"], store, capsys)
    assert not any("afrisenti" in one.task for one in items(store))


def test_prune_all(store, capsys):
    told(["prune", "--all"], store, capsys)
    assert there(store) == set()
    assert sorted(path.name for path in store.root.iterdir()) == [
        *("checkpoints", "downloads", "locks", "objects", "progress"),
    ]


def test_prune_beside_a_run_takes_nothing_that_it_may_need(store, capsys):
    before = there(store)
    held = shared(store.root / "locks" / IN_USE)
    (store.root / "objects" / "dead.0123abcd.tmp").mkdir()
    said = told(["prune", "--all"], store, capsys, code=1)
    assert said.err == ("a run is using the cache: 20 objects stay until it is done; the same command goes on\n")
    assert there(store) == before
    assert not (store.root / "objects" / "dead.0123abcd.tmp").exists()
    unmark(held)
    told(["prune", "--all"], store, capsys)
    assert there(store) == set()


def test_what_is_being_made_stays(store, capsys):
    with store.lock("names2"):
        told(["prune", "--all"], store, capsys)
    assert there(store) == {"names2"}


def test_verify(store, capsys):
    assert told(["verify"], store, capsys).out.startswith("21 whole, 0 corrupt and dropped; ")
    (store.path("tweets") / "content").write_bytes(bytes(3999) + b"\1")
    (store.path("model1") / MANIFEST).write_bytes(b"{}")
    checkpoint = next((store.root / "checkpoints" / "underway").iterdir())
    checkpoint.write_bytes(bytes(89))
    said = told(["verify"], store, capsys, code=1).out
    assert "training hau by pcgrad (seed 0) (tweets…): checksum of content\n" in said
    assert f"– – (model1…): checksum of {MANIFEST}\n" in said
    assert "checkpoint of a training that is not done (underway…): its checksum\n" in said
    assert "18 whole, 3 corrupt and dropped; " in said
    assert there(store).isdisjoint({"tweets", "model1", "underway"})
    assert told(["verify"], store, capsys).out.startswith("18 whole, 0 corrupt")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prune", "--older-than", "soon"], "--older-than takes hours, days or weeks, as in 12h, 30d or 8w"),
        (["prune", "--all", "--task", "afrisenti"], "--all goes without --older-than and --task"),
        (["prune", "--task", "xnli"], "afrisenti"),
        (["list", "--cache", "nowhere"], "--cache takes a folder that runs have used"),
    ],
)
def test_a_mistake_is_one_line(store, capsys, arguments, said):
    given = arguments if "--cache" in arguments else [*arguments, "--cache", str(store.root)]
    assert command(["cache", *given]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("text", "expected"), [("12h", 43200), ("30d", 30 * DAY), ("8w", 56 * DAY), ("0d", 0)])
def test_ages(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "d", "-1d", "1.5d", "30", "30 d", "³d", "1y"])
def test_no_ages(text):
    with pytest.raises(UserError):
        seconds(text)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456, "123 kB"), (2 * 10**12, "2.0 TB")]
)
def test_sizes(size, text):
    assert shown(size) == text
