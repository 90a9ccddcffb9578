"""Languages that are kept out of training: what models are tried on, and that nothing else changes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from benchmark import jobs
from benchmark.config import RunConfig
from benchmark.errors import UserError
from benchmark.jobs import execute, missing, unadapted
from benchmark.prepare import materialise, prepare
from benchmark.runner import dry_run, run
from benchmark.store import Store
from benchmark.unseen import tried_on
from tasks.base import Example
from tasks.languages import language
from tasks.metrics import score

CODES = ("deu", "nld", "swe", "fra")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def config(cache, tmp_path):
    return RunConfig(
        ("overlap",), "cldr-names", CODES, seeds=(0, 1), epochs=1, max_train=32, max_eval=40, grouping=None,
        device="cpu", jobs=1, cache=cache, output=tmp_path / "results", unseen=("da", "ita"), shots=(8, 16),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"unseen": ("swe", "dan")},
            "--unseen takes languages that are not trained on, found swe among --languages",
        ),
        ({"unseen": ("xxx",)}, "--unseen: cldr-names: "),
        ({"unseen": ("danis",)}, "did you mean"),
        ({"unseen": ()}, "--shots takes examples of the languages of --unseen, found 8,16 and no --unseen"),
        ({"shots": (16, 8)}, "numbers from 1 in rising order, as 16,64,256 (0 is always tried), found 16,8"),
        ({"shots": (8, 8)}, "found 8,8"),
        ({"shots": (0, 8)}, "found 0,8"),
        ({"shots": (8, 100_000)}, "of dan (of those that are not in its test data), found 100000"),
        ({"languages": ("deu", "nld")}, "at least 3 languages with training data are needed, found 2"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_runs(config, changes, said, tmp_path):
    with pytest.raises(UserError) as error:
        run(replace(config, cache=tmp_path / "new", **changes))
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@dataclass
class Rows:
    """A corpus of so many examples by split, the last ``shared`` of train in test too."""

    counts: dict[str, int]
    shared: int = 0
    source: str = "folder"

    def languages(self):
        return (language("deu"), language("dan"))

    def examples(self, of, split="train"):
        rows = [Example(f"{split} {place}", place % 2) for place in range(self.counts[split])]
        return rows[: len(rows) - self.shared] + [Example(f"shared {place}", 0) for place in range(self.shared)]


@pytest.mark.parametrize(
    ("code", "shots", "corpus", "said"),
    [
        ("swe", (), Rows({}), "--unseen takes languages that the data (folder) has, deu, dan, found swe"),
        ("dan", (), Rows({"train": 9, "test": 0}), "--unseen takes languages with test data, found none of dan"),
        ("dan", (1,), Rows({"train": 0, "test": 9}), "with training data, found none of dan"),
        (
            "dan",
            (3, 7),
            Rows({"train": 9, "test": 9}, shared=3),
            "6 of dan (of those that are not in its test data)",
        ),
    ],
)
def test_a_language_must_have_what_it_is_tried_on(config, code, shots, corpus, said):
    of = prepare(replace(config, unseen=(), shots=())).seeds
    with pytest.raises(UserError) as error:
        tried_on([language(code)], shots, corpus, None, of, Store(config.cache))
    assert said in str(error.value)


def test_as_many_shots_as_there_are_and_none_without_training_data(config):
    of = prepare(replace(config, unseen=(), shots=())).seeds
    store = Store(config.cache)
    found = tried_on([language("dan")], (3, 6), Rows({"train": 9, "test": 9}, shared=3), None, of, store)
    assert {row.text for row in found.support[0]["dan", 6]} == {f"train {place}" for place in range(6)}
    assert len(found.test["dan"]) == 9
    zero = tried_on([language("dan")], (), Rows({"train": 0, "test": 9}), 4, of, store)
    assert len(zero.test["dan"]) == 4
    assert [(one.k, one.support) for one in zero.plans[0]] == [(0, "")]
    assert list(zero.examples(0)) == [(zero.plans[0][0].test, zero.test["dan"])]
    some = dict(found.examples(0))
    assert {len(rows) for rows in some.values()} == {3, 6, 9}
    assert {key: len(rows) for key, rows in some.items()} == {
        one.support if one.k else one.test: one.k or 9 for one in found.plans[0]
    }
    assert tried_on([], (), Rows({}), None, of, store) is None


def test_they_take_no_part_in_anything_else(config):
    """Neither as sources nor as targets, nor in the scratch model's tokenizer: the trainings are the same ones."""
    without = prepare(replace(config, unseen=(), shots=()))
    setup = prepare(config)
    assert without.unseen is None
    assert setup.codes == without.codes == CODES
    assert [of.model for of in setup.seeds] == [of.model for of in without.seeds]
    for one, two in zip(setup.seeds, without.seeds, strict=True):
        assert setup.joint(one).key == without.joint(two).key
        assert [each.language for each in setup.joint(one).evaluate] == list(CODES)
        assert without.joint(two).shots == ()
        assert setup.each(one, "deu").shots == ()


def test_they_leave_the_default_and_all(config):
    default = prepare(replace(config, languages=(), unseen=("swe",), shots=()))
    assert "swe" not in default.codes
    assert len(default.codes) == 19
    assert default.unseen.sizes == (0,)
    assert [one.k for one in default.unseen.plans[0]] == [0]


