"""Languages: every usual code in, one value inside (ISO 639-3 and ISO 15924)."""

from __future__ import annotations

import difflib
import functools
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# Scripts of languages that CLDR's likely subtags lack, in some versions or in all of them.
_SCRIPTS = {"arq": "Arab", "ary": "Arab", "pcm": "Latn", "tso": "Latn", "twi": "Latn"}
_UNKNOWN_SCRIPT = "Zzzz"  # ISO 15924: code for uncoded script
_LOCAL_USE = re.compile("q[a-t][a-z]")  # ISO 639-3: never given to a language, free for anybody's own
_LISTED = 25


class UnknownLanguage(ValueError):  # noqa: N818 - reads as a sentence where it is caught
    """A language code that nobody, or not this task, knows. The message is one line."""


@dataclass(frozen=True, order=True)
class Language:
    """A language in a script: ``Language("deu", "Latn", "German")``."""

    iso639_3: str
    script: str
    name: str = field(compare=False)

    @property
    def code(self) -> str:
        """The ISO 639-3 code, the way a language is written everywhere outside."""
        return self.iso639_3

    def __str__(self) -> str:
        return self.code


@functools.cache
def language(code: str, script: str | None = None) -> Language:
    """The language of an ISO 639-1 or ISO 639-3 code.

    ``script`` defaults to the one CLDR holds likeliest for the language, and to ``Zzzz`` where
    nothing is known. The name is CLDR's English one, else that of ISO 639-3. Codes reserved for local
    use (``qaa`` to ``qtz``) are taken as they are: ``Language("qaa", "Zzzz", "Private use qaa")``.

    Raises:
        UnknownLanguage: the code is in neither part of the standard.
    """
    pair = _iso639(code.strip().lower())
    if pair is None:
        raise UnknownLanguage(f"unknown language {code!r}; allowed: an ISO 639-1 or ISO 639-3 code")
    iso639_1, iso639_3, iso_name = pair
    cldr_code = iso639_1 or iso639_3
    name = _english_names().get(cldr_code, iso_name)
    return Language(iso639_3, script or _likely_script(cldr_code, iso639_3), name)


def find(code: str, among: Iterable[Language], aliases: Mapping[str, Language] | None = None) -> Language:
    """The language that a user meant, out of ``among`` (a task's languages).

    Taken, whatever their case: ISO 639-3, ISO 639-1, and the codes of ``aliases`` (the task's own names).

    Raises:
        UnknownLanguage: none of them fits; the message suggests what may have been meant.
    """
    languages = {each.code: each for each in among}
    own = {alias.lower(): each for alias, each in (aliases or {}).items()}
    typed = code.strip().lower()
    if typed in own and own[typed].code in languages:
        return languages[own[typed].code]
    if typed in languages:
        return languages[typed]
    standard = _iso639(typed)
    if standard is not None and standard[1] in languages:
        return languages[standard[1]]
    raise UnknownLanguage(_unknown(code, typed, languages, own))


def _unknown(code: str, typed: str, languages: Mapping[str, Language], own: Mapping[str, Language]) -> str:
    candidates = {name: each.code for name, each in own.items() if each.code in languages}
    candidates |= {each.name.lower(): each.code for each in languages.values()}
    candidates |= {each: each for each in languages}
    close = difflib.get_close_matches(typed, candidates, n=3, cutoff=0.6)
    suggestions = list(dict.fromkeys(candidates[each] for each in close))
    message = f"unknown language {code!r}; "
    if suggestions:
        named = [f"{each} ({languages[each].name})" for each in suggestions]
        message += f"did you mean {' or '.join(named)}? "
    allowed = sorted(languages)
    more = f" and {len(allowed) - _LISTED} more" if len(allowed) > _LISTED else ""
    return message + f"allowed: {', '.join(allowed[:_LISTED])}{more}"


@functools.lru_cache(maxsize=4)
def cldr_data(locale: str) -> dict[str, Any]:
    """What CLDR says of one locale itself (``"de"``), without anything inherited from a parent locale.

    Read from Babel's file, not through ``babel.localedata.load``: that caches by name alone, so that a locale
    loaded elsewhere *with* its parents would come back with them.
    """
    from babel.localedata import resolve_locale_filename

    with open(resolve_locale_filename(locale), "rb") as file:
        data: dict[str, Any] = pickle.load(file)  # a file of the installed package, as Babel itself reads it
    return data


@functools.lru_cache(maxsize=1)
def _english_names() -> dict[str, str]:
    names: dict[str, str] = cldr_data("en")["languages"]
    return names


@functools.cache
def _iso639(code: str) -> tuple[str, str, str] | None:
    """ISO 639-1 (or ""), ISO 639-3 and the reference name of a code of either part."""
    if _LOCAL_USE.fullmatch(code):
        return "", code, f"Private use {code}"
    from iso639 import Lang
    from iso639.exceptions import DeprecatedLanguageValue, InvalidLanguageValue

    try:
        found = Lang(code)
    except (InvalidLanguageValue, DeprecatedLanguageValue):
        return None
    # Lang takes names and the codes of other parts too; only these two are unambiguous.
    if not found.pt3 or code not in (found.pt1, found.pt3):
        return None
    return found.pt1, found.pt3, found.name


def _likely_script(cldr_code: str, iso639_3: str) -> str:
    from babel.core import get_global

    likely = get_global("likely_subtags")
    for each in (cldr_code, iso639_3):
        tag = likely.get(each)
        if tag is not None:
            return str(tag).split("_")[1]
    return _SCRIPTS.get(iso639_3, _UNKNOWN_SCRIPT)
