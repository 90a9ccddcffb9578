"""`cldr-names`: is a name that of a territory, a language, a currency or a script? Embedded: Unicode CLDR."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import unicodedata
from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple

from tasks.base import SPLITS, Access, Corpus, DataError, Example, Source, Split, Task, TaskSpec
from tasks.languages import Language, UnknownLanguage, cldr_data, language

LABELS = ("territory", "language", "currency", "script")
MIN_NAMES = 60  # of each class, for a language to be in the task

_KEYS = {
    "territory": "territories",
    "language": "languages",
    "currency": "currency_names",
    "script": "scripts",
}
# No place, language, currency or script in particular: "unknown", "test", "multiple languages", …
_EXCLUDED = {
    "territory": frozenset({"ZZ", "QO", "XA", "XB"}),
    "language": frozenset({"und", "mul", "zxx", "mis", "root"}),
    "currency": frozenset({"XXX", "XTS"}),
    "script": frozenset({"Zxxx", "Zyyy", "Zzzz", "Zinh", "Zsym", "Zsye", "Zmth", "Qaag"}),
}
_DEFAULT = "eng swe dan nld fra ita pol ces fin est aze tur zul rus ukr bul kaz hin mar ara"


class Name(NamedTuple):
    """What one locale calls one entity; ``label`` indexes :data:`LABELS`."""

    label: int
    code: str
    text: str

    @property
    def item(self) -> str:
        """The entity, the same in every language: ``territory:DE``."""
        return f"{LABELS[self.label]}:{self.code}"


@functools.lru_cache(maxsize=128)
def clean_names(locale: str, classes: int) -> tuple[Name, ...]:
    """A locale's own names in the first ``classes`` classes, by class and then code, without those that are
    no name (digits, the bare code), repeat another, or stand for two classes."""
    labels: dict[str, set[int]] = {}
    first: dict[str, Name] = {}
    for label in range(classes):
        for key, name in _candidates(locale, label):
            labels.setdefault(key, set()).add(label)
            first.setdefault(key, name)
    return tuple(name for key, name in first.items() if len(labels[key]) == 1)


def _candidates(locale: str, label: int) -> Iterator[tuple[str, Name]]:
    """Names, and what tells whether two are the same."""
    kind = LABELS[label]
    for code, text in sorted(cldr_data(locale).get(_KEYS[kind], {}).items()):
        if "_" in code or code in _EXCLUDED[kind] or not isinstance(text, str) or not text.strip():
            continue
        if any(map(str.isdigit, text)) or (key := _key(text)) == code.casefold():
            continue
        yield key, Name(label, code, text)


def _key(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


@functools.cache  # an entity is named in many languages
def digest(item: str) -> int:
    """A number in [0, 2⁶⁴) that depends on the entity alone."""
    return int.from_bytes(hashlib.sha256(item.encode()).digest()[:8], "big")


def split_of(item: str) -> Split:
    """Half of the entities to train, a fifth to dev, the rest to test, whatever the language."""
    percent = digest(item) % 100
    return "train" if percent < 50 else "dev" if percent < 70 else "test"


@functools.lru_cache(maxsize=128)
def _split(locale: str, classes: int) -> dict[Split, list[Name]]:
    """:func:`clean_names` by split."""
    found: dict[Split, list[Name]] = {split: [] for split in SPLITS}
    for name in clean_names(locale, classes):
        found[split_of(name.item)].append(name)
    return found


def balanced(names: Iterable[Name], classes: int) -> list[Name]:
    """As many names of each class as the rarest has, in the order given; which, is decided by hash, so that
    languages keep the same entities as far as they can."""
    of_class: list[list[Name]] = [[] for _ in range(classes)]
    names = list(names)
    for name in names:
        of_class[name.label].append(name)
    fewest = min(map(len, of_class))
    kept = {name for each in of_class for name in sorted(each, key=lambda name: digest(name.item))[:fewest]}
    return [name for name in names if name in kept]


class CldrCorpus(Corpus):
    """The names, read from the installed Babel, one locale at a time."""

    source: Source = "embedded"

    def __init__(self, classes: int) -> None:
        self._classes = classes

    def examples(self, language: Language, split: Split) -> list[Example]:
        locale = locale_of(language)
        if locale is None or not enough(clean_names(locale, self._classes), self._classes):
            raise DataError(
                f"cldr-names has no {language.name} ({language.code}); allowed: languages with {MIN_NAMES} "
                f"names of each of {self._classes} classes in CLDR; found fewer"
            )
        kept = _split(locale, self._classes)[split]
        if split == "train":
            kept = balanced(kept, self._classes)
        return [Example(name.text, name.label, item=name.item) for name in kept]


class CldrNames(Task):
    """Names of territories, languages, currencies and scripts; ``classes=3`` leaves the scripts out."""

    name: ClassVar[str] = "cldr-names"

    def __init__(self, classes: int = 4) -> None:
        if not isinstance(classes, int) or classes not in (3, 4):
            raise ValueError(f"cldr-names: wrong number of classes; allowed: 3, 4; found {classes!r}")
        self.classes = classes

    @property
    def spec(self) -> TaskSpec:
        labels = LABELS[: self.classes]
        return TaskSpec(
            name=self.name,
            version=1,
            kind="text",
            labels=labels,
            metric="macro_f1",
            parallel=True,
            description=(
                f"Tell whether a name is that of a {', '.join(labels[:-1])} or {labels[-1]}, with names from "
                "Unicode CLDR. For trying, testing and scaling the suite: the same entities are named "
                "in every language, so overlap between languages is favoured by construction, and results "
                "are no evidence for or against any measure."
            ),
            homepage="https://cldr.unicode.org",
            licence="Unicode-3.0",
            citation="Unicode Common Locale Data Repository (CLDR), as shipped with Babel",
        )

    def languages(self) -> tuple[Language, ...]:
        return tuple(sorted(by_language(_locales(self.classes))))

    def default_languages(self) -> tuple[Language, ...]:
        """Twenty, family and script crossed."""
        return tuple(language(code) for code in _DEFAULT.split())

    def open(self, access: Access) -> CldrCorpus:
        """Embedded: needs no folder, no cache and no network."""
        return CldrCorpus(self.classes)


def enough(names: Iterable[Name], classes: int) -> bool:
    """Whether each class has its ``MIN_NAMES`` names."""
    counts = [0] * classes
    for name in names:
        counts[name.label] += 1
    return min(counts) >= MIN_NAMES


def by_language(locales: Iterable[str]) -> dict[Language, str]:
    """The locale of each language; locales that ISO 639 does not know are left out, and of two for one
    language the first in the alphabet is taken."""
    found: dict[Language, str] = {}
    for locale in sorted(locales):
        with contextlib.suppress(UnknownLanguage):
            found.setdefault(language(locale), locale)
    return found


def locale_of(of: Language) -> str | None:
    """The CLDR locale of a language (its ISO 639-1 or ISO 639-3 code), or ``None``."""
    return _locale_ids().get(of)


@functools.cache
def _locale_ids() -> dict[Language, str]:
    return by_language(_language_locales())


def _language_locales() -> list[str]:
    from babel.localedata import locale_identifiers

    return [each for each in locale_identifiers() if "_" not in each]


def scan(classes: int) -> tuple[str, ...]:
    """The locales with enough names, sorted, by reading all of them (about a second)."""
    return tuple(sorted(each for each in _language_locales() if enough(clean_names(each, classes), classes)))


@functools.cache
def _locales(classes: int) -> tuple[str, ...]:
    import babel

    from tasks import cldr_locales

    if babel.__version__ == cldr_locales.BABEL:
        return tuple(cldr_locales.LOCALES[classes].split())
    return scan(classes)
