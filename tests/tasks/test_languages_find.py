"""Any usual code finds the task's language; a wrong or ambiguous one is answered with what may be meant."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso639 import Lang

from benchmark.registry import create, entries
from tasks.codes import wikipedia
from tasks.languages import Language, UnknownLanguage, find, language


def several(codes: str) -> tuple[Language, ...]:
    return tuple(map(language, codes.split()))


TASKS = sorted(entries("tasks")[0])
WIKIPEDIAS = tuple(wikipedia().values())
XNLI = several("ar bg de el en es fr hi ru sw th tr ur vi zh")
SCRIPTS = (Language("srp", "Cyrl", "Serbian"), Language("srp", "Latn", "Serbian"), language("hrv"))


def offers() -> dict[str, tuple[tuple[Language, ...], dict[str, Language]]]:
    """What there is to choose from: every registered task, and those of the mission whatever is registered."""
    made = [create("tasks", name)[0] for name in TASKS]
    found = {f"task {each.name}": (each.languages(), each.codes()) for each in made}
    return found | {"Wikipedias": (WIKIPEDIAS, wikipedia()), "XNLI": (XNLI, {})}


@pytest.mark.parametrize("kind", ["code", "ISO 639-1", "ISO 639-2/B", "name", "region", "script", "alias"])
def test_every_language_of_every_task_is_found(kind: str) -> None:
    tried = 0
    for title, (languages, aliases) in offers().items():
        for each in languages:
            for typed in ways(each, kind, aliases):
                for spelled in (typed, typed.upper(), f" {typed.title()} "):
                    found = find(spelled, languages, aliases)
                    assert (found, found.name) == (each, each.name), (title, spelled)
                    tried += 1
    assert tried > 50


def ways(each: Language, kind: str, aliases: dict[str, Language]) -> list[str]:
    """How somebody may write a language of a task."""
    try:
        itself = Lang(pt3=each.code)
        short = itself.pt1 or each.code
    except Exception:  # a code for local use
        itself, short = None, each.code
    if kind == "alias":
        return [alias for alias, of in aliases.items() if of == each]
    if kind == "ISO 639-1" and short.lower() in aliases and aliases[short] != each:
        return []
    return {
        "code": [each.code],
        "ISO 639-1": [short],
        "ISO 639-2/B": [itself.pt2b] if itself is not None and itself.pt2b else [],
        "name": [each.name],
        "region": [f"{short}-XX", f"{each.code}_xx", f"{short}-419"],
        "script": [f"{short}-{each.script}", f"{each.code}_{each.script}_XX"] if each.script != "Zzzz" else [],
    }[kind]


@pytest.mark.parametrize(
    ("typed", "among", "found"),
    [
        ("german", "deu nld", "deu"),
        ("Norwegian Bokmal", "nob nno", "nob"),  # accents may be left out
        ("Bokmål, Norwegian", "nob nno", "nob"),
        ("Bengali", "ben hin", "ben"),  # as ISO names it; CLDR has "Bangla"
        ("ger", "deu nld", "deu"),
        ("fre-CA", "fra eng", "fra"),
        ("pt-BR", "por spa", "por"),
        ("zh_CN", "zho eng", "zho"),
        ("zh-Hans-CN", "zho eng", "zho"),
        ("zh-yue", "zho yue", "yue"),
        ("zh-cmn-Hans-CN", "cmn yue", "cmn"),
        ("de-CH-1996", "deu eng", "deu"),
        ("ca-valencia", "cat spa", "cat"),
        # a macro-language and its individual languages
        ("swh", "swa hau", "swa"),
        ("sw", "swh hau", "swh"),
        ("Swahili", "swh hau", "swh"),
        ("cmn", "zho eng", "zho"),
        ("Mandarin Chinese", "zho eng", "zho"),
        ("Cantonese", "zho eng", "zho"),  # as only CLDR names it
        ("zh", "cmn eng", "cmn"),
        ("arb", "ara eng", "ara"),
        ("arb-EG", "ara eng", "ara"),
        ("pes", "fas eng", "fas"),
        ("zsm", "msa eng", "msa"),
        ("ms", "zsm eng", "zsm"),
        ("nb", "nor dan", "nor"),
        ("no", "nob dan", "nob"),
        ("no", "nor nob nno", "nor"),
        ("nn", "nor nob nno", "nno"),
        ("twi", "aka yor", "aka"),
        ("fat", "aka yor", "aka"),
        ("ak", "twi yor", "twi"),
        ("orm", "gaz amh", "gaz"),
        ("om", "hae amh", "hae"),
        ("gaz", "orm amh", "orm"),
        ("hae", "orm amh", "orm"),
        ("ekk", "est fin", "est"),
        ("lvs", "lav lit", "lav"),
        ("azj", "aze tur", "aze"),
        ("uzn", "uzb kaz", "uzb"),
        ("plt", "mlg msa", "mlg"),
        # retired codes
        ("iw", "heb ara", "heb"),
        ("iw-IL", "heb ara", "heb"),
        ("in", "ind msa", "ind"),
        ("ji", "yid deu", "yid"),
        ("mo", "ron rus", "ron"),
        ("mol", "ron rus", "ron"),
        ("sh", "hbs slv", "hbs"),
        ("sh", "hrv slv", "hrv"),
        ("scc", "srp hrv", "srp"),
        ("ajp", "apc ara", "apc"),
    ],
)
def test_what_standards_say(typed: str, among: str, found: str) -> None:
    assert find(typed, several(among)).code == found


@pytest.mark.parametrize(
    ("typed", "among", "named"),
    [
        ("zho", "cmn yue eng", "cmn (Mandarin Chinese) or yue (Cantonese)"),
        ("zh-TW", "cmn yue eng", "cmn (Mandarin Chinese) or yue (Cantonese)"),
        (
            "zh-Hant",
            "cmn yue eng",
            "cmn (Mandarin Chinese) or yue (Cantonese)",
        ),  # one is in that script, by chance
        ("Norwegian", "nob nno dan", "nno (Norwegian Nynorsk) or nob (Norwegian Bokmål)"),
        ("sh", "srp hrv slv", "hrv (Croatian) or srp (Serbian)"),
        ("ar", "arq ary amh", "arq (Algerian Arabic) or ary (Moroccan Arabic)"),
    ],
)
def test_what_may_be_several_languages_is_ambiguous(typed: str, among: str, named: str) -> None:
    allowed = ", ".join(sorted(among.split()))
    message = refusal(typed, several(among))
    assert message == f"ambiguous language {typed!r}; did you mean {named}? allowed: {allowed}"


def refusal(typed: str, among: tuple[Language, ...], aliases: dict[str, Language] | None = None) -> str:
    with pytest.raises(UnknownLanguage) as caught:
        find(typed, among, aliases)
    return str(caught.value)


@pytest.mark.parametrize(
    ("typed", "among", "said"),
    [
        ("sr-Latn", XNLI + several("srp"), "wrong script in 'sr-Latn'; allowed: srp-Cyrl (Serbian); found Latn"),
        ("zh-Hant-TW", XNLI, "wrong script in 'zh-Hant-TW'; allowed: zho-Hans (Chinese); found Hant"),
        ("swh_Arab", XNLI, "wrong script in 'swh_Arab'; allowed: swa-Latn (Swahili); found Arab"),
        (
            "srp-Arab",
            SCRIPTS,
            "wrong script in 'srp-Arab'; allowed: srp-Cyrl (Serbian) or srp-Latn (Serbian); found Arab",
        ),
    ],
)
def test_a_script_that_the_task_has_not_is_refused(typed: str, among: tuple[Language, ...], said: str) -> None:
    assert refusal(typed, among) == said


def test_one_language_in_two_scripts() -> None:
    assert find("sr-Latn", SCRIPTS) == SCRIPTS[1]
    assert find("srp-cyrl", SCRIPTS) == SCRIPTS[0]
    assert find("lat", SCRIPTS, {"lat": SCRIPTS[1]}) == SCRIPTS[1]
    for typed in ("sr", "srp", "Serbian"):
        assert refusal(typed, SCRIPTS[::-1]) == refusal(typed, SCRIPTS)
        assert refusal(typed, SCRIPTS) == (
            f"ambiguous language {typed!r}; did you mean srp-Cyrl (Serbian) or srp-Latn (Serbian)? "
            "allowed: hrv, srp-Cyrl, srp-Latn"
        )


def test_a_script_agrees_with_one_that_nobody_knows() -> None:
    own = Language("qaa", "Zzzz", "Planted A1")
    assert find("qaa-Latn", (own, *XNLI)) == own


def test_the_task_s_own_codes_come_first() -> None:
    own = {"als": language("gsw"), "nb": language("nor"), "fr": language("fra"), "sr": language("srp")}
    among = (*several("gsw sqi nor"), SCRIPTS[1])
    assert find("ALS", among, own).code == "gsw"
    assert find("als", among).code == "sqi"
    assert find("sr", among, own) == SCRIPTS[1]  # as the task has it, not as the alias was written
    assert refusal("fr", among, own).startswith("unknown language 'fr' (fra, French: not among those here)")
    assert refusal("sr", SCRIPTS, {"sr": Language("srp", "Arab", "Serbian")}).startswith("ambiguous language 'sr'")


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        ("swahilli", "swa (Swahili)"),
        ("yorba", "yor (Yoruba)"),
        ("germn", "deu (German)"),
        ("bengalli", "ben (Bangla)"),
        ("Portugese", "por (Portuguese)"),
        ("norwegain", "nor (Norwegian)"),
        ("dutsch", "nld (Dutch)"),
        ("deut", "deu (German)"),
        ("zlu", "zul (Zulu)"),
        ("akan-twee", "twi (Twi)"),
        ("be-x-old", "bel (Belarusian)"),  # a tag for private use
        ("zh-min", "zho (Chinese)"),  # min is no language of the Chinese ones
    ],
)
def test_a_misspelt_one_is_answered_with_suggestions(typed: str, suggested: str) -> None:
    among = several("bel ben deu nld nor por swa twi yor zho zul")
    message = refusal(typed, among, {"akan-twi": language("twi")})
    assert message.startswith(f"unknown language {typed!r}")
    assert re.search(r"; did you mean ([^?]*)\?", message)[1].split(" or ")[0] == suggested  # type: ignore[index]
    assert message.endswith("? allowed: bel, ben, deu, nld, nor, por, swa, twi, yor, zho, zul")


@pytest.mark.parametrize(
    ("typed", "among", "said"),
    [
        ("fr", "deu zul", "unknown language 'fr' (fra, French: not among those here); allowed: deu, zul"),
        (
            "Klingon",
            "deu zul",
            "unknown language 'Klingon' (tlh, Klingon: not among those here); allowed: deu, zul",
        ),
        (
            "fat",
            "deu twi",
            "unknown language 'fat' (fat, Fanti: not among those here); did you mean twi (Twi)? allowed: deu, twi",
        ),
        (
            "eml",
            "deu egl rgn",
            "unknown language 'eml' (egl, Emilian and rgn, Romagnol: not among those here); did you mean "
            "egl (Emilian) or rgn (Romagnol)? allowed: deu, egl, rgn",
        ),
        ("bih", "deu zul", "unknown language 'bih'; allowed: deu, zul"),  # a group of languages
        ("Akan", "kan kor", "unknown language 'Akan' (aka, Akan: not among those here); allowed: kan, kor"),
        ("de", "", "unknown language 'de' (deu, German: not among those here); allowed: none"),
        ("", "deu zul", "unknown language ''; allowed: deu, zul"),
    ],
)
def test_what_is_said_of_a_language_that_is_not_there(typed: str, among: str, said: str) -> None:
    assert refusal(typed, several(among)) == said


def test_a_long_one_is_cut() -> None:
    assert len(refusal("x" * 100_000, XNLI)) < 300


TAGS = st.from_regex(r"\A[a-zA-Z]{1,4}([-_][a-zA-Z0-9]{1,9}){0,3}\Z")
NEAR = st.tuples(st.sampled_from([each.name for each in WIKIPEDIAS]), st.integers(0, 9), st.characters())


@given(st.one_of(st.text(), TAGS, NEAR.map(lambda drawn: drawn[0][: drawn[1]] + drawn[2] + drawn[0][drawn[1] :])))
def test_whatever_is_typed_gives_a_language_or_one_line(typed: str) -> None:
    try:
        found = find(typed, WIKIPEDIAS, wikipedia())
    except UnknownLanguage as error:
        message = str(error)
        assert re.match("(unknown language|ambiguous language|wrong script in) '|(unknown language) \"", message)
        assert message.isprintable()
        assert len(message) < 1000
        assert message == refusal(typed, WIKIPEDIAS[::-1], wikipedia())
        if offered := re.search(r"; did you mean (.*)\? allowed: ", message):
            for each in offered[1].split(" or "):
                assert find(each.split(" (")[0], WIKIPEDIAS).code == each.split(" (")[0]
    else:
        assert found in WIKIPEDIAS


def test_finding_a_language_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from tasks.codes import treebank, wikipedia\n"
        "from tasks.languages import UnknownLanguage, find\n"
        "treebank('en_ewt')\n"
        "try:\n"
        "    find('swahilli', wikipedia().values(), wikipedia())\n"
        "except UnknownLanguage:\n"
        "    print(sorted(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'iso639'" in done.stdout
    for heavy in ("torch", "numpy", "datasets", "pydantic", "transformers", "benchmark", "lang2vec"):
        assert f"'{heavy}'" not in done.stdout
