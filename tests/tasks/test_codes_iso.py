"""What standards make of a code, against CLDR's own tables."""

from __future__ import annotations

import re

import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st
from iso639 import iter_langs

from tasks import codes_iso
from tasks.codes_iso import parse_tag, relatives, standard

TAGS = st.from_regex(r"\A[a-zA-Z]{1,4}([-_][a-zA-Z0-9]{1,9}){0,3}\Z")


@given(st.text(max_size=12) | TAGS)
def test_a_tag_is_read_or_not(typed: str) -> None:
    found = parse_tag(typed)
    if found is not None:
        assert re.fullmatch("[a-z]{2,3}", found[0])
        assert found[1] is None or re.fullmatch("[A-Z][a-z]{3}", found[1])


@pytest.mark.parametrize(
    ("tag", "read"),
    [
        ("sr_Latn_RS", ("sr", "Latn")),
        ("zh-Hant-TW", ("zh", "Hant")),
        ("zh-min-nan-TW", ("nan", None)),
        ("es-419", ("es", None)),
        ("sl-rozaj-biske-1994", ("sl", None)),
        ("zh-min", None),
        ("de-arz", None),
        ("be-x-old", None),
        ("de-", None),
        ("de--DE", None),
        ("german", None),
        ("de-٤١٩", None),
    ],
)
def test_tags(tag: str, read: tuple[str, str | None] | None) -> None:
    assert parse_tag(tag) == read


# CLDR maps retired and longer codes to its own. It has Filipino for Tagalog; ISO 639-3 keeps xsj.
CLDR = {code: to.split("_")[0] for code, to in get_global("language_aliases").items()}
CHOICES = {"tgl": "fil", "tl": "fil", "xsj": "suj"}


def test_codes_stand_for_what_cldr_says() -> None:
    """Babel's own tables: 639-3 and 639-2/B → 639-1, retired → present, individual → macro-language."""
    kinds = {"same": 0, "macro": 0, "split": 0}
    for code, to in CLDR.items():
        ours, theirs = standard(code), standard(to)
        if not ours or not theirs or CHOICES.get(code) == to:
            continue
        if ours == theirs:
            kinds["same"] += 1
        elif len(ours) == 1 and (relatives(ours[0]) & (set(theirs) | relatives(theirs[0]))):
            kinds["macro"] += 1
        else:
            assert set(theirs) < set(ours), code
            kinds["split"] += 1
    assert kinds["same"] > 250
    assert kinds["macro"] > 50
    assert 0 < kinds["split"] < 60


def test_every_two_letter_code_is_that_of_cldr() -> None:
    short = {each.pt1: each.pt3 for each in iter_langs() if each.pt1}
    assert len(short) > 180
    for code, long in short.items():
        assert standard(code) == (long,) == standard(long)
        assert CLDR.get(long, code) == code or CHOICES.get(long) == CLDR[long] or long == "twi", long


def test_macro_languages_and_their_languages_name_each_other() -> None:
    macros = [each for each in iter_langs() if each.pt3 and each.scope() == "Macrolanguage"]
    assert len(macros) > 50
    for macro in macros:
        assert relatives(macro.pt3)
        for individual in relatives(macro.pt3):
            assert relatives(individual) == {macro.pt3}
    assert relatives("deu") == relatives("qaa") == relatives("zzz") == frozenset()


def test_retired_codes_lead_to_codes_in_use() -> None:
    for code in ("iw", "eml", "mol", "ajp", "sh", "mo", "gio", "mly"):
        assert standard(code)
        assert all(standard(each) == (each,) for each in standard(code))
    for code in ("bh", "eur", "xx", "mis-", "deutsch", "DE", ""):
        assert standard(code) == ()


def test_names_of_the_standard() -> None:
    assert codes_iso.names()["mandarin chinese"] == "cmn"
    assert codes_iso.names()["chinese mandarin"] == "cmn"
    assert len(codes_iso.names()) > 7900
    assert codes_iso.other_names("qaa") == codes_iso.other_names("zzz") == ()
