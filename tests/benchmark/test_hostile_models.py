"""Model folders that anybody may have made: loaded without running anything of theirs, or refused in one line."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from benchmark.errors import UserError
from benchmark.model_folder import ModelMissing, checked
from benchmark.models import pretrained
from benchmark.ready_checks import Readiness, check_model
from benchmark.training.embeddings import sentence_transformer_vectors
from benchmark.training.model import load_encoder

CODE = """
open({marker!r}, "a").write("ran")
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
class Config(BertConfig):
    model_type = "theirs"
class Model(BertModel):
    config_class = Config
class Tokenizer(PreTrainedTokenizerFast):
    pass
class Module:
    pass
"""
MAP = {"AutoConfig": "theirs.Config", "AutoModel": "theirs.Model"}


class Runs:
    """What a pickle can do on loading."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def short(error: Exception, longest: int = 2000) -> None:
    """What is said of it is one line, and no long one."""
    assert "\n" not in str(error)
    assert len(str(error)) < longest


@pytest.fixture
def model(tiny_folder: Path, tmp_path: Path) -> Path:
    """A model folder with code beside it that leaves a mark if it is ever run."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    (folder / "theirs.py").write_text(CODE.format(marker=str(tmp_path / "ran")))
    return folder


@pytest.fixture
def says(model: Path) -> Callable[..., None]:
    """Change what a JSON file of the folder says."""

    def change(file: str = "config.json", **said: Any) -> None:
        path = model / file
        path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | said))

    return change


def refused(model: Path, sentence: bool = False) -> str:
    with pytest.raises(ModelMissing) as caught:
        pretrained(str(model), offline=True, sentence=sentence)
    text = str(caught.value)
    assert text.isprintable()
    assert not (model.parent / "ran").exists()
    return text


def test_code_of_the_model_is_never_run(model: Path, says: Any) -> None:
    says(auto_map=MAP)  # of a BERT, which needs none
    assert type(load_encoder(pretrained(str(model), offline=True).folder)).__name__ == "BertModel"
    says(model_type="theirs")
    assert "code of its own (auto_map), which is not run" in refused(model)
    with pytest.raises(ValueError, match=r"theirs|custom code"):
        load_encoder(model)
    assert not (model.parent / "ran").exists()


@pytest.mark.parametrize(
    "given", [["theirs.Tokenizer", "theirs.Tokenizer"], {"AutoTokenizer": ["theirs.Tokenizer", None]}]
)
def test_code_of_the_tokenizer_is_never_run(model: Path, says: Any, given: Any) -> None:
    says("tokenizer_config.json", auto_map=given, tokenizer_class="Tokenizer")
    pretrained(str(model), offline=True)
    for file in (None, "tokenizer.json"):
        if file:
            (model / file).unlink()
            (model / "tokenizer.pkl").write_bytes(pickle.dumps(Runs(model.parent / "ran")))
        found = Readiness("task", "cache")
        check_model(found, "model", str(model))
        assert len(found.problems) == (file is not None)
    assert not (model.parent / "ran").exists()


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation", "_experts_implementation"])
@pytest.mark.parametrize("value", ["kernels-community/flash-attn", {"": "someone/kernel"}])
def test_kernels_from_the_hub_are_refused(model: Path, says: Any, key: str, value: Any) -> None:
    says(**{key: value})
    assert "kernels from the hub are code" in refused(model)
    says(**{key: None}, text_config={key: value})
    assert "kernels from the hub are code" in refused(model)


def test_attention_is_what_we_say(model: Path, says: Any) -> None:
    says(_attn_implementation="flash_attention_2")  # for which transformers would fetch a kernel
    pretrained(str(model), offline=True)
    assert load_encoder(model).config._attn_implementation == "sdpa"


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_that_run_something(model: Path, zipped: bool) -> None:
    (model / "model.safetensors").unlink()
    path, marker = model / "pytorch_model.bin", model.parent / "ran"
    if zipped:
        torch.save({"weight": Runs(marker)}, path)
    else:
        path.write_bytes(pickle.dumps(Runs(marker)))
    pretrained(str(model), offline=True)
    with pytest.raises(ValueError, match="need more than torch's weights-only loader, and that would run code"):
        load_encoder(model)
    found = Readiness("task", "cache")
    check_model(found, "model", str(model))
    assert [one.partition("pytorch_model.bin ")[2] for one in found.problems] == [
        "needs more than torch's weights-only loader, and that would run code"
    ]
    assert not marker.exists()


def test_weights_in_a_bin_file(model: Path, tiny_folder: Path) -> None:
    expected = load_encoder(tiny_folder).state_dict()
    (model / "model.safetensors").unlink()
    torch.save(expected, model / "pytorch_model.bin")
    found = load_encoder(pretrained(str(model), offline=True).folder).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["../base/model.safetensors", "/etc/x", "a/b", "..", "", 3, None, "a\\b"])
def test_weights_outside_the_folder(model: Path, says: Any, name: Any) -> None:
    says("model.safetensors.index.json", metadata={}, weight_map={"embeddings": name})
    assert "names of files in the same folder are needed" in refused(model)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"num_hidden_layers": 10**9}, "at most 1000; found 1000000000"),
        ({"num_hidden_layers": "two"}, "found 'two'"),
        ({"model_type": ["bert"]}, "model_type must name an architecture; found ['bert']"),
        ({"model_type": None}, "found None"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "a quantised model cannot be trained"),
    ],
)
def test_configurations_that_cannot_be(model: Path, says: Any, said: dict[str, Any], why: str) -> None:
    says(**said)
    assert why in refused(model)


def test_an_adapter_is_no_model(model: Path, says: Any) -> None:
    says("adapter_config.json", base_model_name_or_path="someone/else")
    assert "found an adapter" in refused(model)


@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file(model: Path, file: str, make: Any) -> None:
    (model / file).unlink()
    make(model / file)
    assert refused(model)


@pytest.mark.usefixtures("no_hang")
def test_weights_that_are_no_file(model: Path) -> None:
    (model / "model.safetensors").unlink()
    os.mkfifo(model / "model.safetensors")
    assert "a model folder has *.safetensors" in refused(model)


@pytest.mark.parametrize(
    ("modules", "why"),
    [
        ([{"type": "theirs.Module", "path": ""}], "a module of the model's own is code"),
        ([{"type": "os.system", "path": ""}], "a module of the model's own is code"),
        ([{"type": "sentence_transformers.models.Pooling", "path": "../../x"}], "folders inside the model's"),
        ([{"type": "sentence_transformers.models.Pooling", "path": "/etc"}], "folders inside the model's"),
        ([{"type": 3, "path": ""}], "a list of modules with type and path"),
        (["x"], "a list of modules with type and path"),
        ({"a": 1}, "a list of modules with type and path"),
    ],
)
def test_modules_of_sentence_transformers(model: Path, modules: Any, why: str) -> None:
    (model / "modules.json").write_text(json.dumps(modules))
    assert why in refused(model, sentence=True)
    with pytest.raises(Exception):  # noqa: B017, PT011 - the library itself refuses them too
        sentence_transformer_vectors(model, {"deu": ["ein Haus"]}, "cpu")
    assert not (model.parent / "ran").exists()


@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer_config.json", "model.safetensors.index.json", "modules.json"]
)
@given(data=st.data())
@settings(
    max_examples=10 if settings.default.max_examples <= 100 else settings.default.max_examples,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_files_of_bytes(model: Path, broken: Any, file: str, data: st.DataObject) -> None:
    path = model / file
    if not path.exists():
        kind = "sentence_transformers.models.Transformer"
        modules = [{"idx": 0, "name": "0", "path": "", "type": kind}]
        path.write_text(json.dumps({"weight_map": {"a": "model.safetensors"}} if "index" in file else modules))
    good = path.read_bytes()
    checked(model, sentence=True)
    path.write_bytes(data.draw(broken(good)))
    try:
        checked(model, sentence=True)
    except UserError as error:
        short(error)
    path.write_bytes(good)


def test_the_tokenizer_of_the_fixture_can_be_loaded(model: Path) -> None:
    assert AutoTokenizer.from_pretrained(model, local_files_only=True)("gut")["input_ids"]
