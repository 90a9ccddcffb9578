"""``prepare``: what it fetches, what it finds out without network, and that a run then goes offline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark import cli, derived
from benchmark.models import pretrained
from benchmark.ready import size
from benchmark.ready_checks import Readiness, check_data
from benchmark.training.scratch import build
from tasks import afrisenti
from tasks.afrisenti import HUB_NAME, HUB_REVISION, AfriSenti
from tasks.afrisenti_pins import PINS
from tasks.base import Access, Corpus, Example
from tasks.cldr_names import CldrNames
from tasks.languages import language
from tasks.rows import Rows
from tasks.sources import fingerprint

MODEL = "someone/small-encoder"
SHA = "0123456789abcdef0123456789abcdef01234567"
DATA_SHA = "89abcdef0123456789abcdef0123456789abcdef"
LABELS = ("positive", "neutral", "negative")
AFRI = ["prepare", "--task", "afrisenti", "--cache", "cache"]
Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def told(
    tmp_path: Path,
    clean_environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Told:
    """A command in an empty folder, with a hub's cache of its own; exit code, stdout, stderr."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(clean_environment))
    monkeypatch.chdir(tmp_path)
    derived._model.cache_clear()

    def tell(*arguments: str) -> tuple[int, str, str]:
        code = cli.command(arguments)
        found = capsys.readouterr()
        return code, found.out, found.err

    return tell


