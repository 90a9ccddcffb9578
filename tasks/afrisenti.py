"""`afrisenti`: is a tweet positive, neutral or negative? 14 African languages (AfriSenti-SemEval 2023)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from tasks import sources
from tasks.afrisenti_pins import COMMIT, PINS
from tasks.base import Access, Corpus, DataError, Example, Source, Split, Task, TaskSpec
from tasks.hub import hub_repository
from tasks.languages import Language, language
from tasks.published import FolderCorpus, PublishedCorpus, index_folder, open_published
from tasks.rows import Rows
from tasks.text_file import TextFile
from tasks.tsv import parse_tsv, shown

NAME = "afrisenti"
LABELS = ("positive", "neutral", "negative")  # the hub's class indices, in this order
FILES_URL = f"https://raw.githubusercontent.com/afrisenti-semeval/afrisent-semeval-2023/{COMMIT}/data"
HUB_NAME, HUB_REVISION = "shmuhammad/AfriSenti-twitter-sentiment", "refs/convert/parquet"

_CODES = tuple(sorted(PINS))
_TARGETS_ONLY = ("orm", "tir")
_PROBED: tuple[str, Split] = ("tso", "dev")  # the smallest file shows whether a source can be reached
_PUBLISHED_AS = {"orm": ("orm", "oro")}  # the authors' folder of Oromo has had both names


class AfriSenti(Task):
    """Sentiment of tweets in 14 languages, two of which (Oromo, Tigrinya) are for testing only."""

    name: ClassVar[str] = NAME

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(
            name=NAME,
            version=1,
            kind="text",
            labels=LABELS,
            metric="weighted_f1",
            description="Tell the sentiment of a tweet: positive, neutral or negative.",
            homepage="https://github.com/afrisenti-semeval/afrisent-semeval-2023",
            licence="CC-BY-4.0",
            citation="Muhammad et al. 2023, AfriSenti: A Twitter Sentiment Analysis Benchmark for African "
            "Languages, EMNLP, arXiv:2302.08956",
            paper_model="Davlan/afro-xlmr-large",
        )

    def languages(self) -> tuple[Language, ...]:
        return tuple(language(code) for code in _CODES)

    def targets_only(self) -> frozenset[Language]:
        return frozenset(language(code) for code in _TARGETS_ONLY)

    def open(self, access: Access) -> Corpus:
        """The user's folder if it has ``afrisenti/``, else the authors' files, else the hub, else a sample.

        What comes from the network is fetched when a language and split is first asked for.
        """
        index = index_folder(access)

        def read(path: Path, split: Split) -> Rows:
            return TextFile(path, text="tweet", labels=LABELS, index=index)

        return open_published(
            self,
            access,
            lambda root: FolderCorpus(self, root, read),
            {"the authors' files": lambda: _Files(self, access), "the hub": lambda: _Hub(self, access)},
            (language(_PROBED[0]), _PROBED[1]),
        )


class _Files(PublishedCorpus):
    """The authors' files at one commit. ``KINSHIP_AFRISENTI_URL`` names a mirror of their folder ``data``."""

    source: Source = "files"

    def __init__(self, task: AfriSenti, access: Access) -> None:
        super().__init__(task)
        self._base = (os.environ.get("KINSHIP_AFRISENTI_URL") or FILES_URL).rstrip("/")
        self._cache = None if access.cache is None else access.cache / NAME / COMMIT
        self._offline = access.offline

    def _open(self, language: Language, split: Split) -> Sequence[Example]:
        if self._has_none(language, split):
            return ()
        code = language.code
        kept = None if self._cache is None else sources.folder_file(self._cache, code, split)
        *others, last = _PUBLISHED_AS.get(code, (code,))
        for folder in others:
            try:
                return self._pinned(folder, code, split, kept)
            except sources.NotFound:
                pass
        return self._pinned(last, code, split, kept)

    def _where(self, language: Language, split: Split) -> str:
        return f"{self._base}/{language.code}/{split}.tsv"

    def _pinned(self, folder: str, code: str, split: Split, kept: Path | None) -> Sequence[Example]:
        url = f"{self._base}/{folder}/{split}.tsv"

        def check(content: bytes) -> list[Example]:
            examples = parse_tsv(content, url, "tweet", LABELS)
            found = sources.fingerprint(examples)
            if found != PINS[code][split]:
                raise DataError(
                    f"{url} is not what was published; its content must have the checksum "
                    f"{PINS[code][split][:12]}…; found {found[:12]}…"
                )
            return examples

        return tuple(sources.pinned(url, kept, check, self._offline))


class _Hub(PublishedCorpus):
    source: Source = "hub"

    def __init__(self, task: AfriSenti, access: Access) -> None:
        super().__init__(task)
        self._repository = hub_repository(HUB_NAME, HUB_REVISION, access.offline)

    def _open(self, language: Language, split: Split) -> Sequence[Example]:
        if self._has_none(language, split):
            return ()
        file = self._file(language, split)
        rows = self._repository.rows(file, ("tweet", "label"))
        return tuple(self._example(row, f"{file} of {HUB_NAME}, row {i}") for i, row in enumerate(rows))

    def _where(self, language: Language, split: Split) -> str:
        return f"{self._file(language, split)} of {HUB_NAME}"

    def _file(self, language: Language, split: Split) -> str:
        return f"{language.code}/{'validation' if split == 'dev' else split}/0000.parquet"

    @staticmethod
    def _example(row: dict[str, Any], where: str) -> Example:
        text, label = row["tweet"], row["label"]
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{where}: a text is needed; found {shown(text)}")
        if isinstance(label, str) and label in LABELS:
            return Example(text, LABELS.index(label))
        if isinstance(label, int) and 0 <= label < len(LABELS):
            return Example(text, label)
        raise DataError(
            f"{where}: unknown label; allowed: {', '.join(LABELS)}, or their index; found {shown(label)}"
        )
