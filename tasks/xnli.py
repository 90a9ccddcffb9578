"""`xnli`: does a premise entail a hypothesis, contradict it, or neither? The same pairs in 15 languages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from tasks.base import Access, Corpus, DataError, Example, Source, Split, Task, TaskSpec
from tasks.hub import hub_repository
from tasks.languages import Language, language
from tasks.published import FolderCorpus, PublishedCorpus, index_folder, open_published
from tasks.rows import Rows
from tasks.text_file import TextFile
from tasks.tsv import shown

NAME = "xnli"
LABELS = ("entailment", "neutral", "contradiction")  # the hub's class indices, in this order
HUB_NAME, HUB_COMMIT = "facebook/xnli", "b8dd5d7af51114dbda02c0e3f6133f332186418e"

_CODES = "ar bg de el en es fr hi ru sw th tr ur vi zh"
_PROBED: tuple[str, Split] = ("swa", "dev")


class XNLI(Task):
    """Natural language inference in 15 languages; the training data is machine-translated from English.

    Items are parallel: row k of a split is the same pair of sentences in every language, and called so.
    """

    name: ClassVar[str] = NAME

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(
            name=NAME,
            version=1,
            kind="text-pair",
            labels=LABELS,
            metric="accuracy",
            parallel=True,
            description="Tell whether a premise entails a hypothesis, contradicts it, or neither.",
            homepage="https://github.com/facebookresearch/XNLI",
            licence="CC-BY-NC-4.0",
            citation="Conneau et al. 2018, XNLI: Evaluating Cross-lingual Sentence Representations, EMNLP, "
            "arXiv:1809.05053",
        )

    def languages(self) -> tuple[Language, ...]:
        return tuple(sorted(self.codes().values()))

    def codes(self) -> dict[str, Language]:
        return {code: language(code) for code in _CODES.split()}

    def open(self, access: Access) -> Corpus:
        """The user's folder if it has ``xnli/``, else the hub, else an embedded sample.

        Files have the columns ``premise``, ``hypothesis`` and ``label``; others are left alone.
        """
        index = index_folder(access)

        def read(path: Path, split: Split) -> Rows:
            return TextFile(
                path,
                text="premise",
                pair="hypothesis",
                labels=LABELS,
                item=lambda row: _item(split, row),
                index=index,
                quoted=False,  # as published: a quote is a character of the sentence
            )

        return open_published(
            self,
            access,
            lambda root: FolderCorpus(self, root, read),
            {"the hub": lambda: _Hub(self, access)},
            (language(_PROBED[0]), _PROBED[1]),
        )


def _item(split: Split, row: int) -> str:
    return f"{split}-{row}"


class _Hub(PublishedCorpus):
    source: Source = "hub"

    def __init__(self, task: XNLI, access: Access) -> None:
        super().__init__(task)
        self._codes = {of: code for code, of in task.codes().items()}
        self._repository = hub_repository(HUB_NAME, HUB_COMMIT, access.offline)

    def _open(self, language: Language, split: Split) -> Rows:
        columns = ("premise", "hypothesis", "label")
        rows = self._repository.parquet([self._file(language, split)], columns, _example, "label")
        return _Numbered(rows, split)

    def _where(self, language: Language, split: Split) -> str:
        return f"{self._file(language, split)} of {HUB_NAME}"

    def _file(self, language: Language, split: Split) -> str:
        part = "validation" if split == "dev" else split
        return f"{self._codes[language]}/{part}-00000-of-00001.parquet"


class _Numbered(Rows):
    """Rows that name their items."""

    def __init__(self, rows: Rows, split: Split) -> None:
        self._rows, self._split = rows, split
        self.labels = rows.labels

    def take(self, places: Sequence[int]) -> list[Example]:
        taken = zip(places, self._rows.take(places), strict=True)
        return [replace(each, item=_item(self._split, int(row))) for row, each in taken]

    def __iter__(self) -> Iterator[Example]:
        return (replace(each, item=_item(self._split, row)) for row, each in enumerate(self._rows))


def _example(row: Mapping[str, Any], where: str) -> Example:
    """A pair. That a translation is empty is how it was published, and nothing a user could mend."""
    premise, hypothesis, label = row["premise"], row["hypothesis"], row["label"]
    if not isinstance(premise, str) or not isinstance(hypothesis, str):
        raise DataError(
            f"{where}: a premise and a hypothesis are needed; found {shown(premise)} and {shown(hypothesis)}"
        )
    if not isinstance(label, int) or not 0 <= label < len(LABELS):
        raise DataError(f"{where}: unknown label; allowed: the index of {', '.join(LABELS)}; found {shown(label)}")
    return Example(premise, label, pair=hypothesis)