def problems(err: str) -> list[str]:
    return [line.removeprefix("error: ") for line in err.splitlines() if line.startswith("error: ")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder, with what sentence-transformers has around it."""
    made = tmp_path_factory.mktemp("model")
    build(made, ["one two three", "zwei drei eins", "trois deux un"] * 4, seed=0)
    width = json.loads((made / "config.json").read_text("utf8"))["hidden_size"]
    names = ["Transformer", "Pooling", "Normalize"]
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
        for i, (path, name) in enumerate(zip(paths, names, strict=True))
    ]
    (made / "modules.json").write_text(json.dumps(modules), "utf8")
    (made / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True}
    (made / "1_Pooling" / "config.json").write_text(json.dumps(pooling), "utf8")
    return made


def serve_model(web: Any, folder: Path) -> None:
    """The hub's pages of one model, with files that nobody here needs."""
    bodies = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    bodies |= {"flax_model.msgpack": b"none", "onnx/model.onnx": b"none", "pytorch_model.bin": b"none"}
    about = {"_id": "1", "id": MODEL, "sha": SHA, "private": False, "tags": [], "downloads": 0}
    tree = [
        {"type": "file", "path": name, "size": len(body), "oid": f"{place:040x}"}
        for place, (name, body) in enumerate(bodies.items())
    ]
    listed = about | {"siblings": [{"rfilename": name} for name in bodies]}
    as_json = {"Content-Type": "application/json"}
    for page in (f"/api/models/{MODEL}", f"/api/models/{MODEL}/revision/{SHA}"):
        web.pages[page] = (200, as_json, json.dumps(listed).encode())
    web.pages[f"/api/models/{MODEL}/tree/{SHA}"] = (200, as_json, json.dumps(tree).encode())
    for place, (name, body) in enumerate(bodies.items()):
        headers = {"ETag": f'"{place:040x}"', "X-Repo-Commit": SHA, "Accept-Ranges": "bytes"}
        web.pages[f"/{MODEL}/resolve/{SHA}/{name}"] = (200, headers, body)


def tweets(code: str, split: str, count: int = 12) -> list[Example]:
    return [Example(f"{code} {split} {LABELS[i % 3]} {i}", i % 3) for i in range(count)]


def serve_data(web: Any, *codes: str) -> None:
    """AfriSenti on the hub, these languages and the one it is probed by."""
    import io

    import pyarrow
    import pyarrow.parquet

    api = f"/api/datasets/{HUB_NAME}/revision/{HUB_REVISION.replace('/', '%2F')}"
    web.pages[api] = (200, {}, f'{{"id": "{HUB_NAME}", "sha": "{DATA_SHA}"}}'.encode())
    for code in {*codes, "tso"}:
        for split in ("train", "dev", "test"):
            rows = tweets(code, split)
            table = pyarrow.table({"tweet": [row.text for row in rows], "label": [row.label for row in rows]})
            written = io.BytesIO()
            pyarrow.parquet.write_table(table, written)
            file = f"{code}/{'validation' if split == 'dev' else split}/0000.parquet"
            headers = {"X-Repo-Commit": DATA_SHA, "ETag": f'"{fingerprint(rows)[:40]}"'}
            web.pages[f"/datasets/{HUB_NAME}/resolve/{DATA_SHA}/{file}"] = (200, headers, written.getvalue())


def serve_files(web: Any, monkeypatch: pytest.MonkeyPatch, *codes: str) -> None:
    """The authors' files of these languages and the one they are probed by."""
    pins = {code: {split: fingerprint(tweets(code, split)) for split in ("train", "dev", "test")} for code in PINS}
    monkeypatch.setattr(afrisenti, "PINS", pins)
    monkeypatch.setenv("KINSHIP_AFRISENTI_URL", web.url)
    for code in {*codes, "tso"}:
        for split in ("train", "dev", "test"):
            lines = [f"{row.text}\t{LABELS[row.label]}" for row in tweets(code, split)]
            web.pages[f"/{code}/{split}.tsv"] = (200, {}, "\n".join(["tweet\tlabel", *lines, ""]).encode())


def test_from_the_hub_then_a_run_without_network(
    told: Told, web: Any, model: Path, closed_port: str, clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_data(web, "hau", "ibo", "yor")
    serve_model(web, model)
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    measure = f"embedding[model={MODEL}]"
    both = ["--languages", "ha,ig,yo", "--model", MODEL, "--measure", measure]
    code, out, err = told(*AFRI, *both)
    assert code == 0, err
    assert "afrisenti: from the hub" in out
    assert [line.split() for line in out.splitlines() if line.startswith(("hau", "ibo", "yor"))] == [
        ["hau", "Hausa", "12", "12", "12"],
        ["ibo", "Igbo", "12", "12", "12"],
        ["yor", "Yoruba", "12", "12", "12"],
    ]
    assert f"data: {HUB_NAME} at {DATA_SHA}" in out
    assert f"model: {MODEL} at {SHA}" in out
    assert f"{measure}: {MODEL} at {SHA}" in out
    assert "ready: " in err
    assert not any(name in page for page in web.asked for name in ("onnx", "msgpack", "pytorch_model"))

    monkeypatch.setenv("HF_ENDPOINT", closed_port)
    asked = len(web.asked)
    run = ["run", "-t", "afrisenti", "-m", measure, "--languages", "ha,ig,yo", "--model", MODEL, "--no-groups"]
    run += ["--epochs", "1", "--max-length", "16", "--device", "cpu", "--jobs", "1", "--cache", "cache"]
    code, out, err = told(*run, "--offline", "--json")
    assert code == 0, err
    made = {record["measure"]: record for record in json.loads(out)}
    assert made["embedding"]["data"]["source"] == "hub"
    assert made["embedding"]["protocol"]["model"] == MODEL
    assert made["embedding"]["skipped"] is None
    assert len(web.asked) == asked

    # Once more without network: what is there is complete, and that is what counts.
    code, out, err = told(*AFRI, *both)
    assert code == 0, err
    assert "nothing was fetched" in err
    report = json.loads(told(*AFRI, *both, "--json")[1])
    assert report["ready"] is True
    assert [(one["name"], one["revision"]) for one in report["places"]] == [
        (HUB_NAME, DATA_SHA),
        (MODEL, SHA),
        (MODEL, SHA),
    ]
    snapshot = clean_environment / f"models--{MODEL.replace('/', '--')}" / "snapshots" / SHA
    assert report["places"][1]["where"] == str(snapshot.resolve())
    files = [path for path in snapshot.rglob("*") if path.is_file()]
    assert report["places"][1]["files"] == len(files)
    assert report["places"][1]["bytes"] == sum(len(path.read_bytes()) for path in files)


def test_the_authors_files_and_what_they_lack(
    told: Told, web: Any, closed_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_files(web, monkeypatch, "hau", "ibo", "yor", "swa")
    del web.pages["/swa/dev.tsv"]
    code, out, err = told(*AFRI, "--languages", "hau,ibo,yor,swh")
    assert code == 1
    assert problems(err) == [f"cannot fetch {web.url}/swa/dev.tsv; a file is needed; found: HTTP status 404"]
    assert "not ready: 1 problem\n" in err
    assert [line.split()[-3:] for line in out.splitlines() if line.startswith("swa")] == [["12", "0", "12"]]
    code, out, err = told(*AFRI, "--languages", "hau,ibo,yor")
    assert code == 0, err
    assert "afrisenti: its authors' files" in out
    assert "data: afrisenti\n" in out
    monkeypatch.setenv("KINSHIP_AFRISENTI_URL", closed_port)
    asked = len(web.asked)
    run = ["run", "-t", "afrisenti", "-m", "overlap", "--languages", "hau,ibo,yor", "--cache", "cache"]
    assert told(*run, "--offline", "--dry-run", "--device", "cpu")[0] == 0
    assert len(web.asked) == asked
    # A file that was damaged since is found without network, and named.
    (path,) = Path("cache/downloads/afrisenti").glob("*/ibo/test.tsv")
    path.write_text(path.read_text("utf8").replace("neutral", "negative"), "utf8")
    code, _, err = told(*AFRI, "--languages", "hau,ibo,yor")
    assert code == 1
    (problem,) = problems(err)
    assert "ibo/test.tsv" in problem


def test_a_sample_is_not_prepared(told: Told) -> None:
    code, out, err = told(*AFRI)
    assert code == 1
    (problem,) = problems(err)
    assert problem.startswith("SAMPLE, not the corpus")
    assert "--data DIR" in problem
    assert "only a sample" in out
    report = json.loads(told(*AFRI, "--json")[1])
    assert (report["ready"], report["source"], report["counts"]) == (False, "sample", {})


def lay_out(root: Path, *codes: str) -> None:
    for code in codes:
        (root / code).mkdir(parents=True)
        for split in ("train", "dev", "test"):
            lines = [f"{row.text}\t{LABELS[row.label]}" for row in tweets(code, split)]
            (root / code / f"{split}.tsv").write_text("\n".join(["tweet\tlabel", *lines, ""]), "utf8")


def test_a_local_folder_is_read_to_the_end(told: Told) -> None:
    root = Path("data/afrisenti")
    lay_out(root, "hau", "ibo", "yor", "orm")
    (root / "orm" / "train.tsv").unlink()
    code, out, err = told(*AFRI, "--data", "data")
    assert code == 0, err
    assert "a local folder, data/afrisenti: nothing to fetch" in out
    assert [line.split() for line in out.splitlines() if line.startswith("orm")] == [
        ["orm", "Oromo", "0", "12", "12"]
    ]
    code, _, err = told(*AFRI, "--data", "data", "--languages", "hau,kin,yor,swh")
    assert code == 1
    assert problems(err) == [
        "afrisenti: the data (folder) has no Kinyarwanda (kin)",
        "afrisenti: the data (folder) has no Swahili (swa)",
    ]
    with (root / "yor" / "test.tsv").open("a", encoding="utf8") as file:
        file.write("the last line\tmixed\n")
    (root / "ibo" / "train.tsv").unlink()
    code, _, err = told(*AFRI, "--data", "data")
    assert code == 1
    first, second = problems(err)
    assert "ibo/train.tsv" in first
    assert "yor/test.tsv, line 14" in second


def test_a_folder_of_ones_own(told: Told) -> None:
    lay_out(Path("mine"), "deu", "fra", "spa")
    Path("mine/task.yaml").write_text(
        "name: mine\nkind: text\nlabels: [positive, neutral, negative]\nmetric: macro_f1\ncolumns: {text: tweet}\n"
    )
    code, out, err = told("prepare", "-t", "./mine", "--cache", "cache")
    assert code == 0, err
    assert "a local folder, mine: nothing to fetch" in out
    assert out.count(" 12") >= 9
    Path("mine/fra/train.tsv").write_text("tweet\tlabel\n", "utf8")
    code, _, err = told("prepare", "-t", "./mine", "--cache", "cache")
    assert code == 1
    assert "mine/fra/train.tsv: at least 1 example is needed" in problems(err)[0]


def test_tagged_tokens_need_a_tokenizer_that_knows_words(
    told: Told, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import PreTrainedTokenizerFast

    root = Path("tags/deu")
    root.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        (root / f"{split}.tsv").write_text("Haus\tN\ngut\tA\n\n", "utf8")
    Path("tags/task.yaml").write_text("name: tags\nkind: tagged\nlabels: [N, A]\nmetric: accuracy\n")
    arguments = ["prepare", "-t", "./tags", "--cache", "cache", "--model", str(model)]
    assert told(*arguments)[0] == 0
    monkeypatch.setattr(PreTrainedTokenizerFast, "is_fast", False)
    assert "does not say which word a token is of" in problems(told(*arguments)[2])[0]
    assert told("prepare", "-t", "cldr-names", "--cache", "cache", "--model", str(model))[0] == 0


class _Watched:
    alive = 0
    most = 0

    def __init__(self) -> None:
        _Watched.alive += 1
        _Watched.most = max(_Watched.most, _Watched.alive)

    def __del__(self) -> None:
        _Watched.alive -= 1


class _Streamed(Rows):
    def __len__(self) -> int:
        return 1000

    def take(self, places: Any) -> list[Example]:
        raise AssertionError("only streaming reads everything")

    def __iter__(self) -> Iterator[Any]:
        return (_Watched() for _ in range(1000))


class _Lazy(Corpus):
    source = "embedded"

    def examples(self, language: Any, split: Any) -> Rows:
        return _Streamed()


def test_examples_are_not_held(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CldrNames, "open", lambda self, access: _Lazy())
    found = Readiness("cldr-names", "")
    check_data(found, CldrNames(), ("deu", "fra"), None, tmp_path)
    assert found.counts["fra"] == {"train": 1000, "dev": 1000, "test": 1000}
    assert 1 <= _Watched.most <= 2


def test_a_corpus_that_says_nothing_of_being_empty(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CldrNames, "open", lambda self, access: _Lazy())
    monkeypatch.setattr(_Streamed, "__iter__", lambda self: iter(()))
    monkeypatch.setattr(CldrNames, "targets_only", lambda self: frozenset({language("fra")}))
    found = Readiness("cldr-names", "")
    check_data(found, CldrNames(), ("deu", "fra"), None, tmp_path)
    assert found.problems == [
        "cldr-names: no train data of German (deu)",
        "cldr-names: no dev data of German (deu)",
        "cldr-names: no test data of German (deu)",
        "cldr-names: no dev data of French (fra)",
        "cldr-names: no test data of French (fra)",
    ]


def test_it_is_opened_offline_after_it_was_opened_online(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    was = AfriSenti.open

    def noticed(self: AfriSenti, access: Access) -> Corpus:
        opened.append(access.offline)
        return was(self, access)

    monkeypatch.setattr(AfriSenti, "open", noticed)
    told(*AFRI)
    assert opened == [False, True]


def break_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")


def no_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def a_shard_is_missing(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {
        "metadata": {},
        "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def no_index(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")


def a_broken_index(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text("[]")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (break_weights, "model.safetensors cannot be opened"),
        (no_tokenizer, "the tokenizer cannot be loaded"),
        (no_config, "config.json: JSON is needed"),
        (a_shard_is_missing, "names files that are not there: model-00002-of-00002.safetensors"),
        (no_index, "or an index of several files (model.safetensors.index.json), found neither"),
        (a_broken_index, "a JSON object is needed; found []"),
        (lambda folder: (folder / "model.safetensors").unlink(), "found none in"),
    ],
)
def test_a_model_that_will_not_open(told: Told, model: Path, harm: Callable[[Path], None], said: str) -> None:
    shutil.copytree(model, "copy")
    few = ["prepare", "-t", "cldr-names", "--languages", "deu", "--cache", "cache", "--model", "./copy"]
    assert told(*few)[0] == 0
    harm(Path("copy"))
    code, _, err = told(*few)
    assert code == 1
    assert any(said in line for line in problems(err))
    assert "Traceback" not in err


def test_the_models_that_measures_need(told: Told, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ["prepare", "-t", "cldr-names", "--languages", "deu", "--cache", "cache"]
    shutil.copytree(model, "copy")
    within = "combined[measures=family+embedding[model=./copy]]"
    code, out, err = told(*few, "-m", within)
    assert code == 0, err
    assert "embedding[model=./copy]: ./copy\n" in out
    (Path("copy") / "1_Pooling" / "config.json").unlink()
    code, _, err = told(*few, "-m", within)
    assert (code, problems(err)) == (
        1,
        ["embedding[model=./copy]: ./copy: modules.json names 1_Pooling, which has no config.json"],
    )
    (Path("copy") / "modules.json").unlink()
    assert "has a modules.json, found none" in problems(told(*few, "-m", within)[2])[0]
    code, _, err = told(*few, "-m", f"embedding[model={MODEL}]")
    assert code == 1
    (problem,) = problems(err)
    assert f"model '{MODEL}' cannot be had from the hub" in problem

    from importlib import metadata

    was = metadata.distribution

    def without(name: str) -> metadata.Distribution:
        if name == "sentence-transformers":
            raise metadata.PackageNotFoundError(name)
        return was(name)

    monkeypatch.setattr(metadata, "distribution", without)
    code, _, err = told(*few, "-m", "embedding[model=./copy]")
    assert code == 1
    assert "needs the package sentence-transformers, which is not installed" in problems(err)[0]


def test_a_snapshot_that_lacks_a_file_is_not_ready(
    told: Told, web: Any, model: Path, closed_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_model(web, model)
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    few = ["prepare", "-t", "cldr-names", "--languages", "deu", "--cache", "cache", "--model", MODEL]
    assert told(*few)[0] == 0
    folder = pretrained(MODEL, offline=True).folder
    (folder / "tokenizer.json").unlink()
    monkeypatch.setenv("HF_ENDPOINT", closed_port)
    code, _, err = told(*few)
    assert code == 1
    (problem,) = problems(err)
    assert f"model: model '{MODEL}' cannot be had from the hub" in problem
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    assert told(*few)[0] == 0  # fetched again


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--task", "afrisent"], "unknown task 'afrisent'"),
        (["--languages", "hau,klingon"], "afrisenti: unknown language 'klingon'"),
        (["--languages", ","], "--languages takes codes"),
        (["--measure", "gradsm"], "unknown measure 'gradsm'"),
        (["--model", "./nowhere"], "found no folder ./nowhere"),
        (["--model", "a/b/c"], "--model takes scratch, a hub id"),
        (["--data", "nowhere"], "--data"),
        (["--preset", "slow"], "'slow'"),
        (["--cache", "file/inside"], "file/inside"),
    ],
)
def test_mistakes_are_one_line(told: Told, arguments: list[str], said: str) -> None:
    Path("file").write_text("")
    if "--model" in arguments:
        lay_out(Path("data/afrisenti"), "hau")
        arguments = [*arguments, "--data", "data"]
    given = AFRI if "--task" not in arguments else ["prepare"]
    code, out, err = told(*given, *arguments)
    assert (code, out) == (2, "")
    (problem,) = problems(err)
    assert said in problem


def test_what_is_installed_needs_nothing(told: Told) -> None:
    code, out, _ = told("prepare", "-t", "cldr-names", "--languages", "deu,fra", "--cache", "cache")
    assert code == 0
    assert "comes with the installed packages: nothing to fetch" in out
    assert "model: scratch, which is made from the run's own texts" in out
    assert "deu     German" in out


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (3_240_000, "3.2 MB"), (2_000_000_000_000, "2000.0 GB")],
)
def test_sizes(number: int, said: str) -> None:
    assert size(number) == said
