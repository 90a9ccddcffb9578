"""A changed byte or a truncated file in the cache: noticed, dropped with a message, made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.store import MANIFEST, Store, fault

KINDS = ("training", "predictions", "reading", "tokens", "scratch model")


def of_kind(where: Path, kind: str) -> list[Path]:
    """The objects of a kind."""
    manifests = sorted((where / "cache" / "objects").glob(f"*/{MANIFEST}"))
    return [path.parent for path in manifests if json.loads(path.read_bytes())["kind"] == kind]


def damage(path: Path, place: int, change: int, cut: bool) -> None:
    """Change one byte, or cut the file off there."""
    content = bytearray(path.read_bytes())
    content[place] ^= change
    path.write_bytes(content[:place] if cut else content)


@pytest.mark.parametrize("kind", KINDS)
def test_any_byte_of_any_file(kind: str, undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folders = of_kind(undisturbed, kind)
    assert folders
    where = tmp_path_factory.mktemp("damaged")

    @settings(max_examples=40)
    @given(st.data())
    def noticed(data: st.DataObject) -> None:
        store = Store.at(where / "cache")
        folder = data.draw(st.sampled_from(folders), "object")
        copy = store.path(folder.name)
        shutil.copytree(folder, copy)
        assert fault(copy) is None
        path = data.draw(st.sampled_from(sorted(p for p in copy.rglob("*") if p.stat().st_size)), "file")
        place = data.draw(st.integers(0, path.stat().st_size - 1), "place")
        damage(path, place, data.draw(st.integers(1, 255), "change"), data.draw(st.booleans(), "cut"))
        assert not store.has(folder.name)
        assert not copy.exists()
        assert store.sweep() == []

    noticed()


def test_one_of_every_kind_is_made_again(undisturbed: Path, tmp_path: Path) -> None:
    """What the next run cannot trust, it says, and makes again."""
    where = tmp_path / "damaged"
    shutil.copytree(undisturbed, where)
    chosen = [of_kind(where, kind)[0] for kind in KINDS]
    for number, folder in enumerate(chosen):
        files = sorted(
            (path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
        )
        damage(files[-1], files[-1].stat().st_size // 2, 1 << number, cut=number % 2 == 1)
    small.finished(where, "--jobs", "1")
    said = small.told(where)
    for folder in chosen:
        assert f"cache: {folder.name[:12]}… is corrupt (checksum of " in said
        assert fault(folder) is None
    assert list(small.differences(undisturbed, where)) == []
    assert small.left(where) == []
