"""AfriSenti from each of its sources. Tests of the real corpus need `KINSHIP_DATA`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest

from tasks import afrisenti
from tasks.afrisenti import HUB_NAME, HUB_REVISION, LABELS, AfriSenti
from tasks.afrisenti_pins import COMMIT, PINS
from tasks.base import SPLITS, Access, Corpus, DataError, Example
from tasks.languages import language
from tasks.sources import fingerprint

TASK = AfriSenti()
DATA = Path(os.environ.get("KINSHIP_DATA", "/nowhere"))
needs_data = pytest.mark.skipif(
    not (DATA / "afrisenti").is_dir(), reason="KINSHIP_DATA names no folder with afrisenti/"
)
SHA = "89abcdef0123456789abcdef0123456789abcdef"
TSV = b"tweet\tlabel\nmina\tpositive\nwena\tneutral\n"
EXAMPLES = [Example("mina", 0), Example("wena", 1)]


@pytest.fixture
def pins(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every file had been published with the two rows of ``TSV``."""
    monkeypatch.setattr(
        afrisenti,
        "PINS",
        {code: dict.fromkeys(splits, fingerprint(EXAMPLES)) for code, splits in PINS.items()},
    )


def test_declaration() -> None:
    spec = TASK.spec
    assert (spec.name, spec.version, spec.metric, spec.kind) == ("afrisenti", 1, "weighted_f1", "text")
    assert spec.labels == LABELS == ("positive", "neutral", "negative")
    assert spec.paper_model == "Davlan/afro-xlmr-large"
    codes = [each.code for each in TASK.languages()]
    assert " ".join(codes) == "amh arq ary hau ibo kin orm pcm por swa tir tso twi yor"
    assert {each.code for each in TASK.targets_only()} == {"orm", "tir"}
    assert {each.script for each in TASK.languages()} == {"Latn", "Arab", "Ethi"}


