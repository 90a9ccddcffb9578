"""Languages: every usual code in, one value inside (ISO 639-3 and ISO 15924)."""

from __future__ import annotations

import difflib
import functools
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks import codes_iso
from tasks.codes_iso import iso639, name_key, other_names, parse_tag, relatives, standard

# Scripts of languages that CLDR's likely subtags lack, in some versions or in all of them.
_SCRIPTS = {
    **{"abq": "Cyrl", "arq": "Arab", "ary": "Arab", "gya": "Latn", "oge": "Geor", "pcm": "Latn", "sjo": "Mong"},
    **{"tso": "Latn", "twi": "Latn", "xcl": "Armn"},
}
_UNKNOWN_SCRIPT = "Zzzz"  # ISO 15924: code for uncoded script
_LISTED = 25
_LONGEST = 60  # of what was typed, to be shown


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
    pair = iso639(code.strip().lower())
    if pair is None:
        raise UnknownLanguage(f"unknown language {code!r}; allowed: an ISO 639-1 or ISO 639-3 code")
    iso639_1, iso639_3, iso_name = pair
    cldr_code = iso639_1 or iso639_3
    name = _english_names().get(cldr_code, iso_name)
    return Language(iso639_3, script or _likely_script(cldr_code, iso639_3), name)


def find(code: str, among: Iterable[Language], aliases: Mapping[str, Language] | None = None) -> Language:
    """The language that a user meant, out of ``among`` (a task's languages).

    Taken, whatever their case and in this order: the codes of ``aliases`` (the task's own names), ISO 639-3,
    the English name that the task's language has; then what any standard says: ISO 639-1, ISO 639-2/B
    (``ger``), codes retired in favour of one other (``iw``), BCP 47 tags (``pt-BR``, ``zh_CN``, ``sr-Latn``,
    ``srp-Latn``; the region is passed over, the script must be the task's), and English names of CLDR and ISO
    639-3. Where the task lacks the language itself, its macro-language or the one individual language of it
    that the task has is meant: ``swh`` finds ``swa``, and ``aka`` finds ``twi``.

    Raises:
        UnknownLanguage: none of them fits, or several do; the message suggests what may have been meant.
    """
    offer = _Offer(among, aliases or {})
    typed = code.strip().lower()
    if typed in offer.own:
        return offer.own[typed]
    itself = offer.by_code.get(typed) or offer.called(typed)
    if itself:
        return offer.only(code, itself)
    tag, script = parse_tag(typed) or (typed, None)
    meant = standard(tag) or _named(typed)
    if len(meant) == 1:
        itself = offer.by_code.get(meant[0]) or offer.related(meant[0])
        if itself:
            return offer.only(code, itself, script)
    raise UnknownLanguage(offer.unknown(code, tag, meant))


