"""The rules of docs/claims.md on records with planted effects, and against scipy."""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from leaderboard.records import Record, path_for, write

DOCS = Path(__file__).parents[1] / "docs"
SEEDS = (0, 1, 2, 3, 4)
_CODES = {
    "N": "ara aze bul ces dan eng est fin fra hin ita kaz mar nld pol rus swe tur ukr zul",
    "T": "bul deu fin hun ita nld rus spa",
    "A": "amh ary hau ibo kin pcm twi yor",
}
CODES = {letter: codes.split() for letter, codes in _CODES.items()}
BRANCHES = ("rus ukr bul pol ces", "deu nld eng dan swe", "ita fra spa", "fin est hun", "tur aze kaz", "hin mar")
RELATED = {"N": 10 + 6 + 1 + 1 + 3 + 1, "T": 4}  # pairs
SIZES = {"N": ("cldr-names", 20), "T": ("udpos", 8), "A": ("afrisenti", 8)}
RIVALS = ("overlap[unit=subwords]", "typology", "embedding", "topic")
HOW = ("pcgrad", "gradvac", "gradvac[beta=0.5]", "meta", "subnet-static", "subnet-random", "subnet-dynamic")
LOOK = ("watched", "subnet-static[watch=true]", "subnet-random[watch=true]", "subnet-dynamic[watch=true]")
FEW = ("subnet-static", "subnet-dynamic", "meta", "meta[masks=static]", "meta[masks=dynamic]")
KIN = {code: branch for branch in BRANCHES for code in branch.split()}
UNTESTABLE = (3, 11)
ALL = set(range(1, 17))


@pytest.fixture(scope="module")
def claims():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        found = importlib.import_module("claims")
        rules = importlib.import_module("claims_rules")
        patch.setattr(rules, "DRAWS", 300)
        patch.setattr(rules, "PERMUTATIONS", 999)
        patch.setattr(found, "PERMUTATIONS", 999)
        yield found


# Records with planted effects


def symmetric(rng, n):
    M = rng.normal(size=(n, n))
    return (M + M.T) / 2


