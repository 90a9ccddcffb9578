"""Every usual code in, one value inside."""

from __future__ import annotations

import subprocess
import sys
import time

import babel
import pytest

from tasks.cldr_names import CldrNames
from tasks.languages import Language, UnknownLanguage, cldr_data, find, language

AMONG = tuple(language(code) for code in ("deu", "nld", "eng", "zul", "nor", "twi"))


@pytest.mark.parametrize(
    ("codes", "expected", "name"),
    [
        (("de", "deu", "DEU", " de "), ("deu", "Latn"), "German"),
        (("zh", "zho"), ("zho", "Hans"), "Chinese"),
        (("sr", "srp"), ("srp", "Cyrl"), "Serbian"),
        (("no", "nor"), ("nor", "Latn"), "Norwegian"),
        (("nb", "nob"), ("nob", "Latn"), "Norwegian Bokmål"),
        (("sw", "swa"), ("swa", "Latn"), "Swahili"),
        (("am", "amh"), ("amh", "Ethi"), "Amharic"),
        (("arq",), ("arq", "Arab"), "Algerian Arabic"),
        (("cnr",), ("cnr", "Latn"), "Montenegrin"),  # in CLDR the Serbian of Montenegro
        (("hbs",), ("hbs", "Latn"), "Serbo-Croatian"),
        (("mhr",), ("mhr", "Cyrl"), "Eastern Mari"),
        (("ary",), ("ary", "Arab"), "Moroccan Arabic"),
        (("pcm",), ("pcm", "Latn"), "Nigerian Pidgin"),
        (("ts", "tso"), ("tso", "Latn"), "Tsonga"),
        (("tw", "twi"), ("twi", "Latn"), "Twi"),
        (("ti", "tir"), ("tir", "Ethi"), "Tigrinya"),
        (("om", "orm"), ("orm", "Latn"), "Oromo"),
    ],
)
def test_language(codes: tuple[str, ...], expected: tuple[str, str], name: str) -> None:
    for code in codes:
        found = language(code)
        assert (found.iso639_3, found.script, found.name) == (*expected, name)
        assert str(found) == found.code == expected[0]


def test_script_can_be_given() -> None:
    assert language("sr", "Latn") == Language("srp", "Latn", "anything")
    assert language("sr", "Latn") != language("sr")


@pytest.mark.parametrize("code", ["xx", "", "German", "ger", "iw", "de_AT", "1"])
def test_a_language_is_made_of_codes_of_the_two_parts_only(code: str) -> None:
    with pytest.raises(UnknownLanguage, match="allowed: an ISO 639-1 or ISO 639-3 code"):
        language(code)


@pytest.mark.parametrize("code", ["qaa", "qmz", "qtz", " QAB "])
def test_codes_for_local_use_are_taken_as_they_are(code: str) -> None:
    found = language(code)
    code = code.strip().lower()
    assert (found.iso639_3, found.script, found.name) == (code, "Zzzz", f"Private use {code}")
    assert language(code, "Latn") == Language(code, "Latn", "anything") != found


@pytest.mark.parametrize("code", ["qua", "quz", "raa"])
def test_codes_just_beyond_those_for_local_use_are_those_of_languages(code: str) -> None:
    assert not language(code).name.startswith("Private use")


@pytest.mark.parametrize("code", ["qa", "qaaa", "qa1", "aqaa"])
def test_what_only_looks_like_local_use_is_unknown(code: str) -> None:
    with pytest.raises(UnknownLanguage):
        language(code)


def test_find_of_local_use_takes_the_task_s_own_language() -> None:
    own = Language("qaa", "Latn", "Planted A1")
    found = find("QAA", (*AMONG, own))
    assert (found, found.name) == (own, "Planted A1")
    with pytest.raises(UnknownLanguage):
        find("qab", (*AMONG, own))


def test_find_takes_every_usual_code() -> None:
    own = {"akan-twi": language("twi"), "nb": language("nor"), "fr": language("fra")}
    for typed, code in [("de", "deu"), ("DEU", "deu"), ("Akan-Twi", "twi"), ("no", "nor"), ("nb", "nor")]:
        assert find(typed, AMONG, own).code == code
    with pytest.raises(UnknownLanguage):
        find("fr", AMONG, own)  # a name of the task's, but not among those asked for


def test_find_lists_some_of_many() -> None:
    many = CldrNames().languages()
    with pytest.raises(UnknownLanguage) as caught:
        find("qqq", many, {})
    message = str(caught.value)
    assert message.endswith(f" and {len(many) - 25} more")
    assert message.split("allowed: ")[1].count(",") == 24
    assert "\n" not in message
    assert "did you mean" not in message


def test_names_are_read_without_those_of_a_parent_whoever_loaded_it_before() -> None:
    babel.Locale.parse("nb").territories  # noqa: B018 - puts it into Babel's cache, merged with its parent
    assert not cldr_data("nb").get("territories")
    assert cldr_data("no")["territories"]["DE"] == "Tyskland"


def test_twenty_languages_are_quick() -> None:
    """In a fresh interpreter; the bound is wide because machines differ and are shared."""
    code = (
        "import time; t = time.perf_counter()\n"
        "from tasks.languages import language\n"
        "for c in 'en sv da nl fr it pl cs fi et az tr zu ru uk bg kk hi mr ar'.split():\n"
        "    language(c)\n"
        "print(time.perf_counter() - t)"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout))
        if seconds[-1] < 0.3:
            return
        time.sleep(0.5)
    pytest.fail(f"three attempts, in seconds: {seconds}")
