"""docs/your-own-data.md: its files are written, its commands run, its messages seen."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.cli import command
from benchmark.validate import validate
from tasks.local_declaration import declaration
from tasks.local_files import opened

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-data.md").read_text("utf8")
TASK = Path("my-task")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the page's Python writes, with the page's task.yaml."""
    folder = tmp_path_factory.mktemp("page")
    [source], [declared] = blocks("python"), blocks("yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(source, "your-own-data.md", "exec"), {})
    (folder / TASK / "task.yaml").write_text(declared, "utf8")
    return folder


@pytest.fixture
def here(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(written / TASK, tmp_path / TASK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KINSHIP_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_folder_is_laid_out_as_shown(here: Path) -> None:
    shown = re.findall(r"── (\S+?)/?$", blocks("text")[0], re.MULTILINE)
    assert set(shown) - {"…"} == {"task.yaml", "deu", "nl", "platt", "train.tsv", "dev.tsv", "test.tsv"}
    assert {path.name for path in TASK.rglob("*")} == set(shown) - {"…"}


def test_every_command_of_the_page_works(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert [line.split()[3] for line in lines] == ["validate", "show", "run"]
    printed = {}
    for line in lines:
        assert line.startswith("python -m benchmark ")
        arguments = shlex.split(line)[3:]
        assert command([*arguments, "--jobs", "1"] if arguments[0] == "run" else arguments) == 0
        printed[arguments[0]] = capsys.readouterr().out
    assert printed["validate"] == blocks("text")[1]
    assert "licence: CC-BY-4.0" in printed["show"]
    assert "nds Low German" in printed["show"]
    assert list(Path("results/my-task").glob("*/overlap-*.json"))


def test_the_data_files_of_the_page_can_be_read(here: Path) -> None:
    texts, tags = blocks("tsv")
    [declared] = blocks("yaml")
    (here / "texts.tsv").write_text(texts, "utf8")
    rows = opened(declaration(declared.encode(), "task.yaml"), here / "texts.tsv", "train")
    assert [(row.text, row.label) for row in rows] == [("Der Film war gut .", 0), ("Ein müder Film .", 1)]
    (here / "tags.tsv").write_text(tags, "utf8")
    ner = b"name: ner\nkind: tagged\nlabels: [O, B-PER, I-PER, B-LOC, I-LOC]\nmetric: span_f1\n"
    rows = opened(declaration(ner, "task.yaml"), here / "tags.tsv", "train")
    assert [row.text for row in rows] == ["Anna Seghers lebte in Mainz", "Mainz liegt am Rhein"]


def test_the_keys_of_the_page_are_all_there_are() -> None:
    with pytest.raises(Exception, match="unknown key 'x'; allowed: ") as caught:
        declaration(b"x: y", "task.yaml")
    allowed = str(caught.value).partition("allowed: ")[2].split(", ")
    told = [re.findall("`([a-z]+)`", row) for row in re.findall(r"^\| (`[a-z`, ]+`) \| ", PAGE, re.MULTILINE)]
    assert [key for row in told for key in row] == [*allowed[:7], "licence", "description", "homepage", "citation"]
    assert set(allowed) == {key for row in told for key in row}


def change(path: str, *replaced: tuple[str, str], encoding: str = "utf-8") -> None:
    text = (TASK / path).read_text("utf8")
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new, 1)
    (TASK / path).write_text(text, encoding)


# What has to be done for each of the page's messages, in its order.
MISTAKES: list[Callable[[], object]] = [
    lambda: change("task.yaml", ("positive, negative", "yes, no")),
    lambda: (TASK / "deu").rename(TASK / "deutsch"),
    lambda: shutil.copytree(TASK / "nl", TASK / "nld"),
    lambda: (TASK / "deu" / "test.tsv").unlink(),
    lambda: change("deu/train.tsv", ("review\topinion", "text\tlabel")),
    lambda: change("deu/train.tsv", ("negative\n", "negative\nzweite Zeile\n")),
    lambda: change("deu/train.tsv", ("negative", "Positive")),
    lambda: change("deu/train.tsv", ("\topinion\n", "\topinion\nmüde\tpositive\n"), encoding="latin-1"),
    lambda: (TASK / "deu" / "dev.tsv").write_text("review\topinion\n"),
]
MESSAGES = re.findall(r"^\| `(my-task/.*?)` \| ", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("message", "mistake"), list(zip(MESSAGES, MISTAKES, strict=True)))
def test_every_message_of_the_page_is_what_is_told(
    here: Path, capsys: pytest.CaptureFixture[str], message: str, mistake: Callable[[], object]
) -> None:
    mistake()
    assert validate("./my-task", None, False) == 1
    told = [line[2:] for line in capsys.readouterr().out.splitlines() if line.startswith("✗ ")]
    start, more, _ = message.partition("…")
    assert [line for line in told if line == message or (more and line.startswith(start))], told
