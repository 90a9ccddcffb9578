"""UDPOS, from a folder and from the hub. Tests of the real corpus need `KINSHIP_DATA`."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tasks.base import SPLITS, Access, DataError, tagged
from tasks.codes import treebank
from tasks.languages import find, language
from tasks.udpos import HUB_CLASSES, HUB_NAME, HUB_REVISION, UDPOS
from tasks.udpos_conllu import UPOS
from tasks.udpos_treebanks import TREEBANKS

TASK = UDPOS()
DATA = Path(os.environ.get("KINSHIP_DATA", "/nowhere"))
needs_data = pytest.mark.skipif(not (DATA / "udpos").is_dir(), reason="KINSHIP_DATA names no folder with udpos/")
SHA = "89abcdef0123456789abcdef0123456789abcdef"
PROBE = {"tokens": [["a"]], "upos": [["X"]], "head": [[0]], "mwt": [[]]}
CONLLU = "1-2\tzum\t_\t_\t_\t_\t_\t_\t_\t_\n" + "".join(
    f"{number}\t{form}\t_\t{tag}\t_\t_\t{head}\t_\t_\t_\n"
    for number, form, tag, head in ((1, "zu", "ADP", 3), (2, "dem", "DET", 3), (3, "Arzt", "NOUN", 0))
)
ZUM = tagged(("zum", "Arzt"), (UPOS.index("ADP"), UPOS.index("NOUN")))


def test_declaration() -> None:
    spec = TASK.spec
    assert (spec.name, spec.version, spec.kind, spec.metric) == ("udpos", 1, "tagged", "accuracy")
    assert spec.labels == UPOS
    assert len(TASK.languages()) == len(TREEBANKS) >= 37  # one treebank each
    assert list(TREEBANKS) == sorted(TREEBANKS)


def test_codes_of_treebanks() -> None:
    for code, expected in (("en_ewt", "eng"), ("no_nynorsk", "nno"), ("zh_gsdsimp", "zho"), ("en", "eng")):
        assert find(code, TASK.languages(), TASK.codes()) == language(expected)
    serbian = find("sr", TASK.languages(), TASK.codes())
    assert serbian.script == "Latn"  # as that treebank is written
    assert serbian == treebank("sr_set")


@needs_data
def test_every_sentence_and_tag_of_every_language(tmp_path: Path) -> None:
    corpus = TASK.open(Access(data=DATA, cache=tmp_path, offline=True))
    folders = sorted(each.name for each in (DATA / "udpos").iterdir())
    assert corpus.languages() == TASK.default_languages()
    assert len(folders) == 17
    seen: set[str] = set()
    for code in folders:
        for split in SPLITS:
            lines = (DATA / "udpos" / code / f"{split}.tsv").read_bytes().decode().split("\n")
            rows = corpus.examples(language(code), split)
            assert len(rows) == sum(1 for i, each in enumerate(lines) if each and (i == 0 or not lines[i - 1]))
            counted = Counter(each.split("\t")[1] for each in lines if each)
            if split == "dev":
                assert Counter(UPOS[tag] for each in rows for tag in each.tags) == counted
            seen |= set(counted)
    assert seen == set(UPOS)


class TestFolder:
    def test_conllu_where_there_is_no_tsv(self, tmp_path: Path) -> None:
        folder = tmp_path / "udpos" / "de"
        folder.mkdir(parents=True)
        for split in SPLITS:
            (folder / f"{split}.conllu").write_text(CONLLU)
        (folder / "test.tsv").write_text("Arzt\tNOUN\n")
        corpus = TASK.open(Access(data=tmp_path, offline=True))
        assert corpus.examples(language("deu"), "train") == [ZUM]
        assert corpus.examples(language("deu"), "test") == [tagged(("Arzt",), (UPOS.index("NOUN"),))]

    def test_neither(self, tmp_path: Path) -> None:
        (tmp_path / "udpos" / "de").mkdir(parents=True)
        with pytest.raises(DataError, match=r"no data file .*de.train\.tsv"):
            TASK.open(Access(data=tmp_path)).examples(language("deu"), "train")

    def test_a_broken_file_is_named(self, tmp_path: Path) -> None:
        folder = tmp_path / "udpos" / "de"
        folder.mkdir(parents=True)
        (folder / "dev.conllu").write_text(CONLLU.replace("\tDET\t", "\t_\t"))
        with pytest.raises(DataError, match=r"de.dev\.conllu, line 3: unknown UPOS tag; .*; found '_'"):
            TASK.open(Access(data=tmp_path)).examples(language("deu"), "dev")


class TestHub:
    @pytest.fixture(autouse=True)
    def release(self, loopback_hub: Any) -> None:
        loopback_hub.name(HUB_NAME, HUB_REVISION, SHA)
        loopback_hub.put(HUB_NAME, SHA, "parquet/ta_ttb/dev.parquet", PROBE)

    def test_the_commit_of_a_release(self, loopback_hub: Any, tmp_path: Path) -> None:
        contraction = {"id": "1-2", "form": "zum", "feats": None, "misc": None}
        rows = {
            "tokens": [["zu", "dem", "Arzt"], ["Arzt"]],
            "upos": [["ADP", "DET", "NOUN"], ["NOUN"]],
            "head": [[3, 3, 0], [0]],
            "mwt": [[contraction], []],
            "lemmas": [["zu", "der", "Arzt"], ["Arzt"]],
        }
        loopback_hub.put(HUB_NAME, SHA, "parquet/de_gsd/train.parquet", rows)
        expected = [ZUM, tagged(("Arzt",), (UPOS.index("NOUN"),))]
        corpus = TASK.open(Access(cache=tmp_path))
        assert corpus.source == "hub"
        assert corpus.examples(language("deu"), "train") == expected
        asked = len(loopback_hub.web.asked)
        again = TASK.open(Access(cache=tmp_path, offline=True))
        assert again.examples(language("deu"), "train") == expected
        assert len(loopback_hub.web.asked) == asked

    def test_class_indices_and_heads_as_text(self, loopback_hub: Any) -> None:
        rows = {
            "tokens": [["zu", "dem", "Arzt"]],
            "upos": [[2, 8, 0]],
            "head": [["3", "3", "0"]],
            "mwt": [[{"id": "1-2", "form": "zum"}]],
        }
        loopback_hub.put(HUB_NAME, SHA, "parquet/de_gsd/dev.parquet", rows)
        assert TASK.open(Access()).examples(language("deu"), "dev") == [ZUM]
        assert sorted(HUB_CLASSES) == sorted([*UPOS, "_"])
        assert [HUB_CLASSES.index(each) for each in ("PUNCT", "PROPN", "_", "VERB", "AUX")] == [1, 10, 13, 16, 17]

    def test_every_language_has_its_file(self, loopback_hub: Any) -> None:
        for code in TREEBANKS:
            loopback_hub.lay_out(HUB_NAME, SHA, f"parquet/{code}/test.parquet", PROBE)
        corpus = TASK.open(Access())
        loopback_hub.web.pages.clear()
        for each in TASK.languages():
            assert corpus.examples(each, "test") == [tagged(("a",), (UPOS.index("X"),))]

    @pytest.mark.parametrize(
        ("column", "value", "found"),
        [
            ("upos", ["_"], "unknown UPOS tag; .*; found '_'"),
            ("upos", [13], "unknown UPOS tag; .*; found '_'"),
            ("upos", [18], "unknown UPOS tag; .*; found '18'"),
            ("upos", [-1], "unknown UPOS tag; .*; found '-1'"),
            ("upos", [None], "unknown UPOS tag; .*; found 'None'"),
            ("upos", None, "a tag and a head for each word are needed; found 0 and 1 for 1"),
            ("head", [0, 1], "a tag and a head for each word are needed; found 1 and 2 for 1"),
            ("tokens", [" "], "a form is needed; found ' '"),
            ("tokens", [None], "a form is needed; found None"),
            ("mwt", [{"id": "1-2", "form": "ab"}], "ranges of the words 1 to 1, .* are needed; found 1-2"),
            ("mwt", [{"id": "?", "form": "ab"}], "a range of words, as 1-2, is needed; found '?'"),
        ],
    )
    def test_malformed_rows(self, loopback_hub: Any, column: str, value: Any, found: str) -> None:
        loopback_hub.put(HUB_NAME, SHA, "parquet/en_ewt/test.parquet", {**PROBE, column: [value]})
        with pytest.raises(DataError, match=f"en_ewt/test.parquet of {HUB_NAME}.*, row 0: {found}"):
            list(TASK.open(Access()).examples(language("eng"), "test"))

    def test_another_layout(self, loopback_hub: Any) -> None:
        rows = {each: value for each, value in PROBE.items() if each != "mwt"}
        loopback_hub.put(HUB_NAME, SHA, "parquet/en_ewt/test.parquet", rows)
        with pytest.raises(DataError, match="lacks a column; needed: tokens, upos, head, mwt; found"):
            TASK.open(Access()).examples(language("eng"), "test")