class World:
    """``gain``: in points, of what a claim says is better; ``noise``: of a seed's score. ``tie``: how similarities
    hang together where a claim says that they do, from -1 to 1."""

    def __init__(self, gain, noise, tie):
        self.gain, self.noise, self.tie = gain, noise, tie
        self.rng = np.random.default_rng(3)
        self.base = {}

    def follow(self, M):
        """A matrix that goes with ``M`` as the world has it."""
        return self.tie * M + (1 - abs(self.tie)) * symmetric(self.rng, len(M))

    def scored(self, letter, gain, kind="weighted_f1"):
        """Scores of a system by language and seed, ``gain`` points above the others of the task."""
        n = SIZES[letter][1]
        base = self.base.setdefault(letter, 0.5 + 0.05 * np.random.default_rng(n).random((n, len(SEEDS))))
        noise = self.rng.normal(size=len(SEEDS)) * self.noise
        found = base + (gain + noise[None, :]) / 100
        by_seed = dict(zip(CODES[letter], found.tolist(), strict=True))
        means = {code: float(np.mean(values)) for code, values in by_seed.items()}
        return {"metric": kind, "mean": float(np.mean(found)), "per_language": means, "by_seed": by_seed}

    def told(self, letter, cosines, corrected, depth):
        n = len(cosines)
        seeds = {}
        for seed in SEEDS:
            own = cosines + 0.01 * self.noise * symmetric(self.rng, n)
            model = {
                "cosines": own[::-1, ::-1].tolist(),
                "corrected": corrected + 0.01 * self.noise * self.rng.normal(),
                "depth": depth + 0.003 * self.noise * self.rng.normal(),
            }
            seeds[str(seed)] = {"languages": CODES[letter][::-1], "blocks": {"model": model}}
        return seeds

    def write(self, folder):
        for letter, (task, n) in SIZES.items():
            self._task(folder, letter, task, n)

    def _task(self, folder, letter, task, n):
        rng, gain = self.rng, self.gain
        plain, typology = self.scored(letter, 0), symmetric(rng, n)
        gradsim = symmetric(rng, n)
        T = gradsim + 0.05 * rng.normal(size=(n, n))
        if self.tie < 0:
            T = symmetric(rng, n)
        rivals = {rival: symmetric(rng, n) for rival in RIVALS}
        if self.tie < 0:  # another measure knows it
            rivals["embedding"] = T + 0.05 * rng.normal(size=(n, n))
        elif self.tie == 0:
            T = rng.normal(size=(n, n))
        rivals["typology"], rivals["topic"] = typology, symmetric(rng, n) + self.tie * gradsim
        first, second = (typology, symmetric(rng, n)) if self.tie >= 0 else (-typology, typology)
        if self.tie == 0:
            first = symmetric(rng, n)
        layers = {"layer.0": first, "layer.1": second}
        cosines = 0.1 * self.follow(typology)
        np.fill_diagonal(cosines, np.nan)
        joined = np.nanmean(cosines, axis=1)
        np.fill_diagonal(cosines, 1.0)
        alone = self.scored(letter, 0)
        # Who agrees with others gains by joint training, and the first loses.
        joint = dict(plain["by_seed"])
        for place, code in enumerate(CODES[letter]):
            change = self.tie * 0.3 * stats.rankdata(joined)[place] - 5 * (place == 0 and self.tie > 0)
            change += self.noise * rng.normal(size=len(SEEDS))
            joint[code] = (np.array(alone["by_seed"][code]) + 0.01 * change).tolist()
        baselines = {
            "multilingual": plain | {"by_seed": joint}, "monolingual": alone, "majority": plain,
            "random": {"mean": 0.5, "sd": 0.1, "draws": 3, "percentile": 0.5,
                       "by_seed": np.mean([*self.scored(letter, 0)["by_seed"].values()], axis=0).tolist()},
        }  # fmt: skip
        common = {"T": T, "codes": CODES[letter], "task": task, "groups": True, "baselines": baselines}

        def put(name, scores, strategy="plain", **more):
            record = made(name, strategy, scores, **{**common, **more})
            write(record, folder / path_for(record))

        better = {"gradvac", "gradvac[beta=0.5]", "subnet-static", "subnet-dynamic"}
        related = np.array(
            [[one != two and one in KIN.get(two, "") for two in CODES[letter]] for one in CODES[letter]]
        )
        put("gradsim", self.scored(letter, gain), S=gradsim, views=layers)
        for rival, S in rivals.items():
            put(rival, self.scored(letter, 0), S=S)
        put("joint", plain)
        vaccinated = cosines + 0.03 * gain * related
        for strategy in HOW:
            own = {
                "scores": self.scored(letter, gain * (strategy in better)),
                "strategy": strategy,
                "plain": plain,
            }
            seen = vaccinated if strategy.startswith("gradvac") else cosines
            corrected = 0.3 + 0.1 * gain * strategy.startswith("gradvac")
            put("gradsim", **own, S=gradsim, views=layers)
            put("joint", **own, training=self.told(letter, seen, corrected, 0.1))
        put("gradsim", None, S=gradsim, groups=False)
        for strategy in LOOK:
            depth = 0.1 - 0.02 * gain * (strategy == "subnet-static[watch=true]")
            training = self.told(letter, cosines, 0.0, depth)
            put("joint", plain, strategy, plain=plain, training=training, groups=False)
        if letter == "T":
            for strategy in ("plain", *FEW):
                shots = {}
                for code, size in itertools.product(("ara", "pol", "tur"), (0, 16, 64, 256)):
                    score = 0.3 + 0.01 * gain * ("masks" in strategy) + 0.01 * self.noise * rng.normal(size=5)
                    shots.setdefault(code, {})[str(size)] = {"scores": score.tolist(), "mean": float(score.mean())}
                put("joint", plain, strategy, plain=plain, shots=shots, groups=False, unseen=True)


