"""Locales with enough names for `cldr-names`, by Babel's version: reading all of them takes a second.

A test compares with the scan; where another version is installed, the scan is done.
"""

from __future__ import annotations

BABEL = "2.18.0"

# number of classes: locales
LOCALES = {
    3: """
    af ak am ar as ast az be bew bg bn br brx bs ca ccp ce chr cs cv cy da de dsb dz ee el en
    eo es et eu fa fi fil fo fr frr fur fy ga gaa gd gl gsw gu ha he hi hr hsb hu hy ia id ie
    ig is it ja jv ka kab kea kgp kk km kn ko kok ks ksh ku ky lb lij lld lo lt lv mi mk ml mn
    mr ms my mzn ne nl no nqo oc or pa pcm pl ps pt qu rm ro ru sc scn sd si sk sl so sq sr sv
    sw ta te tg th ti tk tr tt ug uk ur uz vec vi wo xh xnr yo yrl yue zh zu
    """,
    4: """
    ar ast az bew bg bn br brx bs ca ccp cs cv da de ee el en es et eu fa fi fo fr fy ga gd
    gsw gu he hi hr hu id ig is it ja ka kgp kk km kn ko ks lb lo lt mk ml mn mr ms ne nl no
    nqo or pl pt rm ro ru sc sl so sq sr sv ta te tg th tr ug uk vec vi xnr yo yrl yue zh zu
    """,
}
