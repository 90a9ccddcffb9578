"""The codes of Wikipedias and treebanks, against the published lists of them."""

from __future__ import annotations

import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st

from tasks.codes import TREEBANK_LANGUAGES, VARIANTS, WIKIPEDIA, treebank, wikipedia
from tasks.languages import Language, UnknownLanguage, find, language

# The configurations of unimelb-nlp/wikiann.
WIKIANN = """
    ace af als am an ang ar arc arz as ast ay az ba bar bat-smg be be-x-old bg bh bn bo br bs ca cbk-zam cdo ce
    ceb ckb co crh cs csb cv cy da de diq dv el eml en eo es et eu ext fa fi fiu-vro fo fr frr fur fy ga gan gd
    gl gn gu hak he hi hr hsb hu hy ia id ig ilo io is it ja jbo jv ka kk km kn ko ksh ku ky la lb li lij lmo
    ln lt lv map-bms mg mhr mi min mk ml mn mr ms mt mwl my mzn nap nds ne nl nn no nov oc or os pa pdc pl pms
    pnb ps pt qu rm ro ru rw sa sah scn sco sd sh si simple sk sl so sq sr su sv sw szl ta te tg th tk tl tr tt
    ug uk ur uz vec vep vi vls vo wa war wuu xmf yi yo zea zh zh-classical zh-min-nan zh-yue
"""

# The configurations of commul/universal_dependencies, as its card listed them in August 2026.
TREEBANKS = """
    abq_atb ab_abnc af_afribooms akk_pisandub akk_riao aqz_tudet sq_staf sq_tsa gsw_divital gsw_uzh am_att
    grc_perseus grc_proiel grc_ptnk hbo_ptnk apu_ufpa ar_padt ar_pud hy_armtdp hy_bsut as_aiw aii_as az_tuecl
    bm_crb eu_bdt bar_maibaam bej_autogramm be_hse bn_bru bho_bhtb sab_chibergis bor_bdt brh_kholum br_keb
    bg_btb bxr_bdt yue_hk cpg_amgic cpg_tuecl ca_ancora ceb_gja ckb_mukri zh_beginner zh_cfl zh_gsd zh_gsdsimp
    zh_hk zh_patentchar zh_pud ctn_ctntb ckt_hse xcl_caval lzh_kyoto lzh_tuecl cop_bohairic cop_scriptorium
    hr_set cs_cac cs_cltt cs_fictree cs_pdtc cs_poetry cs_pud da_ddt nl_alpino nl_lassysmall egy_pc en_atis
    en_childes en_ctetex en_eslspok en_ewt en_gentle en_gum en_gumreddit en_lines en_littleprince en_partut
    en_pronouns en_pud myv_jr eo_cairo eo_prago et_edt et_ewt fo_farpahc fo_oft fi_ftb fi_ood fi_pud fi_tdt
    fr_alts fr_fqb fr_gsd fr_parisstories fr_partut fr_poitevindivital fr_pud fr_rhapsodie fr_sequoia qfn_fame
    gl_ctg gl_pud gl_treegal ka_glc ka_gnc de_gsd de_hdt de_lit de_pud aln_gps gor_bungololombi got_proiel
    el_cretan el_gdt el_glcii el_gud el_lesbian el_messinian gub_tudet gn_oldtudet gu_gujtb gwi_tuecl
    ht_adolphe ht_autogramm ha_easternautogramm ha_northernautogramm ha_southernautogramm ha_westernautogramm
    he_htb he_iahltknesset he_iahltwiki he_postrab azz_itml hi_hdtb hi_pud hit_hittb hu_szeged is_gc
    is_icepahc is_modern is_pud arh_chibergis id_csui id_gsd id_pud ga_cadhan ga_idt ga_twittirish it_isdt
    it_kiparlaforest it_markit it_old it_parlamint it_partut it_postwita it_pud it_twittiro it_valico it_vit
    ja_bccwjluw ja_gsd ja_gsdluw ja_pud ja_pudluw jv_csui urb_tudet kbc_unicamp xnr_kdtb krl_kkpp arr_tudet
    kk_ktb naq_kdt quc_iu koi_uh kpv_ikdp kpv_lattice ko_gsd ko_kaist ko_ksl ko_littleprince ko_pud ky_ktmu
    ky_tuecl ltg_cairo la_circse la_ittb la_llct la_perseus la_proiel la_udante lv_cairo lv_lvtb lij_glt
    lt_alksnis lt_hse olo_kkpp nds_lsdc lb_luxbank mk_mtb jaa_jarawara qaf_arabizi mpu_tudet ml_ufal mt_mudt
    gv_cadhan mr_cmupan mr_ufal gun_thomas axm_armtdp frm_altm frm_profiterole mdf_jr myu_tudet nmf_suansu
    pcm_nsc nap_rb yrk_tundra ne_bk yrl_complin sme_giella kmr_kurmanji gya_autogramm no_bokmaal no_nynorsk
    oc_ttb or_odtb cu_proiel orv_birchbark orv_rnc orv_ruthenian orv_torot ang_cairo fro_altm fro_profiterole
    oge_glc sga_dipsgg sga_dipwbg pro_corag otk_clausal ota_boun ota_dudu ota_tuecl ps_prince ps_sikaram
    pad_tuecl fa_perdt fa_seraji pay_chibergis xpg_kul pl_lfg pl_mpdt pl_pdb pl_pud qpm_philotis pt_bosque
    pt_dantestocks pt_gsd pt_petrogold pt_porttinari pt_pud pa_cs pa_rang ro_art ro_moldoro ro_nonstandard
    ro_rrt ro_simonero ro_tuecl ru_gsd ru_poetry ru_pud ru_syntagrus ru_taiga ruc_rdt sa_ufal sa_vedic
    gd_arcosg sr_set wuu_shud scn_stb sd_isra si_appuwa si_stb sms_giellagas sk_snk sl_ssj sl_sst ajp_madar
    sdh_garrusi es_ancora es_coser es_gsd es_pud ssp_lse sv_lines sv_old sv_pud sv_swell sv_talbanken swl_sslc
    tl_trg tl_ugnayan ta_mwtt ta_ttb tt_nmctt eme_tudet te_mtg qte_tect th_pud th_tud tn_popapolelo tpn_tudet
    tr_atis tr_boun tr_framenet tr_gb tr_imst tr_kenet tr_penn tr_pud tr_tourism tr_tuecl qti_butr qtd_sagt
    uk_iu uk_parlamint xum_ikuvina hsb_ufal ur_udtb ug_udt uz_tuecl uz_ut uz_uzudt vep_vwt vi_tuecl vi_vtb
    wbp_ufal cy_ccg hyw_armtdp nhi_mesotree wo_wtb xav_xdt sjo_xdt sah_yktdt yi_yitb yo_ytb ess_sli
    say_autogramm zza_zsd
"""


