"""Tagged tokens, from words to predictions: nothing is lost, cut or moved on the way."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.encoding import Encoder
from benchmark.jobs import EvalSet, TrainJob, execute, predictions, scored
from benchmark.seeds import derive
from benchmark.training import model
from benchmark.training.batches import Encoded, Mixture, collate, concatenate
from benchmark.training.embeddings import sentence_vectors
from benchmark.training.evaluation import predict
from benchmark.training.fisher import directions, factors, fisher
from benchmark.training.gates import Gates
from benchmark.training.masks import _take, importance
from benchmark.training.probes import GradientTrace
from tasks.base import tagged
from tasks.languages import language
from tasks.metrics import score

TAGS = ("O", "B-LOC", "I-LOC")
WORDS = {"Berlin": 1, "Neu": 1, "Delhi": 2, "Ulm": 2, "ist": 0, "schön": 0, "und": 0, "groß": 0, "Haus": 0}
CPU = torch.device("cpu")


def sentences(count: int, seed: int = 0, longest: int = 9) -> list:
    """Sentences in which a word has always the same tag."""
    source = random.Random(seed)
    rows = []
    for _ in range(count):
        words = source.choices(list(WORDS), k=source.randint(1, longest))
        rows.append(tagged(words, [WORDS[word] for word in words]))
    return rows


@pytest.fixture
def rows():
    """Some of them are longer than the 24 tokens that a row can hold."""
    return sentences(30, longest=20)


@pytest.fixture
def data(tiny, rows):
    return Encoded.open(tiny.store.path(tiny.encode(rows)))


@pytest.fixture
def of(tiny):
    found = model.load(tiny.folder, 3, 0)
    with torch.no_grad():
        found.head.weight *= 30
    return found


def one_row(data, row):
    return collate(data, np.array([row]))


def test_every_word_has_its_tag_in_its_place(tiny, rows, data):
    assert len(data) > len(rows), "long sentences are several rows"
    assert data.lengths.max() <= 24
    assert data.targets.tolist() == [tag for row in rows for tag in row.tags]
    assert data.words.tolist() == [len(row.tags) for row in rows]
    assert data.terms.sum() == len(data.targets)
    assert (np.diff(data.owners) >= 0).all()
    halves = np.array([data.halves[data.owners == owner] for owner in range(len(rows))], dtype=object)
    assert all(len(set(half)) == 1 for half in halves), "the parts of a sentence are in one half"


def test_a_tag_stands_at_the_first_subword(tiny, data, rows):
    """Against the tokenizer, word by word: a word's tokens are the same wherever it stands."""
    tokenizer = tiny.encoder._load()
    place = 0
    for row in range(len(data)):
        start, end = data.offsets[row], data.offsets[row + 1]
        ids, tags = data.ids[start:end].tolist(), data.tags[start:end]
        assert ids[0] == tokenizer.cls_token_id
        assert ids[-1] == tokenizer.sep_token_id
        words = rows[data.owners[row]].tokens
        for at in np.flatnonzero(tags >= 0):
            word = words[place]
            first = tokenizer([[word]], is_split_into_words=True, add_special_tokens=False)["input_ids"][0][0]
            assert ids[at] == first
            place = (place + 1) % len(words)


