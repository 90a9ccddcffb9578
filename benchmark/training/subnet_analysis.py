"""What subnetworks are worth looking at for: do they follow the language, and do they take conflict away?"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmark.training.batches import Batch
from benchmark.training.model import blocks
from benchmark.training.strategy import Loss, Masks, Start
from benchmark.training.subnet_masks import KINDS, Array, between, off_diagonal
from benchmark.training.subnets import SubnetStatic
from benchmark.training.vaccine import cosines
from measures.subnetwork import overlap
from tasks.languages import Language


def against_another_seed(masks: Masks, again: Masks) -> dict[str, Any]:
    """Overlap between languages against that of each language with itself under another seed.

    By kind: ``between`` and ``itself`` are means over pairs and over languages, ``chance`` what random masks
    with as many open places in each layer share, expected over expected: masks say something of languages only
    where ``itself`` is above ``between``, and ``between`` something of what they share only above ``chance``.
    """
    found: dict[str, Any] = {}
    common = sorted(masks.keys() & again.keys())
    for kind in KINDS:
        itself = {code: float(between({"a": masks[code], "b": again[code]}, kind)[0, 1]) for code in common}
        pairs = list(itertools.combinations(sorted(masks), 2))
        expected = [_expected(masks[s][kind], masks[t][kind]) for s, t in pairs]
        found[kind] = {
            "between": float(off_diagonal(between(masks, kind)).mean()),
            "itself": fmean(itself.values()) if itself else None,
            "chance": fmean(expected),
            "by_language": itself,
        }
    return found


def _expected(s: Array, t: Array) -> float:
    shared = float((s.sum(axis=1) * t.sum(axis=1)).sum()) / s.shape[1]
    return overlap(shared, int(s.sum()), int(t.sum()), "jaccard")


def conflict(found: Array) -> dict[str, float]:
    """Of cosines ``[…, n, n]`` between languages' gradients: the share below zero, and how far, on average.

    ``depth`` is the mean of max(−cos, 0). Masks shrink cosines of either sign, since what two languages do not
    share is orthogonal: so both are needed. Pairs without a cosine (NaN) are left out.
    """
    pairs = off_diagonal(found)
    pairs = pairs[~np.isnan(pairs)]
    if not len(pairs):
        return {"share": float("nan"), "depth": float("nan")}
    return {"share": float((pairs < 0).mean()), "depth": float(np.maximum(-pairs, 0.0).mean())}


def removed(whole: Array, masked: Array, random: Array) -> dict[str, dict[str, float]]:
    """How much conflict masks remove, and how much of it random masks as sparse would not have.

    Cosines ``[…, n, n]`` of the same examples' gradients through the whole model, through the languages' masks
    and through random ones.
    """
    each = {"whole": conflict(whole), "masked": conflict(masked), "random": conflict(random)}
    each["removed"] = {what: each["whole"][what] - each["masked"][what] for what in each["whole"]}
    each["beyond random"] = {what: each["random"][what] - each["masked"][what] for what in each["whole"]}
    return each


def gradient_cosines(
    model: nn.Module, batches: Mapping[Language, Batch], loss: Loss, masks: Masks | None = None
) -> dict[str, Array]:
    """By block of parameters, cosines between the languages' gradients, ``[languages, languages]`` by code.

    Each language's rows pass through its mask, or all through the whole model. Without dropout, one language
    after the other: it takes the memory of a gradient of each. The model and its gradients are left as they are.
    """
    order = sorted(batches, key=lambda language: language.code)
    strategy, training = SubnetStatic(), model.training
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if masks is not None:
        strategy.begin(Start(model, order, 0, 1, 0.0, masks))
    model.eval()
    each = []
    try:
        for language in order:
            one = {language: batches[language]}
            with contextlib.nullcontext() if masks is None else strategy.through(one):
                value = loss(model, batches[language])
            found = torch.autograd.grad(value, list(parameters.values()), materialize_grads=True)
            each.append(dict(zip(parameters, found, strict=True)))
    finally:
        model.train(training)
        if masks is not None:
            strategy.end()
    by_block = {}
    for block, names in blocks(model).items():
        flat = torch.stack([torch.cat([of[name].flatten() for name in names]) for of in each]).double()
        by_block[block] = cosines((flat @ flat.T).cpu().numpy()[None])[0]
    return by_block
