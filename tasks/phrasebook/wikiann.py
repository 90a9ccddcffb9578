"""The phrasebook of `wikiann`: short pieces with names of persons, organisations and places in them.

As in WikiAnn most are titles, lists and captions, so that every name stands in the form it has in a dictionary.
Names of places are those of countries in Unicode CLDR (Babel), read when asked for.
"""

from __future__ import annotations

import itertools
import random
import unicodedata
from collections.abc import Iterator, Sequence

from pydantic import field_validator

from tasks.base import tagged
from tasks.cldr_names import locale_of
from tasks.languages import cldr_data, language
from tasks.phrasebook.book import Candidate, Phrasebook, Text, Words, held_out
from tasks.wikiann import TAGS

SLOTS = {"{person}": "PER", "{organisation}": "ORG", "{place}": "LOC"}
# ISO 3166 codes of countries that an encyclopedia in any language speaks of.
COUNTRIES = (
    "AR AT AU BE BG BR CA CH CL CN CO CU CZ DE DK EG ES FI FR GB GR HU ID IE IL IN IQ IR IT JP KE KR MA MX NL NO "
    "NZ PE PH PK PL PT RO RU SA SE SY TH TN TR TZ UA UG US VN ZA"
)
PIECES = 2500  # drawn for a language, of which the splits take theirs


class WikiannWords(Words):
    """One language: pieces of text with ``{person}``, ``{organisation}`` and ``{place}`` for words of their own,
    and what these are filled with."""

    frames: tuple[Text, ...]
    given: tuple[Text, ...]
    family: tuple[Text, ...]
    organisations: tuple[Text, ...]
    family_first: bool = False

    @field_validator("frames")
    @classmethod
    def _slots(cls, frames: tuple[str, ...]) -> tuple[str, ...]:
        for word in itertools.chain.from_iterable(frame.split() for frame in frames):
            if ("{" in word or "}" in word) and word not in SLOTS:
                raise ValueError(f"the places for words in a frame are {', '.join(SLOTS)}, each a word of its own")
        if any(SLOTS.keys().isdisjoint(frame.split()) for frame in frames):
            raise ValueError("a frame has a place for a word")
        return frames

    @field_validator("given", "family", "organisations")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names) or len(names) < 8:
            raise ValueError("at least 8 names are needed, none of them twice")
        return names


def places(code: str) -> tuple[str, ...]:
    """What the language calls :data:`COUNTRIES`; names of more than three words, or with brackets, dots or
    the like in them, are left out."""
    locale = locale_of(language(code))
    territories = {} if locale is None else cldr_data(locale).get("territories", {})
    names = (territories.get(country, "") for country in COUNTRIES.split())
    return tuple(dict.fromkeys(name for name in names if 1 <= len(name.split()) <= 3 and _plain(name)))


def _plain(name: str) -> bool:
    return all(each in " -" or unicodedata.category(each)[0] in "LM" for each in name)


def candidates(code: str, words: WikiannWords) -> Iterator[Candidate]:
    """Pieces drawn at random; those with a name that is held out are not for train."""
    names = {"given": words.given, "family": words.family, "ORG": words.organisations, "LOC": places(code)}
    later = {kind: held_out(each, "wikiann", code, kind) for kind, each in names.items()}
    for number in range(PIECES):
        yield _piece(words, names, later, random.Random(f"wikiann/{code}/{number}"))


def _piece(
    words: WikiannWords,
    names: dict[str, tuple[str, ...]],
    later: dict[str, frozenset[str]],
    numbers: random.Random,
) -> Candidate:
    tokens: list[str] = []
    tags: list[int] = []
    used: set[str] = set()
    is_later = False
    for word in _one(words.frames, numbers).split():
        if word not in SLOTS:
            tokens.append(word)
            tags.append(0)
            continue
        kind = SLOTS[word]
        parts = ("given", "family") if kind == "PER" else (kind,)
        drawn = [_one([each for each in names[part] if each not in used], numbers) for part in parts]
        used.update(drawn)
        is_later |= any(name in later[part] for part, name in zip(parts, drawn, strict=True))
        name = " ".join(reversed(drawn) if words.family_first else drawn).split()
        tokens += name
        tags += [TAGS.index(f"B-{kind}"), *[TAGS.index(f"I-{kind}")] * (len(name) - 1)]
    return Candidate(tagged(tokens, tags), is_later)


def _one(among: Sequence[str], numbers: random.Random) -> str:
    return among[int(numbers.random() * len(among))]


BOOK = Phrasebook("wikiann", "WikiAnn", WikiannWords, candidates)