def made(name, strategy, scores, *, T, codes, task, groups, baselines, S=None, views=None, plain=None, **more):
    measure, _, params = name.partition("[")
    unseen = {"unseen": {"languages": ["ara", "pol", "tur"]}} if more.pop("unseen", False) else {}
    cells = [[None] * len(codes)] * len(codes)
    return Record.model_validate(
        {
            "task": task,
            "measure": measure,
            "measure_params": dict(pair.split("=") for pair in [params.rstrip("]")] if pair),
            "access": "none",
            "strategy": strategy,
            "languages": codes,
            "groups": [codes],
            "objective": None,
            "similarity": {
                "matrix": cells if S is None else S.tolist(),
                "symmetric": True,
                "views": views and {key: view.tolist() for key, view in views.items()},
            },
            "transfer": {"metric": "macro_f1", "dev": T.tolist(), "test": T.tolist(), "seeds": []},
            "scores": baselines | {"grouped": scores, "plain": plain},
            "intervals": {},
            "correlation": None,
            "data": {"source": "folder", "fingerprint": "0" * 32, "train_size": {}, "test_size": {}},
            "protocol_id": f"p{int(groups)}{len(unseen)}",
            "protocol": {"seeds": list(SEEDS), "grouping": {"k": 2} if groups else None, "lr": 0.1, **unseen},
            "cost": {"trainings": 1, "seconds": 1.0, "peak_memory_mb": 1.0},
            "provenance": {
                "command": "", "versions": {}, "device": "cpu", "threads": 1, "precision": "fp32", "git": None,
                "started": "",
            },
            **more,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def holds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("holds")
    World(gain=2.0, noise=0.1, tie=1.0).write(folder)
    return folder


@pytest.fixture(scope="module")
def fails(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fails")
    World(gain=-2.0, noise=0.1, tie=-1.0).write(folder)
    return folder


@pytest.fixture(scope="module")
def unclear(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unclear")
    World(gain=0.0, noise=6.0, tie=0.0).write(folder)
    return folder


def verdicts(claims, folder):
    return {claim: one.verdict for claim, one in claims.judge(claims.load(folder)).items()}


# Verdicts


def test_what_is_planted_is_confirmed(claims, holds):
    assert verdicts(claims, holds) == dict.fromkeys(ALL, "confirmed") | dict.fromkeys(
        UNTESTABLE, "not testable here"
    )


def test_what_is_planted_the_other_way_is_refuted(claims, fails):
    assert verdicts(claims, fails) == (
        dict.fromkeys(ALL, "refuted") | dict.fromkeys(UNTESTABLE, "not testable here") | {12: "undecided"}
    )


def test_what_is_not_planted_is_undecided(claims, unclear):
    assert verdicts(claims, unclear) == dict.fromkeys(ALL, "undecided") | dict.fromkeys(
        UNTESTABLE, "not testable here"
    )


def test_one_rival_is_enough(claims, holds):
    tasks = claims.load(holds)

    def judged(claim, change):
        other = type(tasks)()
        for letter, task in tasks.items():
            records = {name: change(record, task) if name == "embedding" else record
                       for name, record in task.records.items()}  # fmt: skip
            other[letter] = type(task)(letter, records)
        return claims.CLAIMS[claim](other).verdict

    def scores(record, more):
        by_seed = {code: [one + more for one in each] for code, each in record.scores.grouped.by_seed.items()}
        grouped = record.scores.grouped.model_copy(update={"by_seed": by_seed})
        return record.model_copy(update={"scores": record.scores.model_copy(update={"grouped": grouped})})

    assert judged(1, lambda record, _: scores(record, 0.0)) == "confirmed"
    assert judged(1, lambda record, _: scores(record, 0.05)) == "refuted"
    assert judged(1, lambda record, _: scores(record, 0.02)) == "undecided"  # as good as gradsim
    same = judged(2, lambda record, task: record.model_copy(update={"similarity": task["gradsim"].similarity}))
    assert same == "undecided"


def test_conflicts_matter_by_the_hundredth(claims):
    depths = {
        "watched": np.full(5, 0.5),
        "subnet-random[watch=true]": 0.1 + 0.5 * np.array([0.05, -0.03, 0.04, -0.02, 0.05]),
        "subnet-static[watch=true]": np.full(5, 0.1),
    }
    tasks = dict.fromkeys(SIZES, SimpleNamespace(numbers=lambda strategy, what: depths[strategy]))
    found = claims.conflicts(tasks)
    assert found.verdict == "refuted"  # its interval ends below 10
    assert found.lines[-1].endswith("| +1.80 [-3.12, +6.72] (6.59) | refuted |")


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        ([1.0, 1.1, 0.9, 1.0, 1.0], [9.0, -9.0, 9.0, -9.0, 0.0], "confirmed"),
        ([0.3, 1.0, 0.1, 1.4, 0.8], [9.0, -9.0, 9.0, -9.0, 0.0], "undecided"),  # above 0 at 95 %, not at 97.5 %
        ([-1.0, -1.1, -0.9, -1.0, -1.0], [9.0, -9.0, 9.0, -9.0, 0.0], "undecided"),
        ([-1.0, -1.1, -0.9, -1.0, -1.0], [0.1, 0.0, -0.1, 0.0, 0.1], "refuted"),
    ],
)
def test_either_kind_of_masks_may_complement_meta_learning(claims, one, other, verdict):
    scores = {"joint@meta[masks=static]": one, "joint@meta[masks=dynamic]": other}
    task = SimpleNamespace(adapted=lambda name, sizes: np.array(scores.get(name, [0.0] * 5)))
    assert claims.few_shots({claims.UNSEEN.format("T"): task}).verdict == verdict


@pytest.mark.parametrize(("high", "verdict"), [(0.09, "refuted"), (0.11, "undecided")])
def test_what_is_left_of_proximity(claims, unclear, monkeypatch, high, verdict):
    monkeypatch.setattr(claims, "resampled", lambda statistic, languages: np.full(10, high))
    monkeypatch.setattr(claims, "PERMUTATIONS", 99)
    assert claims.proximity(claims.load(unclear)).verdict == verdict


def test_every_claim_is_told_in_the_words_of_the_document(holds):
    done = subprocess.run([sys.executable, DOCS / "claims.py", holds], capture_output=True, text=True, timeout=600)
    assert done.stderr == ""
    text = (DOCS / "claims.md").read_text("utf8")
    headings = [line for line in done.stdout.splitlines() if line.startswith("### ")]
    assert len(headings) == 16
    for claim, heading in enumerate(headings, start=1):
        words = heading.removeprefix(f"### {claim}. ").rsplit(":", 1)[0]
        assert f"{claim}. *{words}" in text
    assert "- Confirmed: 1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16.\n" in done.stdout
    assert "Pairs of one family on T: bul–rus, deu–nld, ita–spa, fin–hun." in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("Pairs of one family on N")]
    assert line.count("–") == RELATED["N"]


def test_the_same_records_give_the_same_text(claims, unclear):
    assert claims.report(claims.judge(claims.load(unclear))) == claims.report(claims.judge(claims.load(unclear)))


def test_claims_whose_records_are_missing_are_not_run(claims, holds, tmp_path):
    assert verdicts(claims, tmp_path) == dict.fromkeys(ALL, "not run") | dict.fromkeys(
        UNTESTABLE, "not testable here"
    )
    tasks = claims.load(holds)

    def without(letter, name, *asked):
        """Of some claims those that are not run without a record."""
        task = claims.load(holds)[letter]
        records = {called: record for called, record in task.records.items() if called != name}
        less, lost = type(tasks)(tasks | {letter: type(task)(letter, records)}), {}
        for claim in asked:
            try:
                claims.CLAIMS[claim](less)
            except claims.Missing as missing:
                lost[claim] = str(missing)
        assert set(lost.values()) <= {f"{name} on {letter}"}
        return set(lost)

    assert without("A", "embedding", 1, 2, 4, 8) == {1, 2}
    assert without("T", "joint@subnet-random", 13, 14, 15) == {14}
    assert without("N", "joint@watched", 7, 9, 10, 12, 13) == {7, 10, 12, 13}
    assert without("T with languages kept out", "joint@meta", 14, 16) == {16}
    assert without("A", "joint@gradvac", 8, 9, 10) == {8, 9}


def test_scores_without_seeds_are_missing(claims, holds):
    tasks = claims.load(holds)
    record = tasks["T"].records["gradsim"]
    grouped = record.scores.grouped.model_copy(update={"by_seed": None})
    old = record.model_copy(update={"scores": record.scores.model_copy(update={"grouped": grouped})})
    task = type(tasks["T"])("T", {**tasks["T"].records, "gradsim": old})
    found = claims.judge(type(tasks)(tasks | {"T": task}))
    assert found[1].lines == ["Missing: grouped scores by seed of gradsim on T."]
    assert found[2].verdict == "confirmed"


def test_records_of_other_experiments_are_passed_over_or_refused(claims, holds, tmp_path):
    tasks = claims.load(holds)
    plain = tasks["T"].records["gradsim"]
    fewer = plain.model_copy(update={"protocol": plain.protocol | {"seeds": [0, 1]}, "protocol_id": "other"})
    write(plain, tmp_path / path_for(plain))
    write(fewer, tmp_path / path_for(fewer))
    assert claims.load(tmp_path)["T"].records == {"gradsim": plain}
    another = plain.model_copy(update={"protocol": plain.protocol | {"lr": 0.2}, "protocol_id": "another"})
    write(another, tmp_path / path_for(another))
    done = subprocess.run(
        [sys.executable, DOCS / "claims.py", tmp_path], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "udpos with 8 languages has protocols that differ in more than groups" in done.stderr


def test_a_language_loses_where_a_t_test_after_holm_says_so(claims, holds):
    tasks = claims.load(holds)
    p = []
    for letter in SIZES:
        for code in CODES[letter]:
            scores = tasks[letter].records["gradsim"].scores
            p.append(stats.ttest_rel(scores.multilingual.by_seed[code], scores.monolingual.by_seed[code]).pvalue)
    smallest = [line for line in claims.hindered(tasks).lines if line.startswith(("| ara", "| bul", "| amh"))]
    assert len(smallest) == 3
    assert f"3 of {len(p)} languages" in claims.hindered(tasks).lines[-1]
