"""A task's folder that anybody may have packed: no way out of it, nothing that waits, nothing that is run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.afrisenti import AfriSenti
from tasks.base import Access, DataError
from tasks.languages import Language, UnknownLanguage, find, language
from tasks.local import LocalTask, survey
from tasks.local_declaration import Problems, declaration
from tasks.local_yaml import LARGEST
from tasks.sources import one_line

YAML = b"""name: my-task
kind: text
labels: [good, "bad"]
metric: macro_f1
parallel: no
languages: {deu: de, "x y": nld}
columns: {text: text, label: label}
description: >
  what it is
"""
HEADER = "text\tlabel\n"


def some(count: int) -> settings:
    usual = settings.default.max_examples
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count if usual <= 100 else usual, suppress_health_check=health)


def told(error: Exception) -> None:
    """All that is said of it is lines, and none of them long."""
    for one in getattr(error, "problems", [str(error)]):
        assert "\n" not in one
        assert len(one) < 3000


def packed(root: Path, text: bytes = YAML, codes: tuple[str, ...] = ("deu", "x y")) -> Path:
    root.mkdir()
    (root / "task.yaml").write_bytes(text)
    for code in codes:
        (root / code).mkdir()
        for split in ("train", "dev", "test"):
            (root / code / f"{split}.tsv").write_text(f"{HEADER}a {code} {split}\tgood\nb\tbad\n", "utf8")
    return root


def problems(root: Path) -> list[str]:
    """All that is wrong with a folder, when it is opened and when its files are read."""
    found: list[str] = []
    try:
        task = LocalTask(root)
        corpus = task.open(Access())
        for code in task.languages():
            for split in ("train", "dev", "test"):
                try:
                    list(corpus.examples(code, split))  # type: ignore[arg-type]
                except DataError as error:
                    found.append(str(error))
    except DataError as error:
        found += getattr(error, "problems", [str(error)])
    assert all(len(one) < 3000 and "\n" not in one for one in found)
    return found


@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("deu/train.tsv", os.mkfifo, "a file is needed; found something else"),
        ("deu/train.tsv", os.mkdir, "a file is needed; found something else"),
        ("deu/train.tsv", lambda path: os.symlink("/dev/zero", path), "found a link to /dev/zero"),
        ("deu/train.tsv", lambda path: os.symlink("/etc/hostname", path), "found a link to /etc/hostname"),
        ("deu/train.tsv", lambda path: os.symlink("../../outside.tsv", path), "found a link to "),
        ("deu/train.tsv", lambda path: os.symlink("train.tsv", path), "found a link that leads nowhere"),
        ("deu", lambda path: os.symlink("/etc", path), "found a link to /etc"),
        ("deu", lambda path: os.symlink("..", path), "found a link to "),
        ("task.yaml", os.mkfifo, "a task needs this file"),
        ("task.yaml", lambda path: os.symlink("/dev/zero", path), "found a link to /dev/zero"),
        ("task.yaml", lambda path: os.symlink("../task.yaml", path), "found a link to "),
    ],
)
def test_what_is_no_file_of_the_folder(tmp_path: Path, name: str, make: Any, said: str) -> None:
    root = packed(tmp_path / "task")
    (tmp_path / "outside.tsv").write_text(f"{HEADER}a\tgood\n", "utf8")
    (tmp_path / "task.yaml").write_bytes(YAML)
    assert problems(root) == []
    path = root / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    make(path)
    assert any(said in one for one in problems(root)), problems(root)


def test_links_inside_the_folder_are_files_of_it(tmp_path: Path) -> None:
    root = packed(tmp_path / "task")
    (root / "deu/dev.tsv").unlink()
    (root / "deu/dev.tsv").symlink_to("../x y/dev.tsv")
    assert problems(root) == []


@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path), os.mkdir])
def test_what_is_no_file_in_the_folder_of_a_published_task(tmp_path: Path, make: Any) -> None:
    folder = tmp_path / "afrisenti/hau"
    folder.mkdir(parents=True)
    make(folder / "train.tsv")
    corpus = AfriSenti().open(Access(tmp_path, tmp_path / "cache", offline=True))
    with pytest.raises(DataError, match=r"cannot read .*hau/train\.tsv; .*(ordinary|readable) file is needed"):
        corpus.examples(language("hau"), "train")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("key", ["../deu", "/etc", "deu/../..", "..", ".", "deu\\..", "~", "xy" * 60])
def test_names_of_folders_are_names(tmp_path: Path, key: str) -> None:
    root = packed(tmp_path / "task", YAML.replace(b'"x y"', f'"x y": nld, {key!r}'.encode()))
    found = problems(root)
    assert len(found) == 1
    assert "the name of a folder is needed" in found[0]


def test_names_that_are_no_text_in_any_encoding(tmp_path: Path) -> None:
    root = packed(tmp_path / "task")
    os.makedirs(os.fsencode(root) + b"/\xff\xfe\n")
    (Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe\n")) / "test.tsv").write_text(HEADER)
    with pytest.raises(Problems) as caught:
        LocalTask(root)
    assert any("unknown language" in one for one in caught.value.problems)
    assert all(one_line(one).isprintable() for one in caught.value.problems)


@pytest.mark.usefixtures("no_hang")
def test_thousands_of_languages_without_a_folder(tmp_path: Path) -> None:
    many = ", ".join(f"x{at}yz: deu" for at in range(3000))
    root = packed(tmp_path / "task", YAML.replace(b'{deu: de, "x y": nld}', f"{{{many}}}".encode()), ("deu",))
    for at in range(100):
        (root / f"y{at}zx").mkdir()
    found = problems(root)
    assert len(found) == 13
    assert found[-1].endswith("and 2988 more without a folder")


# Each was, or could be, endless or large somewhere in a reader of YAML; none may take more than moments here.
PATHOLOGICAL = {
    "laughs": "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9 if n else 'lol'}]\n" for n in range(20)),
    "lists": "[" * 10**6,
    "mappings": "{a: " * 10**5,
    "dashes": "- " * 10**5,
    "keys": "? " * 10**5,
    "a long key": "k" * 10**6 + ": 1",
    "a long number": "name: " + "9" * 10**6,
    "sixties": "name: " + "1:" * 10**5 + "1",
    "quotes": "'" * 10**6,
    "escapes": 'name: "' + "\\" * 10**5,
    "many keys": "".join(f"k{at}: v\n" for at in range(11_000)),
    "documents": "---\n" * 10**5,
    "code": "name: !!python/object/apply:os.system ['exit 1']\n",
    "a module": "name: !!python/module:this\n",
    "too large": "a" * (LARGEST + 1),
}


@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize("text", PATHOLOGICAL.values(), ids=PATHOLOGICAL)
def test_yaml_that_grows_or_runs(text: str) -> None:
    with pytest.raises(DataError) as caught:
        declaration(text.encode(), "task.yaml")
    assert len(str(caught.value)) < 2000


@given(data=st.data())
@some(30)
def test_task_yaml_with_broken_bytes(broken: Any, data: st.DataObject) -> None:
    assert declaration(YAML, "task.yaml").spec.name == "my-task"
    bad = data.draw(broken(YAML))
    try:
        declaration(bad, "task.yaml")
    except DataError as error:
        told(error)


VALUES = st.recursive(
    st.sampled_from(
        ["", "~", "1e999", ".nan", "yes", "0x1F", "2001-01-01", "'a'", '"\\x00"', "<<", "=", "|", "a: b"]
    )
    | st.text(st.characters(codec="utf-8"), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda all_of: f"[{', '.join(all_of)}]")
        | st.dictionaries(st.text(max_size=3), inner, max_size=3).map(
            lambda all_of: "{" + ", ".join(f"{key}: {value}" for key, value in all_of.items()) + "}"
        )
    ),
    max_leaves=8,
)
KEYS = ("name", "kind", "labels", "metric", "languages", "columns", "parallel", "description", "licence", "other")


@given(values=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6), keep=st.booleans())
@some(25)
def test_task_yaml_with_other_values(tmp_path: Path, values: dict[str, str], keep: bool) -> None:
    good = {"name": "my-task", "kind": "text", "labels": "[a, b]", "metric": "accuracy"}
    lines = (good if keep else {}) | values
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    root = tmp_path / "task"
    shutil.rmtree(root, ignore_errors=True)
    packed(root, text.encode(), ("deu",))
    before = sorted(tmp_path.rglob("*"))
    try:
        survey(root)
    except DataError as error:
        told(error)
    assert sorted(tmp_path.rglob("*")) == before


LANGUAGES = tuple(map(language, ("deu", "nld", "swa", "twi", "srp", "zho")))


@given(code=st.text(max_size=30) | st.from_regex(r"[a-zA-Z]{2,4}([-_][a-zA-Z0-9]{1,9}){0,4}", fullmatch=True))
@some(40)
def test_names_of_languages(code: str) -> None:
    try:
        assert isinstance(find(code, LANGUAGES, {"dt": LANGUAGES[0]}), Language)
    except UnknownLanguage as error:
        told(error)


@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize(
    "code", ["x" * 10**5, "deu" + "-abcde" * 10**4, "q" * 3, "ß" * 10**4, "\ud800", "\0", "İ"]
)
def test_names_of_languages_that_are_none(code: str) -> None:
    try:
        find(code, LANGUAGES)
    except UnknownLanguage as error:
        told(error)
