"""``validate`` of a task with a name: what its own corpus says is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.data_report import check_task
from benchmark.errors import UserError
from tasks.base import Access, Corpus, DataError, Example, Task, TaskSpec
from tasks.languages import language


class Named(Task):
    """A task with a name, of whose corpus a test can say what it is."""

    name = "named"

    def __init__(self, found: dict[str, list[Example] | DataError], source: str = "folder") -> None:
        self.found, self.source = found, source

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(name="named", version=1, kind="text", labels=("x", "y"), metric="accuracy", description="",
                        homepage="", licence="", citation="")  # fmt: skip

    def languages(self):
        return tuple(language(code) for code in ("deu", "orm", "swa"))

    def targets_only(self):
        return frozenset({language("orm")})

    def open(self, access: Access) -> Corpus:
        found = self.found

        class Opened(Corpus):
            notice = "one folder was left alone"

            def languages(self):
                return (language("deu"), language("orm"))

            def examples(self, language, split):
                rows = found.get(f"{language} {split}", [Example(f"{split} {n}", n % 2) for n in range(600)])
                if isinstance(rows, DataError):
                    raise rows
                return rows

        corpus = Opened()
        corpus.source = self.source
        return corpus


def test_a_task_with_a_name(tmp_path: Path) -> None:
    report = check_task(Named({"orm train": []}), tmp_path)
    assert [one.code for one in report.languages] == ["deu", "orm"]
    assert report.errors == ()
    assert report.warnings == (
        "a run needs at least 3 languages with training data; found 1: deu", "one folder was left alone",
    )  # fmt: skip
    wrong = DataError("deu/dev.tsv, line 3: something")
    report = check_task(Named({"deu dev": wrong, "deu train": [], "orm train": []}), tmp_path)
    assert report.errors == (
        f"{tmp_path}/named, deu, train: at least 1 example is needed; found none",
        "deu/dev.tsv, line 3: something",
    )
    with pytest.raises(UserError, match="validate takes a folder that has named/<language>/, found none in"):
        check_task(Named({}, "hub"), tmp_path)
