"""The codes of sources that are no standard's: Wikipedias (WikiAnn) and treebanks (Universal Dependencies)."""

from __future__ import annotations

import functools
import re

from tasks.codes_iso import is_local_use, standard
from tasks.languages import Language, UnknownLanguage, language

# Wikipedias whose code is that of ISO 639-1 or ISO 639-3, in the script CLDR holds likeliest.
_AS_IN_ISO = """
    ace af am an ang ar arz as ast ay az ba bar be bg bn bo br bs ca ce ceb ckb co cs csb cv cy da de diq dv el
    en eo es et eu ext fa fi fo fr frr fur fy ga gd gl gn gu he hi hr hsb hu hy ia id ig ilo io is it ja jbo jv
    ka kk km kn ko ksh ku ky la lb li lij lmo ln lt lv mg mhr mi min mk ml mn mr ms mt mwl my mzn nap nds ne nl
    nn no nov oc or os pa pdc pl pms pnb ps pt qu rm ro ru rw sa sah scn sco sd si sk sl so sq sr su sv sw szl
    ta te tg th tk tl tr tt ug uk ur uz vec vep vi vls vo wa war wuu xmf yi yo zea zh
"""

# The code of a Wikipedia → ISO 639-3, with the script of ISO 15924 where that Wikipedia uses another than CLDR's.
WIKIPEDIA: dict[str, str] = {
    **{code: code for code in _AS_IN_ISO.split()},
    "als": "gsw",  # Alemannic; ISO 639-3 has given als to Tosk Albanian
    "arc": "arc-Syrc",
    "bat-smg": "sgs",
    "bh": "bho",  # ISO 639-1 meant all Bihari languages; the articles are in Bhojpuri
    "cbk-zam": "cbk",
    "cdo": "cdo-Latn",
    "crh": "crh-Latn",
    "fiu-vro": "vro",
    "gan": "gan-Hant",
    "hak": "hak-Latn",
    "sh": "hbs",
    "zh-classical": "lzh-Hant",
    "zh-min-nan": "nan-Latn",
    "zh-yue": "yue",
}

# What has a Wikipedia but is no language of its own, and why.
VARIANTS: dict[str, str] = {
    "be-x-old": "Belarusian in the orthography from before the reform of 1933; be is Belarusian",
    "eml": "Emilian (egl) and Romagnol (rgn), which ISO 639-3 has held to be two languages since 2009",
    "map-bms": "Banyumasan, a variety of Javanese; jv is Javanese",
    "simple": "English in simple words; en is English",
}

# A treebank, or the language part of its code, → ISO 639-3 and script, where the code does not say so or the
# texts are in another script than CLDR's likeliest (ancient ones are mostly in transliteration).
TREEBANK_LANGUAGES: dict[str, str] = {
    "akk": "akk-Latn",
    "bej": "bej-Latn",
    "ckb_mukri": "ckb-Latn",
    "ctn": "ctn-Latn",
    "egy": "egy-Latn",
    "got": "got-Latn",
    "hit": "hit-Latn",
    "lzh": "lzh-Hant",
    "no_bokmaal": "nob",
    "no_nynorsk": "nno",
    "no_nynorsklia": "nno",
    "ota": "ota-Latn",
    "sa_vedic": "san-Latn",
    "sdh_garrusi": "sdh-Latn",
    "sr_set": "srp-Latn",
    "zh_gsd": "zho-Hant",
    "zh_hk": "zho-Hant",
    "zh_pud": "zho-Hant",
}

# Universal Dependencies' own codes, from those that ISO 639-3 keeps free: two languages by turns, and Pomak.
_OWN = {
    "qaf": Language("qaf", "Latn", "Maghrebi Arabic and French"),
    "qfn": Language("qfn", "Latn", "Frisian and Dutch"),
    "qhe": Language("qhe", "Zzzz", "Hindi and English"),
    "qpm": Language("qpm", "Latn", "Pomak"),
    "qtd": Language("qtd", "Latn", "Turkish and German"),
    "qte": Language("qte", "Zzzz", "Telugu and English"),
    "qti": Language("qti", "Latn", "Turkish and English"),
}


@functools.cache
def wikipedia() -> dict[str, Language]:
    """The language of each Wikipedia in WikiAnn that is in a language of its own, by Wikipedia's code."""
    return {code: _language(spec) for code, spec in WIKIPEDIA.items()}


def treebank(code: str) -> Language:
    """The language of a treebank: ``en_ewt``, ``no_bokmaal`` (``nob``), ``sr_set`` (in Latin script).

    Raises:
        UnknownLanguage: that is no treebank's code, or what it begins with is no language's.
    """
    typed = code.strip().lower()
    found = re.fullmatch("([a-z]{2,3})_[a-z0-9]+", typed)
    if found is not None:
        part = found.group(1)
        if part in _OWN:
            return _OWN[part]
        if (spec := TREEBANK_LANGUAGES.get(typed) or TREEBANK_LANGUAGES.get(part)) is not None:
            return _language(spec)
        if len(meant := standard(part)) == 1 and not is_local_use(part):
            return language(meant[0])
    raise UnknownLanguage(
        f"unknown treebank {code!r}; allowed: the code of a treebank of Universal Dependencies, such as en_ewt"
    )


def _language(spec: str) -> Language:
    code, _, script = spec.partition("-")
    return language(code, script or None)
