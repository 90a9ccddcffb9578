"""What is recorded of the languages' gradients along a training, against means taken from a list of all steps."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmark.training.watch import Watch

CODES = ["deu", "fra", "nld", "rus"]
BLOCKS = ["embeddings", "layer.0"]


def mean(values):
    values = list(values)
    return pytest.approx(np.mean(values), abs=1e-6) if values else None


def made_up(steps, groups=1, seed=0):
    """Steps of two to four languages: who is there, and by block each group's vectors and their combinations."""
    random = np.random.default_rng(seed)
    for step in range(steps):
        present = np.sort(random.permutation(4)[: random.integers(2, 5)])
        m = len(present)
        blocks = {}
        for block in BLOCKS:
            vectors = random.normal(size=(groups, m, 3))
            mixing = np.where(random.random((groups, m, m)) < 0.4, random.random((groups, m, m)), 0.0)
            mixing[:, range(m), range(m)] = 1.0
            blocks[block] = vectors, mixing
        yield step, present, blocks


def seen(watch, steps):
    for step, present, blocks in steps:
        see(watch, step, present, {block: (v @ v.swapaxes(1, 2), mixing) for block, (v, mixing) in blocks.items()})
    return watch.record()


def see(watch, step, present, blocks):
    grams, combined = (np.concatenate(of) for of in zip(*blocks.values(), strict=True))
    watch.see(step, np.array(present), [block for block, (of, _) in blocks.items() for _ in of], grams, combined)


def flat(blocks, which):
    """A block's gradients side by side, ``[languages, size]``, as they were and as corrected."""
    both = [blocks[one] for one in which]
    before = np.concatenate([v.swapaxes(0, 1).reshape(v.shape[1], -1) for v, _ in both], axis=1)
    after = np.concatenate([(c @ v).swapaxes(0, 1).reshape(v.shape[1], -1) for v, c in both], axis=1)
    return before, after


def cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(("steps", "parts"), [(60, 20), (20, 20), (7, 7), (47, 20)])
def test_means_over_all_steps_and_along_them(steps, parts, groups):
    told = seen(Watch(CODES, BLOCKS, steps), made_up(steps, groups))
    assert told["languages"] == CODES
    assert list(told["blocks"]) == [*BLOCKS, "model"]
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    for block, found in told["blocks"].items():
        which = BLOCKS if block == "model" else [block]
        pairs, moves, turns = [], [], []
        for step, present, blocks in made_up(steps, groups):
            before, after = flat(blocks, which)
            part = step * parts // steps
            pairs += [
                (part, present[i], present[j], cosine(before[i], before[j]))
                for i in range(len(present))
                for j in range(i)
            ]
            moves.append((part, cosine(before.sum(0), after.sum(0))))
            for one in which:
                mixing = blocks[one][1]
                off = mixing[:, ~np.eye(len(present), dtype=bool)]
                turns += [(part, value != 0) for value in off.flatten()]
        assert found["cosine"] == mean(c for *_, c in pairs)
        assert found["conflicts"] == mean(c < 0 for *_, c in pairs)
        assert found["depth"] == mean(max(-c, 0) for *_, c in pairs)
        assert found["step"] == mean(c for _, c in moves)
        assert found["corrected"] == mean(c for _, c in turns)
        for part in range(parts):
            assert found["cosine_along"][part] == mean(c for p, *_, c in pairs if p == part)
            assert found["conflicts_along"][part] == mean(c < 0 for p, *_, c in pairs if p == part)
            assert found["depth_along"][part] == mean(max(-c, 0) for p, *_, c in pairs if p == part)
            assert found["step_along"][part] == mean(c for p, c in moves if p == part)
            assert found["corrected_along"][part] == mean(c for p, c in turns if p == part)
        assert {len(found[name]) for name in found if name.endswith("_along")} == {parts}
        for i in range(4):
            for j in range(4):
                met = [c for _, a, b, c in pairs if {a, b} == {i, j}]
                assert found["cosines"][i][j] == (mean(met) if i != j else pytest.approx(1))


def test_who_never_met_has_no_cosine():
    watch = Watch(CODES, BLOCKS, 3)
    gram = np.array([[4.0, -1.0], [-1.0, 1.0]])[None]
    for step, present in enumerate(([0, 2], [1, 2])):
        see(watch, step, present, {"layer.0": (gram, np.eye(2)[None])})
    told = watch.record()["blocks"]
    assert told["layer.0"]["cosines"] == [
        [1.0, None, -0.5, None],
        [None, 1.0, -0.5, None],
        [-0.5, -0.5, 1.0, None],
        [None] * 4,
    ]
    assert told["layer.0"]["cosine_along"] == [-0.5, -0.5, None]
    assert (told["layer.0"]["conflicts"], told["layer.0"]["corrected"], told["layer.0"]["step"]) == (1, 0, 1)
    assert told["model"] == told["layer.0"]
    assert told["embeddings"]["cosine"] is told["embeddings"]["corrected"] is None
    assert told["embeddings"]["cosines"] == [[None] * 4] * 4


def test_a_zero_gradient_has_no_cosine():
    watch = Watch(CODES, BLOCKS, 3)
    gram = np.array([[4.0, 0.0], [0.0, 0.0]])[None]
    see(watch, 0, [0, 1], {"embeddings": (gram, np.eye(2)[None]), "layer.0": (0 * gram, np.eye(2)[None])})
    told = watch.record()["blocks"]
    assert told["embeddings"]["cosines"][0] == [1.0, None, None, None]
    assert told["embeddings"]["cosine"] is told["embeddings"]["conflicts"] is None
    assert told["embeddings"]["step"] == 1
    assert told["layer.0"]["step"] is None
    json.dumps(told, allow_nan=False)


def test_nothing_seen():
    watch = Watch(CODES, BLOCKS, 0)
    watch.see(0, np.arange(2), [], np.zeros((0, 2, 2)), np.zeros((0, 2, 2)))
    told = watch.record()["blocks"]
    assert told["model"]["cosine"] is None
    assert told["model"]["cosine_along"] == [None]


def test_its_state_is_all_of_it():
    whole, first, second = (Watch(CODES, BLOCKS, 30) for _ in range(3))
    steps = list(made_up(30))
    expected = seen(whole, steps)
    seen(first, steps[:11])
    state = first.state()
    seen(first, steps[11:])
    second.restore(state)
    assert seen(second, steps[11:]) == expected
    assert not np.array_equal(state["sums"], whole.sums)