def test_every_wikipedia_of_wikiann_is_accounted_for() -> None:
    assert len(WIKIANN.split()) == 176
    assert sorted([*WIKIPEDIA, *VARIANTS]) == sorted(WIKIANN.split())
    assert list(wikipedia()) == list(WIKIPEDIA)


def test_no_two_wikipedias_are_one_language() -> None:
    assert len(set(wikipedia().values())) == len({each.code for each in wikipedia().values()}) == 172


@pytest.mark.parametrize(
    ("code", "found", "script"),
    [
        ("de", "deu", "Latn"),
        ("als", "gsw", "Latn"),
        ("arc", "arc", "Syrc"),
        ("bat-smg", "sgs", "Latn"),
        ("bh", "bho", "Deva"),
        ("cbk-zam", "cbk", "Latn"),
        ("cdo", "cdo", "Latn"),
        ("crh", "crh", "Latn"),
        ("diq", "diq", "Latn"),
        ("fiu-vro", "vro", "Latn"),
        ("gan", "gan", "Hant"),
        ("hak", "hak", "Latn"),
        ("ku", "kur", "Latn"),
        ("mhr", "mhr", "Cyrl"),
        ("nn", "nno", "Latn"),
        ("no", "nor", "Latn"),
        ("pa", "pan", "Guru"),
        ("pnb", "pnb", "Arab"),
        ("sd", "snd", "Arab"),
        ("sh", "hbs", "Latn"),
        ("sr", "srp", "Cyrl"),
        ("ug", "uig", "Arab"),
        ("wuu", "wuu", "Hans"),
        ("zh", "zho", "Hans"),
        ("zh-classical", "lzh", "Hant"),
        ("zh-min-nan", "nan", "Latn"),
        ("zh-yue", "yue", "Hant"),
    ],
)
def test_wikipedias_that_are_easily_taken_for_another(code: str, found: str, script: str) -> None:
    assert wikipedia()[code] == Language(found, script, "")