@given(
    st.lists(
        st.lists(st.text(min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=30),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_word_is_lost_whatever_is_in_it(tiny, drawn):
    rows = [tagged(words, [place % 3 for place in range(len(words))]) for words in drawn]
    data = Encoded.open(tiny.store.path(tiny.encode(rows)))
    assert data.targets.tolist() == [tag for row in rows for tag in row.tags]


def test_a_word_that_the_tokenizer_drops_is_its_unknown_token(tmp_path, tiny):
    """BERT's normalisation leaves nothing of a zero-width space; XLM-R's nothing of others."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "##b": 5}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(tmp_path)
    encoder = Encoder(tiny.store, tmp_path, "wordpiece", 8)
    rows = [tagged(["ab", "\u200b", "a"], [1, 2, 0]), tagged(["\u200b"], [1])]
    encoder.encode("rows", rows)
    data = Encoded.open(tiny.store.path("rows"))
    assert data.ids.tolist() == [2, 4, 5, 1, 4, 3, 2, 1, 3]
    assert data.tags.tolist() == [-1, 1, -1, 2, 0, -1, -1, 1, -1]


def test_batches_by_language_are_parts_of_the_whole(tiny):
    sets = {
        language(code): Encoded.open(tiny.store.path(tiny.encode(sentences(7, seed))))
        for seed, code in enumerate(("deu", "nld"))
    }
    mixture = Mixture(sets)
    for parts in mixture.epoch(5, seed=0):
        whole = concatenate(list(parts.values()))
        assert whole.places.tolist() == sorted(set(whole.places.tolist()))
        flat = whole.ids.reshape(-1)
        for name, part in parts.items():
            known = {int(sets[name].ids[at]) for at in np.flatnonzero(sets[name].tags >= 0)}
            assert set(part.ids.reshape(-1)[part.places].tolist()) <= known
        joined = [part.ids.reshape(-1)[part.places] for part in parts.values()]
        assert torch.equal(flat[whole.places], torch.cat(joined))
        assert torch.equal(whole.labels, torch.cat([part.labels for part in parts.values()]))


def test_the_loss_is_the_mean_over_words(of, data):
    of.eval()
    batch = collate(data, np.arange(6))
    terms = []
    for row in range(6):
        alone = one_row(data, row)
        hidden = of.encoder(input_ids=alone.ids, attention_mask=alone.mask).last_hidden_state[0]
        logits = of.head(hidden).log_softmax(-1)
        tags = data.tags[data.offsets[row] : data.offsets[row + 1]]
        terms.append([-logits[at, int(tags[at])].item() for at in np.flatnonzero(tags >= 0)])
    assert model.cross_entropy(of, batch).item() == pytest.approx(np.mean(np.concatenate(terms)), rel=1e-5)
    by_row = model.losses_by_row(of, batch)
    assert by_row.tolist() == pytest.approx([np.mean(row) for row in terms], rel=1e-5)


def test_predictions_come_in_the_order_of_the_words(of, tiny):
    sets = [Encoded.open(tiny.store.path(tiny.encode(sentences(12, seed, longest=20)))) for seed in (3, 4)]
    sets.insert(1, Encoded.open(tiny.store.path(tiny.encode([]))))  # a language without a test set
    assert sets[1].tags is None
    of.eval()
    found = predict(of, sets, CPU, "fp32")
    with torch.no_grad():
        for data, said in zip(sets, found, strict=True):
            alone = [tag for row in range(len(data)) for tag in of(one_row(data, row)).argmax(-1).tolist()]
            assert said.tolist() == alone
            assert len(said) == len(data.targets)


def test_a_probe_takes_the_gradient_of_the_mean_over_words(of, data):
    """In micro-batches that hold unequal numbers of words."""
    probe = GradientTrace(
        {"deu": data}, probes=1, half_batch=len(data), parallel=False, seed=0, precision="fp32", device=CPU
    )
    probe.draw = lambda pool: (np.arange(len(pool)), np.arange(3))
    probe.look(of, 0, 0.1)
    of.eval()
    of.zero_grad()
    model.cross_entropy(of, collate(data, np.arange(len(data)))).backward()
    expected = sum(float(p.grad.double().square().sum()) for p in of.parameters() if p.grad is not None)
    assert probe.grams[0].sum(axis=0)[0, 0] == pytest.approx(expected, rel=1e-4)


def test_sentences_in_several_rows_have_one_vector(of, data, rows):
    of.eval()
    vectors, _ = sentence_vectors(of, {"deu": data}, -1, CPU, "fp32")
    assert vectors["deu"].shape[0] == len(rows)
    owner = int(data.owners[np.flatnonzero(np.diff(data.owners) == 0)[0]])
    tokens = []
    with torch.no_grad():
        for row in np.flatnonzero(data.owners == owner):
            batch = one_row(data, row)
            tokens.append(of.encoder(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state[0].numpy())
    assert len(tokens) > 1
    np.testing.assert_allclose(vectors["deu"][owner], np.concatenate(tokens).mean(axis=0), rtol=1e-4, atol=1e-5)


def test_directions_expect_the_fisher_information_of_a_sentence():
    """Words are independent given the sentence: the sum over them of what ``factors`` gives."""
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    slopes = torch.randn(4, 3, generator=torch.Generator().manual_seed(1)).double()
    exact = sum(float((factor.double() @ slopes[t]) ** 2) for t in range(4) for factor in factors(logits[t]))
    drawn = [
        float((torch.einsum("dtl,tl->d", directions(logits, seed).double(), slopes) ** 2).sum())
        for seed in range(3000)
    ]
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert np.mean(drawn) == pytest.approx(exact, abs=4 * error)
    assert error < 0.05 * exact
    alone = directions(logits[:1], 0)
    assert alone.shape == (2, 1, 3)
    assert torch.equal(alone[:, 0], factors(logits[0]))


def test_fisher_and_masks_are_taken_of_tagged_tokens(of, data, monkeypatch):
    arrays, meta = fisher(of, data, seed=0, precision="fp32", device=CPU)
    monkeypatch.setattr("benchmark.training.fisher.TOKENS", 1)  # a sentence at a time
    for block, alone in fisher(of, data, seed=0, precision="fp32", device=CPU)[0].items():
        np.testing.assert_allclose(arrays[block], alone, rtol=1e-3, atol=1e-6 * alone.max())
    assert meta["examples"] == min(128, len(data))
    assert all((array >= 0).all() and array.any() for array in arrays.values())
    part = _take(data, np.arange(5))
    of.eval()
    with Gates(of) as gates:
        gates.open(CPU)
        heads, units = importance(of, gates, part, precision="fp32", device=CPU)
        # The definition, sentence by sentence.
        expected = torch.zeros_like(heads)
        for row in range(5):
            gates.heads = torch.ones(gates.heads_shape, requires_grad=True)
            loss = model.cross_entropy(of, one_row(data, row))
            expected += torch.autograd.grad(loss, gates.heads)[0].abs() / 5
    torch.testing.assert_close(heads, expected, rtol=1e-4, atol=1e-7)
    assert (units >= 0).all()


def test_a_training_learns_tags_and_keeps_what_it_said(tiny, hyper):
    train, test = (tiny.encode(sentences(count, seed)) for seed, count in ((1, 300), (2, 30)))
    job = TrainJob(
        task="tags@1",
        labels=3,
        metric="span_f1",
        data=(("deu", train),),
        dev=(("deu", test),),
        model="scratch",
        model_digest="tiny",
        hyper=replace(hyper, epochs=30, lr=2e-2, patience=8),
        seed=derive(0, "tags"),
        numerics="1/test/cpu",
        names=TAGS,
        model_path=str(tiny.folder),
        evaluate=(EvalSet("deu", "test", test),),
    )
    outcome = execute(job, tiny.store)
    assert outcome.error is None
    data = Encoded.open(tiny.store.path(test))
    said = predictions(tiny.store, scored(tiny.store, job.key)["test", test])["test", test]
    reached = score("span_f1", data.targets, said, TAGS, data.words)
    assert reached > 0.9
    history = json.loads((tiny.store.path(job.key) / "history.json").read_text("utf8"))
    assert max(history["dev"]) == pytest.approx(reached), "early stopping looked at the same score"
