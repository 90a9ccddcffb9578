"""A person's own task: what its folder gives, and what is told where the folder is not as it must be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.base import Access, DataError, Example, tagged
from tasks.languages import language
from tasks.local import LocalTask, survey
from tasks.local_declaration import Problems

TEXT = "name: mine\nkind: text\nlabels: [good, bad]\nmetric: macro_f1\n"
PAIR = "name: mine\nkind: text-pair\nlabels: [good, bad]\nmetric: accuracy\n"
TAGGED = "name: mine\nkind: tagged\nlabels: [O, B-PER, I-PER]\nmetric: span_f1\n"
ROWS = "text\tlabel\nein Haus\tgood\nkein Haus\tbad\n"
DEU = language("deu")


def make(root: Path, declared: str = TEXT, rows: str | bytes = ROWS, **folders: str) -> Path:
    """A task: each folder with the splits that are named for it."""
    root.mkdir(exist_ok=True)
    (root / "task.yaml").write_text(declared, "utf8")
    for name, splits in (folders or {"deu": "train dev test"}).items():
        (root / name).mkdir(exist_ok=True)
        for split in splits.split():
            (root / name / f"{split}.tsv").write_bytes(rows if isinstance(rows, bytes) else rows.encode())
    return root


def told(root: Path) -> tuple[str, ...]:
    """What is wrong with a folder; a task of it is refused with the first."""
    found = survey(root).problems
    assert all("\n" not in each for each in found)
    with pytest.raises(Problems) as caught:
        LocalTask(root)
    assert str(caught.value) == found[0]
    return found


def refused(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        LocalTask(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read(root: Path, split: str = "train", code: str = "deu") -> list[Example]:
    return list(LocalTask(root).open(Access()).examples(language(code), split))  # type: ignore[arg-type]


def test_a_task_of_texts(tmp_path: Path) -> None:
    root = make(tmp_path / "task", nl="train dev test", deu="train dev test", tir="dev test")
    task = LocalTask(root)
    assert task.name == task.spec.name == "mine"
    assert [each.code for each in task.languages()] == ["deu", "nld", "tir"]
    assert task.default_languages() == task.languages()
    assert task.targets_only() == {language("tir")}
    assert task.codes() == {"deu": language("deu"), "nl": language("nld"), "tir": language("tir")}
    corpus = task.open(Access(data=tmp_path / "elsewhere", offline=True))
    assert corpus.source == "folder"
    rows = corpus.examples(language("nld"), "dev")
    assert list(rows) == [Example("ein Haus", 0), Example("kein Haus", 1)]
    assert corpus.examples(language("nld"), "dev") is rows
    assert list(corpus.examples(language("tir"), "train")) == []
    with pytest.raises(DataError, match="has no French; allowed: deu, nld, tir; found fra"):
        corpus.examples(language("fra"), "dev")


def test_pairs_with_columns_of_other_names(tmp_path: Path) -> None:
    declared = PAIR + "columns: {text: premise, pair: hypothesis, label: gold}\nparallel: true\n"
    root = make(tmp_path / "task", declared, "id\tgold\thypothesis\tpremise\n1\tbad\tb\ta\n2\tgood\td\tc\n")
    assert read(root) == [Example("a", 1, "b", "train 1"), Example("c", 0, "d", "train 2")]
    assert [each.item for each in read(root, "dev")] == ["dev 1", "dev 2"]


@pytest.mark.parametrize("parallel", [False, True])
def test_tagged_tokens(tmp_path: Path, parallel: bool) -> None:
    declared = TAGGED + f"parallel: {str(parallel).lower()}\n"
    root = make(tmp_path / "task", declared, "Anna\tB-PER\nlacht\tO\n\nBo\tI-PER\n")
    items = ("test 1", "test 2") if parallel else (None, None)
    expected = [tagged(["Anna", "lacht"], [1, 0], items[0]), tagged(["Bo"], [1], items[1])]  # I- repaired
    rows = LocalTask(root).open(Access()).examples(DEU, "test")
    assert list(rows) == expected
    assert [rows[1], rows[0]] == expected[::-1]


def test_the_index_is_kept_where_downloads_are(tmp_path: Path) -> None:
    root = make(tmp_path / "task")
    before = sorted(path for path in root.rglob("*"))
    LocalTask(root).open(Access(cache=tmp_path / "cache")).examples(DEU, "dev")
    assert len(list((tmp_path / "cache" / "index").iterdir())) == 1
    assert sorted(path for path in root.rglob("*")) == before


@pytest.mark.parametrize(
    ("folder", "declared", "code", "script"),
    [
        ("deu", "", "deu", "Latn"),
        ("de", "", "deu", "Latn"),
        ("srp-Latn", "", "srp", "Latn"),
        ("sr_Cyrl", "", "srp", "Cyrl"),
        ("zh-Hant", "", "zho", "Hant"),
        ("qab", "", "qab", "Zzzz"),
        ("platt", "languages: {platt: nds}", "nds", "Latn"),
        ("platt", "languages: {platt: qaa}", "qaa", "Zzzz"),
        ("serbisch", "languages: {serbisch: srp-Cyrl}", "srp", "Cyrl"),
        ("no", 'languages: {"no": nob}', "nob", "Latn"),
        ("deu", "languages: {deu: gsw}", "gsw", "Latn"),  # what is said comes first
    ],
)
def test_what_a_folder_is_called(tmp_path: Path, folder: str, declared: str, code: str, script: str) -> None:
    [found] = LocalTask(make(tmp_path / "t", TEXT + declared, **{folder: "train dev test"})).languages()
    assert (found.code, found.script) == (code, script)


def test_a_folder_that_nobody_can_explain(tmp_path: Path) -> None:
    [one, other] = told(make(tmp_path / "t", deutsch="train dev test", German="dev test"))
    assert one.endswith(
        "t/German: unknown language 'German' (did you mean deu?); allowed: ISO 639-1, ISO 639-3 or BCP 47, as in "
        'de, deu, srp-Cyrl; or say in task.yaml which language it is, as in languages: {"German": swh} '
        "(qaa to qtz are free for a language without a code)"
    )
    assert "deutsch: unknown language 'deutsch'" in other


@pytest.mark.parametrize(
    ("languages", "wrong"),
    [
        ("{deu: xyz1}", "task.yaml, line 5: languages, 'deu': unknown language 'xyz1'; allowed: ISO 639-1"),
        ("{deu: deu-Xxxx}", "unknown script Xxxx in 'deu-Xxxx'"),
        ("{deu: eml}", "the code 'eml' was split; allowed: egl, rgn"),
        ("{due: deu}", "line 5: languages: the name of a folder is needed; found 'due' (did you mean 'deu'?)"),
        ("{../deu: deu}", "languages: the name of a folder is needed; found '../deu'"),
    ],
)
def test_wrong_explanations(tmp_path: Path, languages: str, wrong: str) -> None:
    assert wrong in told(make(tmp_path / "t", f"{TEXT}languages: {languages}\n"))[0]


def test_a_language_has_one_folder(tmp_path: Path) -> None:
    [one] = told(make(tmp_path / "t", de="dev test", deu="dev test"))
    assert one.endswith("t/deu: a language must have one folder; found de and deu, both deu (German)")


VALIDATION = "test.tsv, train.tsv, validation.tsv"


def test_held_out_files_are_needed(tmp_path: Path) -> None:
    [one, other] = told(make(tmp_path / "t", deu="train dev", nld="train validation test"))
    assert one.endswith("t/deu/test.tsv: every language needs dev.tsv and test.tsv; found dev.tsv, train.tsv")
    assert other.endswith("nld/dev.tsv: every language needs dev.tsv and test.tsv; found " + VALIDATION)


def test_what_is_no_data_is_passed_over(tmp_path: Path) -> None:
    root = make(tmp_path / "t", **{"deu": "dev test", ".git": "dev", "notes": "", "eng": ""})
    (root / "README.md").write_text("x")
    (root / "notes" / "a.txt").write_text("x")
    assert [each.code for each in LocalTask(root).languages()] == ["deu"]
    assert survey(root).ignored == ("eng", "notes")


def test_a_folder_without_languages(tmp_path: Path) -> None:
    root = make(tmp_path / "t", notes="")
    assert told(root) == (
        f"{root}: folders <language>/ with train.tsv, dev.tsv and test.tsv are needed; found notes",
    )


def test_no_folder_and_no_declaration(tmp_path: Path) -> None:
    assert refused(tmp_path / "none").endswith(f"found none at {tmp_path / 'none'}")
    (tmp_path / "file").write_text("x")
    assert "found a file at" in refused(tmp_path / "file")
    (tmp_path / "bare" / "deu").mkdir(parents=True)
    assert refused(tmp_path / "bare").endswith("task.yaml: a task needs this file; found deu")
    (tmp_path / "bare" / "task.yaml").mkdir()
    assert "a task needs this file" in refused(tmp_path / "bare")


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make(tmp_path / "t")
    assert LocalTask("~/t").name == "mine"


def test_no_link_leaves_the_folder(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside", nld="train dev test")
    secret = tmp_path / "secret"
    secret.write_text(ROWS)
    root = make(tmp_path / "t", deu="train dev")
    (root / "deu" / "test.tsv").symlink_to(secret)
    (root / "nld").symlink_to(outside / "nld")
    one, other = told(root)
    assert one == f"{root / 'deu/test.tsv'}: a file or folder inside {root} is needed; found a link to {secret}"
    assert other == f"{root / 'nld'}: a file or folder inside {root} is needed; found a link to {outside / 'nld'}"
    (root / "task.yaml").unlink()
    (root / "task.yaml").symlink_to(outside / "task.yaml")
    assert refused(root).startswith(
        f"{root / 'task.yaml'}: a file or folder inside {root} is needed; found a link to"
    )


def test_links_inside_the_folder_and_to_it_are_followed(tmp_path: Path) -> None:
    root = make(tmp_path / "t", deu="train dev")
    (root / "deu" / "test.tsv").symlink_to("dev.tsv")
    (tmp_path / "link").symlink_to(root)
    assert [each.text for each in read(tmp_path / "link", "test")] == ["ein Haus", "kein Haus"]


def test_links_in_a_circle_and_what_is_no_file(tmp_path: Path) -> None:
    root = make(tmp_path / "t", deu="train")
    (root / "deu" / "test.tsv").symlink_to("test.tsv")
    os.mkfifo(root / "deu" / "dev.tsv")
    one, other = told(root)
    assert one.endswith("deu/dev.tsv: a file is needed; found something else")
    assert "deu/test.tsv: " in other


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: (TEXT + text).encode("utf8", "replace"))
)
def test_any_declaration_is_a_task_or_one_line(tmp_path: Path, data: bytes) -> None:
    root = make(tmp_path / "t")
    (root / "task.yaml").write_bytes(data)
    try:
        message = LocalTask(root).name
    except DataError as error:
        message = str(error)
    assert message
    assert "\n" not in message
    message.encode()