def test_support_is_nested_and_not_in_the_test_set(config):
    unseen = prepare(config).unseen
    assert [language.code for language in unseen.languages] == ["dan", "ita"]
    for seed in (0, 1):
        for code in ("dan", "ita"):
            few, more = (unseen.support[seed][code, k] for k in (8, 16))
            assert (len(few), len(more)) == (8, 16)
            assert set(few) < set(more)
            assert not {row.text for row in more} & {row.text for row in unseen.test[code]}
    assert unseen.support[0]["dan", 16] != unseen.support[1]["dan", 16]
    assert [(one.language, one.k) for one in unseen.plans[0]] == [
        ("dan", 0), ("ita", 0), ("dan", 8), ("dan", 16), ("ita", 8), ("ita", 16)
    ]  # fmt: skip
    assert len({one.key("t") for one in unseen.plans[0]}) == 6
    alone = prepare(replace(config, unseen=("ita",), shots=(16,))).unseen
    assert alone.plans[0] == (unseen.plans[0][1], unseen.plans[0][5])  # nothing is adapted again for another list


def test_the_joint_model_of_each_strategy_and_seed_is_tried(config, capsys):
    trained = replace(config, unseen=(), shots=())
    assert run(trained).failures == []
    assert {record.measure for record in run(trained).records} & {"joint"} == set()
    setup = prepare(config)
    one = dry_run(config)[1]
    assert [job.label for job in one.todo] == ["joint", "joint"]
    assert [missing(job, setup.store) for job in one.todo] == [(False, [], [])] * 2
    result = run(config)
    assert result.failures == []
    assert "transfer: 2 trainings to do, 8 cached" in capsys.readouterr().err
    [record] = [record for record in result.records if record.measure == "joint"]
    assert record.languages == list(CODES)
    assert record.strategy == "plain"
    assert {code: list(of) for code, of in record.shots.items()} == {
        "dan": ["0", "8", "16"],
        "ita": ["0", "8", "16"],
    }
    for code, of in record.shots.items():
        gold = [row.label for row in setup.unseen.test[code]]
        for k, shot in of.items():
            keys = {
                seed.seed: next(
                    one for one in setup.unseen.plans[seed.seed] if (one.language, str(one.k)) == (code, k)
                ).key(setup.joint(seed).key)
                for seed in setup.seeds
            }
            said = [np.load(setup.store.path(key) / "test.npy") for key in keys.values()]
            assert shot.scores == [score("macro_f1", np.array(gold), each, setup.spec.labels) for each in said]
            assert shot.mean == pytest.approx(np.mean(shot.scores))
            assert all(setup.store.manifest(key)["kind"] == "shots" for key in keys.values())
    unseen = record.protocol["unseen"]
    assert unseen["languages"] == ["dan", "ita"]
    assert unseen["shots"] == [0, 8, 16]
    assert unseen["test_size"] == {"dan": 40, "ita": 40}
    others = [one for one in result.records if one.measure != "joint"]
    assert {one.protocol_id for one in others} == {record.protocol_id}
    assert all(one.shots is None for one in others)
    assert dry_run(config)[1].todo == ()


def test_zero_shots_are_the_model_as_it_was_trained(config):
    """What is said without any example is what a model says that was never fine-tuned, whatever came before."""
    import torch
    from safetensors.torch import load_file

    from benchmark.training import model as models
    from benchmark.training.batches import Encoded
    from benchmark.training.evaluation import predict

    run(config)
    setup = prepare(config)
    of = setup.seeds[0]
    job = setup.joint(of)
    model = models.load(of.model.folder, job.labels, seed=3)
    model.load_state_dict(load_file(setup.store.path(job.key) / "model.safetensors"))
    zero = [one for one in job.shots if one.k == 0]
    for one in zero:
        said = np.load(setup.store.path(one.key(job.key)) / "test.npy")
        expected = predict(model, [Encoded.open(setup.store.path(one.test))], torch.device("cpu"), "fp32")[0]
        assert said.tolist() == expected.tolist()


def test_the_order_of_adaptations_changes_nothing(config, tmp_path):
    """Each starts from the model as it was trained, taken with the training or later."""
    run(config)
    other = replace(config, cache=tmp_path / "cache", seeds=(0,))
    setup = prepare(other)
    materialise(setup)
    job = setup.joint(setup.seeds[0])
    assert execute(replace(job, shots=job.shots[::-1][:3]), setup.store).trained
    assert unadapted(job, setup.store) == [*job.shots[:3]]
    assert execute(job, setup.store) == jobs.Outcome(job)
    one, two = Store(config.cache), setup.store
    for each in job.shots:
        here, there = (np.load(store.path(each.key(job.key)) / "test.npy") for store in (one, two))
        assert here.tolist() == there.tolist()


def test_one_adaptation_that_fails_harms_nothing_else(config, tmp_path, monkeypatch):
    from benchmark.training import adaptation

    adapt = adaptation.adapt

    def fails(model, support, *rest):
        if len(support) == 16:
            raise ValueError("no\nmore")
        return adapt(model, support, *rest)

    monkeypatch.setattr(adaptation, "adapt", fails)
    config = replace(config, cache=tmp_path / "cache", seeds=(0,))
    result = run(config)
    assert result.failures == [
        f"adaptation to {code}, 16 shots, of joint (seed 0): ValueError: no more" for code in ("dan", "ita")
    ]
    [record] = [record for record in result.records if record.measure == "joint"]
    assert {code: list(of) for code, of in record.shots.items()} == {"dan": ["0", "8"], "ita": ["0", "8"]}
    monkeypatch.setattr(adaptation, "adapt", adapt)
    again = run(config)  # failures are not cached
    assert again.failures == []
    [path] = [path for path in again.paths if path.name.startswith("joint")]
    assert set(json.loads(path.read_text())["shots"]["dan"]) == {"0", "8", "16"}
