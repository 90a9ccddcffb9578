"""`afrisenti`: is a tweet positive, neutral or negative? 14 African languages (AfriSenti-SemEval 2023)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from tasks import sources
from tasks.afrisenti_pins import COMMIT, PINS
from tasks.base import Access, Corpus, DataError, Example, Source, Split, Task, TaskSpec
from tasks.hub import HubRepository, hub_repository
from tasks.languages import Language, language
from tasks.tsv import parse_tsv

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

    def open(self, access: Access) -> AfriSentiCorpus:
        """The user's folder if it has ``afrisenti/``, else the authors' files, else the hub.

        What comes from the network is fetched when a language and split is first asked for.
        """
        root = sources.folder(access, NAME)
        if root is not None:
            return _Folder(root)
        tried = [] if access.data is None else [f"folder: no {NAME}/ in {access.data}"]
        for source in (_Files, _Hub):
            try:
                corpus = source(access)
                corpus.examples(language(_PROBED[0]), _PROBED[1])
                return corpus
            except DataError as error:
                tried.append(f"{source.source}: {error}")
        raise DataError(
            f"no data for {NAME}; allowed: a data folder with {NAME}/<language>/<split>.tsv, the authors' "
            f"files, the hub; tried: {' | '.join(tried)}"
        )


class AfriSentiCorpus(Corpus):
    """The corpus from one of its sources; what was read stays in memory."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, Split], list[Example]] = {}

    def examples(self, language: Language, split: Split) -> list[Example]:
        if language.code not in PINS:
            raise DataError(f"{NAME} has no {language.name}; allowed: {', '.join(_CODES)}; found {language.code}")
        key = language.code, split
        if key not in self._read:
            self._read[key] = self._load(*key)
        return list(self._read[key])

    def _load(self, code: str, split: Split) -> list[Example]:
        raise NotImplementedError


class _Folder(AfriSentiCorpus):
    source: Source = "folder"

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def _load(self, code: str, split: Split) -> list[Example]:
        path = sources.folder_file(self._root, code, split)
        if not path.exists() and _has_none(code, split):
            return []
        return parse_tsv(sources.read(path), str(path), "tweet", LABELS)


class _Files(AfriSentiCorpus):
    """The authors' files at one commit. ``KINSHIP_AFRISENTI_URL`` names a mirror of their folder ``data``."""

    source: Source = "files"

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._base = (os.environ.get("KINSHIP_AFRISENTI_URL") or FILES_URL).rstrip("/")
        self._cache = None if access.cache is None else access.cache / NAME / COMMIT
        self._offline = access.offline

    def _load(self, code: str, split: Split) -> list[Example]:
        if _has_none(code, split):
            return []
        kept = None if self._cache is None else sources.folder_file(self._cache, code, split)
        *others, last = _PUBLISHED_AS.get(code, (code,))
        for folder in others:
            try:
                return self._pinned(folder, code, split, kept)
            except sources.NotFound:
                pass
        return self._pinned(last, code, split, kept)

    def _pinned(self, folder: str, code: str, split: Split, kept: Path | None) -> list[Example]:
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

        return sources.pinned(url, kept, check, self._offline)


class _Hub(AfriSentiCorpus):
    source: Source = "hub"

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._repository: HubRepository = hub_repository(HUB_NAME, HUB_REVISION, access.offline)

    def _load(self, code: str, split: Split) -> list[Example]:
        if _has_none(code, split):
            return []
        file = f"{code}/{'validation' if split == 'dev' else split}/0000.parquet"
        rows = self._repository.rows(file, ("tweet", "label"))
        return [self._example(row, f"{file} of {HUB_NAME}, row {i}") for i, row in enumerate(rows)]

    @staticmethod
    def _example(row: dict[str, Any], where: str) -> Example:
        text, label = row["tweet"], row["label"]
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{where}: a text is needed; found {text!r}")
        if isinstance(label, str) and label in LABELS:
            return Example(text, LABELS.index(label))
        if isinstance(label, int) and 0 <= label < len(LABELS):
            return Example(text, label)
        raise DataError(f"{where}: unknown label; allowed: {', '.join(LABELS)}, or their index; found {label!r}")


def _has_none(code: str, split: Split) -> bool:
    """Two languages were published without training data."""
    return split == "train" and code in _TARGETS_ONLY
