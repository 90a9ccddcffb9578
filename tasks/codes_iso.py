"""What ISO 639 and BCP 47 make of a code: no language of any task, and no table of ours but for what they
leave open."""

from __future__ import annotations

import functools
import re
import unicodedata

_CODE = re.compile("[a-z]{2,3}")
_LOCAL_USE = re.compile("q[a-t][a-z]")  # ISO 639-3: never given to a language, free for anybody's own
# ISO 639-1 withdrew these without saying in so many words what to write instead.
_WITHDRAWN = {"mo": ("ron",), "sh": ("hbs",)}
# Language, extended language, script; then a region and variants, which say nothing of what is asked here.
_TAG = re.compile(
    "([a-z]{2,3})((?:-[a-z]{3}){0,3})(?:-([a-z]{4}))?(?:-(?:[a-z]{2}|[0-9]{3}))?"
    "(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*"
)


def is_local_use(code: str) -> bool:
    """Whether a code is one of ``qaa`` to ``qtz``."""
    return _LOCAL_USE.fullmatch(code) is not None


@functools.cache
def iso639(code: str) -> tuple[str, str, str] | None:
    """ISO 639-1 (or ""), ISO 639-3 and the reference name of a code of either part."""
    if is_local_use(code):
        return "", code, f"Private use {code}"
    if not _CODE.fullmatch(code):
        return None  # Lang would take names, too
    from iso639 import Lang
    from iso639.exceptions import DeprecatedLanguageValue, InvalidLanguageValue

    try:
        found = Lang(code)
    except (InvalidLanguageValue, DeprecatedLanguageValue):
        return None
    # Lang takes the codes of other parts too.
    if not found.pt3 or code not in (found.pt1, found.pt3):
        return None
    return found.pt1, found.pt3, found.name


@functools.cache
def standard(code: str) -> tuple[str, ...]:
    """The ISO 639-3 code that a code of ISO 639-1, 639-3 or 639-2/B (``ger``) stands for, or a retired one
    stood for; several where it was split (``eml``), none where the standard has none."""
    if (known := iso639(code)) is not None:
        return (known[1],)
    if not _CODE.fullmatch(code):
        return ()
    from iso639 import Lang
    from iso639.exceptions import DeprecatedLanguageValue, InvalidLanguageValue

    try:
        found = Lang(code)
    except InvalidLanguageValue:
        return ()
    except DeprecatedLanguageValue as retired:
        if code in _WITHDRAWN:
            return _WITHDRAWN[code]
        successors = [retired.change_to] if retired.change_to else _bracketed(retired.ret_remedy)
        return tuple(dict.fromkeys(each for one in successors if one != code for each in standard(one)))
    return (found.pt3,) if found.pt3 else ()  # none: a group of languages


def _bracketed(remedy: str) -> list[str]:
    """The codes that a retirement names: "Split into Emilian [egl] and Romagnol [rgn]"."""
    return re.findall(r"\[([a-z]{3})\]", remedy)


@functools.cache
def relatives(code: str) -> frozenset[str]:
    """The macro-language of an individual language, or the individual languages of a macro-language, as ISO
    639-3 codes."""
    if iso639(code) is None or is_local_use(code):
        return frozenset()
    from iso639 import Lang

    itself = Lang(code)
    macro = itself.macro()
    related = [*itself.individuals(), *([macro] if macro else [])]
    return frozenset(each.pt3 for each in related if each.pt3)


def parse_tag(tag: str) -> tuple[str, str | None] | None:
    """The language and the script, if it has one, of a BCP 47 tag: ``zh-Hant-TW``, ``zh_CN``, ``zh-yue``.

    Region and variants are passed over; a tag for private use (``be-x-old``) is none that can be read.
    """
    found = _TAG.fullmatch(tag.lower().replace("_", "-"))
    if found is None:
        return None
    code, extended, script = found.groups()
    if extended:  # "zh-yue" is "yue", and only a language of the first one's can be there
        first, code = standard(code), extended.rsplit("-", 1)[1]
        if not relatives(code).intersection(first):
            return None
    return code, script.title() if script else None


def other_names(code: str) -> tuple[str, ...]:
    """What ISO 639-3 calls a language: the reference name first, then others."""
    if iso639(code) is None or is_local_use(code):
        return ()
    from iso639 import Lang

    itself = Lang(code)
    return itself.name, *itself.other_names()


@functools.cache
def names() -> dict[str, str]:
    """The ISO 639-3 code of every name in that standard, as :func:`name_key` has it."""
    from iso639 import iter_langs

    languages = [each for each in iter_langs() if each.pt3]
    found = {name_key(each.name): each.pt3 for each in languages}
    for each in languages:
        for name in each.other_names():
            found.setdefault(name_key(name), each.pt3)
    return found


def name_key(name: str) -> str:
    """A name for comparison: without case, accents and punctuation."""
    letters = (each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    return " ".join("".join(each if each.isalnum() else " " for each in letters).casefold().split())
