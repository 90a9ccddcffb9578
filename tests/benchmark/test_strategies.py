"""Runs under several strategies: what they share, what they compare, and what goes wrong."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from benchmark.config import RunConfig
from benchmark.errors import UserError
from benchmark.prepare import prepare
from benchmark.runner import dry_run, run, work
from benchmark.store import Store
from benchmark.strategies import PLAIN, Chosen, check, chosen
from leaderboard.records import path_for, read
from measures import Reading

MODULE = '''
from benchmark.training.strategy import Plain, Strategy
from measures import Measure, Reading, SimilarityMatrix


class Twin(Plain):
    """What plain does, under another name."""

    name = "twin"
    cost = 2.5

    def __init__(self, rate: float = 0.5, loud: bool = False) -> None:
        self.rate = rate
        self.loud = loud

    def needs(self):
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate must be from 0 to 1, found {self.rate:g}")
        return frozenset()

    def begin(self, start):
        self.steps = start.steps

    def record(self):
        return {"steps": self.steps, "third": 1 / 3, "none": float("nan"), "of": [float("inf"), {"a": 1}]}


class Chatty(Plain):
    name = "chatty"

    def record(self):
        return {"all": list(range(100_000))}


class Failing(Plain):
    name = "failing"

    def backward(self, model, batches, loss):
        raise ValueError("it never works")


class Masked(Plain):
    """Predicts through the masks that it starts from."""

    name = "masked"

    def needs(self):
        return frozenset({Reading("each", "masks", (("tolerance", 0.5),))})

    def begin(self, start):
        assert sorted(start.masks) == sorted(language.code for language in start.languages)
        assert len(start.languages) > 1
        self.start = start

    def masks(self):
        return self.start.masks


class Greedy(Masked):
    name = "greedy"

    def needs(self):
        return frozenset({Reading("joint", "gradients")})


class Picky(Plain):
    name = "picky"

    def skip(self, config):
        return f"no {config['model_type']} will do"


class NoStrategy:
    pass


class Joint(Measure):
    """Takes a name that is not free."""

    name = "joint"
    access = "none"

    def similarity(self, evidence):
        raise AssertionError
'''
STRATEGIES = {"twin": "Twin", "chatty": "Chatty", "failing": "Failing", "masked": "Masked", "greedy": "Greedy",
              "picky": "Picky", "nothing": "NoStrategy"}  # fmt: skip
CODES = ("deu", "nld", "swe", "fra")


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    """A folder whose distribution has strategies, and a measure of a name that is taken; the cache of all runs."""
    site = tmp_path_factory.mktemp("site")
    about = site / "their_strategies-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-strategies\nVersion: 1.0\n")
    points = [f"{name} = their_strategies:{cls}" for name, cls in STRATEGIES.items()]
    (about / "entry_points.txt").write_text(
        "\n".join(
            ["[benchmark.strategies]", *points, "[benchmark.measures]", "joint = their_strategies:Joint", ""]
        )
    )
    (site / "their_strategies.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        yield tmp_path_factory.mktemp("runs")


@pytest.fixture
def config(where, tmp_path):
    return RunConfig(
        ("overlap",), "cldr-names", CODES, seeds=(0, 1), epochs=1, max_train=32, max_eval=40, draws=2,
        device="cpu", jobs=1, cache=where / "cache", output=tmp_path / "results",
    )  # fmt: skip


def trainings(config):
    """``(strategy, languages)`` of every training in the cache, and how often."""
    store = Store(config.cache)
    manifests = [store.manifest(key) for key in store.keys("") if "." not in key]
    jobs = [one["job"] for one in manifests if one["kind"] == "training"]
    return Counter((job["strategy"], "+".join(code for code, _ in job["data"])) for job in jobs)


def by_name(records):
    return {(record.measure, record.strategy): record for record in records}


@pytest.fixture
def plain(config):
    """A run of ``plain`` alone in this cache; the number of its trainings by strategy and languages."""
    result = run(config)
    assert result.failures == []
    return result


# Names


def test_strategies_are_told_apart_by_what_is_not_the_default(where):
    found = chosen(["twin[rate=.25,loud=true]", "plain", "twin[rate=0.5]"])
    assert found == (PLAIN, Chosen("twin[loud=true,rate=0.25]", cost=2.5), Chosen("twin", cost=2.5))
    assert chosen(one.name for one in found) == found
    assert chosen([]) == (PLAIN,)
    assert chosen(["twin[loud=true]", "twin"])[1:] != chosen(["twin"])[1:]
    assert chosen(["masked"])[1].masks == Reading("each", "masks", (("tolerance", 0.5),))


@pytest.mark.parametrize(
    ("specs", "said"),
    [
        (["twin", "twin"], "--strategy takes different strategies, found twin twice"),
        (["twin[rate=.5]", "plain", "twin"], "found twin[rate=.5] and twin, which are the same"),
        (["plain", "plain"], "found plain twice"),
    ],
)
def test_no_strategy_is_named_twice(where, specs, said):
    with pytest.raises(UserError) as error:
        chosen(specs)
    assert str(error.value).endswith(said)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("twim", "unknown strategy 'twim' (did you mean 'twin'?)"),
        ("twin[rate=2]", "twin[rate=2.0]: rate must be from 0 to 1, found 2"),
        ("twin[rate=fast]", "twin[rate=…] takes a number, found 'fast'"),
        ("twin[speed=2]", "'twin' has no parameter 'speed'"),
        ("nothing", "'nothing' must be a benchmark.training.strategy.Strategy, found NoStrategy"),
        (
            "greedy",
            "greedy: a strategy starts from one reading, masks of each, or from none, found gradients of joint",
        ),
        ("picky", "picky: no bert will do"),
    ],
)
def test_what_is_wrong_with_a_strategy_is_said_before_anything_runs(config, spec, said, tmp_path):
    with pytest.raises(UserError) as error:
        run(replace(config, strategies=("twin", spec), cache=tmp_path / "new"))
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_progress_is_foretold_from_what_steps_cost(config):
    setup = prepare(replace(config, strategies=("twin", "masked"), seeds=(0,)))
    [of] = setup.seeds
    plain, twin, masked = (work(setup.joint(of, strategy=one), setup) for one in setup.strategies)
    examples = 4 * 32
    assert twin - plain == pytest.approx(1.5 * examples)
    assert masked == plain > examples
    ours = chosen(["gradvac", "subnet-random", "meta", "meta[algorithm=reptile]"])
    assert [one.cost for one in ours] == [1.0, 1.4, 1.1, 3.2, 4.2]


def test_masks_need_a_model_with_heads(where):
    with pytest.raises(UserError, match=r"^masked: heads and feed-forward units are known of .*, found t5$"):
        check(chosen(["masked"]), {"model_type": "t5"})
    check(chosen(["masked", "twin"]), {"model_type": "bert"})


def test_no_measure_is_called_as_the_one_model_of_all(config):
    with pytest.raises(UserError, match="joint: the name joint is taken"):
        run(replace(config, measures=("joint",)))


# Runs


def test_plain_alone_knows_of_no_strategies(plain, config):
    assert {record.strategy for record in plain.records} == {"plain"}
    assert "joint" not in {record.measure for record in plain.records}
    assert all("@" not in path.name for path in plain.paths)
    for record in plain.records:
        assert record.training is record.shots is record.scores.plain is None
        assert record.intervals.over_plain.items is None
        assert "strategy" not in record.protocol
        assert "unseen" not in record.protocol


def test_what_does_the_same_gains_nothing_and_trains_no_language_alone_again(plain, config, capsys):
    before = trainings(config)
    result = run(replace(config, strategies=("twin[rate=0.25]", "plain")))
    assert result.failures == []
    assert "groups and strategies: " in capsys.readouterr().err
    records = by_name(result.records)
    twin, same = records["overlap", "twin[rate=0.25]"], records["overlap", "plain"]
    groups = ["+".join(sorted(group)) for group in same.groups if len(group) > 1]
    made = trainings(config) - before
    assert made == {("twin[rate=0.25]", name): 2 for name in [*groups, "+".join(sorted(CODES))]}

    assert {place for place in records if place[1] != "plain"} == {
        ("overlap", "twin[rate=0.25]"), ("joint", "twin[rate=0.25]")  # controls have no rows of their own there
    }  # fmt: skip
    assert twin.groups == same.groups
    assert twin.scores.grouped == twin.scores.plain == same.scores.grouped
    assert twin.scores.multilingual == same.scores.multilingual
    assert twin.scores.random is None
    assert same.scores.random is not None
    assert twin.intervals.over_plain.model_dump() == {"seeds": (0.0, 0.0), "items": (0.0, 0.0)}
    assert twin.intervals.over_multilingual == same.intervals.over_multilingual
    assert twin.intervals.over_random.items is None
    assert same.intervals.over_plain.items is None
    assert twin.similarity == same.similarity
    assert twin.correlation == same.correlation
    assert len({record.protocol_id for record in result.records}) == 1
    assert twin.protocol_id == plain.records[0].protocol_id  # the rows stand in one table


def test_the_one_model_of_all_has_a_row_of_its_own(plain, config):
    records = by_name(run(replace(config, strategies=("twin",))).records)
    one, two = records["joint", "plain"], records["joint", "twin"]
    for record in (one, two):
        assert record.groups == [sorted(CODES)]
        assert record.access == "none"
        assert record.objective is record.correlation is record.skipped is None
        assert record.similarity.matrix == [[None] * 4] * 4
        assert (
            record.scores.grouped == record.scores.multilingual == records["overlap", "plain"].scores.multilingual
        )
        assert record.cost.trainings == 2  # one a seed
        assert read(config.output / path_for(record)) == record
    assert one.scores.plain is None
    assert one.intervals.over_plain.items is None
    assert one.training is None
    assert two.scores.plain == two.scores.multilingual
    assert two.intervals.over_plain.model_dump() == {"seeds": (0.0, 0.0), "items": (0.0, 0.0)}
    told = {"steps": 8, "third": 0.333333, "none": None, "of": [None, {"a": 1}]}
    assert two.training == {"0": told, "1": told}
    assert path_for(two).name == path_for(one).name.replace(".json", "@twin.json")


def test_a_second_time_trains_nothing_and_writes_nothing(config):
    config = replace(config, strategies=("twin",))
    first = run(config)
    paths = sorted(path for path in config.output.rglob("*") if path.is_file())
    before = [(path, path.stat().st_mtime_ns) for path in paths]
    made = trainings(config)
    again = run(config)
    assert by_name(again.records).keys() == by_name(first.records).keys()
    assert trainings(config) == made
    assert [(path, path.stat().st_mtime_ns) for path in paths] == before
    assert len(set(first.paths)) == len(first.paths) == len(paths)


def test_without_groups_the_one_model_is_still_trained_by_each(config, tmp_path):
    config = replace(config, strategies=("twin",), grouping=None, seeds=(7,), cache=tmp_path / "cache")
    one, two = dry_run(config)[1:]
    assert [job.label for job in one.todo] == ["joint", *sorted(CODES)]
    assert [(job.label, job.strategy) for job in two.todo] == [("joint by twin", "twin")]
    assert not (tmp_path / "cache").exists()
    records = by_name(run(config).records)
    assert {place for place in records if place[0] in ("overlap", "joint")} == {
        ("overlap", "plain"), ("joint", "plain"), ("joint", "twin")
    }  # fmt: skip
    assert records["joint", "twin"].intervals.over_plain.seeds is None  # one seed
    assert records["joint", "twin"].intervals.over_plain.items == (0.0, 0.0)
    assert trainings(config) == {("plain", code): 1 for code in CODES} | {
        ("plain", "+".join(sorted(CODES))): 1,
        ("twin", "+".join(sorted(CODES))): 1,
    }
    one, two = dry_run(config)[1:]
    assert one.todo == two.todo == ()


def test_a_dry_run_counts_groups_under_every_strategy(plain, config):
    groups = [group for group in by_name(plain.records)["overlap", "plain"].groups if len(group) > 1]
    one, two = dry_run(replace(config, strategies=("twin[rate=0.75]", "failing")))[1:]
    assert one.todo == ()
    assert Counter(job.strategy for job in two.todo) == dict.fromkeys(
        ("twin[rate=0.75]", "failing"), 2 * (len(groups) + 1)
    )


def test_one_strategy_that_fails_stops_no_other(plain, config):
    result = run(replace(config, strategies=("failing", "twin")))
    records = by_name(result.records)
    failed = [line for line in result.failures if "it never works" in line]
    assert failed == result.failures
    assert "training joint by failing (seed 0) failed: ValueError: it never works" in failed
    assert records["overlap", "failing"].scores.grouped is None
    assert records["joint", "failing"].scores.grouped is None
    assert records["joint", "failing"].training is None
    assert records["joint", "failing"].cost.trainings == 0
    assert records["joint", "twin"].scores.grouped is not None
    assert records["overlap", "twin"].scores.grouped == records["overlap", "plain"].scores.grouped


def test_what_is_too_much_for_a_record_is_left_out(config, capsys):
    config = replace(config, strategies=("chatty",), grouping=None)
    assert by_name(run(config).records)["joint", "chatty"].training is None
    assert "joint by chatty: what it tells is left out of the record" in capsys.readouterr().err


def test_masks_of_each_language_are_read_first_and_predicted_through(config, tmp_path):
    config = replace(config, seeds=(0,), strategies=("masked",), draws=0)
    setup = prepare(config)
    [of], masked = setup.seeds, setup.others[0]
    job = setup.joint(of, strategy=masked)
    assert [code for code, _ in job.masks] == sorted(CODES)
    assert setup.each(of, "deu").masks == ()
    assert len(setup.group(of, ["deu", "swe"], masked).masks) == 2
    assert setup.group(of, ["deu"], masked) == setup.each(of, "deu")
    one = dry_run(replace(config, cache=tmp_path / "none"))[1]
    assert [len(job.readings) for job in one.todo] == [0, 1, 1, 1, 1]  # the joint one, then each

    result = run(config)
    assert result.failures == []
    records = by_name(result.records)
    assert setup.store.has(job.key)
    for code, key in job.masks:
        kept = np.load(setup.store.path(job.key) / f"{code}.heads.npy")
        assert kept.tolist() == np.load(setup.store.path(key) / "heads.npy").tolist()
    # What is pruned to half of its score does not say the same.
    assert records["joint", "masked"].scores.grouped != records["joint", "plain"].scores.grouped
    assert records["joint", "masked"].cost.trainings == 5
    assert records["joint", "plain"].cost.trainings == 1


def test_without_masks_there_is_no_training(config):
    setup = prepare(replace(config, seeds=(0,), strategies=("masked",)))
    job = setup.group(setup.seeds[0], ["deu", "nld"], setup.others[0])
    job = replace(job, masks=(("deu", "0" * 64), job.masks[1]))
    from benchmark.jobs import execute

    said = execute(job, Store.at(setup.store.root)).error
    assert said.startswith("MasksMissing: masked starts from masks of all languages, found none of deu")


def test_json_holds_a_record_for_each_measure_and_strategy(config, capsys):
    from benchmark.report import print_result

    assert print_result(replace(config, strategies=("twin",), draws=0), as_json=True) == 0
    printed = json.loads(capsys.readouterr().out)
    assert Counter(
        (one["measure"], one["strategy"]) for one in printed if one["measure"] in ("overlap", "joint")
    ) == {(measure, strategy): 1 for measure in ("overlap", "joint") for strategy in ("plain", "twin")}