def test_wikipedias_are_in_the_language_that_cldr_has_for_their_code() -> None:
    """Where CLDR knows both codes; the Wikipedia als is not in the language of that code."""
    cldr = get_global("language_aliases")
    known = [code for code in WIKIPEDIA if wikipedia()[code].code in cldr and cldr[wikipedia()[code].code] == code]
    assert len(known) > 110
    others = {
        code: cldr[each.code] for code, each in wikipedia().items() if each.code in cldr and code not in known
    }
    # CLDR has other codes than Wikipedia for these, each of them of the same language or its macro-language.
    assert others == {"diq": "zza", "mhr": "chm", "pnb": "lah", "sh": "sr_Latn", "tl": "fil"}


def test_every_wikipedia_has_a_script_and_a_name() -> None:
    for each in wikipedia().values():
        assert each.script != "Zzzz"
        assert each.name
        assert each.name.isprintable()


def test_a_variant_says_what_it_is_of_and_is_not_silently_another() -> None:
    for code, reason in VARIANTS.items():
        assert reason.isprintable()
        with pytest.raises(UnknownLanguage):
            find(code, wikipedia().values(), wikipedia())


def test_every_published_treebank_has_a_language() -> None:
    codes = TREEBANKS.split()
    assert len(codes) == len(set(codes)) == 350
    for code in codes:
        part = code.split("_")[0]
        found = treebank(code)
        if code not in TREEBANK_LANGUAGES and part not in TREEBANK_LANGUAGES:
            expected = "apc" if part == "ajp" else part if part.startswith("q") else language(part).code
            assert found.code in (expected, language(expected).code), code
        # Not of sign languages, which have none; nor of one code-switching corpus.
        assert (found.script == "Zzzz") == (part in ("ssp", "swl", "qte")), code


@pytest.mark.parametrize(
    ("code", "found", "script", "name"),
    [
        ("af_afribooms", "afr", "Latn", "Afrikaans"),
        ("EN_EWT", "eng", "Latn", "English"),
        ("no_bokmaal", "nob", "Latn", "Norwegian Bokmål"),
        ("no_nynorsk", "nno", "Latn", "Norwegian Nynorsk"),
        ("no_nynorsklia", "nno", "Latn", "Norwegian Nynorsk"),
        ("zh_gsd", "zho", "Hant", "Chinese"),
        ("zh_gsdsimp", "zho", "Hans", "Chinese"),
        ("zh_pud", "zho", "Hant", "Chinese"),
        ("lzh_kyoto", "lzh", "Hant", "Literary Chinese"),
        ("sr_set", "srp", "Latn", "Serbian"),
        ("sa_vedic", "san", "Latn", "Sanskrit"),
        ("sa_ufal", "san", "Deva", "Sanskrit"),
        ("got_proiel", "got", "Latn", "Gothic"),
        ("ckb_mukri", "ckb", "Latn", "Central Kurdish"),
        ("ajp_madar", "apc", "Arab", "Levantine Arabic"),
        ("qpm_philotis", "qpm", "Latn", "Pomak"),
        ("qtd_sagt", "qtd", "Latn", "Turkish and German"),
        ("qaf_arabizi", "qaf", "Latn", "Maghrebi Arabic and French"),
        ("quc_iu", "quc", "Latn", "Kʼicheʼ"),
    ],
)
def test_treebanks(code: str, found: str, script: str, name: str) -> None:
    each = treebank(code)
    assert (each.code, each.script, each.name) == (found, script, name)


@pytest.mark.parametrize(
    "code", ["", "en", "en-ewt", "en_", "_ewt", "xx_ewt", "english_ewt", "eml_x", "qab_x", "en_a b"]
)
def test_what_is_no_treebank_is_refused(code: str) -> None:
    with pytest.raises(UnknownLanguage, match=r"^unknown treebank '.*; allowed: .* such as en_ewt$"):
        treebank(code)


@given(st.text() | st.from_regex(r"\A[a-z]{1,4}_[a-z]{0,4}\Z"))
def test_anything_is_a_treebank_or_refused_in_one_line(code: str) -> None:
    try:
        said = treebank(code).name
    except UnknownLanguage as error:
        said = str(error)
    assert said
    assert said.isprintable()