def test_import_is_cheap() -> None:
    heavy = "torch transformers datasets sklearn scipy pandas numpy babel iso639 huggingface_hub urllib.request"
    code = (
        "import sys, tasks.afrisenti, tasks.cldr_names, tasks.metrics, tasks.udpos, tasks.wikiann, tasks.xnli\n"
        f"print([each for each in {heavy.split()} if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return TASK.open(Access(data=DATA, offline=True))


@needs_data
class TestRealCorpus:
    def test_every_row_of_every_file(self, corpus: Corpus) -> None:
        assert corpus.source == "folder"
        sizes = {
            (each.code, split): len(corpus.examples(each, split)) for each in TASK.languages() for split in SPLITS
        }
        assert sum(sizes.values()) == 111_718
        assert [key for key, size in sizes.items() if not size] == [("orm", "train"), ("tir", "train")]

    def test_content_is_what_is_pinned(self, corpus: Corpus) -> None:
        for code, splits in PINS.items():
            for split in SPLITS:
                if split in splits:
                    assert fingerprint(corpus.examples(language(code), split)) == splits[split], (code, split)

    def test_known_defects(self, corpus: Corpus) -> None:
        shared = {}
        for code in ("pcm", "twi"):
            train = {each.text for each in corpus.examples(language(code), "train")}
            shared[code] = sum(each.text in train for each in corpus.examples(language(code), "test"))
        assert shared == {"pcm": 926, "twi": 195}
        pcm = corpus.examples(language("pcm"), "train")
        assert len(pcm) == 5121
        assert Counter(each.label for each in pcm)[LABELS.index("neutral")] == 72

    def test_no_quoting_is_left(self, corpus: Corpus) -> None:
        """These test files are quoted like CSV: read raw, many texts would begin and end with a quote."""
        for code in ("arq", "ary", "kin", "por", "tso"):
            texts = [each.text for each in corpus.examples(language(code), "test")]
            assert sum(each[0] == each[-1] == '"' for each in texts) < 0.02 * len(texts)

    def test_the_authors_files_pass_their_checksums(
        self, web: Any, clean_environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("KINSHIP_AFRISENTI_URL", web.url)
        for code, folder in (("tso", "tso"), ("orm", "oro"), ("arq", "arq")):
            for split in ("dev", "test"):
                content = (DATA / "afrisenti" / code / f"{split}.tsv").read_bytes()
                web.pages[f"/{folder}/{split}.tsv"] = (200, {}, content.replace(b"\n", b"\r\n"))
        corpus = TASK.open(Access(cache=tmp_path / "cache"))
        assert corpus.source == "files"
        assert len(corpus.examples(language("tso"), "dev")) == 203
        assert len(corpus.examples(language("orm"), "test")) == 2096
        assert len(corpus.examples(language("arq"), "test")) == 958


class TestFolder:
    def lay_out(self, root: Path, content: bytes = TSV) -> Access:
        path = root / "afrisenti" / "hau" / "train.tsv"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        return Access(data=root, offline=True)

    def test_examples(self, tmp_path: Path) -> None:
        corpus = TASK.open(self.lay_out(tmp_path))
        assert corpus.source == "folder"
        assert corpus.examples(language("hau"), "train") == EXAMPLES

    def test_missing_files(self, tmp_path: Path) -> None:
        access = self.lay_out(tmp_path)
        (tmp_path / "afrisenti" / "om").mkdir()
        corpus = TASK.open(access)
        assert corpus.languages() == (language("hau"), language("orm"))
        assert len(corpus.examples(language("orm"), "train")) == 0
        with pytest.raises(DataError, match=r"no data file .*om.test\.tsv"):
            corpus.examples(language("orm"), "test")
        with pytest.raises(DataError, match=r"no data file .*hau.dev\.tsv"):
            corpus.examples(language("hau"), "dev")
        with pytest.raises(DataError, match=r"has no folder of Tigrinya; allowed: hau, orm; found none of tir"):
            corpus.examples(language("tir"), "test")
        with pytest.raises(DataError, match=r"afrisenti has no German; allowed: amh, .*; found deu"):
            corpus.examples(language("deu"), "train")

    def test_malformed_files_are_named_with_the_line(self, tmp_path: Path) -> None:
        corpus = TASK.open(self.lay_out(tmp_path, TSV + b"yena\tmixed\n"))
        with pytest.raises(DataError, match=r"hau.train\.tsv, line 4: unknown label; allowed: positive, neutral"):
            corpus.examples(language("hau"), "train")


@pytest.mark.usefixtures("pins")
class TestAuthorsFiles:
    @pytest.fixture(autouse=True)
    def mirror(self, web: Any, clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KINSHIP_AFRISENTI_URL", web.url + "/mirror/")
        web.pages["/mirror/tso/dev.tsv"] = (200, {}, TSV)

    def test_fetched_when_asked_for_and_once(self, web: Any, tmp_path: Path) -> None:
        corpus = TASK.open(Access(cache=tmp_path))
        assert corpus.source == "files"
        assert web.asked == ["GET /mirror/tso/dev.tsv"]
        web.pages["/mirror/hau/train.tsv"] = (200, {}, TSV)
        assert list(corpus.examples(language("hau"), "train")) == EXAMPLES
        assert list(corpus.examples(language("tir"), "train")) == []
        assert len(web.asked) == 2
        again = TASK.open(Access(cache=tmp_path, offline=True))
        assert list(again.examples(language("hau"), "train")) == EXAMPLES
        assert len(web.asked) == 2
        assert (tmp_path / "afrisenti" / COMMIT / "hau" / "train.tsv").read_bytes() == TSV

    def test_a_folder_without_afrisenti_is_passed_over(self, tmp_path: Path) -> None:
        assert TASK.open(Access(data=tmp_path, cache=tmp_path)).source == "files"

    def test_tampered_content_is_refused(self, web: Any, tmp_path: Path) -> None:
        corpus = TASK.open(Access(cache=tmp_path))
        web.pages["/mirror/hau/train.tsv"] = (200, {}, TSV.replace(b"neutral", b"negative"))
        with pytest.raises(DataError, match=r"hau/train\.tsv is not what was published; .* checksum") as caught:
            corpus.examples(language("hau"), "train")
        assert "\n" not in str(caught.value)
        assert sorted(each.name for each in tmp_path.rglob("*") if each.is_file() and "hau" in str(each)) == []

    def test_oromo_under_either_name(self, web: Any, tmp_path: Path) -> None:
        corpus = TASK.open(Access(cache=tmp_path))
        web.pages["/mirror/oro/dev.tsv"] = (200, {}, TSV)
        assert list(corpus.examples(language("orm"), "dev")) == EXAMPLES
        web.pages["/mirror/orm/test.tsv"] = (200, {}, b"tampered")
        web.pages["/mirror/oro/test.tsv"] = (200, {}, TSV)
        with pytest.raises(DataError, match="line 1: a header"):
            corpus.examples(language("orm"), "test")

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"cannot fetch .*yor/dev\.tsv; a file is needed; found: HTTP status 404"
        ):
            TASK.open(Access(cache=tmp_path)).examples(language("yor"), "dev")


def parquet(path: Path, labels: Any, values: list[Any], texts: tuple[str, str] = ("mina", "wena")) -> bytes:
    features = datasets.Features({"tweet": datasets.Value("string"), "label": labels})
    table = datasets.Dataset.from_dict({"tweet": list(texts), "label": values}, features=features)
    table.to_parquet(str(path / "made.parquet"))
    return (path / "made.parquet").read_bytes()


class TestHub:
    @pytest.fixture(autouse=True)
    def hub(self, web: Any, clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        api = f"/api/datasets/{HUB_NAME}/revision/{HUB_REVISION.replace('/', '%2F')}"
        web.pages[api] = (200, {}, f'{{"id": "{HUB_NAME}", "sha": "{SHA}"}}'.encode())

    def put(self, web: Any, file: str, content: bytes) -> None:
        headers = {"X-Repo-Commit": SHA, "ETag": f'"{abs(hash((file, content)))}"'}
        web.pages[f"/datasets/{HUB_NAME}/resolve/{SHA}/{file}"] = (200, headers, content)

    def test_indices_and_strings(self, web: Any, tmp_path: Path) -> None:
        indices = parquet(tmp_path, datasets.ClassLabel(names=list(LABELS)), [0, 1])
        strings = parquet(tmp_path, datasets.Value("string"), ["positive", "neutral"])
        self.put(web, "tso/validation/0000.parquet", indices)
        self.put(web, "hau/train/0000.parquet", strings)
        corpus = TASK.open(Access(cache=tmp_path))
        assert corpus.source == "hub"
        assert list(corpus.examples(language("tso"), "dev")) == EXAMPLES
        assert list(corpus.examples(language("hau"), "train")) == EXAMPLES
        assert list(corpus.examples(language("orm"), "train")) == []
        offline = TASK.open(Access(cache=tmp_path, offline=True))
        assert offline.source == "hub"
        assert list(offline.examples(language("hau"), "train")) == EXAMPLES

    @pytest.mark.parametrize(
        ("labels", "values", "text", "found"),
        [
            ("string", ["positive", "mixed"], "wena", "row 1: unknown label; .*found 'mixed'"),
            ("int64", [0, 3], "wena", "row 1: unknown label; .*found 3"),
            ("int64", [0, -1], "wena", "row 1: unknown label; .*found -1"),
            ("int64", [0, None], "wena", "row 1: unknown label; .*found None"),
            ("int64", [0, 1], " ", "row 1: a text is needed"),
        ],
    )
    def test_malformed_rows(
        self, web: Any, tmp_path: Path, labels: str, values: Any, text: str, found: str
    ) -> None:
        self.put(web, "tso/validation/0000.parquet", parquet(tmp_path, datasets.Value("int64"), [0, 1]))
        self.put(web, "hau/test/0000.parquet", parquet(tmp_path, datasets.Value(labels), values, ("mina", text)))
        with pytest.raises(DataError, match=found):
            TASK.open(Access(cache=tmp_path)).examples(language("hau"), "test")


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize("offline", [False, True])
def test_no_source_but_the_sample(tmp_path: Path, offline: bool) -> None:
    corpus = TASK.open(Access(data=tmp_path / "data", cache=tmp_path / "cache", offline=offline))
    assert corpus.source == "sample"
    assert corpus.notice is not None
    assert "\n" not in corpus.notice
    for part in ("folder: no afrisenti/ in", "the authors' files: ", "the hub: "):
        assert part in corpus.notice
    assert list(tmp_path.rglob("*.tsv*")) == []