class _Offer:
    """The languages to choose from, and what to say where none of them can be chosen."""

    def __init__(self, among: Iterable[Language], aliases: Mapping[str, Language]) -> None:
        self.by_code: dict[str, list[Language]] = {}
        for each in sorted(set(among)):
            self.by_code.setdefault(each.code, []).append(each)
        self.own: dict[str, Language] = {}
        for alias, language in aliases.items():
            same = self.by_code.get(language.code, [])
            # As the task itself has it: an alias may have been written without the script.
            if language in same or len(same) == 1:
                self.own[alias.strip().lower()] = same[same.index(language) if language in same else 0]

    def called(self, name: str) -> list[Language]:
        key = name_key(name)
        return [each for same in self.by_code.values() for each in same if key and name_key(each.name) == key]

    def related(self, code: str) -> list[Language]:
        return [each for one in sorted(relatives(code)) for each in self.by_code.get(one, [])]

    def only(self, code: str, candidates: Sequence[Language], script: str | None = None) -> Language:
        """The one candidate, in that script if one was asked for.

        Raises:
            UnknownLanguage: there are several, or it is written in another script.
        """
        if script is not None and len({each.code for each in candidates}) == 1:
            found = [each for each in candidates if each.script in (script, _UNKNOWN_SCRIPT)]
            if not found:
                allowed = " or ".join(f"{each.code}-{each.script} ({each.name})" for each in candidates)
                raise UnknownLanguage(f"wrong script in {_shown(code)}; allowed: {allowed}; found {script}")
            candidates = found
        if len(candidates) == 1:
            return candidates[0]
        named = " or ".join(f"{self.label(each)} ({each.name})" for each in candidates)
        raise UnknownLanguage(f"ambiguous language {_shown(code)}; did you mean {named}? {self.allowed()}")

    def unknown(self, code: str, tag: str, meant: Sequence[str]) -> str:
        """What to say of a code that stands for ``meant`` (nothing: for no language), none of them here."""
        message = f"unknown language {_shown(code)}"
        if meant:
            known = " and ".join(f"{each}, {language(each).name}" for each in meant)
            message += f" ({known}: not among those here)"
        close = [self.label(each) for each in self.close(code, tag, meant)]
        names = {self.label(each): each.name for same in self.by_code.values() for each in same}
        if close:
            message += f"; did you mean {' or '.join(f'{each} ({names[each]})' for each in close)}?"
        else:
            message += ";"
        return f"{message} {self.allowed()}"

    def close(self, code: str, tag: str, meant: Sequence[str]) -> list[Language]:
        """At most three that may have been meant: what a tag that cannot be read begins with, or a split
        language became; others of the same macro-language; else those with a code or name that looks alike."""
        start = meant or standard(tag.split("-")[0].split("_")[0])
        successors = [each for one in start for each in self.by_code.get(one, [])]
        macros = sorted({macro for one in meant for macro in relatives(one)})
        found = successors + [each for macro in macros for each in self.related(macro)]
        if not found and not (meant and len(tag) > 3):  # a known name is no slip, a code may be
            candidates = {name_key(alias): each for alias, each in self.own.items()}
            for each in (each for same in self.by_code.values() for each in same):
                for name in (*other_names(each.code), each.name, each.code):
                    candidates[name_key(name)] = each
            typed = dict.fromkeys((name_key(code), tag))
            alike = [each for one in typed for each in difflib.get_close_matches(one, candidates, 3, 0.6)]
            found = [candidates[each] for each in alike]
        return list(dict.fromkeys(found))[:3]

    def label(self, language: Language) -> str:
        alone = len(self.by_code[language.code]) == 1
        return language.code if alone else f"{language.code}-{language.script}"

    def allowed(self) -> str:
        labels = sorted(self.label(each) for same in self.by_code.values() for each in same)
        more = f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else ""
        return f"allowed: {', '.join(labels[:_LISTED]) or 'none'}{more}"


def _shown(code: str) -> str:
    return repr(code if len(code) <= _LONGEST else code[: _LONGEST - 1] + "…")


def _named(name: str) -> tuple[str, ...]:
    """The ISO 639-3 code of an English name, CLDR's first: "Swahili" is the macro-language."""
    key = name_key(name)
    if len(key) <= 3:
        return ()  # what looks like a code is none: "bih" is that of a group of languages, and the name of another
    code = _cldr_names().get(key) or codes_iso.names().get(key)
    return (code,) if code else ()


@functools.cache
def _cldr_names() -> dict[str, str]:
    found: dict[str, str] = {}
    for code, name in sorted(_english_names().items()):
        if len(meant := standard(code)) == 1:
            found.setdefault(name_key(name), meant[0])
    return found


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


def _likely_script(cldr_code: str, iso639_3: str) -> str:
    from babel.core import get_global

    likely = get_global("likely_subtags")
    # CLDR calls some languages by the code of their macro-language, which may come with a script ("sr_Latn").
    stand_in = get_global("language_aliases").get(iso639_3, "").split("_")
    for each in (cldr_code, iso639_3):
        if each in likely:
            return str(likely[each]).split("_")[1]
    if iso639_3 in _SCRIPTS:
        return _SCRIPTS[iso639_3]
    if len(stand_in) > 1 and len(stand_in[1]) == 4:
        return str(stand_in[1])
    tag = likely.get("_".join(stand_in)) or likely.get(stand_in[0])
    return str(tag).split("_")[1] if tag else _UNKNOWN_SCRIPT
