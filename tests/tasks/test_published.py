"""What WikiAnn, XNLI, UDPOS and AfriSenti have in common: where data comes from, and what can be wrong there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks import published
from tasks.afrisenti import AfriSenti
from tasks.base import SPLITS, Access, DataError, Split, Task
from tasks.languages import find, language
from tasks.udpos import UDPOS
from tasks.wikiann import WikiAnn
from tasks.xnli import XNLI

DATA = Path(os.environ.get("KINSHIP_DATA", "/nowhere"))
TASKS: tuple[Task, ...] = (AfriSenti(), WikiAnn(), XNLI(), UDPOS())
TEXT = {
    "afrisenti": "tweet\tlabel\nmina\tpositive\n",
    "wikiann": "mina\tB-PER\nwena\tO\n\nyena\tO\n",
    "xnli": "premise\thypothesis\tlabel\tgenre\nmina\twena\tneutral\tletters\n",
    "udpos": "mina\tPRON\n.\tPUNCT\n",
}
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda each: each.name)


def lay_out(root: Path, task: Task, *folders: str, text: str | None = None) -> Access:
    for folder in folders:
        for split in SPLITS:
            path = root / task.name / folder / f"{split}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((TEXT[task.name] if text is None else text).encode())
    return Access(data=root)


@every_task
class TestDeclaration:
    def test_every_language_is_found_by_every_code_it_has(self, task: Task) -> None:
        languages = task.languages()
        assert list(languages) == sorted(set(languages))
        for each in languages:
            assert find(each.code, languages, task.codes()) == each
        for code, each in task.codes().items():
            assert find(code, languages, task.codes()) == each
            assert each in languages
        assert task.targets_only() <= set(languages)

    def test_default_languages(self, task: Task) -> None:
        default = task.default_languages()
        assert 12 <= len(default) <= 20
        assert set(default) <= set(task.languages())
        assert len({each.script for each in default}) >= 3

    @pytest.mark.skipif(not DATA.is_dir(), reason="KINSHIP_DATA names no folder")
    def test_the_folder_has_the_default_languages(self, task: Task) -> None:
        corpus = task.open(Access(data=DATA, offline=True))
        has = corpus.languages()
        assert has is not None
        assert set(task.default_languages()) <= set(has)
        assert corpus.notice is None

    def test_the_declaration_is_whole(self, task: Task) -> None:
        spec = task.spec
        assert spec.name == task.name
        assert spec.homepage.startswith("https://")
        assert all((spec.description, spec.licence, spec.citation))


@every_task
@pytest.mark.usefixtures("clean_environment")
class TestFolder:
    def test_named_by_the_tasks_code_or_by_any_other(self, task: Task, tmp_path: Path) -> None:
        code = {"udpos": "vi_vtb", "afrisenti": "swa"}.get(task.name, "vi")
        other = {"afrisenti": ["sw", "swh", "Swahili"]}.get(task.name, ["vie", "VI", "vi-Latn", "Vietnamese"])
        meant = find(code, task.languages(), task.codes())
        for number, name in enumerate([code, *other]):
            corpus = task.open(lay_out(tmp_path / str(number), task, name))
            assert corpus.source == "folder"
            assert corpus.languages() == (meant,)
            for split in SPLITS:
                assert len(corpus.examples(meant, split)) == 1 + (task.name == "wikiann")

    def test_opened_when_asked_for_and_once(self, task: Task, tmp_path: Path) -> None:
        code = {"afrisenti": "hau"}.get(task.name, "tur")
        corpus = task.open(lay_out(tmp_path, task, code))
        (tmp_path / task.name / code / "test.tsv").unlink()
        assert corpus.examples(language(code), "dev") is corpus.examples(language(code), "dev")

    def test_two_folders_of_one_language(self, task: Task, tmp_path: Path) -> None:
        both = {"afrisenti": ("ha", "hau")}.get(task.name, ("tr", "tur"))
        with pytest.raises(DataError, match=rf"found {both[0]}/ and {both[1]}/, both \w+ \({both[1]}\)"):
            task.open(lay_out(tmp_path, task, *both))

    def test_unknown_folders_are_told_and_left_alone(self, task: Task, tmp_path: Path) -> None:
        known = {"afrisenti": "hau"}.get(task.name, "tur")
        access = lay_out(tmp_path, task, known, "scratch", ".git")
        (tmp_path / task.name / "README.md").write_text("about")
        corpus = task.open(access)
        assert [each.code for each in corpus.languages() or ()] == [known]
        assert corpus.notice is not None
        assert "ignored scratch/ (unknown language 'scratch'" in corpus.notice
        assert "README" not in corpus.notice
        assert ".git" not in corpus.notice
        assert "\n" not in corpus.notice

    def test_no_language_at_all_is_an_error_and_no_sample(self, task: Task, tmp_path: Path, web: Any) -> None:
        (tmp_path / task.name / "scratch").mkdir(parents=True)
        with pytest.raises(DataError, match=r"a folder for each language is needed.*found scratch/"):
            task.open(Access(data=tmp_path))
        assert web.asked == []

    @pytest.mark.parametrize("split", SPLITS)
    def test_missing_empty_and_broken_files(self, task: Task, tmp_path: Path, split: Split) -> None:
        code = {"afrisenti": "hau"}.get(task.name, "tur")
        path = tmp_path / task.name / code / f"{split}.tsv"
        header = TEXT[task.name].split("\n")[0] if task.spec.kind != "tagged" else ""
        for content, found in (
            (None, "no data file .*; a file of this name is needed"),
            (header, "at least 1 example is needed; found none"),
            ("broken\n", "line 1: "),
            (TEXT[task.name].replace("wena", "").replace("mina", " "), "line [12]: "),
        ):
            access = lay_out(tmp_path, task, code)
            path.unlink()
            if content is not None:
                path.write_text(content)
            with pytest.raises(DataError, match=found) as caught:
                task.open(access).examples(language(code), split)
            assert str(path) in str(caught.value)
            assert "\n" not in str(caught.value)
            path.write_text(TEXT[task.name])

    def test_a_language_that_is_not_there(self, task: Task, tmp_path: Path) -> None:
        code, other = ("hau", "yor") if task.name == "afrisenti" else ("tur", "vie")
        corpus = task.open(lay_out(tmp_path, task, code))
        with pytest.raises(DataError, match=f"has no folder of .*; allowed: {code}; found none of {other}"):
            corpus.examples(language(other), "dev")
        with pytest.raises(DataError, match=rf"{task.name} has no Klingon; allowed: .*; found tlh"):
            corpus.examples(language("tlh"), "dev")

    def test_what_a_pass_has_found_is_kept(self, task: Task, tmp_path: Path) -> None:
        code = {"afrisenti": "hau"}.get(task.name, "tur")
        access = Access(data=lay_out(tmp_path, task, code).data, cache=tmp_path / "cache")
        for _ in range(2):
            task.open(access).examples(language(code), "dev")
            assert len(list((tmp_path / "cache" / "index").iterdir())) == 1


@every_task
@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("given", [False, True])
class TestNoSource:
    """A folder without the task is passed over, and told; then the network; then the sample, or an error."""

    def test_the_sample(
        self, task: Task, offline: bool, given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def sample(name: str, tried: Sequence[str]) -> object:
            asked.append((name, tried))
            return "the sample"

        monkeypatch.setattr(published, "sample", sample)
        access = Access(data=tmp_path if given else None, cache=tmp_path / "cache", offline=offline)
        assert task.open(access) == "the sample"
        ((name, tried),) = asked
        assert name == task.name
        assert ("folder: no " in tried[0]) == given
        assert tried[-1].startswith("the hub: ")
        assert len(tried) == given + (2 if task.name == "afrisenti" else 1)
        assert any("offline" in each for each in tried) == offline

    def test_an_error(
        self, task: Task, offline: bool, given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(published, "sample", lambda name, tried: None)
        with pytest.raises(DataError) as caught:
            task.open(Access(data=tmp_path if given else None, cache=tmp_path / "cache", offline=offline))
        message = str(caught.value)
        assert message.startswith(f"no data for {task.name}; allowed: a data folder with {task.name}/<language>/")
        assert "\n" not in message
        assert ("tried: folder: no " in message) == given
        assert "the hub: " in message
